"""The right to deliver events, held by one thread among all processes that share a database.

The operating system (SQLite) or the database server (PostgreSQL) takes it from a holder that
dies, so another one has it within seconds; nothing expires and no clock is trusted.
"""

from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text

LEASE = 0x4F555442  # "OUTB": names our advisory lock on PostgreSQL

# With these the server finds out within 8 s that a holder's machine has gone without a word.
KEEPALIVE = (
    "SET tcp_keepalives_idle = 4",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 2",
)


class Lease:
    """One holder at a time. For use by a single thread; errors are SQLAlchemy's or the driver's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._file = FileLock(f"{engine.url.database}.lease") if self._sqlite else None
        self.is_file = self._sqlite  # rather than a lock that lives and dies with the connection
        self._seen: int | None = None
        self.connection: Connection | None = None

    def acquire(self) -> Connection | None:
        """The holder's own connection, or None while somebody else holds the lease.

        What is written over this connection is written by the holder: on PostgreSQL the lock
        lives and dies with it.
        """
        if self._file:
            try:
                self._file.acquire(blocking=False)
            except Timeout:
                return None
        try:
            connection = self.connection = self._engine.connect()
            if self._sqlite:
                # Not one fsync for each delivery: an event told twice after a power cut is allowed.
                # Asked of the driver, for it cannot be said inside a transaction.
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
                connection.commit()  # all of these outlast it
        except BaseException:
            self.release()
            raise
        return connection

    def others_committed(self) -> bool:
        """Whether other connections have committed since the last call; costs microseconds.

        Raises if the connection, and with it the lease, is lost.
        """
        driver: Any = self.connection and self.connection.connection.driver_connection
        if not self._sqlite:
            return bool(list(driver.notifies(timeout=0)))
        seen: int = driver.execute("PRAGMA data_version").fetchone()[0]
        changed, self._seen = seen != self._seen, seen
        return changed

    def release(self) -> None:
        if self.connection is not None:
            # Closed for good, with its settings and locks, rather than given back to the pool.
            self.connection.invalidate()
            self.connection.close()
            self.connection = None
        if self._file:
            self._file.release()
