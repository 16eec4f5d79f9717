"""Profiles: what people show of themselves, and how they change it."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from chat import accounts, files, logins, name_words
from contract.errors import Taken, Unauthorized
from contract.requests import ProfileChange
from database import db
from models import User


def change(user: User, wanted: ProfileChange) -> User:
    """Give the user other names, or another text about them; the row as it is then. An empty text
    takes away what was there.

    Raises Taken, and Unauthorized if the account has ended meanwhile.
    """
    row = _locked(user)
    if wanted.username is not None:
        accounts.free_left_name(wanted.username)
        row.username = wanted.username
        row.username_key = accounts.exact_key(wanted.username)
        row.name_key = accounts.key(wanted.username)
    if wanted.display_name is not None:
        row.display_name = wanted.display_name or None
    if wanted.about is not None:
        row.about = wanted.about or None
    try:
        db.session.flush()
    except IntegrityError:
        raise Taken(accounts.TAKEN) from None
    if wanted.model_fields_set & {"username", "display_name"}:
        name_words.store(row.id, row.username, row.display_name)
    return row


def set_avatar(user: User, key: str | None) -> User:
    """Have the picture that is stored under the key stand for the user, or none; the row as it is
    then. Raises Unauthorized if the account has ended meanwhile."""
    row = _locked(user)
    files.forget(row.avatar)
    row.avatar = key
    return row


def erase(row: User) -> None:
    """Leave nothing behind of what somebody has shown, whose account ends."""
    files.forget(row.avatar)
    row.display_name = row.about = row.avatar = None
    name_words.store(row.id, "")
    row.has_words = False


def _locked(user: User) -> User:
    living = select(User).where(User.id == user.id, User.deleted_at.is_(None)).with_for_update()
    row = db.session.scalar(living.execution_options(populate_existing=True))
    if row is None:
        raise Unauthorized(logins.GONE)
    return row
