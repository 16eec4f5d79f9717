"""The gateway as the application sees it: a handful of calls, each safe from any thread."""

import atexit
import contextlib
import logging
import os
import secrets
import selectors
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway import handover
from gateway.api import Api
from gateway.connections import NEVER, Connection
from gateway.handover import Arrival
from gateway.handshake import Answer, check, give_back, offered_socket, refusal, take
from gateway.hub import Delivery, Hub
from gateway.limits import Limits
from gateway.loop import RESTART, Ended, Loop
from gateway.signatures import Credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Result = TypeVar("Result")

CLOSED = "The realtime server is not running in this process."
NO_SOCKET = (
    "This HTTP server does not hand out its sockets, so the embedded realtime server cannot work "
    "behind it. Use gunicorn's gthread worker or `flask run`, without TLS of their own (that "
    "belongs to a proxy in front), or an external Pusher server."
)
FULL = "The realtime server has no room for another connection."
FILES_OF_OTHERS = 1_200
"""Files that the rest of the process may open: requests, databases, logs."""

LINGERING = 1_000
"""Refused and closing connections that may exist beyond the limit of open ones."""

WINDOWS_SOCKETS = 500
"""What select(), all there is on Windows, can watch at once."""

#: The reason that a client is given if its subscription is no longer allowed.
SUBSCRIPTION_ENDED = "A subscription is no longer allowed"
RIGHT_ENDED = "Connection closed by the application"


class GatewayClosed(Exception):
    """The gateway is not open, so it did nothing."""


class Gateway:
    """An embedded Pusher server for one application.

    A new gateway is closed and has neither thread nor socket. `open` lets clients in, `stop` sends
    them away. Both can be repeated for as long as the process lives. A forked child starts closed.

    Of the processes of one machine that name the same `handover` file, the others hand their
    clients on to the open one. The application sees to it that no two are open.
    """

    def __init__(
        self,
        app_id: str,
        key: str,
        secret: str,
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        allowed_origins: Sequence[str] = ("*",),
        logger: logging.Logger | None = None,
        handover: Path | None = None,
    ) -> None:
        self.limits = limits
        self._credentials = Credentials(app_id, key, secret)
        self._allowed_origins = tuple(allowed_origins)
        self._log = logger or logging.getLogger("gateway")
        self._handover = handover
        self._api = Api(self._credentials, limits, self)
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._files = 0  # that this process may open
        self._pid = os.getpid()

    # Opening and closing

    @property
    def is_open(self) -> bool:
        return self._current() is not None

    def open(self) -> None:
        """Let connections in. Does nothing if the gateway is open."""
        self._current()
        with self._lock:
            if self._loop is None:
                wanted = self.limits.connections + LINGERING + FILES_OF_OTHERS
                self._files = _allow_files(wanted)
                hub = Hub(self._credentials, self.limits)
                entrance = self._entrance()
                self._loop = Loop(hub, self.limits, self._log, entrance, self._take_handed_on)
                self._loop.start()
                atexit.register(self.stop)

    def stop(self, timeout: float = 1.0) -> None:
        """Close every connection with 4200, which makes clients reconnect, and end the thread.

        Returns within about `timeout` seconds, no matter how many there are. Until the next open(),
        upgrade() and api() answer 503."""
        self._current()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            atexit.unregister(self.stop)
            loop.stop(timeout)

    # Clients

    def upgrade(
        self, environ: "WSGIEnvironment", key: str, *, address: str | None = None
    ) -> Answer:
        """Turn the request GET /app/<key> into a connection, which counts as one of `address`
        (REMOTE_ADDR if it is not given; an empty one is not counted).

        The answer's status is 101 if that has happened. Any other answer is a refusal for the
        client. A client that speaks WebSocket but is not welcome gets a 101 as well, because
        Pusher's close codes can be told in no other way."""
        offered = offered_socket(environ)
        if offered is None:
            return Answer(501, [], {"message": NO_SOCKET})
        handshake = check(environ)
        if isinstance(handshake, Answer):
            return handshake
        if address is None:
            address = environ.get("REMOTE_ADDR", "")
        loop = self._current()
        if loop is not None and not self._has_room(loop, address):
            return Answer(503, [("Retry-After", "5")], {"message": FULL})
        no = refusal(environ, self._credentials.is_key(key), self._allowed_origins)
        try:
            sock, early = take(offered, environ)
        except OSError:  # too many open files
            return Answer(503, [("Retry-After", "5")], {"message": FULL})
        arrival = Arrival(sock, address, handshake, early, no)
        if loop is None:
            return _hand_on(self._handover, arrival, offered)
        try:
            loop.post(lambda: self._adopt(loop, arrival))
        except (Ended, TimeoutError):
            sock.close()
        return Answer(101, [], None)

    def close_connections(
        self,
        socket_ids: Iterable[str],
        code: int = 4009,
        reason: str = RIGHT_ENDED,
    ) -> None:
        """Close these connections; ids that are not open are passed over. The codes are those
        of the Pusher protocol: after 4009 clients stay away, after 4200 they come back."""
        if not 4000 <= code < 5000:
            raise ValueError("Pusher close codes are 4000 to 4999")
        ids = list(socket_ids)
        self._post(lambda hub: hub.close(ids, code, reason))

    def give_right(self, socket_id: str, right: str, until: float = NEVER) -> None:
        """Note by which right a connection is signed for, before it gets the signature, and until
        which time of the monotonic clock. It is then closed with 4009, as by end_right() before.

        What is known of a connection is bounded: see Limits.connections_per_right and .rights."""
        self._post(lambda hub: hub.give(socket_id, right, until))

    def end_right(self, right: str, code: int = 4009, reason: str = RIGHT_ENDED) -> None:
        """Close the connections that were signed for by a right."""
        self._post(lambda hub: hub.rights.end(right, code, reason))

    def renew_right(self, right: str, heir: str, until: float = NEVER) -> None:
        """Let the connections of a right belong to another one, which follows it."""
        self._post(lambda hub: hub.rights.renew(right, heir, until))

    def close_subscribers(self, channel: str) -> None:
        """Close a channel's subscribers with 4200, so that they come back and ask for it again. The
        protocol has no other way for a server to end a subscription."""
        self._post(lambda hub: hub.close_subscribers(channel, RESTART, SUBSCRIPTION_ENDED))

    # The application

    def api(self, method: str, path: str, query: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """One request of the Pusher HTTP API: its status and JSON.

        A 200 to events means that the loop has them, after all that this thread published before.
        503 means that they were not taken or, if the loop has been stuck for long, that nobody can
        tell."""
        try:
            return self._api.answer(method, path, query, body)
        except (GatewayClosed, Ended, TimeoutError):
            return 503, {"error": CLOSED}

    def stats(self) -> dict[str, int]:
        """Open connections, occupied channels and subscriptions, for a health check."""
        loop = self._current()
        hub = loop.hub if loop else Hub(self._credentials, self.limits)
        return {
            "connections": len(hub.connections),
            "channels": len(hub.channels),
            "subscriptions": hub.subscriptions,
        }

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Hand events to the loop, as the API does once it has checked them."""
        loop = self._opened()
        loop.post(lambda: loop.hub.deliver(deliveries))

    def ask(self, question: Callable[[Hub], Result]) -> Result:
        """Have the loop answer a question about its hub."""
        loop = self._opened()
        return loop.ask(lambda: question(loop.hub))

    def _post(self, task: Callable[[Hub], object]) -> None:
        if loop := self._current():
            with contextlib.suppress(Ended):  # stopped in between, so all are closed
                loop.post(lambda: task(loop.hub))

    def _opened(self) -> Loop:
        loop = self._current()
        if loop is None:
            raise GatewayClosed(CLOSED)
        return loop

    def _current(self) -> Loop | None:
        """The running loop. A forked child drops what it inherited: the thread was not copied."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()  # another thread of the parent may have held the old one
            if self._loop is not None:
                self._loop.abandon()
                self._loop = None
        return self._loop

    def _entrance(self) -> Any:
        """Where other processes hand clients on, or None where that is not possible."""
        if self._handover is None:
            return None
        try:
            return handover.listen(self._handover)
        except handover.Unsupported:
            return None
        except OSError as error:
            self._log.warning("Other processes cannot hand clients on: %s", error)
            return None

    def _take_handed_on(self, arrival: Arrival) -> None:
        """Let a client in that another process has handed on. Called by the loop."""
        loop = self._loop
        if loop is not None and self._has_room(loop, arrival.address):
            self._adopt(loop, arrival)
            return
        with contextlib.suppress(OSError):
            arrival.sock.send(handover.NO_ROOM)
        arrival.sock.close()

    def _adopt(self, loop: Loop, arrival: Arrival) -> None:
        new = (arrival.sock, _new_socket_id(), arrival.address, self.limits, loop.touched)
        loop.adopt(Connection(*new), arrival)

    def _has_room(self, loop: Loop, address: str) -> bool:
        return len(loop.sockets) < self._room() and not self._is_crowded(loop, address)

    def _is_crowded(self, loop: Loop, address: str) -> bool:
        """Whether an address has as many sockets again as it may have connections. They were told
        to go, and stay: nobody else would find room if there was no end to that."""
        most = 2 * self.limits.connections_per_address
        return bool(address) and 0 < most <= loop.addresses[address]

    def _room(self) -> int:
        room = self.limits.connections + LINGERING
        # An HTTP server that cannot open another file may not survive it.
        room = min(room, max(self._files - FILES_OF_OTHERS, self._files // 2))
        by_select = issubclass(selectors.DefaultSelector, selectors.SelectSelector)
        return min(room, WINDOWS_SOCKETS) if by_select else room


def _hand_on(path: Path | None, arrival: Arrival, offered: Any) -> Answer:
    """Give a client to the process that is open, if there is one."""
    try:
        handover.send(path, arrival)
    except OSError:
        give_back(offered, arrival.sock)
        return Answer(503, [("Retry-After", "5")], {"message": CLOSED})
    arrival.sock.close()  # here: it lives on over there
    return Answer(101, [], None)


def _new_socket_id() -> str:
    """Two random numbers: unique for all practical purposes, and hard to guess."""
    return f"{secrets.randbelow(10**9) + 1}.{secrets.randbelow(10**9) + 1}"


def _allow_files(count: int) -> int:
    """Raise this process's limit of open files to `count`, as far as the system allows, and return
    it. Many systems begin with 1,024, and beyond that no request could be accepted either."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return count
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        count = min(count, most)
    if limit != resource.RLIM_INFINITY and limit < count:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit still
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return count if limit == resource.RLIM_INFINITY else limit
