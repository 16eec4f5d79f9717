"""Copies: `flask db copy` takes a whole database into another one, which was empty.

Both can be SQLite or PostgreSQL. All rows are one transaction of the target: a copy that was cut
off leaves it empty, and can be run again. Nothing of the source is changed.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import click
import psycopg
from flask import current_app
from flask.cli import with_appcontext
from psycopg.types.json import Json
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    String,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

import migrations
from config import Settings
from contract.errors import first_line
from database import AnyRow, Base, db, engine_options, init_db, prepare
from migrations import DatabaseError
from realtime.lease import Lease

#: Tables in which a database speaks of itself, and not of people. A copy has its own.
OWN = {"alembic_version", "generations", "fences"}
#: The column that orders changes by numbers of the database's own.
NUMBER = "transaction_id"
ROWS = 5_000  # read and written at a time
TELL_SECONDS = 5.0

SERVED = (
    "A server runs on this database. Stop all of its servers first: what they store during the "
    "copy, and until they use the other database, would be missing there."
)


@click.command("copy")
@click.argument("url")
@with_appcontext
def copy_database(url: str) -> None:
    """Copy this whole database into the empty one at URL, and compare them row by row.

    URL is written as DATABASE_URL is. Stop all servers first. If the copy is cut off, run it again.
    """
    settings = Settings(database_url=url, instance_path=current_app.instance_path)
    with _clear_errors():
        migrations.refuse_unready(db.engine)
    with (
        _clear_errors(),
        _nobody_serving(db.engine),
        _opened(settings) as engine,
        db.engine.connect() as source,
        engine.connect() as target,
    ):
        _lock(source, "SHARE")
        _lock(target, "EXCLUSIVE")
        _refuse_occupied(target)
        _copy(source, target)
        target.commit()
    click.echo(
        "Set DATABASE_URL to it for all servers, and start them. Keep INSTANCE_PATH, or take its "
        "files along: it has the secrets. Clients load their chats anew."
    )


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        # The lines after the first can quote what people wrote.
        reason = first_line(getattr(error, "orig", error))
        raise DatabaseError(f"Nothing was copied: {reason}") from error


# Before ----------------------------------------------------------------------------------------


@contextmanager
def _nobody_serving(engine: Engine) -> Iterator[None]:
    """Hold the right to deliver events, which one of the servers has while there are any. So no
    event goes out that goes along in the copy."""
    lease = Lease(engine)
    if lease.acquire() is None:
        raise DatabaseError(SERVED)
    try:
        yield
    finally:
        lease.release()


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    """The target, with its tables. Raises DatabaseError if it is not empty."""
    engine = prepare(create_engine(settings.url, **engine_options(settings)))
    try:
        # To look into a file of SQLite's that is not there would make it.
        if engine.dialect.name != "sqlite" or Path(str(settings.url.database)).exists():
            with engine.connect() as connection:
                _refuse_occupied(connection)
        init_db(settings)
        yield engine
    finally:
        engine.dispose()


def _refuse_occupied(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names()) - OWN
    for name in sorted(tables):
        table = Base.metadata.tables.get(name)
        if table is None:
            raise DatabaseError(f"The other database is not empty: it has a table {name}.")
        some: Any = select(literal_column("1")).select_from(table).limit(1)
        if connection.execute(some).all():
            raise DatabaseError(f"The other database is not empty: there are rows in {name}.")


def _lock(connection: Connection, mode: str) -> None:
    """Begin a transaction during which nobody else writes."""
    connection.execution_options(writes=True).begin()
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in _tables())
        connection.execute(text(f"LOCK TABLE {names} IN {mode} MODE"))


# Copying ---------------------------------------------------------------------------------------


def _tables() -> list[Table]:
    """What is copied, each after those that it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name not in OWN]


def _copy(source: Connection, target: Connection) -> None:
    for table in _tables():
        total = source.scalar(select(func.count()).select_from(table)) or 0
        copied = _read(source, table, _latest(source, table))
        for rows in _telling(copied, f"{table.name}: copied", total):
            _write(target, table, rows)
    if target.dialect.name == "postgresql":
        target.execute(text("ANALYZE"))  # or it would plan for empty tables for a while
    for table in _tables():
        count = _compare(source, target, table)
        _count_on(source, target, table)
        click.echo(f"{table.name}: {count:,} rows, all the same")
    migrations.renew_generation(target)


def _latest(connection: Connection, table: Table) -> int:
    """The highest number of a change in a table, 0 if its changes have none.

    It is taken from all of them: they keep their order and end at 0, so that those to come in the
    other database are higher, whatever that counts by.
    """
    if NUMBER not in table.c:
        return 0
    return connection.scalar(select(func.max(table.c[NUMBER]))) or 0


def _read(connection: Connection, table: Table, latest: int) -> Generator[Sequence[AnyRow]]:
    """All rows by their keys, some at a time."""
    columns = [
        (each - latest).label(NUMBER) if each.name == NUMBER and latest else each
        for each in table.c
    ]
    on_postgresql = connection.dialect.name == "postgresql"
    order: list[Any] = [
        # By code point, as SQLite has it.
        each.collate("C") if on_postgresql and isinstance(each.type, String) else each
        for each in table.primary_key
    ]
    statement = select(*columns).order_by(*order)
    with connection.execute(statement, execution_options={"yield_per": ROWS}) as found:
        yield from found.partitions()


def _write(connection: Connection, table: Table, rows: Sequence[AnyRow]) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), [row._asdict() for row in rows])
        return
    # COPY takes a fraction of the time of INSERT.
    driver: Any = connection.connection.driver_connection
    columns = ", ".join(each.name for each in table.c)
    objects = [place for place, each in enumerate(table.c) if isinstance(each.type, JSON)]
    with (
        closing(driver.cursor()) as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as into,
    ):
        for row in rows:
            values = list(row)
            for place in objects:
                if values[place] is not None:
                    values[place] = Json(values[place])
            into.write_row(values)


def _compare(source: Connection, target: Connection, table: Table) -> int:
    """How many rows there are. Raises DatabaseError if they are not the same in both."""
    total = source.scalar(select(func.count()).select_from(table)) or 0
    count = 0
    with (
        closing(_read(source, table, _latest(source, table))) as pages,
        closing(_read(target, table, 0)) as copied_pages,
    ):
        rows = chain.from_iterable(_telling(pages, f"{table.name}: compared", total))
        for row, copied in zip_longest(rows, chain.from_iterable(copied_pages)):
            if row != copied:
                raise DatabaseError(f"Nothing was copied: row {count + 1:,} of {table} differs.")
            count += 1
    return count


def _telling(
    pages: Iterator[Sequence[AnyRow]], what: str, total: int
) -> Iterator[Sequence[AnyRow]]:
    """The same pages, saying now and then how far they have come."""
    count, told = 0, time.monotonic()
    for rows in pages:
        yield rows
        count += len(rows)
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            click.echo(f"{what} {count:,} of {total:,}")


# Ids are never used again: counting goes on behind the last one that was given, though its row has
# gone.
_COUNTED = {
    "sqlite": "SELECT max(seq) FROM sqlite_sequence WHERE name = :table",
    "postgresql": (
        "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:table, :column) AS regclass))"
    ),
}


def _count_on(source: Connection, target: Connection, table: Table) -> None:
    """Have the ids of a table that counts by itself go on behind those of the source."""
    column = table.autoincrement_column
    if column is None:
        return
    names = {"table": table.name, "column": column.name}
    counted = source.scalar(text(_COUNTED[source.dialect.name]), names) or 0
    last = max(counted, source.scalar(select(func.max(column))) or 0)
    if target.dialect.name == "sqlite":
        target.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), names)
        target.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"),
            {**names, "last": last},
        )
    elif last:
        sequence = "CAST(pg_get_serial_sequence(:table, :column) AS regclass)"
        target.execute(text(f"SELECT setval({sequence}, :last)"), {**names, "last": last})
