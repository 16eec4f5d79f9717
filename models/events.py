"""Events: what the Pusher server still has to be told."""

import json
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from blinker import Signal
from pydantic_core import to_json
from sqlalchemy import (
    BigInteger,
    Connection,
    Index,
    String,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

import answers
from database import AnyRow, Base, session, utcnow
from models.columns import BigId, current_transaction, horizon, json_strings
from statements import Prepared

EVENT_BYTES = 10_240  # the most that Pusher takes, as UTF-8

#: Sent by the process that has committed events, once it has.
recorded = Signal()


class Event(Base):
    """An event of a committed transaction; the row goes when the server has taken it.

    `transaction_id` orders what transactions that ran at once have recorded. `set_aside` is the
    reason why an event was given up. On PostgreSQL a trigger of the table tells the dispatcher of
    changes; on SQLite it sees for itself.
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
    message_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    created_at: Mapped[datetime]
    refusals: Mapped[int] = mapped_column(default=0)
    set_aside: Mapped[str | None]

    @staticmethod
    def record(
        events: Iterable[tuple[str, str, str]],
        socket_id: str | None,
        message_id: int | None = None,
        *,
        now: datetime | None = None,
    ) -> None:
        """Have (channel, name, data) delivered once this transaction is committed.

        The connection named by `socket_id`, if any, is left out. The only place where events
        come into being.
        """
        same = {"socket_id": socket_id, "message_id": message_id, "created_at": now or utcnow()}
        rows = [
            {"channel": channel, "name": name, "data": data, **same}
            for channel, name, data in events
        ]
        _RECORD.each(session.connection(), rows)
        session.on_commit(recorded.send)

    @classmethod
    def erase(cls, message_id: int) -> None:
        """Take a message's text out of the events that still wait."""
        waiting = select(cls.id, cls.data).where(cls.message_id == message_id)
        # Locked in the order in which the dispatcher removes them, lest both wait for ever.
        for row in session.execute(waiting.order_by(cls.id).with_for_update()).all():
            data = json.loads(row.data)
            message = data["message"] if isinstance(data["message"], dict) else data
            message["message"] = ""
            message.pop("truncated", None)
            session.execute(update(cls).where(cls.id == row.id).values(data=encode(data)))

    # What the dispatcher asks, over a connection of its own.

    @staticmethod
    def waiting(connection: Connection, busy: list[str], limit: int) -> Sequence[AnyRow]:
        """The oldest events that wait, but for those of `busy` channels.

        On PostgreSQL numbers become visible out of order: only what is older than every running
        transaction is handed out, so that nothing can come before it later.
        """
        return _WAITING.rows(connection, {"busy": encode(busy), "limit": limit})

    @staticmethod
    def hold(connection: Connection, ids: list[int]) -> None:
        """Lock them in the order in which all others do."""
        locked = select(Event.id).where(Event.id.in_(ids)).order_by(Event.id).with_for_update()
        connection.execute(locked).all()

    @staticmethod
    def remove(connection: Connection, ids: list[int]) -> None:
        _REMOVE.count(connection, {"ids": encode(ids)})

    @classmethod
    def count_refusal(cls, connection: Connection, event_id: int) -> None:
        connection.execute(update(cls).where(cls.id == event_id).values(refusals=cls.refusals + 1))

    @classmethod
    def put_aside(cls, connection: Connection, event_id: int, reason: str) -> None:
        connection.execute(update(cls).where(cls.id == event_id).values(set_aside=reason))

    # What people ask.

    @classmethod
    def lag(cls) -> answers.Lag:
        """How many events wait, the age of the oldest in seconds, how many are set aside."""
        waits = cls.set_aside.is_(None)
        counts = select(
            select(func.count()).select_from(cls).where(waits).scalar_subquery().label("waiting"),
            select(func.count()).select_from(cls).where(~waits).scalar_subquery().label("aside"),
            select(cls.created_at)
            .where(waits)
            .order_by(cls.set_aside, cls.transaction_id, cls.id)
            .limit(1)
            .scalar_subquery()
            .label("oldest"),
        )
        row = session.execute(counts).one()
        age = (utcnow() - row.oldest).total_seconds() if row.oldest else 0.0
        return {
            "waiting": row.waiting,
            "oldest_seconds": round(max(0.0, age), 3),
            "set_aside": row.aside,
        }

    @classmethod
    def aside(cls) -> Sequence[AnyRow]:
        columns = select(cls.id, cls.name, cls.channel, cls.created_at, cls.set_aside)
        found: Sequence[AnyRow] = session.execute(
            columns.where(cls.set_aside.is_not(None)).order_by(cls.id)
        ).all()
        return found

    @classmethod
    def retry(cls, event_id: int | None) -> int:
        chosen = cls.id == event_id if event_id is not None else cls.set_aside.is_not(None)
        again = update(cls).where(chosen).values(set_aside=None, refusals=0)
        count: int = session.execute(again).rowcount
        return count

    @classmethod
    def drop(cls, event_id: int) -> int:
        count: int = session.execute(delete(cls).where(cls.id == event_id)).rowcount
        return count


def encode(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """Compact JSON, characters as themselves."""
    return to_json(data).decode()


def fitted(
    message: Mapping[str, Any], wrap: Callable[[Any], Mapping[str, Any]] = lambda cut: cut
) -> str:
    """The data of an event about a message, its text cut where EVENT_BYTES would be exceeded."""
    whole = encode(wrap(message))
    if len(whole.encode()) <= EVENT_BYTES:
        return whole

    def cut(length: int) -> str:
        members = {}
        for name, value in message.items():
            members[name] = value[:length] if name == "message" else value
            if name == "message":
                members["truncated"] = True
        return encode(wrap(members))

    lengths = range(len(message["message"]))
    return cut(bisect(lengths, EVENT_BYTES, key=lambda length: len(cut(length).encode())) - 1)


_busy = json_strings(bindparam("busy", type_=String())).table_valued("value")
_WAITING = Prepared(
    select(Event.id, Event.channel, Event.name, Event.data, Event.socket_id, Event.refusals)
    .where(
        Event.set_aside.is_(None),
        Event.transaction_id < horizon(),
        Event.channel.not_in(select(_busy.c.value)),
    )
    # By all columns of the index, or PostgreSQL would sort everything that waits each time.
    .order_by(Event.set_aside, Event.transaction_id, Event.id)
    .limit(bindparam("limit"))
)
_ids = json_strings(bindparam("ids", type_=String())).table_valued("value")
_REMOVE = Prepared(
    delete(Event).where(
        Event.id.in_(
            select(Event.id)
            .where(Event.id.in_(select(cast(_ids.c.value, BigInteger))))
            .order_by(Event.id)
            .with_for_update()
        )
    )
)
_RECORD = Prepared(
    insert(Event), "channel", "name", "data", "socket_id", "message_id", "created_at"
)
