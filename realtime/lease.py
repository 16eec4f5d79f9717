"""The lease is the right to deliver events. One thread holds it, of all processes that share a
database.

The operating system (SQLite) or the database server (PostgreSQL) takes it from a holder that
dies, so another thread has it within seconds. Nothing expires, and no clock is trusted.
"""

import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text

LEASE = 0x4F555442  # "OUTB": names our advisory lock on PostgreSQL

# With these the server notices within 8 s that a holder's machine is gone, without being told.
KEEPALIVE = (
    "SET tcp_keepalives_idle = 4",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 2",
)


# When the holder of the lock has last begun or ended a statement, which it does several times a
# second.
_HOLDER = text(
    "SELECT a.state_change FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = :id"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def lock_of(database: str) -> FileLock:
    """The lock whose holder has the lease of this SQLite file."""
    return FileLock(f"{database}.lease")


class Lease:
    """A lock with one holder at a time. A single thread may use it; errors are the database's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._file = lock_of(str(engine.url.database)) if self._sqlite else None
        self.is_file = self._sqlite  # otherwise a lock that ends with the connection
        self._seen: int | None = None
        self.connection: Connection | None = None

    def acquire(self) -> Connection | None:
        """Take the lease. Returns the holder's own connection, or None if somebody else holds it.

        Only the holder can write over this connection: on PostgreSQL the lock ends with it.
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
            else:
                taken = text("SELECT pg_try_advisory_lock(:id)")
                if not connection.execute(taken, {"id": LEASE}).scalar():
                    connection.close()
                    self.connection = None
                    return None
                for statement in (*KEEPALIVE, "LISTEN events"):
                    connection.exec_driver_sql(statement)
                connection.commit()  # the lock and the settings outlast it
            self.others_committed()  # what came before is seen with the first look
        except BaseException:
            self.release()
            raise
        return connection

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
            return connection.execute(_HOLDER, {"id": LEASE}).scalar()

    def release(self) -> None:
        """Give the lease back, and close the connection. Does nothing if it is not held."""
        if self.connection is not None:
            # Closed for good, because in the pool it would keep its settings and locks.
            self.connection.invalidate()
            self.connection.close()
            self.connection = None
        if self._file:
            self._file.release()
