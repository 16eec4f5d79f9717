"""Which Pusher server there is, what a front end needs to reach it, and signatures.

Hosted Channels, a self-hosted Pusher-protocol server or the embedded one: the same official
client publishes to each.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pusher import Pusher
from pusher.http import process_response
from pusher.requests import RequestsBackend
from requests.utils import get_environ_proxies

import answers
from config import Settings

TIMEOUT_SECONDS = 4  # to connect, and again to answer
ANY_CLUSTER = "mt1"  # pusher-js insists on one, also where it is not used


#: Answers a request of Pusher's HTTP API: method, path, query, body; then status, JSON.
Handle = Callable[[str, str, str, bytes], tuple[int, dict[str, Any]]]


class Transport(RequestsBackend):  # type: ignore[misc]
    """The official client's own, but for looking up proxies once rather than at each call, and for
    redirects: whoever answers with one has not taken the events, nor has who is asked instead."""

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.session.proxies = get_environ_proxies(f"{client.scheme}://{client.host}")
        self.session.trust_env = False
        self.session.max_redirects = 0


class InProcess:
    """The official client's way to the embedded server: no network, all else alike."""

    def __init__(self, _client: Any, *, handle: Handle) -> None:
        self._handle = handle

    def send_request(self, request: Any) -> Any:
        status, answer = self._handle(
            request.method, request.path, request.query_string, request.body
        )
        return process_response(status, json.dumps(answer))


@dataclass(frozen=True)
class Server:
    """A Pusher-protocol server, and our app on it."""

    app_id: str
    key: str
    secret: str
    cluster: str = ""
    host: str = ""
    port: int = 443
    ssl: bool = True

    def client(self, backend: Any = Transport, **options: Any) -> Pusher:
        """A new official client. Each thread needs its own: it keeps one HTTP session."""
        return Pusher(
            self.app_id,
            self.key,
            self.secret,
            host=self.host or None,
            cluster=self.cluster or None,
            port=self.port,
            ssl=self.ssl,
            timeout=TIMEOUT_SECONDS,
            backend=backend,
            **options,
        )


class SignedSockets:
    """Which connections may have signatures by a right that can end: a session (its jti), or to
    hear a chat; as far as this process signed them.

    Bounded: of very many rights the oldest are forgotten, and of one right's connections the
    oldest has to go.
    """

    RIGHTS = 20_000
    SOCKETS = 200

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, None]] = {}  # a set that knows its oldest

    def add(self, right: str, socket_id: str) -> str | None:
        """The one that cannot be remembered any more, and is to be closed, if any."""
        with self._lock:
            sockets = self._of.setdefault(right, {})
            sockets.pop(socket_id, None)
            sockets[socket_id] = None
            if len(self._of) > self.RIGHTS:
                del self._of[next(iter(self._of))]
            if len(sockets) <= self.SOCKETS:
                return None
            oldest = next(iter(sockets))
            del sockets[oldest]
            return oldest

    def pop(self, ended: Iterable[str]) -> set[str]:
        with self._lock:
            return set().union(*(self._of.pop(right, {}) for right in ended))

    def move(self, jti: str, to: str) -> None:
        with self._lock:
            if sockets := self._of.pop(jti, None):
                self._of[to] = sockets


def server(settings: Settings) -> Server:
    """The server that the settings name: the only place where it is chosen."""
    if settings.embedded:
        kept = settings.kept
        return Server(
            settings.embedded_app_id or kept("embedded_app_id", _made_up_number),
            settings.embedded_key or kept("embedded_key", _made_up_word),
            settings.embedded_secret or kept("embedded_secret", _made_up_word),
        )
    return Server(
        settings.pusher_app_id,
        settings.pusher_key,
        settings.pusher_secret,
        settings.pusher_cluster,
        settings.pusher_host,
        settings.pusher_port or _usual_port(settings.pusher_ssl),
        settings.pusher_ssl,
    )


def front_end(settings: Settings, key: str, address: str) -> answers.FrontEnd:
    """What `new Pusher(key, options)` needs; the embedded server is at the request's address."""
    host: str | None
    port: int | None
    if settings.embedded:
        scheme, _, asked = address.partition("://")
        host, colon, digits = asked.rpartition(":")
        if not colon or not digits.isdecimal():  # [::1] has colons, but no port
            host, digits = asked, ""
        ssl = scheme == "https"
        port = int(digits or _usual_port(ssl))
    elif settings.pusher_host:
        host = settings.pusher_public_host or settings.pusher_host
        public_ssl = settings.pusher_public_ssl
        ssl = settings.pusher_ssl if public_ssl is None else public_ssl
        port = settings.pusher_public_port or settings.pusher_port or _usual_port(ssl)
    else:
        host = port = None
        ssl = True
    return {
        "key": key,
        "cluster": (not settings.embedded and settings.pusher_cluster) or ANY_CLUSTER,
        "wsHost": host,
        "wsPort": port,
        "wssPort": port,
        "forceTLS": ssl,
        "enabledTransports": ["ws", "wss"],
    }


def _usual_port(ssl: bool) -> int:
    return 443 if ssl else 80


def _made_up_number() -> str:
    return str(secrets.randbelow(900_000) + 100_000)


def _made_up_word() -> str:
    return secrets.token_hex(16)
