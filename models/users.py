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
from database import AnyRow, AnySelect, Base, insert_once, pages, session, utcnow
from models.blocks import Block, Blocked
from models.channels import Channel, chat_channel, notification_channel
from models.columns import MAX_ID, BigId, Key, starts_with
from models.messages import SHOWN, Message
from statements import Prepared

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
        # No name is longer in any spelling, and to sort 32,000 accents would take a second.
        normal = unicodedata.normalize("NFKC", username[:1_000])
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
        return cls.from_row(row)

    @classmethod
    def named(cls, username: str) -> Self | None:
        """The user of that name in any spelling, with the password hash."""
        row = session.execute(_USER_NAMED, {"key": cls.key(username)}).one_or_none()
        return row and cls.from_row(row)

    @classmethod
    def with_id(cls, user_id: int) -> Self:
        """Raises NotFound, also for a deleted account."""
        row = session.execute(_USER_WITH_ID, {"id": user_id}).one_or_none()
        if row is None:
            raise NotFound("No such user.")
        return cls.from_row(row)

    # Seeing others ---------------------------------------------------------------------------

    @classmethod
    def everyone(cls) -> Iterator[list[answers.ListedUser]]:
        """All users in pages, which hold no connection between them."""
        last = session.execute(select(func.max(cls.id))).scalar() or 0
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
        return [cls.public(row) for row in session.execute(statement)]

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

    def _found(self, ways: dict[str, Prepared], name_or_id: str | int) -> Channel:
        if isinstance(name_or_id, int):
            values = {"id": name_or_id, "user": self.id}
            return Channel.found(ways["id"].row(session.connection(), values))
        match = CHAT_CHANNEL.fullmatch(name_or_id)
        low, high = (int(each) for each in match.groups()) if match else (0, 0)
        if max(low, high) > MAX_ID:
            low = high = 0
        values = {"low": low, "high": high, "user": self.id}
        return Channel.found(ways["pair"].row(session.connection(), values))

    def own_message(self, message_id: int) -> tuple[Channel, AnyRow]:
        """A message by this user, to be changed, and its channel, as channel_to_write().

        Raises NotFound as for other people's channels, and Forbidden if the other one of the
        pair wrote it.
        """
        values = {"message": message_id, "user": self.id}
        found = _WRITE["message"].row(session.connection(), values)
        if found is None:
            raise NotFound("No such message.")
        row = session.execute(_MESSAGE_WITH_ID, {"message": message_id}).one()
        if row.sender_id != self.id:
            raise Forbidden("Only its author may change a message.")
        return Channel.found(found), row

    def chat_with(self, peer_id: int) -> tuple[Channel, bool]:
        """The one channel of this pair, and whether it is new. Raises NotFound and Blocked."""
        low, high = sorted((self.id, peer_id))
        _hold(_STAY, self.id, peer_id)
        if session.execute(_PAIR_IS_BLOCKED, {"low": low, "high": high}).scalar():
            raise Blocked
        now = utcnow()
        pair: dict[str, Any] = {"low_id": low, "high_id": high}
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

    def block(self, peer_id: int) -> str:
        """The name of their chat's channel, which neither may subscribe to now. Raises NotFound."""
        # A message needs its sender's row: those on their way are committed before this, and
        # those that come later see the block.
        _hold(_STAND_STILL, self.id, peer_id)
        Block.put(self.id, peer_id)
        low, high = sorted((self.id, peer_id))
        return chat_channel(low, high)

    def unblock(self, peer_id: int) -> None:
        """Raises NotFound."""
        Block.lift(self.id, User.with_id(peer_id).id)

    def blocked(self) -> Iterator[list[answers.Person]]:
        """Whom this user has blocked, in pages."""
        return pages(
            _BLOCKED_BY,
            {"blocker": self.id},
            lambda row: {"id": row.id, "username": row.username},
        )

    # Account ---------------------------------------------------------------------------------

    def change_password(self, password_hash: str) -> list[str]:
        """Replace the hash that was checked and end all sessions, which are returned.

        Raises Unauthorized if it is not the user's hash any more.
        """
        self._hold_with_password()
        session.execute(update(User).where(User.id == self.id).values(password_hash=password_hash))
        return Session.end_all(self.id)

    def _hold_with_password(self) -> None:
        mine = select(User.id).where(User.id == self.id, User.password_hash == self.password_hash)
        if session.execute(mine.with_for_update()).scalar() is None:
            raise Unauthorized("The password was changed meanwhile. Log in again.")

    def _erase_some(self, socket_id: str | None) -> bool:
        """Delete some of the user's messages, of one chat; whether there were any."""
        first = session.execute(_FIRST_OF_MINE, {"user": self.id}).scalar()
        if first is None:
            return False
        channel, row = self.own_message(first)
        values = {"channel": channel.id, "user": self.id, "first": row.id, "size": 100}
        characters = 0
        for each in session.execute(_MINE_IN_CHANNEL, values).all():
            channel.erase(each, socket_id)
            characters += len(each.text)
            if characters > 20_000:  # each may be a word to take out of the index
                break
        return True

    def delete(self, *, erase: bool, socket_id: str | None) -> list[str] | None:
        """End the account: the name is free, the hash is gone, the id stays taken. The sessions
        that have ended.

        With `erase` the messages go first, some in each transaction, so that others get to write
        in between: None until this was the last one. Raises Unauthorized as change_password().
        """
        if erase and self._erase_some(socket_id):
            return None
        self._hold_with_password()  # now no message is on its way any more
        if erase and session.execute(_FIRST_OF_MINE, {"user": self.id}).scalar():
            return None
        session.execute(
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
        session.execute(
            delete(Block).where(or_(Block.blocker_id == self.id, Block.blocked_id == self.id))
        )
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
        same = and_(
            User.id == user.id,
            User.password_hash == user.password_hash,
            User.deleted_at.is_(None),
        )
        row = select(literal(jti), User.id, literal(now + life)).where(same)
        # Shared, but not with one who changes the password or ends all sessions.
        row = row.with_for_update(read=True)
        opened = insert(cls).from_select(["jti", "user_id", "expires_at"], row).returning(cls.jti)
        if session.execute(opened).one_or_none() is None:
            raise Unauthorized("The password was changed meanwhile. Log in again.")
        session.execute(delete(cls).where(cls.user_id == user.id, cls.expires_at <= now))

    @staticmethod
    def user(jti: str) -> User | None:
        """The user of a living session; one statement, the only one of authentication."""
        row = session.read_alone(_USER_OF_SESSION, {"jti": jti, "now": utcnow()})
        return row and User.from_row(row)

    @classmethod
    def end(cls, jti: str) -> list[str]:
        """Raises Unauthorized if it has ended already."""
        if session.execute(delete(cls).where(cls.jti == jti)).rowcount != 1:
            raise Unauthorized("The token is no longer valid. Log in again.")
        return [jti]

    @classmethod
    def end_all(cls, user_id: int) -> list[str]:
        """The sessions that have ended."""
        session.execute(select(User.id).where(User.id == user_id).with_for_update())
        ended = delete(cls).where(cls.user_id == user_id).returning(cls.jti)
        return list(session.execute(ended).scalars())


# Statements ----------------------------------------------------------------------------------

_USER = select(User.id, User.username, User.password_hash)
_USER_NAMED = _USER.where(User.username_key == bindparam("key"), User.deleted_at.is_(None))
_USER_WITH_ID = _USER.where(User.id == bindparam("id"), User.deleted_at.is_(None))
_EVERYONE = Prepared(
    select(User.id, User.username)
    .where(User.id > bindparam("after"), User.id <= bindparam("last"), User.deleted_at.is_(None))
    .order_by(User.id)
    .limit(bindparam("size"))
)
_USER_OF_SESSION = Prepared(
    _USER.add_columns(Session.jti)
    .join(Session, Session.user_id == User.id)
    .where(Session.jti == bindparam("jti"), Session.expires_at > bindparam("now"))
)
_BLOCKED_BY = Prepared(
    select(User.id, User.username)
    .join(Block, Block.blocked_id == User.id)
    .where(Block.blocker_id == bindparam("blocker"), User.id > bindparam("after"))
    .order_by(User.id)
    .limit(bindparam("size"))
)


_pair = (
    select(User.id)
    .where(User.id.in_((bindparam("one"), bindparam("other"))), User.deleted_at.is_(None))
    .order_by(User.id)
)
_STAY = _pair.with_for_update(read=True, key_share=True)  # shared with messages and requests
_STAND_STILL = _pair.with_for_update()


def _hold(how: AnySelect, me: int, other: int) -> None:
    """Keep both users from being deleted until the commit. Raises NotFound if the other one was,
    and Unauthorized if it was me."""
    found = set(session.execute(how, {"one": me, "other": other}).scalars())
    if me not in found:
        raise Unauthorized("The token is no longer valid. Log in again.")
    if other not in found:
        raise NotFound("No such user.")


_PAIR_IS_BLOCKED = select(Block.between(bindparam("low"), bindparam("high")))
_MESSAGE_WITH_ID = select(*SHOWN).where(Message.id == bindparam("message"))
_OF_MINE = (Message.sender_id == bindparam("user"), Message.deleted_at.is_(None))
_FIRST_OF_MINE = select(Message.id).where(*_OF_MINE).order_by(Message.id).limit(1)
_MINE_IN_CHANNEL = (
    select(*SHOWN)
    .where(*_OF_MINE, Message.channel_id == bindparam("channel"), Message.id >= bindparam("first"))
    .order_by(Message.id)
    .limit(bindparam("size"))
)

#: Channels that the user takes part in.
MINE = or_(Channel.low_id == bindparam("user"), Channel.high_id == bindparam("user"))
_WAYS = {
    "id": Channel.id == bindparam("id"),
    "pair": and_(Channel.low_id == bindparam("low"), Channel.high_id == bindparam("high")),
    "message": Channel.id
    == select(Message.channel_id).where(Message.id == bindparam("message")).scalar_subquery(),
}
_CHANNEL = select(
    Channel.id,
    Channel.low_id,
    Channel.high_id,
    Channel.low_read_id,
    Channel.high_read_id,
    Channel.last_message_id,
    Channel.indexed_id,
    Channel.unindexed,
).where(MINE)
_first_id = select(func.min(Message.id)).where(Message.channel_id == Channel.id).scalar_subquery()
_TO_READ = _CHANNEL.add_columns(
    _first_id.label("first_id"),
    Block.between(Channel.low_id, Channel.high_id).label("blocked"),
)
_READ = {way: Prepared(_TO_READ.where(which)) for way, which in _WAYS.items()}
_WRITE = {way: Prepared(_CHANNEL.where(which).with_for_update()) for way, which in _WAYS.items()}
