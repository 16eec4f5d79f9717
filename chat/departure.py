"""Departure: how an account ends."""

from sqlalchemy import delete, or_

from chat import accounts, logins, messages
from database import db, utcnow
from models import Block, User


def leave(user: User, *, erase: bool, socket_id: str | None) -> bool:
    """End the account: the name is free, the hash is gone, the id stays taken, the logins end.

    With `erase` the messages go first, some in each transaction, so that others get to write in
    between. Whether this was the last one. Raises Unauthorized if the password was changed since
    it was checked.
    """
    if erase and messages.erase_some(user, socket_id):
        return False
    row = accounts.lock_with_password(user)  # now no message is on its way any more
    if erase and messages.first_of(user):
        return False
    row.username = ""
    row.username_key = f"\x01{user.id}"  # no name has a control character, so none is the same
    row.name_key = None
    row.password_hash = ""
    row.deleted_at = utcnow()
    mine = or_(Block.blocker_id == user.id, Block.blocked_id == user.id)
    db.session.execute(delete(Block).where(mine))
    logins.end_all(user)
    return True
