"""The lease is the right to deliver events. One thread holds it, of all processes that share a
database.

The operating system (SQLite) or the database server (PostgreSQL) takes it from a holder that
dies, so another thread has it within seconds. On PostgreSQL a holder that is frozen is replaced
too (realtime/watch.py). When it moves again it finds that its connection is gone, and that its
number is no longer the one in the table `fences`.
"""

import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert

from database import writing_on
from migrations import DatabaseError
from models import Fence
from realtime import pooling, watch

LEASE = 0x4F555442  # "OUTB": names our advisory lock on PostgreSQL
#: After so long without an answer of the database a holder no longer relies on its lease. By then
#: nobody else can have it.
RELIED_ON_SECONDS = watch.FROZEN_SECONDS - 2

# With these the server notices within 8 s that a holder's machine is gone, without being told.
KEEPALIVE = (
    "SET tcp_keepalives_idle = 4",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 2",
)

_TRY = select(func.pg_try_advisory_lock(LEASE))
_UNLOCK = select(func.pg_advisory_unlock(LEASE))
_TAKE = (
    insert(Fence)
    .values(id=1, number=1)
    .on_conflict_do_update(index_elements=["id"], set_={"number": Fence.number + 1})
    .returning(Fence.number)
)
_NUMBER = select(Fence.number)
# Nobody can take the lease until the transaction ends.
_NUMBER_TO_BOOK = _NUMBER.with_for_update(read=True)
# A NOTIFY locks all others out until it is committed, so this commit does not wait for the disk.
_TELL = text("SELECT set_config('synchronous_commit', 'off', true), pg_notify('events', '')")


class Lost(Exception):
    """Somebody else has the lease."""


def lock_of(database: str) -> FileLock:
    """The lock whose holder has the lease of this SQLite file."""
    return FileLock(f"{database}.lease")


class Lease:
    """A lock with one holder at a time. A single thread may use it, but for is_relied_on(); errors
    are the database's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._file = lock_of(str(engine.url.database)) if self._sqlite else None
        self.is_file = self._sqlite  # otherwise a lock that ends with the connection
        self._seen: int | None = None
        self._watch = watch.Watch(LEASE)
        self._number: int | None = None
        self._relied_on_until = 0.0
        self.connection: Connection | None = None

    def acquire(self) -> Connection | None:
        """Take the lease. Returns the holder's own connection, or None if somebody else holds it.

        Only the holder can write over this connection: on PostgreSQL the lock ends with it. Raises
        migrations.DatabaseError where a pooler would lose the lock.
        """
        if self._file:
            try:
                self._file.acquire(blocking=False)
            except Timeout:
                return None
        try:
            connection = self.connection = self._engine.connect()
            if self._sqlite:
                # This saves an fsync at each delivery: after a power cut, events may be sent twice.
                # The driver takes it, because it cannot be changed inside a transaction.
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA synchronous=NORMAL")
            elif not self._lock(connection):
                connection.close()
                self.connection = None
                return None
            self.others_committed()  # what came before is seen with the first look
        except BaseException:
            self.release()
            raise
        return connection

    def _lock(self, connection: Connection) -> bool:
        """Take PostgreSQL's lock and a number, or watch the holder: whether it was taken."""
        if not connection.execute(_TRY).scalar():
            self._watch.look(connection)
            return False
        for statement in (*KEEPALIVE, "LISTEN events"):
            connection.exec_driver_sql(statement)
        connection.commit()  # the lock and the settings outlast it
        try:
            pooling.judge(connection, self._engine)
        except DatabaseError:
            connection.execute(_UNLOCK)  # or the pooler would keep it
            connection.commit()
            raise
        asked = time.monotonic()
        with writing_on(connection):
            self._number = connection.execute(_TAKE).scalar_one()
        self._relied_on_until = asked + RELIED_ON_SECONDS
        return True

    def check(self, *, booking: bool = False) -> None:
        """Raise Lost if somebody has taken a later number, in the transaction that is open. If it
        is `booking`, nobody can take one before its end."""
        if self._sqlite or self.connection is None:
            return
        asked = time.monotonic()
        number = self.connection.execute(_NUMBER_TO_BOOK if booking else _NUMBER).scalar()
        if number != self._number:
            raise Lost("Another process has taken the lease.")
        self._relied_on_until = asked + RELIED_ON_SECONDS

    def is_relied_on(self) -> bool:
        """Whether nobody else can have the lease yet, by the last check; any thread may ask. It
        goes by the time since the check, and not by the time of day."""
        return self._sqlite or time.monotonic() < self._relied_on_until

    def others_committed(self) -> bool:
        """Whether other connections have committed since the last call. Takes microseconds.

        Raises if the connection, and with it the lease, is lost.
        """
        driver: Any = self.connection and self.connection.connection.driver_connection
        if not self._sqlite:
            return bool(list(driver.notifies(timeout=0)))
        seen: int = driver.execute("PRAGMA data_version").fetchone()[0]
        changed, self._seen = seen != self._seen, seen
        return changed

    def beat(self) -> None:
        """Show the others that the holder moves. On PostgreSQL its statements show it."""
        if self._file:
            os.utime(self._file.lock_file)

    def pulse(self) -> object:
        """What changes while the holder of the lease moves; None if nobody is seen."""
        if self._file:
            return Path(self._file.lock_file).stat().st_mtime_ns
        with self._engine.connect() as connection:
            return watch.holder(connection, LEASE)

    def tell(self) -> None:
        """Tell the holder, another process, to look for events. (On SQLite it looks by itself.)"""
        if not self._sqlite:
            with self._engine.begin() as connection:
                connection.execute(_TELL)

    def release(self) -> None:
        """Give the lease back, and close the connection. Does nothing if it is not held."""
        self._relied_on_until = 0.0
        if self.connection is not None:
            # Closed for good, because in the pool it would keep its settings and locks.
            self.connection.invalidate()
            self.connection.close()
            self.connection = None
        if self._file:
            self._file.release()
