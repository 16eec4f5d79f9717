"""Settings, made from the environment. This is the only module that reads os.environ.

A variable of the process wins over the same one in `.env`. An empty value counts as unset.
`Settings` is the one table of them; .env.example and docs/settings.md name the same variables.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from sqlalchemy.engine import URL

from contract.answers import MESSAGE_MEMBERS, encode
from settings import checks, secret_files
from settings.checks import SettingsError as SettingsError

MOST_EXTRAS = 1_024  # bytes: they stand in every event, of 10,240 at most
CENTURY = 3_155_760_000  # seconds: times much later than that cannot be written
ROOT = Path(__file__).resolve().parent
_ORIGIN = r"null|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
_APP_ID = (r"[0-9]+", "must be digits only, as the Pusher dashboard shows it")
_KEY = (r"[A-Za-z0-9._~-]+", "must have letters, digits and ._~- only, because addresses carry it")
_HOST = (r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", "must be a host without scheme, port or path")
_HASH = (
    r"scrypt:[0-9]+:[0-9]+:[0-9]+|pbkdf2:sha(256|512):[0-9]+",
    "must look like scrypt:32768:8:3",
)
_CLUSTER = (r"[A-Za-z0-9-]+", "must be a name such as eu")
_VAPID = (r"[A-Za-z0-9_-]{43}", "must be 43 letters, digits, - or _: 32 bytes in base64url")
_SUBJECT = (
    r"mailto:[!-~]+@[!-~]+|https://[!-~]+",
    "must look like mailto:you@example.com or https://example.com",
)
_BUCKET = (
    r"s3://[a-z0-9][a-z0-9.-]*[a-z0-9](/[A-Za-z0-9._/-]*)?",
    "must look like s3://bucket/prefix",
)
PREFIX = (r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", "must be a path such as /chat")
_LOG = (r"text|json|off", "must be text, json or off")
_TOKEN = (r"[!-~]+", "must have no spaces, and ASCII characters only")
_ORIGINS = (
    rf"\*|({_ORIGIN})( *, *({_ORIGIN}))*",
    "must be * or origins such as https://chat.example, in small letters, separated by commas",
)


def setting(
    default: Any,
    sentence: str,
    *,
    secret: bool = False,
    shape: tuple[str, str] | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Any:
    """A field of Settings, with its default and its sentence; repr() leaves out a secret one.

    `shape` is the pattern that a text must match, if it is set, and the sentence that says so;
    `least` is the lowest number, and `most` the highest.
    """
    metadata = {"sentence": sentence, "shape": shape, "least": least, "most": most}
    return field(default=default, repr=not secret, metadata=metadata)


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
        32,
        "PostgreSQL connections that a process keeps. It works on so many requests, 24 at most.",
        least=1,
    )
    message_extras: str = setting(
        "",
        "JSON object; its members stand in every message object, for front ends that need them.",
    )

    files_url: str = setting(
        "",
        "s3://bucket/prefix for the bytes of files, with the usual AWS variables. Unset: the "
        "instance folder.",
        shape=_BUCKET,
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
    jwt_expires_seconds: int = setting(
        86_400, "How long a token holds, in seconds.", least=1, most=CENTURY
    )
    remember_seconds: int = setting(
        2_592_000, "The same where a login asked to be remembered.", least=1, most=CENTURY
    )
    session_max_seconds: int = setting(
        7_776_000,
        "How long a login can be refreshed, in seconds; then the password is asked.",
        least=1,
        most=CENTURY,
    )
    password_hash: str = setting(
        "scrypt:32768:8:3",
        "How werkzeug.security hashes passwords (method and parameters).",
        shape=_HASH,
    )

    pusher_app_id: str = setting(
        "", "Hosted or self-hosted Pusher: the app's id, digits only.", shape=_APP_ID
    )
    pusher_key: str = setting("", "Its public key.", shape=_KEY)
    pusher_secret: str = setting("", "Its secret.", secret=True)
    pusher_cluster: str = setting(
        "", "Hosted Pusher Channels: the cluster, such as eu.", shape=_CLUSTER
    )
    pusher_host: str = setting(
        "",
        "The host of a self-hosted Pusher-protocol server; it wins over the cluster.",
        shape=_HOST,
    )
    pusher_port: int = setting(0, "Its port. Unset: 443, or 80 without SSL.")
    pusher_ssl: bool = setting(True, "Whether it is reached over TLS.")
    pusher_public_host: str = setting(
        "", "Its host as browsers see it. Unset: PUSHER_HOST.", shape=_HOST
    )
    pusher_public_port: int = setting(0, "Its port as browsers see it. Unset: PUSHER_PORT.")
    pusher_public_ssl: bool | None = setting(
        None, "Whether browsers reach it over TLS. Unset: PUSHER_SSL."
    )

    vapid_private_key: str = setting(
        "",
        "The key that signs pushes, 32 bytes in base64url. Unset: made in the instance folder.",
        secret=True,
        shape=_VAPID,
    )
    vapid_subject: str = setting(
        "",
        "mailto: or https: address at which push services reach you. Apple's insists on one.",
        shape=_SUBJECT,
    )
    push_allow_private: bool = setting(
        False, "true pushes to http and private addresses too, for tests."
    )

    embedded_app_id: str = setting(
        "",
        "The embedded Pusher server's app id, digits only. Unset: made in the instance folder.",
        shape=_APP_ID,
    )
    embedded_key: str = setting(
        "", "Its public key. Unset: made in the instance folder.", shape=_KEY
    )
    embedded_secret: str = setting(
        "", "Its secret. Unset: made in the instance folder.", secret=True
    )
    embedded_http_api: bool = setting(
        False, "true lets other programs publish through it, at /apps/<app id>/events."
    )
    embedded_origins: str = setting(
        "*", "Origins whose pages may connect to it, separated by commas.", shape=_ORIGINS
    )
    embedded_connections: int = setting(10_000, "How many connections it takes in all.", least=1)
    embedded_connections_per_address: int = setting(
        100, "How many connections it takes from one address. 0: no limit."
    )
    embedded_public_channels: bool = setting(
        False, "true lets anybody subscribe to channels that need no signature."
    )
    embedded_subscriptions: int = setting(
        1_000, "How many subscriptions one connection may have.", least=1
    )
    embedded_presence_members: int = setting(
        0, "How many people one presence channel takes. 0: no limit."
    )
    embedded_frame_bytes: int = setting(
        32_768, "The largest message that a client may send, in bytes.", least=1
    )
    embedded_send_buffer_bytes: int = setting(
        1_048_576,
        "How many bytes may wait for a slow reader; with more it is disconnected.",
        least=1,
    )

    cors_origins: str = setting(
        "*", "Origins whose pages may call the API, separated by commas.", shape=_ORIGINS
    )
    access_log: str = setting("text", "How each request is logged: text, json or off.", shape=_LOG)
    metrics_token: str = setting(
        "",
        "The bearer token that /metrics asks for. Unset: only this machine may ask.",
        secret=True,
        shape=_TOKEN,
    )
    trusted_proxies: int = setting(
        0, "Reverse proxies in front that say the client's address and the scheme (X-Forwarded-*)."
    )
    trusted_prefix: bool = setting(
        False, "true believes X-Forwarded-Prefix: the path that the nearest proxy has taken away."
    )
    script_name: str = setting(
        "", "The path below which all is served, such as /chat.", shape=PREFIX
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
        "300 per minute",
        "Messages that one user may send, also as files or again, edit or react to.",
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
        for each in fields(self):
            name, value = each.name.upper(), getattr(self, each.name)
            shape, least, most = (each.metadata[key] for key in ("shape", "least", "most"))
            if shape and value and not re.fullmatch(shape[0], value):
                raise SettingsError(f"{name} {shape[1]}.")
            if least is not None and value < least:
                raise SettingsError(f"{name} must be at least {least}.")
            if most is not None and value > most:
                raise SettingsError(f"{name} must be at most {most}.")
        if any(map(os.path.isfile, (self.folder, *self.folder.parents))):
            raise SettingsError("INSTANCE_PATH must be a folder, not a file.")
        checks.pusher(self)
        checks.limits(self)
        checks.secret(self.jwt_secret_key)
        checks.vapid_key(self.vapid_private_key)
        checks.hash_method(self.password_hash, Settings.password_hash)
        _ = self.extras, self.url  # wrong ones are refused now, not at the first message or query

    @cached_property
    def folder(self) -> Path:
        """INSTANCE_PATH as an absolute path."""
        return ROOT / self.instance_path

    @cached_property
    def url(self) -> URL:
        """DATABASE_URL with its driver named and an SQLite path made absolute."""
        return checks.database_url(self.database_url, self.folder)

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

    def socket_file(self, purpose: str) -> Path:
        """Where processes of one machine that share the database tell each other something."""
        return self.folder / f"{Path(str(self.url.database)).name}.{purpose}"

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """The value of `name`, made once and kept in the instance folder."""
        return secret_files.kept(self.folder / name, make)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ`. Without it, from the process and, unless FLASK_SKIP_DOTENV is set,
    from `.env`.

    Raises SettingsError with a sentence that names the variable.
    """
    if environ is None:
        environ = dict(os.environ)
        if not environ.get("FLASK_SKIP_DOTENV"):
            try:
                dotenv = dotenv_values(ROOT / ".env", encoding="utf-8-sig")
            except UnicodeError:
                raise SettingsError(".env is not in UTF-8: save it in that encoding.") from None
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
    if re.search(r"[\udc80-\udcff]", text):  # what Python makes of bytes that are no text
        raise SettingsError(f"{name} is not in UTF-8.")
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


def _message_extras(text: str) -> dict[str, Any]:
    """MESSAGE_EXTRAS as an object. Raises SettingsError."""
    if not text:
        return {}
    try:
        extras = json.loads(text)
        json.dumps(extras, allow_nan=False)  # NaN, and 1e400, which Python reads as infinity
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
