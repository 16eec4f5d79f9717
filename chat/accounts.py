"""Accounts: users come, are found, and change their password; departure.py has how they leave."""

import unicodedata
from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, func, select

from chat import logins
from chat.dialects import starts_with
from chat.pages import pages
from contract import answers
from contract.errors import NotFound, Taken, Unauthorized
from database import db, insert_once, utcnow
from models import User


def key(username: str) -> str:
    """What all spellings of one name have in common, whatever their width and case."""
    # No name is longer in any spelling, and to sort 32,000 accents would take a second.
    normal = unicodedata.normalize("NFKC", username[:1_000])
    return unicodedata.normalize("NFKC", normal.casefold())


def register(username: str, password_hash: str) -> answers.Person:
    """Store a new user. Raises Taken."""
    row, new = insert_once(
        User,
        ("username_key",),
        (User.id, User.username),
        username=username,
        username_key=key(username),
        password_hash=password_hash,
        created_at=utcnow(),
    )
    if not new:
        raise Taken("This username is in use. Choose another one.")
    return person(row)


# Finding -------------------------------------------------------------------------------------


def named(username: str) -> User | None:
    """The user of that name in any spelling, as the row now stands."""
    found = select(User).where(User.username_key == key(username), User.deleted_at.is_(None))
    return db.session.scalar(found.execution_options(populate_existing=True))


def find(user_id: int) -> User:
    """Raises NotFound, also for a deleted account."""
    user = db.session.scalar(select(User).where(User.id == user_id, User.deleted_at.is_(None)))
    if user is None:
        raise NotFound("No such user.")
    return user


def everyone() -> Iterator[list[answers.ListedUser]]:
    """All users that there are now, in pages by id."""
    users = (
        select(User.id, User.username)
        .where(
            User.id > bindparam("after"), User.id <= bindparam("last"), User.deleted_at.is_(None)
        )
        .order_by(User.id)
        .limit(bindparam("size"))
    )
    last = db.session.scalar(select(func.max(User.id))) or 0
    return pages(users, {"last": last}, listed)


def page(prefix: str, after: int, limit: int) -> list[answers.ListedUser]:
    """Users by id, from after that id on, whose name begins with the prefix."""
    users = (
        select(User.id, User.username)
        .where(User.id > after, User.deleted_at.is_(None))
        .order_by(User.id)
        .limit(limit)
    )
    if prefix:
        users = users.where(starts_with(User.username_key, key(prefix)))
    return [listed(row) for row in db.session.execute(users)]


def person(user: Any) -> answers.Person:
    """A user, or a row of one, as answers show it."""
    return {"id": user.id, "username": user.username}


def listed(row: Any) -> answers.ListedUser:
    """The same as an element of the list of users."""
    return {"id": row.id, "username": row.username, "userName": row.username}


# Locking -------------------------------------------------------------------------------------

_THE_TWO = (
    select(User.id)
    .where(User.id.in_((bindparam("one"), bindparam("other"))), User.deleted_at.is_(None))
    .order_by(User.id)
)


def lock(user: User, peer_id: int, *, shared: bool = False) -> None:
    """Keep both users from being deleted until the commit; shared with messages and requests, or
    alone. Raises NotFound if the other one was deleted, and Unauthorized if the user was."""
    locked = _THE_TWO.with_for_update(read=shared, key_share=shared)
    found = set(db.session.scalars(locked, {"one": user.id, "other": peer_id}))
    if user.id not in found:
        raise Unauthorized(logins.GONE)
    if peer_id not in found:
        raise NotFound("No such user.")


def lock_with_password(user: User) -> User:
    """The user's row, locked until the commit. Raises Unauthorized if the hash that was checked is
    not theirs any more."""
    same = select(User).where(User.id == user.id, User.password_hash == user.password_hash)
    locked = db.session.scalar(same.with_for_update())
    if locked is None:
        raise Unauthorized("The password was changed meanwhile. Log in again.")
    return locked


# Changing ------------------------------------------------------------------------------------


def change_password(user: User, password_hash: str, jti: str) -> None:
    """Replace the hash that was checked and end all logins but that of `jti`.

    Raises Unauthorized if it is not the user's hash any more.
    """
    lock_with_password(user).password_hash = password_hash
    logins.end_all(user, but=jti)
