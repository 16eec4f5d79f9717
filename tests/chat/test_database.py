"""How the database is made, connected to and kept whole, and what requests ask of it."""

import shutil
import socket
import stat
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.ctx import AppContext
from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import create_app
from chat.index import UNINDEXED
from config import Settings
from database import db, engine_options, init_db, writing
from migrations import DatabaseError
from tests.support.conversations import block, postgresql_only, statements
from tests.support.interruptions import interrupting
from tests.support.people import (
    CHEAP_HASH,
    Answer,
    ChatServer,
    InProcess,
    Person,
    Program,
    at_once,
    fill,
    looking_into,
    python,
    refused,
    runtime_of,
    stored,
)
from tests.support.servers import HOST, IN_CI, Postgres, require

Chat = dict[str, Any]
INIT = "import warnings; warnings.simplefilter('error'); from database import init_db; init_db()"
PROCESSES = 6 if IN_CI else 3


@pytest.fixture
def nowhere(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings for a database without tables. On SQLite there is not even the file."""
    folder = tmp_path / "instance"
    if backend == "sqlite":
        return Settings(instance_path=str(folder), password_hash=CHEAP_HASH)
    postgres: Postgres = request.getfixturevalue("postgres")
    return Settings(
        instance_path=str(folder),
        database_url=postgres.create_database(),
        password_hash=CHEAP_HASH,
    )


def given(settings: Settings) -> dict[str, str]:
    """The environment of a process that is to use the database."""
    return {"INSTANCE_PATH": settings.instance_path, "DATABASE_URL": settings.database_url}


# init_db ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_processes_at_once_make_one_database(nowhere: Settings, tmp_path: Path) -> None:
    ends = at_once(PROCESSES, lambda _: python("-c", INIT, cwd=tmp_path, env=given(nowhere)))

    assert ends == [(0, "")] * PROCESSES
    assert set(stored(nowhere)) >= {"users", "sessions", "channels", "messages", "events"}
    assert [path.name for path in tmp_path.iterdir()] in ([], ["instance"])


def test_a_new_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # the folder was there before
    settings = Settings(instance_path=str(tmp_path))

    init_db(settings)

    with looking_into(settings):
        files = list(tmp_path.glob("chat.db*"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    assert {mode for name, mode in modes.items() if "lock" not in name} == {0o600}, modes


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "chat.db").symlink_to(tmp_path / "not mounted" / "chat.db")

    with pytest.raises(DatabaseError, match="prepared: No such file or directory"):
        init_db(Settings(instance_path=str(tmp_path)))


def test_init_db_run_again_keeps_everything(settings: Settings, ada: Person, chat: Chat) -> None:
    ada.said(chat, "Still here")
    before = stored(settings)

    init_db(settings)

    assert stored(settings) == before


def test_a_database_of_a_newer_version_is_refused(nowhere: Settings) -> None:
    init_db(nowhere)
    with looking_into(nowhere) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()

    with pytest.raises(DatabaseError, match=r"9999.* newer version .*\.$"):
        init_db(nowhere)

    with ChatServer(**given(nowhere)) as server:
        answer = server.api.get("/health")
        assert "newer version" in refused(answer, 503, "unavailable")


def test_a_server_makes_a_missing_database_by_itself(nowhere: Settings, backend: str) -> None:
    program: Program = "flask" if backend == "sqlite" else "gunicorn"

    with ChatServer(program, **given(nowhere)) as server:
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        message = ada.said(ada.asks(bob).json, "Hello")
        server.restart()

        assert bob.reads({"channel_name": message["channel"]}).json == [message]


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    run = app.test_cli_runner().invoke(args=["db", "check"])

    assert run.exit_code == 0, run.output


def test_both_databases_have_the_same_tables(
    backend: str, settings: Settings, tmp_path: Path
) -> None:
    def shape(of: Settings) -> dict[str, Any]:
        with looking_into(of) as connection:
            seen = inspect(connection)
            return {
                table: (
                    sorted((each["name"], each["nullable"]) for each in seen.get_columns(table)),
                    sorted(tuple(u["column_names"]) for u in seen.get_unique_constraints(table)),
                    sorted(
                        tuple(key["constrained_columns"]) for key in seen.get_foreign_keys(table)
                    ),
                )
                for table in seen.get_table_names()
            }

    other = Settings(instance_path=str(tmp_path))
    init_db(other)

    tables = shape(settings)
    assert {name: tables.get(name) for name in ("users", "channels", "messages", "sessions")} == {
        name: shape(other)[name] for name in ("users", "channels", "messages", "sessions")
    }


def test_a_database_that_does_not_answer_is_a_503(tmp_path: Path) -> None:
    secret = "a-secret-of-the-tests"
    url = f"postgresql://nobody:{secret}@127.0.0.1:1/chat"

    with ChatServer(INSTANCE_PATH=str(tmp_path), DATABASE_URL=url) as server:
        answers = [server.api.get("/health"), server.api.login("ada")]
        log = server.log.read_text()

    for answer in answers:
        message = refused(answer, 503, "unavailable")
        assert answer.headers["x-request-id"] in message
        assert answer.headers["x-request-id"] in log
        assert secret not in message
    assert secret not in log


@pytest.mark.slow
def test_first_requests_wait_together_for_a_mute_database(
    tmp_path: Path,
) -> None:
    """Connections to it succeed, but it says nothing."""
    with socket.create_server((HOST, 0)) as mute:
        url = f"postgresql://nobody@{HOST}:{mute.getsockname()[1]}/chat"
        api = InProcess(create_app(Settings(instance_path=str(tmp_path), database_url=url)))

        answers = at_once(8, lambda _: api.get("/health"))

        mute.setblocking(False)
        tries = 0
        with ExitStack() as stack, suppress(BlockingIOError):
            while True:
                stack.enter_context(mute.accept()[0])
                tries += 1
    assert [answer.status for answer in answers] == [503] * 8
    assert tries <= 3


def test_first_requests_may_come_at_once(nowhere: Settings) -> None:
    app = create_app(nowhere)

    found = at_once(8, lambda _: InProcess(app).get("/health").status)

    assert found == [200] * 8
    runtime_of(app).outbox.stop()
    runtime_of(app).metrics.close()
    with app.app_context():
        db.engine.dispose()


def test_a_postgresql_gone_silent_is_noticed_within_seconds(postgres: Postgres) -> None:
    settings = Settings(database_url=postgres.create_database())
    engine = create_engine(settings.url, **engine_options(settings))
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        parameters = driver.info.get_parameters()
    engine.dispose()

    assert int(parameters["tcp_user_timeout"]) <= 10_000
    waits = [int(parameters[f"keepalives_{each}"]) for each in ("idle", "interval", "count")]
    assert waits[0] + waits[1] * waits[2] <= 10


@pytest.mark.parametrize("path", ["/api/users", "/api/get_message/{}", "/api/blocks"])
def test_a_request_needs_a_single_connection(
    make_api: Callable[..., InProcess], ada: Person, chat: Chat, path: str
) -> None:
    api = make_api(database_pool_size=1)
    with api.app.app_context():
        engine = db.engine
    mine = replace(ada, api=api)
    path = path.format(chat["channel_id"])
    taken = most = 0
    asking = threading.current_thread()

    def count(change: int) -> None:
        nonlocal taken, most
        if threading.current_thread() is asking:  # housekeeping has one of its own
            taken += change
            most = max(most, taken)

    event.listen(engine, "checkout", lambda *_: count(1))
    event.listen(engine, "checkin", lambda *_: count(-1))

    assert mine.get(path).status == 200
    assert most == 1


def test_no_more_connections_are_kept_than_configured(context: AppContext) -> None:
    kept = engine_options(Settings())["pool_size"]

    with ExitStack() as stack:
        for _ in range(kept + 5):
            stack.enter_context(db.engine.connect())

    assert db.engine.pool.checkedin() == kept  # type: ignore[attr-defined]


def test_an_unfinished_transaction_ends_with_its_context(
    app: Flask, settings: Settings, ada: Person, bob: Person
) -> None:
    with app.app_context():
        db.session.connection(execution_options={"writes": True})
        db.session.execute(text(f"INSERT INTO blocks VALUES ({ada.id}, {bob.id})"))

    assert block(bob, ada).status == 204  # it does not wait for a lock
    assert stored(settings, "blocks")["blocks"] == [(bob.id, ada.id)]


@postgresql_only
def test_lost_connections_to_postgresql_are_replaced(settings: Settings, ada: Person) -> None:
    assert ada.get("/api/me").status == 200
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with looking_into(settings) as connection:
        ended = connection.scalars(
            text(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {others}")
        ).all()
    assert ended

    assert ada.get("/api/me").status == 200


@postgresql_only
def test_a_login_that_loses_the_database_says_so(
    app: Flask, settings: Settings, api: InProcess
) -> None:
    api.register("ada")

    def cut_off(connection: Connection) -> None:
        own = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        with looking_into(settings) as another:
            another.execute(text("SELECT pg_terminate_backend(:own, 10000)"), {"own": own})

    with interrupting(app, "FROM users", cut_off, when="before"):
        answer = api.login("ada")

    refused(answer, 503, "unavailable")
    assert api.login("ada").status == 200


def test_errors_quote_no_values_of_statements(context: AppContext) -> None:
    with pytest.raises(DBAPIError) as failure:
        db.session.execute(text("SELECT :value FROM nowhere"), {"value": "a secret"})

    assert "nowhere" in str(failure.value)
    assert "a secret" not in str(failure.value)


def test_a_context_within_another_leaves_its_transaction_alone(
    app: Flask, context: AppContext, make_api: Callable[..., InProcess], ada: Person, bob: Person
) -> None:
    other = make_api().app
    blocks = text("SELECT count(*) FROM blocks")
    with writing():
        opened = db.session.connection()
        db.session.execute(text(f"INSERT INTO blocks VALUES ({ada.id}, {bob.id})"))

        with other.app_context():
            assert db.session.connection().engine is db.engine is not opened.engine
            assert db.session.scalar(blocks) == 0
        with app.app_context():
            assert db.session.connection().engine is opened.engine
            assert db.session.connection() is not opened
            assert db.session.scalar(blocks) == 0

        assert db.session.connection() is opened
        assert db.session.scalar(blocks) == 1


# Constraints -----------------------------------------------------------------------------------

NOW = "'2026-11-22 09:30:00.000000'"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET username_key = 'bob' WHERE username = 'ada'",
        "UPDATE channels SET low_id = high_id, high_id = low_id",
        "UPDATE channels SET low_id = high_id",
        "UPDATE channels SET high_id = 999999999",
        "UPDATE messages SET sender_id = 999999999",
        "UPDATE messages SET channel_id = 999999999",
        "UPDATE messages SET client_message_id = 'same'",
        "UPDATE sessions SET user_id = 999999999",
        "DELETE FROM channels",
        "DELETE FROM users",
        "UPDATE messages SET text = NULL",
        "UPDATE users SET username = NULL WHERE username = 'ada'",
    ],
)
def test_the_database_itself_refuses_broken_rows(
    settings: Settings, ada: Person, chat: Chat, statement: str
) -> None:
    ada.said(chat, "one")
    ada.said(chat, "two")

    with looking_into(settings) as connection, pytest.raises(IntegrityError):
        connection.execute(text(statement))


def test_a_pair_has_one_row(settings: Settings, ada: Person, eve: Person, chat: Chat) -> None:
    ada.asks(eve)
    again = f"UPDATE channels SET high_id = {chat['to_user']} WHERE high_id = {eve.id}"

    with looking_into(settings) as connection, pytest.raises(IntegrityError):
        connection.execute(text(again))


def test_ids_are_never_used_again(settings: Settings, ada: Person, bob: Person, chat: Chat) -> None:
    message = ada.said(chat, "Hello")
    with looking_into(settings) as connection:
        for table in ("events", "messages", "channels", "sessions", "name_words", "users"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.commit()

    carol, dave = (ada.api.sign_up(name) for name in ("carol", "dave"))
    anew = carol.said(carol.asks(dave).json, "Hello")

    assert carol.id > bob.id
    assert anew["channel_id"] > chat["channel_id"]
    assert anew["id"] > message["id"]


# Durability ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_every_connection_of_sqlite_is_durable(context: AppContext) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(db.engine.connect()) for _ in range(5)]
        for connection in connections:
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
            assert found == ["wal", 2, 1]


class Strace:
    @classmethod
    def lacks(cls) -> str | None:
        return None if shutil.which("strace") else "strace is missing (Debian: strace)"


class Watched(ChatServer):
    """A server whose calls of fsync are recorded."""

    def command(self) -> list[str | Path]:
        watch = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(self.calls)]
        return [*watch, *super().command()]

    @property
    def calls(self) -> Path:
        return self.directory / "calls"

    @property
    def syncs(self) -> int:
        return self.calls.read_text().count("sync(")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_every_acknowledged_message_was_synced_to_the_disk(backend: str, tmp_path: Path) -> None:
    require(Strace())
    with Watched(INSTANCE_PATH=str(tmp_path)) as server:
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json

        for number in range(20):
            before = server.syncs
            ada.said(chat, f"number {number}")
            assert server.syncs > before
        server.kill()


# Work ------------------------------------------------------------------------------------------


PAGES: dict[str, Callable[[Person, Chat, int], Answer]] = {
    "the newest": lambda ada, chat, middle: ada.reads(chat, limit=50),
    "before": lambda ada, chat, middle: ada.reads(chat, before=middle),
    "after": lambda ada, chat, middle: ada.reads(chat, after=middle),
    "around": lambda ada, chat, middle: ada.reads(chat, around=middle),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_history_takes_four_statements(
    app: Flask, settings: Settings, ada: Person, chat: Chat, page: str
) -> None:
    fill(settings, ada, chat, 200)
    middle = ada.reads(chat, limit=100).json[0]["id"]

    with statements(app) as asked:
        answer = PAGES[page](ada, chat, middle)

    assert len(answer.json) == 50
    assert len(asked) == 4, asked


def test_a_message_takes_five_statements_and_indexing_two_more(
    app: Flask, ada: Person, bob: Person, chat: Chat
) -> None:
    def asked_by(text: str, **members: Any) -> int:
        with statements(app) as asked:
            assert ada.says(chat, text, **members).status == 201
        return len(asked)

    for members in ({}, {"client_message_id": "c1"}, {"to_user": bob.id, "from_user": ada.id}):
        assert asked_by("Hello", **members) == 5
    assert asked_by("x" * UNINDEXED) == 7


def test_the_caller_is_found_in_one_statement(app: Flask, ada: Person) -> None:
    with statements(app) as asked:
        ada.get("/api/me")

    assert len(asked) == 1, asked


def test_long_histories_are_found_by_an_index(settings: Settings) -> None:
    with looking_into(settings) as connection:
        indexes = [index["column_names"] for index in inspect(connection).get_indexes("messages")]

    assert ["channel_id", "id"] in indexes
