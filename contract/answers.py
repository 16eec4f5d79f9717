"""What clients get: the shapes of answers and events, and their JSON.

A function that makes an answer is annotated with one of these types. mypy holds it to the shape, so
nothing is checked while serving. The OpenAPI document is made from the same types.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, get_type_hints

from pydantic import Field, WithJsonSchema
from pydantic_core import to_json
from typing_extensions import TypedDict


def encode(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """Compact JSON, without escapes for letters. Takes a third of the time of Flask's encoder."""
    return to_json(data).decode()


Time = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601 in UTC with microseconds and Z.",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
        }
    ),
]
ChatChannel = Annotated[str, Field(pattern=r"^private-chat_[1-9][0-9]*_[1-9][0-9]*$")]
NotificationChannel = Annotated[str, Field(pattern=r"^private-notification_user_[1-9][0-9]*$")]


# Errors --------------------------------------------------------------------------------------

ErrorCode = Literal[
    "invalid",
    "unauthorized",
    "token_expired",
    "forbidden",
    "blocked",
    "not_found",
    "method_not_allowed",
    "taken",
    "conflict",
    "precondition_failed",
    "too_large",
    "unsupported_media_type",
    "requested_range_not_satisfiable",
    "rate_limited",
    "internal",
    "unavailable",
    "busy",
]


class Error(TypedDict):
    """The one shape of every error."""

    status: Literal["error"]
    code: Annotated[ErrorCode, Field(description="A stable word for programs.")]
    message: Annotated[str, Field(description="A sentence a person can act on.")]


# Users and tokens ----------------------------------------------------------------------------


Avatar = Annotated[
    str | None,
    Field(description="The path of the picture, which changes with it; null if there is none."),
]


class Member(TypedDict):
    """Somebody by the name they log in with."""

    id: int
    username: str


class Person(Member):
    """Somebody as others see them."""

    display_name: str | None
    avatar: Avatar


class Profile(Person):
    about: Annotated[str | None, Field(description="What they say of themselves.")]


class ListedUser(Person):
    userName: Annotated[
        str, Field(description="The same as `username`; existing front ends read it.")
    ]


class Token(Person):
    token: Annotated[str, Field(description="For the header Authorization: Bearer <token>.")]
    expires_in: Annotated[int, Field(description="Its life in seconds.")]


class Success(TypedDict):
    status: Literal["success"]
    message: str


class Myself(TypedDict):
    status: Literal["success"]
    data: Member


class Registered(Success):
    data: Member


class LoggedIn(Success):
    data: Token


class Session(TypedDict):
    """A login: where somebody is logged in."""

    id: Annotated[int, Field(description="Stays through refreshes.")]
    created_at: Annotated[Time, Field(description="When the password was given.")]
    last_used_at: Annotated[Time, Field(description="The hour in which it was.")]
    expires_at: Annotated[Time, Field(description="Until when its token holds.")]
    user_agent: Annotated[str | None, Field(description="As the client calls itself.")]
    current: Annotated[bool, Field(description="Whether it is the one that asks.")]


class Peer(TypedDict):
    id: int
    username: Annotated[str | None, Field(description="null if the account was deleted.")]
    display_name: str | None
    avatar: Avatar


# Channels and messages -----------------------------------------------------------------------


MessageType = Annotated[
    Literal["Text", "Image", "File"],
    Field(description="Image: a PNG, JPEG, GIF or WebP. It stays if the message was deleted."),
]


class File(TypedDict):
    """What was sent with a message."""

    id: int
    name: str
    media_type: Annotated[str, Field(description="Told from the bytes.")]
    bytes: int
    width: Annotated[int | None, Field(description="Of an Image, in pixels, as it is shown.")]
    height: int | None
    has_thumbnail: bool


class Quote(TypedDict):
    """The message that another one answers, as it now stands. Sync and events do not tell of the
    reply anew when this changes."""

    id: int
    from_user: int
    type: MessageType
    message: Annotated[str, Field(description="200 characters of it at most.")]
    deleted_at: Time | None


class Reaction(TypedDict):
    """One emoji, and who reacted with it, in the order in which they did."""

    emoji: str
    users: list[int]


class MessageData(TypedDict):
    """What is known of a message, but for its type."""

    id: int
    channel_id: int
    channel: ChatChannel
    from_user: int
    to_user: int
    message: Annotated[str, Field(description="Exactly as sent; empty if it was deleted.")]
    created_at: Time
    client_message_id: str | None
    edited_at: Time | None
    deleted_at: Time | None
    file: Annotated[File | None, Field(description="null if the message was deleted.")]
    reply_to: Quote | None
    reactions: Annotated[list[Reaction], Field(description="In the order in which they came.")]


class Message(MessageData):
    """The message object: in answers, in lists and in events alike. Members of the setting
    MESSAGE_EXTRAS stand beside these."""

    type: MessageType


class SignedUrl(TypedDict):
    url: Annotated[str, Field(description="A path on this server, which needs no token.")]
    expires_at: Time


class Chat(TypedDict):
    from_user: int
    to_user: int
    channel_id: int
    channel_name: ChatChannel
    from_user_notification_channel: NotificationChannel
    to_user_notification_channel: NotificationChannel


Unread = Annotated[
    int,
    Field(description="Messages of the other user after my mark; 1000 means 1000 or more."),
]


class ChatSummary(TypedDict):
    """A chat in the inbox."""

    channel_id: int
    channel_name: ChatChannel
    user: Peer
    last_message: Message | None
    unread: Unread
    last_read_message_id: int | None
    peer_last_read_message_id: int | None
    blocked: Annotated[
        bool, Field(description="Whether one of the two has blocked the other, whichever it is.")
    ]
    muted: Annotated[bool, Field(description="Whether the caller wants no pushes of it.")]


class PushKey(TypedDict):
    key: Annotated[str, Field(description="The applicationServerKey of a browser's subscribe().")]


class Mark(TypedDict):
    """The latest message that somebody has read."""

    channel_id: int
    channel: ChatChannel
    user_id: int
    last_read_message_id: int | None


class MarkAndUnread(Mark):
    unread: Unread


class Changes(TypedDict):
    messages: list[Message]
    cursor: Annotated[str, Field(description="Opaque; send it as the next `since`.")]
    more: Annotated[bool, Field(description="Whether to ask again at once.")]


# Events --------------------------------------------------------------------------------------


class MessageEvent(Message):
    """The message object. Its text is cut if the event would exceed 10,240 bytes."""

    truncated: NotRequired[Annotated[Literal[True], Field(description="The text was cut.")]]


class NewChat(Chat):
    """Somebody asks for a chat, or has sent a message in it."""

    message: NotRequired[MessageEvent]


# The export, line by line ----------------------------------------------------------------------


class UserLine(Profile):
    type: Literal["user"]
    created_at: Time


class ChannelLine(TypedDict):
    type: Literal["channel"]
    id: int
    name: ChatChannel
    users: list[int]
    created_at: Time
    last_read_message_id: Annotated[int | None, Field(description="My own mark.")]
    muted: Annotated[bool, Field(description="Whether I have muted it.")]


class BlockLine(Person):
    """Somebody whom the user has blocked."""

    type: Literal["block"]


class ExportedFile(File):
    url: Annotated[str, Field(description="Its path, for a request with a token.")]


class MessageLine(MessageData):
    type: Literal["message"]
    message_type: MessageType
    file: ExportedFile | None  # type: ignore[misc]


ExportLine = UserLine | BlockLine | ChannelLine | MessageLine

#: Names that MESSAGE_EXTRAS cannot have.
MESSAGE_MEMBERS = frozenset(get_type_hints(MessageEvent)) | frozenset(get_type_hints(MessageLine))


# Realtime and operations -----------------------------------------------------------------------


class PresenceMember(TypedDict):
    user_id: str
    user_info: Member


class Signature(TypedDict):
    """What pusher-js expects from its authorization endpoint."""

    auth: Annotated[str, Field(description="<key>:<signature>", pattern="^[^:]+:[0-9a-f]{64}$")]
    channel_data: NotRequired[Annotated[str, Field(description="JSON; presence channels only.")]]


class SignIn(TypedDict):
    """As the Pusher client makes it."""

    auth: Annotated[str, Field(description="<key>:<signature>", pattern="^[^:]+:[0-9a-f]{64}$")]
    user_data: Annotated[str, Field(description="JSON; its `id` is the user's id as a string.")]


class FrontEnd(TypedDict):
    """All but `key` are options of `new Pusher(key, options)`."""

    key: str
    cluster: str
    wsHost: str | None
    wsPort: int | None
    wssPort: int | None
    forceTLS: bool
    enabledTransports: list[Literal["ws", "wss"]]
    wsPath: NotRequired[
        Annotated[str, Field(description="Of the embedded server, if it is below a path.")]
    ]


class Lag(TypedDict):
    """How far the delivery of events is behind."""

    waiting: int
    oldest_seconds: float
    set_aside: int


class Sockets(TypedDict):
    """What is open in the embedded server, if that is in use."""

    owner: Annotated[bool, Field(description="Whether this process runs it.")]
    connections: int
    channels: int
    subscriptions: int
    message: NotRequired[Annotated[str, Field(description="If it does not: what that means.")]]


class Alive(TypedDict):
    status: Literal["ok"]


class Health(TypedDict):
    status: Annotated[
        Literal["ok", "degraded"], Field(description="`degraded`: it answers, and needs a look.")
    ]
    reasons: Annotated[list[str], Field(description="Why it is degraded, a sentence each.")]
    delivering: Annotated[bool, Field(description="Whether this process delivers the events.")]
    events: Lag
    sockets: NotRequired[Sockets]
