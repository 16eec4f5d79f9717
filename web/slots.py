"""Work slots: how many requests a process works on at once, whatever its threads are.

More at once would only take the interpreter from each other, and need more connections to the
database. But a request that waits, for a slow client or for its turn to hash a password or to write
to SQLite, does no work, and must keep none from being done. It holds a thread, of which there can
be many, and no slot.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


class WorkSlots:
    """A WSGI middleware: a request has a slot until its answer has begun, which is then sent
    without one. Some paths need none: they tell how it is when all slots are taken."""

    def __init__(self, application: WSGI, count: int, *, free_paths: Collection[str] = ()) -> None:
        self._application = application
        self._free_paths = free_paths
        self._free = threading.BoundedSemaphore(count)
        self._mine = threading.local()  # whether this thread has one

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] in self._free_paths:
            return self._application(environ, start_response)
        with self._free:
            self._mine.held = True
            try:
                return self._application(environ, start_response)
            finally:
                self._mine.held = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let another request have the slot of this one inside the block, if it has one.

        Hold nothing there that others wait for: at the end this one may wait for a slot.
        """
        if not getattr(self._mine, "held", False):
            yield
            return
        self._mine.held = False
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
            self._mine.held = True
