"""The one thread that serves every socket.

Other threads reach it in two ways: `post` hands over work and returns, `ask` waits for the result.
Both queue in order and wake the selector through a socket pair, which works on every system.
"""

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from gateway import handover
from gateway.connections import NEVER, Connection
from gateway.frames import Malformed
from gateway.handover import Arrival
from gateway.hub import Hub
from gateway.limits import Limits

Result = TypeVar("Result")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

TASK_SECONDS = 0.02
"""Seconds of a turn for the work of other threads, so that publishers do not starve readers."""

BACKLOG = 1_000
"""Tasks that may wait. A thread that adds more has to wait for the loop."""

ASK_SECONDS = 10
"""How long another thread waits for the loop. Only a machine in deep trouble takes so long."""

RESTART = 4200
"""Pusher protocol, "Closing": come back at once."""

HANDED_ON = 10
"""Connections that are taken from other processes in a turn."""


class Ended(Exception):
    """The loop has been told to stop and takes no more work."""


class Loop:
    """Serves sockets from `start` until `stop`. It cannot start again: make a new Loop."""

    def __init__(
        self,
        hub: Hub,
        limits: Limits,
        logger: logging.Logger,
        entrance: socket.socket | None = None,
        admit: Callable[[Arrival], None] = lambda arrival: arrival.sock.close(),
    ) -> None:
        """Other processes hand connections on to the `entrance`, and `admit` lets them in or not.
        It is called in the loop's thread."""
        self.hub = hub
        self.sockets: dict[int, Connection] = {}  # by serial number: file numbers are reused
        self.addresses: Counter[str] = Counter()  # of all sockets, refused and closing ones too
        self.touched: list[Connection] = []
        self._limits = limits
        self._log = logger
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._waker = socket.socketpair()
        self._wake_up.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wake_up, READ)
        self._entrance, self._admit = entrance, admit
        if entrance:
            self._selector.register(entrance, READ, entrance)
        self._is_woken = False
        self._tasks: deque[Callable[[], object]] = deque()
        self._deadlines: list[tuple[float, int]] = []
        self._serials = itertools.count(1)
        self._stop_by = NEVER
        self._adding = threading.Lock()
        self._has_last_task = False
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    # For other threads

    def start(self) -> None:
        self._thread.start()

    def post(self, task: Callable[[], object]) -> None:
        """Queue work for the loop. Raises Ended after stop(), because nobody would do it."""
        if len(self._tasks) > BACKLOG:
            self.ask(lambda: None)
        self._add(task)

    def ask(self, task: Callable[[], Result]) -> Result:
        """Have the loop do this after all work posted before, and return the result."""
        future: Future[Result] = Future()

        def answer() -> None:
            try:
                future.set_result(task())
            except Exception as error:
                future.set_exception(error)

        self._add(answer)
        return future.result(ASK_SECONDS)

    def stop(self, timeout: float) -> None:
        """Close every connection with 4200 and end the thread, in about this many seconds."""
        # The clients get three quarters of the time; the rest is for closing their sockets.
        stop_by = time.monotonic() + timeout * 0.75
        self._add(lambda: self._close_all(stop_by), last=True)
        self._thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent, without touching its streams.

        Closing a file here leaves the parent's untouched. Unregistering it would not, because both
        processes share one epoll instance."""
        for connection in self.sockets.values():
            connection.sock.close()
        self._close_own()

    def _add(self, task: Callable[[], object], last: bool = False) -> None:
        with self._adding:
            if self._has_last_task:
                raise Ended
            self._tasks.append(task)
            self._has_last_task = last
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(OSError):  # full, so it is about to wake; or it has ended
                self._waker.send(b"\0")

    # The loop's own thread

    def adopt(self, connection: Connection, arrival: Arrival) -> None:
        """Take over a fresh socket: answer its handshake, then welcome it, or refuse it in the
        Pusher way."""
        connection.serial = next(self._serials)
        self.sockets[connection.serial] = connection
        self.addresses[connection.address] += 1
        connection.send_raw(arrival.greeting)
        if arrival.refusal is None:
            self.hub.welcome(connection)
        else:
            connection.close(*arrival.refusal)
        if arrival.early:
            self._hear(connection, connection.feed(arrival.early, time.monotonic()))

    def _run(self) -> None:
        while self.sockets or self._stop_by == NEVER:
            try:
                self._turn()
            except Exception:
                # A bug of ours. It must not take everyone's connections with it.
                self._log.exception("The gateway's loop failed; it goes on")
                time.sleep(0.1)  # a failure that lasts must not fill the disk with its log
            if time.monotonic() >= self._stop_by:
                break
        self._end()

    def _turn(self) -> None:
        ready = self._selector.select(self._pause())
        if any(key.data is None for key, _ in ready):
            # This comes before the work. A wake-up that is sent during the work announces new work,
            # and if it was drained after the work, the loop would sleep through the new one.
            self._drain_wake_up()
        self._do_tasks()
        self._settle_touched()
        now = time.monotonic()
        for key, mask in ready:
            if isinstance(key.data, Connection):
                self._serve(key.data, mask, now)
            elif key.data is not None:
                self._take_handed_on(key.data)
        self._look_at_clock(now)
        self._settle_touched()

    def _pause(self) -> float | None:
        """How long the selector may wait."""
        if self._tasks:
            return 0
        when = min(self._stop_by, self._deadlines[0][0] if self._deadlines else NEVER)
        return None if when == NEVER else max(0.0, when - time.monotonic())

    def _do_tasks(self) -> None:
        self._is_woken = (
            False  # first: a task that is added from here on sends a wake-up of its own
        )
        until = time.monotonic() + TASK_SECONDS
        while self._tasks and time.monotonic() < until:
            try:
                self._tasks.popleft()()
            except Exception:
                self._log.exception("A task of the gateway failed")

    def _serve(self, connection: Connection, mask: int, now: float) -> None:
        """Read and write one ready socket. A failure costs this connection only."""
        if connection.gone:
            return
        try:
            if mask & WRITE:
                connection.blocked = False
                connection.touch()
            if mask & READ:
                self._hear(connection, connection.receive(now))
        except Exception:
            self._log.exception("A connection of the gateway failed and is closed")
            connection.cut()

    def _take_handed_on(self, entrance: socket.socket) -> None:
        """Take what other processes hand on, unless all are being sent away."""
        for _ in range(HANDED_ON if self._stop_by == NEVER else 0):
            try:
                self._admit(handover.receive(entrance))
            except BlockingIOError:
                return
            except Malformed as error:
                self._log.warning("What was handed on is dropped: %s", error)

    def _hear(self, connection: Connection, messages: Iterable[str]) -> None:
        now = time.monotonic()
        for message in messages:
            self.hub.receive(connection, message, now)

    def _look_at_clock(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            when, serial = heapq.heappop(self._deadlines)
            connection = self.sockets.get(serial)
            if connection is None or connection.scheduled != when:
                continue  # closed meanwhile, or asked for an earlier time
            connection.scheduled = NEVER
            if connection.deadline <= now:
                connection.overdue(now)
            connection.touch()

    def _settle_touched(self) -> None:
        """Send what was queued, and bring selector, clock and hub up to date."""
        while self.touched:
            connection = self.touched.pop()
            connection.is_touched = False
            try:
                self._settle(connection)
            except Exception:
                self._log.exception("A connection of the gateway failed and is closed")
                self._drop(connection)

    def _settle(self, connection: Connection) -> None:
        connection.flush()
        if connection.closing and not connection.left and self._stop_by == NEVER:
            connection.left = True
            self.hub.leave(connection)
        if connection.gone:
            self._drop(connection)
        else:
            self._watch(connection)
            self._schedule(connection)

    def _watch(self, connection: Connection) -> None:
        interest = WRITE if connection.unsent else 0
        if not connection.rest_until:
            interest |= READ
        if interest == connection.interest:
            return
        if not connection.interest:
            self._selector.register(connection.sock, interest, connection)
        elif not interest:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, interest, connection)
        connection.interest = interest

    def _schedule(self, connection: Connection) -> None:
        # A deadline mostly moves to a later time, and needs no new entry then: when the old entry
        # comes up, the connection is asked for its deadline again.
        deadline = connection.deadline
        if deadline < connection.scheduled:
            connection.scheduled = deadline
            heapq.heappush(self._deadlines, (deadline, connection.serial))

    def _drop(self, connection: Connection) -> None:
        if self.sockets.pop(connection.serial, None) is None:
            return
        self.addresses[connection.address] -= 1
        if not self.addresses[connection.address]:
            del self.addresses[connection.address]
        if connection.interest:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(connection.sock)
        connection.sock.close()

    def _close_all(self, stop_by: float) -> None:
        # From here on no connection leaves the hub, which ends with this loop. In a room of
        # thousands, each one would be announced to all others, which are being closed as well.
        self._stop_by = stop_by
        if self._entrance:
            # What waits in there is closed with it, and the next handover fails at once.
            self._selector.unregister(self._entrance)
            self._entrance.close()
        for connection in self.sockets.values():
            connection.close(RESTART, "Server restarting, reconnect")

    def _end(self) -> None:
        for connection in list(self.sockets.values()):
            self._drop(connection)
        self._close_own()

    def _close_own(self) -> None:
        for sock in (self._wake_up, self._waker, self._entrance):
            if sock:
                sock.close()
        self._selector.close()

    def _drain_wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_up.recv(4096):
                pass
