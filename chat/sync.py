"""Sync: what has changed in all of a user's chats since they last asked."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, func, select, true, tuple_
from sqlalchemy.orm import aliased

from chat import channels, cursors
from chat.channels import MINE
from chat.messages import SHOWN, shown
from contract import answers
from contract.errors import Invalid
from contract.names import MAX_ID
from database import AnyRow, db
from dialects.transactions import horizon
from models import Channel, Generation, Message, User

#: Changes of all people that are gone through for somebody with many chats, before each of these
#: chats is asked.
GONE_THROUGH = 1_000

_one = aliased(Message)
# The index leads to the oldest changes of each chat, so that a long absence costs no more than a
# page of each; among those the page is chosen.
_first_of_each = (
    select(_one.id, _one.transaction_id)
    .where(
        _one.channel_id == Channel.id,
        tuple_(_one.transaction_id, _one.id) > tuple_(bindparam("number"), bindparam("id")),
        _one.transaction_id < horizon(),
    )
    .order_by(_one.transaction_id, _one.id)
    .limit(bindparam("limit"))
    .correlate(Channel)
)
_message = Message.__table__.c


def _on_postgresql() -> Any:
    each = _first_of_each.lateral()
    chosen = (
        select(each.c.id, each.c.transaction_id, Channel.low_id, Channel.high_id)
        .join(each, true())
        .where(MINE)
        .order_by(each.c.transaction_id, each.c.id)
        .limit(bindparam("limit"))
        .subquery()
    )
    return (
        select(*SHOWN, _message.transaction_id, chosen.c.low_id, chosen.c.high_id)
        .join(chosen, _message.id == chosen.c.id)
        .order_by(chosen.c.transaction_id, chosen.c.id)
    )


def _on_sqlite() -> Any:
    return (
        select(*SHOWN, _message.transaction_id, Channel.low_id, Channel.high_id)
        .join(Channel, _message.id.in_(_first_of_each.with_only_columns(_one.id)))
        .where(MINE)
        .order_by(_message.transaction_id, _message.id)
        .limit(bindparam("limit"))
    )


_next = (
    select(_one.id, _one.transaction_id, _one.channel_id)
    .where(
        tuple_(_one.transaction_id, _one.id) > tuple_(bindparam("number"), bindparam("id")),
        _one.transaction_id < horizon(),
    )
    .order_by(_one.transaction_id, _one.id)
)
_some = _next.limit(bindparam("some")).subquery()
_MINE_AMONG_NEXT = (
    select(*SHOWN, _message.transaction_id, Channel.low_id, Channel.high_id)
    .select_from(_some)
    .join(Channel, Channel.id == _some.c.channel_id)
    .join(Message.__table__, _message.id == _some.c.id)
    .where(MINE)
    .order_by(_some.c.transaction_id, _some.c.id)
    .limit(bindparam("limit"))
)
_ARE_MORE = _next.offset(bindparam("some")).limit(1)

# PostgreSQL would try SQLite's subquery for every message there is; SQLite has no LATERAL.
_CHANGES = {"postgresql": _on_postgresql(), "sqlite": _on_sqlite()}

# The numbers of a restored database begin again at lower ones, so that a cursor from before would
# skip changes: it names the database it is of.
_GENERATION = select(Generation.number)

_latest = func.coalesce(select(func.max(Message.transaction_id)).scalar_subquery(), 0)
# All that came before is seen already, or never will be.
_NOW = select(case((_latest < horizon(), _latest), else_=horizon() - 1))


def changes(user: User, since: str | None, limit: int) -> answers.Changes:
    """Messages sent, edited or deleted since the cursor, in the order of their commits, each once
    and in its latest state; without a cursor, none and the cursor of now.

    Raises Invalid for what is no cursor of this database.
    """
    generation = db.session.scalar(_GENERATION)
    # 0 was given by revision 0008 to a database that was in use, with cursors without a number.
    name = f"sync.{generation}" if generation else "sync"
    if since is None:
        now = cursors.encode(name, _now(), MAX_ID)
        return {"messages": [], "cursor": now, "more": False}
    number, message_id = cursors.decode(name, since, member="since")
    values = {"user": user.id, "number": number, "id": message_id, "limit": limit + 1}
    rows = _rows(user, values)
    if not rows and number > _now():  # restored without a new generation
        raise Invalid("since is of a database that no longer exists. Load the chats anew.")
    page = rows[:limit]
    if page:
        since = cursors.encode(name, page[-1].transaction_id, page[-1].id)
    return {
        "messages": [shown(row, row.low_id, row.high_id) for row in page],
        "cursor": since,
        "more": len(rows) > limit,
    }


def _rows(user: User, values: dict[str, int]) -> Sequence[AnyRow]:
    """The oldest changes in the user's chats. With many chats to ask, those of all people may be
    fewer; where they are not, the chats are asked."""
    if channels.are_many(user):
        of_all = {**values, "some": GONE_THROUGH}
        rows = db.session.execute(_MINE_AMONG_NEXT, of_all).all()
        if len(rows) == values["limit"] or not db.session.execute(_ARE_MORE, of_all).first():
            return rows
    return db.session.execute(_CHANGES[db.session.get_bind().dialect.name], values).all()


def _now() -> int:
    number: int = db.session.execute(_NOW).scalar_one()
    return number
