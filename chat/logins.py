"""Logins: a row for each token, which is void without it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, literal, select

from contract.errors import Unauthorized
from database import db, utcnow
from models import Login, User

GONE = "The token is no longer valid. Log in again."

_USER_OF_LOGIN = (
    select(User)
    .join(Login, Login.user_id == User.id)
    .where(Login.jti == bindparam("jti"), Login.expires_at > bindparam("now"))
)


def user(jti: str) -> User | None:
    """The user of a login that has neither ended nor expired."""
    return db.session.scalar(_USER_OF_LOGIN, {"jti": jti, "now": utcnow()})


def begin(user: User, jti: str, life: timedelta) -> None:
    """Store a login. Raises Unauthorized if the password that was checked is not the user's any
    more."""
    now = utcnow()
    row: Any = select(literal(jti), User.id, literal(now + life)).where(
        User.id == user.id,
        User.password_hash == user.password_hash,
        User.deleted_at.is_(None),
    )
    # Shared with other logins, but not with one who changes the password or ends all logins.
    row = row.with_for_update(read=True)
    stored = insert(Login).from_select(["jti", "user_id", "expires_at"], row).returning(Login.jti)
    if db.session.execute(stored).one_or_none() is None:
        raise Unauthorized("The password was changed meanwhile. Log in again.")
    db.session.execute(delete(Login).where(Login.user_id == user.id, Login.expires_at <= now))


def end(jti: str) -> list[str]:
    """End one login: its jti in a list. Raises Unauthorized if it has ended already."""
    ended = db.session.scalars(delete(Login).where(Login.jti == jti).returning(Login.jti)).all()
    if not ended:
        raise Unauthorized(GONE)
    return list(ended)


def end_all(user: User) -> list[str]:
    """End every login of a user: their jtis."""
    db.session.execute(select(User.id).where(User.id == user.id).with_for_update())
    ended = delete(Login).where(Login.user_id == user.id).returning(Login.jti)
    return list(db.session.scalars(ended))
