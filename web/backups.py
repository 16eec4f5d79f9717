"""Backups: `flask backup`, `flask restore`, and `flask db new-generation` after other restores.

A backup is one SQLite file. In tables of its own it has the bytes of files, unless they are in a
bucket, and the secrets of the instance folder, if asked for.
"""

import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import click
from filelock import Timeout
from flask.cli import with_appcontext
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

import migrations
from chat import files
from chat.storage import FILES, arriving
from config import Settings
from contract.errors import NotFound, Unavailable, first_line
from database import db, prepare, utcnow, writing, writing_on
from realtime.commands import on_the_database
from realtime.lease import lock_of
from web.runtime import runtime

#: The secrets: files of the instance folder that are made on first need.
KEPT = (
    "jwt_secret_key",
    "embedded_app_id",
    "embedded_key",
    "embedded_secret",
    "vapid_private_key",
)
#: What SQLite may keep beside a database. Beside another one it would poison that.
BESIDE = ("-wal", "-shm", "-journal")
#: What a file is called that is being written. A command that was killed leaves one, with all that
#: the database had: the next one in that folder removes it, an hour later.
DRAFT = ".chat-api-draft-"
HOUR = 3_600
SERVER_RUNS = "A server is running on this database. Stop it first."
#: The bytes of files are read and stored in parts of so many.
PART_BYTES = 1 << 20
ON_POSTGRESQL = (
    "The database is on PostgreSQL. Back it up with pg_dump; after pg_restore, run "
    "`flask db new-generation`."
)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--secrets", "with_secrets", is_flag=True, help="With those of the instance folder.")
@click.option("--yes", is_flag=True, help="Replace FILE without asking.")
@with_appcontext
def backup(file: Path, with_secrets: bool, yes: bool) -> None:
    """Write the whole database and the bytes of files to FILE, for its owner only, while the server
    runs. Bytes in a bucket stay there.
    """
    settings = runtime().settings
    database = _database(settings)
    if not database.exists():
        raise click.ClickException(f"There is no database yet: {database}")
    same = file.exists() and file.samefile(database)  # in other letters, where these do not count
    if same or file.resolve() in _own_files(database, settings):
        raise click.ClickException("FILE is the database itself, or another file of the server.")
    if file.exists():
        yes or click.confirm(f"Replace {file}?", abort=True)
    with _draft(file) as draft, _told(f"{database} cannot be backed up to {file}"):
        _copy(database, draft)
        _check(draft)
        if not settings.files_url:
            _keep_bytes(draft, settings)
        if with_secrets:
            _keep_secrets(draft, settings)
        draft.replace(file)
    click.echo(f"Backed up to {file}.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--secrets", "with_secrets", is_flag=True, help="With the secrets that are in FILE.")
@click.option("--yes", is_flag=True, help="Replace the database without asking.")
@with_appcontext
def restore(file: Path, with_secrets: bool, yes: bool) -> None:
    """Replace the database by the backup in FILE, and keep the old one beside it.

    No server may run. Clients will load their chats anew.
    """
    settings = runtime().settings
    database = _database(settings)
    yes or click.confirm(f"Replace {database} by {file}?", abort=True)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = f".before-{utcnow():%Y%m%d-%H%M%S-%f}"
    with _no_server(database), _draft(database) as draft, _told(f"{file} cannot be restored"):
        kept = _prepared(file, draft)
        if with_secrets and not kept:
            raise click.ClickException(f"{file} has no secrets.")
        _put_bytes_back(draft, settings)
        old = _keep_aside(database, aside)
        _put_in_place(draft, database, old)
        if with_secrets:
            _put_secrets(kept, settings, aside)
    click.echo(f"Restored from {file}.")
    if old:
        click.echo(f"The database of before is {old[0]}.")
    if kept and not with_secrets:
        click.echo("The secrets in it were left there; --secrets restores them too.")


@click.command("new-generation")
@with_appcontext
@on_the_database
def new_generation() -> None:
    """Void all cursors of /api/sync, so that clients load their chats anew.

    To be run once after a restore by other means than `flask restore`.
    """
    with writing():
        migrations.renew_generation(db.session.connection())
        db.session.commit()
    click.echo("No cursor from before is taken any more; clients load their chats anew.")


def _database(settings: Settings) -> Path:
    if settings.url.drivername != "sqlite":
        raise click.ClickException(ON_POSTGRESQL)
    return Path(str(settings.url.database))


def _own_files(database: Path, settings: Settings) -> set[Path]:
    """The database and what belongs to it: a backup in its place would destroy it."""
    own = [Path(f"{database}{end}") for end in ("", *BESIDE)]
    return {each.resolve() for each in (*own, *(settings.folder / name for name in KEPT))}


@contextmanager
def _told(trouble: str) -> Iterator[None]:
    """Tell of what the disk or SQLite refuses, in a sentence."""
    try:
        yield
    except (OSError, sqlite3.Error, DBAPIError) as error:
        raise click.ClickException(f"{trouble}: {first_line(error)}.") from None
    except Unavailable as error:
        raise click.ClickException(f"{trouble}: {error.message}") from None


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A new file beside `file`, for its owner only. It is gone at the end, if it is still there."""
    draft = file.with_name(f"{DRAFT}{secrets.token_hex(8)}")
    try:
        with _told(f"{file} cannot be written"):
            _sweep(file.parent)
            draft.touch(mode=0o600, exist_ok=False)
        yield draft
    finally:
        for end in ("", *BESIDE):
            Path(f"{draft}{end}").unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what commands left that were killed."""
    for left in folder.glob(f"{DRAFT}*"):
        with suppress(FileNotFoundError):  # of one that is under way
            if left.stat().st_mtime < time.time() - HOUR:
                left.unlink()


# Files of SQLite -------------------------------------------------------------------------------


def _copy(source: Path, target: Path) -> None:
    """Copy a database as it stands at one moment, while others write to it, into one file."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def _check(file: Path) -> None:
    """Raise ClickException for a database that is not whole."""
    with closing(sqlite3.connect(file)) as database:
        faults = [fault for (fault,) in database.execute("PRAGMA integrity_check(1)")]
        orphans = database.execute("PRAGMA foreign_key_check").fetchone()
    if orphans:
        faults = ["some rows lack what they refer to"]
    if faults != ["ok"]:
        raise click.ClickException(f"The database is not whole: {faults[0]}.")


def _prepared(file: Path, draft: Path) -> dict[str, str]:
    """Copy a backup into the draft, check it and bring it up to date there; the secrets in it."""
    for end in ("", "-wal"):  # a copy that was made by hand may have a log
        if Path(f"{file}{end}").exists():
            shutil.copyfile(f"{file}{end}", f"{draft}{end}")
    _check(draft)
    kept = _take_secrets(draft)
    engine = prepare(create_engine(URL.create("sqlite", database=str(draft)), poolclass=NullPool))
    with engine.connect() as connection:
        migrations.refuse_newer(connection)
        if migrations.revision(connection) is None:
            raise click.ClickException(f"{file} is no database of this program.")
        connection.rollback()
        with writing_on(connection):
            migrations.upgrade(connection)
            migrations.renew_generation(connection)
    with closing(sqlite3.connect(draft)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    return kept


@contextmanager
def _no_server(database: Path) -> Iterator[None]:
    """Raise ClickException if a server delivers events; none will during the block."""
    try:
        with lock_of(str(database)).acquire(blocking=False):
            yield
    except Timeout:
        raise click.ClickException(SERVER_RUNS) from None


def _keep_aside(database: Path, suffix: str) -> list[Path]:
    """Copies of the database and of its log, byte for byte."""
    copies = []
    for end in ("", "-wal"):
        if Path(f"{database}{end}").exists():
            copy = Path(f"{database}{suffix}{end}")
            copy.touch(mode=0o600)
            shutil.copyfile(f"{database}{end}", copy)
            copies.append(copy)
    return copies


def _put_in_place(draft: Path, database: Path, old: list[Path]) -> None:
    """Make the database what the draft is: at once, or, where SQLite cannot read it any more, by
    the file. Raises ClickException if somebody else has it open."""
    database.touch(mode=0o600)  # SQLite would let everybody read a new one
    try:
        with (
            closing(sqlite3.connect(draft)) as new,
            closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as current,
        ):
            # This folds in the log, and is refused while others have the database open.
            current.execute("PRAGMA locking_mode=EXCLUSIVE")
            current.execute("PRAGMA journal_mode=DELETE")
            current.execute("BEGIN EXCLUSIVE")
            current.execute("COMMIT")
            new.backup(current)
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            for end in BESIDE:
                Path(f"{database}{end}").unlink(missing_ok=True)
            draft.replace(database)
            return
        for copy in old:
            copy.unlink()
        if code == sqlite3.SQLITE_BUSY:
            raise click.ClickException(SERVER_RUNS) from None
        raise


def _has_table(database: sqlite3.Connection, name: str) -> bool:
    found = database.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [name]
    )
    return found.fetchone() is not None


# Bytes of files --------------------------------------------------------------------------------


def _keep_bytes(draft: Path, settings: Settings) -> None:
    """Add the bytes of all files that the copy has rows of."""
    stored = files.storage("", settings.folder / FILES)
    with closing(sqlite3.connect(draft)) as database, database:
        if not _has_table(database, "files"):  # an old version's
            return
        database.execute("CREATE TABLE stored (key TEXT NOT NULL, part BLOB NOT NULL)")
        for key, is_image in database.execute(
            "SELECT key, width IS NOT NULL FROM files"
        ).fetchall():
            try:
                for each in (key, key + files.SMALL)[: 1 + is_image]:
                    with stored.open(each) as source:
                        while part := source.read(PART_BYTES):
                            database.execute("INSERT INTO stored VALUES (?, ?)", (each, part))
            except NotFound:  # erased since the copy was made, and so it is in the backup
                database.execute("DELETE FROM files WHERE key = ?", [key])


def _put_bytes_back(draft: Path, settings: Settings) -> None:
    """Take the bytes of files out of a copy of a backup into the storage, before anybody sees their
    rows. If the restore then fails, they are pruned."""
    stored = files.storage(settings.files_url, settings.folder / FILES)
    with closing(sqlite3.connect(draft)) as database:
        if not _has_table(database, "stored"):
            return
        rows = database.execute("SELECT key, part FROM stored ORDER BY rowid")
        with tempfile.TemporaryDirectory(dir=arriving(settings.folder)) as place:
            for key, parts in groupby(rows, itemgetter(0)):
                if not files.OURS.fullmatch(key):
                    raise click.ClickException(f"The backup has a file with a wrong key: {key!r}.")
                arrived = Path(place, key)
                with arrived.open("wb") as target:
                    target.writelines(part for _, part in parts)
                stored.put(key, arrived)
        database.execute("DROP TABLE stored")
        database.execute("VACUUM")


# Secrets ---------------------------------------------------------------------------------------


def _keep_secrets(draft: Path, settings: Settings) -> None:
    files = [settings.folder / name for name in KEPT]
    rows = [(file.name, file.read_text(encoding="ascii")) for file in files if file.exists()]
    with closing(sqlite3.connect(draft)) as database, database:
        database.execute("CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        database.executemany("INSERT INTO secrets VALUES (?, ?)", rows)


def _take_secrets(draft: Path) -> dict[str, str]:
    """Take the secrets out of a copy of a backup. It has none if none were asked for."""
    with closing(sqlite3.connect(draft)) as database:
        if not _has_table(database, "secrets"):
            return {}
        kept = dict(database.execute("SELECT name, value FROM secrets"))
        database.execute("PRAGMA secure_delete=ON")
        database.execute("DROP TABLE secrets")
        database.commit()
    return {name: value for name, value in kept.items() if name in KEPT}


def _put_secrets(kept: dict[str, str], settings: Settings, aside: str) -> None:
    for name, value in kept.items():
        file = settings.folder / name
        with _draft(file) as draft:
            draft.write_text(value, encoding="ascii")
            if file.exists() and file.read_text(encoding="ascii") != value:
                file.replace(f"{file}{aside}")
            draft.replace(file)
