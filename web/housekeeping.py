"""Housekeeping: bytes of files that are gone are removed, out of the way of requests."""

import logging
import queue
import threading
import time
from pathlib import Path

from flask import Flask

from chat import files
from chat.storage import Storage, sweep_arriving

#: How long bytes that no message refers to are kept: until the message of a slow upload is there.
DAY = 86_400
HOUR = 3_600

log = logging.getLogger(f"app.{__name__}")


class Housekeeping:
    """One thread of a process. It removes what was erased at once, and looks through the storage
    at the start and each hour for what was left behind by a process that was killed."""

    def __init__(self, app: Flask, storage: Storage, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._storage = storage
        self._erased: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin to work."""
        files.erased.connect(self._remove_soon)
        threading.Thread(target=self._run, name="housekeeping", daemon=True).start()

    def _remove_soon(self, keys: list[str]) -> None:
        # Connected itself, put() would be forgotten at once: signals hold their receivers weakly.
        self._erased.put(keys)

    def _run(self) -> None:
        next_look = time.monotonic()
        while True:
            try:
                keys = self._erased.get(timeout=max(next_look - time.monotonic(), 0))
                files.remove(self._storage, keys)
            except queue.Empty:
                next_look = time.monotonic() + HOUR
                self._look_through()

    def _look_through(self) -> None:
        try:
            with self._app.app_context():
                files.prune(self._storage, DAY)
            sweep_arriving(self._folder, DAY)
        except Exception:
            log.exception("The storage of files could not be looked through. It is, in an hour.")
