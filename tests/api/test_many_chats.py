"""Somebody with many chats is answered in other ways, and with the same."""

from typing import Any

import pytest

from tests.support.conversations import delete, edit, ok
from tests.support.people import Api, Person


@pytest.fixture
def since(ada: Person) -> str:
    return str(ok(ada.get("/api/sync"))["cursor"])


@pytest.fixture
def said(api: Api, ada: Person, since: str) -> list[dict[str, Any]]:
    """Twelve messages in four chats of ada's, among those of others, and some of them changed."""
    people = [api.sign_up(f"friend {number}") for number in range(6)]
    theirs = people[4].asks(people[5]).json
    chats = [ada.asks(person).json for person in people[:4]]
    said = []
    for number in range(12):
        words = "meeting zebra" if number in (0, 5) else "meeting"
        said.append(ada.said(chats[number * number % 4], f"{words} {number}"))
        people[4].said(theirs, f"meeting {number}")
    edit(ada, said[3], "meeting, changed")
    delete(ada, said[4])
    return said


def synced(person: Person, since: str, limit: int) -> list[list[dict[str, Any]]]:
    pages, more = [], True
    while more:
        answer = ok(person.get("/api/sync", since=since, limit=limit))
        since, more = answer["cursor"], answer["more"]
        pages.append(answer["messages"])
    assert ok(person.get("/api/sync", since=since))["messages"] == []
    return pages


def searched(person: Person, words: str, limit: int) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    before: dict[str, Any] = {}
    while not pages or len(pages[-1]) == limit:
        answer = person.get("/api/search", q=words, limit=limit, **before)
        pages.append(answer.json)
        before = {"before": pages[-1][-1]["id"]} if pages[-1] else {}
    return pages


@pytest.mark.parametrize("some", [1, 3, 1_000])
def test_sync_of_many_chats_misses_nothing(
    some: int,
    ada: Person,
    since: str,
    said: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {limit: synced(ada, since, limit) for limit in (2, 5, 200)}
    assert len(few[200][0]) == len(said)
    monkeypatch.setattr("chat.channels.MANY", 0)
    monkeypatch.setattr("chat.sync.GONE_THROUGH", some)

    assert {limit: synced(ada, since, limit) for limit in (2, 5, 200)} == few


@pytest.mark.parametrize("texts", [1, 3, 400])
@pytest.mark.parametrize("words", ["meeting", "zebra", "meeting zebra", "nothing"])
def test_search_in_many_chats_misses_nothing(
    words: str,
    texts: int,
    ada: Person,
    said: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = [searched(ada, words, limit) for limit in (2, 5, 200)]
    assert sum(map(len, few[2])) == {"meeting": 11, "nothing": 0}.get(words, 2)
    monkeypatch.setattr("chat.channels.MANY", 0)
    monkeypatch.setattr("chat.search.LATEST", texts)

    assert [searched(ada, words, limit) for limit in (2, 5, 200)] == few
