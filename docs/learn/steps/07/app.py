"""Step 7: a long history comes in pages."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import wraps
from uuid import uuid4

import jwt
from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint, event, or_, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import Conflict, HTTPException, Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

# The application -----------------------------------------------------------------------------


class Base(DeclarativeBase):
    """What every table is made from."""


app = Flask(__name__)
app.json.sort_keys = False  # answers keep the order in which they are written here
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///chat.db"  # instance/chat.db
app.config["SECRET_KEY"] = "for lessons only: set FLASK_SECRET_KEY to a long random text"
app.config["PASSWORD_HASH"] = "scrypt"
app.config["TOKEN_SECONDS"] = 86_400
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
app.config.from_prefixed_env()  # FLASK_SECRET_KEY sets SECRET_KEY, and so on
db = SQLAlchemy(app, model_class=Base)


@event.listens_for(Engine, "connect")
def enforce_foreign_keys(connection, _record):
    """SQLite checks that a foreign key leads somewhere only if it is told to."""
    connection.execute("PRAGMA foreign_keys = ON")


# Tables --------------------------------------------------------------------------------------


def utcnow():
    """Now in UTC, without the zone, which SQLite does not store."""
    return datetime.now(UTC).replace(tzinfo=None)


class User(Base):
    """Somebody who has registered."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    username_key: Mapped[str] = mapped_column(unique=True)  # the same for "Ada" and "ada"
    password_hash: Mapped[str]


class Channel(Base):
    """The chat of two people. The one who registered first comes first, so a pair has one row."""

    __tablename__ = "channels"
    __table_args__ = (
        UniqueConstraint("low_id", "high_id"),
        CheckConstraint("low_id < high_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    low_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    high_id: Mapped[int] = mapped_column(ForeignKey("users.id"))

    @property
    def name(self):
        return f"private-chat_{self.low_id}_{self.high_id}"

    def peer_id(self, user_id):
        """The other one of the two."""
        return self.high_id if user_id == self.low_id else self.low_id


class Message(Base):
    """What somebody has said in a channel."""

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("sender_id", "client_message_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id"), index=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    client_message_id: Mapped[str | None]


# Refusals ------------------------------------------------------------------------------------

#: The words for programs that differ from the names that HTTP has for these.
CODES = {400: "invalid", 413: "too_large", 500: "internal"}


class Taken(Conflict):
    """A name belongs to somebody else."""

    code_word = "taken"


class TokenExpired(Unauthorized):
    """A token was valid once."""

    code_word = "token_expired"


@app.errorhandler(HTTPException)
def refuse(error):
    """Answer every error in one shape."""
    word = CODES.get(error.code, error.name.lower().replace(" ", "_"))
    word = getattr(error, "code_word", word)
    response = error.get_response()  # with its headers, such as Allow
    response.data = jsonify(status="error", code=word, message=error.description).data
    response.content_type = "application/json"
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@app.after_request
def name_request(response):
    """Give each answer an id, so that a report of a failure can say which one it was."""
    response.headers["X-Request-ID"] = uuid4().hex
    if response.status_code >= 500:
        app.logger.error("The answer above is %s.", response.headers["X-Request-ID"])
    return response


# What clients send -----------------------------------------------------------------------------


MOST = 2**63 - 1  # the greatest number that the database stores


def body():
    """The members of the JSON object that was sent."""
    members = request.get_json()
    if not isinstance(members, dict):
        abort(400, "Send a JSON object.")
    return members


def text(members, name, least=0, most=100_000):
    """A member that has to be a text of so many characters."""
    value = members.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        abort(400, f"{name} must be a text of {least} to {most} characters.")
    if any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value):
        abort(400, f"{name} has a character that cannot be stored.")
    return value


def number(members, name, default=None, least=0, most=MOST):
    """A member, or a part of the query, that has to be such a number, or the digits of one."""
    value = members.get(name)
    value = default if value is None else value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        abort(400, f"{name} must be a number from {least} to {most}.")
    return value


# Who is asking ---------------------------------------------------------------------------------


def name_key(username):
    """What all spellings of a name have in common."""
    return unicodedata.normalize("NFKC", username).casefold()


def login_required(view):
    """Pass the caller to the view, or answer 401."""

    @wraps(view)
    def with_caller(**arguments):
        return view(caller(), **arguments)

    return with_caller


def caller():
    """The user whose token came with the request."""
    key = app.config["SECRET_KEY"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = jwt.decode(token.strip(), key, ["HS256"], options={"require": ["exp", "sub"]})
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The token has expired. Log in again.") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not valid. Log in again.") from None
    user = db.session.get(User, int(claims["sub"]))
    if user is None:
        raise Unauthorized("This account does not exist any more.")
    return user


@app.post("/api/register")
def register():
    """Store a new user."""
    members = body()
    username = text(members, "username", 1, 50)
    if username != username.strip():
        abort(400, "username must not begin or end with white space.")
    hashed = generate_password_hash(text(members, "password", 8, 128), app.config["PASSWORD_HASH"])
    user = User(username=username, username_key=name_key(username), password_hash=hashed)
    db.session.add(user)
    try:
        db.session.commit()
    except IntegrityError:
        raise Taken("This username is in use. Choose another one.") from None
    data = {"id": user.id, "username": user.username}
    return {"status": "success", "message": "Registered. Now log in.", "data": data}, 201


@app.post("/api/login")
def login():
    """Give a token to somebody who knows the password."""
    members = body()
    key, password = name_key(text(members, "username").strip()), text(members, "password")
    user = db.session.scalar(select(User).where(User.username_key == key))
    # If nobody has the name, compare all the same: the time must not tell who is registered.
    hashed = user.password_hash if user else HASH_OF_NOBODY
    if not check_password_hash(hashed, password) or user is None:
        raise Unauthorized("Wrong username or password.")
    now, seconds = datetime.now(UTC), app.config["TOKEN_SECONDS"]
    expires_at = now + timedelta(seconds=seconds)
    claims = {"sub": str(user.id), "iat": now, "exp": expires_at, "jti": uuid4().hex}
    token = jwt.encode(claims, app.config["SECRET_KEY"], "HS256")
    data = {"id": user.id, "username": user.username, "token": token, "expires_in": seconds}
    return {"status": "success", "message": "Logged in.", "data": data}


HASH_OF_NOBODY = generate_password_hash(uuid4().hex, app.config["PASSWORD_HASH"])


@app.get("/api/users")
@login_required
def users(_user):
    """List everybody by id."""
    found = db.session.scalars(select(User).order_by(User.id))
    return [{"id": each.id, "username": each.username, "userName": each.username} for each in found]


# Chats -----------------------------------------------------------------------------------------

NAME = re.compile(r"private-chat_([1-9][0-9]{0,17})_([1-9][0-9]{0,17})")


def find_channel(user, name_or_id):
    """The channel of that name or id among those that the user takes part in, or None."""
    found = select(Channel).where(or_(Channel.low_id == user.id, Channel.high_id == user.id))
    if pair := NAME.fullmatch(name_or_id):
        found = found.where(Channel.low_id == int(pair[1]), Channel.high_id == int(pair[2]))
    elif re.fullmatch(r"[0-9]{1,18}", name_or_id):
        found = found.where(Channel.id == int(name_or_id))
    else:
        return None
    return db.session.scalar(found)


def channel_of(user, name_or_id):
    """The same, or a 404: for a stranger's channel as for one that does not exist."""
    channel = find_channel(user, name_or_id)
    if channel is None:
        abort(404, "No such channel.")
    return channel


def chat(channel, user):
    """A channel as clients see it, when the user asks for it."""
    return {
        "from_user": user.id,
        "to_user": channel.peer_id(user.id),
        "channel_id": channel.id,
        "channel_name": channel.name,
        "from_user_notification_channel": notices_of(user.id),
        "to_user_notification_channel": notices_of(channel.peer_id(user.id)),
    }


def notices_of(user_id):
    """The channel on which one person is told of things."""
    return f"private-notification_user_{user_id}"


def refuse_others(user, members):
    """Refuse a request that is sent in the name of somebody else."""
    if number(members, "from_user", user.id) != user.id:
        abort(403, "from_user is not you.")


@app.post("/api/request_chat")
@login_required
def request_chat(user):
    """Open the one chat of a pair. It does not matter who asks first."""
    members = body()
    refuse_others(user, members)
    peer = db.session.get(User, number(members, "to_user"))
    if peer is None:
        abort(404, "No such user.")
    if peer is user:
        abort(400, "to_user must be somebody else.")
    low_id, high_id = sorted((user.id, peer.id))
    channel, new = Channel(low_id=low_id, high_id=high_id), True
    db.session.add(channel)
    try:
        db.session.commit()
    except IntegrityError:  # they have one
        db.session.rollback()
        channel, new = find_channel(user, f"private-chat_{low_id}_{high_id}"), False
    return chat(channel, user), 201 if new else 200


def shown(message, channel):
    """A message as clients see it."""
    return {
        "id": message.id,
        "channel_id": channel.id,
        "channel": channel.name,
        "from_user": message.sender_id,
        "to_user": channel.peer_id(message.sender_id),
        "type": "Text",
        "message": message.text,
        "created_at": message.created_at.isoformat(timespec="microseconds") + "Z",
        "client_message_id": message.client_message_id,
    }


@app.post("/api/send_message")
@login_required
def send_message(user):
    """Store a message once, and have both sides told."""
    members = body()
    refuse_others(user, members)
    named = members.get("channel")
    channel = channel_of(user, str(named) if type(named) is int else text(members, "channel"))
    if number(members, "to_user", channel.peer_id(user.id)) != channel.peer_id(user.id):
        abort(400, "to_user is not the other person of this channel.")
    said = text(members, "message", 1, 5_000)
    if said.isspace():
        abort(400, "message must be more than white space.")
    key = members.get("client_message_id")
    key = key if key is None else text(members, "client_message_id", 1, 64)
    message = Message(channel_id=channel.id, sender_id=user.id, text=said, client_message_id=key)
    db.session.add(message)
    try:
        db.session.commit()
    except IntegrityError:  # it was sent before
        db.session.rollback()
        return sent_before(user, channel, key, said)
    return shown(message, channel), 201


def sent_before(user, channel, key, said):
    """The answer to a message that was sent again."""
    same = select(Message).where(Message.sender_id == user.id, Message.client_message_id == key)
    first = db.session.scalars(same).one()
    if (first.channel_id, first.text) != (channel.id, said):
        raise Conflict("This client_message_id belongs to another message.")
    return shown(first, channel), 200


@app.get("/api/get_message/<channel>")
@login_required
def get_message(user, channel):
    """Show a chat's messages, oldest first: all of them, or a page."""
    channel = channel_of(user, channel)
    found = select(Message).where(Message.channel_id == channel.id)
    asked = request.args
    paged = asked.keys() & {"limit", "before", "after"}
    limit = number(asked, "limit", 50, 1, 200) if paged else None
    if "after" in asked:
        onward = found.where(Message.id > number(asked, "after")).order_by(Message.id)
        messages = db.session.scalars(onward.limit(limit)).all()
    else:
        back = found.where(Message.id < number(asked, "before", MOST)).order_by(Message.id.desc())
        messages = db.session.scalars(back.limit(limit)).all()[::-1]
    links = []
    if messages and db.session.scalar(found.where(Message.id < messages[0].id).limit(1)):
        links.append(link("prev", limit=limit, before=messages[0].id))
    if messages and db.session.scalar(found.where(Message.id > messages[-1].id).limit(1)):
        links.append(link("next", limit=limit, after=messages[-1].id))
    headers = {"Link": ", ".join(links)} if links else {}
    return [shown(each, channel) for each in messages], 200, headers


def link(relation, **query):
    """A part of the Link header: where the list goes on."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return f'<{request.base_url}?{asked}>; rel="{relation}"'


with app.app_context():
    db.create_all()  # the tables that are missing
