from itertools import count
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Settings
from tests.support.bookkeeping import Bookkeeping
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    entry,
    mark,
    ok,
    plans,
    to_both,
)
from tests.support.people import Api, Person, at_once, refused, stored
from tests.support.servers import IN_CI


@pytest.fixture
def said(ada: Person, bob: Person, chat: Chat) -> list[Message]:
    """Three messages by ada, for bob to read."""
    return [ada.said(chat, text) for text in ("Hello", "Bob", "?")]


@pytest.fixture
def news(settings: Settings, said: list[Message]) -> News:
    return News(settings)


def test_a_mark_includes_the_marked_message(bob: Person, chat: Chat, said: list[Message]) -> None:
    assert ok(mark(bob, chat, said[1])) == {
        "channel_id": chat["channel_id"],
        "channel": chat["channel_name"],
        "user_id": bob.id,
        "last_read_message_id": said[1]["id"],
        "unread": 1,
    }
    assert entry(bob, chat)["unread"] == 1
    assert entry(bob, chat)["last_read_message_id"] == said[1]["id"]


def test_the_other_person_sees_the_mark(
    ada: Person, bob: Person, chat: Chat, said: list[Message]
) -> None:
    ok(mark(bob, chat, said[1]))

    assert entry(ada, chat)["peer_last_read_message_id"] == said[1]["id"]
    assert entry(ada, chat)["last_read_message_id"] == said[2]["id"]


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"message_id": null}'])
def test_without_a_message_the_latest_is_meant(
    bob: Person, chat: Chat, said: list[Message], body: bytes | None
) -> None:
    json = {"Content-Type": "application/json"}
    path = f"/api/chats/{chat['channel_id']}/read"

    answer = bob.request("PUT", path, body=body, headers=json if body else {})

    assert ok(answer)["last_read_message_id"] == said[2]["id"]
    assert answer.json["unread"] == 0


def test_a_mark_never_moves_back(
    bob: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    moved = ok(mark(bob, chat, said[1]))
    before = stored(settings)

    assert ok(mark(bob, chat, said[0])) == moved
    assert ok(mark(bob, chat, said[1])) == moved
    assert stored(settings) == before


def test_two_devices_that_race_never_move_it_back(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    for _ in range(2 * OFTEN):
        said = [ada.said(chat, f"number {number}") for number in range(4)]
        news = News(settings)

        at_once(8, lambda number, said=said: ok(mark(bob, chat, said[number % 4])))  # type: ignore[misc]

        assert entry(bob, chat)["last_read_message_id"] == said[3]["id"]
        told = [data["last_read_message_id"] for channel, _, data in news() if "chat" in channel]
        assert told == sorted(set(told)), "each event moves it on"
        assert told[-1] == said[3]["id"]


def test_a_move_is_told_to_both_people(
    bob: Person, chat: Chat, said: list[Message], news: News
) -> None:
    answer = ok(mark(bob, chat, said[1]))

    told = {name: value for name, value in answer.items() if name != "unread"}
    assert news() == to_both(chat, "message_read", told)


def test_the_connection_that_moved_it_is_left_out(
    bob: Person, chat: Chat, said: list[Message], news: News
) -> None:
    ok(mark(bob, chat, said[1], headers={"X-Socket-ID": "12.34"}))

    assert [each["socket_id"] for each in news.rows()] == ["12.34"] * 3


def test_a_mark_that_stays_is_not_told(
    bob: Person, chat: Chat, said: list[Message], news: News
) -> None:
    ok(mark(bob, chat))
    news()

    ok(mark(bob, chat))
    ok(mark(bob, chat, said[0]))

    assert news() == []


def test_an_empty_chat_has_nothing_to_mark(bob: Person, chat: Chat, settings: Settings) -> None:
    news = News(settings)

    answer = ok(mark(bob, chat))

    assert (answer["last_read_message_id"], answer["unread"]) == (None, 0)
    assert news() == []


def test_sending_moves_the_senders_mark_silently(
    ada: Person, bob: Person, chat: Chat, said: list[Message], news: News
) -> None:
    answer = bob.said(chat, "Yes?")

    assert entry(bob, chat)["last_read_message_id"] == answer["id"]
    assert entry(bob, chat)["unread"] == 0
    assert entry(ada, chat)["peer_last_read_message_id"] == answer["id"]
    assert entry(ada, chat)["unread"] == 1
    assert {name for _, name, _ in news()} == {"new_message", "new_chat"}


def test_a_retry_moves_no_mark(ada: Person, bob: Person, chat: Chat) -> None:
    ada.said(chat, "Hello", client_message_id="c1")
    answer = bob.said(chat, "Hello, Ada")
    before = entry(ada, chat)

    assert ada.says(chat, "Hello", client_message_id="c1").status == 200

    assert entry(ada, chat) == before
    assert before["unread"] == 1
    assert before["last_message"] == answer


def test_a_message_of_another_channel_cannot_be_marked(
    ada: Person, bob: Person, eve: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    elsewhere = eve.said(eve.asks(bob).json, "Psst")
    before = stored(settings)

    for message_id in (elsewhere["id"], 0, elsewhere["id"] + 1_000, 2**63 - 1):
        refused(mark(bob, chat, message_id), 404, "not_found")

    assert stored(settings) == before


def test_a_malformed_message_id_is_refused(bob: Person, chat: Chat) -> None:
    path = f"/api/chats/{chat['channel_name']}/read"

    values: list[Any] = [True, 1.5, -1, "x", [], {}, 2**63]
    for value in values:
        answer = bob.request("PUT", path, {"message_id": value})
        assert "message_id" in refused(answer, 400, "invalid")


def test_an_outsider_cannot_find_the_chat(
    eve: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    before = stored(settings)
    missing = mark(eve, {"channel_name": "private-chat_1_9999999"})
    refused(missing, 404, "not_found")

    for name in (chat["channel_name"], chat["channel_id"]):
        assert mark(eve, {"channel_name": name}).timeless == missing.timeless
        assert mark(eve, {"channel_name": name}, said[0]).timeless == missing.timeless

    assert stored(settings) == before


def test_the_unread_are_counted_from_the_mark_on(
    app: Flask, bob: Person, chat: Chat, said: list[Message], backend: str
) -> None:
    plan = plans(app, lambda: ok(mark(bob, chat)))

    plan = plan.replace("SCAN unread", "")  # of the few that were found from the mark on
    assert ("SCAN" if backend == "sqlite" else "Seq Scan") not in plan


# Any actions in any order ----------------------------------------------------------


ACTS = st.tuples(
    st.sampled_from(
        [
            *("send", "send", "send", "send_file", "reply", "retry", "edit", "delete", "delete"),
            *("read", "react", "react", "unreact"),
        ]
    ),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 99),
)


MANY = 30 if IN_CI else 15


def test_the_inbox_is_exact_after_any_actions(api: Api) -> None:
    numbers = count()

    @hypothesis_settings(max_examples=2 * OFTEN)
    @given(st.lists(ACTS, min_size=MANY, max_size=MANY + 10))
    def holds(acts: list[tuple[str, int, int, int]]) -> None:
        books = Bookkeeping(api, next(numbers))
        for verb, *how in acts:
            getattr(books, verb)(*how)
            books.check()

    holds()
