from itertools import count
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Settings
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    delete,
    edit,
    entry,
    inbox,
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


def test_a_mark_is_up_to_and_including(bob: Person, chat: Chat, said: list[Message]) -> None:
    assert ok(mark(bob, chat, said[1])) == {
        "channel_id": chat["channel_id"],
        "channel": chat["channel_name"],
        "user_id": bob.id,
        "last_read_message_id": said[1]["id"],
        "unread": 1,
    }
    assert entry(bob, chat)["unread"] == 1
    assert entry(bob, chat)["last_read_message_id"] == said[1]["id"]


def test_the_other_one_sees_it(ada: Person, bob: Person, chat: Chat, said: list[Message]) -> None:
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


def test_it_never_moves_back(
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


def test_a_move_is_told_to_both_and_to_all_devices(
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


def test_sending_moves_the_mark_of_the_sender_without_an_event(
    ada: Person, bob: Person, chat: Chat, said: list[Message], news: News
) -> None:
    answer = bob.said(chat, "Yes?")

    assert entry(bob, chat)["last_read_message_id"] == answer["id"]
    assert entry(bob, chat)["unread"] == 0
    assert entry(ada, chat)["peer_last_read_message_id"] == answer["id"]
    assert entry(ada, chat)["unread"] == 1
    assert {name for _, name, _ in news()} == {"new_message", "new_chat"}


def test_a_retry_moves_nothing(ada: Person, bob: Person, chat: Chat) -> None:
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


def test_what_cannot_be_a_message_is_refused(bob: Person, chat: Chat) -> None:
    path = f"/api/chats/{chat['channel_name']}/read"

    values: list[Any] = [True, 1.5, -1, "x", [], {}, 2**63]
    for value in values:
        answer = bob.request("PUT", path, {"message_id": value})
        assert "message_id" in refused(answer, 400, "invalid")


def test_for_others_the_chat_does_not_exist(
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

    assert ("SCAN" if backend == "sqlite" else "Seq Scan") not in plan


# Whatever is done, in whatever order ----------------------------------------------------------


class Conversations:
    """Two chats of three people, and what their inboxes should say of them."""

    def __init__(self, api: Api, number: int) -> None:
        self.ada, bob, eve = (api.sign_up(f"{name} {number}") for name in ("ada", "bob", "eve"))
        self.chats = [self.ada.asks(bob).json, eve.asks(self.ada).json]
        self.pairs = [(self.ada, bob), (self.ada, eve)]
        self.said: list[list[Message]] = [[], []]
        self.marks = [{self.ada.id: 0, peer.id: 0} for _, peer in self.pairs]

    def send(self, which: int, who: int, _: int) -> None:
        number = len(self.said[0]) + len(self.said[1])
        sender = self.pairs[which][who]
        message = sender.said(self.chats[which], "Hello", client_message_id=f"c{number}")
        self.said[which].append(message)
        self.marks[which][sender.id] = message["id"]

    def retry(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            key = message["client_message_id"]
            answer = sender.says(self.chats[which], "Hello", client_message_id=key)
            assert (answer.status, answer.json) == (200, message)

    def edit(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            answer = edit(sender, message, f"edited {some}")
            assert answer.status == (409 if message["deleted_at"] else 200)
            if answer.status == 200:
                message.update(answer.json)

    def delete(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            message.update(ok(delete(sender, message)))

    def read(self, which: int, who: int, some: int) -> None:
        reader = self.pairs[which][who]
        for message, _ in self._one(which, some):
            self.marks[which][reader.id] = max(self.marks[which][reader.id], message["id"])
            answer = ok(mark(reader, self.chats[which], message))
            assert answer["unread"] == self._unread(which, reader)
            assert answer["last_read_message_id"] == self.marks[which][reader.id]

    def check(self) -> None:
        for which, (_, peer) in enumerate(self.pairs):
            assert inbox(peer) == [self._entry(which, peer)]
        entries = [self._entry(which, self.ada) for which in (0, 1)]
        latest = [said[-1]["id"] if said else which - 1 for which, said in enumerate(self.said)]
        assert inbox(self.ada) == (entries if latest[0] > latest[1] else entries[::-1])

    def _one(self, which: int, some: int) -> list[tuple[Message, Person]]:
        """A message of the chat and its sender, if there is any."""
        said = self.said[which]
        chosen = said[-1 - some % len(said) :][:1] if said else []
        people = {person.id: person for person in self.pairs[which]}
        return [(message, people[message["from_user"]]) for message in chosen]

    def _unread(self, which: int, person: Person) -> int:
        return sum(
            message["id"] > self.marks[which][person.id]
            and message["from_user"] != person.id
            and not message["deleted_at"]
            for message in self.said[which]
        )

    def _entry(self, which: int, person: Person) -> dict[str, Any]:
        (peer,) = (each for each in self.pairs[which] if each is not person)
        return {
            "channel_id": self.chats[which]["channel_id"],
            "channel_name": self.chats[which]["channel_name"],
            "user": {"id": peer.id, "username": peer.username},
            "last_message": self.said[which][-1] if self.said[which] else None,
            "unread": self._unread(which, person),
            "last_read_message_id": self.marks[which][person.id] or None,
            "peer_last_read_message_id": self.marks[which][peer.id] or None,
        }


ACTS = st.tuples(
    st.sampled_from(["send", "send", "send", "retry", "edit", "delete", "delete", "read"]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 99),
)


MANY = 30 if IN_CI else 15


def test_the_inbox_is_exact_whatever_is_done_in_whatever_order(api: Api) -> None:
    numbers = count()

    @hypothesis_settings(max_examples=2 * OFTEN)
    @given(st.lists(ACTS, min_size=MANY, max_size=MANY + 10))
    def holds(acts: list[tuple[str, int, int, int]]) -> None:
        conversations = Conversations(api, next(numbers))
        for verb, *how in acts:
            getattr(conversations, verb)(*how)
            conversations.check()

    holds()
