"""The runtime: what one process has running for an application, and how it starts."""

import atexit
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from flask import current_app, request
from pusher import Pusher
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

import migrations
from chat import files, logins
from chat.events import recorded
from chat.storage import FILES, Storage
from config import Settings
from contract.errors import NotFound
from database import db, init_db
from gateway import Gateway
from realtime import pooling, push_services, servers
from realtime.bell import Bell
from realtime.outbox import Outbox, State
from realtime.pushes import Pushes
from realtime.subscriptions import Subscriptions
from web.addresses import counted_as, is_of_this_machine
from web.erasures import Erasures
from web.hash_queue import HashQueue
from web.housekeeping import Housekeeping
from web.metrics import Metrics
from web.ratelimits import RateLimits
from web.slots import WorkSlots
from web.streams import Streams

NAME = "chat"  # among the extensions of the application

OTHER_PROCESS = (
    "Another process has the WebSocket connections, and this one hands its clients on to it. Where "
    "that does not work (another machine, Windows), run one worker process, or set PUSHER_* to a "
    "Pusher server that all can reach."
)
NOT_COUNTED = (
    "WebSocket connections from this machine are not counted by address. If they come through a "
    "reverse proxy, set TRUSTED_PROXIES: then EMBEDDED_CONNECTIONS_PER_ADDRESS limits them."
)
MOVED = (
    "The database file was moved, deleted or replaced while this server ran. Put it back, or "
    "restart the server to use what is there now."
)
NO_DATABASE = "The WebSocket server waits until the database takes what it writes."

log = logging.getLogger(f"app.{__name__}")


class Runtime:
    """What the requests of one application share.

    Making it opens nothing. start() gives it the rest before the first request.
    """

    server: servers.Server
    signer: Pusher  # it signs, for all threads
    gateway: Gateway | None
    subscriptions: Subscriptions
    outbox: Outbox
    push_services: push_services.PushServices
    bell: Bell | None
    housekeeping: Housekeeping

    def __init__(self, settings: Settings, slots: WorkSlots) -> None:
        self.settings = settings
        self.slots = slots
        self.rate_limits = RateLimits(settings)
        self.hash_queue = HashQueue()
        self.streams = Streams()
        self.erasures = Erasures(slots)
        self.metrics = Metrics(settings.folder / "metrics", self.levels)
        # Pictures take memory, and each thread that has looked at some would keep a part of it.
        self.looking = ThreadPoolExecutor(1, "pictures")
        self.has_database = False  # whether start() has got that far
        self._starting = threading.Lock()
        self._started_in = 0  # the process
        self._told_of_proxies = False
        self._failed_at = 0.0

    def start(self) -> None:
        """Bring up the database and the delivery of events, once in each process, within the
        context of the application.

        Raises migrations.DatabaseError, and OperationalError or TimeoutError of SQLAlchemy's.
        """
        if self._started_in == os.getpid():
            if file_of(self.settings) != self._file:
                # It would still take what is written, and nobody would find that again.
                raise migrations.DatabaseError(MOVED)
            return
        came = time.monotonic()
        with self._starting:
            if self._started_in == os.getpid():
                return  # another request has started it meanwhile
            if not self.has_database:
                if self._failed_at > came:
                    # Or those who queue here would wait for the same, one after the other.
                    raise WaitedTooLong("It did not answer the request before this one either.")
                try:
                    ensure_db(self.settings)
                except OperationalError:
                    self._failed_at = time.monotonic()
                    raise
                self._connect()
            atexit.register(close, db.engine)  # run last: after the stop of the outbox
            self.outbox.start()
            self._pushes.start()
            atexit.register(self.stop)  # run first
            self.outbox.wait(2)  # whether the sockets are ours: /health says it
            self.erasures.resume()
            self.metrics.start()
            self.housekeeping.start()
            self._started_in = os.getpid()

    def stop(self) -> None:
        """End the threads that work beside the requests, but for the outbox, which does it itself.
        They have connections to the database that they give back."""
        self._pushes.stop()
        self.housekeeping.stop()

    def _connect(self) -> None:
        self._file = file_of(self.settings)
        self.server = server = servers.server(self.settings)
        self.signer = server.client()
        self.gateway = gateway = (
            servers.embedded(self.settings, server) if self.settings.embedded else None
        )
        self.subscriptions = subscriptions = Subscriptions(gateway)
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        self.housekeeping = Housekeeping(app, self.storage, self.settings.folder)

        def sweep() -> None:
            with app.app_context():
                logins.sweep()

        self._engine = db.engine
        # PostgreSQL tells other processes by itself.
        sqlite = db.engine.dialect.name == "sqlite"
        self.bell = Bell(self.settings.socket_file("bell")) if sqlite else None
        if self.bell:
            recorded.connect(self.bell.ring)
        outbox = partial(
            Outbox,
            db.engine,
            on_lease=self._on_lease,
            on_loss=self._on_loss,
            heed=subscriptions.heed,
            sweep=sweep,
            count=self.metrics.count,
        )
        if gateway:
            connect = partial(server.client, servers.InProcess, handle=gateway.api)
            self.outbox = outbox(connect, couriers=1)
        else:
            self.outbox = outbox(server.client)
        self._connect_pushes()
        self.has_database = True

    @cached_property
    def storage(self) -> Storage:
        """Where the bytes of files are."""
        return files.storage(self.settings.files_url, self.settings.folder / FILES)

    def _connect_pushes(self) -> None:
        self.push_services = push_services.of(self.settings)
        may_send = self.outbox.is_relied_on
        self._pushes = Pushes(db.engine, self.push_services, may_send, self.metrics.count)

    def _on_lease(self) -> None:
        """This process delivers from here on."""
        if self.bell:
            self.bell.answer(self.outbox.wake)
        if self.gateway:
            self.gateway.open()

    def _on_loss(self) -> None:
        if self.bell:
            self.bell.close()
        if self.gateway:
            self.gateway.stop()

    def embedded(self) -> Gateway:
        """The embedded server. Raises NotFound where another one is in use."""
        if self.gateway is None:
            raise NotFound("No such path.")
        return self.gateway

    def counted_address(self) -> str:
        """The address whose WebSocket connections this request's counts among; empty: none."""
        address = request.remote_addr or ""
        if self.settings.trusted_proxies or not is_of_this_machine(address):
            return counted_as(address)
        if self.settings.embedded_connections_per_address and not self._told_of_proxies:
            self._told_of_proxies = True
            log.warning(NOT_COUNTED)
        return ""

    def levels(self) -> dict[str, float]:
        """What the metrics show of this process at this time."""
        levels: dict[str, float] = {"chat_hash_queue": self.hash_queue.length}
        if not self.has_database:
            return levels
        pool: Any = self._engine.pool
        open_ = self.gateway.stats() if self.gateway else {"connections": 0, "subscriptions": 0}
        return levels | {
            "chat_delivering": self.outbox.delivers,
            "chat_connections": open_["connections"],
            "chat_subscriptions": open_["subscriptions"],
            "chat_pool_connections_used": pool.checkedout(),
            "chat_pool_connections_kept": pool.size(),
        }

    def why_no_sockets(self) -> str:
        """Why the embedded server is not open in this process."""
        return OTHER_PROCESS if self.outbox.state is State.STANDBY else NO_DATABASE


def runtime() -> Runtime:
    """That of the application that is asked."""
    current: Runtime = current_app.extensions[NAME]
    return current


def end_session(_error: BaseException | None = None) -> None:
    """End db.session with the request, even where its connection is lost.

    The answer is made by now: Flask would replace it by a 500, and keep the broken session.
    """
    try:
        db.session.remove()
    except DBAPIError:
        db.session.remove()  # the connection is known to be lost, and nobody is told any more


def close(engine: Engine) -> None:
    """Close this process's connections. On SQLite the last process to do so folds the write-ahead
    log into the file and removes it."""
    # Of two that close at the same moment, each would leave that to the other.
    with migrations.one_at_a_time(engine):
        engine.dispose()


def file_of(settings: Settings) -> tuple[int, int] | None:
    """Which file the database is, whatever its name; None for PostgreSQL, and for no file."""
    if settings.url.drivername != "sqlite":
        return None
    try:
        found = Path(str(settings.url.database)).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def ensure_db(settings: Settings) -> None:
    """Create an empty database, refuse one that does not fit. Raises migrations.DatabaseError."""
    if settings.url.drivername == "sqlite" and not Path(str(settings.url.database)).exists():
        init_db(settings)
    pooling.refuse(db.engine)
    with db.engine.connect() as connection:
        empty = migrations.revision(connection) is None
        migrations.refuse_unfit(connection)
        if not empty:
            migrations.refuse_older(connection)
    if empty:
        init_db(settings)
