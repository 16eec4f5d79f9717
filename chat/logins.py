"""Logins: a row for each token, which is void without it. It stays through refreshes.

Where a row goes, the connections that it got signatures for are closed: the verb that deletes it
records that.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, literal, or_, select, update

from chat import events
from chat.pages import pages
from contract import answers
from contract.errors import NotFound, Unauthorized
from database import AnyRow, db, utcnow, writing
from models import Login, User

GONE = "The token is no longer valid. Log in again."
SWEPT = 500  # logins at once

_USER_OF_LOGIN = (
    select(User, Login.last_used_at)
    .join(Login, Login.user_id == User.id)
    .where(Login.jti == bindparam("jti"), Login.expires_at > bindparam("now"))
)


def user(jti: str) -> tuple[User | None, bool]:
    """The user of a login that has neither ended nor expired, and whether it is used for the first
    time in this hour."""
    now = utcnow()
    found = db.session.execute(_USER_OF_LOGIN, {"jti": jti, "now": now}).one_or_none()
    if found is None:
        return None, False
    user, used = found
    return user, used is None or used < _hour(now)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def note_use(jtis: list[str]) -> None:
    """Store that these logins were used in this hour."""
    hour = _hour(utcnow())
    with writing():
        # In one order, or two processes could each wait for the other.
        rows = select(Login.jti).where(Login.jti.in_(jtis)).order_by(Login.id).with_for_update()
        earlier = or_(Login.last_used_at.is_(None), Login.last_used_at < hour)
        mine = Login.jti.in_(db.session.scalars(rows).all())
        db.session.execute(update(Login).where(mine, earlier).values(last_used_at=hour))
        db.session.commit()


def lock(user: User, jti: str) -> None:
    """Keep a login from ending, and its user from being deleted and from blocking anybody, until
    the commit. Raises Unauthorized if it has ended."""
    # In this order, as end_all() does, or the two could wait for each other.
    person = select(User.id).where(User.id == user.id)
    db.session.execute(person.with_for_update(read=True, key_share=True))
    living = select(Login.jti).where(Login.jti == jti, Login.expires_at > utcnow())
    if db.session.scalar(living.with_for_update(read=True)) is None:
        raise Unauthorized(GONE)


def begin(
    user: User, jti: str, expires_at: datetime, *, remember: bool, user_agent: str | None
) -> None:
    """Store a login. Raises Unauthorized if the password that was checked is not the user's any
    more."""
    now = utcnow()
    values = {
        "jti": literal(jti),
        "user_id": User.id,
        "expires_at": literal(expires_at),
        "created_at": literal(now),
        "last_used_at": literal(_hour(now)),
        "user_agent": literal(user_agent, Login.user_agent.type),
        "remember": literal(remember),
    }
    row: Any = select(*values.values()).where(
        User.id == user.id,
        User.password_hash == user.password_hash,
        User.deleted_at.is_(None),
    )
    # Shared with other logins, but not with one who changes the password or ends all logins.
    row = row.with_for_update(read=True)
    stored = insert(Login).from_select(list(values), row).returning(Login.jti)
    if db.session.execute(stored).one_or_none() is None:
        raise Unauthorized("The password was changed meanwhile. Log in again.")
    _end(user, Login.expires_at <= now)


def end(user: User, jti: str) -> None:
    """End one login of a user. Raises Unauthorized if it has ended already."""
    if not _end(user, Login.jti == jti):
        raise Unauthorized(GONE)


def to_renew(user: User, jti: str) -> Login:
    """A login, locked until the commit. Raises Unauthorized if it has ended."""
    # In this order, as end_all() does, or the two could wait for each other.
    db.session.execute(select(User.id).where(User.id == user.id).with_for_update(read=True))
    found = db.session.scalar(select(Login).where(Login.jti == jti).with_for_update())
    if found is None:
        raise Unauthorized(GONE)
    return found


def renew(login: Login, heir: str, expires_at: datetime, user_agent: str | None) -> None:
    """Have another token, the heir, stand for a login, and the connections of the old one be those
    of the new one."""
    until = expires_at.replace(tzinfo=UTC).timestamp()
    events.notify(login.user_id, events.LOGIN_RENEWED, login=login.jti, heir=heir, until=until)
    login.jti, login.expires_at, login.user_agent = heir, expires_at, user_agent
    db.session.flush()


def end_with_id(user: User, login_id: int) -> None:
    """End the living login of a user that has this id. Raises NotFound."""
    if not _end(user, (Login.id == login_id) & (Login.expires_at > utcnow())):
        raise NotFound("No such session.")


def end_all(user: User, *, but: str | None = None) -> None:
    """End every login of a user, `but` one. The connections of that one end too, because a thief
    of its token may have made them."""
    db.session.execute(select(User.id).where(User.id == user.id).with_for_update())
    _end(user, Login.jti != (but or ""), cut_off=[but] if but else [])


def _end(user: User, which: ColumnElement[bool], cut_off: Sequence[str] = ()) -> list[str]:
    """Delete logins of a user: their jtis. End their connections, and those of `cut_off`."""
    gone = delete(Login).where(Login.user_id == user.id, which).returning(Login.jti)
    ended = list(db.session.scalars(gone))
    if logins := [*ended, *cut_off]:
        events.notify(user.id, events.LOGINS_ENDED, logins=logins)
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


# Showing -------------------------------------------------------------------------------------


def listed(user: User, jti: str) -> Iterator[list[answers.Session]]:
    """The living logins of a user, in pages by id. That of `jti` is the current one."""
    living = (
        select(Login)
        .where(
            Login.user_id == bindparam("user"),
            Login.expires_at > bindparam("now"),
            Login.id > bindparam("after"),
        )
        .order_by(Login.id)
        .limit(bindparam("size"))
    )

    def shown(row: AnyRow) -> answers.Session:
        current = row.jti == jti
        used = row.last_used_at or _hour(row.created_at)
        return {
            "id": row.id,
            "created_at": _iso(row.created_at),
            "last_used_at": _iso(max(used, _hour(utcnow())) if current else used),
            "expires_at": _iso(row.expires_at),
            "user_agent": row.user_agent,
            "current": current,
        }

    return pages(living, {"user": user.id, "now": utcnow()}, shown)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
