"""Passwords, tokens, and @login_required: who is asking.

A token is a JWT whose `jti` names a row of logins. It holds only while that row and its user live.
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
from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from chat import accounts, logins
from contract.errors import Forbidden, Taken, TokenExpired, Unauthorized
from database import release
from models import User
from web import bodies
from web.runtime import runtime

ALGORITHM = "HS256"
# When it was made is no condition: the clock may have been set back since.
VERIFIED: Any = {"require": ["exp", "sub", "jti"], "verify_iat": False}

# Base64 as it is made. Its readers pass over what is none of it and over the two bits that 43
# characters have beyond 32 bytes, so that one signature would be valid in many spellings.
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)

# One hash at a time in each process: each keeps a core and 32 MiB busy for a third of a second,
# and several at once would starve the requests that are quick. Nobody is refused.
_one_hash = threading.Lock()


# Passwords -----------------------------------------------------------------------------------


@contextmanager
def _turn_to_hash() -> Iterator[None]:
    """The turn to hash a password. Requests that wait for it, or hash, have no connection to the
    database and no work slot."""
    release()
    with runtime().slots.released():
        try:
            with _one_hash:
                yield
        finally:
            release()  # this one may have to wait for a slot now


def hash_password(password: str) -> str:
    """The salted hash to store."""
    with _turn_to_hash():
        return generate_password_hash(password, runtime().settings.password_hash)


@contextmanager
def hash_for_new_name(username: str, password: str) -> Iterator[str]:
    """The salted hash to register a name with, inside the block.

    A request that waits for the same name finds it there afterwards, and need not hash. Raises
    Taken if the name went while this one waited, and RateLimited.
    """
    limits = runtime().rate_limits
    with _turn_to_hash():
        limits.check("register")  # others may have registered while this one waited
        if accounts.named(username):
            raise Taken("This username is in use. Choose another one.")
        release()
        yield generate_password_hash(password, runtime().settings.password_hash)
        limits.count("register")


def authenticate(username: str, password: str) -> User:
    """The user of that name and password.

    Raises Unauthorized, alike and after the same work whether the name or the password is wrong,
    and RateLimited.
    """
    user = _with_password(username, password)
    if user is None:
        _count_failure(username)
        raise Unauthorized("Wrong username or password.")
    return user


def confirm(caller: User, password: str) -> User:
    """The caller, their password checked anew.

    Raises Forbidden, RateLimited, and Unauthorized if the login has ended meanwhile.
    """
    user = _with_password(caller.username, password)
    if user is None or user.id != caller.id:
        # The same request, sent twice, must not fail by what the first one has changed.
        check_again()
        _count_failure(caller.username)
        raise Forbidden("The password is wrong.")
    return user


def _with_password(username: str, password: str) -> User | None:
    limits = runtime().rate_limits
    limits.check("login", _digest(username))
    with _turn_to_hash():
        limits.check("login", _digest(username))  # others may have failed while this one waited
        user = accounts.named(username)
        release()
        stored = user.password_hash if user else _hash_of_nobody()
        return user if check_password_hash(stored, password) else None


def _count_failure(username: str) -> None:
    runtime().rate_limits.hit("login", _digest(username))


def _digest(username: str) -> str:
    """Names the limit of a name, in all its spellings; of bounded length, whatever was sent."""
    return hashlib.sha256(accounts.key(username).encode()).hexdigest()


def _hash_of_nobody() -> str:
    """A hash that no password has, as expensive to compare as any."""
    return f"{runtime().settings.password_hash}${'0' * 16}${'0' * 128}"


# Tokens --------------------------------------------------------------------------------------


def log_in(user: User) -> tuple[str, str]:
    """A new token for the user and its jti; it holds once the transaction is committed."""
    jti = secrets.token_hex(16)
    now = datetime.now(UTC)
    life = timedelta(seconds=runtime().settings.jwt_expires_seconds)
    logins.begin(user, jti, life)
    claims = {"sub": str(user.id), "iat": now, "exp": now + life, "jti": jti}
    return jwt.encode(claims, runtime().settings.jwt_key, ALGORITHM), jti


def login_required(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Pass the caller to the view as its first argument, or answer 401."""

    @wraps(view)
    def with_caller(**parameters: Any) -> ResponseReturnValue:
        claims = check_token()
        try:
            bodies.receive()
        finally:  # a token that is void is a 401, whatever is wrong with the body
            user = check_login(claims)
        return view(user, **parameters)

    return with_caller


def check_token() -> dict[str, Any]:
    """The claims of the token that came with the request, which we have signed and which has not
    expired. Asks no database. Raises Unauthorized.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = _claims(token, runtime().settings.jwt_key)
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The token has expired. Log in again.") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not valid. Log in again.") from None
    if claims["exp"] <= time.time():
        raise TokenExpired("The token has expired. Log in again.")
    return claims


def check_login(claims: dict[str, Any]) -> User:
    """The user of a token with these claims. Raises Unauthorized if the login has ended."""
    # Ours are hexadecimal; PostgreSQL fails on some of what else a signed claim may hold.
    user = logins.user(claims["jti"]) if claims["jti"].isalnum() else None
    if user is None or str(user.id) != claims["sub"]:
        raise Unauthorized(logins.GONE)
    return user


def check_again() -> User:
    """The caller, as the rows now stand. Raises Unauthorized if the login has ended meanwhile."""
    release()
    return check_login(check_token())


def current_jti() -> str:
    """The login that the request's token stands for."""
    jti: str = check_token()["jti"]
    return jti


@lru_cache(maxsize=4096)
def _claims(token: str, key: str) -> dict[str, Any]:
    """What a token claims that was signed with the key. A signature cannot change, so it is
    verified once; expiry and login are asked each time.

    Raises jwt.InvalidTokenError, which is not remembered.
    """
    if not TOKEN.fullmatch(token):
        raise jwt.DecodeError
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options=VERIFIED)
    return {**claims, "exp": int(claims["exp"])}  # any number, also as a string, is valid
