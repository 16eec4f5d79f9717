"""Search: messages by the words in them, in the user's own chats.

What one search may cost is bounded, whatever was sent: it reads so many rows of the index, and
compares texts for so long. The index only says which messages to read. Each is compared as it is.
"""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from operator import neg
from typing import Any

from sqlalchemy import bindparam, func, intersect, select, true, union
from sqlalchemy.orm import aliased

from chat import channels
from chat.channels import MINE
from chat.index import MARKER, UNINDEXED
from chat.messages import SHOWN, shown
from chat.words import has_all, sought
from contract import answers
from contract.names import MAX_ID
from database import AnyRow, db
from dialects.expressions import starts_with
from models import Channel, Message, User, Word

#: Words of a query that are looked up in the index, the longest ones.
MOST_LOOKED_UP = 3
#: Rows of the index that are read for one of them. A word with more is too common to look up.
MOST_ROWS = 20_000
#: Processor time in seconds after which a search that compares texts leaves the rest for the next
#: page.
MOST_SECONDS = 0.12

#: Messages that are read at a time; their ids, and chats, where all messages are gone through.
TEXTS, IDS, CHATS = 400, 4_000, 100
#: The latest messages that are read first for somebody with many chats.
LATEST = 200


def messages(
    user: User, query: str, channel: Channel | None, before: int | None, limit: int
) -> tuple[list[answers.Message], int | None]:
    """Messages with every word of the query, newest first; of one channel, if it is given.

    Beside them, if there are more or the search was left early: the id `before` which it goes on.
    """
    prefixes = sorted(sought(query), key=len, reverse=True)
    if not prefixes:
        return [], None
    which = Channel.id == channel.id if channel else MINE
    before = MAX_ID if before is None else before
    found: list[answers.Message] = []
    until = None
    ids = _ids(prefixes, which, user.id, before)
    if channel is None and channels.are_many(user):
        ids = _newest_first(prefixes, user.id, before)
    for row in _rows(ids):
        until = until or time.thread_time() + MOST_SECONDS
        if has_all(row.text, prefixes):
            if len(found) == limit:
                return found, found[-1]["id"]
            found.append(shown(row, row.low_id, row.high_id))
        if time.thread_time() > until:
            return found, row.id
    return found, None


def _rows(pages: Iterator[list[int]]) -> Iterator[AnyRow]:
    """The messages of these ids, some at a time."""
    for ids in pages:
        for first in range(0, len(ids), TEXTS):
            some = Message.id.in_(ids[first : first + TEXTS])
            rows = select(*SHOWN, Channel.low_id, Channel.high_id).join_from(Message, Channel)
            yield from db.session.execute(rows.where(some).order_by(Message.id.desc())).all()


def _ids(prefixes: list[str], which: Any, user_id: int, before: int) -> Iterator[list[int]]:
    """Of all messages that have the words, and perhaps of others, newest first."""
    candidates = _candidates(prefixes[:MOST_LOOKED_UP], which, user_id)
    if candidates is None:
        yield from _all_ids(which, user_id, before)
        return
    ids: list[int] = []
    while not ids or len(ids) == IDS:
        values = {"user": user_id, "before": ids[-1] if ids else before}
        ids = list(db.session.scalars(candidates, values))
        yield ids
        if not ids:
            return


def _newest_first(prefixes: list[str], user_id: int, before: int) -> Iterator[list[int]]:
    """The same for somebody with many chats. A word that is common enough stands in the latest
    messages of all, and then the index need not be asked about each chat."""
    newest = next(_all_ids(MINE, user_id, before, LATEST * 5), [])[:LATEST]
    yield newest
    yield from _ids(prefixes, MINE, user_id, newest[-1] if newest else before)


# The index -----------------------------------------------------------------------------------


def _candidates(prefixes: list[str], which: Any, user_id: int) -> Any:
    """The statement for the ids of messages that may have all the words: those that the index
    says, and those whose words are not in it. None if no word is rare enough to look up."""
    on_postgresql = db.session.get_bind().dialect.name == "postgresql"
    mine = select(Channel.id).where(which).cte("mine")

    def look_up(condition: Any) -> Any:
        if on_postgresql:
            # Or it would rather read all words that there are than look into many chats.
            of_one = select(Word.message_id.label("id")).where(Word.channel_id == mine.c.id)
            each = of_one.where(condition).limit(MOST_ROWS + 1).lateral()
            return select(each.c.id).join_from(mine, each, true())
        of_mine = Word.channel_id.in_(select(mine.c.id))
        return select(Word.message_id.label("id")).where(of_mine, condition)

    waiting = _of_each(_new.id > Channel.indexed_id, most=UNINDEXED)  # all: each has a character
    waiting = waiting.with_only_columns(waiting.selected_columns.id)
    waiting = waiting.where(which, Channel.unindexed > 0)
    marked = look_up(Word.word == MARKER)
    indexed = [look_up(starts_with(Word.word, prefix)) for prefix in prefixes]

    counts: Any = select(*(_count(part) for part in (waiting, marked, *indexed)))
    counted = db.session.execute(counts, {"user": user_id}).one()
    rare = [part for part, count in zip(indexed, counted[2:], strict=True) if count <= MOST_ROWS]
    if not rare or max(counted[:2]) > MOST_ROWS:
        return None
    have_all: Any = intersect(*rare) if len(rare) > 1 else rare[0]
    ids = union(select(have_all.subquery()), marked, waiting).subquery()
    return (
        select(ids.c.id).where(ids.c.id < bindparam("before")).order_by(ids.c.id.desc()).limit(IDS)
    )


def _count(part: Any) -> Any:
    """How many rows a statement has, or one more than are read."""
    some = part.limit(MOST_ROWS + 1).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


_new = aliased(Message)


def _of_each(*conditions: Any, most: Any) -> Any:
    """The newest messages of each channel for which the conditions hold, so many at most."""
    ids = (
        select(_new.id)
        .where(_new.channel_id == Channel.id, *conditions)
        .order_by(_new.id.desc())
        .limit(most)
        .correlate(Channel)
    )
    if db.session.get_bind().dialect.name == "sqlite":  # which has no LATERAL
        there = Message.id.in_(ids)
        return select(Message.id, Message.channel_id).join_from(Channel, Message, there)
    # PostgreSQL would try the same for every message there is.
    each = ids.lateral()
    return select(each.c.id, Channel.id.label("channel_id")).join_from(Channel, each, true())


def _all_ids(which: Any, user_id: int, before: int, at_a_time: int = IDS) -> Iterator[list[int]]:
    """Of all messages, newest first: some of each chat at a time, because the index of messages
    has an order within each chat only. Chats come in as their latest message does."""
    latest = select(Channel.last_message_id).where(which).order_by(Channel.last_message_id.desc())
    lasts = db.session.scalars(latest, {"user": user_id}).all()
    while before:
        # All after this one in the list were quiet since.
        count = bisect_right(lasts, -before, key=neg) + CHATS
        quiet = lasts[count] if count < len(lasts) else 0
        most = max(at_a_time // count, 1)
        some = _of_each(_new.id < before, most=most).where(which, Channel.last_message_id > quiet)
        some = some.order_by(some.selected_columns.id.desc())
        rows = db.session.execute(some, {"user": user_id}).all()
        of_channel = Counter(row.channel_id for row in rows)
        oldest = {row.channel_id: row.id for row in rows}
        # A channel with so many may have more, between its oldest one here and those of others.
        full = [oldest[each] for each, n in of_channel.items() if n == most]
        before = max([quiet + 1 if quiet else 0, *full])
        yield [row.id for row in rows if row.id >= before]
