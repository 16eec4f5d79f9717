"""Channels: the chat of two people, found only among those that the asker takes part in."""

from typing import Any

from sqlalchemy import bindparam, func, or_, select

from chat import accounts, blocks, events
from contract import answers, names
from contract.answers import encode
from contract.errors import Blocked, Invalid, NotFound
from database import db, insert_once, utcnow
from models import Channel, Message, User

#: The channels that the user takes part in.
MINE = or_(Channel.low_id == bindparam("user"), Channel.high_id == bindparam("user"))

#: With more chats than these, what asks each of them would take too long.
MANY = 100
_SOME = select(Channel.id).where(MINE).limit(MANY + 1).subquery()
_COUNT = select(func.count()).select_from(_SOME)

_BY_ID = select(Channel).where(Channel.id == bindparam("id"), MINE)
_BY_PAIR = select(Channel).where(
    Channel.low_id == bindparam("low"), Channel.high_id == bindparam("high"), MINE
)
_BY_MESSAGE = select(Channel).where(
    Channel.id
    == select(Message.channel_id).where(Message.id == bindparam("message")).scalar_subquery(),
    MINE,
)


def _to_write(statement: Any) -> Any:
    """Lock the row, and read it as it now stands: writers of a chat queue until the commit, so
    that messages become visible in the order of their ids. (SQLite has one writer anyway.)"""
    return statement.with_for_update().execution_options(populate_existing=True)


_BY_ID_TO_WRITE = _to_write(_BY_ID)
_BY_PAIR_TO_WRITE = _to_write(_BY_PAIR)
_BY_MESSAGE_TO_WRITE = _to_write(_BY_MESSAGE)


def find(user: User, name_or_id: str | int) -> Channel:
    """The channel of that name or id among those the user takes part in.

    Raises NotFound: for other people's channels as for those that do not exist.
    """
    return _found(user, name_or_id, _BY_ID, _BY_PAIR)


def are_many(user: User) -> bool:
    """Whether the user takes part in many channels. Counting stops there."""
    return (db.session.scalar(_COUNT, {"user": user.id}) or 0) > MANY


def to_write(user: User, *spellings: str | int) -> Channel:
    """The same, locked, and named in several ways that must all mean the same channel.

    Raises Invalid if they do not: the first that is one of the user's decides, and two ids or two
    names that differ cannot be one channel, whosever they are.
    """
    different = "channel, channel_name and channel_id name different channels."
    if len({type(each) for each in spellings}) < len(set(spellings)):
        raise Invalid(different)
    for spelling in spellings:
        try:
            channel = _found(user, spelling, _BY_ID_TO_WRITE, _BY_PAIR_TO_WRITE)
        except NotFound:
            continue
        if not set(spellings) <= {channel.id, channel.name}:
            raise Invalid(different)
        return channel
    raise NotFound("No such channel.")


def of_message_to_write(user: User, message_id: int) -> Channel:
    """The channel of a message, locked. Raises NotFound for messages of other people's chats."""
    values = {"message": message_id, "user": user.id}
    channel: Channel | None = db.session.scalar(_BY_MESSAGE_TO_WRITE, values)
    if channel is None:
        raise NotFound("No such message.")
    return channel


def _found(user: User, name_or_id: str | int, by_id: Any, by_pair: Any) -> Channel:
    channel: Channel | None = None
    if isinstance(name_or_id, int):
        channel = db.session.scalar(by_id, {"id": name_or_id, "user": user.id})
    elif pair := names.pair_of(name_or_id):
        channel = db.session.scalar(by_pair, {"low": pair[0], "high": pair[1], "user": user.id})
    if channel is None:
        raise NotFound("No such channel.")
    return channel


# Opening -------------------------------------------------------------------------------------


def open_with(user: User, peer_id: int) -> tuple[Channel, bool]:
    """The one channel of this pair, and whether it is new. Raises NotFound and Blocked."""
    low, high = sorted((user.id, peer_id))
    accounts.lock(user, peer_id, shared=True)
    if blocks.between_users(low, high):
        raise Blocked
    now = utcnow()
    values = {"low_id": low, "high_id": high, "created_at": now, "active_at": now}
    _, new = insert_once(Channel, ("low_id", "high_id"), (Channel.id,), **values)
    return find(user, names.chat_channel(low, high)), new


def request(channel: Channel, user: User, socket_id: str | None) -> answers.Chat:
    """Tell the other one of the pair that this chat is wanted; what they are told."""
    wanted = chat(channel, user.id)
    told = (wanted["to_user_notification_channel"], "new_chat", encode(wanted))
    events.record([told], socket_id)
    return wanted


def chat(channel: Channel, from_user: int) -> answers.Chat:
    """A channel as request_chat answers it and new_chat carries it."""
    to_user = channel.peer_id(from_user)
    return {
        "from_user": from_user,
        "to_user": to_user,
        "channel_id": channel.id,
        "channel_name": channel.name,
        "from_user_notification_channel": names.notification_channel(from_user),
        "to_user_notification_channel": names.notification_channel(to_user),
    }


def tell_both(
    channel: Channel, name: str, data: str, socket_id: str | None, message_id: int | None = None
) -> None:
    """Record an event for the chat's channel and both people's notification channels."""
    where = (
        channel.name,
        names.notification_channel(channel.low_id),
        names.notification_channel(channel.high_id),
    )
    events.record([(each, name, data) for each in where], socket_id, message_id)
