"""Messages: what was said, its words for the search, and the order of its changes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    bindparam,
    delete,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

import answers
from database import Base, session
from models.columns import BigId, Key, iso, json_strings, next_change
from models.events import encode
from statements import Prepared
from words import words


class Message(Base):
    """Rows are never removed: a deleted message keeps its place, without its text.

    `transaction_id` grows with each change of the message, over all of them.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("sender_id", "client_message_id"),
        Index(None, "channel_id", "id"),
        Index(None, "channel_id", "transaction_id", "id"),
        Index(
            "ix_messages_sender_id_not_deleted",
            "sender_id",
            "id",
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("channels.id"))
    sender_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    text: Mapped[str]
    client_message_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    transaction_id: Mapped[int] = mapped_column(BigInteger, default=next_change(), index=True)

    @staticmethod
    def to_dict(row: Any, low_id: int, high_id: int) -> answers.Message:
        """The message object: the answer, the history element and the event alike.

        The row begins with the columns SHOWN: by place they cost a fifth of what names do, and
        this is where a page of messages spends its time.
        """
        (id_, channel_id, sender_id, text, client_message_id, created, edited, deleted) = row[:8]
        return {
            "id": id_,
            "channel_id": channel_id,
            "channel": f"private-chat_{low_id}_{high_id}",
            "from_user": sender_id,
            "to_user": high_id if sender_id == low_id else low_id,
            "message": text,
            "created_at": created,
            "client_message_id": client_message_id,
            "edited_at": edited,
            "deleted_at": deleted,
        }


#: The columns of a message object.
SHOWN = (
    Message.id,
    Message.channel_id,
    Message.sender_id,
    Message.text,
    Message.client_message_id,
    iso(Message.created_at).label("created_at"),
    iso(Message.edited_at).label("edited_at"),
    iso(Message.deleted_at).label("deleted_at"),
)


class Word(Base):
    """A word of a message: the search index, the same on both databases.

    A search costs what is in the caller's chats, not what is in all. The words of new messages
    come into it some messages at a time (Channel.indexed_id), for nearly each word is a page of
    the database to write. An erased word is gone at once, in the transaction that erases it.
    """

    __tablename__ = "words"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    channel_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(Key, primary_key=True)
    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)

    @staticmethod
    def add(channel_id: int, texts: Iterable[tuple[int, set[str]]]) -> None:
        """Index the words of messages, each given by its id."""
        rows = [
            {"channel": channel_id, "message": message_id, "words": encode(sorted(found))}
            for message_id, found in texts
            if found
        ]
        if rows:
            connection = session.connection()
            _ADD[connection.dialect.name].each(connection, rows)

    @classmethod
    def replace(cls, channel_id: int, message_id: int, old: str, new: str) -> None:
        """Index a text in place of the old one."""
        before, after = words(old), words(new)
        if gone := before - after:
            session.execute(
                delete(cls).where(
                    cls.channel_id == channel_id, cls.word.in_(gone), cls.message_id == message_id
                )
            )
        cls.add(channel_id, [(message_id, after - before)])


_words = json_strings(bindparam("words", type_=String())).table_valued("value")
_this_channel = bindparam("channel", type_=BigInteger())
_this_message = bindparam("message", type_=BigInteger())


def _add(insert: Any) -> Prepared:
    found = select(_this_channel, _words.c.value, _this_message).where(true())
    added = insert(Word).from_select(["channel_id", "word", "message_id"], found)
    return Prepared(added.on_conflict_do_nothing())


# One statement, however many words: between two, another thread may take the interpreter. Words
# that are there stay: a process of before revision 0004 has indexed its messages at once.
_ADD = {"sqlite": _add(sqlite.insert), "postgresql": _add(postgresql.insert)}
