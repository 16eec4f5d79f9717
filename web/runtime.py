"""The runtime: what one process has running for an application, and how it starts."""

import logging
import os
import threading
import time
from functools import partial
from pathlib import Path

from flask import current_app, request
from pusher import Pusher
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

import migrations
from chat import logins
from chat.storage import FILES, Storage, storage
from config import Settings
from contract.errors import NotFound
from database import db, init_db
from gateway import Gateway
from realtime import servers
from realtime.outbox import Outbox, State
from realtime.subscriptions import Subscriptions
from web.addresses import counted_as, is_of_this_machine
from web.erasures import Erasures
from web.hash_queue import HashQueue
from web.housekeeping import Housekeeping
from web.ratelimits import RateLimits
from web.slots import WorkSlots
from web.streams import Streams

NAME = "chat"  # among the extensions of the application

OTHER_PROCESS = (
    "Another process of this server has the WebSocket connections. Run one worker process, or "
    "set PUSHER_* to a Pusher server that all can reach."
)
NOT_COUNTED = (
    "WebSocket connections from this machine are not counted by address. If they come through a "
    "reverse proxy, set TRUSTED_PROXIES: then EMBEDDED_CONNECTIONS_PER_ADDRESS limits them."
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
    storage: Storage

    def __init__(self, settings: Settings, slots: WorkSlots) -> None:
        self.settings = settings
        self.slots = slots
        self.rate_limits = RateLimits(settings)
        self.hash_queue = HashQueue()
        self.streams = Streams()
        self.erasures = Erasures(slots)
        self.turn_to_look = threading.Lock()  # at a picture, which takes memory
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
            return
        came = time.monotonic()
        with self._starting:
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
            self.outbox.start()
            self.outbox.wait(2)  # whether the sockets are ours: /health says it
            self.erasures.resume()
            self._housekeeping.start()
            self._started_in = os.getpid()

    def _connect(self) -> None:
        self.server = server = servers.server(self.settings)
        self.signer = server.client()
        self.gateway = gateway = (
            servers.embedded(self.settings, server) if self.settings.embedded else None
        )
        self.subscriptions = subscriptions = Subscriptions(gateway)
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        self.storage = storage(self.settings.files_url, self.settings.folder / FILES)
        self._housekeeping = Housekeeping(app, self.storage, self.settings.folder)

        def sweep() -> None:
            with app.app_context():
                logins.sweep()

        outbox = partial(Outbox, db.engine, heed=subscriptions.heed, sweep=sweep)
        if gateway:
            self.outbox = outbox(
                lambda: server.client(servers.InProcess, handle=gateway.api),
                on_lease=gateway.open,
                on_loss=gateway.stop,
                couriers=1,
            )
        else:
            self.outbox = outbox(server.client)
        self.has_database = True

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


def ensure_db(settings: Settings) -> None:
    """Create an empty database, refuse one that does not fit. Raises migrations.DatabaseError."""
    if settings.url.drivername == "sqlite" and not Path(str(settings.url.database)).exists():
        init_db(settings)
    with db.engine.connect() as connection:
        empty = migrations.revision(connection) is None
        migrations.refuse_newer(connection)
        if not empty:
            migrations.refuse_older(connection)
    if empty:
        init_db(settings)
