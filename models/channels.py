"""Channels: the chat of two people, and what is done in it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Self

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    bindparam,
    column,
    exists,
    func,
    not_,
    or_,
    select,
    table,
    union_all,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import Conflict, NotFound, Unauthorized

import answers
from database import AnyRow, Base, insert_once, pages, session, utcnow
from models.blocks import Block, Blocked
from models.columns import MAX_ID, BigId, next_change
from models.events import Event, encode, fitted
from models.messages import SHOWN, Message, Word
from statements import Prepared
from words import words

#: Characters of new messages that wait in a channel until their words are indexed together: some
#: twenty messages. A search reads them as they are.
UNINDEXED = 2_000


def notification_channel(user_id: int) -> str:
    return f"private-notification_user_{user_id}"


def chat_channel(low_id: int, high_id: int) -> str:
    return f"private-chat_{low_id}_{high_id}"


class Channel(Base):
    """The chat of two people. Made from a row, it carries values and verbs; nothing is written
    by changing it."""

    __tablename__ = "channels"
    __table_args__ = (
        UniqueConstraint("low_id", "high_id"),
        CheckConstraint("low_id < high_id", name="two_people_in_order"),
        Index(None, "low_id", "active_at", "id"),
        Index(None, "high_id", "active_at", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    low_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    high_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    created_at: Mapped[datetime]
    # Up to and including which message each of the two has read; 0: none yet.
    low_read_id: Mapped[int] = mapped_column(BigInteger, default=0)
    high_read_id: Mapped[int] = mapped_column(BigInteger, default=0)
    last_message_id: Mapped[int] = mapped_column(BigInteger, default=0)
    active_at: Mapped[datetime]
    # Up to and including which message the words are indexed, and how many characters came since.
    indexed_id: Mapped[int] = mapped_column(BigInteger, default=0)
    unindexed: Mapped[int] = mapped_column(default=0)

    # As found beside the row, to be read only: a writer has to ask when it holds the row.
    first_id: ClassVar[Any] = None
    created: ClassVar[Any] = None  # created_at, as in answers
    blocked: ClassVar[Any] = False  # whether one of the two has blocked the other

    @classmethod
    def found(cls, row: AnyRow | None) -> Self:
        """Raises NotFound where there is none."""
        if row is None:
            raise NotFound("No such channel.")
        return cls.from_row(row)

    @cached_property
    def name(self) -> str:
        return chat_channel(self.low_id, self.high_id)

    def peer_id(self, user_id: int) -> int:
        return self.high_id if user_id == self.low_id else self.low_id

    def to_dict(self, from_user: int) -> answers.Chat:
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

    def summary(self) -> answers.ChannelLine:
        return {
            "type": "channel",
            "id": self.id,
            "name": self.name,
            "users": [self.low_id, self.high_id],
            "created_at": self.created,
        }

    def request(self, from_user: int, socket_id: str | None) -> answers.Chat:
        """Tell the other one of the pair that this chat is wanted."""
        chat = self.to_dict(from_user)
        Event.record([(chat["to_user_notification_channel"], "new_chat", encode(chat))], socket_id)
        return chat

    # Writing ---------------------------------------------------------------------------------

    def post(
        self, sender_id: int, text: str, client_message_id: str | None, socket_id: str | None
    ) -> tuple[answers.Message, bool]:
        """Store a message and its events, once for each client_message_id; whether it is new.

        Raises Conflict if that id was used for another message, Blocked, NotFound if the other
        account was deleted, and Unauthorized if it was the sender's own.
        """
        now = utcnow()
        row, new = insert_once(
            Message,
            ("sender_id", "client_message_id"),
            SHOWN,
            channel_id=self.id,
            sender_id=sender_id,
            text=text,
            client_message_id=client_message_id,
            created_at=now,
        )
        if not new:
            changed = row.edited_at or row.deleted_at
            if row.channel_id != self.id or not (changed or row.text == text):
                raise Conflict("This client_message_id was used for a different message.")
            return self.message(row), False
        # Only now: a retry of what was stored before is still answered. And in this statement: an
        # earlier one, made to wait for the row, would not have seen a block of the meantime.
        move = _LOW_POSTED if sender_id == self.low_id else _HIGH_POSTED
        unindexed = self.unindexed + len(text)
        full = unindexed >= UNINDEXED
        values = {
            "channel": self.id,
            "message": row.id,
            "now": now,
            "indexed": row.id if full else self.indexed_id,
            "unindexed": 0 if full else unindexed,
        }
        if not move.count(session.connection(), values):
            if session.execute(_IS_BLOCKED, {"channel": self.id}).scalar():
                raise Blocked
            if session.execute(_IS_GONE, {"user": sender_id}).scalar():
                raise Unauthorized("The token is no longer valid. Log in again.")
            raise NotFound("No such user: the account was deleted.")
        if full:
            self._add_words()
        posted = self.message(row)
        chat = self.to_dict(sender_id)
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
            row.id,
            now=now,
        )
        return posted, True

    def edit(self, row: AnyRow, text: str, socket_id: str | None) -> answers.Message:
        """Give a message another text. Raises Conflict if it was deleted, and Blocked."""
        # Whoever blocks waits for writers by their users' rows: sending holds its own by itself.
        session.execute(_HOLD_USER, {"user": row.sender_id})
        if session.execute(_IS_BLOCKED, {"channel": self.id}).scalar():
            raise Blocked
        if row.deleted_at:
            raise Conflict("A deleted message cannot be edited.")
        if row.text == text:
            return self.message(row)
        return self._change(row, "message_updated", socket_id, text=text, edited_at=utcnow())

    def erase(self, row: AnyRow, socket_id: str | None) -> answers.Message:
        """Delete a message: its text is gone from the row, the index and waiting events."""
        if row.deleted_at:
            return self.message(row)
        Event.erase(row.id)
        return self._change(row, "message_deleted", socket_id, text="", deleted_at=utcnow())

    def _change(
        self, row: AnyRow, event: str, socket_id: str | None, **values: Any
    ) -> answers.Message:
        changed = session.execute(
            update(Message)
            .where(Message.id == row.id)
            .values(transaction_id=next_change(), **values)
            .returning(*SHOWN)
        ).one()
        if row.id > self.indexed_id:
            self._add_words()
            _INDEXED.count(session.connection(), {"channel": self.id})
            # What was read, too: another change in this transaction must not index them again.
            vars(self)["indexed_id"] = self.last_message_id
        Word.replace(self.id, row.id, row.text, changed.text)
        message = self.message(changed)
        self._tell_both(event, fitted(message), socket_id, row.id)
        return message

    def _add_words(self) -> None:
        """Index the messages that wait for it; the caller writes down that it was done."""
        values = {"channel": self.id, "id": self.indexed_id}
        waiting = _UNINDEXED.rows(session.connection(), values)
        Word.add(self.id, [(row.id, words(row.text)) for row in waiting])

    def mark_read(
        self, user_id: int, message_id: int | None, socket_id: str | None
    ) -> answers.MarkAndUnread:
        """Move the reader's mark up to and including a message (the latest if None), never back.

        Raises NotFound for a message of another channel.
        """
        if message_id is None:
            message_id = self.last_message_id
        elif not session.execute(
            _IS_IN_CHANNEL, {"channel": self.id, "message": message_id}
        ).scalar():
            raise NotFound("No such message in this channel.")
        values = {"channel": self.id, "message": message_id}
        moved = session.execute(
            _LOW_READ if user_id == self.low_id else _HIGH_READ, values
        ).rowcount
        read_id = max(message_id, self.read_id(user_id))
        mark: answers.Mark = {
            "channel_id": self.id,
            "channel": self.name,
            "user_id": user_id,
            "last_read_message_id": read_id or None,
        }
        if moved:
            self._tell_both("message_read", encode(mark), socket_id)
        values = {"channel": self.id, "peer": self.peer_id(user_id), "read": read_id}
        return {**mark, "unread": session.execute(_UNREAD, values).scalar()}

    def read_id(self, user_id: int) -> int:
        return self.low_read_id if user_id == self.low_id else self.high_read_id

    def _tell_both(
        self, event: str, data: str, socket_id: str | None, message_id: int | None = None
    ) -> None:
        channels = (
            self.name,
            notification_channel(self.low_id),
            notification_channel(self.high_id),
        )
        Event.record([(channel, event, data) for channel in channels], socket_id, message_id)

    # Reading ---------------------------------------------------------------------------------

    def message(self, row: AnyRow) -> answers.Message:
        return Message.to_dict(row, self.low_id, self.high_id)

    def history(self, read: Callable[..., Any] = pages) -> Iterator[list[answers.Message]]:
        """All messages as they stand now, in pages that hold no connection between them."""
        values = {"channel": self.id, "last": self.last_message_id}
        found: Iterator[list[answers.Message]] = read(_HISTORY, values, self.message)
        return found

    def messages(
        self, limit: int, before: int | None, after: int | None, around: int | None
    ) -> tuple[list[answers.Message], int | None, int | None]:
        """A page, oldest first, and where the pages beside it begin, where there are any: an
        id to ask for messages `before`, and one for those `after`."""
        values = {"channel": self.id, "limit": limit}
        if after is not None:
            lowest, highest = min(after + 1, MAX_ID), after
            found = _AFTER.rows(session.connection(), {**values, "id": after})
        elif around is not None:
            lowest, highest = around, around - 1
            half = {"half": limit // 2, "rest": limit - limit // 2}
            found = _AROUND.rows(session.connection(), {"channel": self.id, "id": around, **half})
        else:
            lowest = MAX_ID if before is None else before
            highest = lowest - 1
            found = _BEFORE.rows(session.connection(), {**values, "id": lowest})[::-1]
        if found:
            lowest, highest = found[0].id, found[-1].id
        older = lowest if self.first_id and self.first_id < lowest else None
        highest = max(highest, 0)
        newer = highest if self.last_message_id > highest else None
        low, high = self.low_id, self.high_id
        return [Message.to_dict(row, low, high) for row in found], older, newer


# Statements ----------------------------------------------------------------------------------

_THIS = Channel.id == bindparam("channel")
_IN_CHANNEL = Message.channel_id == bindparam("channel")
_MESSAGE = select(*SHOWN).where(_IN_CHANNEL)

_users = table("users", column("id"), column("deleted_at"))
_IS_GONE = select(_users.c.deleted_at.is_not(None)).where(_users.c.id == bindparam("user"))
_HOLD_USER = select(_users.c.id).where(_users.c.id == bindparam("user"))
_HOLD_USER = _HOLD_USER.with_for_update(read=True, key_share=True)
_IS_BLOCKED = select(Block.between(Channel.low_id, Channel.high_id)).where(_THIS)
_gone = exists().where(
    or_(_users.c.id == Channel.low_id, _users.c.id == Channel.high_id),
    _users.c.deleted_at.is_not(None),
)
_OPEN = and_(_THIS, not_(Block.between(Channel.low_id, Channel.high_id)), not_(_gone))
_POSTED: dict[str, Any] = {
    "last_message_id": bindparam("message"),
    "active_at": bindparam("now"),
    "indexed_id": bindparam("indexed"),
    "unindexed": bindparam("unindexed"),
}
_move = update(Channel).where(_OPEN)
_LOW_POSTED = Prepared(_move.values(low_read_id=bindparam("message"), **_POSTED))
_HIGH_POSTED = Prepared(_move.values(high_read_id=bindparam("message"), **_POSTED))
_UNINDEXED = Prepared(
    select(Message.id, Message.text)
    .where(_IN_CHANNEL, Message.id > bindparam("id"))
    .order_by(Message.id)
)
_INDEXED = Prepared(
    update(Channel).where(_THIS).values(indexed_id=Channel.last_message_id, unindexed=0)
)
_LOW_READ = (
    update(Channel)
    .where(_THIS, Channel.low_read_id < bindparam("message"))
    .values(low_read_id=bindparam("message"))
)
_HIGH_READ = (
    update(Channel)
    .where(_THIS, Channel.high_read_id < bindparam("message"))
    .values(high_read_id=bindparam("message"))
)
_IS_IN_CHANNEL = select(exists().where(_IN_CHANNEL, Message.id == bindparam("message")))
_UNREAD = select(func.count(Message.id)).where(
    _IN_CHANNEL,
    Message.sender_id == bindparam("peer"),
    Message.id > bindparam("read"),
    Message.deleted_at.is_(None),
)

_BEFORE = Prepared(
    _MESSAGE.where(Message.id < bindparam("id"))
    .order_by(Message.id.desc())
    .limit(bindparam("limit"))
)
_AFTER = Prepared(
    _MESSAGE.where(Message.id > bindparam("id")).order_by(Message.id).limit(bindparam("limit"))
)
_half = _MESSAGE.where(Message.id < bindparam("id")).order_by(Message.id.desc())
_rest = _MESSAGE.where(Message.id >= bindparam("id")).order_by(Message.id)
_AROUND = Prepared(
    union_all(
        select(_half.limit(bindparam("half")).subquery()),
        select(_rest.limit(bindparam("rest")).subquery()),
    ).order_by("id")
)
_HISTORY = Prepared(
    _MESSAGE.where(Message.id > bindparam("after"), Message.id <= bindparam("last"))
    .order_by(Message.id)
    .limit(bindparam("size"))
)
