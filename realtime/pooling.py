"""Poolers: programs between us and PostgreSQL that lend a few connections to many clients.

pgbouncer does it for the length of a session, of a transaction, or of a statement. Locks and LISTEN
belong to a connection. With another one for each transaction, two processes would deliver the same
events, in any order, and nothing would say so.
"""

from typing import Any

from sqlalchemy import Connection, Engine

from migrations import DatabaseError

HEARD_SECONDS = 5.0
REFUSED = (
    "DATABASE_URL leads to a pooler that lends a connection for one transaction at a time, which "
    "loses locks and notices: set pool_mode = session there, or connect to PostgreSQL itself."
)


def refuse(engine: Engine) -> None:
    """Raise DatabaseError if a pooler shares our connections with others."""
    if engine.dialect.name == "sqlite":
        return
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql("LISTEN events")
            connection.commit()
            judge(connection, engine)
        finally:
            connection.invalidate()  # in the pool it would go on listening


def judge(connection: Connection, engine: Engine) -> None:
    """Raise DatabaseError unless the connection, which listens, has a server process of its own.

    It has, if that is the same in each transaction and another connection has another one, and if
    it hears what the other one tells.
    """
    driver: Any = connection.connection.driver_connection
    ours: set[int] = set()
    others: set[int] = set()
    with engine.connect() as other:
        driver_of_other: Any = other.connection.driver_connection
        # In this order it shows, whether the pooler lends the connection that was given back last
        # or the one that was given back first.
        for asked, pids in ((driver, ours), (driver_of_other, others), (driver, ours)):
            for _ in range(2):
                # Not prepared, because that would not be there in the next transaction either.
                pids.update(asked.execute("SELECT pg_backend_pid()", prepare=False).fetchone())
                asked.commit()
        driver_of_other.execute("SELECT pg_notify('events', '')", prepare=False)
        driver_of_other.commit()
    heard = list(driver.notifies(timeout=HEARD_SECONDS, stop_after=1))
    if len(ours) > 1 or len(others) > 1 or ours & others or not heard:
        raise DatabaseError(REFUSED)
