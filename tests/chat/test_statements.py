"""Requests make the same number of statements however much there is, the caller's included."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from config import Settings
from tests.support.conversations import Chat, mark, now, statements
from tests.support.people import Answer, Person, fill, runtime_of

Request = Callable[[Person, Chat], Answer]
MOST: dict[str, tuple[int, Request]] = {
    "send": (5, lambda ada, chat: ada.says(chat, "Hello, Bob")),
    "a send that has words indexed": (7, lambda ada, chat: ada.says(chat, "Hello, Bob! " * 400)),
    "a message without words": (5, lambda ada, chat: ada.says(chat, "😀")),
    "a page": (4, lambda ada, chat: ada.reads(chat, limit=50)),
    "a page before": (4, lambda ada, chat: ada.reads(chat, before=2**63 - 1)),
    "a page after": (4, lambda ada, chat: ada.reads(chat, after=0)),
    "a page around": (4, lambda ada, chat: ada.reads(chat, around=1)),
    "the inbox": (2, lambda ada, chat: ada.get("/api/chats")),
    "a mark": (5, lambda ada, chat: mark(ada, chat)),
    "what is new": (5, lambda ada, chat: ada.get("/api/sync", since=now(ada))),
    "a search": (5, lambda ada, chat: ada.get("/api/search", q="number hello")),
    "a search in a channel": (
        5,
        lambda ada, chat: ada.get("/api/search", q="number", channel=chat["channel_id"]),
    ),
    # The right is checked twice: before the connection is remembered, and after it.
    "a signature": (4, lambda ada, chat: ada.signs(chat["channel_name"])),
    # It is remembered in another process, which is told by a row.
    "a signature for another process": (7, lambda ada, chat: ada.signs(chat["channel_name"])),
}


@pytest.mark.parametrize("request_", MOST)
def test_a_request_makes_few_statements_however_much_there_is(
    app: Flask, ada: Person, bob: Person, chat: Chat, settings: Settings, request_: str
) -> None:
    most, ask = MOST[request_]
    gateway = runtime_of(app).gateway
    assert gateway
    if request_ == "a signature":
        gateway.open()

    def cost() -> int:
        with statements(app) as made:
            answer: Any = ask(ada, chat)
        assert answer.status in (200, 201), answer
        return len(made) - (3 if request_ == "what is new" else 0)  # those that now() makes

    bob.said(chat, "number one")
    few = cost()
    fill(settings, bob, chat, 300)

    assert (few, cost()) == (most, most)
    gateway.stop()
