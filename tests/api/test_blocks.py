from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event as Signal
from typing import Any

import pytest
from flask import Flask

from config import Settings
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    block,
    delete,
    edit,
    entry,
    found,
    holding,
    mark,
    meanwhile,
    ok,
    postgresql_only,
    unblock,
    wait_for_waiting,
)
from tests.support.interruptions import interrupting
from tests.support.people import Answer, Api, Person, refused, stored


@pytest.fixture
def said(ada: Person, bob: Person, chat: Chat) -> list[Message]:
    """One message by each of the two."""
    return [ada.said(chat, "Hello", client_message_id="c1"), bob.said(chat, "Hello, Ada")]


@pytest.fixture(params=["by ada", "by bob"])
def pair(
    request: pytest.FixtureRequest, ada: Person, bob: Person, said: list[Message]
) -> tuple[Person, Person]:
    """Both people; the first one has blocked the other."""
    pair = (ada, bob) if request.param == "by ada" else (bob, ada)
    assert block(*pair).status == 204
    return pair


def blocked(person: Person) -> list[dict[str, Any]]:
    answer = person.get("/api/blocks")
    assert answer.status == 200, answer
    listed: list[dict[str, Any]] = answer.json
    return listed


def test_a_block_is_listed_for_its_maker_only(ada: Person, bob: Person, eve: Person) -> None:
    assert blocked(ada) == []

    for peer in (eve, bob):
        answer = block(ada, peer)
        assert (answer.status, answer.body) == (204, b"")

    assert blocked(ada) == [bob.shown, eve.shown]
    assert blocked(bob) == blocked(eve) == []


def test_blocking_and_unblocking_again_change_nothing(
    ada: Person, bob: Person, settings: Settings
) -> None:
    block(ada, bob)
    before = stored(settings)
    assert block(ada, bob).status == 204
    assert stored(settings) == before

    assert unblock(ada, bob).status == 204
    assert unblock(ada, bob).status == 204
    assert blocked(ada) == []


def test_nobody_can_block_a_missing_user(ada: Person) -> None:
    for user_id in ("0", "1000000", "x", "-1", "9" * 19, "1.0", "%00", "９"):
        for verb in ("PUT", "DELETE"):
            refused(ada.request(verb, f"/api/blocks/{user_id}"), 404, "not_found")


def test_nobody_can_block_themselves(ada: Person, settings: Settings) -> None:
    before = stored(settings)

    refused(block(ada, ada), 400, "invalid")

    assert stored(settings) == before


# While it holds ---------------------------------------------------------------------------------


def test_neither_can_send_nor_ask_nor_edit(
    pair: tuple[Person, Person], chat: Chat, said: list[Message], settings: Settings
) -> None:
    before = stored(settings)

    for person, peer in (pair, pair[::-1]):
        (mine,) = (message for message in said if message["from_user"] == person.id)
        refused(person.says(chat, "Hello?"), 403, "blocked")
        refused(person.asks(peer), 403, "blocked")
        refused(edit(person, mine, "Hello!"), 403, "blocked")

    assert stored(settings) == before


def test_the_inbox_of_both_says_so(
    pair: tuple[Person, Person], chat: Chat, ada: Person, bob: Person, eve: Person
) -> None:
    for person in (ada, bob):
        with_eve = person.asks(eve).json
        assert entry(person, chat)["blocked"] is True
        assert entry(person, with_eve)["blocked"] is False

    block(*pair[::-1])
    unblock(*pair)
    assert entry(ada, chat)["blocked"] is entry(bob, chat)["blocked"] is True

    unblock(*pair[::-1])
    assert entry(ada, chat)["blocked"] is entry(bob, chat)["blocked"] is False


def test_the_channel_is_signed_for_neither(pair: tuple[Person, Person], chat: Chat) -> None:
    for person in pair:
        refused(person.signs(chat["channel_name"]), 403, "forbidden")
        assert person.signs(f"private-notification_user_{person.id}").status == 200
        assert person.signs("presence-chitchat").status == 200


def test_reading_marking_and_deleting_stay_possible(
    pair: tuple[Person, Person], chat: Chat, said: list[Message], settings: Settings
) -> None:
    news = News(settings)
    for person in pair:
        (mine,) = (message for message in said if message["from_user"] == person.id)
        assert person.reads(chat).json[-1]["id"] == said[-1]["id"]
        assert entry(person, chat)["last_message"]["id"] == said[-1]["id"]
        assert found(person, "hello") != []
        assert ok(mark(person, chat))["last_read_message_id"] == said[-1]["id"]
        assert ok(delete(person, mine))["message"] == ""
        assert person.get("/api/users").status == 200
    assert "message_deleted" in {name for _, name, _ in news()}


def test_a_retry_of_an_older_message_is_answered(
    pair: tuple[Person, Person], ada: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    before = stored(settings)

    retry = ada.says(chat, "Hello", client_message_id="c1")

    assert (retry.status, retry.json) == (200, said[0])
    assert stored(settings) == before


def test_a_refused_message_leaves_its_id_unused(
    pair: tuple[Person, Person], ada: Person, chat: Chat
) -> None:
    refused(ada.says(chat, "Hello?", client_message_id="c2"), 403, "blocked")
    unblock(*pair)

    assert ada.says(chat, "Something else", client_message_id="c2").status == 201


def test_chats_with_others_go_on(
    pair: tuple[Person, Person], ada: Person, bob: Person, eve: Person
) -> None:
    for person in pair:
        with_eve = person.asks(eve).json
        assert person.says(with_eve, "Hello").status == 201
        assert eve.says(with_eve, "Hello").status == 201
        assert eve.signs(with_eve["channel_name"]).status == 200


def test_all_is_as_before_after_unblocking(pair: tuple[Person, Person], chat: Chat) -> None:
    assert unblock(*pair).status == 204

    for person, peer in (pair, pair[::-1]):
        assert person.says(chat, "Hello again").status == 201
        assert person.asks(peer).status == 200
        assert person.signs(chat["channel_name"]).status == 200


def test_each_of_two_blocks_ends_by_itself(ada: Person, bob: Person, chat: Chat) -> None:
    block(ada, bob)
    block(bob, ada)

    unblock(ada, bob)
    refused(ada.says(chat, "Hello?"), 403, "blocked")

    unblock(bob, ada)
    assert ada.says(chat, "Hello").status == 201


@postgresql_only
def test_an_edit_under_way_is_over_before_the_204(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    message = ada.said(chat, "Hello")
    lock = f"SELECT id FROM messages WHERE id = {message['id']} FOR UPDATE"
    with (
        holding(settings, lock) as let_go,
        meanwhile(lambda: edit(ada, message, "Goodbye")) as editing,
    ):
        wait_for_waiting(settings)
        with meanwhile(lambda: block(bob, ada)) as blocking:
            wait_for_waiting(settings, 2)
            let_go()

            assert (editing.result().status, blocking.result().status) == (200, 204)


def test_an_outsider_cannot_find_a_blocked_channel(
    ada: Person, bob: Person, eve: Person, chat: Chat
) -> None:
    block(ada, bob)

    refused(eve.says(chat, "Hello?"), 404, "not_found")


# Races ------------------------------------------------------------------------------------------


def test_after_the_204_nothing_new_appears(
    api: Api, ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    for _ in range(2 * OFTEN):
        over = Signal()
        started = [Signal(), Signal()]

        def send(number: int, over: Signal = over, started: list[Signal] = started) -> None:
            while not over.is_set():
                assert (ada, bob)[number].says(chat, "Hello").status in (201, 403)
                started[number].set()

        with meanwhile(lambda: send(0)) as one, meanwhile(lambda: send(1)) as other:
            assert all(each.wait(60) for each in started)
            assert block(ada, bob).status == 204
            at_the_204 = stored(settings, "messages", "events")
            for each in started:
                each.clear()
            assert all(each.wait(60) for each in started), "both went on trying"
            over.set()
            one.result()
            other.result()

        assert stored(settings, "messages", "events") == at_the_204
        unblock(ada, bob)


@postgresql_only
@pytest.mark.parametrize("blocker", ["ada", "bob"])
def test_a_message_waiting_for_its_turn_sees_the_block(
    ada: Person, bob: Person, chat: Chat, settings: Settings, blocker: str
) -> None:
    lock = "SELECT id FROM channels FOR UPDATE"
    with holding(settings, lock) as let_go, meanwhile(lambda: ada.says(chat, "Hello?")) as sending:
        wait_for_waiting(settings)
        assert (block(ada, bob) if blocker == "ada" else block(bob, ada)).status == 204
        let_go()

        refused(sending.result(), 403, "blocked")


@postgresql_only
def test_a_block_waits_for_an_earlier_message(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    lock = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"
    with (
        holding(settings, lock) as let_go,
        meanwhile(lambda: ada.says(chat, "Hello")) as sending,
    ):
        wait_for_waiting(settings)
        with meanwhile(lambda: block(bob, ada)) as blocking:
            wait_for_waiting(settings, 2)
            let_go()
            assert blocking.result().status == 204
            at_the_204 = stored(settings, "messages", "events")

        assert sending.result().status == 201

    assert stored(settings, "messages", "events") == at_the_204
    assert len(at_the_204["messages"]) == 1


@postgresql_only
def test_a_request_of_a_chat_waits_for_a_block(
    ada: Person, bob: Person, settings: Settings
) -> None:
    lock = "LOCK TABLE blocks IN SHARE ROW EXCLUSIVE MODE"
    with holding(settings, lock) as let_go, meanwhile(lambda: block(ada, bob)) as blocking:
        wait_for_waiting(settings)
        with meanwhile(lambda: bob.asks(ada)) as asking:
            wait_for_waiting(settings, 2)
            let_go()
            assert blocking.result().status == 204

            refused(asking.result(), 403, "blocked")
    assert stored(settings, "channels")["channels"] == []


@postgresql_only
def test_a_block_again_waits_for_no_unblocking(
    app: Flask, ada: Person, bob: Person, settings: Settings
) -> None:
    block(ada, bob)

    with ThreadPoolExecutor(1) as pool:
        lifting: list[Future[Answer]] = []

        def lift(_: object) -> None:
            lifting.append(pool.submit(unblock, ada, bob))
            wait(lifting, 1)

        with interrupting(app, "INSERT INTO blocks", lift):
            assert block(ada, bob).status == 204
        assert lifting[0].result().status == 204

    assert blocked(ada) == []
