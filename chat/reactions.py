"""Reactions: an emoji of one of the two people on a message.

They stand in the message's row, which shows them on every page without a further look. There are
ten of each person at most. Both people change them while they hold the lock of the channel, so that
none is lost.
"""

from typing import Any

from chat import messages
from contract import answers
from contract import emoji as emojis
from contract.errors import Conflict
from database import AnyRow
from models import Channel, User

MOST_OF_ONE = 10


def put(
    channel: Channel, row: AnyRow, user: User, emoji: str, socket_id: str | None
) -> answers.Message:
    """React to a message. Raises Conflict if it was deleted or has enough of the user's reactions,
    and Blocked."""
    messages.refuse_blocked(channel, user.id)
    if row.deleted_at:
        raise Conflict("Nobody can react to a deleted message.")
    reactions = row.reactions or []
    same = _same(reactions, emoji)
    if same and user.id in same["users"]:
        return messages.shown(row, channel.low_id, channel.high_id)
    if sum(user.id in each["users"] for each in reactions) >= MOST_OF_ONE:
        raise Conflict(f"A message takes at most {MOST_OF_ONE} reactions of one person.")
    if same is None:
        changed = [*reactions, {"emoji": emoji, "users": [user.id]}]
    else:
        more = {**same, "users": [*same["users"], user.id]}
        changed = [more if each is same else each for each in reactions]
    return messages.change(channel, row, "message_updated", socket_id, reactions=changed)


def remove(
    channel: Channel, row: AnyRow, user: User, emoji: str, socket_id: str | None
) -> answers.Message:
    """Take a reaction back, if it is there."""
    reactions = row.reactions or []
    same = _same(reactions, emoji)
    if same is None or user.id not in same["users"]:
        return messages.shown(row, channel.low_id, channel.high_id)
    less = {**same, "users": [each for each in same["users"] if each != user.id]}
    changed = [less if each is same else each for each in reactions]
    left = [each for each in changed if each["users"]] or None
    return messages.change(channel, row, "message_updated", socket_id, reactions=left)


def _same(reactions: list[Any], emoji: str) -> Any:
    """The reaction with this emoji, however it is spelled, if there is one."""
    key = emojis.key(emoji)
    return next((each for each in reactions if emojis.key(each["emoji"]) == key), None)
