"""Waiting pushes reach their push services at least once, or are given up after a day.

The process that delivers events sends these too, in threads of their own. Services are strangers,
and may be slow or dead: each has a few threads at most, and those that have not answered lately
share half of all. What failed waits, at first a second and then as long again as it has waited.
"""

import logging
import queue
import random
import threading
import time
from bisect import bisect
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from chat import pushes
from contract.answers import encode
from contract.errors import first_line
from contract.names import chat_channel
from database import AnyRow, utcnow, writing_on
from realtime.push_services import CALL_SECONDS, Call, Failure, Gone, Outage, PushServices

SENDERS = 16  # pushes on their way at once
OF_SERVICE = 8  # to one service
OF_STRANGERS = 8  # to all services that have not answered lately
LOOK_SECONDS = 1.0  # how soon pushes of other processes are seen, and those that waited
FIRST_DELAY, LAST_DELAY = 1.0, 600.0  # seconds
DAY = 86_400  # seconds after which a push is given up
PAYLOAD_BYTES = 3_000
STOP_SECONDS = 2.0
MOST_SERVICES = 10_000  # that are remembered

log = logging.getLogger(f"app.{__name__}")


@dataclass
class Service:
    """A push service, as its last answers show it."""

    answers: bool = False
    failures: int = 0  # in a row
    retry_at: float = 0.0
    underway: int = 0

    def note(self, failure: Failure | None, started: float) -> None:
        """Learn from a call. Of several that failed together only the first one counts."""
        self.underway -= 1
        self.answers = not isinstance(failure, Outage)
        if not isinstance(failure, Outage):
            self.failures = 0
        elif not self.failures or started >= self.retry_at:
            wait = _jittered(FIRST_DELAY * 2.0 ** min(self.failures, 10))
            self.retry_at = time.monotonic() + max(failure.wait, wait)
            self.failures += 1


@dataclass(eq=False)
class Sending:
    """A push on its way, and what came of it."""

    row: AnyRow
    service: Service
    call: Call = field(default_factory=Call)
    started: float = field(default_factory=time.monotonic)
    failure: Failure | None = None


class Pushes:
    """The pushes of one process: a thread that sends while this process has the right to deliver,
    from start() on."""

    def __init__(
        self,
        engine: Engine,
        services: PushServices,
        may_send: Callable[[], bool],
        count: Callable[[str, int], None],
    ) -> None:
        """`may_send` is asked before each push. `count` is told what came of them."""
        self._engine = engine
        self._services = services
        self._may_send = may_send
        self._count = count
        self._known: dict[str, Service] = {}
        self._underway: dict[tuple[int, int], Sending] = {}
        self._news: queue.SimpleQueue[Sending | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pushes", daemon=True)

    def start(self) -> None:
        """Begin to send what waits, once."""
        if not self._thread.is_alive():
            pushes.recorded.connect(self._wake)
            self._thread.start()

    def stop(self) -> None:
        """Send no more, and book what is on its way within STOP_SECONDS. What is not booked will be
        sent again."""
        self._stopping.set()
        self._wake()
        self._thread.join(STOP_SECONDS)

    def _wake(self, *_: object) -> None:
        self._news.put(None)

    def _run(self) -> None:
        failed = False
        while not self._stopping.is_set() or self._underway:
            try:
                self._book(self._receive())
                if self._may_send() and not self._stopping.is_set():
                    self._send_out()
                failed = False
            except Exception as error:  # whatever it was: pushes must go out again
                if not failed:
                    log.error("Pushes wait: %s", first_line(error))
                failed = True
                self._stopping.wait(LOOK_SECONDS)

    def _receive(self) -> list[Sending]:
        """What has come of pushes, after LOOK_SECONDS at most. Those that take too long are cut."""
        done = []
        try:
            news = self._news.get(timeout=LOOK_SECONDS)
            while True:
                if news:
                    done.append(news)
                news = self._news.get_nowait()
        except queue.Empty:
            pass
        now = time.monotonic()
        for each in self._underway.values():
            if now - each.started > CALL_SECONDS:
                each.call.end()
        return done

    # Sending out -----------------------------------------------------------------------------

    def _send_out(self) -> None:
        """Send what is due, to each service as much as it has room for."""
        with closing(self._engine.connect()) as connection:
            with connection.begin():
                waiting = pushes.services(connection)
            random.shuffle(waiting)  # so that none comes first each time
            self._forget(set(waiting))
            for name in waiting:
                service = self._known.setdefault(name, Service())
                if room := self._room(service):
                    self._send_to(name, service, room, connection)

    def _send_to(self, name: str, service: Service, room: int, connection: Connection) -> None:
        with connection.begin():
            limit = room + service.underway
            due = pushes.due(connection, name, utcnow(), limit)
        ended = [row for row in due if not row.wanted or _seconds_left(row) <= 0]
        if ended:
            with writing_on(connection):
                for row in ended:
                    pushes.remove(connection, row)
            self._wake()  # there may be more behind them
        for row in due:
            key = (row.subscription_id, row.message_id)
            if room and key not in self._underway and row not in ended and self._may_send():
                room -= 1
                service.underway += 1
                self._underway[key] = sending = Sending(row, service)
                threading.Thread(target=self._send, args=(sending,), daemon=True).start()

    def _room(self, service: Service) -> int:
        """How many more pushes to a service may be on their way."""
        room = min(SENDERS - len(self._underway), OF_SERVICE - service.underway)
        if not service.answers:
            strangers = sum(not each.service.answers for each in self._underway.values())
            room = min(room, OF_STRANGERS - strangers)
        if service.failures:  # one at a time finds out whether it is back
            may_try = not service.underway and time.monotonic() >= service.retry_at
            room = min(room, int(may_try))
        return max(0, room)

    def _forget(self, waiting: set[str]) -> None:
        if len(self._known) > MOST_SERVICES:
            kept = self._known.items()
            self._known = {n: each for n, each in kept if n in waiting or each.underway}

    def _send(self, sending: Sending) -> None:
        """Send one push, in a thread of its own."""
        try:
            seconds = int(_seconds_left(sending.row))
            self._services.push(sending.call, sending.row, payload(sending.row), seconds)
        except Failure as failure:
            sending.failure = failure
        except Exception as error:  # ours, but the push must not be lost with the thread
            log.exception("A push failed.")
            sending.failure = Failure(type(error).__name__)
        self._news.put(sending)

    # Booking ---------------------------------------------------------------------------------

    def _book(self, done: list[Sending]) -> None:
        """Write down what came of pushes. Where the database does not take it, they are sent
        again."""
        for each in done:
            each.service.note(each.failure, each.started)
            self._underway.pop((each.row.subscription_id, each.row.message_id))
        if not done:
            return
        with closing(self._engine.connect()) as connection:
            with writing_on(connection):
                for each in done:
                    self._book_one(connection, each)
            for each in done:
                if isinstance(each.failure, Gone):
                    # One by one, or a logout that removes several could wait for us, and we for it.
                    with writing_on(connection):
                        pushes.end(connection, each.row)
        failed = sum(each.failure is not None for each in done)
        self._count("chat_pushes_delivered_total", len(done) - failed)
        self._count("chat_pushes_failed_total", failed)

    def _book_one(self, connection: Connection, sending: Sending) -> None:
        failure = sending.failure
        if failure is None or isinstance(failure, Gone):
            pushes.remove(connection, sending.row)
            return
        wait = max(failure.wait, _delay(sending.row))
        if wait >= _seconds_left(sending.row):
            log.warning("A push to %s is given up: %s.", _name(sending.row), failure)
            pushes.remove(connection, sending.row)
        else:
            pushes.put_off(connection, sending.row, utcnow() + timedelta(seconds=wait))


def payload(row: AnyRow) -> bytes:
    """What a browser is told of a message, its text cut so that all fits."""
    told: dict[str, Any] = {
        "from_user": row.sender_id,
        "username": row.username or None,
        "display_name": row.display_name,
        "channel": chat_channel(row.low_id, row.high_id),
        "id": row.message_id,
        "type": row.type,
        "message": row.text,
    }

    def cut(length: int) -> bytes:
        return encode({**told, "message": row.text[:length]}).encode()

    lengths = range(len(row.text) + 1)
    return cut(bisect(lengths, PAYLOAD_BYTES, key=lambda length: len(cut(length))) - 1)


def _age(row: AnyRow) -> float:
    """Seconds since the message was sent; a clock that stepped back makes none negative."""
    age: float = (utcnow() - row.created_at).total_seconds()
    return max(0.0, age)


def _seconds_left(row: AnyRow) -> float:
    """Until a push is given up."""
    return DAY - _age(row)


def _delay(row: AnyRow) -> float:
    """Seconds until the next try: as long again as the push has waited, within limits."""
    return _jittered(min(LAST_DELAY, max(FIRST_DELAY, _age(row))))


def _jittered(seconds: float) -> float:
    return min(LAST_DELAY, seconds) * random.uniform(0.5, 1.0)  # noqa: S311


def _name(row: AnyRow) -> str:
    return pushes.service_of(row.endpoint)
