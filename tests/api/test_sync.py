import base64
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event as Signal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from chat import accounts, channels, cursors, messages
from config import Settings
from contract import requests
from database import db, writing
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    changes,
    delete,
    edit,
    meanwhile,
    now,
    ok,
    plans,
    postgresql_only,
    statements,
)
from tests.support.people import PASSWORD, Api, Person, looking_into, refused
from tests.support.sync_client import Client, Writer


@pytest.fixture
def since(ada: Person, chat: Chat) -> str:
    """Ada's cursor of before anything was said."""
    return now(ada)


def texts(page: dict[str, Any]) -> list[str]:
    return [message["message"] for message in page["messages"]]


def test_the_first_sync_gives_a_cursor_only(ada: Person, bob: Person, chat: Chat) -> None:
    ada.said(chat, "Hello")

    page = changes(bob)

    assert list(page) == ["messages", "cursor", "more"]
    assert (page["messages"], page["more"]) == ([], False)
    assert changes(bob, page["cursor"]) == page


def test_missed_messages_come_in_their_order(
    ada: Person, bob: Person, eve: Person, chat: Chat, since: str
) -> None:
    with_eve = ada.asks(eve).json
    said = [
        bob.said(chat, "Hello, Ada"),
        eve.said(with_eve, "Hello"),
        ada.said(chat, "Hello, Bob"),
    ]

    page = changes(ada, since)

    assert page["messages"] == said
    assert page["more"] is False
    assert changes(ada, page["cursor"])["messages"] == []
    assert changes(ada, since) == page


def test_a_message_comes_once_in_its_latest_state(
    ada: Person, bob: Person, chat: Chat, since: str
) -> None:
    first, second, third = (ada.said(chat, text) for text in ("one", "two", "three"))
    ok(edit(ada, first, "one?"))
    edited = ok(edit(ada, first, "one!"))
    deleted = ok(delete(ada, second))

    assert changes(bob, since)["messages"] == [third, edited, deleted]


def test_old_messages_come_again_when_they_change(ada: Person, bob: Person, chat: Chat) -> None:
    said = [ada.said(chat, text) for text in ("one", "two", "three")]
    cursor = now(bob)

    edited = ok(edit(ada, said[1], "two!"))

    assert changes(bob, cursor)["messages"] == [edited]


def test_what_changes_nothing_is_no_change(ada: Person, bob: Person, chat: Chat) -> None:
    message = ada.said(chat, "Hello", client_message_id="c1")
    deleted = ada.said(chat, "Goodbye")
    ok(delete(ada, deleted))
    cursor = now(bob)

    ada.says(chat, "Hello", client_message_id="c1")
    ok(edit(ada, message, "Hello"))
    ok(delete(ada, deleted))
    ok(bob.request("PUT", f"/api/chats/{chat['channel_id']}/read"))
    bob.asks(ada)

    assert changes(bob, cursor) == {"messages": [], "cursor": cursor, "more": False}


def test_pages_lead_to_the_end(
    ada: Person, bob: Person, eve: Person, chat: Chat, since: str
) -> None:
    chats = [chat, ada.asks(eve).json]
    said = [ada.said(chats[number % 2], f"number {number}") for number in range(7)]

    for limit in (1, 2, 3, 7):
        found, cursor, more = [], since, True
        while more:
            page = changes(ada, cursor, limit=limit)
            assert len(page["messages"]) <= limit
            found += page["messages"]
            cursor, more = page["cursor"], page["more"]
        assert found == said


def test_a_page_has_50_messages_unless_asked_otherwise(
    ada: Person, bob: Person, chat: Chat, since: str
) -> None:
    for number in range(52):
        ada.said(chat, f"{number}")

    assert len(changes(bob, since)["messages"]) == 50
    assert changes(bob, since)["more"] is True
    assert len(changes(bob, since, limit=200)["messages"]) == 52
    assert changes(bob, since, limit=52)["more"] is False


def test_nobody_gets_the_messages_of_others(
    ada: Person, bob: Person, eve: Person, chat: Chat, since: str
) -> None:
    of_eve = now(eve)
    ada.said(chat, "Hello, Bob")
    message = ada.said(ada.asks(eve).json, "Hello, Eve")

    assert changes(eve, of_eve)["messages"] == [message]
    assert changes(eve, since)["messages"] == [message]


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(f"{text}.".encode()).decode().rstrip("=")


NOT_OURS = [
    *("", "x", "0", "=", "é", "９", "\0", "A" * 5_000, "../..", "null", "MQ", "MQ=="),
    *(
        encoded(text + end)
        for end in ("", ".")
        for text in (
            *("sync", "sync.1", "sync.1.1.1", "sync.-1.1", "sync.1.-1", "sync.-1.-1", "sync.a.b"),
            *("sync.1.1 ", "sync. 1.1", "sync.01.1", "sync.+1.1", "sync.1_0.1", "1.1", "sync.１.1"),
            *(f"sync.{2**63}.1", f"sync.1.{2**63}", "sync.1." + "9" * 5_000, "SYNC.1.1"),
            *("chats.1.1", "sync.1.1\n", "sync..1"),
        )
    ),
]


def test_a_cursor_of_another_kind_is_refused(ada: Person, since: str) -> None:
    for cursor in NOT_OURS:
        refused(ada.get("/api/sync", since=cursor), 400, "invalid")


def test_a_cursor_padded_or_split_is_refused(ada: Person, since: str) -> None:
    for wrong in (since + "=", since + "\n", since[:-1], since[0] + " " + since[1:], since * 2):
        refused(ada.get("/api/sync", since=wrong), 400, "invalid")


def test_a_cursor_of_the_future_is_refused(ada: Person, chat: Chat, since: str) -> None:
    """It comes from a backup that was restored without a new generation."""
    padded = since + "=" * (-len(since) % 4)
    name = base64.urlsafe_b64decode(padded).decode().rsplit(".", 3)[0]
    for number in (10**12, 2**63 - 1):
        answer = ada.get("/api/sync", since=cursors.encode(name, number, 1))
        assert "since" in refused(answer, 400, "invalid")


def renew_generation(app: Flask) -> None:
    run = app.test_cli_runner().invoke(args=["db", "new-generation"])
    assert run.exit_code == 0, run.output


def test_a_cursor_of_another_generation_is_refused(
    app: Flask, ada: Person, bob: Person, chat: Chat, since: str
) -> None:
    bob.said(chat, "before")
    renew_generation(app)
    current = now(ada)

    for number in range(30):
        refused(ada.get("/api/sync", since=since), 400, "invalid")
        bob.said(chat, f"number {number}")

    refused(ada.get("/api/sync", since=since), 400, "invalid")
    assert len(changes(ada, current)["messages"]) == 30


@postgresql_only
def test_numbers_of_another_server_are_forgotten(
    app: Flask, settings: Settings, ada: Person, bob: Person, chat: Chat, since: str
) -> None:
    """A dump was loaded into a server that has not counted as far."""
    bob.said(chat, "before")
    with looking_into(settings) as connection:
        connection.execute(text(f"UPDATE messages SET transaction_id = {10**12}"))
        connection.commit()

    renew_generation(app)

    current = now(ada)
    after = bob.said(chat, "after")
    assert changes(ada, current)["messages"] == [after]


def test_the_cursor_of_the_inbox_is_refused(ada: Person, bob: Person, eve: Person) -> None:
    ada.asks(bob)
    ada.asks(eve)
    link = ada.get("/api/chats", limit=1).links["next"]

    cursor = link.partition("cursor=")[2]

    refused(ada.get("/api/sync", since=cursor), 400, "invalid")


def test_an_impossible_limit_is_refused(ada: Person) -> None:
    for limit in ("0", "201", "-1", "x", ""):
        assert "limit" in refused(ada.get("/api/sync", limit=limit), 400, "invalid")


def test_a_long_absence_costs_no_more_statements(
    app: Flask, ada: Person, bob: Person, chat: Chat, since: str, backend: str
) -> None:
    ada.said(chat, "Hello")

    with statements(app) as made:
        changes(bob, since)
    plan = plans(app, lambda: changes(bob, since))

    assert len(made) == 4  # the caller, the generation, if they have many chats, the changes
    if backend == "sqlite":
        assert "messages_1 USING COVERING INDEX ix_messages_channel_id_transaction_id_id" in plan
        assert "SCAN messages" not in plan
    else:
        assert "Seq Scan" not in plan


def test_pages_lose_nothing_of_a_large_transaction(
    api: Api, ada: Person, bob: Person, chat: Chat
) -> None:
    for number in range(5):
        ada.said(chat, f"number {number}")
    cursor = now(bob)
    leave = {"password": PASSWORD, "erase": True}
    assert ada.request("DELETE", "/api/me", leave).status == 204

    found: list[Message] = []
    more = True
    while more:
        page = changes(bob, cursor, limit=2)
        found, cursor, more = found + page["messages"], page["cursor"], page["more"]

    assert found == bob.reads(chat).json
    assert [message["message"] for message in found] == [""] * 5


# Writers that are not done ------------------------------------------------------------------------


@contextmanager
def half_said(app: Flask, person: Person, chat: Chat, text: str) -> Iterator[Callable[[], None]]:
    """A message that is stored but not committed yet; the end of the block commits it, or an
    earlier call of the function given."""
    posted, commit = Signal(), Signal()

    def send() -> None:
        with app.app_context(), writing():
            user = accounts.find(person.id)
            channel = channels.to_write(user, chat["channel_name"])
            new = requests.NewMessage(channel=chat["channel_id"], message=text)
            messages.post(channel, user, new, None)
            posted.set()
            assert commit.wait(60)
            db.session.commit()

    with meanwhile(send) as sending:

        def finish() -> None:
            commit.set()
            sending.result()

        try:
            assert posted.wait(60)
            yield finish
        finally:
            finish()


@postgresql_only
def test_a_message_committed_late_is_not_lost(
    app: Flask, ada: Person, bob: Person, eve: Person, chat: Chat, since: str
) -> None:
    with_eve = eve.asks(ada).json

    with half_said(app, eve, with_eve, "slow") as commit:
        bob.said(chat, "quick")
        between = changes(ada, since)
        from_now = now(ada)
        commit()

    late = changes(ada, between["cursor"])
    assert sorted(texts(between) + texts(late)) == ["quick", "slow"]
    assert "slow" in texts(changes(ada, from_now))
    assert changes(ada, late["cursor"])["messages"] == []


@postgresql_only
def test_an_edit_beside_a_slow_writer_is_not_lost(
    app: Flask, ada: Person, bob: Person, eve: Person, chat: Chat, since: str
) -> None:
    message = bob.said(chat, "Hello")
    page = changes(ada, since)
    assert page["messages"] == [message]

    with half_said(app, eve, eve.asks(ada).json, "slow") as commit:
        edited = ok(edit(bob, message, "Hello, Ada"))
        between = changes(ada, page["cursor"])
        commit()

    late = changes(ada, between["cursor"])["messages"]
    assert edited in between["messages"] + late
    assert len(between["messages"] + late) == 2


# Clients that are killed ------------------------------------------------------------


def ids(people: Iterable[Person]) -> list[int]:
    return [person.id for person in people]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(OFTEN))
def test_a_killed_client_ends_up_with_every_message(
    app: Flask, api: Api, tmp_path: Path, backend: str, seed: int
) -> None:
    people = [api.sign_up(name) for name in ("ada", "bob", "eve", "dan")]
    chats = [
        (one, other, one.asks(other).json)
        for number, one in enumerate(people)
        for other in people[:number]
    ]
    writers = [
        Writer(person, [chat for *pair, chat in chats if person in pair], Random(f"{seed} {name}"))
        for person in people
        for name in (f"{person.username} phone", f"{person.username} laptop")
    ]
    clients = [
        Client(person, tmp_path / person.username, Random(f"{seed} {person.username}"))
        for person in people[:2]
    ]
    # Long transactions among the short ones, so that numbers come into sight out of order.
    slow = [(client, each) for client, each in zip(people[:2], people[2:], strict=True)]
    slow = slow if backend == "postgresql" else []

    def write(writer: Writer) -> None:
        for number in range(24):
            writer.act(number)

    def write_slowly(pair: tuple[Person, Person]) -> None:
        (chat,) = (chat for one, other, chat in chats if {one.id, other.id} == {*ids(pair)})
        for number in range(4):
            with half_said(app, pair[1], chat, f"slow {number}"):
                changes(pair[1])

    def synchronise(client: Client) -> None:
        while not all(task.done() for task in writing_tasks):
            client.step()

    with ThreadPoolExecutor(len(writers) + len(slow) + len(clients)) as pool:
        writing_tasks = [pool.submit(write, writer) for writer in writers]
        writing_tasks += [pool.submit(write_slowly, pair) for pair in slow]
        for task in [*writing_tasks, *(pool.submit(synchronise, client) for client in clients)]:
            task.result()

    for client in clients:
        while client.step():
            pass
        mine = [chat for *pair, chat in chats if client.person in pair]
        there = {str(m["id"]): m for chat in mine for m in client.person.reads(chat).json}
        assert client.shown == there
        assert len(there) > 20, "much was said"
        again = set().union(*(writer.unreacted for writer in writers))
        once = [n for told, n in client.applied.items() if json.loads(told)["id"] not in again]
        assert max(once) == 1, "nothing was applied twice"
