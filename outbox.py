"""Delivers recorded events to the Pusher server: at least once, and in order within a channel.

One dispatcher at a time, whoever holds the lease, reads the oldest events and hands them in
batches to a few threads, each with a client of its own; to the embedded server it delivers them
itself. A channel is never in two batches at once. A row goes only when the server has taken its
event; whatever failed waits and is tried again, while the requests that recorded it have long been
answered.
"""

import atexit
import logging
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import requests
from flask.cli import AppGroup
from pusher.errors import PusherBadRequest, PusherBadStatus, PusherError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from database import AnyRow, begin_to_write, one_writer, session, writing
from lease import Lease
from models import Event, recorded

BATCH = 10  # events: the most that a Pusher server takes in one call
THREADS = 8  # batches in flight: 1,000 events a second to a server that takes 80 ms
POLL_SECONDS = 0.05  # how soon commits of other processes are seen
LOOK_SECONDS = 0.25  # how soon what a slower transaction held back is seen (PostgreSQL)
STANDBY_SECONDS = 1.0  # how often a process without the lease asks for it
FIRST_DELAY, LAST_DELAY = 0.2, 5.0  # seconds; with the client's time-out, recovery is seen in 10
TRIES = 4  # of an event that the server refuses, while it takes others
TRIES_IF_UNCLEAR = 8  # of one that fails in any other way, while the server takes others
PROBE = {"channel": "outbox-probe", "name": "probe", "data": "{}"}  # which any server takes
STOP_SECONDS = 4.5

log = logging.getLogger(f"app.{__name__}")


class Failure(Exception):
    """The server has not taken what a call carried, as far as we know."""


class Refusal(Failure):
    """It says that this is because of what the call carried."""


class Outage(Failure):
    """It cannot be reached, does not want us, or does not say why: likely no event's fault."""


@dataclass
class Delivery:
    """A batch on its way, and what came of it."""

    events: list[AnyRow]
    again: bool = False  # whether the last one failed
    started: float = 0.0
    taken: list[int] = field(default_factory=list)
    refused: list[AnyRow] = field(default_factory=list)
    set_aside: list[tuple[AnyRow, str]] = field(default_factory=list)
    outage: str = ""


class Dispatcher:
    """Runs in daemon threads from start() on."""

    def __init__(
        self,
        engine: Engine,
        connect: Callable[[], Any],
        *,
        on_lease: Callable[[], None] = lambda: None,
        on_loss: Callable[[], None] = lambda: None,
        threads: int = THREADS,
    ) -> None:
        """`connect` makes an official Pusher client; each delivering thread asks for its own.
        `on_lease` and `on_loss` are called as this process gets and loses the right to deliver.
        With 0 `threads` the dispatching one delivers: to a server that keeps nobody waiting, being
        in this process, handing over would take longer than delivering.
        """
        self._engine = engine
        self._connect = connect
        self._on_lease = on_lease
        self._on_loss = on_loss
        self._threads = threads
        self.asked = threading.Event()  # set once it is known whether the lease is to be had
        self.elsewhere = False  # whether another process was seen to have it
        self._starting = threading.Lock()
        self._pid = 0

    def start(self) -> None:
        """Start once in this process; a child made by fork starts its own."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid == os.getpid():
                return
            self._inbox: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
            self._outgoing: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
            self._stopping = threading.Event()
            self._unbooked: list[Delivery] = []
            self._flying = 0
            self._busy: dict[str, float] = {}  # channel: not to be sent before (inf: in flight)
            self._left = False  # whether the last look may have left events that could go out
            self._failures = 0  # in a row; 0 while the server is well
            self._retry_at = 0.0
            self._lost = False  # whether the database does not answer
            self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
            self._thread.start()
            self._pid = os.getpid()
            recorded.connect(self.wake)
            atexit.register(self.stop)

    def stop(self) -> None:
        """Finish and book what is in flight, within STOP_SECONDS; idempotent."""
        if self._pid == os.getpid():
            self._stopping.set()
            self.wake()
            self._thread.join(STOP_SECONDS)

    def wake(self, *_: object) -> None:
        # Whatever is in there wakes it; without the lease, nobody takes anything out.
        if self._pid == os.getpid() and not self._failures and self._inbox.empty():
            self._inbox.put(None)

    # The dispatching thread ------------------------------------------------------------------

    def _run(self) -> None:
        for number in range(self._threads):
            threading.Thread(target=self._deliver, name=f"outbox-{number}", daemon=True).start()
        self._hand_over = self._outgoing.put if self._threads else self._courier()
        lease = Lease(self._engine)
        while not self._stopping.is_set():
            try:
                connection = lease.acquire()
                self.elsewhere = connection is None
                if connection:
                    self._lead(lease, connection)
                self.asked.set()
            except Exception as error:  # whatever it was: events must go out again
                self._note_loss(error)
            finally:
                lease.release()
            self._stopping.wait(STANDBY_SECONDS)
        for _ in range(self._threads):
            self._outgoing.put(None)

    def _lead(self, lease: Lease, connection: Connection) -> None:
        try:
            self._on_lease()
            self.asked.set()
            self._dispatch(lease, connection)
        finally:
            self._on_loss()

    def _dispatch(self, lease: Lease, connection: Connection) -> None:
        lease.others_committed()
        look_at = 0.0
        while not self._stopping.is_set() or self._flying or self._unbooked:
            if self._unbooked and not self._booked(lease, connection):
                self._stopping.wait(STANDBY_SECONDS)
                continue
            now = time.monotonic()
            if not self._stopping.is_set() and (lease.others_committed() or now >= look_at):
                self._send_out(connection, now)
                look_at = now + LOOK_SECONDS
                if self._lost:
                    log.warning("The outbox has the database back.")
                    self._lost = False
            if self._news():
                look_at = 0.0

    def _news(self) -> bool:
        """Wait for a commit of this process or the end of a delivery; whether there may be
        something to send out now."""
        look = False
        try:
            news = self._inbox.get(timeout=POLL_SECONDS)
            while True:  # all that is there, to be booked together
                if news:
                    self._unbooked.append(news)
                    self._flying -= 1
                look = look or news is None or self._left
                news = self._inbox.get_nowait()
        except queue.Empty:
            return look

    def _room(self, now: float) -> int:
        """How many more batches may be in flight."""
        if self._failures:  # one at a time finds out whether the server is back
            return 1 if not self._flying and now >= self._retry_at else 0
        return THREADS - self._flying

    def _send_out(self, connection: Connection, now: float) -> None:
        self._busy = {channel: until for channel, until in self._busy.items() if until > now}
        self._left = True
        while room := self._room(now):
            busy = list(self._busy)
            with connection.begin():
                waiting = Event.waiting(connection, busy, room * BATCH)
            made = batches(waiting, room)
            for events in made:
                self._busy |= {each.channel: math.inf for each in events}
                self._flying += 1
                self._hand_over(Delivery(events, again=self._failures > 0))
            if len(waiting) < room * BATCH:
                self._left = bool(busy) or sum(map(len, made)) < len(waiting)
                return

    def _booked(self, lease: Lease, connection: Connection) -> bool:
        """Whether the database has taken it. One that takes no writes for a while (a full disk, a
        lock) is waited for with the lease in hand, where that does not live and die with the
        connection: the clients of the embedded server can stay. What is not booked at a stop, the
        next process tells again."""
        try:
            self._book(connection)
        except (OperationalError, WaitedTooLong) as error:
            if self._stopping.is_set() or not lease.is_file:
                raise
            driver: Any = connection.connection.driver_connection
            driver.rollback()  # a commit that failed leaves its transaction open
            self._note_loss(error)
            return False
        return True

    def _note_loss(self, error: Exception) -> None:
        if not self._lost:
            reason = str(error).partition("\n")[0]
            log.error("The outbox lost the database; events wait: %s", reason)
        self._lost = True

    def _book(self, connection: Connection) -> None:
        """Write down what came of the deliveries; only then may their channels be sent again."""
        booked = self._unbooked
        with one_writer(self._engine), begin_to_write(connection):
            if any(delivery.refused or delivery.set_aside for delivery in booked):
                # Or these would be locked after others, and with whoever erases them in order
                # each could wait for the other.
                Event.hold(connection, [each.id for delivery in booked for each in delivery.events])
            Event.remove(connection, [each for delivery in booked for each in delivery.taken])
            for delivery in booked:
                for each in delivery.refused:
                    Event.count_refusal(connection, each.id)
                for each, reason in delivery.set_aside:
                    Event.put_aside(connection, each.id, reason)
        self._unbooked = []
        now = time.monotonic()
        for delivery in booked:
            self._note_health(delivery, now)
            for each in delivery.events:
                self._busy.pop(each.channel, None)
            for each in delivery.refused:
                self._busy[each.channel] = now + delay(each.refusals)
            for each, reason in delivery.set_aside:
                log.error("Event %d (%s) is set aside: %s", each.id, each.name, reason)

    def _note_health(self, delivery: Delivery, now: float) -> None:
        well = delivery.taken or delivery.refused or delivery.set_aside
        if well and self._failures:
            log.warning("The Pusher server is back.")
            self._failures = 0
        # Of several that failed together only the first one counts.
        if delivery.outage and (not self._failures or delivery.started >= self._retry_at):
            if not self._failures:
                log.warning("The Pusher server is away; events wait: %s", delivery.outage)
            self._retry_at = now + delay(self._failures)
            self._failures += 1

    # Delivering ------------------------------------------------------------------------------

    def _deliver(self) -> None:
        deliver = self._courier()
        while delivery := self._outgoing.get():
            deliver(delivery)

    def _courier(self) -> Callable[[Delivery], None]:
        """What delivers over a client of its own, and tells the dispatching thread."""
        client = None

        def deliver(delivery: Delivery) -> None:
            nonlocal client
            delivery.started = time.monotonic()
            try:
                client = client or self._connect()
                self._deliver_batch(client, delivery)
            except Outage as outage:
                delivery.outage = str(outage)
            except Exception as error:  # ours, but the events must not be lost with the thread
                log.exception("A delivery failed.")
                delivery.outage = type(error).__name__
            self._inbox.put(delivery)

        return deliver

    def _deliver_batch(self, client: Any, delivery: Delivery) -> None:
        # One bad event has the whole batch refused: then they go singly, and only it fails.
        if not any(each.refusals for each in delivery.events):
            try:
                publish(client, [wire(each) for each in delivery.events])
            except Refusal:
                pass
            except Outage:
                if not delivery.again:
                    raise
            else:
                delivery.taken = [each.id for each in delivery.events]
                return
        self._deliver_singly(client, delivery)

    def _deliver_singly(self, client: Any, delivery: Delivery) -> None:
        waiting = set()  # channels whose next event has failed
        for each in delivery.events:
            if each.channel in waiting or self._stopping.is_set():
                continue
            try:
                publish(client, [wire(each)])
            except Failure as failure:
                # Only if the server takes another event now is it this one's fault.
                probe(client)
                tries = TRIES if isinstance(failure, Refusal) else TRIES_IF_UNCLEAR
                if each.refusals + 1 >= tries:
                    delivery.set_aside.append((each, str(failure)))
                else:
                    delivery.refused.append(each)
                    waiting.add(each.channel)
            else:
                delivery.taken.append(each.id)


def batches(waiting: Sequence[AnyRow], most: int) -> list[list[AnyRow]]:
    """At most `most` batches of the oldest events; all of a channel's are in one of them.

    No more batches than needed, and the channels spread over them: each can be in flight once.
    """
    channels: dict[str, list[AnyRow]] = {}
    for each in waiting:
        channels.setdefault(each.channel, []).append(each)
    made: list[list[AnyRow]] = [[] for _ in range(min(most, math.ceil(len(waiting) / BATCH)))]
    for events in channels.values():
        emptiest = min(made, key=len)
        emptiest += events[: BATCH - len(emptiest)]
    return [batch for batch in made if batch]


def delay(failures: int) -> float:
    """Seconds until the next try; jitter keeps several processes from asking in step."""
    return min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311


def wire(row: AnyRow) -> dict[str, str]:
    left_out = {"socket_id": row.socket_id} if row.socket_id else {}
    return {"channel": row.channel, "name": row.name, "data": row.data, **left_out}


def probe(client: Any) -> None:
    """Raises Outage unless the server takes an event that any server takes."""
    try:
        publish(client, [dict(PROBE)])
    except Refusal as refusal:
        raise Outage(f"it refuses every event: {refusal}") from None


def publish(client: Any, events: list[dict[str, str]]) -> None:
    """One call of the official client. Raises Outage or Refusal.

    The client's own check of sizes measures memory, not bytes, so the data goes already encoded.
    """
    try:
        answer = client.trigger_batch(events, already_encoded=True)
    except PusherBadRequest as error:
        raise Refusal(f"400: {error}"[:300]) from None
    except PusherBadStatus as error:
        kind = Refusal if str(error)[:3] in ("413", "422") else Outage
        raise kind(str(error)[:300]) from None
    except PusherError as error:  # 401 and 403: wrong keys, or no quota left
        raise Outage(f"{type(error).__name__}: {error}"[:300]) from None
    except requests.RequestException as error:  # its text has the signed address
        raise Outage(type(error).__name__) from None
    except ValueError:
        raise Outage("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Outage("the answer is not a JSON object")
    if "error" in answer:  # some servers tell of errors with status 200
        kind = Refusal if answer.get("code") in (400, 413, 422) else Outage
        raise kind(f"{answer.get('code')}: {answer['error']}"[:300])


# flask events --------------------------------------------------------------------------------

cli = AppGroup("events", help="Events that wait for the Pusher server, or were set aside.")


@cli.command("list")
def list_events() -> None:
    """The events that were set aside, and how many wait."""
    lag = Event.lag()
    for row in Event.aside():
        when = f"{row.created_at:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{row.id}  {when}  {row.name}  {row.channel}  {row.set_aside}")
    click.echo(f"{lag['waiting']} waiting, {lag['set_aside']} set aside.")


@cli.command("retry")
@click.argument("event_id", type=int, required=False)
def retry_events(event_id: int | None) -> None:
    """Deliver events that were set aside after all: one, or all without an ID."""
    with writing():
        count = Event.retry(event_id)
        session.commit()
    if event_id is not None and not count:
        raise click.ClickException(f"There is no event {event_id}.")
    click.echo(f"{count} to be tried again.")


@cli.command("drop")
@click.argument("event_id", type=int)
def drop_event(event_id: int) -> None:
    """Give up one event, set aside or waiting, for good."""
    with writing():
        count = Event.drop(event_id)
        session.commit()
    if not count:
        raise click.ClickException(f"There is no event {event_id}.")
    click.echo("Dropped.")
