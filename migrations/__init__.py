"""Applies the revisions: the database becomes what models.py says, and keeps its data.

Everything here is given its connection; database.init_db() opens it.
"""

import secrets
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import click
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, Engine, text

FOLDER = Path(__file__).resolve().parent
INIT_LOCK = 0x43484154  # "CHAT": names our advisory lock on PostgreSQL


class DatabaseError(click.ClickException):
    """The database cannot be used as it is; the message says what to do."""


def one_at_a_time(engine: Engine) -> AbstractContextManager[object]:
    """The lock that lets one process at a time run init_db(); on PostgreSQL upgrade() takes it."""
    if engine.dialect.name != "sqlite":
        return threading.Lock()
    return FileLock(f"{engine.url.database}.init.lock")


def upgrade(connection: Connection) -> None:
    """Run the revisions that are missing, in the transaction that the connection is in."""
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # waits for as long as it takes
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": INIT_LOCK})
    settings_for_alembic = Config()
    # Alembic reads % as the beginning of a variable.
    settings_for_alembic.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    settings_for_alembic.attributes["connection"] = connection
    command.upgrade(settings_for_alembic, "head")
    if on_postgresql and _forget_foreign_numbers(connection):
        renew_generation(connection)


def refuse_newer(connection: Connection) -> None:
    """Raise DatabaseError if the database has a revision that is not among ours."""
    found = revision(connection)
    if found and found not in {each.revision for each in _scripts().walk_revisions()}:
        raise DatabaseError(
            f"The database (revision {found}) was made by a newer version of this program. "
            "Run that version, or restore an older backup."
        )


def refuse_older(connection: Connection) -> None:
    """Raise DatabaseError if the database needs init_db()."""
    if revision(connection) != _scripts().get_current_head():
        raise DatabaseError(
            "The database is older than this program. Bring it up to date, keeping all data: "
            'python -c "from database import init_db; init_db()"'
        )


def revision(connection: Connection) -> str | None:
    """The database's revision, or None if there are no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def renew_generation(connection: Connection) -> None:
    """Make the database another one to clients: no cursor of /api/sync from before is taken."""
    if connection.dialect.name == "postgresql":
        _forget_foreign_numbers(connection)
    number = {"number": secrets.randbits(63)}
    connection.execute(text("UPDATE generations SET number = :number"), number)


def _forget_foreign_numbers(connection: Connection) -> bool:
    """Lower the transaction numbers of a table if this server has not reached all of them yet;
    whether that was so.

    They come from the server of a restored backup. The numbers still to come here would be lower.
    They keep their order, in which events go out, and end at 0.
    """
    unborn = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)"
    found = False
    for table in ("messages", "events"):
        latest = connection.scalar(
            text(f"SELECT max(transaction_id) FROM {table} HAVING max(transaction_id) >= {unborn}")  # noqa: S608
        )
        if latest is not None:
            lower = f"UPDATE {table} SET transaction_id = transaction_id - :latest"  # noqa: S608
            connection.execute(text(lower), {"latest": latest})
            found = True
    return found


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER))
