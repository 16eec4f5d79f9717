"""The inbox: a user's chats, latest activity first, and up to where each was read."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, exists, func, select, tuple_, union_all
from sqlalchemy.orm import aliased

from chat import accounts, blocks, channels, cursors
from chat.messages import SHOWN, shown
from contract import answers
from contract.answers import encode
from contract.errors import NotFound
from contract.names import MAX_ID, chat_channel
from database import AnyRow, db
from models import Channel, Message, User

#: Unread messages of a chat that are counted; so many stand for as many or more.
MOST_UNREAD = 1_000
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
#: Microseconds after EPOCH beyond which a datetime cannot hold anything.
LATEST = 253_000_000_000_000_000


# The list of chats ---------------------------------------------------------------------------

_USER: Any = bindparam("user")


def _count(theirs: Any, *unread: Any) -> Any:
    """How many messages are unread, up to MOST_UNREAD: to count more would cost more."""
    some = select(theirs.id).where(*unread, theirs.deleted_at.is_(None)).limit(MOST_UNREAD)
    return select(func.count()).select_from(some.correlate_except(theirs).subquery("unread"))


def _page_of(mine: Any) -> Any:
    """One end of the pairs: an index finds these in order, where OR would not."""
    before = tuple_(bindparam("before", type_=Channel.active_at.type), bindparam("channel"))
    return (
        select(Channel)
        .where(mine == _USER, tuple_(Channel.active_at, Channel.id) < before)
        .order_by(Channel.active_at.desc(), Channel.id.desc())
        .limit(bindparam("limit"))
        .subquery()
    )


def _statement() -> Any:
    """One statement for any number of chats. It reads the last message and the unread ones of each
    chat, not those that were read."""
    both = union_all(select(_page_of(Channel.low_id)), select(_page_of(Channel.high_id)))
    chat = aliased(Channel, both.subquery())
    is_low = chat.low_id == _USER
    read_id = case((is_low, chat.low_read_id), else_=chat.high_read_id)
    theirs = aliased(Message)
    unread = _count(
        theirs,
        theirs.channel_id == chat.id,
        theirs.id > read_id,
        theirs.sender_id != _USER,
    )
    return (
        select(
            *SHOWN,
            chat.id.label("channel"),
            chat.low_id,
            chat.high_id,
            chat.active_at,
            User.id.label("peer_id"),
            User.username.label("peer_name"),
            User.display_name,
            User.avatar,
            read_id.label("read_id"),
            case((is_low, chat.high_read_id), else_=chat.low_read_id).label("peer_read_id"),
            unread.scalar_subquery().label("unread"),
            blocks.between(chat.low_id, chat.high_id).label("blocked"),
            case((is_low, chat.low_muted), else_=chat.high_muted).label("muted"),
        )
        .select_from(chat)
        .join(User, User.id == case((is_low, chat.high_id), else_=chat.low_id))
        .outerjoin(Message.__table__, Message.__table__.c.id == chat.last_message_id)
        .order_by(chat.active_at.desc(), chat.id.desc())
        .limit(bindparam("limit"))
    )


_CHATS = _statement()


def chats(
    user: User, limit: int, cursor: str | None
) -> tuple[list[answers.ChatSummary], str | None]:
    """The chats with the latest activity before the cursor, and the cursor of what follows."""
    micros, channel_id = MAX_ID, MAX_ID
    if cursor is not None:
        micros, channel_id = cursors.decode("chats", cursor, member="cursor")
    before = EPOCH + MICROSECOND * min(micros, LATEST)
    values = {"user": user.id, "before": before, "channel": channel_id, "limit": limit + 1}
    rows = db.session.execute(_CHATS, values).all()
    found = [_summary(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return found, None
    last = rows[limit - 1]
    activity = (last.active_at - EPOCH) // MICROSECOND
    return found, cursors.encode("chats", activity, last.channel)


def _summary(row: AnyRow) -> answers.ChatSummary:
    return {
        "channel_id": row.channel,
        "channel_name": chat_channel(row.low_id, row.high_id),
        "user": {
            "id": row.peer_id,
            "username": row.peer_name or None,
            "display_name": row.display_name,
            "avatar": accounts.avatar_path(row.peer_id, row.avatar),
        },
        "last_message": shown(row, row.low_id, row.high_id) if row.id else None,
        "unread": row.unread,
        "last_read_message_id": row.read_id or None,
        "peer_last_read_message_id": row.peer_read_id or None,
        "blocked": row.blocked,
        "muted": row.muted,
    }


# Marks ---------------------------------------------------------------------------------------


def mark_read(
    channel: Channel, user: User, message_id: int | None, socket_id: str | None
) -> answers.MarkAndUnread:
    """Move the user's mark up to and including a message (the latest if None), never back.

    Raises NotFound for a message of another channel.
    """
    if message_id is None:
        message_id = channel.last_message_id
    elif not _has(channel, message_id):
        raise NotFound("No such message in this channel.")
    read_id = max(message_id, channel.read_id(user.id))
    moved = read_id > channel.read_id(user.id)
    if user.id == channel.low_id:
        channel.low_read_id = read_id
    else:
        channel.high_read_id = read_id
    mark: answers.Mark = {
        "channel_id": channel.id,
        "channel": channel.name,
        "user_id": user.id,
        "last_read_message_id": read_id or None,
    }
    if moved:
        channels.tell_both(channel, "message_read", encode(mark), socket_id)
    return {**mark, "unread": _unread(channel, user, read_id)}


def _has(channel: Channel, message_id: int) -> bool:
    there = exists().where(Message.channel_id == channel.id, Message.id == message_id)
    return bool(db.session.scalar(select(there)))


def _unread(channel: Channel, user: User, read_id: int) -> int:
    unread = _count(
        Message,
        Message.channel_id == channel.id,
        Message.sender_id == channel.peer_id(user.id),
        Message.id > read_id,
    )
    return db.session.scalar(unread) or 0


# Muting --------------------------------------------------------------------------------------


def mute(channel: Channel, user: User, *, muted: bool) -> None:
    """Have the user's browsers told of new messages in a chat no more, or again."""
    if user.id == channel.low_id:
        channel.low_muted = muted
    else:
        channel.high_muted = muted
