"""Search: messages by the words in them, in the user's own chats."""

from typing import Any

from sqlalchemy import bindparam, intersect, select, true
from sqlalchemy.orm import aliased

from chat.channels import MINE
from chat.dialects import starts_with
from chat.index import UNINDEXED
from chat.messages import SHOWN, shown
from chat.words import has_all, sought
from contract import answers
from contract.names import MAX_ID
from database import db
from models import Channel, Message, User, Word

#: Words of a query that are looked up in the index; beyond these the texts are compared.
MOST_LOOKED_UP = 128


def messages(
    user: User, query: str, channel: Channel | None, before: int | None, limit: int
) -> list[answers.Message]:
    """Messages with every word of the query, newest first; of one channel, if it is given."""
    prefixes = sorted(sought(query))
    if not prefixes:
        return []
    which = Channel.id == channel.id if channel else MINE
    values = {"user": user.id, "before": MAX_ID if before is None else before}
    # These first: what is indexed meanwhile is found twice rather than not at all.
    waiting = _UNINDEXED[db.session.get_bind().dialect.name].where(which)
    found = {row.id for row in db.session.execute(waiting, values) if has_all(row.text, prefixes)}
    indexed = _indexed(prefixes[:MOST_LOOKED_UP], which, limit)
    found.update(db.session.scalars(indexed, values))
    rows = (
        select(*SHOWN, Channel.low_id, Channel.high_id)
        .join(Channel, Channel.id == Message.channel_id)
        .where(Message.id.in_(sorted(found)[-limit:]), Message.deleted_at.is_(None))
        .order_by(Message.id.desc())
    )
    return [
        shown(row, row.low_id, row.high_id)
        for row in db.session.execute(rows)
        if len(prefixes) <= MOST_LOOKED_UP or has_all(row.text, prefixes)
    ]


def _indexed(prefixes: list[str], which: Any, limit: int) -> Any:
    """The ids of the newest messages that have all of these in the index."""
    each_word = [
        select(Word.message_id.label("id"))
        .where(
            Word.channel_id.in_(select(Channel.id).where(which)),
            starts_with(Word.word, prefix),
            Word.message_id < bindparam("before"),
        )
        .distinct()
        for prefix in prefixes
    ]
    matching = (intersect(*each_word) if len(each_word) > 1 else each_word[0]).subquery()
    return select(matching.c.id).order_by(matching.c.id.desc()).limit(limit)


_new = aliased(Message)
_unindexed = (
    select(_new.id, _new.text)
    .where(
        _new.channel_id == Channel.id,
        _new.id > Channel.indexed_id,
        _new.id < bindparam("before"),
    )
    .limit(UNINDEXED)  # all of them: each has a character
    .correlate(Channel)
)
_texts = _unindexed.lateral()
# PostgreSQL would try SQLite's subquery for every message there is; SQLite has no LATERAL.
_UNINDEXED = {
    "postgresql": select(_texts.c.id, _texts.c.text)
    .select_from(Channel)
    .join(_texts, true())
    .where(Channel.unindexed > 0),
    "sqlite": select(Message.id, Message.text)
    .select_from(Channel)
    .join(Message, Message.id.in_(_unindexed.with_only_columns(_new.id)))
    .where(Channel.unindexed > 0),
}
