"""Passwords and tokens: who is asking.

A token is a JWT whose `jti` names a session row; it holds only while its session and user live.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import jwt
from flask import current_app, request
from flask.typing import ResponseReturnValue
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

from config import Settings, settings
from database import reading
from models import Session, Taken, User

ALGORITHM = "HS256"
log = logging.getLogger(f"app.{__name__}")

# One hash at a time in each process: each keeps a core and 32 MiB busy for a third of a second,
# and several at once would starve the requests that are quick. The others wait their turn
# without a connection; nobody is refused.
_turn_to_hash = threading.Lock()


class TokenExpired(Unauthorized):
    word = "token_expired"


class FailedLogins:
    """Counts failed logins for each name and address; at the limit, none is tried any more."""

    def __init__(self, given: Settings) -> None:
        self._enabled = given.ratelimit_enabled
        self._limit: RateLimitItem = parse(given.ratelimit_login)
        self._counts = MovingWindowRateLimiter(
            storage_from_string(given.ratelimit_storage_uri, wrap_exceptions=True)
        )

    def refuse_more(self, username: str) -> None:
        """Raises TooManyRequests, with the seconds to wait."""
        if self._enabled and not self._ask("test", username):
            end = self._ask("get_window_stats", username).reset_time
            raise TooManyRequests(
                "Too many failed logins for this name. Wait, then try again.",
                retry_after=max(1, round(end - datetime.now(UTC).timestamp())),
            )

    def add(self, username: str) -> None:
        if self._enabled:
            self._ask("hit", username)

    def _ask(self, verb: str, username: str) -> Any:
        # A digest bounds the length of a key, whatever somebody sends for a name.
        name = hashlib.sha256(User.key(username).encode()).hexdigest()
        key = (name, request.remote_addr or "")
        try:
            return getattr(self._counts, verb)(self._limit, *key)
        except StorageError:
            log.warning("The rate limit storage does not answer; counting in this process.")
            self._counts = MovingWindowRateLimiter(MemoryStorage())
            return getattr(self._counts, verb)(self._limit, *key)


def init_app(app: Any, given: Settings) -> None:
    app.extensions["failed_logins"] = FailedLogins(given)


# Passwords -----------------------------------------------------------------------------------


def hash_password(password: str, for_new_name: str | None = None) -> str:
    """The salted hash to store. Raises Taken if the new name was taken while this waited."""
    with _turn_to_hash:
        if for_new_name is not None:
            with reading():
                if User.named(for_new_name):
                    raise Taken("This username is in use. Choose another one.")
        return generate_password_hash(password, settings().password_hash)


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
    """The caller, their password checked anew. Raises Forbidden and TooManyRequests."""
    user = _with_password(caller.username, password)
    if user is None or user.id != caller.id:
        raise Forbidden("The password is wrong.")
    return user


def _with_password(username: str, password: str) -> User | None:
    failed: FailedLogins = current_app.extensions["failed_logins"]
    failed.refuse_more(username)
    with _turn_to_hash:
        failed.refuse_more(username)  # others may have failed while this one waited
        with reading():
            user = User.named(username)
        stored = user.password_hash if user else _hash_of_nobody()
        if check_password_hash(stored, password) and user:
            return user
        failed.add(username)
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
        return view(_caller(), **parameters)

    return with_caller


def _caller() -> User:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = jwt.decode(
            token.strip(),
            settings().jwt_key,
            algorithms=[ALGORITHM],
            options={"require": ["exp", "sub", "jti"]},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The token has expired. Log in again.") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not valid. Log in again.") from None
    # Our own are hexadecimal; PostgreSQL fails on some of what else a signed claim may hold.
    user = Session.user(claims["jti"]) if claims["jti"].isalnum() else None
    if user is None or str(user.id) != claims["sub"]:
        raise Unauthorized("The token is not valid any more. Log in again.")
    return user
