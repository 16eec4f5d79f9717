"""Work slots: how many requests a process works on at once, whatever its threads are.

More at once would only take the interpreter from each other, and need more connections to the
database. But a request that waits, for a slow client or for its turn to hash a password, does no
work, and must keep none from being done. It holds a thread, of which there can be many, and no
slot.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


class WorkSlots:
    """A WSGI middleware: a request has a slot until its answer has begun, which is then sent
    without one."""

    def __init__(self, application: WSGI, count: int) -> None:
        self._application = application
        self._free = threading.BoundedSemaphore(count)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._free:
            return self._application(environ, start_response)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let another request have the slot of this one inside the block.

        Hold nothing there that others wait for: at the end this one may wait for a slot.
        """
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
