"""The queue of those who wait for a password to be hashed: short, and fair by address.

One hash at a time in each process: each keeps a core and 32 MiB busy for a third of a second, and
several at once would starve the requests that are quick. Who waits holds a thread of the server.
So only so many may wait, and only some of one address. Addresses take turns.
"""

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contract.errors import Busy

MOST = 100  # about half of the threads of gunicorn.conf.py
MOST_OF_ADDRESS = 10
RETRY_SECONDS = 5


class Waiter:
    """A request in the queue."""

    def __init__(self, has_left: Callable[[], bool]) -> None:
        self.has_left = has_left
        self.called = threading.Event()
        self.is_dropped = False

    def call(self, *, dropped: bool = False) -> None:
        self.is_dropped = dropped
        self.called.set()


class HashQueue:
    """Gives the turn to one request after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        #: By address, in the order in which the addresses get their next turn.
        self._waiting: dict[str, deque[Waiter]] = {}

    @contextmanager
    def turn(self, address: str, has_left: Callable[[], bool]) -> Iterator[None]:
        """The turn to hash, inside the block. `has_left` says whether the client has hung up.

        Raises Busy if too many wait, and if the client has left, who then does not hear of it.
        """
        self._wait(address, Waiter(has_left))
        try:
            if has_left():
                raise _busy()
            yield
        finally:
            self._pass_on()

    @property
    def length(self) -> int:
        """How many wait."""
        return sum(map(len, list(self._waiting.values())))

    def _wait(self, address: str, waiter: Waiter) -> None:
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            if self._is_full(address):
                self._drop_those_who_left()
            if self._is_full(address):
                raise _busy()
            self._waiting.setdefault(address, deque()).append(waiter)
        waiter.called.wait()
        if waiter.is_dropped:
            raise _busy()

    def _pass_on(self) -> None:
        """Give the turn to the first of the next address, and put that address last."""
        with self._lock:
            if not self._waiting:
                self._is_taken = False
                return
            address = next(iter(self._waiting))
            waiters = self._waiting.pop(address)
            waiters.popleft().call()
            if waiters:
                self._waiting[address] = waiters

    def _is_full(self, address: str) -> bool:
        here = len(self._waiting.get(address, ()))
        return here >= MOST_OF_ADDRESS or self.length >= MOST

    def _drop_those_who_left(self) -> None:
        for address, waiters in list(self._waiting.items()):
            for waiter in [each for each in waiters if each.has_left()]:
                waiters.remove(waiter)
                waiter.call(dropped=True)
            if not waiters:
                del self._waiting[address]


def _busy() -> Busy:
    return Busy("Too many passwords wait to be checked.", RETRY_SECONDS)


def has_left(environ: dict[str, Any]) -> bool:
    """Whether the client of a request has closed its connection, where the server lets us see."""
    connection: Any = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    is_plain = isinstance(connection, socket.socket) and not isinstance(connection, ssl.SSLSocket)
    if not is_plain or not hasattr(select, "poll"):  # which Windows lacks
        return False
    readable = select.poll()
    try:
        readable.register(connection, select.POLLIN)
        return bool(readable.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):  # it was reset, or the server itself has closed it
        return True
