"""What docs/moving.md shows is typed here: pg_dump keeps a database, pg_restore brings it back."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, insert, select

from config import ROOT, Settings
from database import init_db, utcnow, writing_on
from models import Event
from tests.conftest import application
from tests.support.conversations import changes, found, now
from tests.support.people import (
    CHEAP_HASH,
    ChatServer,
    InProcess,
    events,
    looking_into,
    refused,
)
from tests.support.servers import HOST, Postgres
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow

(DUMP, RESTORE) = re.findall(
    r"```sh\n(.*?)```",
    (ROOT / "docs/moving.md").read_text(encoding="utf-8").partition("## Back up PostgreSQL")[2],
    re.DOTALL,
)


def use_up_numbers(url: str, until: int) -> None:
    loop = f"WHILE pg_current_xact_id()::text::bigint <= {until} LOOP COMMIT; END LOOP;"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DO $$ BEGIN {loop} END $$".encode())


@pytest.fixture
def original(postgres: Postgres, tmp_path: Path) -> Iterator[Settings]:
    url = postgres.create_database()
    use_up_numbers(url, 20_000)
    settings = Settings(instance_path=str(tmp_path), database_url=url, password_hash=CHEAP_HASH)
    init_db(settings)
    yield settings
    postgres.drop_database(url)


@pytest.fixture(params=["a new server", "the same server"])
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Postgres]:
    """Where the dump is restored."""
    with ExitStack() as stack:
        same = request.param == "the same server"
        yield postgres if same else stack.enter_context(Postgres())


@pytest.fixture
def typed(original: Settings, server: Postgres, tmp_path: Path) -> Callable[[str], None]:
    """Runs commands of the page."""
    programs = f"{Path(sys.executable).parent}:{server._program('initdb').parent}"
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "FLASK_APP": str(ROOT / "app.py"),
        "PGHOST": HOST,
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "INSTANCE_PATH": str(tmp_path),
        "DATABASE_URL": original.database_url,
        "RESTORED_URL": server.url("restored"),
    }

    def run(commands: str) -> None:
        script = ["sh", "-euc", commands]
        end = subprocess.run(
            script, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True
        )
        assert end.returncode == 0, end.stdout + end.stderr

    return run


def test_a_dump_is_restored_on_any_server(
    original: Settings, server: Postgres, typed: Callable[[str], None]
) -> None:
    with application(original) as app:
        api = InProcess(app)
        ada, bob = api.sign_up("ada"), api.sign_up("bob")
        chat: dict[str, Any] = ada.asks(bob).json
        sent = [ada.said(chat, f"number {number}") for number in range(5)]
        since = now(bob)
        typed(DUMP)
        ada.said(chat, "after the backup")
        before = [each["id"] for each in events(original)]

    typed(RESTORE)

    restored = replace(original, database_url=server.url("restored"))
    waiting = [each["id"] for each in events(restored)]
    assert waiting == before[: len(waiting)]
    assert len(waiting) == len(before) - 2, "all but those of the last message"
    env = {"INSTANCE_PATH": original.instance_path, "DATABASE_URL": restored.database_url}
    with StubPusher() as stub, ChatServer("flask", **env, **stub.env) as chat_server:
        ada, bob = (replace(each, api=chat_server.api) for each in (ada, bob))
        assert ada.reads(chat).json == sent
        assert found(bob, "number 3") == ["number 3"]
        refused(bob.get("/api/sync", since=since), 400, "invalid")
        current = now(bob)
        new = ada.said(chat, "after the restore")
        assert changes(bob, current)["messages"] == [new]

        def told(heard: list[Any]) -> list[int]:
            of_chat = [each for each in heard if each["channel"] == chat["channel_name"]]
            return [each["data"]["id"] for each in of_chat]

        heard = stub.wait_for(lambda heard: new["id"] in told(heard))
    assert told(heard) == [each["id"] for each in [*sent, new]]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE restored WITH (FORCE)")


def test_numbers_of_another_server_keep_their_order(original: Settings) -> None:
    """Some are lower than what this server has counted to, and some are not."""
    numbers = {1: 10**12 + 1, 2: 10**12, 3: 5, 4: 10**12 + 1}
    row = {"channel": "c", "name": "n", "data": "{}", "created_at": utcnow()}
    with looking_into(original) as connection, writing_on(connection):
        rows = [row | {"id": id_, "transaction_id": each} for id_, each in numbers.items()]
        connection.execute(insert(Event), rows)

    init_db(original)

    with looking_into(original) as connection:
        ids = select(Event.id).order_by(Event.transaction_id, Event.id)
        assert list(connection.scalars(ids)) == [3, 2, 1, 4]
        assert connection.scalar(select(func.max(Event.transaction_id))) == 0
