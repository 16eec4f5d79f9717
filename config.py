"""Settings, made from the environment. This is the only module that reads os.environ.

A variable of the process wins over the same one in `.env`. An empty value counts as unset.
`Settings` is the one table of them; .env.example and the README name the same variables.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from dotenv import dotenv_values
from limits import parse_many as parse_limits
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from werkzeug.security import generate_password_hash

from contract.answers import MESSAGE_MEMBERS, encode

MOST_EXTRAS = 1_024  # bytes: they stand in every event, of 10,240 at most
ROOT = Path(__file__).resolve().parent
_ORIGIN = r"null|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
_APP_ID = (r"[0-9]+", "must be digits only, as the Pusher dashboard shows it")
_KEY = (r"[A-Za-z0-9._~-]+", "must have letters, digits and ._~- only, because addresses carry it")
_HOST = (r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", "must be a host without scheme, port or path")
_ORIGINS = (
    rf"\*|({_ORIGIN})( *, *({_ORIGIN}))*",
    "must be * or origins such as https://chat.example, in small letters, separated by commas",
)
#: The pattern that the text of a setting must match, if it is set, and the sentence that says so.
SHAPES = {
    "password_hash": (
        r"scrypt:[0-9]+:[0-9]+:[0-9]+|pbkdf2:sha(256|512):[0-9]+",
        "must look like scrypt:32768:8:3",
    ),
    "files_url": (
        r"s3://[a-z0-9][a-z0-9.-]*[a-z0-9](/[A-Za-z0-9._/-]*)?",
        "must look like s3://bucket/prefix",
    ),
    "pusher_app_id": _APP_ID,
    "pusher_key": _KEY,
    "pusher_cluster": (r"[A-Za-z0-9-]+", "must be a name such as eu"),
    "pusher_host": _HOST,
    "pusher_public_host": _HOST,
    "embedded_app_id": _APP_ID,
    "embedded_key": _KEY,
    "embedded_origins": _ORIGINS,
    "cors_origins": _ORIGINS,
}
AT_LEAST_ONE = (
    "database_pool_size",
    "jwt_expires_seconds",
    "embedded_connections",
    "embedded_subscriptions",
    "embedded_frame_bytes",
    "embedded_send_buffer_bytes",
)
#: The settings of limits, without their "ratelimit_".
RATE_LIMITS = ("login", "name", "messages", "chats", "register", "default")
PLACEHOLDER = re.compile(r"change[-_ ]?(me|this|it)|your[-_ ]|placeholder|example", re.IGNORECASE)


class SettingsError(click.ClickException):
    """A setting that cannot work; the message names the variable and never repeats a secret."""


def setting(default: Any, sentence: str, *, secret: bool = False) -> Any:
    """A field of Settings, with its default and its sentence; repr() leaves out a secret one."""
    return field(default=default, repr=not secret, metadata={"sentence": sentence})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, by the name of its environment variable in lower case."""

    instance_path: str = setting(
        str(ROOT / "instance"),
        "Folder, relative to the project, for the SQLite file and the secrets made on first need.",
    )
    database_url: str = setting(
        "sqlite:///chat.db",
        "sqlite:///<file in the instance folder> or postgresql://user:password@host/database.",
        secret=True,
    )
    database_pool_size: int = setting(
        32, "PostgreSQL connections that a process keeps. It works on so many requests, 24 at most."
    )

    message_extras: str = setting(
        "",
        "JSON object; its members stand in every message object, for front ends that need them.",
    )

    files_url: str = setting(
        "",
        "s3://bucket/prefix for the bytes of files, with the usual AWS variables. Unset: the "
        "instance folder.",
    )
    file_max_bytes: int = setting(26_214_400, "The largest file that may be sent, in bytes.")
    files_bytes_per_user: int = setting(
        1_073_741_824, "How many bytes the files of one user may take in all."
    )
    files_free_bytes: int = setting(
        1_073_741_824, "Files are refused when the disk has fewer bytes left."
    )

    jwt_secret_key: str = setting(
        "",
        "The key that signs the tokens, 32 bytes or more. Unset: made in the instance folder.",
        secret=True,
    )
    jwt_expires_seconds: int = setting(86_400, "How long a token holds, in seconds.")
    password_hash: str = setting(
        "scrypt:32768:8:3", "How werkzeug.security hashes passwords (method and parameters)."
    )

    pusher_app_id: str = setting("", "Hosted or self-hosted Pusher: the app's id, digits only.")
    pusher_key: str = setting("", "Its public key.")
    pusher_secret: str = setting("", "Its secret.", secret=True)
    pusher_cluster: str = setting("", "Hosted Pusher Channels: the cluster, such as eu.")
    pusher_host: str = setting(
        "", "The host of a self-hosted Pusher-protocol server; it wins over the cluster."
    )
    pusher_port: int = setting(0, "Its port. Unset: 443, or 80 without SSL.")
    pusher_ssl: bool = setting(True, "Whether it is reached over TLS.")
    pusher_public_host: str = setting("", "Its host as browsers see it. Unset: PUSHER_HOST.")
    pusher_public_port: int = setting(0, "Its port as browsers see it. Unset: PUSHER_PORT.")
    pusher_public_ssl: bool | None = setting(
        None, "Whether browsers reach it over TLS. Unset: PUSHER_SSL."
    )

    embedded_app_id: str = setting(
        "", "The embedded Pusher server's app id, digits only. Unset: made in the instance folder."
    )
    embedded_key: str = setting("", "Its public key. Unset: made in the instance folder.")
    embedded_secret: str = setting(
        "", "Its secret. Unset: made in the instance folder.", secret=True
    )

    embedded_http_api: bool = setting(
        False, "true lets other programs publish through it, at /apps/<app id>/events."
    )
    embedded_origins: str = setting(
        "*", "Origins whose pages may connect to it, separated by commas."
    )
    embedded_connections: int = setting(10_000, "How many connections it takes in all.")
    embedded_connections_per_address: int = setting(
        100, "How many connections it takes from one address. 0: no limit."
    )
    embedded_public_channels: bool = setting(
        False, "true lets anybody subscribe to channels that need no signature."
    )
    embedded_subscriptions: int = setting(1_000, "How many subscriptions one connection may have.")
    embedded_presence_members: int = setting(
        0, "How many people one presence channel takes. 0: no limit."
    )
    embedded_frame_bytes: int = setting(
        32_768, "The largest message that a client may send, in bytes."
    )
    embedded_send_buffer_bytes: int = setting(
        1_048_576, "How many bytes may wait for a slow reader; with more it is disconnected."
    )

    cors_origins: str = setting("*", "Origins whose pages may call the API, separated by commas.")
    trusted_proxies: int = setting(
        0, "Reverse proxies in front that say the client's address and the scheme (X-Forwarded-*)."
    )

    ratelimit_enabled: bool = setting(True, "false switches every rate limit off.")
    ratelimit_login: str = setting(
        "10 per 3 minutes", "Failed logins allowed for one name from one address."
    )
    ratelimit_name: str = setting(
        "100 per hour",
        "Failed logins allowed for one name from all addresses; then it gets one attempt a minute.",
    )
    ratelimit_messages: str = setting(
        "300 per minute", "Messages that one user may send, send again or edit."
    )
    ratelimit_chats: str = setting("60 per minute", "Chats that one user may ask for.")
    ratelimit_register: str = setting("300 per hour", "Registrations allowed from one address.")
    ratelimit_default: str = setting(
        "", "Requests of all kinds from one address, such as 1000 per minute. Unset: no limit."
    )
    ratelimit_storage_uri: str = setting(
        "memory://",
        "Where limits are counted: memory:// (each process for itself) or redis://host.",
        secret=True,
    )

    def __post_init__(self) -> None:
        for name, (shape, sentence) in SHAPES.items():
            value = getattr(self, name)
            if value and not re.fullmatch(shape, value):
                raise SettingsError(f"{name.upper()} {sentence}.")
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name.upper()} must be at least 1.")
        if any(map(os.path.isfile, (self.folder, *self.folder.parents))):
            raise SettingsError("INSTANCE_PATH must be a folder, not a file.")
        _check_pusher(self)
        _check_secret(self.jwt_secret_key)
        _check_hash(self.password_hash)
        _check_limits(self)
        _ = self.extras  # wrong ones are refused now, not at the first message
        _ = self.url  # a wrong one is refused now, not at the first query

    @cached_property
    def folder(self) -> Path:
        """INSTANCE_PATH as an absolute path."""
        return ROOT / self.instance_path

    @cached_property
    def url(self) -> URL:
        """DATABASE_URL with its driver named and an SQLite path made absolute."""
        return _database_url(self)

    @cached_property
    def extras(self) -> dict[str, Any]:
        """MESSAGE_EXTRAS as an object."""
        return _message_extras(self.message_extras)

    @cached_property
    def jwt_key(self) -> str:
        """The key that signs the tokens: JWT_SECRET_KEY, or one made in the instance folder."""
        return self.jwt_secret_key or self.kept("jwt_secret_key", lambda: secrets.token_hex(32))

    @property
    def embedded(self) -> bool:
        """Whether the embedded Pusher-protocol server is the one in use."""
        return not self.pusher_app_id

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """The value of `name`, made once and kept in the instance folder (mode 0600).

        Several processes may ask at once. Each writes its value to a draft and links the draft to
        `name`: one link succeeds, the others fail, and nobody ever reads a half-written file.
        """
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self.folder / f".{name}.{secrets.token_hex(8)}"
            try:
                with open(draft, "x", opener=_private, encoding="ascii") as file:
                    file.write(make())
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(draft, path)
            finally:
                draft.unlink(missing_ok=True)
        return path.read_text(encoding="ascii").strip()


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ`. Without it, from the process and, unless FLASK_SKIP_DOTENV is set,
    from `.env`.

    Raises SettingsError with a sentence that names the variable.
    """
    if environ is None:
        environ = dict(os.environ)
        if not environ.get("FLASK_SKIP_DOTENV"):
            dotenv = dotenv_values(ROOT / ".env")
            environ = {k: v for k, v in dotenv.items() if v is not None} | environ
    values: dict[str, Any] = {}
    for each in fields(Settings):
        text = environ.get(each.name.upper(), "").strip()
        if text:
            values[each.name] = _parse(each.name.upper(), text, each.type)
    return Settings(**values)


def listed(text: str) -> list[str]:
    """The parts of a setting that holds several, separated by commas."""
    return [part.strip() for part in text.split(",")]


def exactly(text: str) -> list[re.Pattern[str]]:
    """The parts of such a setting as patterns, each of which matches its part and nothing else."""
    return [re.compile(rf"{re.escape(part)}\Z") for part in listed(text)]


def _parse(name: str, text: str, kind: Any) -> Any:
    if kind is int:
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise SettingsError(f"{name} must be a whole number.")
        return int(text)
    if kind in (bool, bool | None):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise SettingsError(f"{name} must be true or false.")
        return words[text.lower()]
    return text


def _check_pusher(given: Settings) -> None:
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
    for name, port in (
        ("PUSHER_PORT", given.pusher_port),
        ("PUSHER_PUBLIC_PORT", given.pusher_public_port),
    ):
        if port > 65_535:
            raise SettingsError(f"{name} must be a port, 1 to 65535.")


def _check_limits(given: Settings) -> None:
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
    if given.ratelimit_storage_uri != "memory://":
        with suppress(ValueError):  # a wrong port raises it
            uri = urlsplit(given.ratelimit_storage_uri)
            if uri.scheme in ("redis", "rediss", "redis+unix") and uri.port != 0:
                return
        raise SettingsError(
            "RATELIMIT_STORAGE_URI cannot be read: it must look like memory:// or "
            "redis://host:6379."
        )


def _check_hash(method: str) -> None:
    if method != Settings.password_hash:  # the default works, and hashing takes its time
        try:
            generate_password_hash("", method)
        except (ValueError, OverflowError, MemoryError) as error:
            reason = str(error).rstrip(".")
            raise SettingsError(f"PASSWORD_HASH cannot be used: {reason}.") from None


def _message_extras(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        extras = json.loads(text)
        json.dumps(
            extras, allow_nan=False
        )  # refuses NaN, and 1e400, which Python reads as infinity
        bytes_ = len(encode(extras).encode())
    except (ValueError, RecursionError):
        extras, bytes_ = None, 0
    if not isinstance(extras, dict):
        raise SettingsError(
            'MESSAGE_EXTRAS must be a JSON object, such as {"sentiment": {"polarity": 0}}.'
        )
    if own := sorted(MESSAGE_MEMBERS & extras.keys()):
        raise SettingsError(f"MESSAGE_EXTRAS must not name members of messages: {', '.join(own)}.")
    if bytes_ > MOST_EXTRAS:
        raise SettingsError(f"MESSAGE_EXTRAS must have at most {MOST_EXTRAS} bytes.")
    return extras


def _check_secret(key: str) -> None:
    if key and len(key.encode()) < 32:
        raise SettingsError("JWT_SECRET_KEY must be at least 32 bytes long, or left unset.")
    if PLACEHOLDER.search(key):
        raise SettingsError("JWT_SECRET_KEY is still a placeholder: set a random key, or none.")


def _database_url(given: Settings) -> URL:
    try:
        url = make_url(given.database_url)
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
    return url.set(database=str(given.folder / str(url.database)))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
