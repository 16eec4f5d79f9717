"""The Flask application: create_app(), and every route."""

from contextlib import nullcontext

from flask import Blueprint, Flask, Response, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from prometheus_client import CONTENT_TYPE_LATEST as METRICS_TYPE

import auth
import config
from auth import login_required
from chat import (
    accounts,
    blocks,
    channels,
    departure,
    export,
    files,
    history,
    inbox,
    index,
    logins,
    messages,
    profiles,
    pushes,
    reactions,
    search,
    sync,
)
from contract import answers, errors, names, openapi, push_requests, requests
from contract.passwords import fault_of_password
from database import db, engine_options, prepare, release, writing
from gateway import BODY_BYTES
from models import Channel, User
from realtime import servers, subscriptions
from web import bodies, downloads, layers, logs, monitoring, responses, uploads
from web.bodies import name_or_id, parse, query, socket_id
from web.docs import docs
from web.errors import answer_errors_of, code_of, error_response
from web.page import chat_page
from web.routing import ChatAPI, IdConverter
from web.runtime import end_session, runtime

#: Requests that a process works on at once; on PostgreSQL not more than it has connections.
WORK_SLOTS = 24

api = Blueprint("api", __name__, url_prefix="/api")
root = Blueprint("root", __name__)


# The seven methods ---------------------------------------------------------------------------


@api.post("/register")
def register() -> ResponseReturnValue:
    """Store a new user."""
    runtime().rate_limits.check("register")
    body = parse(requests.Registration)
    with auth.hash_for_new_name(body.username, body.password) as password_hash, writing():
        person = accounts.register(body.username, password_hash)
        db.session.commit()
    return {"status": "success", "message": "Registered. Now log in.", "data": person}, 201


@api.post("/login")
def login() -> ResponseReturnValue:
    """Trade a name and password for a token."""
    body = parse(requests.Login)
    user = auth.authenticate(body.username, body.password)
    with writing():
        token = auth.log_in(user, remember=body.remember, user_agent=bodies.user_agent())
        db.session.commit()
    return auth.logged_in(user, token)


@api.get("/users")
@login_required
def users(user: User) -> ResponseReturnValue:
    """List the users: all of them, or a page."""
    asked = query(requests.UserList)
    if not asked.model_fields_set:
        return responses.streamed(user, accounts.everyone())
    limit = asked.limit or 50
    found = accounts.page(asked.q or "", asked.after or 0, limit + 1)
    more = {"after": found[limit - 1]["id"]} if len(found) > limit else None
    return responses.listed(found[:limit], next=more)


@api.post("/request_chat")
@login_required
def request_chat(user: User) -> ResponseReturnValue:
    """Open the one chat with somebody, and have them told."""
    body = parse(requests.ChatRequest)
    runtime().rate_limits.hit("chats", str(user.id))
    refuse_other_author(user, body.from_user)
    if body.to_user == user.id:
        raise errors.Invalid("to_user is you; a chat has two people.")
    with writing():
        channel, new = channels.open_with(user, body.to_user)
        chat = channels.request(channel, user, socket_id())
        db.session.commit()
    return chat, 201 if new else 200


@api.post("/pusher/auth")
@login_required
def pusher_auth(user: User) -> ResponseReturnValue:
    """Sign a subscription of the caller's connection."""
    body = parse(requests.ChannelToSign, form=True)
    subscriptions.check(user, body.channel_name)
    runtime().subscriptions.remember(user, auth.check_token(), body.socket_id, body.channel_name)
    # Again, now that the connection is found when the login ends or one of the two blocks.
    subscriptions.check(auth.check_again(), body.channel_name)
    member = None
    if body.channel_name == names.PRESENCE_CHANNEL:
        member = {"user_id": str(user.id), "user_info": accounts.member(user)}
    signature: answers.Signature = runtime().signer.authenticate(
        body.channel_name, body.socket_id, member
    )
    return signature


@api.post("/pusher/user-auth")
@login_required
def pusher_user_auth(user: User) -> ResponseReturnValue:
    """Sign the caller's connection in at the Pusher server."""
    body = parse(requests.ConnectionToSignIn, form=True)
    runtime().subscriptions.remember(user, auth.check_token(), body.socket_id)
    user = auth.check_again()  # now that the connection is found when the login ends
    user_data = {"id": str(user.id), "user_info": accounts.member(user)}
    signature: answers.SignIn = runtime().signer.authenticate_user(body.socket_id, user_data)
    return signature


@api.post("/send_message")
@login_required
def send_message(user: User) -> ResponseReturnValue:
    """Store a message once, and have both sides told."""
    body = parse(requests.NewMessage)
    runtime().rate_limits.hit("messages", str(user.id))
    refuse_other_author(user, body.from_user)
    index.prepare(body.message)
    with writing():
        channel = channel_to_send(user, body)
        message, new = messages.post(channel, user, body, socket_id())
        db.session.commit()
    return message, 201 if new else 200


@api.post("/send_file")
@auth.login_required_to_upload
def send_file(user: User) -> ResponseReturnValue:
    """Store a file as a message once, and have both sides told."""
    body, upload = uploads.parse(requests.NewFile)
    runtime().rate_limits.hit("messages", str(user.id))
    refuse_other_author(user, body.from_user)
    index.prepare(body.message)
    with uploads.kept(upload) as file, writing():
        channel = channel_to_send(user, body)
        message, new = messages.post(channel, user, body, socket_id(), file)
        db.session.commit()
    return message, 201 if new else 200


@api.get("/get_message/<channel>")
@login_required
def get_message(user: User, channel: str) -> ResponseReturnValue:
    """Read a chat: its whole history, or a page."""
    found = channels.find(user, name_or_id(channel))
    asked = query(requests.History)
    if not asked.model_fields_set:
        return responses.streamed(user, history.whole(found))
    page, older, newer = history.page(
        found, asked.limit or 50, asked.before, asked.after, asked.around
    )
    return responses.listed(
        page,
        prev=None if older is None else {"before": older},
        next=None if newer is None else {"after": newer},
    )


# Conversations -------------------------------------------------------------------------------


@api.get("/chats")
@login_required
def chats(user: User) -> ResponseReturnValue:
    """List the caller's chats, latest activity first."""
    asked = query(requests.Page)
    found, cursor = inbox.chats(user, asked.limit or 50, asked.cursor)
    return responses.listed(found, next={"cursor": cursor} if cursor else None)


@api.put("/chats/<channel>/read")
@login_required
def mark_read(user: User, channel: str) -> ResponseReturnValue:
    """Move the caller's mark, and have both sides told."""
    body = parse(requests.ReadMark, optional=True)
    with writing():
        found = channels.to_write(user, name_or_id(channel))
        mark = inbox.mark_read(found, user, body.message_id, socket_id())
        db.session.commit()
    return mark


@api.put("/chats/<channel>/mute", endpoint="mute")
@api.delete("/chats/<channel>/mute", endpoint="unmute")
@login_required
def mute(user: User, channel: str) -> ResponseReturnValue:
    """Have new messages in a chat pushed to the caller no more, or again."""
    with writing():
        found = channels.to_write(user, name_or_id(channel))
        inbox.mute(found, user, muted=request.method == "PUT")
        db.session.commit()
    return "", 204


@api.patch("/messages/<id:message_id>")
@login_required
def edit_message(user: User, message_id: int) -> ResponseReturnValue:
    """Give one of the caller's messages another text."""
    body = parse(requests.Edit)
    runtime().rate_limits.hit("messages", str(user.id))
    index.prepare(body.message)
    with writing():
        channel, row = messages.own(user, message_id)
        message = messages.edit(channel, row, body.message, socket_id())
        db.session.commit()
    return message


@api.delete("/messages/<id:message_id>")
@login_required
def delete_message(user: User, message_id: int) -> ResponseReturnValue:
    """Erase the text of one of the caller's messages."""
    with writing():
        channel, row = messages.own(user, message_id)
        message = messages.erase(channel, row, socket_id())
        db.session.commit()
    return message


@api.put("/messages/<id:message_id>/reactions/<emoji>")
@login_required
def put_reaction(user: User, message_id: int, emoji: str) -> ResponseReturnValue:
    """React to a message of the caller's chats."""
    asked = bodies.emoji(emoji)
    runtime().rate_limits.hit("messages", str(user.id))
    with writing():
        channel, row = messages.to_change(user, message_id)
        message = reactions.put(channel, row, user, asked, socket_id())
        db.session.commit()
    return message


@api.delete("/messages/<id:message_id>/reactions/<emoji>")
@login_required
def delete_reaction(user: User, message_id: int, emoji: str) -> ResponseReturnValue:
    """Take one of the caller's reactions back."""
    asked = bodies.emoji(emoji)
    with writing():
        channel, row = messages.to_change(user, message_id)
        message = reactions.remove(channel, row, user, asked, socket_id())
        db.session.commit()
    return message


@api.get("/sync", endpoint="sync")
@login_required
def sync_messages(user: User) -> ResponseReturnValue:
    """Catch up: what has changed since the cursor."""
    asked = query(requests.Sync)
    return sync.changes(user, asked.since, asked.limit or 50)


@api.get("/search", endpoint="search")
@login_required
def search_messages(user: User) -> ResponseReturnValue:
    """Find messages of the caller's chats by their words."""
    asked = query(requests.Search)
    channel = None if asked.channel is None else channels.find(user, asked.channel)
    found, rest = search.messages(user, asked.q, channel, asked.before, asked.limit or 50)
    return responses.listed(found, next=None if rest is None else {"before": rest})


@api.get("/blocks", endpoint="blocks")
@login_required
def list_blocks(user: User) -> ResponseReturnValue:
    """List whom the caller has blocked."""
    return responses.streamed(user, blocks.listed(user))


@api.put("/blocks/<id:user_id>")
@login_required
def block(user: User, user_id: int) -> ResponseReturnValue:
    """Block somebody: neither can then write to the other, nor hear their chat."""
    if user_id == user.id:
        raise errors.Invalid("You cannot block yourself.")
    with writing():
        blocks.put(user, user_id)
        db.session.commit()
    return "", 204


@api.delete("/blocks/<id:user_id>")
@login_required
def unblock(user: User, user_id: int) -> ResponseReturnValue:
    """Lift a block."""
    with writing():
        blocks.lift(user, user_id)
        db.session.commit()
    return "", 204


# Files ---------------------------------------------------------------------------------------


@api.get("/files/<id:file_id>")
@login_required
def file_bytes(user: User, file_id: int) -> ResponseReturnValue:
    """Give the bytes of a file of the caller's chats."""
    return downloads.download(files.find(user, file_id))


@api.get("/files/<id:file_id>/thumbnail")
@login_required
def file_thumbnail(user: User, file_id: int) -> ResponseReturnValue:
    """Give a small picture of an image of the caller's chats."""
    return downloads.download(files.find(user, file_id), thumbnail=True)


@api.post("/files/<id:file_id>/url")
@login_required
def file_url(user: User, file_id: int) -> ResponseReturnValue:
    """Sign an address of a file that needs no token."""
    asked = query(requests.FileUrl)
    return downloads.signed(files.find(user, file_id), thumbnail=asked.thumbnail)


@api.get("/files/signed/<ticket>")
def signed_file(ticket: str) -> ResponseReturnValue:
    """Give the bytes of the file that a signed address is of."""
    file, thumbnail = downloads.of_ticket(ticket)
    return downloads.download(file, thumbnail=thumbnail)


# Account -------------------------------------------------------------------------------------


@api.get("/me")
@login_required
def me(user: User) -> ResponseReturnValue:
    """Tell callers who they are."""
    return accounts.profile(user)


@api.patch("/me")
@login_required
def change_profile(user: User) -> ResponseReturnValue:
    """Give the caller other names, or another text about them."""
    body = parse(requests.ProfileChange, optional=True)
    with writing():
        row = profiles.change(user, body)
        db.session.commit()
    return accounts.profile(row)


@api.put("/me/avatar")
@auth.login_required_with_picture
def put_avatar(user: User) -> ResponseReturnValue:
    """Have a picture stand for the caller."""
    with uploads.kept_avatar(uploads.avatar()) as key, writing():
        row = profiles.set_avatar(user, key)
        db.session.commit()
    return accounts.profile(row)


@api.delete("/me/avatar")
@login_required
def delete_avatar(user: User) -> ResponseReturnValue:
    """Have no picture stand for the caller."""
    with writing():
        row = profiles.set_avatar(user, None)
        db.session.commit()
    return accounts.profile(row)


@api.get("/users/<id:user_id>")
@login_required
def profile(user: User, user_id: int) -> ResponseReturnValue:  # noqa: ARG001
    """Tell what somebody shows."""
    return accounts.profile(accounts.find(user_id))


@api.get("/users/<id:user_id>/avatar")
@login_required
def avatar(user: User, user_id: int) -> ResponseReturnValue:  # noqa: ARG001
    """Give the picture of somebody."""
    query(requests.Avatar)
    return downloads.avatar(accounts.find(user_id))


@api.get("/users/me")
@login_required
def users_me(user: User) -> ResponseReturnValue:
    """Tell callers who they are, in the words of other front ends."""
    myself: answers.Myself = {"status": "success", "data": accounts.member(user)}
    return myself


@api.get("/me/sessions", endpoint="sessions")
@login_required
def list_logins(user: User) -> ResponseReturnValue:
    """List where the caller is logged in."""
    return responses.streamed(user, logins.listed(user, auth.current_jti()))


@api.delete("/me/sessions/<id:session_id>")
@login_required
def end_login(user: User, session_id: int) -> ResponseReturnValue:
    """End one of the caller's logins."""
    with writing():
        logins.end_with_id(user, session_id)
        db.session.commit()
    return "", 204


@api.get("/push/key")
@login_required
def push_key(_user: User) -> ResponseReturnValue:
    """Give the key with which a browser subscribes to pushes."""
    key: answers.PushKey = {"key": runtime().push_services.public_key}
    return key


@api.put("/push/subscriptions")
@login_required
def subscribe(user: User) -> ResponseReturnValue:
    """Have a browser told of new messages."""
    body = parse(push_requests.PushSubscription)
    release()
    with runtime().slots.released():  # a name server may take its time
        runtime().push_services.check(body.endpoint)
    with writing():
        pushes.subscribe(user, auth.current_jti(), body)
        db.session.commit()
    return "", 204


@api.delete("/push/subscriptions")
@login_required
def unsubscribe(user: User) -> ResponseReturnValue:
    """Have a browser told of new messages no more."""
    body = parse(push_requests.PushEndpoint)
    with writing():
        pushes.unsubscribe(user, body.endpoint)
        db.session.commit()
    return "", 204


@api.post("/logout")
@login_required
def logout(user: User) -> ResponseReturnValue:
    """End the login of this token, or all of the caller's."""
    body = parse(requests.Logout, optional=True)
    with writing():
        if body.all:
            logins.end_all(user)
        else:
            logins.end(user, auth.current_jti())
        db.session.commit()
    return "", 204


@api.post("/refresh")
@login_required
def refresh(user: User) -> ResponseReturnValue:
    """Trade the token for a new one."""
    with writing():
        token = auth.renew_login(user, bodies.user_agent())
        db.session.commit()
    return auth.logged_in(user, token)


@api.put("/me/password")
@login_required
def change_password(user: User) -> ResponseReturnValue:
    """Replace the caller's password, and end all logins but a new one."""
    body = parse(requests.PasswordChange)
    if sentence := fault_of_password(body.new_password, user.username):
        raise errors.Invalid(f"new_password {sentence}.")
    confirmed = auth.confirm(user, body.current_password)
    password_hash = auth.hash_password(body.new_password)
    with writing():
        accounts.change_password(confirmed, password_hash, auth.current_jti())
        token = auth.renew_login(confirmed, bodies.user_agent())
        db.session.commit()
    return auth.logged_in(user, token)


@api.delete("/me")
@login_required
def delete_account(user: User) -> ResponseReturnValue:
    """End the caller's account, and erase the messages if that is asked for."""
    body = parse(requests.AccountDeletion)
    confirmed = auth.confirm(user, body.password)
    erasures = runtime().erasures
    with erasures.place() if body.erase else nullcontext():
        with writing():
            departure.leave(confirmed, erase=body.erase)
            db.session.commit()
        if body.erase:
            erasures.finish(confirmed, socket_id())
    return "", 204


@api.get("/me/export", endpoint="export")
@login_required
def export_account(user: User) -> ResponseReturnValue:
    """Give the caller everything that is theirs, as JSON lines."""
    return responses.streamed_lines(user, export.lines(user, request.script_root))


# Beside them ---------------------------------------------------------------------------------


@api.get("/config")
def front_end_config() -> ResponseReturnValue:
    """Tell a front end where the Pusher server is."""
    given = runtime()
    where = responses.address(), request.script_root
    return servers.front_end(given.settings, given.server.key, *where)


@root.get("/health")
def health() -> ResponseReturnValue:
    """Tell whether the database answers, and how far events are behind."""
    return monitoring.health()


@root.get("/health/live")
def live() -> ResponseReturnValue:
    """Tell that this process serves, and ask nothing."""
    alive: answers.Alive = {"status": "ok"}
    return alive


@root.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Tell Prometheus what was counted and measured."""
    monitoring.check_scraper()
    return Response(monitoring.metrics(), content_type=METRICS_TYPE)


@root.get("/app/<path:key>")
def socket(key: str) -> ResponseReturnValue:
    """Open a WebSocket of the embedded server; only the process that delivers has them."""
    gateway = runtime().embedded()
    answer = gateway.upgrade(request.environ, key, address=runtime().counted_address())
    if answer.status == 101:
        return "", 101  # the connection is in other hands by now
    closed = answer.status == 503 and not gateway.is_open
    message = runtime().why_no_sockets() if closed else (answer.body or {})["message"]
    return error_response(answer.status, code_of(answer.status), message, dict(answer.headers))


@root.route("/apps/<path:_path>", methods=["GET", "POST"])
def pusher_http_api(_path: str) -> ResponseReturnValue:
    """Answer the embedded server's HTTP API, for other programs that publish."""
    gateway = runtime().embedded()
    if not runtime().settings.embedded_http_api:
        raise errors.NotFound("No such path.")
    asked = request.query_string.decode("latin-1")
    received = bodies.receive(BODY_BYTES)
    status, answer = gateway.api(request.method, request.path, asked, received)
    if status != 200:
        headers = {"Allow": answer["allow"]} if status == 405 else {}
        return error_response(status, code_of(status), answer["error"], headers)
    return answer


# What the routes share -----------------------------------------------------------------------


def refuse_other_author(user: User, from_user: int | None) -> None:
    """Raise Forbidden if the body says that somebody else is asking."""
    if from_user not in (None, user.id):
        raise errors.Forbidden("from_user is not you.")


def channel_to_send(user: User, body: requests.NewMessage) -> Channel:
    """The channel that a new message names, locked. Raises NotFound and Invalid."""
    channel = channels.to_write(user, *body.spellings)
    if body.to_user not in (None, channel.peer_id(user.id)):
        raise errors.Invalid("to_user is not the other person of this channel.")
    return channel


# The application -----------------------------------------------------------------------------


def create_app(settings: config.Settings | None = None) -> Flask:
    """An application of its own for these settings, or for those of the environment.

    Raises config.SettingsError. Opens nothing: files, connections and threads come with the first
    request.
    """
    settings = settings or config.load()
    app = ChatAPI(__name__, instance_path=str(settings.folder))
    app.config.update(
        MAX_CONTENT_LENGTH=requests.MAX_BODY,
        MESSAGE_EXTRAS=settings.extras,
        FILES_BYTES_PER_USER=settings.files_bytes_per_user,
        SQLALCHEMY_DATABASE_URI=settings.url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings),
    )
    logs.set_up(settings.access_log)
    db.init_app(app)
    app.teardown_appcontext(end_session)  # before the one of db, which then finds nothing
    Migrate(app, db)
    with app.app_context():
        on_sqlite = prepare(db.engine).dialect.name == "sqlite"
    slots = WORK_SLOTS if on_sqlite else min(WORK_SLOTS, settings.database_pool_size)
    layers.wrap(app, settings, slots)
    register_routes(app)
    answer_errors_of(app)
    layers.add_commands(app)
    layers.exit_on_sigterm()
    return app


def register_routes(app: Flask) -> None:
    """Give the application its routes. Raises LookupError for one that nothing describes."""
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would be HTML
    app.url_map.converters["id"] = IdConverter
    for blueprint in (api, root, docs, chat_page):
        app.register_blueprint(blueprint)
    if undescribed := openapi.undescribed(app.url_map):
        raise LookupError(f"contract/endpoints.py and the routes differ: {sorted(undescribed)}")


app = create_app()
