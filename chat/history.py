"""The history: a chat's messages in their order, whole or page by page."""

from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import bindparam, func, select, union_all

from chat.messages import SHOWN, shown
from chat.pages import pages
from contract import answers
from contract.names import MAX_ID
from database import AnyRow, db
from models import Channel, Message

# Columns of the table rather than attributes of the class: to read a page costs a third less.
_message = Message.__table__.c

_IN_CHANNEL = select(*SHOWN).where(_message.channel_id == bindparam("channel"))
_FIRST_ID = select(func.min(_message.id)).where(_message.channel_id == bindparam("channel"))
_OLDER = _IN_CHANNEL.where(_message.id < bindparam("id")).order_by(_message.id.desc())
_NEWER = _IN_CHANNEL.where(_message.id > bindparam("id")).order_by(_message.id)
_BEFORE = _OLDER.limit(bindparam("limit"))
_AFTER = _NEWER.limit(bindparam("limit"))
_FROM = _IN_CHANNEL.where(_message.id >= bindparam("id")).order_by(_message.id)
_AROUND = union_all(
    select(_OLDER.limit(bindparam("half")).subquery()),
    select(_FROM.limit(bindparam("rest")).subquery()),
).order_by("id")
_HISTORY = (
    _IN_CHANNEL.where(_message.id > bindparam("after"), _message.id <= bindparam("last"))
    .order_by(_message.id)
    .limit(bindparam("size"))
)


def whole(channel: Channel) -> Iterator[list[answers.Message]]:
    """All messages as they stand now, oldest first, in pages that hold no connection between
    them."""
    values = {"channel": channel.id, "last": channel.last_message_id}
    shape = partial(shown, low_id=channel.low_id, high_id=channel.high_id)
    return pages(_HISTORY, values, shape)


def page(
    channel: Channel, limit: int, before: int | None, after: int | None, around: int | None
) -> tuple[list[answers.Message], int | None, int | None]:
    """A page, oldest first, and where the pages beside it begin, where there are any: an id to
    ask for messages `before`, and one for those `after`."""
    lowest, highest, rows = _rows(channel, limit, before, after, around)
    if rows:
        lowest, highest = rows[0].id, rows[-1].id
    highest = max(highest, 0)
    first_id = db.session.scalar(_FIRST_ID, {"channel": channel.id}) or MAX_ID
    older = lowest if first_id < lowest else None
    newer = highest if channel.last_message_id > highest else None
    found = [shown(row, channel.low_id, channel.high_id) for row in rows]
    return found, older, newer


def _rows(
    channel: Channel, limit: int, before: int | None, after: int | None, around: int | None
) -> tuple[int, int, Sequence[AnyRow]]:
    """Between which ids a page lies, if it is empty, and its rows."""
    values = {"channel": channel.id, "limit": limit}
    if after is not None:
        rows = db.session.execute(_AFTER, {**values, "id": after}).all()
        return min(after + 1, MAX_ID), after, rows
    if around is not None:
        half = {"half": limit // 2, "rest": limit - limit // 2}
        values = {"channel": channel.id, "id": around, **half}
        return around, around - 1, db.session.execute(_AROUND, values).all()
    lowest = MAX_ID if before is None else before
    rows = db.session.execute(_BEFORE, {**values, "id": lowest}).all()
    return lowest, lowest - 1, rows[::-1]
