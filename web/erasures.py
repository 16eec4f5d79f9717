"""Erasures: accounts that have ended have their messages erased, one account after the other."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import Flask, current_app

from chat import departure
from contract.errors import Busy
from database import db, release, writing
from models import User
from realtime import backlog
from web.slots import WorkSlots

#: Accounts that may wait while one is being erased.
MOST_WAITING = 4
RETRY_SECONDS = 30
#: Events that may wait for the Pusher server: an erasure makes three for each message, and those of
#: other people queue behind them.
MOST_EVENTS = 1_000
#: Between two transactions, so that others get their turn to write.
PAUSE_SECONDS = 0.02

log = logging.getLogger(f"app.{__name__}")


class Erasures:
    """The erasures of one process. They hold no work slot: one of them works at a time."""

    def __init__(self, slots: WorkSlots) -> None:
        self._slots = slots
        self._places = threading.BoundedSemaphore(1 + MOST_WAITING)
        self._turn = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those that wait. Raises Busy."""
        if not self._places.acquire(blocking=False):
            raise Busy("Too many accounts are being erased.", RETRY_SECONDS)
        try:
            yield
        finally:
            self._places.release()

    def finish(self, user: User, socket_id: str | None) -> None:
        """Erase all messages of an account that has ended, some in each transaction."""
        release()
        with self._slots.released(), self._turn:
            more = True
            while more:
                while backlog.is_longer_than(MOST_EVENTS):
                    release()
                    time.sleep(5 * PAUSE_SECONDS)
                with writing():
                    more = departure.erase_some(user, socket_id)
                    db.session.commit()
                time.sleep(PAUSE_SECONDS)

    def resume(self) -> None:
        """Go on with those that an earlier process has not finished, in a thread of their own."""
        users = departure.unfinished()
        release()
        if users:
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            threading.Thread(target=self._finish_all, args=(app, users), daemon=True).start()

    def _finish_all(self, app: Flask, users: Sequence[User]) -> None:
        with app.app_context():
            try:
                for user in users:
                    self.finish(user, None)
            except Exception:
                log.exception("An erasure was cut off. It goes on at the next start.")
