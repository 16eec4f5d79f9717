"""The Pusher server that is in use, and what a front end needs to reach it.

It is hosted Channels, a self-hosted Pusher-protocol server or the embedded one. The same official
client publishes to each.
"""

import json
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pusher import Pusher
from pusher.http import Request, process_response
from pusher.requests import RequestsBackend
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from config import Settings, listed
from contract import answers
from contract.names import PRESENCE_CHANNEL
from gateway import Gateway, Limits

TIMEOUT_SECONDS = 4  # to connect, and again to answer
CALL_SECONDS = 2 * TIMEOUT_SECONDS  # for a whole call, however slowly the answer drips
ANY_CLUSTER = "mt1"  # pusher-js insists on one, even if it does not use it

#: Answers a request of Pusher's HTTP API: from method, path, query and body to status and JSON.
Handle = Callable[[str, str, str, bytes], tuple[int, dict[str, Any]]]


class Transport(RequestsBackend):  # type: ignore[misc]
    """The official client's own transport, except for proxies, redirects and time.

    Proxies are looked up once, not at each call. A redirect is an error: the server that sends it
    has not taken the events, and the server that it names would not take them either. The client's
    time-out begins anew with each byte, so a call is cut after CALL_SECONDS.
    """

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.session.proxies = get_environ_proxies(f"{client.scheme}://{client.host}")
        self.session.trust_env = False
        self.session.max_redirects = 0
        self._line = Line()
        self.session.mount(f"{client.scheme}://", self._line)

    def send_request(self, request: Any) -> Any:
        """The answer to a request of the client; raises its errors and those of requests."""
        clock = threading.Timer(CALL_SECONDS, self._line.cut)
        clock.daemon = True
        clock.start()
        try:
            return super().send_request(request)
        finally:
            clock.cancel()


class Line(HTTPAdapter):
    """The connection of a transport, as requests makes it. Another thread can cut it."""

    def __init__(self) -> None:
        super().__init__()
        self._connection: Any = None

    def get_connection_with_tls_context(self, *request: Any, **options: Any) -> Any:
        """The pool of connections for a request, which makes them by our hand from now on."""
        pool: Any = super().get_connection_with_tls_context(*request, **options)
        if not isinstance(pool.ConnectionCls, partial):
            pool.ConnectionCls = partial(self._made, pool.ConnectionCls)
        return pool

    def _made(self, kind: Callable[..., Any], **options: Any) -> Any:
        self._connection = kind(**options)
        return self._connection

    def cut(self) -> None:
        """Have the request that is under way fail now."""
        if self._connection and (line := self._connection.sock):
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(line, socket.SHUT_RDWR)


class InProcess:
    """The official client's transport to the embedded server: the same without a network."""

    def __init__(self, _client: Any, *, handle: Handle) -> None:
        self._handle = handle

    def send_request(self, request: Any) -> Any:
        """The answer to a request of the client; raises the client's errors."""
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
        """A new official client. Each thread needs its own, because a client keeps connections."""
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


def server(settings: Settings) -> Server:
    """The server that the settings name. It is chosen here and nowhere else."""
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


def embedded(settings: Settings, server: Server) -> Gateway:
    """The embedded server itself. It is not open yet."""
    limits = Limits(
        connections=settings.embedded_connections,
        connections_per_address=settings.embedded_connections_per_address,
        subscriptions=settings.embedded_subscriptions,
        presence_members=settings.embedded_presence_members,
        frame_bytes=settings.embedded_frame_bytes,
        send_buffer_bytes=settings.embedded_send_buffer_bytes,
        public_channels=settings.embedded_public_channels,
        quiet_channels=frozenset({PRESENCE_CHANNEL}),
    )
    return Gateway(
        server.app_id,
        server.key,
        server.secret,
        limits=limits,
        allowed_origins=listed(settings.embedded_origins),
        handover=settings.socket_file("sockets"),
    )


def terminate(client: Pusher, user_id: int) -> Any:
    """Have the server close all connections that signed in as a user: its answer. Raises the
    client's errors.

    The client's own method forgets the app in the path.
    """
    path = f"/apps/{client._pusher_client.app_id}/users/{user_id}/terminate_connections"
    request = Request(client._pusher_client, "POST", path, {})
    return client._pusher_client.http.send_request(request)


def front_end(settings: Settings, key: str, address: str, prefix: str) -> answers.FrontEnd:
    """What `new Pusher(key, options)` needs. The embedded server is at the request's address, and
    below its prefix if there is one."""
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
    options: answers.FrontEnd = {
        "key": key,
        "cluster": (not settings.embedded and settings.pusher_cluster) or ANY_CLUSTER,
        "wsHost": host,
        "wsPort": port,
        "wssPort": port,
        "forceTLS": ssl,
        "enabledTransports": ["ws", "wss"],
    }
    if settings.embedded and prefix:
        options["wsPath"] = prefix
    return options


def _usual_port(ssl: bool) -> int:
    return 443 if ssl else 80


def _made_up_number() -> str:
    return str(secrets.randbelow(900_000) + 100_000)


def _made_up_word() -> str:
    return secrets.token_hex(16)
