"""Places to work at: how many requests a process works on at once, whatever its threads are.

More at once would only take the interpreter from each other, and need more connections to the
database. But a request that waits, for a slow client or for its turn to hash a password, does no
work, and must keep none from being done: it holds a thread, of which there can be many, and no
place.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Places:
    """A WSGI middleware: a request has a place until its answer has begun, which is then sent
    without one."""

    def __init__(
        self, application: WSGI, count: int, before_waiting: Callable[[], None] = lambda: None
    ) -> None:
        """`before_waiting` is called by a request that is about to wait: what it then holds, such
        as a connection to the database, it holds for long, and of waiting ones there are many."""
        self._application = application
        self._free = threading.Semaphore(count)
        self._before_waiting = before_waiting

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._free:
            return self._application(environ, start_response)

    @contextmanager
    def left(self) -> Iterator[None]:
        """Let another request have the place of this one inside the block. Not for where others
        wait for what this one holds: it may have to wait for a place at the end."""
        self._before_waiting()
        self._free.release()
        try:
            yield
        finally:
            self._before_waiting()
            self._free.acquire()
