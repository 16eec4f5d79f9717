"""Accounts: users come, are found, and change their password; departure.py has how they leave."""

import unicodedata
from collections.abc import Iterator
from typing import Any

from flask import has_request_context, request
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound

from chat import logins, name_words
from chat.pages import pages
from contract import answers
from contract.characters import folded, stream_safe
from contract.errors import NotFound, Taken, Unauthorized
from contract.names import MAX_ID
from contract.requests import DIGITS
from database import db, insert_once, utcnow
from models import Channel, Login, Message, User

TAKEN = "This username is in use. Choose another one."
#: What answers show of people.
SHOWN = (User.id, User.username, User.display_name, User.avatar)


def key(username: str) -> str:
    """What all spellings of one name have in common, whatever their width and case and what does
    not show."""
    return folded(username[:1_000])  # no name is longer in any spelling


def exact_key(username: str) -> str:
    """The same, but what does not show makes a difference. Names were unique by this once."""
    normal = unicodedata.normalize("NFKC", stream_safe(username[:1_000]))
    return unicodedata.normalize("NFKC", normal.casefold())


def register(username: str, password_hash: str) -> answers.Member:
    """Store a new user. Raises Taken."""
    free_left_name(username)
    try:
        row, new = insert_once(
            User,
            ("name_key",),
            (User.id, User.username),
            username=username,
            username_key=exact_key(username),
            name_key=key(username),
            password_hash=password_hash,
            created_at=utcnow(),
            has_words=True,
        )
    except IntegrityError as error:
        if "username_key" not in str(error.orig):
            raise
        new = False  # somebody without a name_key has the same name
    except NoResultFound:
        new = False  # who had the name has given it up since then
    if not new:
        raise Taken(TAKEN)
    name_words.store(row.id, row.username)
    return member(row)


def free_left_name(username: str) -> None:
    """Take the name from accounts that have ended: an older version of the program leaves it
    behind."""
    left = update(User).where(User.name_key == key(username), User.deleted_at.is_not(None))
    db.session.execute(left.values(name_key=None))


# Finding -------------------------------------------------------------------------------------


def named(username: str) -> User | None:
    """The user of that name in any spelling, as the row now stands.

    Of names that were different once and would be the same today, the exact one is found.
    """
    mine = (key(username), exact_key(username))
    found = (
        select(User)
        .where(or_(User.name_key == mine[0], User.username_key.in_(mine)))
        .where(User.deleted_at.is_(None))
        .order_by(User.username_key != mine[1], User.name_key.is_(None))
    )
    return db.session.scalar(found.limit(1).execution_options(populate_existing=True))


def find(user_id: int) -> User:
    """Raises NotFound, also for a deleted account."""
    user = db.session.scalar(select(User).where(User.id == user_id, User.deleted_at.is_(None)))
    if user is None:
        raise NotFound("No such user.")
    return user


def anew(user: User) -> User | None:
    """The user as the row now stands, if the account has not ended."""
    living = select(User).where(User.id == user.id, User.deleted_at.is_(None))
    return db.session.scalar(living.execution_options(populate_existing=True))


def named_or_id(text: str, by: str | None) -> list[User]:
    """Those whom an operator may mean: the user of that name, and the one of that id. `by` leaves
    only one of the two."""
    found = [named(text) if by != "id" else None]
    if by != "name" and DIGITS.fullmatch(text) and int(text) <= MAX_ID:
        same = select(User).where(User.id == int(text), User.deleted_at.is_(None))
        found.append(db.session.scalar(same))
    return list({user.id: user for user in found if user}.values())


def everyone() -> Iterator[list[answers.ListedUser]]:
    """All users that there are now, in pages by id."""
    users = (
        select(*SHOWN)
        .where(
            User.id > bindparam("after"), User.id <= bindparam("last"), User.deleted_at.is_(None)
        )
        .order_by(User.id)
        .limit(bindparam("size"))
    )
    last = db.session.scalar(select(func.max(User.id))) or 0
    return pages(users, {"last": last}, listed)


def page(query: str, after: int, limit: int) -> list[answers.ListedUser]:
    """Users by id, from after that id on, with a word in their names that begins like the query."""
    users = (
        select(*SHOWN)
        .where(User.id > after, User.deleted_at.is_(None))
        .order_by(User.id)
        .limit(limit)
    )
    if start := name_words.key(query):
        users = users.where(User.id.in_(name_words.found(start, after, limit)))
    return [listed(row) for row in db.session.execute(users)]


def figures(user: User) -> dict[str, int]:
    """How much there is of a user."""
    counted = {
        "logins": select(func.count()).where(Login.user_id == user.id, Login.expires_at > utcnow()),
        "chats": select(func.count()).where(
            or_(Channel.low_id == user.id, Channel.high_id == user.id)
        ),
        "messages": select(func.count()).where(
            Message.sender_id == user.id, Message.deleted_at.is_(None)
        ),
    }
    return {what: db.session.scalar(statement) or 0 for what, statement in counted.items()}


def member(user: Any) -> answers.Member:
    """A user, or a row of one, by the name they log in with."""
    return {"id": user.id, "username": user.username}


def person(user: Any) -> answers.Person:
    """The same as others see it."""
    return {
        **member(user),
        "display_name": user.display_name,
        "avatar": avatar_path(user.id, user.avatar),
    }


def profile(user: User) -> answers.Profile:
    """All that a user shows."""
    return {**person(user), "about": user.about}


def listed(row: Any) -> answers.ListedUser:
    """A row of a user as an element of the list of users."""
    return {**person(row), "userName": row.username}


def avatar_path(user_id: int, key: str | None) -> str | None:
    """Where clients find a picture, below the prefix of the request; another one has another path.
    Part of the key is enough for that."""
    if key is None:
        return None
    prefix = request.script_root if has_request_context() else ""
    return f"{prefix}/api/users/{user_id}/avatar?v={key[:8]}"


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
    """The user's row as it now stands, locked until the commit. Raises Unauthorized if the hash
    that was checked is not theirs any more."""
    same = select(User).where(User.id == user.id, User.password_hash == user.password_hash)
    same = same.with_for_update().execution_options(populate_existing=True)
    locked = db.session.scalar(same)
    if locked is None:
        raise Unauthorized("The password was changed meanwhile. Log in again.")
    return locked


# Changing ------------------------------------------------------------------------------------


def renew_hash(user: User, password_hash: str) -> None:
    """Replace the hash that was checked by a stronger one of the same password. Raises Unauthorized
    if it is not the user's hash any more."""
    lock_with_password(user).password_hash = password_hash


def change_password(user: User, password_hash: str, jti: str | None) -> None:
    """Replace the hash that was checked and end all logins but that of `jti`, if one is given, and
    all connections.

    Raises Unauthorized if it is not the user's hash any more.
    """
    lock_with_password(user).password_hash = password_hash
    logins.end_all(user, but=jti)
