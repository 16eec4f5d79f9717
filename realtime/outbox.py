"""The outbox: recorded events reach the Pusher server at least once, in order within a channel.

One dispatcher at a time, the one that holds the lease among all processes, reads the oldest events
and hands them in batches to a few couriers, each with a client of its own. A channel is never in
two batches at once. A row goes only when the server has taken its event. What failed waits and is
tried again, while the requests that recorded it have long been answered.
"""

import atexit
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from chat.events import recorded
from contract.errors import first_line
from database import AnyRow, writing_on
from realtime import backlog
from realtime.delivery import BATCH, Batch, Courier, ServerHealth, batches, delay
from realtime.lease import Lease, Lost

COURIERS = 8  # batches on their way: 1,000 events a second to a server that takes 80 ms
POLL_SECONDS = 0.02  # how soon commits of other processes are seen
LOOK_SECONDS = 0.25  # how soon what a slower transaction held back is seen (PostgreSQL)
SWEEP_SECONDS = 1.0  # how often expired logins are looked for
STANDBY_SECONDS = 1.0  # how often a process without the lease asks for it
TELL_SECONDS = 0.02  # how often it tells the one that has it of its commits, at most
SILENT_SECONDS = 12  # after so long without an answer the database counts as lost
STOP_SECONDS = 4.5
UNSEEN_SECONDS = 15.0  # after which a process that is not seen to deliver counts as gone

log = logging.getLogger(f"app.{__name__}")


class State(Enum):
    """What a process's outbox is doing."""

    STARTING = "starting"
    DELIVERING = "delivering"
    STANDBY = "standby"  # another process delivers
    NO_DATABASE = "no database"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Hooks:
    """What is called as this process gets and loses the right to deliver, and while it has it."""

    on_lease: Callable[[], None]
    on_loss: Callable[[], None]
    sweep: Callable[[], None]
    count: Callable[[str, int], None]


class Outbox:
    """The deliveries of one process: a dispatcher in a daemon thread, from start() on."""

    def __init__(
        self,
        engine: Engine,
        connect: Callable[[], Any],
        *,
        on_lease: Callable[[], None] = lambda: None,
        on_loss: Callable[[], None] = lambda: None,
        heed: Callable[[Any, AnyRow], Any] = lambda _client, _notice: {},
        sweep: Callable[[], None] = lambda: None,
        count: Callable[[str, int], None] = lambda _name, _amount: None,
        couriers: int = COURIERS,
    ) -> None:
        """`connect` makes an official Pusher client; each courier asks for its own. `on_lease` and
        `on_loss` are called as this process gets and loses the right to deliver. `heed` does what
        the notices among the events ask for, and `sweep` is called now and then. `count` is told
        how many events the server has taken or refused."""
        hooks = Hooks(on_lease, on_loss, sweep, count)
        self._make = partial(Dispatcher, engine, partial(Courier, connect, heed), hooks, couriers)
        self._starting = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._pid = 0

    @property
    def state(self) -> State:
        return self._dispatcher.state if self._dispatcher else State.STARTING

    @property
    def delivers(self) -> bool:
        """Whether this process has the right to deliver."""
        return self.state is State.DELIVERING

    def is_relied_on(self) -> bool:
        """Whether this process has that right, and no other one can have it yet."""
        return bool(self._dispatcher and self.delivers and self._dispatcher.is_relied_on())

    @property
    def sees_delivery(self) -> bool:
        """Whether this process delivers, or has seen another one do so within UNSEEN_SECONDS."""
        seen = self._dispatcher.seen_at if self._dispatcher else time.monotonic()
        return self.delivers or time.monotonic() - seen < UNSEEN_SECONDS

    def start(self) -> None:
        """Start once in this process; a child made by fork starts its own."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid == os.getpid():
                return
            self._dispatcher = self._make()
            self._dispatcher.start()
            self._pid = os.getpid()
            recorded.connect(self.wake)
            atexit.register(self.stop)

    def wait(self, seconds: float) -> None:
        """Wait until it is known whether this process delivers, for so long at most."""
        if self._dispatcher:
            self._dispatcher.settled.wait(seconds)

    def wake(self, *_: object) -> None:
        """Look for events now: some were committed."""
        if self._dispatcher and self._pid == os.getpid():
            self._dispatcher.wake()

    def stop(self) -> None:
        """Finish and book what is on its way, within STOP_SECONDS; it can be called again."""
        if self._dispatcher and self._pid == os.getpid():
            self._dispatcher.stopping.set()
            self._dispatcher.wake()
            self._dispatcher.join(STOP_SECONDS)


class Dispatcher(threading.Thread):
    """Waits for the lease, and while it has it, sends out what waits and books what came of it."""

    def __init__(
        self,
        engine: Engine,
        courier: Callable[[threading.Event, Callable[[], bool]], Courier],
        hooks: Hooks,
        couriers: int,
    ) -> None:
        super().__init__(name="outbox", daemon=True)
        self.state = State.STARTING
        self.seen_at = time.monotonic()  # when some process was last seen to deliver
        self._pulse: object = None
        self.settled = threading.Event()  # once it is known whether the lease is to be had
        self.stopping = threading.Event()
        self._engine = engine
        self._hooks = hooks
        self._lease = Lease(engine)
        self.is_relied_on = self._lease.is_relied_on
        self._couriers = [courier(self.stopping, self.is_relied_on) for _ in range(couriers)]
        self._news: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._turns = 0  # of the dispatcher, which the database may keep waiting
        self._lost = False  # whether the database does not answer, and the log says so
        self._health = ServerHealth()
        self._underway = 0  # batches
        self._unbooked: list[Batch] = []
        self._sweep_at = 0.0
        self._busy: dict[str, float] = {}  # channel: not to be sent before (inf: on its way)
        self._left = False  # whether the last look may have left events that could go out

    def wake(self) -> None:
        """Look for events now."""
        # Anything in there wakes it. While the Pusher server is away, nothing goes out sooner.
        away = self._health.failures and self.state is State.DELIVERING
        if not away and self._news.empty():
            self._news.put(None)

    def run(self) -> None:
        for number, courier in enumerate(self._couriers):
            arguments = (self._outgoing, self._news.put)
            name = f"outbox-{number}"
            threading.Thread(target=courier.run, args=arguments, name=name, daemon=True).start()
        threading.Thread(target=self._notice_silence, name="outbox-silence", daemon=True).start()
        while not self.stopping.is_set():
            try:
                connection = self._lease.acquire()
                if connection:
                    self._lead(connection)
                else:
                    self.state = State.STANDBY
                    self._notice()
                    if not self._lease.is_file:  # it was the database that said so
                        self._regain()
                self.settled.set()
            except Lost as error:
                self.state = State.STANDBY
                log.warning("This process delivers no more: %s", error)
            except Exception as error:  # whatever it was: events must go out again
                self._lose(error)
            finally:
                self._lease.release()
            self._stand_by()
        for _ in self._couriers:
            self._outgoing.put(None)
        self.state = State.STOPPED

    def _notice(self) -> None:
        """Note whether the process with the lease still moves."""
        pulse = self._lease.pulse()
        if pulse is not None and pulse != self._pulse:
            self._pulse, self.seen_at = pulse, time.monotonic()

    def _lose(self, error: Exception) -> None:
        self.state = State.NO_DATABASE
        if not self._lost:
            reason = first_line(error)
            log.error("The outbox lost the database; events wait: %s", reason)
        self._lost = True

    def _notice_silence(self) -> None:
        """Say so when the database does not answer at all: the dispatcher itself waits for it, for
        as long as the connection seems to be there."""
        turns, seconds = self._turns, 0
        while not self.stopping.wait(1):
            # Counted, because this process may be frozen meanwhile.
            turns, seconds = self._turns, seconds + 1 if turns == self._turns else 0
            if seconds == SILENT_SECONDS:
                self._lose(TimeoutError(f"no answer for {SILENT_SECONDS} s"))

    def _regain(self) -> None:
        if self._lost:
            log.warning("The outbox has the database back.")
        self._lost = False

    def _stand_by(self) -> None:
        """Wait for STANDBY_SECONDS. What this process commits meanwhile it tells the process that
        delivers, so that no commit has to: PostgreSQL has one lock for that."""
        until = time.monotonic() + STANDBY_SECONDS
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            try:
                committed = self._receive(left) and self.state is State.STANDBY
                if committed and not self.stopping.is_set():
                    self._lease.tell()
            except Exception as error:  # events are seen a little later
                self._lose(error)
            self.stopping.wait(TELL_SECONDS)

    def _lead(self, connection: Connection) -> None:
        try:
            self._hooks.on_lease()
            self.state = State.DELIVERING
            self.settled.set()
            backlog.take_up_notices(connection)
            self._dispatch(connection)
        finally:
            self._hooks.on_loss()
            self.seen_at = time.monotonic()

    def _dispatch(self, connection: Connection) -> None:
        look_at = 0.0
        while not self.stopping.is_set() or self._underway or self._unbooked:
            if self._unbooked and not self._booked(connection):
                self.stopping.wait(STANDBY_SECONDS)
                continue
            now = time.monotonic()
            if not self.stopping.is_set() and (self._lease.others_committed() or now >= look_at):
                self._send_out(connection, now)
                self._regain()
                self.state = State.DELIVERING
                look_at = now + LOOK_SECONDS
                self._sweep(now)
            if self._receive(POLL_SECONDS):
                look_at = 0.0

    def _sweep(self, now: float) -> None:
        """Show the others that this process moves, and call the hook, if it is time. The deliveries
        do not depend on it."""
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self._lease.beat()
            try:
                self._hooks.sweep()
            except (OperationalError, WaitedTooLong) as error:
                log.warning("Expired logins stay for now: %s", first_line(error))

    def _receive(self, seconds: float) -> bool:
        """Wait for a commit of this process or the end of a batch; whether there may be
        something to send out now."""
        self._turns += 1
        look = False
        try:
            news = self._news.get(timeout=seconds)
            while True:  # all that is there, to be booked together
                if news:
                    self._unbooked.append(news)
                    self._underway -= 1
                look = look or news is None or self._left
                news = self._news.get_nowait()
        except queue.Empty:
            return look

    # Sending out -----------------------------------------------------------------------------

    def _room(self, now: float) -> int:
        """How many more batches may be on their way."""
        if self._health.failures:  # one at a time finds out whether the server is back
            return 1 if not self._underway and now >= self._health.retry_at else 0
        return COURIERS - self._underway

    def _send_out(self, connection: Connection, now: float) -> None:
        """Hand the oldest events that wait to the couriers, in batches."""
        self._busy = {channel: until for channel, until in self._busy.items() if until > now}
        self._left = True
        while room := self._room(now):
            busy = list(self._busy)
            with connection.begin():
                self._lease.check()
                waiting = backlog.waiting(connection, busy, room * BATCH)
            made = batches(waiting, room)
            for events in made:
                self._busy |= {each.channel: math.inf for each in events}
                self._underway += 1
                self._outgoing.put(Batch(events, again=self._health.failures > 0))
            if len(waiting) < room * BATCH:
                self._left = bool(busy) or sum(map(len, made)) < len(waiting)
                return

    # Booking ---------------------------------------------------------------------------------

    def _booked(self, connection: Connection) -> bool:
        """Whether the database has taken what came of the deliveries.

        One that takes no writes for a while (a full disk, a lock) is waited for with the lease in
        hand, where that does not live and die with the connection: the clients of the embedded
        server can stay. What is not booked at a stop, the next process tells again.
        """
        try:
            self._book(connection)
        except (OperationalError, WaitedTooLong) as error:
            if self.stopping.is_set() or not self._lease.is_file:
                raise
            driver: Any = connection.connection.driver_connection
            driver.rollback()  # a commit that failed leaves its transaction open
            self._lose(error)
            return False
        return True

    def _book(self, connection: Connection) -> None:
        """Write down what came of the deliveries; only then may their channels be sent again."""
        booked = self._unbooked
        with writing_on(connection):
            self._lease.check(booking=True)
            if any(batch.refused or batch.set_aside for batch in booked):
                # Or these would be locked after others, and the dispatcher and somebody who
                # erases them in order could wait for each other.
                ids = [each.id for batch in booked for each in batch.events]
                backlog.lock(connection, ids)
            backlog.remove(connection, [each for batch in booked for each in batch.taken])
            for batch in booked:
                for each in batch.refused:
                    backlog.count_refusal(connection, each.id)
                for each, reason in batch.set_aside:
                    backlog.set_aside(connection, each.id, reason)
        self._unbooked = []
        taken, refused = (
            sum(len(batch.taken) for batch in booked),
            sum(len(batch.refused) + len(batch.set_aside) for batch in booked),
        )
        self._hooks.count("chat_events_delivered_total", taken)
        self._hooks.count("chat_events_refused_total", refused)
        for batch in booked:
            self._let_go(batch, time.monotonic())

    def _let_go(self, batch: Batch, now: float) -> None:
        """Let the channels of a booked batch be sent again, those of refused events later."""
        self._health.note(batch, now)
        for each in batch.events:
            self._busy.pop(each.channel, None)
        for each in batch.refused:
            self._busy[each.channel] = now + delay(each.refusals)
        for each, reason in batch.set_aside:
            log.error("Event %d (%s) is set aside: %s", each.id, each.name, reason)
