"""Applies the revisions: the database becomes what models.py says, and keeps its data.

Everything here is given its connection; database.init_db() opens it.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

FOLDER = Path(__file__).resolve().parent
INIT_LOCK = 0x43484154  # "CHAT": names our advisory lock on PostgreSQL


NO_RIGHTS = (
    "The role in DATABASE_URL may not use the database's schema as it must. Let it own the "
    "database, or GRANT it CREATE and USAGE on the schema, and the rights on all tables there."
)


class DatabaseError(click.ClickException, SystemExit):
    """The database cannot be used as it is; the message says what to do. If nobody catches it, the
    program ends with this sentence and without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = f"Error: {message}"


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Raise DatabaseError for what the database, the settings or the disk refuse."""
    try:
        yield
    except click.ClickException as error:
        raise DatabaseError(error.message) from error
    except OSError as error:
        raise DatabaseError(
            f"The database cannot be prepared: {error.strerror or error}. See that INSTANCE_PATH "
            "and DATABASE_URL are right, and that this user may write there."
        ) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in ("42501", "3F000"):
            raise DatabaseError(NO_RIGHTS) from error
        reason = str(error.orig).strip().replace("\n", " ").rstrip(".")
        raise DatabaseError(
            f"The database cannot be prepared: {reason}. See that DATABASE_URL is right, that the "
            "database is there and that it can be written."
        ) from error


def make_file(engine: Engine) -> None:
    """Make the file of an SQLite database, for its owner only: SQLite would let everybody read it.
    Its other files follow this one."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)


def one_at_a_time(engine: Engine) -> AbstractContextManager[object]:
    """The lock that lets one process at a time run init_db(); on PostgreSQL upgrade() takes it."""
    if engine.dialect.name != "sqlite":
        return threading.Lock()
    return FileLock(f"{engine.url.database}.init.lock")


def upgrade(connection: Connection) -> None:
    """Run the revisions that are missing, in the transaction that the connection is in."""
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        # Waits for as long as it takes, and has time to count.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": INIT_LOCK})
    settings_for_alembic = Config()
    # Alembic reads % as the beginning of a variable.
    settings_for_alembic.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    settings_for_alembic.attributes["connection"] = connection
    command.upgrade(settings_for_alembic, "head")
    if on_postgresql and _forget_foreign_numbers(connection):
        renew_generation(connection)


def refuse_unfit(connection: Connection) -> None:
    """Raise DatabaseError if the database cannot hold every text, or is newer than the program."""
    if connection.dialect.name == "postgresql":
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise DatabaseError(
                f"The database is in {encoding}, which cannot hold every text. Make one in UTF-8: "
                "CREATE DATABASE chat ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0."
            )
    refuse_newer(connection)


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


def refuse_unready(engine: Engine) -> None:
    """Raise DatabaseError if the database is not there, or is of another version."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        raise DatabaseError(f"There is no database at {engine.url.database}.")
    with engine.connect() as connection:
        refuse_newer(connection)
        refuse_older(connection)


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
