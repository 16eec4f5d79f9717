"""Passwords, tokens, and @login_required: who is asking.

A token is a JWT whose `jti` names a row of logins. It holds only while that row and its user live.
"""

import hashlib
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple

import jwt
from flask import g, request
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from chat import accounts, logins
from contract import answers
from contract.errors import Forbidden, Taken, TokenExpired, Unauthorized
from contract.requests import DIGITS
from database import db, release, writing
from models import User
from web import addresses, bodies, hash_queue, uploads
from web.runtime import runtime

View = Callable[..., ResponseReturnValue]

log = logging.getLogger(f"app.{__name__}")

ALGORITHM = "HS256"
# When it was made is no condition: the clock may have been set back since.
VERIFIED: Any = {"require": ["exp", "sub", "jti"], "verify_iat": False}

# Base64 as it is made. Its readers pass over what is none of it and over the two bits that 43
# characters have beyond 32 bytes, so that one signature would be valid in many spellings.
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)

#: Methods of werkzeug.security, the weakest first.
METHODS = ("pbkdf2:sha256", "pbkdf2:sha512", "scrypt")


# Passwords -----------------------------------------------------------------------------------


@contextmanager
def _turn_to_hash() -> Iterator[None]:
    """The turn to hash a password. Requests that wait for it, or hash, have no connection to the
    database and no work slot. Raises Busy."""
    release()
    client = request.environ
    with runtime().slots.released():
        try:
            queue = runtime().hash_queue
            with queue.turn(addresses.of_client(), lambda: hash_queue.has_left(client)):
                yield
        except BaseException:
            db.session.rollback()  # a commit would fail by what has failed, and hide it
            raise
        release()  # this one may have to wait for a slot now


def hash_password(password: str) -> str:
    """The salted hash to store."""
    with _turn_to_hash():
        return generate_password_hash(password, runtime().settings.password_hash)


@contextmanager
def hash_for_new_name(username: str, password: str) -> Iterator[str]:
    """The salted hash to register a name with, inside the block.

    A request that waits for the same name finds it there afterwards, and need not hash. Raises
    Taken, also if the name went while this one waited, RateLimited and Busy.
    """
    limits = runtime().rate_limits
    _refuse_taken(username)  # this needs no place in the queue
    with _turn_to_hash():
        limits.check("register")  # others may have registered while this one waited
        _refuse_taken(username)
        release()
        yield generate_password_hash(password, runtime().settings.password_hash)
        limits.count("register")


def _refuse_taken(username: str) -> None:
    if accounts.named(username):
        raise Taken(accounts.TAKEN)


def authenticate(username: str, password: str) -> User:
    """The user of that name and password.

    Raises Unauthorized, alike and after the same work whether the name or the password is wrong,
    RateLimited and Busy.
    """
    user = _with_password(username, password, partial(accounts.named, username))
    if user is None:
        _count_failure(username)
        raise Unauthorized("Wrong username or password.")
    g.user_id = user.id  # for the log
    return user


def confirm(caller: User, password: str) -> User:
    """The caller, their password checked anew.

    Raises Forbidden, RateLimited, Busy, and Unauthorized if the login has ended meanwhile.
    """
    user = _with_password(caller.username, password, partial(accounts.anew, caller))
    if user is None:
        # The same request, sent twice, must not fail by what the first one has changed.
        check_again()
        _count_failure(caller.username)
        raise Forbidden("The password is wrong.")
    return user


def _with_password(username: str, password: str, find: Callable[[], User | None]) -> User | None:
    """The user whom `find` finds, if that is their password; attempts count for the name."""
    limits = runtime().rate_limits
    _refuse_guesses(username, limits.check)
    with _turn_to_hash():
        # Again, because others may have failed while this one waited.
        _refuse_guesses(username, limits.hit)
        user = find()
        release()
        stored = user.password_hash if user else _hash_of_nobody()
        if not check_password_hash(stored, password):
            failed = user.id if user else "unknown"
            log.warning("A login failed: address %s, user %s.", addresses.of_client(), failed)
            return None
        if user and _strength(stored) < _strength(runtime().settings.password_hash):
            _renew_hash(user, password)
        return user


def _refuse_guesses(username: str, spend: Callable[..., None]) -> None:
    """Raise RateLimited if too many logins with the name have failed: from this address, or from
    all of them and there is no attempt left of those that the name has then."""
    limits, name = runtime().rate_limits, _digest(username)
    limits.check("login", name)
    if limits.is_used_up("name", name):
        spend("attempts", name)


def _count_failure(username: str) -> None:
    limits, name = runtime().rate_limits, _digest(username)
    limits.count("name", name)
    limits.hit("login", name)


def _renew_hash(user: User, password: str) -> None:
    """Store the hash that is made today. It must be there before the turn to hash goes on: another
    login of the user would otherwise find a hash that is no longer theirs."""
    stronger = generate_password_hash(password, runtime().settings.password_hash)
    with writing():
        accounts.renew_hash(user, stronger)
        db.session.commit()


def _strength(stored: str) -> tuple[int, int]:
    """Of a hash, or of a method to hash by: how much work it is to make."""
    method, *parameters = re.split(r":(?=[0-9])", stored.partition("$")[0])
    return METHODS.index(method), math.prod(map(int, parameters))


def _digest(username: str) -> str:
    """Names the limit of a name, in all its spellings; of bounded length, whatever was sent."""
    return hashlib.sha256(accounts.key(username).encode()).hexdigest()


def _hash_of_nobody() -> str:
    """A hash that no password has, as expensive to compare as any."""
    return f"{runtime().settings.password_hash}${'0' * 16}${'0' * 128}"


# Tokens --------------------------------------------------------------------------------------


class Token(NamedTuple):
    """A token, and for how many seconds it holds. It does once the transaction is committed."""

    text: str
    seconds: int


def log_in(user: User, *, remember: bool = False, user_agent: str | None = None) -> Token:
    """A token of a new login. Raises Unauthorized if the password was changed meanwhile."""
    jti, now = secrets.token_hex(16), _now()
    seconds = min(_life(remember), runtime().settings.session_max_seconds)
    expires_at = now + timedelta(seconds=seconds)
    logins.begin(
        user, jti, expires_at.replace(tzinfo=None), remember=remember, user_agent=user_agent
    )
    return Token(_signed(user, jti, now, expires_at), seconds)


def renew_login(user: User, user_agent: str | None) -> Token:
    """A token that takes the place of the request's. It holds as long as that one was made for, but
    no login goes on for more than SESSION_MAX_SECONDS. Raises Unauthorized if it has ended."""
    jti, now = secrets.token_hex(16), _now()
    login = logins.to_renew(user, current_jti())
    end = login.created_at.replace(tzinfo=UTC, microsecond=0)
    end += timedelta(seconds=runtime().settings.session_max_seconds)
    expires_at = min(now + timedelta(seconds=_life(login.remember)), end)
    if expires_at <= now:
        raise TokenExpired("This login has lasted as long as one may. Log in again.")
    logins.renew(login, jti, expires_at.replace(tzinfo=None), user_agent)
    return Token(_signed(user, jti, now, expires_at), int((expires_at - now).total_seconds()))


def _now() -> datetime:
    """Now, in whole seconds: a token tells no fractions."""
    return datetime.now(UTC).replace(microsecond=0)


def _life(remember: bool) -> int:
    settings = runtime().settings
    return settings.remember_seconds if remember else settings.jwt_expires_seconds


def _signed(user: User, jti: str, now: datetime, expires_at: datetime) -> str:
    claims = {"sub": str(user.id), "iat": now, "exp": expires_at, "jti": jti}
    return jwt.encode(claims, runtime().settings.jwt_key, ALGORITHM)


def logged_in(user: User, token: Token) -> answers.LoggedIn:
    """What a login answers."""
    data: answers.Token = {
        **accounts.person(user),
        "token": token.text,
        "expires_in": token.seconds,
    }
    return {"status": "success", "message": "Logged in.", "data": data}


def login_required(
    view: View, receive: Callable[[], object] = bodies.receive
) -> Callable[..., ResponseReturnValue]:
    """Pass the caller to the view as its first argument, or answer 401. `receive` receives the body
    of the request."""

    @wraps(view)
    def with_caller(**parameters: Any) -> ResponseReturnValue:
        claims = check_token()
        try:
            receive()
        finally:  # a token that is void is a 401, whatever is wrong with the body
            user = check_login(claims)
        with runtime().slots.share(user.id) as has_waited:
            return view(check_again() if has_waited else user, **parameters)

    return with_caller


def login_required_to_upload(view: View) -> Callable[..., ResponseReturnValue]:
    """The same for a form with a file, which goes to the disk while it is received."""
    return login_required(view, uploads.receive)


def login_required_with_picture(view: View) -> Callable[..., ResponseReturnValue]:
    """The same for the bytes of a picture."""
    return login_required(view, uploads.receive_picture)


def check_token() -> dict[str, Any]:
    """The claims of the token that came with the request, which we have signed and which has not
    expired. Asks no database. Raises Unauthorized.
    """
    # White space around a header's value is none of it (RFC 9110, 5.5); flask run leaves it there.
    value = request.headers.get("Authorization", "").strip(" \t")
    scheme, _, token = value.partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = _claims(token, runtime().settings.jwt_key)
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The token has expired. Log in again.") from None
    except jwt.InvalidTokenError:
        log.warning(
            "A token is forged: address %s, said to be of user %s.",
            addresses.of_client(),
            _claimed_user(token),
        )
        raise Unauthorized("The token is not valid. Log in again.") from None
    if claims["exp"] <= time.time():
        raise TokenExpired("The token has expired. Log in again.")
    return claims


def check_login(claims: dict[str, Any]) -> User:
    """The user of a token with these claims. Raises Unauthorized if the login has ended."""
    # Ours are hexadecimal; PostgreSQL fails on some of what else a signed claim may hold.
    jti = claims["jti"]
    user, is_first_use = logins.user(jti) if jti.isalnum() else (None, False)
    if user is None or str(user.id) != claims["sub"]:
        raise Unauthorized(logins.GONE)
    if is_first_use:  # of the hour
        runtime().housekeeping.note_use(jti)
    g.user_id = user.id  # for the log
    return user


def check_again() -> User:
    """The caller, as the rows now stand. Raises Unauthorized if the login has ended meanwhile."""
    release()
    return check_login(check_token())


def current_jti() -> str:
    """The login that the request's token stands for."""
    jti: str = check_token()["jti"]
    return jti


def _claimed_user(token: str) -> str:
    """Whose token a forged one claims to be, as far as it can be read."""
    try:
        claimed = jwt.decode(token, options={"verify_signature": False})["sub"]
    except (jwt.InvalidTokenError, KeyError):
        return "unknown"
    return claimed if isinstance(claimed, str) and DIGITS.fullmatch(claimed) else "unknown"


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
