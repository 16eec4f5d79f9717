"""Accounts that have all their messages erased, many at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings, load
from tests.support.conversations import Chat, sqlite_only, statements
from tests.support.people import PASSWORD, Answer, ChatServer, Person, fill, looking_into, stored
from tests.support.servers import eventually


def leave(person: Person) -> Answer:
    return person.request("DELETE", "/api/me", {"password": PASSWORD, "erase": True})


@pytest.fixture
def server(start: Callable[..., ChatServer]) -> ChatServer:
    return start("gunicorn")


@pytest.mark.abuse
def test_a_transaction_erases_100_messages_at_most(
    app: Flask, ada: Person, chat: Chat, settings: Settings
) -> None:
    fill(settings, ada, chat, 250)

    with statements(app) as made:
        assert leave(ada).status == 204

    erased, most = 0, 0
    for statement in made:
        erased = erased + 1 if statement.startswith("UPDATE messages") else erased
        if statement.startswith("SELECT count(*)"):  # of the events, between two transactions
            most, erased = max(most, erased), 0
    assert 0 < most <= 100


@pytest.mark.abuse
@pytest.mark.slow
@sqlite_only
def test_many_erasures_leave_room_for_others(server: ChatServer) -> None:
    settings = load(server.settings)
    eve = server.api.sign_up("eve")
    crowd = [server.api.sign_up(f"person{number}") for number in range(12)]
    for person in crowd:
        fill(settings, person, person.asks(eve).json, 300)
    bob = server.api.sign_up("bob")
    chat = bob.asks(eve).json

    with ThreadPoolExecutor(len(crowd)) as pool:
        leaving = [pool.submit(leave, person) for person in crowd]
        said = [bob.says(chat, "Still there?").status for _ in range(10)]
        answers = [each.result() for each in leaving]

    assert said == [201] * 10
    busy = [answer for answer in answers if answer.status != 204]
    assert {(each.status, each.json["code"]) for each in busy} == {(503, "busy")}
    assert all(int(each.headers["retry-after"]) > 0 for each in busy)
    assert sum(answer.status == 204 for answer in answers) >= 5


@pytest.mark.abuse
@pytest.mark.slow
@sqlite_only
def test_an_erasure_waits_while_many_events_wait(start: Callable[..., ChatServer]) -> None:
    nobody = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "k", "PUSHER_SECRET": "s"}
    there = {"PUSHER_HOST": "127.0.0.1", "PUSHER_PORT": "9", "PUSHER_SSL": "false"}
    server = start("gunicorn", **nobody, **there)
    settings = load(server.settings)
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json
    fill(settings, ada, chat, 600)

    def erased() -> int:
        with looking_into(settings) as connection:
            counted = text("SELECT count(*) FROM messages WHERE deleted_at IS NOT NULL")
            return int(connection.scalar(counted) or 0)

    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leave, ada)
        assert eventually(lambda: erased() == 400)  # each makes three events
        assert not eventually(lambda: erased() > 400, 2)
        with looking_into(settings) as connection:
            connection.execute(text("DELETE FROM events"))
            connection.commit()
        assert eventually(lambda: erased() == 600)
        assert leaving.result().status == 204


@pytest.mark.abuse
@pytest.mark.slow
def test_an_erasure_goes_on_after_a_kill(server: ChatServer) -> None:
    settings = load(server.settings)
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat: dict[str, Any] = ada.asks(bob).json
    fill(settings, ada, chat, 2_000)

    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leave, ada)
        assert eventually(lambda: len(stored(settings, "erasures")["erasures"]) == 1)
        server.kill()
        leaving.exception()
    server.start()

    assert eventually(lambda: stored(settings, "erasures")["erasures"] == [])
    texts = {message["message"] for message in bob.reads(chat).json}
    assert texts == {""}
