"""One process delivers at a time, and it is replaced when it no longer moves."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from database import db
from realtime.delivery import Batch, Courier
from realtime.lease import Lease, Lost
from realtime.servers import Server
from tests.support.conversations import postgresql_only
from tests.support.deliveries import wait_for_texts
from tests.support.people import ChatServer, looking_into
from tests.support.servers import HOST, eventually
from tests.support.stub_pusher import StubPusher


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def serve(
    start: Callable[..., ChatServer],
    stub: StubPusher,
    new_database: Callable[[Path], str],
    tmp_path: Path,
) -> Callable[[str], ChatServer]:
    """Starts a server, each on the same database."""
    url = new_database(tmp_path)
    return lambda program: start(program, DATABASE_URL=url, **stub.env)


def signal_all(server: ChatServer, what: signal.Signals) -> None:
    assert server.process
    os.killpg(server.process.pid, what)


# Frozen --------------------------------------------------------------------------------------


@pytest.mark.slow
@postgresql_only
def test_a_frozen_process_is_replaced_and_fits_in_again(
    serve: Callable[[str], ChatServer], stub: StubPusher
) -> None:
    first = serve("gunicorn")
    ada, bob = first.api.sign_up("ada"), first.api.sign_up("bob")
    chat = ada.asks(bob).json
    stub.wait_for(lambda events: len(events) == 1)  # so the first one delivers
    second = serve("gunicorn")
    ada_at_second = replace(ada, api=second.api)
    ada_at_second.said(chat, "0")
    wait_for_texts(stub, chat, ["0"])
    assert eventually(lambda: not second.api.get("/health").json["events"]["waiting"])

    signal_all(first, signal.SIGSTOP)
    try:
        for number in range(1, 4):
            ada_at_second.said(chat, f"{number}")
        wait_for_texts(stub, chat, ["0", "1", "2", "3"])
        assert "It is replaced." in second.log.read_text()
    finally:
        signal_all(first, signal.SIGCONT)

    ada.said(chat, "4")
    ada_at_second.said(chat, "5")
    wait_for_texts(stub, chat, ["0", "1", "2", "3", "4", "5"])
    assert len(stub.events) == 1 + 2 * 6, "each once"
    assert eventually(lambda: "has the database back" in first.log.read_text())


@pytest.mark.slow
@postgresql_only
def test_a_frozen_request_holds_no_event_back(
    serve: Callable[[str], ChatServer], stub: StubPusher, settings: Settings
) -> None:
    server = serve("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json
    ada.said(chat, "0")
    wait_for_texts(stub, chat, ["0"])
    url = server.settings["DATABASE_URL"]
    with looking_into(replace(settings, database_url=url)) as frozen:
        # As a connection of the API's is, whose process has stopped in the middle of a transaction.
        frozen.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10s'"))
        frozen.execute(text("SELECT pg_current_xact_id()"))

        ada.said(chat, "1")
        wait_for_texts(stub, chat, ["0", "1"])
        frozen.invalidate()


# The number ----------------------------------------------------------------------------------


@pytest.fixture
def lease(app: Flask) -> Iterator[Lease]:
    with app.app_context():
        lease = Lease(db.engine)
    assert lease.acquire()
    yield lease
    lease.release()


@postgresql_only
@pytest.mark.parametrize("booking", [False, True])
def test_a_later_number_ends_the_right_to_deliver(
    booking: bool, lease: Lease, settings: Settings
) -> None:
    lease.check(booking=booking)
    assert lease.connection
    lease.connection.rollback()

    with looking_into(settings) as connection:
        connection.execute(text("UPDATE fences SET number = number + 1"))
        connection.commit()

    with pytest.raises(Lost):
        lease.check(booking=booking)


@postgresql_only
def test_each_holder_has_a_number_of_its_own(lease: Lease, app: Flask, settings: Settings) -> None:
    def number() -> Any:
        with looking_into(settings) as connection:
            return connection.execute(text("SELECT number FROM fences")).scalar_one()

    first = number()
    with app.app_context():
        other = Lease(db.engine)
    assert other.acquire() is None
    assert number() == first

    lease.release()

    assert other.acquire()
    assert number() == first + 1
    other.release()


@pytest.mark.parametrize("refusals", [0, 1], ids=["together", "singly"])
def test_a_courier_sends_nothing_without_the_lease(refusals: int, stub: StubPusher) -> None:
    server = Server(stub.app_id, stub.key, stub.secret, host=HOST, port=stub.port, ssl=False)
    courier = Courier(server.client, lambda *_: {}, Flag(), lambda: False)
    told = {"channel": "c", "name": "told", "data": "1", "socket_id": None}
    event: Any = SimpleNamespace(id=1, refusals=refusals, **told)
    batch = Batch([event])

    courier.deliver(batch)

    assert stub.requests == 0
    assert not batch.arrived
    assert not batch.outage
