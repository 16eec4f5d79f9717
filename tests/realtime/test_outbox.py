"""Events are recorded with what they tell of, and delivered in order."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from database import db
from realtime import backlog
from realtime.delivery import BATCH, batches
from realtime.outbox import COURIERS, Outbox, State
from tests.support.conversations import asked, sqlite_only
from tests.support.deliveries import delivering, heard, record, wait_for_texts, without_power
from tests.support.people import Api, Person, looking_into, stored
from tests.support.servers import PATIENCE, Postgres, eventually
from tests.support.stub_pusher import StubPusher

EVENT_BYTES = 10_240  # as hosted Channels have it
POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def outbox(app: Flask, stub: StubPusher) -> Iterator[Outbox]:
    with delivering(app, stub) as outbox:
        yield outbox


def waiting(settings: Settings) -> int:
    return len(stored(settings, "events")["events"])


# Recording -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/request_chat", "/api/send_message"])
def test_a_failed_commit_leaves_neither_row_nor_event(
    path: str, app: Flask, settings: Settings, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    before = stored(settings)

    with without_power(app):
        body = {"to_user": bob.id, "channel": chat["channel_name"], "message": "hi"}
        answer = ada.post(path, body)

    assert answer.status == 500
    assert stored(settings) == before


def test_a_retried_message_records_nothing(
    settings: Settings, ada: Person, chat: dict[str, Any]
) -> None:
    ada.said(chat, "hi", client_message_id="1")
    before = stored(settings, "events")
    assert before["events"], "the first one records"

    assert ada.says(chat, "hi", client_message_id="1").status == 200

    assert stored(settings, "events") == before


# Delivering ----------------------------------------------------------------------------------


def test_both_channels_are_told_of_a_message(
    outbox: Outbox, stub: StubPusher, ada: Person, chat: dict[str, Any]
) -> None:
    message = ada.said(chat, "¿Qué tal? 🎈")

    events = stub.wait_for(lambda events: len(events) == 3)
    assert {event["name"] for event in events} == {"new_chat", "new_message"}
    assert heard(events, chat["channel_name"], "new_message") == [message]
    notified = heard(events, chat["to_user_notification_channel"], "new_chat")
    assert notified == [chat, {**chat, "message": message}]


def test_events_that_were_taken_are_removed(
    outbox: Outbox,
    stub: StubPusher,
    settings: Settings,
    api: Api,
    ada: Person,
    chat: dict[str, Any],
) -> None:
    ada.said(chat, "hi")

    stub.wait_for(lambda events: len(events) == 3)
    assert eventually(lambda: waiting(settings) == 0)
    told = {"waiting": 0, "oldest_seconds": 0.0, "set_aside": 0}
    assert api.get("/health").json["events"] == told


@pytest.mark.parametrize(
    ("header", "left_out"),
    [("123.456", "123.456"), (" 123.456\t", "123.456"), ("123.456:private-x", None)],
)
def test_x_socket_id_leaves_one_connection_out(
    header: str,
    left_out: str | None,
    outbox: Outbox,
    stub: StubPusher,
    ada: Person,
    bob: Person,
) -> None:
    headers = {"X-Socket-ID": header}
    chat = ada.asks(bob, headers=headers).json

    body = {"channel": chat["channel_name"], "message": "hi"}
    assert ada.post("/api/send_message", body, headers=headers).status == 201

    events = stub.wait_for(lambda events: len(events) == 3)
    assert [event["socket_id"] for event in events] == [left_out] * 3


@pytest.mark.parametrize(
    "message",
    ["🎈" * 5000, '"' * 5000, "\\\n" * 2500, "中" * 3000, "中" * 5000, "a🎈" * 2500, "ab" * 2500],
    ids=["emoji", "quotes", "newlines", "CJK", "more CJK", "letters and emoji", "letters"],
)
def test_every_kind_of_text_arrives_and_fits(
    message: str, outbox: Outbox, stub: StubPusher, ada: Person, chat: dict[str, Any]
) -> None:
    whole = ada.said(chat, message)

    events = stub.wait_for(lambda events: len(events) == 3)
    [told] = heard(events, chat["channel_name"])
    notice = heard(events, chat["to_user_notification_channel"])[1]
    for cut, envelope in ((told, whole), (notice["message"], {**chat, "message": whole})):
        if encoded(envelope) <= EVENT_BYTES:
            assert cut == whole
        else:
            expected = {**whole, "message": cut["message"], "truncated": True}
            assert cut == expected
            assert message.startswith(cut["message"])
            character = message[len(cut["message"])]
            data = expected if envelope is whole else {**chat, "message": expected}
            assert 0 <= EVENT_BYTES - encoded(data) < encoded(character) - 2, "the longest prefix"
    if message == "中" * 3000:
        assert "truncated" not in told


def encoded(data: Any) -> int:
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


# Order ---------------------------------------------------------------------------------------


def test_each_channel_hears_many_writers_in_order(
    outbox: Outbox,
    stub: StubPusher,
    settings: Settings,
    ada: Person,
    bob: Person,
    eve: Person,
) -> None:
    stub.delay = 0.01
    chats = [ada.asks(bob).json, eve.asks(bob).json]
    writers = [(ada, chats[0]), (bob, chats[0]), (eve, chats[1]), (bob, chats[1])] * 2

    def write(writer: tuple[Person, dict[str, Any]]) -> list[int]:
        person, chat = writer
        return [person.said(chat, f"{number}")["id"] for number in range(6)]

    with ThreadPoolExecutor(len(writers)) as pool:
        written = list(pool.map(write, writers))

    events = stub.wait_for(lambda events: len(events) == 2 + 2 * 6 * len(writers), 30)
    for chat in chats:
        told = [data["id"] for data in heard(events, chat["channel_name"])]
        assert len(told) == 24
        assert told == sorted(told)
    told = [data["message"]["id"] for data in heard(events, bob_hears(chats[0]))[2:]]
    for (person, _), ids in zip(writers, written, strict=True):
        if person is not bob:
            assert [number for number in told if number in ids] == ids
    assert set(stub.max_in_flight_by_channel.values()) == {1}


def bob_hears(chat: dict[str, Any]) -> str:
    channel: str = chat["to_user_notification_channel"]
    return channel


def test_batches_for_different_channels_are_in_flight_together(
    app: Flask, stub: StubPusher
) -> None:
    stub.delay = 0.3
    channels = [f"channel-{number}" for number in range(2 * COURIERS)]
    record(app, *((channel, number) for number in range(10) for channel in channels))

    with delivering(app, stub):
        events = stub.wait_for(lambda events: len(events) == 10 * len(channels))

    assert 1 < stub.max_in_flight <= COURIERS
    assert set(stub.max_in_flight_by_channel.values()) == {1}
    assert all(heard(events, channel) == list(range(10)) for channel in channels)
    assert stub.requests == len(events) / BATCH, "full batches"


def test_the_long_queue_of_a_channel_delays_no_other(
    app: Flask, stub: StubPusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(app, *(("long", number) for number in range(2 * COURIERS * BATCH)), ("short", 1))
    stub.mode = "hang"
    monkeypatch.setattr("realtime.outbox.LOOK_SECONDS", 60)

    with delivering(app, stub):
        assert eventually(lambda: stub.max_in_flight == 2)
        assert set(stub.max_in_flight_by_channel) == {"long", "short"}
        monkeypatch.undo()
        stub.mode = "ok"
        stub.wait_for(lambda events: len(heard(events, "long")) == 2 * COURIERS * BATCH)


def test_the_next_batch_follows_the_first_at_once(
    app: Flask, stub: StubPusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.LOOK_SECONDS", 60)
    record(app, *(("only", number) for number in range(3 * BATCH)))

    with delivering(app, stub):
        events = stub.wait_for(lambda events: len(heard(events, "only")) == 3 * BATCH)

    assert heard(events, "only") == list(range(3 * BATCH))


def test_batches_of_ten_keep_each_channel_together() -> None:
    for channels in (1, 2, 3, 7, 25, 200):
        rows: list[Any] = [
            SimpleNamespace(id=n, channel=f"channel-{n * n % channels}") for n in range(200)
        ]

        made = batches(rows, 4)

        assert 1 <= len(made) <= 4
        assert all(0 < len(batch) <= BATCH for batch in made)
        for channel in {row.channel for row in rows}:
            of_channel = [[row.id for row in batch if row.channel == channel] for batch in made]
            [ids] = [ids for ids in of_channel if ids] or [[]]
            assert ids == [row.id for row in rows if row.channel == channel][: len(ids)]
    assert batches([], 4) == []
    assert len(batches(rows[:2], 4)) == 1, "not a call for each channel"
    rows = [SimpleNamespace(id=n, channel=f"channel-{n % 20}") for n in range(80)]
    assert len(batches(rows, 8)) == 8, "not one event of each channel"


@POSTGRESQL
def test_the_earlier_event_of_a_slower_transaction_comes_first(
    outbox: Outbox, stub: StubPusher, app: Flask, settings: Settings
) -> None:
    insert = (
        "INSERT INTO events (transaction_id, channel, name, data, created_at, refusals)"
        " VALUES (CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), 'c', 'told', '1', now(), 0)"
    )

    with looking_into(settings) as slow:
        slow.execute(text(insert))
        record(app, ("c", 2))
        with asked(app) as made:
            # The outbox looks again by itself. A third look follows the end of the second.
            assert eventually(lambda: sum("FROM events" in each for each, _ in made) >= 3)
        assert stub.events == []
        slow.commit()

    assert heard(stub.wait_for(lambda events: len(events) == 2), "c") == [1, 2]


@pytest.fixture
def write_elsewhere(postgres: Postgres) -> Iterator[None]:
    """A transaction that has written to another database of the same server, and is left open."""
    with psycopg.connect(postgres.create_database()) as connection:
        connection.execute("CREATE TABLE something (id integer)")
        yield
        connection.rollback()


@POSTGRESQL
def test_a_transaction_left_open_is_named_with_its_age(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.backlog.HELD_BACK_SECONDS", 1)
    with looking_into(settings) as slow:
        pid = slow.execute(text("SELECT pg_backend_pid(), pg_current_xact_id()")).one()[0]

        def named() -> bool:
            with app.app_context():
                return any(
                    f"process {pid} has a transaction open for" in r for r in backlog.reasons()
                )

        assert eventually(named)
        slow.rollback()
        assert not named()


@POSTGRESQL
def test_a_write_to_another_database_holds_no_event_back(
    write_elsewhere: None, outbox: Outbox, stub: StubPusher, ada: Person, chat: dict[str, Any]
) -> None:
    ada.said(chat, "hi")

    wait_for_texts(stub, chat, ["hi"])


@POSTGRESQL
def test_a_write_to_another_database_keeps_sync_from_nothing(
    write_elsewhere: None, ada: Person, chat: dict[str, Any]
) -> None:
    since = ada.get("/api/sync").json["cursor"]

    message = ada.said(chat, "hi")

    assert ada.get("/api/sync", since=since).json["messages"] == [message]


# Fork ----------------------------------------------------------------------------------------


@sqlite_only
def test_a_forked_child_delivers_after_its_parent(
    app: Flask, stub: StubPusher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.STANDBY_SECONDS", 0.05)
    with delivering(app, stub) as outbox:
        record(app, ("c", 1))
        assert eventually(lambda: waiting(settings) == 0)
        the_end, end = os.pipe()

        child = os.fork()
        if child == 0:  # no assert in here: it would run the parent's tests a second time
            outbox.stop()  # what it has inherited is the parent's
            outbox.start()
            outbox.wait(PATIENCE)
            stood_by = outbox.state is State.STANDBY
            os.read(the_end, 1)
            outbox.stop()
            os._exit(0 if stood_by else 1)

        record(app, ("c", 2))
        stub.wait_for(lambda events: len(events) == 2)
        outbox.stop()
        record(app, ("c", 3))
        assert heard(stub.wait_for(lambda events: len(events) == 3), "c") == [1, 2, 3]
        os.write(end, b".")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(the_end)
        os.close(end)


# flask events --------------------------------------------------------------------------------


def flask_events(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["events", *arguments])
    return result.exit_code, result.output


def set_aside(app: Flask, reason: str) -> list[int]:
    """Set all events aside; their ids."""
    with app.app_context(), db.engine.begin() as connection:
        ids = [row.id for row in backlog.waiting(connection, [], 10)]
        for each in ids:
            backlog.set_aside(connection, each, reason)
    return ids


def test_events_set_aside_are_listed_and_counted(app: Flask, api: Api) -> None:
    record(app, ("c", 1), ("d", 2))
    first, second = set_aside(app, "413: too large")
    record(app, ("c", 3))

    code, output = flask_events(app, "list")

    assert code == 0
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:2]] == [str(first), str(second)]
    assert lines[0].endswith("told  c  413: too large")
    assert lines[2] == "1 waiting, 2 set aside."
    events = api.get("/health").json["events"]
    assert (events["waiting"], events["set_aside"]) == (1, 2)
    assert events["oldest_seconds"] > 0


def test_events_set_aside_can_be_tried_again(app: Flask, stub: StubPusher) -> None:
    record(app, ("c", 1), ("d", 2), ("e", 3))
    ids = set_aside(app, "413: too large")

    with delivering(app, stub):
        assert flask_events(app, "retry", str(ids[1])) == (0, "1 to be tried again.\n")
        [event] = stub.wait_for(lambda events: len(events) == 1)
        assert event["data"] == 2
        assert flask_events(app, "retry") == (0, "2 to be tried again.\n")
        stub.wait_for(lambda events: len(events) == 3)


def test_an_event_can_be_dropped(app: Flask, settings: Settings) -> None:
    record(app, ("c", 1), ("c", 2))
    first, second = set_aside(app, "413: too large")

    assert flask_events(app, "drop", str(second))[0] == 1, "nobody said yes"
    assert flask_events(app, "drop", str(first), "--yes") == (0, "Dropped.\n")

    assert [event[0] for event in stored(settings, "events")["events"]] == [second]


@pytest.mark.parametrize("verb", [["retry"], ["drop", "--yes"]])
def test_an_unknown_event_is_named(verb: list[str], app: Flask) -> None:
    assert flask_events(app, *verb, "7") == (1, "Error: There is no event 7.\n")
