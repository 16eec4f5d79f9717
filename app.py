"""The Flask application: every /api route, and the one shape of every error."""

import gc
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from itertools import chain
from typing import Any, cast
from urllib.parse import quote, urlencode

import click
from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    abort,
    appcontext_pushed,
    current_app,
    g,
    request,
)
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from flask_cors.core import get_cors_headers, get_cors_options
from flask_migrate import Migrate
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from werkzeug.datastructures import Headers
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    InternalServerError,
    NotFound,
    ServiceUnavailable,
)
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

import answers
import auth
import config
import openapi
import outbox
import realtime
import schemas
from auth import login_required
from config import settings
from database import DatabaseError, db, engine_options, ensure_db, prepare, session, writing
from gateway import BODY_BYTES, SUBSCRIPTION_ENDED, Gateway, Limits
from models import CHAT_CHANNEL, PRESENCE_CHANNEL, Channel, Event, Session, User, encode, inbox
from page import chat_page
from places import Places
from ratelimits import RateLimits

#: Requests that a process works on at once; on PostgreSQL not more than it has connections.
PLACES = 24
MAX_ID = schemas.MAX_ID

log = logging.getLogger(__name__)
api = Blueprint("api", __name__, url_prefix="/api")


# The seven methods ---------------------------------------------------------------------------


@api.post("/register")
def register() -> ResponseReturnValue:
    limits: RateLimits = current_app.extensions["rate_limits"]
    limits.refuse_over("register")
    body = schemas.body(schemas.Registration)
    with auth.hash_for_new_name(body.username, body.password) as password_hash, writing():
        user = User.register(body.username, password_hash)
        session.commit()
    message = "Registered. Now log in."
    answer: answers.Registered = {"status": "success", "message": message, "data": user.to_dict()}
    return answer, 201


@api.post("/login")
def login() -> ResponseReturnValue:
    body = schemas.body(schemas.Login)
    user = auth.authenticate(body.username, body.password)
    with writing():
        token, _ = auth.open_session(user)
        session.commit()
    return logged_in(user, token)


@api.get("/users")
@login_required
def users(_user: User) -> ResponseReturnValue:
    query = schemas.query(schemas.UserList)
    if not query.model_fields_set:
        return streamed(User.everyone())
    limit = query.limit or 50
    found = User.page(query.q or "", query.after or 0, limit + 1)
    more = {"after": found[limit - 1]["id"]} if len(found) > limit else None
    return json_answer(found[:limit], next=more)


@api.post("/request_chat")
@login_required
def request_chat(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.ChatRequest)
    refuse_other_author(user, body.from_user)
    if body.to_user == user.id:
        abort(400, "to_user is you; a chat has two people.")
    with writing():
        channel, new = user.chat_with(body.to_user)
        chat = channel.request(user.id, schemas.socket_id())
        session.commit()
    return chat, 201 if new else 200


@api.post("/pusher/auth")
@login_required
def pusher_auth(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.ChannelToSign, form=True)
    refuse_channel_of_others(user, body.channel_name)
    remember(user, body)
    # Again, now that whoever ends the session, or blocks the other one, finds the connection.
    session.rollback()
    auth.caller()
    refuse_channel_of_others(user, body.channel_name)
    member = None
    if body.channel_name == PRESENCE_CHANNEL:
        member = {"user_id": str(user.id), "user_info": {"username": user.username}}
    signer = current_app.extensions["pusher_client"]
    signature: answers.Signature = signer.authenticate(body.channel_name, body.socket_id, member)
    return signature


@api.post("/send_message")
@login_required
def send_message(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.NewMessage)
    refuse_other_author(user, body.from_user)
    with writing():
        channel = channel_to_write(user, body.spellings)
        if body.to_user not in (None, channel.peer_id(user.id)):
            abort(400, "to_user is not the other person of this channel.")
        message, new = channel.post(
            user.id, body.message, body.client_message_id, schemas.socket_id()
        )
        session.commit()
    return message, 201 if new else 200


@api.get("/get_message/<channel>")
@login_required
def get_message(user: User, channel: str) -> ResponseReturnValue:
    found = user.channel(schemas.name_or_id(channel))
    query = schemas.query(schemas.History)
    if not query.model_fields_set:
        return streamed(found.history())
    messages, older, newer = found.messages(
        query.limit or 50, query.before, query.after, query.around
    )
    return json_answer(
        messages,
        prev=None if older is None else {"before": older},
        next=None if newer is None else {"after": newer},
    )


# Conversations -------------------------------------------------------------------------------


@api.get("/chats")
@login_required
def chats(user: User) -> ResponseReturnValue:
    query = schemas.query(schemas.Page)
    found, cursor = inbox.chats(user.id, query.limit or 50, query.cursor)
    return json_answer(found, next={"cursor": cursor} if cursor else None)


@api.put("/chats/<channel>/read")
@login_required
def mark_read(user: User, channel: str) -> ResponseReturnValue:
    body = schemas.body(schemas.ReadMark, optional=True)
    with writing():
        found = user.channel_to_write(schemas.name_or_id(channel))
        mark = found.mark_read(user.id, body.message_id, schemas.socket_id())
        session.commit()
    return mark


@api.patch("/messages/<id:message_id>")
@login_required
def edit_message(user: User, message_id: int) -> ResponseReturnValue:
    body = schemas.body(schemas.Edit)
    with writing():
        channel, row = user.own_message(message_id)
        message = channel.edit(row, body.message, schemas.socket_id())
        session.commit()
    return message


@api.delete("/messages/<id:message_id>")
@login_required
def delete_message(user: User, message_id: int) -> ResponseReturnValue:
    with writing():
        channel, row = user.own_message(message_id)
        message = channel.erase(row, schemas.socket_id())
        session.commit()
    return message


@api.get("/sync")
@login_required
def sync(user: User) -> ResponseReturnValue:
    query = schemas.query(schemas.Sync)
    return inbox.changes(user.id, query.since, query.limit or 50)


@api.get("/search")
@login_required
def search(user: User) -> ResponseReturnValue:
    query = schemas.query(schemas.Search)
    channel = None if query.channel is None else user.channel(query.channel)
    return json_answer(inbox.search(user.id, query.q, channel, query.before, query.limit or 50))


@api.get("/blocks")
@login_required
def blocks(user: User) -> ResponseReturnValue:
    return streamed(user.blocked())


@api.put("/blocks/<id:user_id>")
@login_required
def block(user: User, user_id: int) -> ResponseReturnValue:
    if user_id == user.id:
        abort(400, "You cannot block yourself.")
    with writing():
        channel = user.block(user_id)
        session.commit()
    gateway: Gateway | None = current_app.extensions["gateway"]
    if gateway:
        lost = [right_to_hear(channel, each) for each in (user.id, user_id)]
        signed = current_app.extensions["signed_sockets"].pop(lost)
        gateway.close_connections(signed, 4200, SUBSCRIPTION_ENDED)
        gateway.close_subscribers(channel)
    return "", 204


@api.delete("/blocks/<id:user_id>")
@login_required
def unblock(user: User, user_id: int) -> ResponseReturnValue:
    with writing():
        user.unblock(user_id)
        session.commit()
    return "", 204


# Account -------------------------------------------------------------------------------------


@api.get("/me")
@login_required
def me(user: User) -> ResponseReturnValue:
    return user.to_dict()


@api.post("/logout")
@login_required
def logout(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.Logout, optional=True)
    with writing():
        ended = Session.end_all(user.id) if body.all else Session.end(user.jti)
        session.commit()
    disconnect(ended)
    return "", 204


@api.post("/refresh")
@login_required
def refresh(user: User) -> ResponseReturnValue:
    with writing():
        token, jti = auth.open_session(user)
        Session.end(user.jti)
        session.commit()
    current_app.extensions["signed_sockets"].move(user.jti, jti)
    return logged_in(user, token)


@api.put("/me/password")
@login_required
def change_password(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.PasswordChange)
    confirmed = auth.confirm(user, body.current_password)
    password_hash = auth.hash_password(body.new_password)
    with writing():
        ended = confirmed.change_password(password_hash)
        token, jti = auth.open_session(User.with_id(user.id))
        session.commit()
    current_app.extensions["signed_sockets"].move(user.jti, jti)
    disconnect(ended)
    return logged_in(user, token)


@api.delete("/me")
@login_required
def delete_account(user: User) -> ResponseReturnValue:
    body = schemas.body(schemas.AccountDeletion)
    confirmed = auth.confirm(user, body.password)
    ended = None
    while ended is None:
        with writing():
            ended = confirmed.delete(erase=body.erase, socket_id=schemas.socket_id())
            session.commit()
    disconnect(ended)
    return "", 204


@api.get("/me/export")
@login_required
def export(user: User) -> ResponseReturnValue:
    lines = ("".join(map(json_line, page)) for page in inbox.export(user))
    return Response(lines, mimetype="application/x-ndjson")


# Beside them ---------------------------------------------------------------------------------


@api.get("/config")
def front_end_config() -> ResponseReturnValue:
    key = current_app.extensions["pusher_server"].key
    return realtime.front_end(settings(), key, schemas.address())


root = Blueprint("root", __name__)


@root.get("/health")
def health() -> ResponseReturnValue:
    answer: dict[str, Any] = {"status": "ok", "events": Event.lag()}
    gateway: Gateway | None = current_app.extensions["gateway"]
    if gateway:
        answer["sockets"] = {"owner": gateway.is_open, **gateway.stats()}
        if not gateway.is_open:
            answer["sockets"]["message"] = why_no_sockets()
    return answer


@root.get("/app/<path:key>")
def socket(key: str) -> ResponseReturnValue:
    """The embedded server's WebSocket; only the process that delivers events has sockets."""
    gateway = embedded()
    answer = gateway.upgrade(request.environ, key)
    if answer.status == 101:
        return "", 101  # the connection is in other hands by now
    closed = answer.status == 503 and not gateway.is_open
    message = why_no_sockets() if closed else (answer.body or {})["message"]
    return refusal(code_of(answer.status), message), answer.status, answer.headers


@root.route("/apps/<path:_path>", methods=["GET", "POST"])
def pusher_http_api(_path: str) -> ResponseReturnValue:
    """The embedded server's HTTP API, for other programs that publish."""
    gateway = embedded()
    if not settings().embedded_http_api:
        abort(404)
    query = request.query_string.decode("latin-1")
    body = schemas.received_body(BODY_BYTES)
    status, answer = gateway.api(request.method, request.path, query, body)
    return answer, status


def embedded() -> Gateway:
    gateway: Gateway | None = current_app.extensions["gateway"]
    return gateway or abort(404)


class IdConverter(BaseConverter):
    """An id in a path: ASCII digits, where `int` would take those of every script."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        if int(value) > MAX_ID:
            raise NotFound  # ValidationError would make it a 405 where there are two methods
        return int(value)


# What the routes share -----------------------------------------------------------------------


def refuse_channel_of_others(user: User, name: str) -> None:
    if not user.may_subscribe(name):
        raise Forbidden("This channel is not yours to subscribe to.")


def remember(user: User, signing: schemas.ChannelToSign) -> None:
    """Remember which connection gets this signature, so that it can be closed when the right to
    it ends. Of too many, the oldest is closed (4200) and comes back to be remembered anew."""
    rights = [user.jti]
    if CHAT_CHANNEL.fullmatch(signing.channel_name):
        rights.append(right_to_hear(signing.channel_name, user.id))
    for right in rights:
        oldest = current_app.extensions["signed_sockets"].add(right, signing.socket_id)
        gateway: Gateway | None = current_app.extensions["gateway"]
        if gateway and oldest:
            gateway.close_connections([oldest], 4200, "Too many connections of one session or chat")


def right_to_hear(channel: str, user_id: int) -> str:
    """Names what a block ends, among the rights that connections have signatures by."""
    return f"{channel} {user_id}"


def refuse_other_author(user: User, from_user: int | None) -> None:
    if from_user not in (None, user.id):
        raise Forbidden("from_user is not you.")


DIFFERENT_CHANNELS = "channel, channel_name and channel_id name different channels."


def channel_to_write(user: User, spellings: list[str | int]) -> Channel:
    """The channel that all of these name, for writing: the first that is one of the user's, and
    the others must mean it too. Two ids or two names that differ cannot, whosever they are."""
    if len({type(each) for each in spellings}) < len(set(spellings)):
        abort(400, DIFFERENT_CHANNELS)
    for spelling in spellings:
        with suppress(NotFound):
            channel = user.channel_to_write(spelling)
            if set(spellings) <= {channel.id, channel.name}:
                return channel
            abort(400, DIFFERENT_CHANNELS)
    raise NotFound("No such channel.")


def logged_in(user: User, token: str) -> answers.LoggedIn:
    life = settings().jwt_expires_seconds
    data: answers.Token = {**user.to_dict(), "token": token, "expires_in": life}
    return {"status": "success", "message": "Logged in.", "data": data}


def disconnect(ended: list[str]) -> None:
    """Close the connections of sessions that have ended, as far as this process knows them; the
    client stays away (4009) until it is told of a new token."""
    gateway: Gateway | None = current_app.extensions["gateway"]
    if gateway:
        gateway.close_connections(current_app.extensions["signed_sockets"].pop(ended))


def json_answer(items: list[Any], **links: dict[str, Any] | None) -> Response:
    """A list with a Link header (RFC 8288): each relation by the parameters that differ."""
    response = current_app.make_response(items)
    if any(links.values()):
        asked = request.args
        kept = {name: asked[name] for name in ("q", "limit") if name in asked}
        here = schemas.address() + quote(request.root_path + request.path)
        response.headers["Link"] = ", ".join(
            f'<{here}?{urlencode({**kept, **parameters})}>; rel="{relation}"'
            for relation, parameters in links.items()
            if parameters
        )
    return response


def json_line(item: Mapping[str, Any]) -> str:
    """On one line also for readers who know more ends of lines than JSON has to escape."""
    line = encode(item)
    for end in "\x85\u2028\u2029":
        line = line.replace(end, f"\\u{ord(end):04x}")
    return f"{line}\n"


def streamed(pages: Iterator[Sequence[Mapping[str, Any]]]) -> Response:
    """A JSON array sent page by page. The first is read here, while an error is still a status."""
    session.close()  # each page has a connection of its own, and a thread is to need one
    first = next(pages, [])

    def parts() -> Iterator[str]:
        start = "["
        for page in chain([first], pages):
            if page:
                yield start + ",".join(map(encode, page))
                start = ","
        yield "[]" if start == "[" else "]"

    return Response(parts(), mimetype="application/json")


# Errors --------------------------------------------------------------------------------------

CODES = {
    400: "invalid",
    413: "too_large",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}
SENTENCES = {
    404: "No such path.",
    405: "This path does not accept this method; the Allow header names those it does.",
}


OTHER_PROCESS = (
    "Another process of this server has the WebSocket connections. Run one worker process, or "
    "set PUSHER_* to a Pusher server that all can reach."
)
NO_DATABASE = "The WebSocket server waits until the database takes what it writes."


def why_no_sockets() -> str:
    return OTHER_PROCESS if current_app.extensions["outbox"].elsewhere else NO_DATABASE


def code_of(status: int) -> str:
    phrase = HTTPStatus(status).phrase
    return CODES.get(status) or phrase.lower().replace(" ", "_").replace("-", "_")


def refusal(code: str, message: str) -> dict[str, str]:
    return {"status": "error", "code": code, "message": message}


def request_id() -> str:
    """By which an answer is found in the log."""
    named: str = g.headers["X-Request-ID"]
    return named


def answer_error(error: HTTPException) -> Response:
    """The one error shape; the exception's own headers (Allow, Retry-After) stay."""
    response = current_app.make_response(cast(Response, error.get_response()))
    status = response.status_code
    code = getattr(error, "word", None) or code_of(status)
    message = error.description or HTTPStatus(status).phrase
    if message == type(error).description:
        message = SENTENCES.get(status, message)
    if status >= 500:
        message = f"{message} (Request {request_id()})"
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    response.data = current_app.json.dumps(refusal(code, message))
    response.content_type = "application/json"
    return response


def answer_database_trouble(error: Exception) -> Response:
    unforeseen = error if isinstance(error, InternalError) else None
    log.error("Request %s: the database failed: %s", request_id(), error, exc_info=unforeseen)
    return answer_error(ServiceUnavailable("The database does not answer. Try again later."))


def answer_wrong_database(error: DatabaseError) -> Response:
    log.error("Request %s: %s", request_id(), error.message)
    return answer_error(ServiceUnavailable(error.message))


def answer_our_fault(error: Exception) -> Response:
    log.error("Request %s failed.", request_id(), exc_info=error)
    return answer_error(InternalServerError("Something failed on our side."))


# The application -----------------------------------------------------------------------------


class CompactJSON(DefaultJSONProvider):
    """Answers are encoded as events are, in a third of the time that Flask's encoder takes."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return encode(obj)


class Answer(Response):
    def get_wsgi_response(self, environ: Any) -> Any:
        """With the headers of every answer, which need no checking."""
        body, status, headers = super().get_wsgi_response(environ)
        return body, status, [*headers, *g.headers.items()]


class ChatAPI(Flask):
    json_provider_class = CompactJSON
    response_class = Answer

    def create_url_adapter(self, request: Any) -> Any:
        """A client that offers to speak WebSocket where there is none is answered all the same
        (RFC 9110, 7.8); Werkzeug would find no route for it."""
        adapter = super().create_url_adapter(request)
        if adapter:
            adapter.websocket = False
        return adapter

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Ours are all plain functions. Flask would look whether one is `async def` anew for each
        that a request passes through, which takes a fiftieth of its time."""
        return func


def create_app(given: config.Settings | None = None) -> Flask:
    """An application of its own for these settings, or for those of the environment.

    Raises config.SettingsError. Opens nothing: files, connections and threads come with the
    first request.
    """
    given = given or config.load()
    app = ChatAPI(__name__, instance_path=str(given.folder))
    app.extensions["settings"] = given
    app.extensions["rate_limits"] = RateLimits(given)
    app.extensions["signed_sockets"] = realtime.SignedSockets()
    app.config.update(
        MAX_CONTENT_LENGTH=schemas.MAX_BODY,
        SQLALCHEMY_DATABASE_URI=given.url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(given),
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would be HTML
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _ = app.logger  # its handler serves our other loggers, "app.<module>", too

    db.init_app(app)
    Migrate(app, db)
    with app.app_context():
        on_sqlite = prepare(db.engine).dialect.name == "sqlite"
    other_sites = {
        # Never a text, which might look like a regular expression: http://[::1]:3000.
        "origins": "*" if given.cors_origins == "*" else config.exactly(given.cors_origins),
        "send_wildcard": given.cors_origins == "*",
        "allow_headers": ["Authorization", "Content-Type", "X-Socket-ID"],
        "expose_headers": ["Link", "Retry-After", "X-Request-ID"],
        "max_age": "86400",  # a text, as WSGI has it: Flask-CORS hands it on as it is
        "vary_header": False,
    }
    cors = app.extensions["cors"] = get_cors_options(app, other_sites)
    app.extensions["cors_unasked"] = get_cors_headers(cors, Headers(), "GET")
    app.url_map.converters["id"] = IdConverter
    app.register_blueprint(api)
    app.register_blueprint(root)
    app.register_blueprint(openapi.docs)
    app.register_blueprint(chat_page)
    app.cli.add_command(outbox.cli)

    app.register_error_handler(HTTPException, answer_error)
    app.register_error_handler(DatabaseError, answer_wrong_database)
    for kind in (OperationalError, InterfaceError, InternalError, WaitedTooLong):
        app.register_error_handler(kind, answer_database_trouble)
    app.register_error_handler(Exception, answer_our_fault)
    app.before_request(begin_request)
    app.after_request(complete)
    count = PLACES if on_sqlite else min(PLACES, given.database_pool_size)
    places = Places(app.wsgi_app, count)
    app.extensions["places"] = app.wsgi_app = places  # type: ignore[method-assign]
    appcontext_pushed.connect(session.enter, app)
    app.teardown_appcontext(session.leave)
    if given.trusted_proxies:
        count = given.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_port=count
        )
    return app


_starting = threading.Lock()


def start(app: Flask) -> None:
    """What this process needs before its first request: the database, and the delivery of
    events. Raises DatabaseError, and OperationalError or TimeoutError of SQLAlchemy's."""
    if app.extensions.get("started_in") == os.getpid():
        return
    given: config.Settings = app.extensions["settings"]
    came = time.monotonic()
    with _starting, app.app_context():
        if "outbox" not in app.extensions:
            if app.extensions.get("start_failed_at", 0) > came:
                # Or those who queue here would wait for the same, one after the other.
                raise WaitedTooLong("It did not answer the request before this one either.")
            try:
                ensure_db(given)
            except OperationalError:
                app.extensions["start_failed_at"] = time.monotonic()
                raise
            server = realtime.server(given)
            gateway = make_gateway(given, server) if given.embedded else None
            app.extensions["pusher_server"] = server
            app.extensions["pusher_client"] = server.client()  # it signs, for all threads
            app.extensions["gateway"] = gateway
            app.extensions["outbox"] = (
                outbox.Dispatcher(
                    db.engine,
                    lambda: server.client(realtime.InProcess, handle=gateway.api),
                    on_lease=gateway.open,
                    on_loss=gateway.stop,
                    threads=0,
                )
                if gateway
                else outbox.Dispatcher(db.engine, server.client)
            )
        app.extensions["outbox"].start()
        app.extensions["outbox"].asked.wait(2)  # whether the sockets are ours: /health says it
        app.extensions["started_in"] = os.getpid()


def make_gateway(given: config.Settings, server: realtime.Server) -> Gateway:
    limits = Limits(
        connections=given.embedded_connections,
        connections_per_address=given.embedded_connections_per_address,
        subscriptions=given.embedded_subscriptions,
        presence_members=given.embedded_presence_members,
        frame_bytes=given.embedded_frame_bytes,
        send_buffer_bytes=given.embedded_send_buffer_bytes,
    )
    origins = config.listed(given.embedded_origins)
    return Gateway(server.app_id, server.key, server.secret, limits=limits, allowed_origins=origins)


#: Of every answer; a view may change its own in g.headers.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # mere data, no page
    # No answer is taken for another type than it says: a message is not a script.
    "X-Content-Type-Options": "nosniff",
    "Vary": "Origin",
}


def begin_request() -> None:
    # Not through the proxies, each look at which would raise and forget an error.
    app: Flask = cast(Any, current_app)._get_current_object()
    sent: Request = cast(Any, request)._get_current_object()
    cors: Mapping[str, Any] = app.extensions["cors_unasked"]
    if "HTTP_ORIGIN" in sent.environ:
        cors = get_cors_headers(app.extensions["cors"], sent.headers, sent.method)
    g.headers = {**HEADERS, **cors, "X-Request-ID": secrets.token_hex(16)}
    start(app)
    app.extensions["rate_limits"].spend("default")


def complete(response: Response) -> Response:
    if response.is_sequence and not any(response.response):
        response.headers.pop("Content-Type", None)  # Flask labels even an empty body as HTML
    return response


def exit_on_sigterm() -> None:
    """Let `flask run` end by SIGTERM as by Ctrl-C: running its exit handlers, which finish the
    deliveries under way. Other servers see to their signals themselves."""
    command = click.get_current_context(silent=True)
    if (
        command
        and command.info_name == "run"
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


exit_on_sigterm()
app = create_app()
# All that was imported stays as long as the process: the garbage collector need not go through it
# again and again, and once more at the end (a fifth of what it costs to start and stop).
gc.freeze()
