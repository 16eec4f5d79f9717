from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert

from config import Settings
from database import utcnow
from models import Channel, Message, User
from tests.support.conversations import (
    Chat,
    delete,
    edit,
    entry,
    inbox,
    mark,
    ok,
    plans,
    statements,
)
from tests.support.people import Api, Person, at_once, looking_into, refused

MEMBERS = [
    *("channel_id", "channel_name", "user", "last_message", "unread"),
    *("last_read_message_id", "peer_last_read_message_id", "blocked", "muted"),
]


@pytest.fixture
def many(settings: Settings, ada: Person) -> int:
    """As many chats of ada's as a page can show, a message in each."""
    now = utcnow()
    people = range(ada.id + 10**9, ada.id + 10**9 + 200)
    with looking_into(settings) as connection:
        connection.execute(
            insert(User),
            [
                {
                    "id": each,
                    "username": f"user{each}",
                    "username_key": f"user{each}",
                    "password_hash": "none",
                    "created_at": now,
                }
                for each in people
            ],
        )
        connection.execute(
            insert(Channel),
            [
                {
                    "id": each,
                    "low_id": ada.id,
                    "high_id": each,
                    "created_at": now,
                    "active_at": now,
                    "last_message_id": each,
                }
                for each in people
            ],
        )
        connection.execute(
            insert(Message),
            [
                {
                    "id": each,
                    "channel_id": each,
                    "sender_id": each,
                    "text": "Hello",
                    "created_at": now,
                }
                for each in people
            ],
        )
        connection.commit()
    return len(people)


def pages(person: Person, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages, to the end of the links."""
    answer = person.get("/api/chats", **query)
    found = [answer.json]
    while "next" in answer.links:
        answer = person.get(answer.links["next"].removeprefix("http://localhost"))
        assert answer.status == 200, answer
        found.append(answer.json)
    return found


def names(chats: list[dict[str, Any]]) -> list[str]:
    return [chat["user"]["username"] for chat in chats]


def test_a_chat_is_in_the_inbox_of_both(ada: Person, bob: Person, chat: Chat) -> None:
    first = ada.said(chat, "Hello, Bob")
    last = ada.said(chat, "Are you there?")

    (of_ada,), (of_bob,) = inbox(ada), inbox(bob)

    assert list(of_ada) == MEMBERS
    assert first["id"] < last["id"]
    assert of_ada == {
        "channel_id": chat["channel_id"],
        "channel_name": chat["channel_name"],
        "user": bob.shown,
        "last_message": last,
        "unread": 0,
        "last_read_message_id": last["id"],
        "peer_last_read_message_id": None,
        "blocked": False,
        "muted": False,
    }
    assert of_bob == {
        **of_ada,
        "user": ada.shown,
        "unread": 2,
        "last_read_message_id": None,
        "peer_last_read_message_id": last["id"],
    }


def test_a_chat_without_messages_is_there(ada: Person, bob: Person, chat: Chat) -> None:
    for person in (ada, bob):
        (only,) = inbox(person)
        assert only["last_message"] is None
        assert only["unread"] == 0
        assert only["last_read_message_id"] is None
        assert only["peer_last_read_message_id"] is None


def test_an_outsider_does_not_see_the_chat(ada: Person, chat: Chat, eve: Person) -> None:
    ada.said(chat, "Hello, Bob")

    assert inbox(ada), "there is something to see"
    assert inbox(eve) == []


def test_the_latest_activity_comes_first(api: Api, ada: Person, bob: Person, eve: Person) -> None:
    with_bob, with_eve = ada.asks(bob).json, ada.asks(eve).json
    assert names(inbox(ada)) == ["eve", "bob"]

    ada.said(with_bob, "Hello")
    assert names(inbox(ada)) == ["bob", "eve"]

    eve.said(with_eve, "Hello")
    assert names(inbox(ada)) == ["eve", "bob"]


def test_reading_editing_and_deleting_is_no_activity(ada: Person, bob: Person, eve: Person) -> None:
    with_bob, with_eve = ada.asks(bob).json, ada.asks(eve).json
    old, deleted = ada.said(with_bob, "Hello"), ada.said(with_bob, "Goodbye")
    ada.said(with_eve, "Hello")

    ok(edit(ada, old, "Hello, Bob"))
    ok(delete(ada, deleted))
    ok(mark(bob, with_bob))

    assert names(inbox(ada)) == ["eve", "bob"]


def test_an_edit_and_a_deletion_show(ada: Person, bob: Person, chat: Chat) -> None:
    ada.said(chat, "Hello")
    last = ada.said(chat, "Come at noon")

    edited = ok(edit(ada, last, "Come at one"))
    assert entry(bob, chat)["last_message"] == edited
    assert entry(bob, chat)["unread"] == 2

    deleted = ok(delete(ada, last))
    assert entry(bob, chat)["last_message"] == deleted
    assert entry(bob, chat)["unread"] == 1


def test_many_chats_take_no_more_statements(
    app: Flask, ada: Person, bob: Person, chat: Chat, many: int
) -> None:
    bob.said(chat, "Hello")

    with statements(app) as for_one:
        assert len(inbox(bob, limit=200)) == 1
    with statements(app) as for_many:
        assert len(inbox(ada, limit=200)) == 200 < many + 1

    assert len(for_one) == len(for_many) == 2  # the caller, the inbox


def test_pages_lead_to_all_chats_each_once(ada: Person, bob: Person, chat: Chat, many: int) -> None:
    assert [len(page) for page in pages(ada)] == [50, 50, 50, 50, 1]
    (first, second) = pages(ada, limit=200)

    assert (len(first), len(second)) == (200, 1)
    walked = [chat for page in pages(ada, limit=7) for chat in page]
    assert walked == first + second
    assert len({chat["channel_id"] for chat in walked}) == many + 1
    assert bob.shown in [chat["user"] for chat in walked]


def test_a_page_that_is_just_full_has_no_link(ada: Person, chat: Chat, eve: Person) -> None:
    ada.asks(eve)

    assert "next" in ada.get("/api/chats", limit=1).links
    assert "next" not in ada.get("/api/chats", limit=2).links
    assert "next" not in ada.get("/api/chats").links


def test_a_chat_that_moves_up_is_seen_once(api: Api, ada: Person, bob: Person) -> None:
    chats = [ada.asks(api.sign_up(f"user{number}")).json for number in range(6)]
    first = ada.get("/api/chats", limit=2)
    assert names(first.json) == ["user5", "user4"]

    ada.said(chats[4], "Already seen")
    ada.said(chats[1], "Not seen yet")
    second = ada.get(first.links["next"].removeprefix("http://localhost"))
    third = ada.get(second.links["next"].removeprefix("http://localhost"))

    # Events told of the chats that moved up. Nothing else is missing, or there twice.
    assert names(second.json + third.json) == ["user3", "user2", "user0"]
    assert names(inbox(ada)) == ["user1", "user4", "user5", "user3", "user2", "user0"]


def test_an_impossible_page_is_refused(ada: Person) -> None:
    for value in ("", "x", "0", "-1", "201", "%00", "MQ", "=", "９", "A" * 5_000):
        for member in ("limit", "cursor"):
            refused(ada.get(f"/api/chats?{member}={value}"), 400, "invalid")


def test_the_cursor_of_another_list_is_refused(ada: Person, bob: Person, chat: Chat) -> None:
    ada.said(chat, "Hello")

    refused(ada.get("/api/chats", cursor=ada.get("/api/sync").json["cursor"]), 400, "invalid")


def test_the_inbox_is_read_from_indexes(app: Flask, ada: Person, chat: Chat, backend: str) -> None:
    plan = plans(app, lambda: inbox(ada))

    if backend == "sqlite":
        for index in (
            "channels USING INDEX ix_channels_low_id_active_at_id (low_id=?",
            "channels USING INDEX ix_channels_high_id_active_at_id (high_id=?",
            "messages_1 USING INDEX ix_messages_channel_id_id (channel_id=? AND id>?)",
            "messages USING INTEGER PRIMARY KEY (rowid=?)",
        ):
            assert index in plan
        assert "SCAN messages" not in plan
    else:
        assert "Seq Scan" not in plan


def test_two_who_ask_at_once_have_one_chat(ada: Person, bob: Person) -> None:
    at_once(8, lambda number: (ada, bob)[number % 2].asks((bob, ada)[number % 2]))

    assert len(inbox(ada)) == len(inbox(bob)) == 1
