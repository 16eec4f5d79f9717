"""Checks of settings that go together, or that no pattern describes."""

import base64
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from cryptography.hazmat.primitives.asymmetric import ec
from limits import parse_many as parse_limits
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from werkzeug.security import generate_password_hash

#: The settings of limits, without their "ratelimit_".
RATE_LIMITS = ("login", "name", "messages", "chats", "register", "default")
PLACEHOLDER = re.compile(r"change[-_ ]?(me|this|it)|your[-_ ]|placeholder|example", re.IGNORECASE)


class SettingsError(click.ClickException):
    """A setting that cannot work; the message names the variable and never repeats a secret."""


def pusher(given: Any) -> None:
    """Raise SettingsError unless all of a Pusher server is said, or nothing."""
    keys = {
        "PUSHER_APP_ID": given.pusher_app_id,
        "PUSHER_KEY": given.pusher_key,
        "PUSHER_SECRET": given.pusher_secret,
    }
    missing = [name for name, value in keys.items() if not value]
    if missing and len(missing) < len(keys):
        raise SettingsError(
            f"{' and '.join(missing)} missing: set PUSHER_APP_ID, PUSHER_KEY and PUSHER_SECRET, "
            "or none of them for the embedded server."
        )
    if not missing and not (given.pusher_host or given.pusher_cluster):
        raise SettingsError(
            "PUSHER_CLUSTER or PUSHER_HOST missing: with Pusher keys, one of the two must say "
            "where the server is."
        )
    for name in ("PUSHER_PORT", "PUSHER_PUBLIC_PORT"):
        if getattr(given, name.lower()) > 65_535:
            raise SettingsError(f"{name} must be a port, 1 to 65535.")


def limits(given: Any) -> None:
    """Raise SettingsError for a limit or a storage of limits that cannot be read."""
    for name in RATE_LIMITS:
        if not (limit := getattr(given, f"ratelimit_{name}")):
            continue
        with suppress(ValueError):
            rules = parse_limits(limit)
            if len(rules) == 1 and rules[0].amount > 0:
                continue
        raise SettingsError(
            f"RATELIMIT_{name.upper()} must be a single limit, such as 10 per 3 minutes."
        )
    if given.ratelimit_storage_uri != "memory://" and not _is_redis(given.ratelimit_storage_uri):
        raise SettingsError(
            "RATELIMIT_STORAGE_URI cannot be read: it must look like memory:// or "
            "redis://host:6379."
        )


def _is_redis(given: str) -> bool:
    """Whether a connection could be made by this address; none is made here."""
    import redis  # not above: it takes a tenth of a second, and most do without

    try:
        uri = urlsplit(given)
        (uri.hostname or "").encode("idna")
        if uri.scheme not in ("redis", "rediss", "redis+unix") or uri.port == 0:
            return False
        pool = redis.ConnectionPool.from_url(given.replace("redis+unix", "unix", 1))
        pool.make_connection()
    except (ValueError, TypeError, redis.RedisError):  # each for another part that is wrong
        return False
    return True


def hash_method(method: str, default: str) -> None:
    """Raise SettingsError for what werkzeug.security cannot hash by."""
    if method != default:  # the default works, and hashing takes its time
        try:
            generate_password_hash("", method)
        except (ValueError, OverflowError, MemoryError) as error:
            reason = str(error).rstrip(".")
            raise SettingsError(f"PASSWORD_HASH cannot be used: {reason}.") from None


def secret(key: str) -> None:
    """Raise SettingsError for a key that could be guessed."""
    if key and len(key.encode()) < 32:
        raise SettingsError("JWT_SECRET_KEY must be at least 32 bytes long, or left unset.")
    if PLACEHOLDER.search(key):
        raise SettingsError("JWT_SECRET_KEY is still a placeholder: set a random key, or none.")


def vapid_key(key: str) -> None:
    """Raise SettingsError for 32 bytes that are no key."""
    if key:
        number = int.from_bytes(base64.urlsafe_b64decode(f"{key}="))
        try:
            ec.derive_private_key(number, ec.SECP256R1())
        except ValueError:
            raise SettingsError(
                "VAPID_PRIVATE_KEY is no private key: set one of the curve P-256, or none."
            ) from None


def database_url(given: str, folder: Path) -> URL:
    """DATABASE_URL with its driver named and an SQLite path made absolute. Raises SettingsError."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    # In memory, each connection would have a database of its own; a query could ask for that too.
    if (
        url is None
        or url.drivername != "sqlite"
        or url.database in (None, "", ":memory:")
        or url.query
    ):
        raise SettingsError(
            "DATABASE_URL cannot be read: it must look like sqlite:///chat.db or "
            "postgresql://user:password@host/database."
        )
    return url.set(database=str(folder / str(url.database)))
