"""The watch that processes without the lease keep on the one that has it.

A process can stop moving without dying: it is halted by a signal, or it waits for a disk that does
not answer. Its connection stays open then, and PostgreSQL's lock with it. The holder asks the
database something several times a second. So if it has asked nothing for FROZEN_SECONDS, by the
clock of the process that watches, its connection is closed, and the lock is free.
"""

import logging
import time

from sqlalchemy import Connection, text

from database import AnyRow

FROZEN_SECONDS = 10.0

log = logging.getLogger(f"app.{__name__}")

# The number of an advisory lock is in objid, as long as it fits. `query_start` is of the latest
# question. It is NULL if another role asks, whose connections are not ours to close.
_HOLDER = (
    "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND classid = 0 AND objid = :lock AND pg_locks.database = datid"
    " AND datname = current_database() AND query_start IS NOT NULL"
)
_LOOK = text(f"SELECT pid, backend_start, query_start {_HOLDER}")
_END = text(
    f"SELECT pg_terminate_backend(pid) {_HOLDER}"
    " AND pid = :pid AND backend_start = :backend_start AND query_start = :query_start"
)


def holder(connection: Connection, lock: int) -> AnyRow | None:
    """Which connection holds an advisory lock, and when it has last asked something; None if
    nobody is seen to hold it."""
    return connection.execute(_LOOK, {"lock": lock}).first()


class Watch:
    """What one process has seen of the holder of an advisory lock."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._seen: AnyRow | None = None
        self._since = 0.0

    def look(self, connection: Connection) -> None:
        """Close the holder's connection if nothing has moved for FROZEN_SECONDS."""
        now = time.monotonic()  # before the look, because this process may be halted too
        seen = holder(connection, self._lock)
        if seen is None or seen != self._seen:
            self._seen, self._since = seen, now
            return
        if now - self._since < FROZEN_SECONDS:
            return
        connection.rollback()  # or what was just seen would be shown again
        ended = connection.execute(_END, {"lock": self._lock, **seen._mapping}).scalar()
        if ended:
            log.warning(
                "The process that delivers (PostgreSQL's process %d) has not moved for %d s."
                " It is replaced.",
                seen.pid,
                FROZEN_SECONDS,
            )
