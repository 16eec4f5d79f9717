"""Places to work at: how many requests a process works on at once, whatever its threads are.

More at once would only take the interpreter from each other, and need more connections to the
database. But a request that waits, for a slow client or for its turn to hash a password, does no
work, and must keep none from being done: it holds a thread, of which there can be many, and no
place.
"""

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Places:
    """A WSGI middleware: a request has a place until its answer has begun, which is then sent
    without one.

    Within `with places.left:` another request may have the place of this one. Not for where others
    wait for what this one holds: it may have to wait for a place at the end.
    """

    def __init__(self, application: WSGI, count: int) -> None:
        self._application = application
        # A queue in C: a semaphore is Python, and is asked four times in each request.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)
        self.left = _Left(self._free)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._free.get()
        try:
            return self._application(environ, start_response)
        finally:
            self._free.put(None)


class _Left:
    def __init__(self, free: "SimpleQueue[None]") -> None:
        self._free = free

    def __enter__(self) -> None:
        self._free.put(None)

    def __exit__(self, *_: object) -> None:
        self._free.get()
