"""The index of the search: which words are in which messages.

Nearly each word is a page of the database to write, so the words of new messages come into the
index some messages at a time (Channel.indexed_id); a search reads those that wait as they are. An
erased word is gone from the index in the transaction that erases it.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, String, bindparam, delete, select, true
from sqlalchemy.dialects import postgresql, sqlite

from chat.words import words
from contract.answers import encode
from database import db
from dialects.expressions import json_strings
from models import Channel, Message, Word

#: Characters of new messages that wait in a channel until their words are indexed together: some
#: twenty messages.
UNINDEXED = 2_000
#: Words of one message that the index takes. A message with more has MARKER in their place, and a
#: search reads it as it is: thousands of rows would keep all other writers waiting.
MOST_WORDS = 300
MARKER = ""  # no word

_WAITING = (
    select(Message.id, Message.text)
    .where(Message.channel_id == bindparam("channel"), Message.id > bindparam("id"))
    .order_by(Message.id)
)


@lru_cache(maxsize=256)
def entries(text: str) -> frozenset[str]:
    """What the index has of a text: its words, or MARKER."""
    found = words(text)
    return frozenset(found if len(found) <= MOST_WORDS else (MARKER,))


def prepare(text: str) -> None:
    """Split a text before the turn to write, in which others wait: it is remembered for then."""
    entries(text)


def add_waiting(channel: Channel) -> None:
    """Index the messages that wait for it. The caller writes down that it was done."""
    values = {"channel": channel.id, "id": channel.indexed_id}
    waiting = db.session.execute(_WAITING, values)
    _add(channel.id, [(row.id, entries(row.text)) for row in waiting])


def replace(channel: Channel, message_id: int, old: str, new: str) -> None:
    """Index a text in place of the old one, and before it all messages that wait."""
    if message_id > channel.indexed_id:
        add_waiting(channel)
        channel.indexed_id = channel.last_message_id
        channel.unindexed = 0
    before, after = entries(old), entries(new)
    gone = before - after
    if MARKER in before:  # a process of before there was one has indexed the words themselves
        gone |= words(old) - after
    if gone:
        values = {"channel": channel.id, "message": message_id, "words": encode(sorted(gone))}
        db.session.execute(_REMOVE, values)
    _add(channel.id, [(message_id, after - before)])


_given = json_strings(bindparam("words", type_=String())).table_valued("value")
_REMOVE = delete(Word).where(
    Word.channel_id == bindparam("channel"),
    Word.message_id == bindparam("message"),
    Word.word.in_(select(_given.c.value)),
)


def _insert(dialect: Any) -> Any:
    """One statement for all words of a message, because hundreds of them would keep other writers
    waiting."""
    channel = bindparam("channel", type_=BigInteger())
    message = bindparam("message", type_=BigInteger())
    rows = select(channel, _given.c.value, message).where(true())
    added = dialect.insert(Word.__table__).from_select(["channel_id", "word", "message_id"], rows)
    # A process of before revision 0004 has indexed its messages at once.
    return added.on_conflict_do_nothing()


_ADD = {"sqlite": _insert(sqlite), "postgresql": _insert(postgresql)}


def _add(channel_id: int, found: Iterable[tuple[int, Collection[str]]]) -> None:
    """Index the words of messages, each given by its id."""
    rows = [
        {"channel": channel_id, "message": message_id, "words": encode(sorted(words))}
        for message_id, words in found
        if words
    ]
    if rows:
        db.session.execute(_ADD[db.session.get_bind().dialect.name], rows)
