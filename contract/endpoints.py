"""What each endpoint is for: the words, examples and shapes of the OpenAPI document.

Paths and methods come from the routes themselves. In this order the examples are a conversation.
It works on a new database, if bob registers after ada.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract import answers, push_requests, requests


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What the OpenAPI document says of one route."""

    tag: str
    summary: str
    description: str = ""
    token: bool = True
    body: type[requests.Parameters] | None = None
    may_lack_body: bool = False
    form: bool = False
    #: Whether the body is a form with a file.
    upload: bool = False
    #: The body, if it is the bytes of a picture: an example, of ASCII characters.
    picture: str | None = None
    query: type[requests.Parameters] | None = None
    #: What each successful status means, and the one shape they have (None: no body).
    success: Mapping[int, str]
    shape: Any = None
    media: str = "application/json"
    #: Whether the bytes are a file, whose name is in Content-Disposition.
    named_file: bool = False
    #: Codes beyond those that every endpoint of its kind has.
    refusals: Sequence[answers.ErrorCode] = ()
    #: Relations of the Link header.
    pages: Sequence[str] = ()
    #: Whether it causes events. X-Socket-ID leaves one connection out of them.
    events: bool = False
    #: Endpoints to call next, and where in the answer their parameters are.
    follow: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: An example: path and query parameters, the body, the answer.
    given: Mapping[str, str | int] = field(default_factory=dict)
    sent: Mapping[str, Any] | None = None
    got: Any = None


TIME = "2026-11-22T09:30:00.123456Z"
CHANNEL = "private-chat_1_2"
TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJzdWIiOiIxIiwiaWF0IjoxNzk1MzQxMDAwLCJleHAiOjE3OTU0Mjc0MDAsImp0aSI6ImFmMDkifQ"
    ".Bbyqs5wYz4GHmv0Y6cnkqQHN1kQ1Cc9T0s9S4rfbLhE"
)
MEMBER: answers.Member = {"id": 1, "username": "ada"}
ADA: answers.Person = {**MEMBER, "display_name": None, "avatar": None}
PROFILE: answers.Profile = {
    **MEMBER,
    "display_name": "Ada Lovelace",
    "avatar": None,
    "about": "Countess, and programmer.",
}
PICTURED: answers.Profile = {**PROFILE, "avatar": "/api/users/1/avatar?v=5f0c7a9e"}
#: The smallest picture: a GIF of one pixel, all of whose bytes are ASCII.
PICTURE = "GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
BOB: answers.Person = {"id": 2, "username": "bob", "display_name": None, "avatar": None}
PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple"
LOGGED_IN: answers.LoggedIn = {
    "status": "success",
    "message": "Logged in.",
    "data": {**ADA, "token": TOKEN, "expires_in": 86_400},
}
CHAT: answers.Chat = {
    "from_user": 1,
    "to_user": 2,
    "channel_id": 1,
    "channel_name": CHANNEL,
    "from_user_notification_channel": "private-notification_user_1",
    "to_user_notification_channel": "private-notification_user_2",
}
MESSAGE: answers.Message = {
    "id": 1,
    "channel_id": 1,
    "channel": CHANNEL,
    "from_user": 1,
    "to_user": 2,
    "type": "Text",
    "message": "Hello Bob, how are you?",
    "created_at": TIME,
    "client_message_id": "5f0c7a9e-8d1b-4a55-9f0e-2f6f1c1f8a11",
    "edited_at": None,
    "deleted_at": None,
    "file": None,
    "reply_to": None,
    "reactions": [],
}
FILE: answers.File = {
    "id": 1,
    "name": "notes.txt",
    "media_type": "application/octet-stream",
    "bytes": 11,
    "width": None,
    "height": None,
    "has_thumbnail": False,
}
SENT_FILE: answers.Message = {
    **MESSAGE,
    "id": 3,
    "type": "File",
    "message": "My notes",
    "client_message_id": "my-notes",
    "file": FILE,
}
EDITED: answers.Message = {**MESSAGE, "message": "Hello Bob! How are you?", "edited_at": TIME}
REACTED: answers.Message = {**EDITED, "reactions": [{"emoji": "\N{THUMBS UP SIGN}", "users": [1]}]}
DELETED: answers.Message = {**EDITED, "message": "", "deleted_at": TIME}
MARK: answers.Mark = {
    "channel_id": 1,
    "channel": CHANNEL,
    "user_id": 1,
    "last_read_message_id": 1,
}
CURSOR = "c3luYy4yNzE4MjgxODI4NDU5MDQ1MjM1LjAuOTIyMzM3MjAzNjg1NDc3NTgwNy4"
# The key of RFC 8291's example.
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
PUSH_ENDPOINT = "https://push.example/send/dpH5lCsTSSM"
THIS_CHANNEL = {"channel": CHANNEL}
THIS_MESSAGE: dict[str, str | int] = {"message_id": 1}
THIS_FILE: dict[str, str | int] = {"file_id": 1}
TICKET = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJhdWQiOiJmaWxlIn0"
    ".c2lnbmF0dXJlIG9mIDMyIGJ5dGVzIGlzIDQzIGxvbmc"
)
THIS_REACTION = {**THIS_MESSAGE, "emoji": "\N{THUMBS UP SIGN}"}
A_CHANNEL = {"channel": "$response.body#/channel_name"}
ITS_CHANNEL = {"channel": "$response.body#/channel"}
ITS_ID = {"message_id": "$response.body#/id"}

START = "Start"
CHATTING = "Chatting"
CONVERSATIONS = "Conversations"
ACCOUNT = "Account"
OPERATIONS = "Operations"

BYTES = {200: "The bytes.", 206: "The part that Range asks for.", 304: "Those of If-None-Match."}
CONDITIONS: Sequence[answers.ErrorCode] = ("precondition_failed", "requested_range_not_satisfiable")

#: Every endpoint, by the name of its view.
ENDPOINTS = {
    "register": Endpoint(
        tag=START,
        summary="Register a user",
        description=(
            "The name is unique without regard to case, width and what does not show, and is shown "
            "as sent. The password must be hard to guess; otherwise the message says why it is not."
        ),
        token=False,
        body=requests.Registration,
        success={201: "The new user."},
        shape=answers.Registered,
        refusals=["taken", "busy"],
        follow={
            "login": {
                "username": "$request.body#/username",
                "password": "$request.body#/password",
            },
            "request_chat": {"to_user": "$response.body#/data/id"},
            "block": {"user_id": "$response.body#/data/id"},
        },
        sent={"username": "ada", "password": PASSWORD},
        got={"status": "success", "message": "Registered. Now log in.", "data": MEMBER},
    ),
    "login": Endpoint(
        tag=START,
        summary="Log in",
        description=(
            "A wrong name and a wrong password get the same 401. White space at the ends of the "
            "name does not count. After many failed logins with one name, from whatever address, "
            "one attempt a minute is taken. With `remember` the token holds for a month instead of "
            "a day, or as the server is set."
        ),
        token=False,
        body=requests.Login,
        success={200: "The user with a token for all other requests."},
        shape=answers.LoggedIn,
        refusals=["unauthorized", "busy"],
        sent={"username": "ada", "password": PASSWORD},
        got=LOGGED_IN,
    ),
    "users": Endpoint(
        tag=CHATTING,
        summary="List the users",
        description=(
            "Without parameters: every user. With any: a page of the users with a word in their "
            "user name or display name that begins with `q`, without regard to case, width and "
            "marks, with a Link to the next page. Letters are found as they are written out too "
            "(å as aa, ø, ö as oe, ä as ae, ü as ue)."
        ),
        query=requests.UserList,
        success={200: "Users, by id."},
        refusals=["busy"],
        shape=list[answers.ListedUser],
        pages=["next"],
        given={"limit": 50},
        got=[{**ADA, "userName": "ada"}, {**BOB, "userName": "bob"}],
    ),
    "request_chat": Endpoint(
        tag=CHATTING,
        summary="Open a chat",
        description=(
            "Two users have one channel, no matter who asks. Every call triggers `new_chat` on the "
            "other user's notification channel. `from_user`, if given, must be the caller."
        ),
        body=requests.ChatRequest,
        success={201: "A new channel.", 200: "The channel that existed already."},
        shape=answers.Chat,
        refusals=["forbidden", "blocked", "not_found"],
        events=True,
        follow={"send_message": A_CHANNEL, "get_message": A_CHANNEL, "mark_read": A_CHANNEL},
        sent={"from_user": 1, "to_user": 2},
        got=CHAT,
    ),
    "pusher_auth": Endpoint(
        tag=CHATTING,
        summary="Sign a subscription",
        description=(
            "pusher-js asks for this before it subscribes. The API signs the caller's own "
            "notification channel, the caller's chats, and `presence-chitchat`. There a member's "
            "id is the user's id as a string, and its info has the `id` and the `username`. The "
            "connection ends when the login does, or when the token expires (4009: log in again), "
            "and when one of the two people of a chat blocks the other (4200: come back)."
        ),
        body=requests.ChannelToSign,
        form=True,
        success={200: "The signature, as pusher-js expects it."},
        shape=answers.Signature,
        refusals=["forbidden"],
        sent={"socket_id": "123.456", "channel_name": CHANNEL},
        got={"auth": "0a1b2c3d:" + "5e" * 32},
    ),
    "pusher_user_auth": Endpoint(
        tag=CHATTING,
        summary="Sign a connection in",
        description=(
            "What pusher-js asks after `pusher.signin()`. Then the connection is the caller's, and "
            "ends with the login of this token, or when the token expires. A Pusher server of "
            "another kind then ends all connections that signed in as the caller. The clients "
            "whose logins still hold have to connect again."
        ),
        body=requests.ConnectionToSignIn,
        form=True,
        success={200: "The signature, as the Pusher client makes it."},
        shape=answers.SignIn,
        sent={"socket_id": "123.456"},
        got={
            "auth": "0a1b2c3d:" + "5e" * 32,
            "user_data": '{"id": "1", "user_info": {"id": 1, "username": "ada"}}',
        },
    ),
    "send_message": Endpoint(
        tag=CHATTING,
        summary="Send a message",
        description=(
            "`channel` is the channel's name or id; `channel_name` and `channel_id` are other "
            "spellings of it, and one of the three is required. `from_user` and `to_user` may "
            "be left out. A retry with the same `client_message_id` answers 200 with the first "
            "message. `reply_to` is the id of a message of the same channel. Triggers "
            "`new_message` on the channel and `new_chat` on the receiver's notification channel."
        ),
        body=requests.NewMessage,
        success={201: "Stored.", 200: "Stored before; the message as it now stands."},
        shape=answers.Message,
        refusals=["forbidden", "blocked", "not_found", "conflict"],
        events=True,
        follow={
            "get_message": ITS_CHANNEL,
            "mark_read": ITS_CHANNEL,
            "edit_message": ITS_ID,
            "delete_message": ITS_ID,
            "put_reaction": ITS_ID,
        },
        sent={
            "from_user": 1,
            "to_user": 2,
            "message": MESSAGE["message"],
            "channel": CHANNEL,
            "client_message_id": MESSAGE["client_message_id"],
        },
        got=MESSAGE,
    ),
    "get_message": Endpoint(
        tag=CHATTING,
        summary="Read a chat",
        description=(
            "Without parameters: the whole history, streamed. With any: a page of the newest "
            "messages, or of those `before`, `after` or `around` a message (at most one of "
            "these), with a Link to the page on either side."
        ),
        query=requests.History,
        success={200: "Messages, oldest first."},
        shape=list[answers.Message],
        refusals=["not_found", "busy"],
        pages=["prev", "next"],
        given={**THIS_CHANNEL, "limit": 50},
        got=[MESSAGE],
    ),
    "chats": Endpoint(
        tag=CONVERSATIONS,
        summary="List my chats",
        description=(
            "Always a page, with a Link to the next one. Without `limit` it has 50 chats. While "
            "`blocked` is true, neither of the two can write to the other."
        ),
        query=requests.Page,
        success={200: "Chats, latest activity first."},
        shape=list[answers.ChatSummary],
        pages=["next"],
        given={"limit": 50},
        got=[
            {
                "channel_id": 1,
                "channel_name": CHANNEL,
                "user": BOB,
                "last_message": MESSAGE,
                "unread": 0,
                "last_read_message_id": 1,
                "peer_last_read_message_id": None,
                "blocked": False,
                "muted": False,
            }
        ],
    ),
    "mark_read": Endpoint(
        tag=CONVERSATIONS,
        summary="Mark a chat as read",
        description=(
            "Moves the caller's mark to `message_id`, or without it to the latest message. It "
            "never moves back. If it moves, `message_read` is triggered."
        ),
        body=requests.ReadMark,
        may_lack_body=True,
        success={200: "The mark as it now stands."},
        shape=answers.MarkAndUnread,
        refusals=["not_found"],
        events=True,
        given=THIS_CHANNEL,
        sent={"message_id": 1},
        got={**MARK, "unread": 0},
    ),
    "mute": Endpoint(
        tag=CONVERSATIONS,
        summary="Mute a chat",
        description="New messages in it are not pushed to the caller. Events are not changed.",
        success={204: "Muted, now or before."},
        refusals=["not_found"],
        given=THIS_CHANNEL,
    ),
    "unmute": Endpoint(
        tag=CONVERSATIONS,
        summary="Mute a chat no more",
        success={204: "Not muted any more, or never was."},
        refusals=["not_found"],
        given=THIS_CHANNEL,
    ),
    "search": Endpoint(
        tag=CONVERSATIONS,
        summary="Search my messages",
        description=(
            "Messages that have all the words of `q`. A word is found by its beginning, without "
            "regard to case or width. In scripts without spaces, any two neighbouring characters "
            "are a word. While there are more, a Link leads to the next page, which is `before` "
            "the last message of this one. A search that would take too long stops early: it has "
            "a Link to where it goes on, and a page of fewer messages, perhaps of none."
        ),
        query=requests.Search,
        success={200: "Messages, newest first."},
        shape=list[answers.Message],
        refusals=["not_found"],
        pages=["next"],
        given={"q": "hel bob", "limit": 50},
        got=[MESSAGE],
    ),
    "edit_message": Endpoint(
        tag=CONVERSATIONS,
        summary="Edit a message",
        description="For the author only. Triggers `message_updated`.",
        body=requests.Edit,
        success={200: "The message as it now stands."},
        shape=answers.Message,
        refusals=["forbidden", "blocked", "not_found", "conflict"],
        events=True,
        given=THIS_MESSAGE,
        sent={"message": EDITED["message"]},
        got=EDITED,
    ),
    "put_reaction": Endpoint(
        tag=CONVERSATIONS,
        summary="React to a message",
        description=(
            "`emoji` is one emoji of at most 64 bytes, percent-encoded. U+FE0F makes no "
            "difference; the emoji is shown as it first came. One person has at most 10 reactions "
            "on a message. Triggers `message_updated`. Reacting again is a 200 without an event."
        ),
        success={200: "The message as it now stands."},
        shape=answers.Message,
        refusals=["invalid", "blocked", "not_found", "conflict"],
        events=True,
        given=THIS_REACTION,
        got=REACTED,
    ),
    "delete_reaction": Endpoint(
        tag=CONVERSATIONS,
        summary="Take a reaction back",
        description=(
            "Triggers `message_updated`. Without such a reaction of the caller's it is a 200 "
            "without an event."
        ),
        success={200: "The message as it now stands."},
        shape=answers.Message,
        refusals=["invalid", "not_found"],
        events=True,
        given=THIS_REACTION,
        got=EDITED,
    ),
    "delete_message": Endpoint(
        tag=CONVERSATIONS,
        summary="Delete a message",
        description=(
            "For the author only. The text is erased everywhere; the message keeps its place. "
            "Triggers `message_deleted`. Deleting again is a 200 without an event."
        ),
        success={200: "The message without its text."},
        shape=answers.Message,
        refusals=["forbidden", "not_found"],
        events=True,
        given=THIS_MESSAGE,
        got=DELETED,
    ),
    "sync": Endpoint(
        tag=CONVERSATIONS,
        summary="Catch up",
        description=(
            "The messages of all chats that were sent, edited, deleted or reacted to since the "
            "cursor. Each comes once, in its latest state. Without `since`: no messages, and a "
            "first cursor. A cursor of another database, or from before a restore, is a 400: load "
            "all anew."
        ),
        query=requests.Sync,
        success={200: "Messages in the order of their changes, and the next cursor."},
        shape=answers.Changes,
        given={"since": CURSOR, "limit": 50},
        got={
            "messages": [DELETED],
            "cursor": "c3luYy4yNzE4MjgxODI4NDU5MDQ1MjM1LjUuMS4",
            "more": False,
        },
    ),
    "block": Endpoint(
        tag=CONVERSATIONS,
        summary="Block a user",
        description="Then neither can write to the other.",
        success={204: "Blocked, now or before."},
        refusals=["invalid", "not_found"],
        given={"user_id": 2},
    ),
    "blocks": Endpoint(
        tag=CONVERSATIONS,
        summary="List the users I have blocked",
        success={200: "Users, by id."},
        refusals=["busy"],
        shape=list[answers.Person],
        got=[BOB],
    ),
    "unblock": Endpoint(
        tag=CONVERSATIONS,
        summary="Lift a block",
        success={204: "Not blocked any more, or never was."},
        refusals=["not_found"],
        given={"user_id": 2},
    ),
    "send_file": Endpoint(
        tag=CONVERSATIONS,
        summary="Send a file",
        description=(
            "A form: the file in the part `file`, which has a name, and the other members as in "
            "send_message; `message` is a caption and may be left out. PNG, JPEG, GIF and WebP "
            "that really are that become an `Image` with a thumbnail, all else a `File`. A retry "
            "with the same `client_message_id`, bytes, name and members answers 200. A file that "
            "is too large, or does not fit into the room of the user, is a 413."
        ),
        body=requests.NewFile,
        upload=True,
        success={201: "Stored.", 200: "Stored before; the message as it now stands."},
        shape=answers.Message,
        refusals=["forbidden", "blocked", "not_found", "conflict"],
        events=True,
        sent={
            "channel": CHANNEL,
            "message": "My notes",
            "file": "Hello there",
            "client_message_id": "my-notes",
        },
        got=SENT_FILE,
    ),
    "file_bytes": Endpoint(
        tag=CONVERSATIONS,
        summary="Get a file",
        description=(
            "For the two people of the chat. Ranges are answered (206, or 416). Images are "
            "inline, all else is an attachment, and nothing in it runs."
        ),
        success=BYTES,
        media="*/*",
        named_file=True,
        refusals=["not_found", *CONDITIONS],
        given=THIS_FILE,
    ),
    "file_thumbnail": Endpoint(
        tag=CONVERSATIONS,
        summary="Get the thumbnail of an image",
        description="A WebP of at most 640 pixels a side, upright, without what the file tells.",
        success=BYTES,
        media="*/*",
        named_file=True,
        refusals=["not_found", *CONDITIONS],
        given=THIS_FILE,
    ),
    "file_url": Endpoint(
        tag=CONVERSATIONS,
        summary="Get an address of a file that needs no token",
        description=(
            "For `<img>`, `<video>` and downloads. It holds for everybody who has it, for 10 "
            "minutes or until the message is deleted. `thumbnail=true`: of the thumbnail."
        ),
        query=requests.FileUrl,
        success={200: "The path."},
        shape=answers.SignedUrl,
        refusals=["not_found"],
        given={**THIS_FILE, "thumbnail": "false"},
        got={"url": f"/api/files/signed/{TICKET}", "expires_at": TIME},
    ),
    "signed_file": Endpoint(
        tag=CONVERSATIONS,
        summary="Get a file by its signed address",
        token=False,
        success=BYTES,
        media="*/*",
        named_file=True,
        refusals=["forbidden", "not_found", *CONDITIONS],
        given={"ticket": TICKET},
    ),
    "me": Endpoint(
        tag=ACCOUNT,
        summary="Who I am",
        success={200: "The caller."},
        shape=answers.Profile,
        got={**ADA, "about": None},
    ),
    "sessions": Endpoint(
        tag=ACCOUNT,
        summary="List where I am logged in",
        description=(
            "Logins whose token still holds. A refresh is the same login; it can be refreshed for "
            "90 days, or as the server is set."
        ),
        success={200: "Logins, by id."},
        shape=list[answers.Session],
        refusals=["busy"],
        got=[
            {
                "id": 1,
                "created_at": TIME,
                "last_used_at": "2026-11-22T09:00:00.000000Z",
                "expires_at": "2026-11-23T09:30:00.000000Z",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0",
                "current": True,
            }
        ],
    ),
    "users_me": Endpoint(
        tag=ACCOUNT,
        summary="Who I am, in the words of other front ends",
        description="The same as `/api/me`, in the shape that front ends of the family read.",
        success={200: "The caller."},
        shape=answers.Myself,
        got={"status": "success", "data": MEMBER},
    ),
    "refresh": Endpoint(
        tag=ACCOUNT,
        summary="Get a new token",
        description=(
            "The token of this request ends; the login goes on, until SESSION_MAX_SECONDS after "
            "the password was given."
        ),
        success={200: "The user with the new token."},
        shape=answers.LoggedIn,
        got=LOGGED_IN,
    ),
    "change_password": Endpoint(
        tag=ACCOUNT,
        summary="Change my password",
        description=(
            "All other tokens end, and so do all WebSocket connections, also the caller's own: "
            "connect again with the new token. The new password must be one that register takes."
        ),
        body=requests.PasswordChange,
        success={200: "The user with a new token."},
        shape=answers.LoggedIn,
        refusals=["forbidden", "busy"],
        sent={"current_password": PASSWORD, "new_password": NEW_PASSWORD},
        got=LOGGED_IN,
    ),
    "change_profile": Endpoint(
        tag=ACCOUNT,
        summary="Change how I am shown",
        description=(
            "Any of the three members. `username` is one that register takes; the login goes on. "
            "An empty `display_name` or `about` takes away what was there."
        ),
        body=requests.ProfileChange,
        may_lack_body=True,
        success={200: "The caller as others see them now."},
        shape=answers.Profile,
        refusals=["taken"],
        sent={"display_name": PROFILE["display_name"], "about": PROFILE["about"]},
        got=PROFILE,
    ),
    "put_avatar": Endpoint(
        tag=ACCOUNT,
        summary="Show a picture",
        description=(
            "The body is the bytes of a PNG, JPEG, GIF or WebP of at most 5 MiB; what it is is "
            "told from the bytes. The middle of it is stored as a square of 256 pixels, upright, "
            "without what else stood in the file."
        ),
        picture=PICTURE,
        success={200: "The caller, whose picture has another path now."},
        shape=answers.Profile,
        refusals=["invalid", "too_large", "unsupported_media_type"],
        got=PICTURED,
    ),
    "profile": Endpoint(
        tag=CHATTING,
        summary="Get what somebody shows",
        success={200: "The user."},
        shape=answers.Profile,
        refusals=["not_found"],
        given={"user_id": 1},
        got=PICTURED,
    ),
    "avatar": Endpoint(
        tag=CHATTING,
        summary="Get the picture of somebody",
        description="A WebP. Its path is `avatar` in what shows the user; ranges are answered.",
        query=requests.Avatar,
        success=BYTES,
        media="*/*",
        refusals=["not_found", *CONDITIONS],
        given={"user_id": 1, "v": "5f0c7a9e"},
    ),
    "delete_avatar": Endpoint(
        tag=ACCOUNT,
        summary="Show no picture",
        success={200: "The caller, who has no picture."},
        shape=answers.Profile,
        got=PROFILE,
    ),
    "export": Endpoint(
        tag=ACCOUNT,
        summary="Export everything of mine",
        description=(
            "The user, whom they have blocked, every channel with their mark, and every message "
            "after its channel; streamed."
        ),
        success={200: "One JSON object (ExportLine) on each line."},
        refusals=["busy"],
        shape=answers.ExportLine,
        media="application/x-ndjson",
    ),
    "push_key": Endpoint(
        tag=ACCOUNT,
        summary="Get the key for pushes",
        description="What a browser's PushManager.subscribe() needs (VAPID, RFC 8292).",
        success={200: "The public key."},
        shape=answers.PushKey,
        got={"key": P256DH},
    ),
    "subscribe": Endpoint(
        tag=ACCOUNT,
        summary="Have a browser told of new messages",
        description=(
            "The body is the browser's PushSubscription. Every new message that somebody sends to "
            "the caller, in a chat that is not muted, is then pushed to it (RFC 8030, 8291), with "
            "`from_user`, `username`, `display_name`, `channel`, `id`, `type` and `message`; the "
            "text is cut so that all fits into 3,000 bytes. The endpoint belongs to the login that "
            "put it last, until that ends or the push service knows it no more. One user has 20 "
            "at most; then the oldest goes."
        ),
        body=push_requests.PushSubscription,
        success={204: "Subscribed."},
        sent={
            "endpoint": PUSH_ENDPOINT,
            "expirationTime": None,
            "keys": {"p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
        },
    ),
    "unsubscribe": Endpoint(
        tag=ACCOUNT,
        summary="Have a browser told no more",
        description="The body is the browser's PushSubscription, of which `endpoint` is enough.",
        body=push_requests.PushEndpoint,
        success={204: "Not subscribed any more, or never was."},
        sent={"endpoint": PUSH_ENDPOINT},
    ),
    "logout": Endpoint(
        tag=ACCOUNT,
        summary="Log out",
        description="Ends this token, or with `all` every token of the caller.",
        body=requests.Logout,
        may_lack_body=True,
        success={204: "The token is void."},
        sent={"all": True},
    ),
    "end_login": Endpoint(
        tag=ACCOUNT,
        summary="Log out somewhere",
        description="As logout there: the token ends, and so do its connections.",
        success={204: "The token is void."},
        refusals=["not_found"],
        given={"session_id": 3},
    ),
    "delete_account": Endpoint(
        tag=ACCOUNT,
        summary="Delete my account",
        description=(
            "The name becomes free, and the tokens end. Messages stay readable to the other side, "
            "unless `erase` deletes them: then the answer comes when all are erased, one account "
            "at a time. The id is never used again."
        ),
        body=requests.AccountDeletion,
        events=True,
        success={204: "The account is gone."},
        refusals=["forbidden", "busy"],
        sent={"password": NEW_PASSWORD, "erase": True},
    ),
    "front_end_config": Endpoint(
        tag=OPERATIONS,
        summary="What pusher-js needs to connect",
        token=False,
        success={200: "The key and the options."},
        shape=answers.FrontEnd,
        got={
            "key": "0a1b2c3d",
            "cluster": "mt1",
            "wsHost": "localhost",
            "wsPort": 5000,
            "wssPort": 5000,
            "forceTLS": False,
            "enabledTransports": ["ws", "wss"],
        },
    ),
    "health": Endpoint(
        tag=OPERATIONS,
        summary="Whether it works",
        description="503 while the database does not answer. `degraded` if an event has waited for "
        "more than a minute, events were set aside, or no process is seen that delivers.",
        token=False,
        success={200: "It works. `events` says how far their delivery is behind."},
        shape=answers.Health,
    ),
    "live": Endpoint(
        tag=OPERATIONS,
        summary="Whether this process serves",
        description="Asks nothing, so it says nothing of the database.",
        token=False,
        success={200: "It serves."},
        shape=answers.Alive,
        got={"status": "ok"},
    ),
    "metrics": Endpoint(
        tag=OPERATIONS,
        summary="What was counted and measured, for Prometheus",
        description="Asks for the bearer token METRICS_TOKEN. Where none is set, it answers only "
        "callers on the same machine whose request came through no proxy.",
        token=False,
        success={200: "The text format of Prometheus."},
        media="text/plain",
        refusals=("unauthorized",),
    ),
    "openapi": Endpoint(
        tag=OPERATIONS,
        summary="This document",
        token=False,
        success={200: "OpenAPI 3.1."},
        shape=dict[str, Any],
    ),
    "docs_page": Endpoint(
        tag=OPERATIONS,
        summary="This document to read and try",
        token=False,
        success={200: "A page; it needs no internet."},
        media="text/html",
    ),
}


# Errors --------------------------------------------------------------------------------------

#: The status of each code, when it is answered, and what the message then says.
ERRORS: Mapping[answers.ErrorCode, tuple[int, str, str]] = {
    "invalid": (
        400,
        "Malformed JSON, or a member is missing, wrong or out of range; the message names it.",
        "username is missing.",
    ),
    "unauthorized": (
        401,
        "The token is missing or not valid (any more), or the login is wrong.",
        "Send a token: Authorization: Bearer <token>.",
    ),
    "token_expired": (401, "The token has expired.", "The token has expired. Log in again."),
    "forbidden": (403, "The caller is known, but may not do this.", "from_user is not you."),
    "blocked": (403, "One of the two has blocked the other.", "One of you has blocked the other."),
    "not_found": (
        404,
        "No such path, user, message or channel. Those of other people look the same.",
        "No such channel.",
    ),
    "method_not_allowed": (
        405,
        "The Allow header names the methods of this path.",
        "This path does not accept this method; the Allow header names those it does.",
    ),
    "taken": (409, "The username is in use.", "This username is in use. Choose another one."),
    "conflict": (
        409,
        "The client_message_id was used for another message, or the message was deleted.",
        "A deleted message cannot be edited.",
    ),
    "precondition_failed": (
        412,
        "The bytes are not those that If-Match names.",
        "The bytes are others than If-Match names.",
    ),
    "too_large": (
        413,
        "The body is above 64 KiB, or the file above its limit.",
        "The body is larger than 64 KiB.",
    ),
    "unsupported_media_type": (
        415,
        "The Content-Type of the body is not one that the endpoint takes.",
        "Send JSON: Content-Type: application/json.",
    ),
    "requested_range_not_satisfiable": (
        416,
        "The file has fewer bytes than Range asks for.",
        "The server cannot provide the requested range.",
    ),
    "rate_limited": (
        429,
        "Too many failed logins, registrations, messages or requests for chats; settings can limit "
        "all requests.",
        "Too many attempts. Try again in 180 seconds.",
    ),
    "internal": (
        500,
        "Our fault. The id is in the log, and nothing is half-stored.",
        "Something failed on our side. (Request 3f2504e04f8941d39a0c0305e82c3301)",
    ),
    "unavailable": (
        503,
        "The database does not answer; the id is in the log.",
        "The database does not answer. Try again later. (Request 3f2504e04f8941d39a0c0305e82c3301)",
    ),
    "busy": (
        503,
        "More passwords wait, lists are sent or accounts are erased than the server takes on.",
        "Too many passwords wait to be checked. Try again in 5 seconds."
        " (Request 3f2504e04f8941d39a0c0305e82c3301)",
    ),
}


# Events --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EventDescription:
    """An event: on which channels, with which data."""

    summary: str
    channels: str
    shape: Any
    example: Any


EVERYWHERE = "The chat's channel and both people's notification channels."
EVENTS = {
    "new_chat": EventDescription(
        "Somebody asks for a chat, or has sent a message in it",
        "The receiver's notification channel.",
        answers.NewChat,
        {**CHAT, "message": MESSAGE},
    ),
    "new_message": EventDescription(
        "A message was sent", "The chat's channel.", answers.MessageEvent, MESSAGE
    ),
    "message_updated": EventDescription(
        "A message was edited or reacted to", EVERYWHERE, answers.MessageEvent, EDITED
    ),
    "message_deleted": EventDescription(
        "A message was deleted", EVERYWHERE, answers.MessageEvent, DELETED
    ),
    "message_read": EventDescription(
        "Somebody has read up to here", EVERYWHERE, answers.Mark, {**MARK, "user_id": 2}
    ),
}
