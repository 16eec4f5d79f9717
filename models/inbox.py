"""What a user sees over all of their chats: the inbox, what has changed, what matches a search,
and everything at once. Each asks only for channels that the user takes part in."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    bindparam,
    case,
    func,
    intersect,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import aliased
from werkzeug.exceptions import BadRequest

import answers
from database import AnyRow, db, pages, session
from models.channels import UNINDEXED, Channel, chat_channel
from models.columns import MAX_ID, horizon, iso, starts_with
from models.messages import SHOWN, Message, Word
from models.users import MINE, User
from statements import Prepared
from words import has_all, sought

EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)

_USER: Any = bindparam("user")


# Cursors ---------------------------------------------------------------------------------------


class Cursor:
    """A place in a list, opaque to clients: the list's name, two numbers, and an end, lest what
    was cut short be another place."""

    @staticmethod
    def encode(name: str, first: int, second: int) -> str:
        return base64.urlsafe_b64encode(f"{name}.{first}.{second}.".encode()).decode().rstrip("=")

    @staticmethod
    def decode(name: str, cursor: str, *, member: str) -> tuple[int, int]:
        """Raises BadRequest, naming the member, for what encode() has not made for this list."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            _, first, second, _ = base64.urlsafe_b64decode(padded).split(b".")
            numbers = int(first), int(second)
        except ValueError:
            numbers = -1, -1
        ours = min(numbers) >= 0 and max(numbers) <= MAX_ID
        if not ours or cursor != Cursor.encode(name, *numbers):
            raise BadRequest(f"{member} is not a cursor from this server.")
        return numbers


# The inbox -----------------------------------------------------------------------------------


def chats(
    user_id: int, limit: int, cursor: str | None
) -> tuple[list[answers.ChatSummary], str | None]:
    """The chats with the latest activity before the cursor, and the cursor of what follows.

    One statement, whatever their number; it reads the last message and the unread ones of each
    chat, not those that were read.
    """
    everything = (MAX_ID, MAX_ID)
    micros, channel_id = (
        everything if cursor is None else Cursor.decode("chats", cursor, member="cursor")
    )
    # Beyond what a datetime can hold there is nothing that could be newer.
    before = EPOCH + MICROSECOND * min(micros, 253_000_000_000_000_000)
    values = {"user": user_id, "before": before, "channel": channel_id, "limit": limit + 1}
    rows = session.execute(_CHATS, values).all()
    shown = rows[:limit]
    if len(rows) == len(shown):
        return [_chat(row) for row in shown], None
    last = shown[-1]
    return [_chat(row) for row in shown], Cursor.encode(
        "chats", (last.active_at - EPOCH) // MICROSECOND, last.channel
    )


def _chat(row: AnyRow) -> answers.ChatSummary:
    return {
        "channel_id": row.channel,
        "channel_name": chat_channel(row.low_id, row.high_id),
        "user": {"id": row.peer_id, "username": row.peer_name or None},
        "last_message": Message.to_dict(row, row.low_id, row.high_id) if row.id else None,
        "unread": row.unread,
        "last_read_message_id": row.read_id or None,
        "peer_last_read_message_id": row.peer_read_id or None,
    }


def _page_of(mine: Any) -> Any:
    """One end of the pairs: an index finds these in order, where OR would not."""
    return (
        select(Channel)
        .where(
            mine == _USER,
            tuple_(Channel.active_at, Channel.id)
            < tuple_(bindparam("before", type_=Channel.active_at.type), bindparam("channel")),
        )
        .order_by(Channel.active_at.desc(), Channel.id.desc())
        .limit(bindparam("limit"))
        .subquery()
    )


_both = union_all(select(_page_of(Channel.low_id)), select(_page_of(Channel.high_id))).subquery()
_page = aliased(Channel, _both)
_is_low = _page.low_id == _USER
_read_id = case((_is_low, _page.low_read_id), else_=_page.high_read_id)
_theirs = aliased(Message)
_unread = (
    select(func.count(_theirs.id))
    .where(
        _theirs.channel_id == _page.id,
        _theirs.id > _read_id,
        _theirs.sender_id != _USER,
        _theirs.deleted_at.is_(None),
    )
    .scalar_subquery()
)
_CHATS = (
    select(
        *SHOWN,
        _page.id.label("channel"),
        _page.low_id,
        _page.high_id,
        _page.active_at,
        User.id.label("peer_id"),
        User.username.label("peer_name"),
        _read_id.label("read_id"),
        case((_is_low, _page.high_read_id), else_=_page.low_read_id).label("peer_read_id"),
        _unread.label("unread"),
    )
    .select_from(_page)
    .join(User, User.id == case((_is_low, _page.high_id), else_=_page.low_id))
    .outerjoin(Message, Message.id == _page.last_message_id)
    .order_by(_page.active_at.desc(), _page.id.desc())
    .limit(bindparam("limit"))
)


# What has changed ----------------------------------------------------------------------------


def changes(user_id: int, since: str | None, limit: int) -> answers.Changes:
    """Messages sent, edited or deleted since the cursor, in the order of their commits, each
    once and in its latest state; without a cursor, none and the cursor of now."""
    if since is None:
        now = Cursor.encode("sync", session.execute(_NOW).scalar(), MAX_ID)
        return {"messages": [], "cursor": now, "more": False}
    number, message_id = Cursor.decode("sync", since, member="since")
    values = {"user": user_id, "number": number, "id": message_id, "limit": limit + 1}
    rows = session.execute(_CHANGES[session.bare().dialect.name], values).all()
    if not rows and number > session.execute(_NOW).scalar():
        raise BadRequest("since is of a database that no longer exists. Load the chats anew.")
    shown = rows[:limit]
    if shown:
        since = Cursor.encode("sync", shown[-1].transaction_id, shown[-1].id)
    return {
        "messages": [Message.to_dict(row, row.low_id, row.high_id) for row in shown],
        "cursor": since,
        "more": len(rows) > limit,
    }


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
_each = _first_of_each.lateral()
_chosen = (
    select(_each.c.id, _each.c.transaction_id, Channel.low_id, Channel.high_id)
    .join(_each, true())
    .where(MINE)
    .order_by(_each.c.transaction_id, _each.c.id)
    .limit(bindparam("limit"))
    .subquery()
)
_CHANGES = {
    # PostgreSQL would try the subquery for every message there is; SQLite has no LATERAL.
    "postgresql": select(*SHOWN, Message.transaction_id, _chosen.c.low_id, _chosen.c.high_id)
    .join(_chosen, Message.id == _chosen.c.id)
    .order_by(_chosen.c.transaction_id, _chosen.c.id),
    "sqlite": select(*SHOWN, Message.transaction_id, Channel.low_id, Channel.high_id)
    .join(Channel, Message.id.in_(_first_of_each.with_only_columns(_one.id)))
    .where(MINE)
    .order_by(Message.transaction_id, Message.id)
    .limit(bindparam("limit")),
}
_latest = func.coalesce(select(func.max(Message.transaction_id)).scalar_subquery(), 0)
# All that came before is seen already, or never will be.
_NOW = select(case((_latest < horizon(), _latest), else_=horizon() - 1))


# Search --------------------------------------------------------------------------------------


#: Words of a query that are looked up in the index; beyond these the texts are compared.
MOST_LOOKED_UP = 128


def search(
    user_id: int, query: str, channel: Channel | None, before: int | None, limit: int
) -> list[answers.Message]:
    """Messages with every word of the query, newest first."""
    prefixes = sorted(sought(query))
    if not prefixes:
        return []
    looked_up = prefixes[:MOST_LOOKED_UP]
    # Their number is a power of two, or each other one would be a statement to compile and to keep.
    looked_up += looked_up[:1] * (2 ** (len(looked_up) - 1).bit_length() - len(looked_up))
    before = MAX_ID if before is None else before
    which = Channel.id == channel.id if channel else MINE
    values = {"user": user_id, "before": before}
    # These first: who is indexed meanwhile is found twice rather than not at all.
    new = session.execute(_UNINDEXED[session.bare().dialect.name].where(which), values)
    found = {row.id for row in new if has_all(row.text, prefixes)}
    each_word = [
        select(Word.message_id.label("id"))
        .where(
            Word.channel_id.in_(select(Channel.id).where(which)),
            starts_with(Word.word, prefix),
            Word.message_id < bindparam("before"),
        )
        .distinct()
        for prefix in looked_up
    ]
    matching = (intersect(*each_word) if len(each_word) > 1 else each_word[0]).subquery()
    ids = select(matching.c.id).order_by(matching.c.id.desc()).limit(limit)
    found.update(session.execute(ids, values).scalars())
    shown = (
        select(*SHOWN, Channel.low_id, Channel.high_id)
        .join(Channel, Channel.id == Message.channel_id)
        .where(Message.id.in_(sorted(found)[-limit:]), Message.deleted_at.is_(None))
        .order_by(Message.id.desc())
    )
    return [
        Message.to_dict(row, row.low_id, row.high_id)
        for row in session.execute(shown)
        if len(prefixes) <= MOST_LOOKED_UP or has_all(row.text, prefixes)
    ]


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
_UNINDEXED = {
    # As with the changes above.
    "postgresql": select(_texts.c.id, _texts.c.text)
    .select_from(Channel)
    .join(_texts, true())
    .where(Channel.unindexed > 0),
    "sqlite": select(Message.id, Message.text)
    .select_from(Channel)
    .join(Message, Message.id.in_(_unindexed.with_only_columns(_new.id)))
    .where(Channel.unindexed > 0),
}


# Everything ----------------------------------------------------------------------------------


def export(user: User) -> Iterator[list[answers.ExportLine]]:
    """The user, and every channel and message of theirs, in pages."""
    read = partial(pages, engine=db.engine)
    created = select(iso(User.created_at)).where(User.id == user.id)
    me: answers.UserLine = {
        "type": "user",
        **user.to_dict(),
        "created_at": session.execute(created).scalar(),
    }

    def everything() -> Iterator[list[answers.ExportLine]]:
        yield [me]
        for channels in read(_MY_CHANNELS, {"user": user.id}, Channel.found):
            for channel in channels:
                yield [channel.summary()]
                for messages in channel.history(read):
                    yield [{"type": "message", **message} for message in messages]

    return everything()


_MY_CHANNELS = Prepared(
    select(
        Channel.id,
        Channel.low_id,
        Channel.high_id,
        iso(Channel.created_at).label("created"),
        Channel.last_message_id,
    )
    .where(MINE, Channel.id > bindparam("after"))
    .order_by(Channel.id)
    .limit(bindparam("size"))
)
