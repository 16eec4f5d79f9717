"""Every table, with a sentence each: the whole schema in one sitting.

What people do with these rows stands in chat/, the statements included.
"""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from contract import names
from database import Base
from dialects.transactions import current_transaction, next_change

#: An id that counts up by itself. SQLite does that for INTEGER only.
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
#: Such ids are never used again, on SQLite too.
COUNTS_UP: Any = {"sqlite_autoincrement": True}
#: Text that is compared by code point on both databases.
Key = sa.String().with_variant(sa.String(collation="C"), "postgresql")
#: Ids of people and messages, in other tables.
UserId = Annotated[int, mapped_column(sa.BigInteger, sa.ForeignKey("users.id"))]
MessageId = Annotated[int, mapped_column(sa.BigInteger, sa.ForeignKey("messages.id"))]


def _partial(name: str, *columns: str, where: str) -> sa.Index:
    """An index of only those rows for which a condition holds."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


class User(Base):
    """A person. A deleted account keeps its row and id, without name and password."""

    __tablename__ = "users"
    __table_args__ = (
        _partial("ix_users_words_due", "id", where="has_words = (deleted_at IS NOT NULL)"),
        COUNTS_UP,
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(50))
    # What all spellings of the name have in common that show the same characters.
    username_key: Mapped[str] = mapped_column(Key, unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    # The same whatever does not show. Older names that would be the same by it have none.
    name_key: Mapped[str | None] = mapped_column(Key, unique=True, index=True)
    display_name: Mapped[str | None] = mapped_column(sa.String(50))
    about: Mapped[str | None] = mapped_column(sa.String(200))
    avatar: Mapped[str | None] = mapped_column(sa.String(32), unique=True, index=True)  # its key
    has_words: Mapped[bool] = mapped_column(server_default=sa.false())  # in name_words


class NameWord(Base):
    """A word of a person's names and what stands behind it: people are found by how it begins."""

    __tablename__ = "name_words"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012
    word: Mapped[str] = mapped_column(Key, primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True, autoincrement=False, index=True)


class Login(Base):
    """A login on one device: its token, whose `jti` a refresh replaces, is void without the row."""

    __tablename__ = "sessions"
    __table_args__ = COUNTS_UP
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    jti: Mapped[str] = mapped_column(sa.String(32), unique=True)
    user_id: Mapped[UserId] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]  # to the hour
    user_agent: Mapped[str | None]
    remember: Mapped[bool] = mapped_column(server_default=sa.false())


class Block(Base):
    """One person wants to hear nothing of another."""

    __tablename__ = "blocks"
    blocker_id: Mapped[UserId] = mapped_column(primary_key=True)
    blocked_id: Mapped[UserId] = mapped_column(primary_key=True, index=True)


class Erasure(Base):
    """An account that has ended, and whose messages are still to be erased."""

    __tablename__ = "erasures"
    user_id: Mapped[UserId] = mapped_column(primary_key=True, autoincrement=False)


class Channel(Base):
    """The chat of two people, of whom `low_id` registered first."""

    __tablename__ = "channels"
    __table_args__ = (
        sa.UniqueConstraint("low_id", "high_id"),
        sa.CheckConstraint("low_id < high_id", name="two_people_in_order"),
        sa.Index(None, "low_id", "active_at", "id"),
        sa.Index(None, "high_id", "active_at", "id"),
        COUNTS_UP,
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    low_id: Mapped[UserId]
    high_id: Mapped[UserId]
    created_at: Mapped[datetime]
    # Up to and including which message each of the two has read; 0: none yet.
    low_read_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    high_read_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    last_message_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    active_at: Mapped[datetime]
    # Up to and including which message the words are indexed, and how many characters came since.
    indexed_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    unindexed: Mapped[int] = mapped_column(default=0)
    # Whether each of the two wants no pushes of it.
    low_muted: Mapped[bool] = mapped_column(server_default=sa.false())
    high_muted: Mapped[bool] = mapped_column(server_default=sa.false())

    @property
    def name(self) -> str:
        """As clients and the Pusher server know it."""
        return names.chat_channel(self.low_id, self.high_id)

    def peer_id(self, user_id: int) -> int:
        """The other one of the two."""
        return self.high_id if user_id == self.low_id else self.low_id

    def read_id(self, user_id: int) -> int:
        """The mark of one of the two."""
        return self.low_read_id if user_id == self.low_id else self.high_read_id


class Message(Base):
    """What was said. A deleted message keeps its row and place, without its text."""

    __tablename__ = "messages"
    __table_args__ = (
        sa.UniqueConstraint("sender_id", "client_message_id"),
        sa.Index(None, "channel_id", "id"),
        sa.Index(None, "channel_id", "transaction_id", "id"),
        sa.Index(None, "transaction_id", "id"),
        _partial(
            "ix_messages_sender_id_not_deleted", "sender_id", "id", where="deleted_at IS NULL"
        ),
        _partial("ix_messages_reply_to", "reply_to", where="reply_to IS NOT NULL"),
        COUNTS_UP,
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel_id: Mapped[int] = mapped_column(sa.BigInteger, sa.ForeignKey("channels.id"))
    sender_id: Mapped[UserId]
    text: Mapped[str]
    client_message_id: Mapped[str | None] = mapped_column(sa.String(64))  # a retry has the same
    created_at: Mapped[datetime]
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    type: Mapped[str] = mapped_column(sa.String(5), server_default="Text")
    reply_to: Mapped[MessageId | None]  # which message of the same channel this one answers
    # What people think of it: [{"emoji", "users"}], as answers show it. None: no reactions.
    reactions: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    # Set anew with each change.
    transaction_id: Mapped[int] = mapped_column(sa.BigInteger, default=next_change())


class Generation(Base):
    """Which database this is: one row, with another random number after a restore or a copy."""

    __tablename__ = "generations"
    number: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)


class File(Base):
    """What was sent with a message; its bytes are in the storage, under the key."""

    __tablename__ = "files"
    __table_args__ = COUNTS_UP
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[MessageId] = mapped_column(unique=True)
    user_id: Mapped[UserId] = mapped_column(index=True)
    key: Mapped[str] = mapped_column(sa.String(32), unique=True)
    name: Mapped[str]
    media_type: Mapped[str]
    bytes: Mapped[int] = mapped_column(sa.BigInteger)
    width: Mapped[int | None]  # of a picture, in pixels, as it is shown
    height: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime]


class Word(Base):
    """A word of a message: the index of the search, the same on both databases."""

    __tablename__ = "words"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012
    channel_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(Key, primary_key=True)
    message_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)


class Event(Base):
    """What the Pusher server still has to be told, or whose connections have to end."""

    __tablename__ = "events"
    __table_args__ = (sa.Index(None, "set_aside", "transaction_id", "id"), COUNTS_UP)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # Orders what transactions that ran at once have recorded.
    transaction_id: Mapped[int] = mapped_column(sa.BigInteger, default=current_transaction())
    channel: Mapped[str]
    name: Mapped[str]
    data: Mapped[str]
    socket_id: Mapped[str | None]  # the connection that is not to hear of it
    message_id: Mapped[int | None] = mapped_column(sa.BigInteger, index=True)
    created_at: Mapped[datetime]
    refusals: Mapped[int] = mapped_column(default=0)
    set_aside: Mapped[str | None]  # why the event was given up


class PushSubscription(Base):
    """Where a browser is told of new messages. It goes with the login that has put it."""

    __tablename__ = "push_subscriptions"
    __table_args__ = COUNTS_UP
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UserId] = mapped_column(index=True)
    jti: Mapped[str] = mapped_column(
        sa.ForeignKey("sessions.jti", onupdate="CASCADE", ondelete="CASCADE"), index=True
    )
    endpoint: Mapped[str] = mapped_column(unique=True)
    p256dh: Mapped[str]
    auth: Mapped[str]


class Push(Base):
    """A subscription still has to be told of a message. Any may be gone by the time it is due."""

    __tablename__ = "pushes"
    __table_args__ = (sa.Index(None, "service", "retry_at", "message_id"),)
    subscription_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    message_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    service: Mapped[str]
    retry_at: Mapped[datetime]


class Fence(Base):
    """The number of times that the right to deliver was taken: one row, on PostgreSQL."""

    __tablename__ = "fences"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(sa.BigInteger)
