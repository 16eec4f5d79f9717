"""Work slots: how many requests a process works on at once, whatever its threads are.

More at once would only take the interpreter from each other, and need more connections to the
database. But a request that waits, for a slow client or for its turn to hash a password or to write
to SQLite, does no work, and must keep none from being done. It holds a thread, of which there can
be many, and no slot.

One user has a third of the slots at most. On PostgreSQL writers of one chat wait for its row, with
a slot and a connection: 24 of one user would keep everybody else waiting.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from database import release

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


class WorkSlots:
    """A WSGI middleware: a request has a slot until its answer has begun, which is then sent
    without one. Some paths need none: they tell how it is when all slots are taken."""

    def __init__(self, application: WSGI, count: int, *, free_paths: Collection[str] = ()) -> None:
        self._application = application
        self._free_paths = free_paths
        self._free = threading.BoundedSemaphore(count)
        self._mine = threading.local()  # whether this thread has one
        self._of_one_user = max(1, count // 3)
        self._lock = threading.Lock()
        #: By user; they go with the last request of their user.
        self._shares: WeakValueDictionary[int, threading.Semaphore] = WeakValueDictionary()

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

    @contextmanager
    def share(self, user_id: int) -> Iterator[bool]:
        """One of the places that a user has among the slots, inside the block: whether it had to
        wait for one. It waits without a slot, and without a connection to the database."""
        with self._lock:
            places = self._shares.setdefault(user_id, threading.Semaphore(self._of_one_user))
        waits = not places.acquire(blocking=False)
        if waits:
            release()
            with self.released():
                places.acquire()
        try:
            yield waits
        finally:
            places.release()
