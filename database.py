"""The database: a session for each request, one writer at a time, migrations.

SQLite and PostgreSQL hold the same schema. On SQLite every commit is durable (WAL with
synchronous=FULL: at least one fsync each), and every transaction that writes says so when it
begins: one that reads first and writes later can find its snapshot stale, and fails whatever
the busy timeout.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import click
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    Row,
    Select,
    Transaction,
    bindparam,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool

import config
from statements import Prepared

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

BUSY_SECONDS = 10
TRY_SECONDS = 0.0003
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
INIT_LOCK = 0x43484154  # "CHAT": names our advisory lock on PostgreSQL


class _NotSelected:
    """Stands in for a column; a value of the instance's own, had it been selected, comes first."""

    def __get__(self, row: object, _class: type) -> Any:
        raise AttributeError("This column was not selected.")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """An object with a row's values, to be read: made without the ORM's bookkeeping of what
        changes, which costs more than the statement."""
        plain = cls._plain()
        made = plain.__new__(plain)
        vars(made).update(row._asdict())
        return made

    @classmethod
    @cache
    def _plain(cls) -> type[Self]:
        """The same class but for the ORM's descriptors, which would see to each look at a value."""
        hidden: dict[str, Any] = dict.fromkeys(cls.__table__.columns.keys(), _NotSelected())
        return type(cls.__name__, (cls,), {"__abstract__": True, **hidden})


db = SQLAlchemy(metadata=Base.metadata)


class DatabaseError(click.ClickException):
    """The database cannot be used as it is; the message says what to do."""


def utcnow() -> datetime:
    """Now in UTC, without the zone: what both databases store alike, to the microsecond."""
    return datetime.now(UTC).replace(tzinfo=None)


# Engines -------------------------------------------------------------------------------------


class KeepingPool(QueuePool):
    """A pool beside which connections wait for the next request as they are: going through it
    costs a send as much as two of its statements. The one used last comes first, with the most in
    its cache."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.kept: deque[Connection] = deque()

    def keep(self, opened: Connection) -> None:
        if len(self.kept) < self.size():
            self.kept.append(opened)
        else:
            opened.close()

    def dispose(self) -> None:
        while self.kept:
            with suppress(IndexError):  # another thread took it
                last = self.kept.pop()
                last.invalidate()
                last.close()
        super().dispose()


def engine_options(settings: config.Settings) -> dict[str, Any]:
    """Arguments of create_engine(): enough connections that no thread waits for one, and errors
    that do not quote messages and password hashes into the log."""
    if settings.url.drivername == "sqlite":
        return {
            "hide_parameters": True,
            "poolclass": KeepingPool,
            "pool_size": 32,
            "max_overflow": -1,
            "connect_args": {"timeout": BUSY_SECONDS, "isolation_level": None},
        }
    return {
        "hide_parameters": True,
        "pool_size": settings.database_pool_size,
        "max_overflow": settings.database_pool_size,
        "pool_timeout": BUSY_SECONDS,
        "pool_pre_ping": True,
        # A server that has gone without a word is found out within some 10 s, not 15 minutes.
        "connect_args": {
            "connect_timeout": 5,
            "keepalives_idle": 4,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    }


def prepare(engine: Engine) -> Engine:
    """Durable commits, enforced foreign keys and honest transactions on SQLite; on both, nobody
    waits for ever for what another has locked."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        # What Connection.begin() asks of it. An event could do the same, at a cost to each request.
        engine.dialect.do_begin = _begin  # type: ignore[assignment,method-assign]
    else:
        event.listen(engine, "connect", _set_lock_timeout)
    return engine


def _set_lock_timeout(connection: Any, _record: object) -> None:
    connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    connection.commit()  # it would be rolled back with the transaction


def _set_pragmas(connection: Any, _record: object) -> None:
    # Half the usual size of a page, which a database keeps from its making on: a send changes some
    # thirty pages, by a few bytes each, and writes them out in full.
    for pragma in ("page_size=2048", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(driver: Any) -> None:
    # The driver's own BEGIN is off (isolation_level=None): it would come too late for a writer.
    if not driver.dbapi_connection.in_transaction:  # it is when begin_to_write() has begun it
        driver.execute("BEGIN")


def begin_to_write(connection: Connection) -> Transaction:
    """A transaction that writes, said when it begins.

    SQLite's own waiting for another process sleeps longer with each try: who has waited long
    comes last. With a short and steady sleep the processes take turns. Raises
    sqlalchemy.exc.OperationalError after BUSY_SECONDS.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        try:
            _begin_immediate(driver)
        except sqlite3.OperationalError as error:
            raise OperationalError("BEGIN IMMEDIATE", None, error) from error
    return connection.begin()


def _begin_immediate(driver: sqlite3.Connection) -> None:
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


class Turn:
    """To be waited for, for BUSY_SECONDS. Raises sqlalchemy.exc.TimeoutError."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise WaitedTooLong("Other writers kept the database for too long.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_turn_to_write = Turn()


def one_writer(engine: Engine) -> AbstractContextManager[None]:
    """The turn to write to an SQLite database, within this process."""
    return _turn_to_write if engine.dialect.name == "sqlite" else nullcontext()


class RequestSession(threading.local):
    """What a request has of the database: one connection, from its first statement to its end,
    and the transaction on it.

    Each thread has its own, as each answers one request at a time, and each application's context
    within it. Less than an ORM's session, which would follow the changes of objects: nothing here
    is written by changing an object, and it cost a send a sixth of its time.
    """

    _opened: Connection | None = None
    _on_commit: tuple[Callable[[], object], ...] = ()
    _outer: tuple[Any, ...] = ()

    def enter(self, _app: object, **_: object) -> None:
        """A context begins; what the one around it has of the database waits."""
        self._outer = (self._opened, self._on_commit, self._outer)
        self._opened, self._on_commit = None, ()

    def leave(self, _error: BaseException | None = None) -> None:
        self.close()
        self._opened, self._on_commit, self._outer = self._outer

    def bare(self) -> Connection:
        """The connection as it is, within a transaction or not."""
        opened = self._opened
        if opened is None:
            opened = self._opened = _connection(db.engine)
        return opened

    def connection(self) -> Connection:
        """The transaction's; one that reads is begun if there is none."""
        opened = self.bare()
        if not opened.in_transaction():
            opened.begin()
        return opened

    def read_alone(self, statement: Prepared, values: dict[str, Any]) -> Any:
        """The only row of a statement, outside of any transaction. Not to be called within one.

        SQLite needs none. PostgreSQL's driver begins one, in which the client must not be waited
        for: locks would be held, and the connection, for as long as a body takes to arrive.
        """
        opened = self.bare()
        row = statement.row(opened, values)
        if opened.dialect.name != "sqlite":
            self.close()
        return row

    def execute(self, statement: Any, values: Any = None) -> Any:
        return self.connection().execute(statement, values)

    def on_commit(self, call: Callable[[], object]) -> None:
        """Have something called once the transaction is committed, if it ever is."""
        self._on_commit += (call,)

    def commit(self) -> None:
        try:
            self.bare().commit()
        except BaseException:
            self.close()  # SQLite would keep the transaction open, and the lock
            raise
        calls, self._on_commit = self._on_commit, ()
        for call in calls:
            call()

    def rollback(self) -> None:
        self._on_commit = ()
        if self._opened:
            self._opened.rollback()

    def close(self) -> None:
        """Give the connection back; what was not committed is rolled back."""
        self._on_commit = ()
        opened, self._opened = self._opened, None
        if opened:
            with suppress(DBAPIError):  # lost: the pool finds that out, and the answer is made
                opened.rollback()
            _give_back(opened)


session = RequestSession()


def _connection(engine: Engine) -> Connection:
    if isinstance(engine.pool, KeepingPool):
        with suppress(IndexError):
            return engine.pool.kept.pop()
    return engine.connect()


def _give_back(opened: Connection) -> None:
    pool = opened.engine.pool
    if not isinstance(pool, KeepingPool) or opened.invalidated or _left_open(opened):
        opened.close()
    else:
        pool.keep(opened)


def _left_open(opened: Connection) -> bool:
    driver: Any = opened.connection.driver_connection
    return bool(driver.in_transaction)


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes: the caller commits as the last statement inside.

    What was not committed is rolled back. SQLite has one writer, and its waiters sleep and are
    served unfairly; so within a process they queue here instead, where the next is woken at once.
    Raises sqlalchemy.exc.TimeoutError after BUSY_SECONDS.
    """
    session.rollback()  # a read that came before must not become the writer's snapshot
    opened = session.bare()
    with one_writer(opened.engine):
        try:
            begin_to_write(opened)
            yield
        finally:
            session.rollback()


def insert_once(
    model: type[Base], key: tuple[str, ...], columns: tuple[Any, ...] = (), **values: Any
) -> tuple[Any, bool]:
    """Insert unless a row with the same unique `key` is there; these columns of the row, or all,
    and whether it is new.

    Never look, then insert: of two requests at once the database lets one insert.
    """
    opened = session.connection()
    insert, same = _insert_and_same(model, key, columns, tuple(values), opened.dialect.name)
    row = insert.row(opened, values)
    if row is not None:
        return row, True
    return same.row(opened, values), False


@cache
def _insert_and_same(
    model: type[Base],
    key: tuple[str, ...],
    columns: tuple[Any, ...],
    given: tuple[str, ...],
    dialect: str,
) -> tuple[Prepared, Prepared]:
    table = model.__table__
    shown = columns or tuple(table.c)
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    once = insert(table).on_conflict_do_nothing(index_elements=key)  # type: ignore[arg-type]
    same = select(*shown).where(*(table.c[name] == bindparam(name) for name in key))
    return Prepared(once.returning(*shown), *given), Prepared(same)


def pages(
    statement: Prepared,
    values: dict[str, Any],
    shape: Callable[[Any], T],
    *,
    size: int = 500,
    engine: Engine | None = None,
) -> Iterator[list[T]]:
    """The shaped rows of a statement that asks for `size` rows with ids `after` one, in order.

    Each page has a connection of its own, given back before it is handed out, so that a client
    who reads slowly holds no transaction, and memory does not grow with the number of rows.
    """
    source = engine or db.engine  # the context is gone when the pages are asked for

    def read() -> Iterator[list[T]]:
        after = 0
        while True:
            opened = _connection(source)
            try:
                rows = statement.rows(opened, {**values, "after": after, "size": size})
            finally:
                _give_back(opened)
            if rows:
                yield [shape(row) for row in rows]
            if len(rows) < size:
                return
            after = rows[-1].id

    return read()


# Setting up ----------------------------------------------------------------------------------


def init_db(settings: config.Settings | None = None) -> None:
    """Create the database or bring it up to date; keeps all data, can be run again at any time.

    Needs no application. Several processes may call it at once. Raises DatabaseError if the
    database was made by a newer version of this program.
    """
    import models  # noqa: F401  (the tables, for migrations that compare)

    settings = settings or config.load()
    url = settings.url
    if url.drivername == "sqlite":
        file = Path(str(url.database))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(OSError):  # of which SQLite tells in its own words
            # It would let everybody read it; its other files follow this one.
            file.touch(mode=0o600)
    engine = prepare(create_engine(url, **engine_options(settings)))
    try:
        with _init_lock(url), engine.connect() as connection:
            _refuse_newer(connection)
            connection.rollback()
            begin_to_write(connection)
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL lock_timeout = 0"))  # for as long as it takes
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": INIT_LOCK})
            settings_for_alembic = Config()
            settings_for_alembic.set_main_option("script_location", str(MIGRATIONS))
            settings_for_alembic.attributes["connection"] = connection
            command.upgrade(settings_for_alembic, "head")
            if engine.dialect.name == "postgresql":
                _forget_foreign_numbers(connection)
            connection.commit()
    finally:
        engine.dispose()


def ensure_db(settings: config.Settings) -> None:
    """At a process's first request: create an empty database, refuse one that does not fit.

    Raises DatabaseError.
    """
    if settings.url.drivername == "sqlite" and not Path(str(settings.url.database)).exists():
        init_db(settings)
    with db.engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        _refuse_newer(connection)
    if revision is None:
        init_db(settings)
    elif revision != _scripts().get_current_head():
        raise DatabaseError(
            "The database is older than this program. Bring it up to date, keeping all data: "
            'python -c "from database import init_db; init_db()"'
        )


def _refuse_newer(connection: Connection) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision and revision not in {each.revision for each in _scripts().walk_revisions()}:
        raise DatabaseError(
            f"The database (revision {revision}) was made by a newer version of this program. "
            "Run that version, or restore an older backup."
        )


def _forget_foreign_numbers(connection: Connection) -> None:
    """Transaction numbers of the server that a restored backup comes from mean nothing here;
    those still to come on this one would stay behind them."""
    unborn = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)"
    for table in ("messages", "events"):
        connection.execute(
            text(f"UPDATE {table} SET transaction_id = 0 WHERE transaction_id >= {unborn}")  # noqa: S608
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _init_lock(url: URL) -> AbstractContextManager[object]:
    # On PostgreSQL an advisory lock is taken inside the transaction of the migration.
    if url.drivername != "sqlite":
        return threading.Lock()
    return FileLock(f"{url.database}.init.lock")
