"""The database: Flask-SQLAlchemy's `db`, transactions that write, and init_db().

On SQLite every commit is durable, and a transaction that writes says so when it begins: one that
reads first and writes later can find its snapshot stale, and fails whatever the busy timeout is.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Any

from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, Row, bindparam, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from sqlalchemy.orm import DeclarativeBase

import config
import migrations

AnyRow = Row[*tuple[Any, ...]]

BUSY_SECONDS = 10
TRY_SECONDS = 0.0003


class Base(DeclarativeBase):
    """What every table of models.py is made from."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# A commit leaves what was read as it is: the caller, who is read in a transaction of their own, is
# still needed in the one that does the work.
db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})


def utcnow() -> datetime:
    """Now in UTC, without the zone: what both databases store alike, to the microsecond."""
    return datetime.now(UTC).replace(tzinfo=None)


def engine_options(settings: config.Settings) -> dict[str, Any]:
    """Arguments of create_engine(): enough connections for all threads, and errors that do not
    quote messages and password hashes into the log."""
    options: dict[str, Any] = {"hide_parameters": True}
    if settings.url.drivername == "sqlite":
        # The connection used last has the most in its cache.
        sqlite_options = {"pool_size": 32, "max_overflow": -1, "pool_use_lifo": True}
        return options | sqlite_options | {"connect_args": {"timeout": BUSY_SECONDS}}
    return options | {
        "pool_size": settings.database_pool_size,
        "max_overflow": settings.database_pool_size,
        "pool_timeout": BUSY_SECONDS,
        "pool_pre_ping": True,
        "isolation_level": "READ COMMITTED",  # whatever the role's default is
        # A server that has gone without a word is found out within some 10 s, not 15 minutes.
        "connect_args": {
            "client_encoding": "utf8",
            "connect_timeout": 5,
            "keepalives_idle": 4,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    }


def prepare(engine: Engine) -> Engine:
    """Make commits durable, foreign keys hold and transactions begin as they say on SQLite; on
    PostgreSQL, wait for a lock, or do nothing in a transaction, for BUSY_SECONDS at most."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_on_sqlite)
    else:
        event.listen(engine, "connect", _set_timeouts)
    return engine


def _set_timeouts(driver: Any, _record: object) -> None:
    driver.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    driver.execute(f"SET idle_in_transaction_session_timeout = '{BUSY_SECONDS}s'")
    driver.commit()  # or it would be rolled back with the transaction


def _set_up_sqlite(driver: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN would come too late for a writer: _begin_on_sqlite() says it.
    driver.isolation_level = None
    # Half the usual size of a page: a send changes some thirty pages, by a few bytes each, and
    # writes them out in full. secure_delete overwrites what was erased in the file, too.
    promises = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in ("page_size=2048", "journal_mode=WAL", *promises):
        driver.execute(f"PRAGMA {pragma}").close()


def _begin_on_sqlite(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        if connection.get_execution_options().get("writes"):
            _begin_immediate(driver)
        else:
            driver.execute("BEGIN")
    except sqlite3.Error as error:
        raise DBAPIError.instance(
            "BEGIN", None, error, sqlite3.Error, dialect=connection.dialect
        ) from error


def _begin_immediate(driver: sqlite3.Connection) -> None:
    """Wait for other processes that write. SQLite's own waiting sleeps longer with each try, so
    that those who have waited longest come last; with short and steady sleeps all take turns."""
    driver.execute("PRAGMA busy_timeout = 0")
    until = time.monotonic() + BUSY_SECONDS
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of whatever kind
                if not busy or time.monotonic() > until:
                    raise
            time.sleep(TRY_SECONDS)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


# Transactions --------------------------------------------------------------------------------

_turn_to_write = threading.Lock()


@contextmanager
def one_writer(engine: Engine, meanwhile: Any = nullcontext) -> Iterator[None]:
    """The turn to write to SQLite, within this process, and waiting for it, inside `meanwhile()`.

    SQLite has one writer. Those who wait for it sleep and are served unfairly; in a queue of ours
    the next one is woken at once. Raises sqlalchemy.exc.TimeoutError after BUSY_SECONDS.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    with meanwhile():
        if not _turn_to_write.acquire(timeout=BUSY_SECONDS):
            raise WaitedTooLong("Other writers kept the database for too long.")
        try:
            yield
        finally:
            _turn_to_write.release()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction of db.session that writes. Commit as the last statement inside.
    What was not committed is rolled back. Raises sqlalchemy.exc.TimeoutError, or OperationalError,
    after BUSY_SECONDS."""
    release()  # what was read before must not become the writer's snapshot
    # The application says what a request gives up for so long: its work slot.
    with one_writer(db.engine, current_app.config.get("WHILE_WRITING", nullcontext)):
        try:
            db.session.connection(execution_options={"writes": True})
            yield
        finally:
            db.session.rollback()


@contextmanager
def writing_on(connection: Connection) -> Iterator[None]:
    """The same on a connection of one's own; it commits at the end of the block."""
    with one_writer(connection.engine):
        try:
            with connection.execution_options(writes=True).begin():
                yield
        finally:
            connection.execution_options(writes=False)


def release() -> None:
    """End a transaction of db.session that has only read, and give its connection back. What was
    read stays usable."""
    db.session.commit()


def insert_once(
    model: type[Base], key: tuple[str, ...], returning: tuple[Any, ...], **values: Any
) -> tuple[AnyRow, bool]:
    """Insert unless a row with the same unique `key` is there. The columns asked for, of the new
    row or of the one that is there, and whether it is new.

    Never look, then insert: of two requests at once the database lets one insert.
    """
    dialect = db.session.get_bind().dialect.name
    insert, same = _insert_and_same(model, key, returning, tuple(values), dialect)
    row = db.session.execute(insert, values).one_or_none()
    if row is not None:
        return row, True
    return db.session.execute(same, {name: values[name] for name in key}).one(), False


@cache
def _insert_and_same(
    model: type[Base],
    key: tuple[str, ...],
    returning: tuple[Any, ...],
    names: tuple[str, ...],
    dialect: str,
) -> tuple[Any, Any]:
    """Built once, because building takes as long as running."""
    table: Any = model.__table__
    insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    once = insert(table).values({name: bindparam(name) for name in names})
    once = once.on_conflict_do_nothing(index_elements=key).returning(*returning)
    same = select(*returning).where(*(table.c[name] == bindparam(name) for name in key))
    return once, same


def init_db(settings: config.Settings | None = None) -> None:
    """Create the database or bring it up to date. It keeps all data and can be run at any time.

    It needs no application, and several processes may call it at once. Raises
    migrations.DatabaseError, whose sentence says what to do."""
    with migrations.told_in_a_sentence():
        settings = settings or config.load()
        engine = prepare(create_engine(settings.url, **engine_options(settings)))
        try:
            migrations.make_file(engine)
            with migrations.one_at_a_time(engine), engine.connect() as connection:
                migrations.refuse_unfit(connection)
                connection.rollback()
                with writing_on(connection):
                    migrations.upgrade(connection)
        finally:
            engine.dispose()
