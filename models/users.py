"""Users, their sessions and their blocks."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import Conflict, Forbidden, NotFound, Unauthorized

import answers
from database import AnyRow, AnySelect, Base, insert_once, pages, utcnow
from models.channels import Blocked, Channel, notification_channel
from models.columns import MAX_ID, BigId, Key, execute, starts_with
from models.messages import SHOWN, Message

PRESENCE_CHANNEL = "presence-chitchat"
CHAT_CHANNEL = re.compile(r"private-chat_([1-9][0-9]{0,18})_([1-9][0-9]{0,18})")


class Taken(Conflict):
    word = "taken"


class User(Base):
    """A person. Made from a row, it carries values and verbs; nothing is written by changing it."""

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    username_key: Mapped[str] = mapped_column(Key, unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    #: The session that the caller's token stands for.
    jti: ClassVar[Any] = ""

    @staticmethod
    def key(username: str) -> str:
        """What all spellings of one name have in common, whatever their width and case."""
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
        """Raises NotFound, also for a deleted account."""
        row = execute(_USER_WITH_ID, {"id": user_id}).one_or_none()
        if row is None:
            raise NotFound("No such user.")
        return cls(id=row.id, username=row.username, password_hash=row.password_hash)

    # Seeing others ---------------------------------------------------------------------------

    @classmethod
    def everyone(cls) -> Iterator[list[answers.ListedUser]]:
        """All users in pages, which hold no connection between them."""
        last = execute(select(func.max(cls.id))).scalar() or 0
        return pages(_EVERYONE, {"last": last}, cls.public)

    @classmethod
    def page(cls, prefix: str, after: int, limit: int) -> list[answers.ListedUser]:
        statement = (
            select(cls.id, cls.username)
            .where(cls.id > after, cls.deleted_at.is_(None))
            .order_by(cls.id)
            .limit(limit)
        )
        if prefix:
            statement = statement.where(starts_with(cls.username_key, cls.key(prefix)))
        return [cls.public(row) for row in execute(statement)]

    def to_dict(self) -> answers.Person:
        return {"id": self.id, "username": self.username}

    @staticmethod
    def public(row: Any) -> answers.ListedUser:
        return {"id": row.id, "username": row.username, "userName": row.username}

    # Chats and messages, always among one's own ----------------------------------------------

    def channel(self, name_or_id: str | int) -> Channel:
        """The channel of that name or id among those this user takes part in.

        Raises NotFound: for other people's channels as for those that do not exist.
        """
        return self._found(_READ, name_or_id)

    def channel_to_write(self, name_or_id: str | int) -> Channel:
        """The same for writing: its writers queue until the commit, so that messages become
        visible in the order of their ids. (SQLite has one writer anyway.)"""
        return self._found(_WRITE, name_or_id)

    def _found(self, ways: dict[str, AnySelect], name_or_id: str | int) -> Channel:
        if isinstance(name_or_id, int):
            values = {"id": name_or_id, "user": self.id}
            return Channel.found(execute(ways["id"], values).one_or_none())
        match = CHAT_CHANNEL.fullmatch(name_or_id)
        low, high = (int(each) for each in match.groups()) if match else (0, 0)
        if max(low, high) > MAX_ID:
            low = high = 0
        values = {"low": low, "high": high, "user": self.id}
        return Channel.found(execute(ways["pair"], values).one_or_none())

    def own_message(self, message_id: int) -> tuple[Channel, AnyRow]:
        """A message by this user, to be changed, and its channel, as channel_to_write().

        Raises NotFound as for other people's channels, and Forbidden if the other one of the
        pair wrote it.
        """
        values = {"message": message_id, "user": self.id}
        found = execute(_WRITE["message"], values).one_or_none()
        if found is None:
            raise NotFound("No such message.")
        row = execute(_MESSAGE, {"message": message_id}).one()
        if row.sender_id != self.id:
            raise Forbidden("Only its author may change a message.")
        return Channel.found(found), row

    def chat_with(self, peer: "User") -> tuple[Channel, bool]:
        """The one channel of this pair, and whether it is new. Raises Blocked."""
        if execute(_IS_BLOCKED, {"low": self.id, "high": peer.id}).scalar():
            raise Blocked("One of you has blocked the other.")
        low, high = sorted((self.id, peer.id))
        now = utcnow()
        pair = {"low_id": low, "high_id": high}
        row, new = insert_once(Channel, tuple(pair), **pair, created_at=now, active_at=now)
        return Channel.found(row), new

    def may_subscribe(self, channel_name: str) -> bool:
        if channel_name in (notification_channel(self.id), PRESENCE_CHANNEL):
            return True
        try:
            channel = self.channel(channel_name)
        except NotFound:
            return False
        return not channel.blocked

    # Account ---------------------------------------------------------------------------------

    def change_password(self, password_hash: str) -> list[str]:
        """Replace the hash that was checked and end all sessions, which are returned.

        Raises Unauthorized if it is not the user's hash any more.
        """
        changed = execute(
            update(User)
            .where(User.id == self.id, User.password_hash == self.password_hash)
            .values(password_hash=password_hash)
        )
        if changed.rowcount != 1:
            raise Unauthorized("The password was changed meanwhile. Log in again.")
        self.password_hash = password_hash
        return Session.end_all(self.id)

    def erase_messages(self, most: int) -> int:
        """Erase some of the user's messages, as if each was deleted; how many."""
        found = execute(
            select(Message.id)
            .where(Message.sender_id == self.id, Message.deleted_at.is_(None))
            .order_by(Message.id)
            .limit(most)
        ).scalars()
        ids = found.all()
        for message_id in ids:
            channel, row = self.own_message(message_id)
            channel.erase(row, None)
        return len(ids)

    def delete(self) -> list[str]:
        """End the account: the name is free, the hash is gone, the id stays taken; the sessions
        that have ended."""
        execute(
            update(User)
            .where(User.id == self.id)
            .values(
                username="",
                # No name has a control character, so no name ever collides with this key.
                username_key=f"\x01{self.id}",
                password_hash="",
                deleted_at=utcnow(),
            )
        )
        execute(delete(Block).where(or_(Block.blocker_id == self.id, Block.blocked_id == self.id)))
        return Session.end_all(self.id)


class Session(Base):
    """A login. Its row is the right to use the token: to end the one is to end the other."""

    __tablename__ = "sessions"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), index=True)
    expires_at: Mapped[datetime]

    @classmethod
    def open(cls, user: User, jti: str, life: timedelta) -> None:
        """Raises Unauthorized if the password that was checked is not the user's any more."""
        now = utcnow()
        execute(delete(cls).where(cls.user_id == user.id, cls.expires_at <= now))
        same = and_(
            User.id == user.id,
            User.password_hash == user.password_hash,
            User.deleted_at.is_(None),
        )
        row = select(literal(jti), User.id, literal(now + life)).where(same)
        opened = insert(cls).from_select(["jti", "user_id", "expires_at"], row).returning(cls.jti)
        if execute(opened).one_or_none() is None:
            raise Unauthorized("The password was changed meanwhile. Log in again.")

    @staticmethod
    def user(jti: str) -> User | None:
        """The user of a living session; one statement, the only one of authentication."""
        row = execute(_USER_OF_SESSION, {"jti": jti, "now": utcnow()}).one_or_none()
        if row is None:
            return None
        user = User(id=row.id, username=row.username)
        vars(user)["jti"] = jti
        return user

    @classmethod
    def end(cls, jti: str) -> list[str]:
        """Raises Unauthorized if it has ended already."""
        if execute(delete(cls).where(cls.jti == jti)).rowcount != 1:
            raise Unauthorized("The token is not valid any more. Log in again.")
        return [jti]

    @classmethod
    def end_all(cls, user_id: int) -> list[str]:
        """The sessions that have ended."""
        ended = delete(cls).where(cls.user_id == user_id).returning(cls.jti)
        return list(execute(ended).scalars())


class Block(Base):
    __tablename__ = "blocks"

    blocker_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), primary_key=True)
    blocked_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id"), primary_key=True, index=True
    )

    @classmethod
    def put(cls, blocker: User, blocked: User) -> None:
        pair = {"blocker_id": blocker.id, "blocked_id": blocked.id}
        insert_once(cls, tuple(pair), **pair)

    @classmethod
    def lift(cls, blocker: User, blocked: User) -> None:
        execute(delete(cls).where(cls.blocker_id == blocker.id, cls.blocked_id == blocked.id))

    @staticmethod
    def all_by(blocker: User) -> Iterator[list[answers.Person]]:
        """Whom this user has blocked, in pages."""
        return pages(
            _BLOCKED_BY,
            {"blocker": blocker.id},
            lambda row: {"id": row.id, "username": row.username},
        )


# Statements ----------------------------------------------------------------------------------

_USER = select(User.id, User.username, User.password_hash)
_USER_NAMED = _USER.where(User.username_key == bindparam("key"))
_USER_WITH_ID = _USER.where(User.id == bindparam("id"), User.deleted_at.is_(None))
_EVERYONE = (
    select(User.id, User.username)
    .where(User.id > bindparam("after"), User.id <= bindparam("last"), User.deleted_at.is_(None))
    .order_by(User.id)
    .limit(bindparam("size"))
)
_USER_OF_SESSION = (
    select(User.id, User.username)
    .join(Session, Session.user_id == User.id)
    .where(Session.jti == bindparam("jti"), Session.expires_at > bindparam("now"))
)
_BLOCKED_BY = (
    select(User.id, User.username)
    .join(Block, Block.blocked_id == User.id)
    .where(Block.blocker_id == bindparam("blocker"), User.id > bindparam("after"))
    .order_by(User.id)
    .limit(bindparam("size"))
)


def _blocks_between(low: Any, high: Any) -> Any:
    return exists().where(
        or_(
            and_(Block.blocker_id == low, Block.blocked_id == high),
            and_(Block.blocker_id == high, Block.blocked_id == low),
        )
    )


_IS_BLOCKED = select(_blocks_between(bindparam("low"), bindparam("high")))
_MESSAGE = select(*SHOWN).where(Message.id == bindparam("message"))
_CHANNEL = select(
    Channel.id,
    Channel.low_id,
    Channel.high_id,
    Channel.low_read_id,
    Channel.high_read_id,
    Channel.last_message_id,
    select(func.min(Message.id))
    .where(Message.channel_id == Channel.id)
    .scalar_subquery()
    .label("first_id"),
    _blocks_between(Channel.low_id, Channel.high_id).label("blocked"),
    exists()
    .where(User.id.in_((Channel.low_id, Channel.high_id)), User.deleted_at.is_not(None))
    .label("gone"),
).where(or_(Channel.low_id == bindparam("user"), Channel.high_id == bindparam("user")))
_READ: dict[str, AnySelect] = {
    "id": _CHANNEL.where(Channel.id == bindparam("id")),
    "pair": _CHANNEL.where(
        Channel.low_id == bindparam("low"), Channel.high_id == bindparam("high")
    ),
    "message": _CHANNEL.where(
        Channel.id
        == select(Message.channel_id).where(Message.id == bindparam("message")).scalar_subquery()
    ),
}
_WRITE = {way: statement.with_for_update(of=Channel) for way, statement in _READ.items()}
