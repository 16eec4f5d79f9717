"""A database is kept whole: by a clean stop, in a backup, and after a restore."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event as Signal

import pytest

from app import create_app
from config import ROOT, Settings
from database import db, init_db
from realtime.lease import lock_of
from tests.api.test_files import bytes_of, kept, picture, sent
from tests.support.conversations import Chat, Message, changes, delete, now, ok, postgresql_only
from tests.support.people import ChatServer, Person, Program, refused, stored
from tests.support.servers import PATIENCE, eventually


def messages_in(file: Path) -> int:
    """How many messages a database file has, alone and as it is."""
    alone = file.with_name(f"{file.name}.alone")
    shutil.copy(file, alone)
    with closing(sqlite3.connect(f"file:{alone}?immutable=1", uri=True)) as copy:
        (count,) = copy.execute("SELECT count(*) FROM messages").fetchone()
    alone.unlink()
    return int(count)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The instance folder of a server that was stopped; its database has five messages."""
    folder = tmp_path / "instance"
    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        say(server, 5)
    return folder


def say(server: ChatServer, count: int) -> tuple[Person, Person, Chat]:
    """Have two new people, of whom ada says so much to bob."""
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    chat = ada.asks(bob).json
    for number in range(count):
        ada.said(chat, f"number {number}")
    return ada, bob, chat


def flask(folder: Path, *arguments: str, typed: str = "") -> tuple[int, str]:
    """How a command of `flask` ends, and what it says."""
    return run(Settings(instance_path=str(folder)), *arguments, typed=typed)


def run(settings: Settings, *arguments: str, typed: str = "") -> tuple[int, str]:
    app = create_app(settings)
    end = app.test_cli_runner().invoke(args=arguments, input=typed)
    with app.app_context():
        db.engine.dispose()
    assert isinstance(end.exception, SystemExit | None), end.exception
    return end.exit_code, end.output


def done(end: tuple[int, str]) -> str:
    assert end[0] == 0, end
    return end[1]


def fails(end: tuple[int, str]) -> str:
    """Why a command refused, in a sentence."""
    status, said = end
    assert status != 0
    return said


# A clean stop ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("program", ["flask", "gunicorn", "gunicorn --workers 4"])
def test_a_clean_stop_leaves_one_file(program: Program, tmp_path: Path) -> None:
    with ChatServer(program, INSTANCE_PATH=str(tmp_path)) as server:
        say(server, 40)

        server.stop()

    assert not list(tmp_path.glob("chat.db-*"))
    assert messages_in(tmp_path / "chat.db") == 40


# flask backup ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_backup_of_a_busy_server_is_whole(tmp_path: Path) -> None:
    folder, file, stop = tmp_path / "instance", tmp_path / "backup", Signal()
    with ChatServer(INSTANCE_PATH=str(folder), RATELIMIT_ENABLED="false") as server:
        ada, _, chat = say(server, 20)

        def talk() -> None:
            while not stop.is_set():
                ada.said(chat, "Hello")

        with ThreadPoolExecutor() as pool:
            talking = pool.submit(talk)
            done(flask(folder, "backup", str(file)))
            stop.set()
            talking.result()

    assert 20 <= messages_in(file) < messages_in(folder / "chat.db")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"instance", "backup"}


@pytest.mark.slow
def test_a_backup_replaces_another_if_told_to(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("the one of yesterday")

    assert "Replace" in fails(flask(folder, "backup", str(file), typed="n\n"))
    assert file.read_text() == "the one of yesterday"

    done(flask(folder, "backup", str(file), "--yes"))
    assert messages_in(file) == 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.slow
def test_what_a_killed_backup_left_is_removed(folder: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    left = draft_of_a_killed_backup(folder, backups)

    done(flask(folder, "backup", str(backups / "first")))
    assert left.exists(), "it could be of a backup that is under way"

    os.utime(left, (0, 0))
    done(flask(folder, "backup", str(backups / "second")))
    assert {each.name for each in backups.iterdir()} == {"first", "second"}


def draft_of_a_killed_backup(folder: Path, backups: Path) -> Path:
    command = [sys.executable, "-m", "flask", "backup", str(backups / "killed")]
    environ = {**os.environ, "INSTANCE_PATH": str(folder), "FLASK_SKIP_DOTENV": "1"}
    for _ in range(20):
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not any(backups.iterdir()):
                time.sleep(0.0005)
            process.kill()
        left = [each for each in backups.iterdir() if each.name.startswith(".")]
        if left:
            return left[0]
        (backups / "killed").unlink()
    raise AssertionError("No backup was slow enough to be killed.")


@pytest.mark.slow
def test_a_broken_database_is_not_backed_up(folder: Path, tmp_path: Path) -> None:
    database, file = folder / "chat.db", tmp_path / "backup"
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2])

    fails(flask(folder, "backup", str(file)))
    fails(flask(folder, "backup", str(database), "--yes"))
    fails(flask(folder, "backup", str(tmp_path / "no" / "folder")))

    assert [each.name for each in tmp_path.iterdir()] == ["instance"]


@pytest.mark.parametrize("own", ["chat.db", "chat.db-wal", "jwt_secret_key"])
def test_a_backup_takes_no_place_of_the_server(folder: Path, own: str) -> None:
    said = fails(flask(folder, "backup", str(folder / own), "--yes"))

    assert ("file of the server" in said, messages_in(folder / "chat.db")) == (True, 5)


@postgresql_only
def test_postgresql_is_left_to_its_own_tools(settings: Settings) -> None:
    for command in ("backup", "restore"):
        assert "pg_dump" in fails(run(settings, command, str(ROOT / "README.md"), "--yes"))


# flask restore ---------------------------------------------------------------------------------


@pytest.fixture
def backup(folder: Path, tmp_path: Path) -> Path:
    """A backup with two secrets in it."""
    file = tmp_path / "backup"
    done(flask(folder, "backup", str(file), "--secrets"))
    return file


@pytest.mark.slow
def test_a_restore_brings_back_what_was_there(folder: Path, backup: Path) -> None:
    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada, bob = (server.api.sign_in(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        ada.said(chat, "since")
        cursor = now(ada)

        assert "running" in fails(flask(folder, "restore", str(backup), "--yes"))
        assert len(bob.reads(chat).json) == 6

    assert "Replace" in fails(flask(folder, "restore", str(backup), typed="n\n"))
    assert messages_in(folder / "chat.db") == 6
    said = done(flask(folder, "restore", str(backup), typed="y\n"))

    assert "before" in said
    (old,) = folder.glob("chat.db.before-*")
    assert messages_in(old) == 6
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "chat.db").stat().st_mode) == 0o600
    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada, bob = (server.api.sign_in(name) for name in ("ada", "bob"))
        assert len(bob.reads(chat).json) == 5
        new = now(bob)
        for number in range(8):
            ada.said(chat, f"after {number}")
            refused(ada.get("/api/sync", since=cursor), 400, "invalid")
        assert len(changes(bob, new)["messages"]) == 8


@pytest.mark.slow
def test_a_stopped_worker_is_not_overlooked(folder: Path, backup: Path) -> None:
    """One that does not deliver has no lease, but has the database open."""
    with closing(sqlite3.connect(folder / "chat.db")) as other:
        other.execute("SELECT count(*) FROM messages").fetchone()
        before = sorted(each.name for each in folder.iterdir())

        assert "running" in fails(flask(folder, "restore", str(backup), "--yes"))

    assert sorted(each.name for each in folder.iterdir() if "db-" not in each.name) == [
        name for name in before if "db-" not in name
    ]


@pytest.mark.slow
def test_a_stale_log_does_not_poison_the_restored(folder: Path, backup: Path) -> None:
    with ChatServer("gunicorn", INSTANCE_PATH=str(folder)) as server:
        ada, bob = (server.api.sign_in(name) for name in ("ada", "bob"))
        ada.said(ada.asks(bob).json, "Only in the log")
        server.kill()
    with lock_of(str(folder / "chat.db")).acquire(PATIENCE):
        pass  # the system takes the lease from a killed process a moment later
    assert (folder / "chat.db-wal").stat().st_size
    shutil.copy(backup, folder / "chat.db")

    done(flask(folder, "restore", str(backup), "--yes"))

    assert not list(folder.glob("chat.db-*"))
    assert messages_in(folder / "chat.db") == 5
    assert len(list(folder.glob("chat.db.before-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("there", [None, b"no database at all"])
def test_a_restore_replaces_what_cannot_be_read(
    folder: Path, backup: Path, there: bytes | None
) -> None:
    database = folder / "chat.db"
    database.unlink()
    if there is not None:
        database.write_bytes(there)

    done(flask(folder, "restore", str(backup), "--yes"))

    assert messages_in(database) == 5
    kept = [each.read_bytes() for each in folder.glob("chat.db.before-*")]
    assert kept == ([] if there is None else [there])
    assert there is not None or stat.S_IMODE(database.stat().st_mode) == 0o600


@pytest.mark.slow
def test_an_unfit_backup_changes_nothing(folder: Path, backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE messages (id)")
    with closing(sqlite3.connect(tmp_path / "hollow")) as hollow:
        hollow.execute("CREATE TABLE alembic_version AS SELECT '0001' AS version_num")
    unfit = {name: (tmp_path / name).read_bytes() for name in ("other", "hollow")}
    unfit |= {"half": whole[: len(whole) // 2], "text": b"Hello", "empty": b""}
    before = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}

    for name, content in unfit.items():
        (tmp_path / name).write_bytes(content)
        fails(flask(folder, "restore", str(tmp_path / name), "--yes"))

    assert {e.name: e.read_bytes() for e in folder.iterdir() if e.is_file()} == before


@pytest.mark.slow
def test_secrets_come_back_if_asked_for(folder: Path, backup: Path, tmp_path: Path) -> None:
    made = {each.name: each.read_text() for each in folder.iterdir() if each.name in NAMES}
    assert set(made) == NAMES
    new = tmp_path / "new"

    done(flask(new, "restore", str(backup), "--yes"))
    assert not NAMES & {each.name for each in new.iterdir()}
    (new / "jwt_secret_key").write_text("a" * 64)
    done(flask(new, "restore", str(backup), "--yes", "--secrets"))

    assert {name: (new / name).read_text() for name in NAMES} == made
    (old,) = new.glob("jwt_secret_key.before-*")
    assert old.read_text() == "a" * 64
    assert "secrets" not in str(stored(Settings(instance_path=str(new))))
    assert made["jwt_secret_key"].encode() not in (new / "chat.db").read_bytes()
    with ChatServer(INSTANCE_PATH=str(new)) as server:
        assert server.api.sign_in("ada").id == 1


NAMES = {"jwt_secret_key", "embedded_app_id", "embedded_key", "embedded_secret"}


@pytest.mark.slow
def test_a_backup_without_secrets_has_none(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    done(flask(folder, "backup", str(file)))

    assert (folder / "jwt_secret_key").read_bytes() not in file.read_bytes()
    assert "no secrets" in fails(flask(folder, "restore", str(file), "--yes", "--secrets"))


# Files -----------------------------------------------------------------------------------------


@pytest.fixture
def with_files(tmp_path: Path) -> tuple[Path, Message, Message]:
    """A stopped server's folder, and its messages with a picture and with a file."""
    folder = tmp_path / "instance"
    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada, _, chat = say(server, 1)
        photo = sent(ada.sends(chat, "photo.png", picture()))
        notes = sent(ada.sends(chat, "notes.txt", b"x" * 3_000_000))
    return folder, photo, notes


@pytest.mark.slow
def test_a_backup_has_the_bytes_of_files(
    with_files: tuple[Path, Message, Message], tmp_path: Path
) -> None:
    folder, photo, notes = with_files
    file, new = tmp_path / "backup", tmp_path / "new"
    done(flask(folder, "backup", str(file), "--secrets"))

    done(flask(new, "restore", str(file), "--yes", "--secrets"))

    with ChatServer(INSTANCE_PATH=str(new)) as server:
        bob = server.api.sign_in("bob")
        assert bytes_of(bob, photo).body == picture()
        assert bytes_of(bob, photo, "/thumbnail").status == 200
        assert bytes_of(bob, notes).body == b"x" * 3_000_000
    assert not stored(Settings(instance_path=str(new))).keys() & {"stored", "secrets"}
    assert (new / "chat.db").stat().st_size < 1_000_000
    assert not list((new / "arriving").iterdir())


@pytest.mark.slow
def test_a_restore_brings_back_erased_files(
    with_files: tuple[Path, Message, Message], tmp_path: Path
) -> None:
    folder, photo, notes = with_files
    file = tmp_path / "backup"
    done(flask(folder, "backup", str(file)))
    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada = server.api.sign_in("ada")
        ok(delete(ada, notes))
        sent(ada.sends({"channel_name": photo["channel"]}, "since.txt", b"since"))
        assert eventually(lambda: len(kept(Settings(instance_path=str(folder)))) == 3)

    done(flask(folder, "restore", str(file), "--yes"))

    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada = server.api.sign_in("ada")
        assert bytes_of(ada, notes).body == b"x" * 3_000_000
        assert bytes_of(ada, photo).body == picture()
    assert len(kept(Settings(instance_path=str(folder)))) == 4  # one of them to be pruned


@pytest.mark.slow
def test_bytes_that_are_gone_are_left_out(
    with_files: tuple[Path, Message, Message], tmp_path: Path
) -> None:
    """As if the message had been erased while the backup was made."""
    folder, photo, _ = with_files
    shutil.rmtree(folder / "files")

    done(flask(folder, "backup", str(tmp_path / "backup")))
    done(flask(folder, "restore", str(tmp_path / "backup"), "--yes"))

    with ChatServer(INSTANCE_PATH=str(folder)) as server:
        ada = server.api.sign_in("ada")
        said = ada.reads({"channel_name": photo["channel"]}).json
    assert [(each["type"], each["file"]) for each in said[1:]] == [("Image", None), ("File", None)]


@pytest.mark.slow
def test_a_backup_writes_nowhere_else(
    with_files: tuple[Path, Message, Message], tmp_path: Path
) -> None:
    folder, _, _ = with_files
    file = tmp_path / "backup"
    done(flask(folder, "backup", str(file)))
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE stored SET key = '../../../escaped'")
        database.commit()
    before = (folder / "chat.db").read_bytes()

    assert "wrong key" in fails(flask(folder, "restore", str(file), "--yes"))

    assert not list(tmp_path.rglob("escaped"))
    assert (folder / "chat.db").read_bytes() == before


# /health ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("there", [b"no database at all", None])
def test_an_unreadable_database_is_no_health(tmp_path: Path, there: bytes | None) -> None:
    settings = Settings(instance_path=str(tmp_path))
    init_db(settings)
    database = tmp_path / "chat.db"
    half = database.read_bytes()[:8_192]
    with ChatServer(INSTANCE_PATH=str(tmp_path)) as server:
        database.write_bytes(half if there is None else there)

        refused(server.api.get("/health"), 503, "unavailable")
