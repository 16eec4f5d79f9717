"""The backlog: events that wait, as the dispatcher and the operator see them.

Where a connection is given, it is the dispatcher's own; the rest asks over db.session.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    bindparam,
    cast,
    delete,
    func,
    select,
    text,
    update,
)

from contract import answers
from contract.answers import encode
from database import AnyRow, db, utcnow, writing_on
from dialects.expressions import json_strings
from dialects.transactions import horizon
from models import Event

_event = Event.__table__.c
_busy = json_strings(bindparam("busy", type_=String())).table_valued("value")
_WAITING = (
    select(_event.id, _event.channel, _event.name, _event.data, _event.socket_id, _event.refusals)
    .where(
        _event.set_aside.is_(None),
        _event.transaction_id < horizon(),
        _event.channel.not_in(select(_busy.c.value)),
    )
    # By all columns of the index, or PostgreSQL would sort everything that waits each time.
    .order_by(_event.set_aside, _event.transaction_id, _event.id)
    .limit(bindparam("limit"))
)
_ids = json_strings(bindparam("ids", type_=String())).table_valued("value")
_LOCKED = (
    select(_event.id)
    .where(_event.id.in_(select(cast(_ids.c.value, BigInteger))))
    .order_by(_event.id)
    .with_for_update()
)
_REMOVE = delete(Event).where(Event.id.in_(_LOCKED))


#: After so many seconds an open transaction is worth a word.
HELD_BACK_SECONDS = 30
# The times of another role's transactions are shown to those who may see them (pg_monitor).
_OPEN = text(
    "SELECT pid, CAST(extract(epoch FROM clock_timestamp() - xact_start) AS integer) AS seconds"
    " FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    " AND clock_timestamp() - xact_start > make_interval(secs => :seconds) ORDER BY xact_start"
)


def waiting(connection: Connection, busy: list[str], limit: int) -> Sequence[AnyRow]:
    """The oldest events that wait, but for those of `busy` channels.

    On PostgreSQL numbers become visible out of order: only what is older than every running
    transaction is handed out, so that nothing can come before it later.
    """
    return connection.execute(_WAITING, {"busy": encode(busy), "limit": limit}).all()


def lock(connection: Connection, ids: list[int]) -> None:
    """Lock events in the order in which all others do."""
    connection.execute(_LOCKED, {"ids": encode(ids)}).all()


def remove(connection: Connection, ids: list[int]) -> None:
    """Take out what the Pusher server has taken."""
    connection.execute(_REMOVE, {"ids": encode(ids)})


def count_refusal(connection: Connection, event_id: int) -> None:
    """Note that the server has refused an event once more."""
    refused = update(Event).where(Event.id == event_id)
    connection.execute(refused.values(refusals=Event.refusals + 1))


def set_aside(connection: Connection, event_id: int, reason: str) -> None:
    """Give an event up, until an operator says otherwise."""
    connection.execute(update(Event).where(Event.id == event_id).values(set_aside=reason))


def take_up_notices(connection: Connection) -> None:
    """Have notices that were set aside tried again. A process of a version that knows no notices
    has done that, while it delivered."""
    aside = (Event.set_aside.is_not(None), Event.channel.like("#%"))
    with connection.begin():
        found = connection.execute(select(Event.id).where(*aside).limit(1)).first()
    if found:  # a database that takes no writes is no hindrance otherwise
        with writing_on(connection):
            again = update(Event).where(*aside).values(set_aside=None, refusals=0)
            connection.execute(again)


def is_longer_than(count: int) -> bool:
    """Whether more events wait than so many."""
    some = select(Event.id).where(Event.set_aside.is_(None)).limit(count + 1).subquery()
    return (db.session.scalar(select(func.count()).select_from(some)) or 0) > count


# What people ask -----------------------------------------------------------------------------


def lag() -> answers.Lag:
    """How many events wait, the age of the oldest in seconds, and how many are set aside."""
    waits = Event.set_aside.is_(None)
    of_events = select(func.count()).select_from(Event)
    oldest = (
        select(Event.created_at)
        .where(waits)
        .order_by(Event.set_aside, Event.transaction_id, Event.id)
        .limit(1)
    )
    counts = select(
        of_events.where(waits).scalar_subquery().label("waiting"),
        of_events.where(~waits).scalar_subquery().label("aside"),
        oldest.scalar_subquery().label("oldest"),
    )
    row = db.session.execute(counts).one()
    age = (utcnow() - row.oldest).total_seconds() if row.oldest else 0.0
    return {
        "waiting": row.waiting,
        "oldest_seconds": round(max(0.0, age), 3),
        "set_aside": row.aside,
    }


def reasons() -> list[str]:
    """What holds all events back for long: transactions that have written to our database and are
    still open, by PostgreSQL's number of their process. (Those of the API end by themselves.)"""
    if db.session.get_bind().dialect.name == "sqlite":
        return []
    found = db.session.execute(_OPEN, {"seconds": HELD_BACK_SECONDS})
    return [
        f"PostgreSQL's process {row.pid} has a transaction open for {row.seconds} s, which holds"
        " events and sync back."
        for row in found
    ]


def listed() -> Sequence[Event]:
    """The events that were set aside, by id."""
    aside = select(Event).where(Event.set_aside.is_not(None)).order_by(Event.id)
    return db.session.scalars(aside).all()


def retry(event_id: int | None) -> int:
    """Have one event that was set aside, or all, tried again: how many."""
    chosen = Event.id == event_id if event_id is not None else Event.set_aside.is_not(None)
    again: Any = db.session.execute(update(Event).where(chosen).values(set_aside=None, refusals=0))
    return int(again.rowcount)


def drop(event_id: int) -> int:
    """Give up one event for good: how many there were."""
    dropped: Any = db.session.execute(delete(Event).where(Event.id == event_id))
    return int(dropped.rowcount)
