"""Logins: a row for each token, which is void without it.

Where a row goes, the connections that it got signatures for are closed: the verb that deletes it
records that.
"""

from collections import defaultdict
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, literal, select, update

from chat import events
from contract.errors import Unauthorized
from database import db, utcnow, writing
from models import Login, PushSubscription, User

GONE = "The token is no longer valid. Log in again."
SWEPT = 500  # logins at once

_USER_OF_LOGIN = (
    select(User)
    .join(Login, Login.user_id == User.id)
    .where(Login.jti == bindparam("jti"), Login.expires_at > bindparam("now"))
)


def user(jti: str) -> User | None:
    """The user of a login that has neither ended nor expired."""
    return db.session.scalar(_USER_OF_LOGIN, {"jti": jti, "now": utcnow()})


def lock(user: User, jti: str) -> None:
    """Keep a login from ending, and its user from being deleted and from blocking anybody, until
    the commit. Raises Unauthorized if it has ended."""
    # In this order, as end_all() does, or the two could wait for each other.
    person = select(User.id).where(User.id == user.id)
    db.session.execute(person.with_for_update(read=True, key_share=True))
    living = select(Login.jti).where(Login.jti == jti, Login.expires_at > utcnow())
    if db.session.scalar(living.with_for_update(read=True)) is None:
        raise Unauthorized(GONE)


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
    _end(user, Login.expires_at <= now)


def end(user: User, jti: str) -> None:
    """End one login of a user. Raises Unauthorized if it has ended already."""
    if not _end(user, Login.jti == jti):
        raise Unauthorized(GONE)


def renew(user: User, jti: str, heir: str) -> None:
    """End one login, whose connections and push subscriptions belong to the `heir` from now on.
    Raises Unauthorized if it has ended already."""
    of_login = update(PushSubscription).where(PushSubscription.jti == jti)
    db.session.execute(of_login.values(jti=heir))
    gone = delete(Login).where(Login.jti == jti).returning(Login.jti)
    if db.session.scalar(gone) is None:
        raise Unauthorized(GONE)
    until: Any = db.session.scalar(select(Login.expires_at).where(Login.jti == heir))
    expires = until.replace(tzinfo=UTC).timestamp()
    events.notify(user.id, events.LOGIN_RENEWED, login=jti, heir=heir, until=expires)


def end_all(user: User, *, but: str | None = None) -> None:
    """End every login of a user, `but` one."""
    db.session.execute(select(User.id).where(User.id == user.id).with_for_update())
    _end(user, Login.jti != (but or ""))


def _end(user: User, which: ColumnElement[bool]) -> list[str]:
    """Delete logins of a user: their jtis."""
    gone = delete(Login).where(Login.user_id == user.id, which).returning(Login.jti)
    if ended := list(db.session.scalars(gone)):
        events.notify(user.id, events.LOGINS_ENDED, logins=ended)
    return ended


def sweep() -> None:
    """Delete some of the logins that have expired."""
    expired = select(Login.jti).where(Login.expires_at <= utcnow()).limit(SWEPT)
    if not db.session.scalars(expired).all():
        return
    with writing():
        # Those that a login or logout is deleting now are left to it, or each could wait for the
        # other.
        jtis = db.session.scalars(expired.with_for_update(skip_locked=True)).all()
        gone = delete(Login).where(Login.jti.in_(jtis)).returning(Login.user_id, Login.jti)
        by_user = defaultdict(list)
        for user_id, jti in db.session.execute(gone):
            by_user[user_id].append(jti)
        for user_id, ended in by_user.items():
            events.notify(user_id, events.LOGINS_ENDED, logins=ended)
        db.session.commit()
