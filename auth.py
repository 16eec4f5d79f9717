"""Passwords and tokens: who is asking.

A token is a JWT whose `jti` names a session row; it holds only while its session and user live.
"""

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache, wraps
from typing import Any

import jwt
from flask import current_app, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

from config import settings
from database import session
from models import Session, Taken, User
from places import Places
from ratelimits import RateLimits

ALGORITHM = "HS256"
# When it was made is no condition: the clock may have been set back since.
VERIFIED: Any = {"require": ["exp", "sub", "jti"], "verify_iat": False}

# Base64 as it is made. Its readers pass over what is none of it and over the two bits that 43
# characters have beyond 32 bytes, so that one signature would be valid in many spellings.
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)

# One hash at a time in each process: each keeps a core and 32 MiB busy for a third of a second,
# and several at once would starve the requests that are quick. Nobody is refused.
_one_hash = threading.Lock()


class TokenExpired(Unauthorized):
    word = "token_expired"


# Passwords -----------------------------------------------------------------------------------


@contextmanager
def _turn_to_hash() -> Iterator[None]:
    """Who waits for a turn, or hashes, has no connection to the database, and keeps nobody else
    from being served."""
    places: Places = current_app.extensions["places"]
    session.close()
    with places.left:
        try:
            with _one_hash:
                yield
        finally:
            session.close()  # it may wait for a place now


def hash_password(password: str) -> str:
    """The salted hash to store."""
    with _turn_to_hash():
        return generate_password_hash(password, settings().password_hash)


@contextmanager
def hash_for_new_name(username: str, password: str) -> Iterator[str]:
    """The salted hash to register a name with, inside the block: whoever waits for the same name
    finds it there afterwards, and need not hash. Raises Taken if it went while this one waited,
    and TooManyRequests."""
    limits: RateLimits = current_app.extensions["rate_limits"]
    with _turn_to_hash():
        limits.refuse_over("register")  # others may have registered while this one waited
        if User.named(username):
            raise Taken("This username is in use. Choose another one.")
        session.close()
        yield generate_password_hash(password, settings().password_hash)
        limits.add("register")


def authenticate(username: str, password: str) -> User:
    """The user of that name and password.

    Raises Unauthorized, alike and after the same work whether the name or the password is
    wrong, and TooManyRequests.
    """
    user = _with_password(username, password)
    if user is None:
        raise Unauthorized("Wrong username or password.")
    return user


def confirm(caller: User, password: str) -> User:
    """The caller, their password checked anew.

    Raises Forbidden, TooManyRequests, and Unauthorized if the session has ended meanwhile.
    """
    user = _with_password(caller.username, password)
    if user is None or user.id != caller.id:
        raise Forbidden("The password is wrong.")
    return user


def _with_password(username: str, password: str) -> User | None:
    limits: RateLimits = current_app.extensions["rate_limits"]
    # A digest bounds the length of the key, whatever somebody sends for a name.
    name = hashlib.sha256(User.key(username).encode()).hexdigest()
    failed = ("login", name)
    limits.refuse_over(*failed)
    with _turn_to_hash():
        limits.refuse_over(*failed)  # others may have failed while this one waited
        user = User.named(username)
        session.close()
        stored = user.password_hash if user else _hash_of_nobody()
        if check_password_hash(stored, password) and user:
            return user
        if "ask_again" in g:
            caller()  # or the same request, sent twice, would fail by what the first has changed
        limits.add(*failed)
        return None


def _hash_of_nobody() -> str:
    """A hash that no password has, as expensive to compare as any."""
    return f"{settings().password_hash}${'0' * 16}${'0' * 128}"


# Tokens --------------------------------------------------------------------------------------


def open_session(user: User) -> tuple[str, str]:
    """A new token for the user and its jti; it holds once the transaction is committed."""
    jti = secrets.token_hex(16)
    now = datetime.now(UTC)
    life = timedelta(seconds=settings().jwt_expires_seconds)
    Session.open(user, jti, life)
    claims = {"sub": str(user.id), "iat": now, "exp": now + life, "jti": jti}
    return jwt.encode(claims, settings().jwt_key, ALGORITHM), jti


def login_required(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Pass the caller to the view as its first argument, or answer 401."""

    @wraps(view)
    def with_caller(**parameters: Any) -> ResponseReturnValue:
        # A body that is slow to arrive may outlive the session: schemas then calls this again.
        g.ask_again = caller
        return view(caller(), **parameters)

    return with_caller


@lru_cache(maxsize=4096)
def _claims(token: str, key: str) -> dict[str, Any]:
    """What a token claims that was signed with the key: a token is checked once, not with each of
    its requests, but for whether it has expired meanwhile and its session lives.

    Raises jwt.InvalidTokenError, which is not remembered.
    """
    if not TOKEN.fullmatch(token):
        raise jwt.DecodeError
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options=VERIFIED)
    return {**claims, "exp": int(claims["exp"])}  # any number, also as a string, is valid


def caller() -> User:
    """The user whose token came with the request. Not to be called within a transaction.

    Raises Unauthorized.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = _claims(token, settings().jwt_key)
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The token has expired. Log in again.") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not valid. Log in again.") from None
    if claims["exp"] <= time.time():
        raise TokenExpired("The token has expired. Log in again.")
    # Our own are hexadecimal; PostgreSQL fails on some of what else a signed claim may hold.
    user = Session.user(claims["jti"]) if claims["jti"].isalnum() else None
    if user is None or str(user.id) != claims["sub"]:
        raise Unauthorized("The token is no longer valid. Log in again.")
    return user
