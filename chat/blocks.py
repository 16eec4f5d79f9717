"""Blocks: who wants to hear nothing of whom."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, or_, select

from chat import accounts, events
from chat.pages import pages
from contract import answers
from contract.names import chat_channel
from database import db, insert_once
from models import Block, Channel, User


def between(one: Any, other: Any) -> ColumnElement[bool]:
    """Whether there is a block, either way."""
    return exists().where(
        or_(
            and_(Block.blocker_id == one, Block.blocked_id == other),
            and_(Block.blocker_id == other, Block.blocked_id == one),
        )
    )


_CHANNEL_IS_BLOCKED = select(between(Channel.low_id, Channel.high_id)).where(
    Channel.id == bindparam("channel")
)
_PAIR_IS_BLOCKED = select(between(bindparam("one"), bindparam("other")))


def in_channel(channel: Channel) -> bool:
    """Whether one of the two has blocked the other."""
    return bool(db.session.scalar(_CHANNEL_IS_BLOCKED, {"channel": channel.id}))


def between_users(one: int, other: int) -> bool:
    """The same of two people, who may have no chat."""
    return bool(db.session.scalar(_PAIR_IS_BLOCKED, {"one": one, "other": other}))


def put(user: User, peer_id: int) -> None:
    """Block somebody, and have the connections closed on which the two hear their chat.

    Raises NotFound.
    """
    # A message needs its sender's row: those on their way are committed before this, and those
    # that come later see the block.
    accounts.lock(user, peer_id)
    key = ("blocker_id", "blocked_id")
    _, new = insert_once(Block, key, (Block.blocked_id,), blocker_id=user.id, blocked_id=peer_id)
    low_id, high_id = sorted((user.id, peer_id))
    of_the_two = (Channel.low_id == low_id, Channel.high_id == high_id)
    # Without a chat a stranger could close somebody's connections at another Pusher server.
    if new and db.session.scalar(select(Channel.id).where(*of_the_two)):
        for each in (low_id, high_id):
            events.notify(each, events.CHAT_ENDED, chat=chat_channel(low_id, high_id))


def lift(user: User, peer_id: int) -> None:
    """Block somebody no more. Raises NotFound."""
    accounts.lock(user, peer_id, shared=True)  # put() may be about to read the row
    mine = (Block.blocker_id == user.id, Block.blocked_id == peer_id)
    db.session.execute(delete(Block).where(*mine))


def listed(user: User) -> Iterator[list[answers.Person]]:
    """Whom the user has blocked, in pages by id."""
    blocked = (
        select(*accounts.SHOWN)
        .join(Block, Block.blocked_id == User.id)
        .where(Block.blocker_id == bindparam("blocker"), User.id > bindparam("after"))
        .order_by(User.id)
        .limit(bindparam("size"))
    )
    return pages(blocked, {"blocker": user.id}, accounts.person)
