"""Departure: how an account ends."""

from collections.abc import Sequence

from sqlalchemy import delete, or_, select

from chat import accounts, logins, messages, profiles
from database import db, utcnow
from models import Block, Erasure, User


def leave(user: User, *, erase: bool) -> None:
    """End the account: the name is free, the hash and what the user has shown are gone, the id
    stays taken, the logins end.

    With `erase`, the messages are to be erased from then on. Raises Unauthorized if the password
    was changed since it was checked.
    """
    row = accounts.lock_with_password(user)  # now no message is on its way any more
    row.username = ""
    row.username_key = f"\x01{user.id}"  # no name has a control character, so none is the same
    row.name_key = None
    row.password_hash = ""
    row.deleted_at = utcnow()
    profiles.erase(row)
    mine = or_(Block.blocker_id == user.id, Block.blocked_id == user.id)
    db.session.execute(delete(Block).where(mine))
    if erase:
        db.session.add(Erasure(user_id=user.id))
    logins.end_all(user)


def erase_some(user: User, socket_id: str | None) -> bool:
    """Erase some messages of an account that has ended; whether there may be more."""
    if messages.erase_some(user, socket_id):
        return True
    db.session.execute(delete(Erasure).where(Erasure.user_id == user.id))
    return False


def unfinished() -> Sequence[User]:
    """The accounts whose messages are still to be erased."""
    return db.session.scalars(select(User).join(Erasure).order_by(User.id)).all()
