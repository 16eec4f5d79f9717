"""What the deliveries make of a Pusher server, and a database, that fail them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import psycopg
import pytest
from filelock import FileLock
from flask import Flask
from sqlalchemy import Connection, Engine, event

from config import Settings
from database import db, writing_on
from realtime.delivery import PROBE, TRIES, TRIES_IF_UNCLEAR
from realtime.lease import LEASE
from realtime.outbox import STOP_SECONDS, Outbox, State
from realtime.servers import TIMEOUT_SECONDS
from tests.support.conversations import (
    delete,
    holding,
    meanwhile,
    postgresql_only,
    sqlite_only,
    wait_for_waiting,
)
from tests.support.deliveries import delivering, heard, record, wait_for_texts
from tests.support.people import Api, Person, looking_into, stored
from tests.support.servers import eventually
from tests.support.stub_pusher import Event as Heard
from tests.support.stub_pusher import Mode, StubPusher

FAULTS: list[Mode] = [mode for mode in get_args(Mode) if mode not in ("ok", "drip")]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.delivery.FIRST_DELAY", 0.02)
    monkeypatch.setattr("realtime.delivery.LAST_DELAY", 0.05)
    monkeypatch.setattr("realtime.outbox.LOOK_SECONDS", 0.05)


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def outbox(app: Flask, stub: StubPusher) -> Iterator[Outbox]:
    with delivering(app, stub) as outbox:
        yield outbox
        stub.mode = "ok"  # nothing hangs when it is to stop


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """What has been logged with these words."""
    caplog.set_level(logging.INFO)
    return lambda words: [line for line in caplog.messages if words in line]


def events(api: Api) -> dict[str, Any]:
    told: dict[str, Any] = api.get("/health").json["events"]
    return told


def is_bad(event: Heard) -> bool:
    return event["name"] == "new_message" and event["data"]["message"] == "bad"


# The database takes no writes -----------------------------------------------------------------


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where `on_loss` may note that it was called; the database is soon given up."""
    monkeypatch.setattr("realtime.outbox.STANDBY_SECONDS", 0.05)
    monkeypatch.setattr("database.BUSY_SECONDS", 0.2)
    return []


@pytest.mark.slow
@sqlite_only
def test_deliveries_are_booked_once_the_database_takes_writes(
    app: Flask,
    stub: StubPusher,
    settings: Settings,
    lines: Callable[[str], list[str]],
    lost: list[str],
) -> None:
    """And meanwhile the lease is kept, so that nobody is sent away."""
    with delivering(app, stub, on_loss=lambda: lost.append("lost")):
        stub.delay = 2
        record(app, ("channel", 1))
        stub.wait_for(lambda events: len(events) == 1)
        with looking_into(settings) as other, writing_on(other):
            assert eventually(lambda: bool(lines("lost the database; events wait")))

        assert eventually(lambda: not stored(settings, "events")["events"])
        assert eventually(lambda: bool(lines("has the database back")))
        assert lost == []
        record(app, ("channel", 2))
        stub.wait_for(lambda events: len(events) == 2)

    assert heard(stub.events, "channel") == [1, 2]


@pytest.mark.slow
@sqlite_only
def test_a_stop_does_not_wait_for_a_locked_database(
    app: Flask,
    stub: StubPusher,
    settings: Settings,
    lines: Callable[[str], list[str]],
    lost: list[str],
) -> None:
    with delivering(app, stub, on_loss=lambda: lost.append("lost")) as outbox:
        stub.delay = 2
        record(app, ("channel", 1))
        stub.wait_for(lambda events: len(events) == 1)
        with looking_into(settings) as other, writing_on(other):
            assert eventually(lambda: bool(lines("lost the database; events wait")))
            started = time.monotonic()

            outbox.stop()

            assert time.monotonic() - started < STOP_SECONDS
            assert lost == ["lost"]

    assert len(stored(settings, "events")["events"]) == 1, "it is told again"


@sqlite_only
def test_standby_does_not_report_the_database_back(
    app: Flask, stub: StubPusher, lines: Callable[[str], list[str]], lost: list[str]
) -> None:
    """On SQLite the lease is a file of its own, which says nothing about the database."""
    with app.app_context():
        engine = db.engine
    with connections_failing(engine), delivering(app, stub) as outbox:
        assert eventually(lambda: outbox.state is State.NO_DATABASE)
        with FileLock(f"{engine.url.database}.lease"):  # as another process would hold it
            assert eventually(lambda: outbox.state is State.STANDBY)
        assert eventually(lambda: outbox.state is State.NO_DATABASE)

        assert lines("has the database back") == []
        assert len(lines("lost the database")) == 1


@contextmanager
def connections_failing(engine: Engine) -> Iterator[None]:
    """Have each new connection of the engine fail."""

    def fail(_connection: Connection) -> None:
        raise OSError("the disk is gone")

    event.listen(engine, "engine_connect", fail)
    try:
        yield
    finally:
        event.remove(engine, "engine_connect", fail)


@postgresql_only
def test_erasing_and_booking_a_refusal_do_not_deadlock(
    app: Flask,
    stub: StubPusher,
    settings: Settings,
    ada: Person,
    chat: dict[str, Any],
    lines: Callable[[str], list[str]],
) -> None:
    said = ada.said(chat, "bad")
    stub.refuse(is_bad)
    lock = "SELECT id FROM events WHERE name = 'new_message' FOR UPDATE"
    with holding(settings, lock) as let_go, meanwhile(lambda: delete(ada, said)) as erasing:
        wait_for_waiting(settings)
        with delivering(app, stub):
            wait_for_waiting(settings, 2)
            let_go()

            assert erasing.result().status == 200
            assert eventually(lambda: not stored(settings, "events")["events"])

    assert not lines("lost the database")


# The server is away --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_messages_sent_during_an_outage_arrive_after_it(
    fault: Mode,
    stub: StubPusher,
    outbox: Outbox,
    settings: Settings,
    api: Api,
    ada: Person,
    chat: dict[str, Any],
    lines: Callable[[str], list[str]],
) -> None:
    stub.wait_for(lambda events: len(events) == 1)
    stub.mode = fault
    for number in range(3):
        ada.said(chat, f"{number}")
    enough = 1 if fault == "hang" else 10
    assert eventually(lambda: stub.requests > enough), "tried again and again"
    assert events(api)["waiting"] == 6
    stub.mode = "ok"
    ada.said(chat, "3")

    wait_for_texts(stub, chat, ["0", "1", "2", "3"])

    assert eventually(lambda: not stored(settings, "events")["events"])
    assert set(stub.max_in_flight_by_channel.values()) == {1}
    assert not lines("A delivery failed"), "foreseen"


def test_waiting_events_are_delivered_when_the_server_starts(
    stub: StubPusher, outbox: Outbox, app: Flask
) -> None:
    stub.pause()
    channels = [f"channel-{number}" for number in range(10)]
    record(app, *((channel, number) for number in range(40) for channel in channels))

    stub.resume()

    told = stub.wait_for(lambda events: len(events) >= 400, 30)
    for channel in channels:
        assert heard(told, channel) == list(range(40))


@pytest.mark.slow
def test_a_silent_server_is_not_waited_for(
    stub: StubPusher,
    outbox: Outbox,
    ada: Person,
    chat: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.servers.TIMEOUT_SECONDS", 0.1)
    stub.mode = "hang"

    ada.said(chat, "0")  # no hanging server keeps her from that

    assert eventually(lambda: stub.requests > 5)
    stub.mode = "ok"
    wait_for_texts(stub, chat, ["0"])


def test_an_answer_that_drips_is_not_waited_for(
    stub: StubPusher,
    outbox: Outbox,
    ada: Person,
    chat: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.servers.CALL_SECONDS", 0.3)
    stub.wait_for(lambda events: len(events) == 1)
    stub.mode = "drip"
    ada.said(chat, "0")
    assert eventually(lambda: stub.requests > 3), "tried again and again"

    stub.mode = "ok"  # from the next request on; the others drip on

    wait_for_texts(stub, chat, ["0"])


def test_a_stop_does_not_wait_for_a_silent_server(
    stub: StubPusher, app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.STOP_SECONDS", 0.3)
    stub.mode = "hang"
    record(app, ("channel", 1))
    with delivering(app, stub) as outbox:
        assert eventually(lambda: stub.requests == 1)
        started = time.monotonic()

        outbox.stop()

        assert time.monotonic() - started < TIMEOUT_SECONDS / 2
        assert len(stored(settings, "events")["events"]) == 1, "it is told again"
        stub.mode = "ok"
        assert eventually(lambda: all(each.name != "outbox" for each in threading.enumerate()))


def test_unanswered_events_are_told_again_in_order(
    stub: StubPusher, app: Flask, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("realtime.servers.TIMEOUT_SECONDS", 0.1)
    stub.delay = 0.3
    record(app, *(("c", number) for number in range(15)))

    with delivering(app, stub):
        stub.wait_for(lambda events: len(events) >= 20)
        stub.delay = 0
        told = stub.wait_for(lambda events: len(heard(events, "c")) == 15)
        assert eventually(lambda: not stored(settings, "events")["events"])

    assert heard(told, "c") == list(range(15))
    assert len(told) > 15


def test_an_outage_logs_its_beginning_and_end_once(
    stub: StubPusher, outbox: Outbox, app: Flask, lines: Callable[[str], list[str]]
) -> None:
    stub.mode = "503"
    record(app, *((f"channel-{number}", number) for number in range(100)))
    assert eventually(lambda: stub.requests > 10)
    stub.mode = "ok"
    stub.wait_for(lambda events: len(heard(events, "channel-99")) == 1)

    assert eventually(lambda: len(lines("is back")) == 1)
    assert len(lines("is away")) == 1
    assert len(lines("")) == 2


def test_wrong_keys_are_an_outage(
    stub: StubPusher, outbox: Outbox, api: Api, ada: Person, chat: dict[str, Any]
) -> None:
    stub.wait_for(lambda events: len(events) == 1)
    right, stub.secret = stub.secret, "wrong"
    for number in range(3):
        ada.said(chat, f"{number}")
    assert eventually(lambda: stub.requests > 3 * TRIES_IF_UNCLEAR)
    assert (events(api)["waiting"], events(api)["set_aside"]) == (6, 0)

    stub.secret = right

    wait_for_texts(stub, chat, ["0", "1", "2"])


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_server_that_refuses_everything_is_an_outage(
    status: int,
    stub: StubPusher,
    outbox: Outbox,
    api: Api,
    ada: Person,
    chat: dict[str, Any],
) -> None:
    stub.wait_for(lambda events: len(events) == 1)
    stub.refuse(lambda event: True, status)
    for number in range(3):
        ada.said(chat, f"{number}")
    assert eventually(lambda: stub.requests > 6 * TRIES_IF_UNCLEAR)
    assert (events(api)["waiting"], events(api)["set_aside"]) == (6, 0)

    stub.refuse(lambda event: False)

    wait_for_texts(stub, chat, ["0", "1", "2"])
    assert events(api)["set_aside"] == 0


# An event is bad -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 422, 403, 500])
def test_a_bad_event_set_aside_stops_no_other(
    status: int,
    stub: StubPusher,
    outbox: Outbox,
    app: Flask,
    api: Api,
    ada: Person,
    bob: Person,
    eve: Person,
    chat: dict[str, Any],
    lines: Callable[[str], list[str]],
) -> None:
    stub.refuse(is_bad, status)
    others = ada.asks(eve).json

    for text in ("one", "bad", "two"):
        ada.said(chat, text)
        ada.said(others, text if text != "bad" else "good")

    wait_for_texts(stub, chat, ["one", "two"])
    wait_for_texts(stub, others, ["one", "good", "two"])
    assert eventually(lambda: events(api)["waiting"] == 0)
    assert events(api)["set_aside"] == 1
    assert eventually(lambda: len(lines("is set aside")) == 1)
    listed = app.test_cli_runner().invoke(args=["events", "list"]).output.splitlines()
    assert "This event is refused" in listed[0]
    assert str(status) in listed[0] or status == 403
    assert listed[-1] == "0 waiting, 1 set aside."


def test_a_bad_event_is_tried_a_few_times(
    stub: StubPusher, outbox: Outbox, api: Api, ada: Person, chat: dict[str, Any]
) -> None:
    refused = []

    def refuse(event: Heard) -> bool:
        if is_bad(event):
            refused.append(event)
        return is_bad(event)

    stub.refuse(refuse)

    ada.said(chat, "bad")

    assert eventually(lambda: events(api)["set_aside"] == 1)
    assert len(refused) == TRIES + 1, "once in a batch, then by itself"


def test_an_event_refused_for_a_while_keeps_its_place(
    stub: StubPusher, outbox: Outbox, api: Api, ada: Person, chat: dict[str, Any]
) -> None:
    refusals = iter(range(2))
    stub.refuse(lambda event: is_bad(event) and next(refusals, None) is not None)
    stub.pause()
    for text in ("one", "bad", "two"):
        ada.said(chat, text)

    stub.resume()

    wait_for_texts(stub, chat, ["one", "bad", "two"])
    assert events(api)["set_aside"] == 0


def test_only_the_bad_event_of_a_batch_waits(stub: StubPusher, app: Flask) -> None:
    stub.refuse(lambda event: event["data"] == 5)
    record(app, *((f"channel-{number}", number) for number in range(10)))

    with delivering(app, stub):
        told = stub.wait_for(lambda events: any(event["data"] == 9 for event in events))

    told = [event for event in told if event["channel"] != PROBE["channel"]]
    assert [event["data"] for event in told] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert len({event["request"] for event in told}) == 9, "one by one"


def test_an_event_set_aside_can_be_delivered_later(
    stub: StubPusher,
    outbox: Outbox,
    app: Flask,
    api: Api,
    ada: Person,
    chat: dict[str, Any],
) -> None:
    stub.refuse(is_bad)
    ada.said(chat, "bad")
    assert eventually(lambda: events(api)["set_aside"] == 1)

    stub.refuse(lambda event: False)
    app.test_cli_runner().invoke(args=["events", "retry"])

    wait_for_texts(stub, chat, ["bad"])
    assert eventually(lambda: events(api)["waiting"] == events(api)["set_aside"] == 0)


# The database is away ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True, scope="session")
def test_deliveries_go_on_after_their_connection_is_lost(
    stub: StubPusher,
    outbox: Outbox,
    settings: Settings,
    ada: Person,
    chat: dict[str, Any],
    lines: Callable[[str], list[str]],
) -> None:
    url = settings.url.set(drivername="postgresql").render_as_string(hide_password=False)
    holder = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks, pg_database"
        " WHERE locktype = 'advisory' AND objid = %s AND database = pg_database.oid"
        " AND datname = current_database()"
    )
    for number in range(2):
        ada.said(chat, f"{number}")
        wait_for_texts(stub, chat, [f"{each}" for each in range(number + 1)])
        with psycopg.connect(url, autocommit=True) as connection:
            assert eventually(lambda: connection.execute(holder, [LEASE]).fetchone() == (1,))
    ada.said(chat, "2")

    wait_for_texts(stub, chat, ["0", "1", "2"])

    assert eventually(lambda: len(lines("has the database back")) == 2)
    assert len(lines("lost the database")) == 2
