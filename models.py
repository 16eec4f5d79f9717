"""Users, channels, messages and the events that tell of them, with their verbs. All SQL is here.

Each verb flushes what it does and leaves the commit to its caller. Statements ask for columns
rather than entities, and stand ready-made in their class: building them, and the unit of work,
would cost more than the database does. A `User` or `Channel` made from such a row carries values
only; nothing is written by changing it.
"""

import json
import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import Conflict, NotFound, Unauthorized

from database import AnyRow, AnySelect, Base, db, insert_once, pages, utcnow

MAX_ID = 2**63 - 1
PRESENCE_CHANNEL = "presence-chitchat"
CHAT_CHANNEL = re.compile(r"private-chat_([1-9][0-9]{0,18})_([1-9][0-9]{0,18})")
EVENT_BYTES = 10_240

BigId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
Key = String().with_variant(
    String(collation="C"), "postgresql"
)  # compared code point by code point


class Taken(Conflict):
    word = "taken"


class current_transaction(ColumnElement[int]):
    """This transaction's number on PostgreSQL; 0 on SQLite, whose writers come one by one."""

    inherit_cache = True
    type = BigInteger()


@compiles(current_transaction)
def _no_number(_element: object, _compiler: object, **_: Any) -> str:
    return "0"


@compiles(current_transaction, "postgresql")
def _number(_element: object, _compiler: object, **_: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


class horizon(ColumnElement[int]):
    """The oldest transaction that still runs: those before it are all seen, or never will be."""

    inherit_cache = True
    type = BigInteger()


@compiles(horizon)
def _any_number(_element: object, _compiler: object, **_: Any) -> str:
    return "1"


@compiles(horizon, "postgresql")
def _oldest(_element: object, _compiler: object, **_: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 with microseconds and Z, as every time in an answer."""
    return f"{moment.isoformat(timespec='microseconds')}Z" if moment else None


def execute(statement: Any, values: Any = None) -> Any:
    """Run a statement on columns in this request's transaction."""
    return db.session.connection().execute(statement, values)


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    username_key: Mapped[str] = mapped_column(Key, unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime]

    @staticmethod
    def key(username: str) -> str:
        """What two spellings of one name have in common: width, composition and case."""
        normal = unicodedata.normalize("NFKC", username)
        return unicodedata.normalize("NFKC", normal.casefold())

    @classmethod
    def register(cls, username: str, password_hash: str) -> Self:
        row, new = insert_once(
            cls,
            ("username_key",),
            username=username,
            username_key=cls.key(username),
            password_hash=password_hash,
            created_at=utcnow(),
        )
        if not new:
            raise Taken("This username is in use. Choose another one.")
        return cls(id=row.id, username=row.username)

    @classmethod
    def named(cls, username: str) -> Self | None:
        """The user of that name in any spelling, with the password hash."""
        row = execute(_USER_NAMED, {"key": cls.key(username)}).one_or_none()
        return row and cls(id=row.id, username=row.username, password_hash=row.password_hash)

    @classmethod
    def with_id(cls, user_id: int) -> Self:
        """Raises NotFound."""
        row = execute(_USER_WITH_ID, {"id": user_id}).one_or_none()
        if row is None:
            raise NotFound("No such user.")
        return cls(id=row.id, username=row.username)

    @classmethod
    def everyone(cls) -> Iterator[list[dict[str, Any]]]:
        """All users in pages, which hold no connection between them."""
        last = execute(select(func.max(cls.id))).scalar() or 0
        return pages(_EVERYONE, {"last": last}, cls.public)

    @classmethod
    def page(cls, prefix: str, after: int, limit: int) -> list[dict[str, Any]]:
        statement = select(cls.id, cls.username).where(cls.id > after).order_by(cls.id).limit(limit)
        if prefix:
            statement = statement.where(_starts_with(cls.username_key, cls.key(prefix)))
        return [cls.public(row) for row in execute(statement)]

    @staticmethod
    def public(row: Any) -> dict[str, Any]:
        return {"id": row.id, "username": row.username, "userName": row.username}

    @property
    def notification_channel(self) -> str:
        return notification_channel(self.id)

    def channel(self, name_or_id: str | int) -> "Channel":
        """The channel of that name or id among those this user takes part in.

        Raises NotFound: for other people's channels as for those that do not exist.
        """
        return Channel.found(execute(*Channel.lookup(name_or_id, self.id)).one_or_none())

    def channel_to_post_in(self, name_or_id: str | int) -> "Channel":
        """The same, its writers in a queue until the commit: so the order of message ids is the
        order in which they become visible. (SQLite has one writer anyway.)"""
        statement, values = Channel.lookup(name_or_id, self.id)
        return Channel.found(execute(statement.with_for_update(), values).one_or_none())

    def chat_with(self, peer: "User") -> tuple["Channel", bool]:
        """The one channel of this pair, and whether it is new."""
        low, high = sorted((self.id, peer.id))
        row, new = insert_once(
            Channel, ("low_id", "high_id"), low_id=low, high_id=high, created_at=utcnow()
        )
        return Channel.found(row), new

    def may_subscribe(self, channel_name: str) -> bool:
        if channel_name in (self.notification_channel, PRESENCE_CHANNEL):
            return True
        try:
            # Compared as a whole: only the canonical spelling is ever signed.
            return self.channel(channel_name).name == channel_name
        except NotFound:
            return False


def notification_channel(user_id: int) -> str:
    return f"private-notification_user_{user_id}"


def _starts_with(column: Any, prefix: str) -> ColumnElement[bool]:
    """A range rather than LIKE: it uses the index on both databases."""
    last = ord(prefix[-1])
    after = prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1) if last < 0x10FFFF else None
    return column >= prefix if after is None else and_(column >= prefix, column < after)


class Session(Base):
    """A login. Its row is the right to use the token: to end the one is to end the other."""

    __tablename__ = "sessions"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), index=True)
    expires_at: Mapped[datetime]

    @classmethod
    def open(cls, user: User, jti: str, life: timedelta) -> None:
        """Raises Unauthorized if the password that was checked is not the password any more."""
        now = utcnow()
        execute(delete(cls).where(cls.user_id == user.id, cls.expires_at <= now))
        same_password = and_(User.id == user.id, User.password_hash == user.password_hash)
        row = select(literal(jti), User.id, literal(now + life)).where(same_password)
        opened = insert(cls).from_select(["jti", "user_id", "expires_at"], row).returning(cls.jti)
        if execute(opened).one_or_none() is None:
            raise Unauthorized("The password was changed meanwhile. Log in again.")

    @staticmethod
    def user(jti: str) -> User | None:
        """The user of a living session; one statement, the only one of authentication."""
        row = execute(_USER_OF_SESSION, {"jti": jti, "now": utcnow()}).one_or_none()
        return row and User(id=row.id, username=row.username)


class Channel(Base):
    __tablename__ = "channels"
    __table_args__ = (
        UniqueConstraint("low_id", "high_id"),
        CheckConstraint("low_id < high_id", name="two_people_in_order"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    low_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    high_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]

    # The messages it begins and ends with, as found.
    first_id = cast(int | None, None)
    last_id = cast(int | None, None)

    @classmethod
    def found(cls, row: AnyRow | None) -> "Channel":
        if row is None:
            raise NotFound("No such channel.")
        channel = cls(id=row.id, low_id=row.low_id, high_id=row.high_id)
        channel.first_id, channel.last_id = (
            getattr(row, "first_id", None),
            getattr(row, "last_id", None),
        )
        return channel

    @staticmethod
    def lookup(name_or_id: str | int, user_id: int) -> tuple[AnySelect, dict[str, int]]:
        """A statement for the channel, if the user takes part in it."""
        if isinstance(name_or_id, int):
            return _CHANNEL_BY_ID, {"id": name_or_id, "user": user_id}
        match = CHAT_CHANNEL.fullmatch(name_or_id)
        low, high = map(int, match.groups()) if match else (0, 0)
        if high > MAX_ID or low > MAX_ID:
            low = high = 0
        return _CHANNEL_BY_PAIR, {"low": low, "high": high, "user": user_id}

    @property
    def name(self) -> str:
        return f"private-chat_{self.low_id}_{self.high_id}"

    def peer_id(self, user_id: int) -> int:
        return self.high_id if user_id == self.low_id else self.low_id

    def to_dict(self, from_user: int) -> dict[str, Any]:
        """As request_chat answers it and new_chat carries it."""
        to_user = self.peer_id(from_user)
        return {
            "from_user": from_user,
            "to_user": to_user,
            "channel_id": self.id,
            "channel_name": self.name,
            "from_user_notification_channel": notification_channel(from_user),
            "to_user_notification_channel": notification_channel(to_user),
        }

    def request(self, from_user: int, socket_id: str | None) -> dict[str, Any]:
        """Tell the other one of the pair that this chat is wanted."""
        chat = self.to_dict(from_user)
        Event.record([(chat["to_user_notification_channel"], "new_chat", encode(chat))], socket_id)
        return chat

    def post(
        self, sender: User, message: str, client_message_id: str | None, socket_id: str | None
    ) -> tuple[dict[str, Any], bool]:
        """Store a message and its events, once for each client_message_id; whether it is new.

        Raises Conflict if that id was used for another message.
        """
        row, new = insert_once(
            Message,
            ("sender_id", "client_message_id"),
            channel_id=self.id,
            sender_id=sender.id,
            text=message,
            client_message_id=client_message_id,
            created_at=utcnow(),
        )
        if not new and (row.channel_id, row.text) != (self.id, message):
            raise Conflict("This client_message_id was used for a different message.")
        posted = self.message(row)
        if new:
            chat = self.to_dict(sender.id)
            Event.record(
                [
                    (self.name, "new_message", fitted(posted)),
                    (
                        chat["to_user_notification_channel"],
                        "new_chat",
                        fitted(posted, lambda cut: {**chat, "message": cut}),
                    ),
                ],
                socket_id,
            )
        return posted, new

    def message(self, row: Any) -> dict[str, Any]:
        """The message object: the answer, the history element and the event."""
        return {
            "id": row.id,
            "channel_id": self.id,
            "channel": self.name,
            "from_user": row.sender_id,
            "to_user": self.peer_id(row.sender_id),
            "message": row.text,
            "created_at": iso(row.created_at),
            "client_message_id": row.client_message_id,
        }

    def history(self) -> Iterator[list[dict[str, Any]]]:
        """All messages as they stand now, in pages that hold no connection between them."""
        return pages(_HISTORY, {"channel": self.id, "last": self.last_id or 0}, self.message)

    def messages(
        self, limit: int, before: int | None, after: int | None, around: int | None
    ) -> tuple[list[dict[str, Any]], int | None, int | None]:
        """A page, oldest first, and where the pages beside it begin, where there are any: an
        id to ask for messages `before`, and one for those `after`."""
        found: Sequence[AnyRow]
        values = {"channel": self.id, "limit": limit}
        if after is not None:
            lowest, highest = after + 1, after
            found = execute(_AFTER, {**values, "id": after}).all()
        elif around is not None:
            lowest, highest = around, around - 1
            half = {"half": limit // 2, "rest": limit - limit // 2}
            found = execute(_AROUND, {"channel": self.id, "id": around, **half}).all()
        else:
            lowest = MAX_ID if before is None else before
            highest = lowest - 1
            found = execute(_BEFORE, {**values, "id": lowest}).all()[::-1]
        if found:
            lowest, highest = found[0].id, found[-1].id
        older = lowest if self.first_id and self.first_id < lowest else None
        newer = highest if self.last_id and self.last_id > highest else None
        return [self.message(row) for row in found], older, newer


class Message(Base):
    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("sender_id", "client_message_id"),
        Index(None, "channel_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("channels.id"))
    sender_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    text: Mapped[str]
    client_message_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]


class Event(Base):
    """What the Pusher server still has to be told; the row goes when it has taken it.

    `transaction_id` orders what transactions that ran at once have recorded. `set_aside` is the
    reason why an event was given up.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "set_aside", "transaction_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(BigInteger, default=current_transaction())
    channel: Mapped[str]
    name: Mapped[str]
    data: Mapped[str]
    socket_id: Mapped[str | None]
    created_at: Mapped[datetime]
    refusals: Mapped[int] = mapped_column(default=0)
    set_aside: Mapped[str | None]

    @classmethod
    def record(cls, events: list[tuple[str, str, str]], socket_id: str | None) -> None:
        """Have (channel, name, data) delivered once this transaction is committed.

        The connection named by `socket_id`, if any, is left out. The only place where events
        come into being.
        """
        now = utcnow()
        rows = [
            {
                "channel": channel,
                "name": name,
                "data": data,
                "socket_id": socket_id,
                "created_at": now,
            }
            for channel, name, data in events
        ]
        execute(_RECORD, rows)
        if db.engine.dialect.name == "postgresql":
            execute(_NOTIFY)
        db.session.info["events_recorded"] = True

    @staticmethod
    def waiting(connection: Connection, busy: list[str], limit: int) -> Sequence[AnyRow]:
        """The oldest events that wait, but for those of `busy` channels.

        On PostgreSQL numbers become visible out of order: only what is older than every running
        transaction is handed out, so that nothing can come before it later.
        """
        return connection.execute(_WAITING, {"busy": busy, "limit": limit}).all()

    @staticmethod
    def remove(connection: Connection, ids: list[int]) -> None:
        connection.execute(_REMOVE, {"ids": ids})

    @classmethod
    def count_refusal(cls, connection: Connection, event_id: int) -> None:
        connection.execute(update(cls).where(cls.id == event_id).values(refusals=cls.refusals + 1))

    @classmethod
    def put_aside(cls, connection: Connection, event_id: int, reason: str) -> None:
        connection.execute(update(cls).where(cls.id == event_id).values(set_aside=reason))

    @classmethod
    def lag(cls) -> dict[str, Any]:
        """How many events wait, the age of the oldest in seconds, how many are set aside."""
        waits = cls.set_aside.is_(None)
        counts = select(
            select(func.count()).select_from(cls).where(waits).scalar_subquery().label("waiting"),
            select(func.count()).select_from(cls).where(~waits).scalar_subquery().label("aside"),
            select(cls.created_at)
            .where(waits)
            .order_by(cls.transaction_id, cls.id)
            .limit(1)
            .scalar_subquery()
            .label("oldest"),
        )
        row = execute(counts).one()
        age = (utcnow() - row.oldest).total_seconds() if row.oldest else 0.0
        return {
            "waiting": row.waiting,
            "oldest_seconds": round(max(0.0, age), 3),
            "set_aside": row.aside,
        }

    @classmethod
    def aside(cls) -> Sequence[AnyRow]:
        columns = select(cls.id, cls.name, cls.channel, cls.created_at, cls.set_aside)
        found: Sequence[AnyRow] = execute(
            columns.where(cls.set_aside.is_not(None)).order_by(cls.id)
        ).all()
        return found

    @classmethod
    def retry(cls, event_id: int | None) -> int:
        chosen = cls.id == event_id if event_id is not None else cls.set_aside.is_not(None)
        again = update(cls).where(chosen).values(set_aside=None, refusals=0)
        count: int = execute(again).rowcount
        if count and db.engine.dialect.name == "postgresql":
            execute(_NOTIFY)
        return count

    @classmethod
    def drop(cls, event_id: int) -> int:
        count: int = execute(delete(cls).where(cls.id == event_id)).rowcount
        return count


# Event data ----------------------------------------------------------------------------------


def encode(data: dict[str, Any]) -> str:
    """Compact JSON, characters as themselves."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def fitted(
    message: dict[str, Any], wrap: Callable[[dict[str, Any]], dict[str, Any]] = lambda cut: cut
) -> str:
    """The data of an event about a message, its text cut where EVENT_BYTES would be exceeded."""

    def size(length: int) -> int:
        return len(encode(wrap(cut(length))).encode())

    def cut(length: int) -> dict[str, Any]:
        shortened = {}
        for member, value in message.items():
            shortened[member] = value[:length] if member == "message" else value
            if member == "message":
                shortened["truncated"] = True
        return shortened

    whole = encode(wrap(message))
    if len(whole.encode()) <= EVENT_BYTES:
        return whole
    longest = bisect(range(len(message["message"])), EVENT_BYTES, key=size) - 1
    return encode(wrap(cut(longest)))


# Statements ----------------------------------------------------------------------------------

_USER_NAMED = select(User.id, User.username, User.password_hash).where(
    User.username_key == bindparam("key")
)
_USER_WITH_ID = select(User.id, User.username).where(User.id == bindparam("id"))
_EVERYONE = (
    select(User.id, User.username)
    .where(User.id > bindparam("after"), User.id <= bindparam("last"))
    .order_by(User.id)
    .limit(bindparam("size"))
)
_USER_OF_SESSION = (
    select(User.id, User.username)
    .join(Session, Session.user_id == User.id)
    .where(Session.jti == bindparam("jti"), Session.expires_at > bindparam("now"))
)

_TAKES_PART = or_(Channel.low_id == bindparam("user"), Channel.high_id == bindparam("user"))
_OF_CHANNEL = Message.channel_id == Channel.id
_CHANNEL = select(
    Channel.id,
    Channel.low_id,
    Channel.high_id,
    select(func.min(Message.id)).where(_OF_CHANNEL).scalar_subquery().label("first_id"),
    select(func.max(Message.id)).where(_OF_CHANNEL).scalar_subquery().label("last_id"),
).where(_TAKES_PART)
_CHANNEL_BY_ID = _CHANNEL.where(Channel.id == bindparam("id"))
_CHANNEL_BY_PAIR = _CHANNEL.where(
    Channel.low_id == bindparam("low"), Channel.high_id == bindparam("high")
)

_IN_CHANNEL = Message.channel_id == bindparam("channel")
_MESSAGE = select(
    Message.id,
    Message.sender_id,
    Message.text,
    Message.client_message_id,
    Message.created_at,
).where(_IN_CHANNEL)
_BEFORE = (
    _MESSAGE.where(Message.id < bindparam("id"))
    .order_by(Message.id.desc())
    .limit(bindparam("limit"))
)
_AFTER = _MESSAGE.where(Message.id > bindparam("id")).order_by(Message.id).limit(bindparam("limit"))
_half = _MESSAGE.where(Message.id < bindparam("id")).order_by(Message.id.desc())
_rest = _MESSAGE.where(Message.id >= bindparam("id")).order_by(Message.id)
_AROUND = union_all(
    select(_half.limit(bindparam("half")).subquery()),
    select(_rest.limit(bindparam("rest")).subquery()),
).order_by("id")
_HISTORY = (
    _MESSAGE.where(Message.id > bindparam("after"), Message.id <= bindparam("last"))
    .order_by(Message.id)
    .limit(bindparam("size"))
)

_WAITING = (
    select(Event.id, Event.channel, Event.name, Event.data, Event.socket_id, Event.refusals)
    .where(
        Event.set_aside.is_(None),
        Event.transaction_id < horizon(),
        Event.channel.not_in(bindparam("busy", expanding=True)),
    )
    .order_by(Event.transaction_id, Event.id)
    .limit(bindparam("limit"))
)
_REMOVE = delete(Event).where(Event.id.in_(bindparam("ids", expanding=True)))
_RECORD = insert(Event.__table__)  # type: ignore[arg-type]
_NOTIFY = text("SELECT pg_notify('events', '')")
