"""Writers that keep each other waiting keep nobody else waiting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from sqlite3 import connect

import psycopg
import pytest

from config import load
from tests.support.conversations import postgresql_only, sqlite_only
from tests.support.people import ChatServer


@pytest.mark.abuse
@sqlite_only
def test_writers_that_await_their_turn_hold_no_slot(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json
    database = connect(str(load(server.settings).url.database), isolation_level=None)

    with closing(database), ThreadPoolExecutor(40) as pool:
        database.execute("BEGIN IMMEDIATE")
        sends = [pool.submit(ada.says, chat, f"number {number}") for number in range(40)]
        answers = [bob.get("/api/me").status for _ in range(5)]
        still_waiting = sum(not send.done() for send in sends)
        database.execute("ROLLBACK")

    assert answers == [200] * 5
    assert still_waiting == 40
    assert [send.result().status for send in sends] == [201] * 40


@pytest.mark.abuse
@postgresql_only
def test_writers_that_await_a_row_leave_slots_to_others(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json

    with (
        psycopg.connect(server.settings["DATABASE_URL"]) as database,
        ThreadPoolExecutor(40) as pool,
    ):
        database.execute("SELECT FROM channels WHERE id = %s FOR UPDATE", [chat["channel_id"]])
        sends = [pool.submit(ada.says, chat, f"number {number}") for number in range(40)]
        answers = [bob.get("/api/me").status for _ in range(5)]
        read = bob.reads(chat, limit=1).status
        still_waiting = sum(not send.done() for send in sends)
        database.rollback()

    assert (answers, read) == ([200] * 5, 200)
    assert still_waiting == 40
    assert [send.result().status for send in sends] == [201] * 40
