"""Deliveries over processes that start, stop, are killed and share a database."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from database import init_db
from tests.support.conversations import sqlite_only
from tests.support.deliveries import heard, wait_for_texts
from tests.support.people import Api, ChatServer, Person, python, stored
from tests.support.servers import IN_CI, Postgres, eventually
from tests.support.stub_pusher import Event as Heard
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow

KILLS = 20 if IN_CI else 2
Serve = Callable[..., ChatServer]


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def settings(new_database: Callable[[Path], str], tmp_path: Path) -> Settings:
    return Settings(instance_path=str(tmp_path), database_url=new_database(tmp_path))


@pytest.fixture
def serve(start: Serve, stub: StubPusher, settings: Settings) -> Serve:
    """Starts a server, each on the same database."""
    env = {"INSTANCE_PATH": settings.instance_path, "DATABASE_URL": settings.database_url}
    return lambda program="flask": start(program, **env, **stub.env)


def a_chat(server: ChatServer) -> tuple[Person, Person, dict[str, Any]]:
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    return ada, bob, ada.asks(bob).json


def ids(events: list[Heard], chat: dict[str, Any]) -> list[int]:
    return [data["id"] for data in heard(events, chat["channel_name"])]


def nothing_waits(api: Api) -> bool:
    events: dict[str, int] = api.get("/health").json["events"]
    return not events["waiting"]


# Killed --------------------------------------------------------------------------------------


def test_a_killed_server_neither_loses_nor_disorders_events(serve: Serve, stub: StubPusher) -> None:
    server = serve()
    ada, bob, chat = a_chat(server)
    acknowledged: list[int] = []
    numbers = count()

    def send(person: Person) -> None:
        with suppress(OSError, HTTPException):
            while True:
                acknowledged.append(person.said(chat, f"{next(numbers)}")["id"])

    for _ in range(KILLS):
        enough = len(acknowledged) + random.randint(1, 30)
        with ThreadPoolExecutor(2) as pool:
            sending = [pool.submit(send, person) for person in (ada, bob)]
            assert eventually(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
            server.kill()
        for each in sending:
            each.result()
        server.start()

    assert eventually(lambda: nothing_waits(server.api))
    history = [message["id"] for message in ada.reads(chat).json]
    assert len(acknowledged) >= KILLS
    assert set(acknowledged) <= set(history)
    told = stub.events
    assert ids(told, chat) == history, "of each message that is stored, and of no other"
    for person in (ada, bob):
        channel = f"private-notification_user_{person.id}"
        notices = [data["message"]["id"] for data in heard(told, channel) if "message" in data]
        assert notices == sorted(notices)
        assert len(notices) == sum(m["to_user"] == person.id for m in ada.reads(chat).json)


def test_two_processes_deliver_in_turn(serve: Serve, stub: StubPusher) -> None:
    first = serve()
    ada, bob, chat = a_chat(first)
    stub.wait_for(lambda events: len(events) == 1)  # so the first one delivers
    second = serve("gunicorn")
    stub.delay = 0.02

    def write(writer: tuple[ChatServer, Person]) -> None:
        server, person = writer
        for number in range(10):
            replace(person, api=server.api).said(chat, f"{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [(server, p) for server in (first, second) for p in (ada, bob)]))
    told = stub.wait_for(lambda events: len(ids(events, chat)) == 40)
    assert ids(told, chat) == sorted(ids(told, chat))
    assert set(stub.max_in_flight_by_channel.values()) == {1}

    stub.pause()
    last = [ada.said(chat, "while the server is away")["id"] for _ in range(3)]
    first.kill()
    stub.resume()
    last.append(replace(ada, api=second.api).said(chat, "from the one that is left")["id"])

    told = stub.wait_for(lambda events: len(ids(events, chat)) == 44)
    assert ids(told, chat)[40:] == last
    assert eventually(lambda: nothing_waits(second.api))


# Stopped -------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_a_stopping_server_finishes_the_batch_in_flight(
    program: str, serve: Serve, stub: StubPusher, settings: Settings
) -> None:
    server = serve(program)
    ada, _, chat = a_chat(server)
    assert eventually(lambda: nothing_waits(server.api))
    stub.delay = 1
    ada.said(chat, "the last words")
    stub.wait_for(lambda events: len(events) == 3)  # taken, but not answered
    process = server.process
    assert process

    server.stop()

    assert process.returncode == 0
    assert stored(settings, "events")["events"] == []


# Started -------------------------------------------------------------------------------------


@pytest.fixture
def left(serve: Serve, stub: StubPusher) -> dict[str, Any]:
    """A chat in which something was said by a process that was killed before it was told."""
    stub.pause()
    server = serve()
    ada, _, chat = a_chat(server)
    ada.said(chat, "hi")
    server.kill()
    stub.resume()
    return chat


def test_any_first_request_delivers_a_killed_servers_events(
    left: dict[str, Any], serve: Serve, stub: StubPusher
) -> None:
    server = serve()
    assert stub.requests == 0

    assert server.api.get("/api/users").status == 401

    wait_for_texts(stub, left, ["hi"])


def test_gunicorn_delivers_a_killed_servers_events_unasked(
    left: dict[str, Any], serve: Serve, stub: StubPusher
) -> None:
    serve("gunicorn")

    wait_for_texts(stub, left, ["hi"])


@sqlite_only
def test_only_a_server_delivers_events(
    left: dict[str, Any], stub: StubPusher, settings: Settings
) -> None:
    threads = "import app, threading; print('threads:', threading.active_count())"
    flask = ("-m", "flask", "--app", "app.py")
    env = {"INSTANCE_PATH": settings.instance_path, "DATABASE_URL": settings.database_url}
    for arguments, typed in (
        (("-c", threads), ""),
        ((*flask, "shell"), threads),
        ((*flask, "db", "current"), ""),
        ((*flask, "events", "list"), ""),
    ):
        end, said = python(*arguments, typed=typed, env=env | stub.env)
        assert end == 0, said
        if threads in (*arguments, typed):
            assert "threads: 1\n" in said

    assert len(stored(settings, "events")["events"]) == 3
    assert stub.requests == 0


def test_the_reloader_leaves_deliveries_to_its_child(stub: StubPusher) -> None:
    with ChatServer("flask --debug", **stub.env) as server:
        a_chat(server)
        stub.wait_for(lambda events: len(events) == 1)

        assert server.process
        threads = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        assert len(threads) == 1
        server.kill()


# The database away ---------------------------------------------------------------------------


def test_events_go_out_though_postgresql_starts_after_gunicorn(stub: StubPusher) -> None:
    with Postgres() as postgres:
        url = postgres.create_database()
        init_db(Settings(database_url=url))
        stub.pause()
        with ChatServer("gunicorn", DATABASE_URL=url, **stub.env) as server:
            ada, _, chat = a_chat(server)
            ada.said(chat, "hi")
            server.kill()
            stub.resume()
            postgres.stop()

            server.start()
            assert eventually(lambda: "the database failed" in server.log.read_text())
            postgres.start()

            wait_for_texts(stub, chat, ["hi"])


def test_deliveries_go_on_after_postgresql_was_restarted(stub: StubPusher) -> None:
    with Postgres() as postgres:
        url = postgres.create_database()
        init_db(Settings(database_url=url))
        with ChatServer("flask", DATABASE_URL=url, **stub.env) as server:
            ada, _, chat = a_chat(server)
            stub.pause()
            ada.said(chat, "before")

            postgres.restart()
            stub.resume()

            wait_for_texts(stub, chat, ["before"])
            assert eventually(lambda: ada.says(chat, "after").status == 201)
            wait_for_texts(stub, chat, ["before", "after"])
            assert "Traceback" not in server.log.read_text()
