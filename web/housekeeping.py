"""Housekeeping: what can be done out of the way of requests. Bytes of files that are gone are
removed, uses of logins are noted, and what an older version left out is made good.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from chat import files, logins, name_words
from chat.storage import Storage, sweep_arriving
from contract.errors import first_line

#: How long bytes that no message refers to are kept: until the message of a slow upload is there.
DAY = 86_400
HOUR = 3_600
MINUTE = 60
#: Seconds between two of many transactions, in which others write.
PAUSE = 0.1
STOP_SECONDS = 5
#: Uses that wait to be stored. What is left out comes again with the next request.
MOST_USES = 10_000

log = logging.getLogger(f"app.{__name__}")


class Housekeeping:
    """One thread of a process. What it is given it does at once. It looks each minute for words of
    names that are missing, and at the start and each hour through the storage for what was left
    behind by a process that was killed."""

    def __init__(self, app: Flask, storage: Storage, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._storage = storage
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._noted: set[str] = set()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to work, unless it does; a child made by fork begins anew."""
        if self._thread and self._thread.is_alive():
            return
        files.erased.connect(self._remove)
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the job at hand, within STOP_SECONDS; what is left is found later. It can be
        called again."""
        self._stopping = True
        self._jobs.put(lambda: None)
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def _remove(self, keys: list[str]) -> None:
        # A signal does not keep its receivers, and `self._jobs.put` is gone once it is connected.
        self._jobs.put(partial(files.remove, self._storage, keys))

    def note_use(self, jti: str) -> None:
        """Have it stored that a login was used in this hour."""
        if jti not in self._noted and len(self._noted) < MOST_USES:
            self._noted.add(jti)
            self._jobs.put(partial(self._note, [jti]))

    def _run(self) -> None:
        next_look = next_mend = time.monotonic()
        while not self._stopping:
            wait = min(next_look, next_mend) - time.monotonic()
            try:
                self._do(self._jobs.get(timeout=max(wait, 0)))
                continue
            except queue.Empty:
                now = time.monotonic()
            if now >= next_mend:
                next_mend = now + (PAUSE if self._do(self._mend) else MINUTE)
            if now >= next_look:
                next_look = now + HOUR
                self._do(self._look_through)

    def _do(self, job: Callable[[], Any]) -> Any:
        """What the job returns. Whatever it raises, the thread goes on with the next one."""
        try:
            return job()
        except Exception:
            log.exception("A part of the housekeeping failed. It goes on with the next.")

    def _note(self, jtis: list[str]) -> None:
        try:
            with self._app.app_context():
                logins.note_use(jtis)
        except (DBAPIError, WaitedTooLong) as error:
            reason = first_line(error)
            log.warning("That logins are in use is noted with their next requests: %s", reason)
        finally:
            self._noted.difference_update(jtis)

    def _mend(self) -> bool:
        """Whether there is more to mend."""
        try:
            with self._app.app_context():
                return name_words.mend()
        except (DBAPIError, WaitedTooLong) as error:
            reason = first_line(error)
            log.warning("Words of names stay missing for a minute: %s", reason)
            return False

    def _look_through(self) -> None:
        try:
            with self._app.app_context():
                files.prune(self._storage, DAY)
            sweep_arriving(self._folder, DAY)
        except Exception:
            log.exception("The storage of files could not be looked through. It is, in an hour.")
