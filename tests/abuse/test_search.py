"""Searches and texts that are made to cost much."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import event, insert, update

from chat.words import words
from config import Settings, load
from database import db, utcnow
from models import Channel, Message, Word
from tests.support.conversations import Chat, delete, edit, found, ok, sqlite_only
from tests.support.people import ChatServer, Person, looking_into, stored
from tests.support.servers import HOST

MOST_WORDS = 300
HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))
MARKS = "a" + "\u0f81" * 4_999
#: 65 words that all begin with the letter that every word of the messages begins with.
QUERY = " ".join(f"a{number}" for number in range(65))[:200]


def index_heavy_messages(settings: Settings, person: Person, chat: Chat, count: int) -> None:
    """Messages of 800 words that all begin with an a, as an older version has indexed them."""
    with looking_into(settings) as connection:
        row = {"channel_id": chat["channel_id"], "sender_id": person.id, "created_at": utcnow()}
        for number in range(count):
            text = " ".join(f"a{word}x{number}" for word in range(800))
            added = insert(Message).values(text=text, **row).returning(Message.id)
            message_id = connection.scalar(added)
            rows = [
                {"channel_id": row["channel_id"], "word": w, "message_id": message_id}
                for w in words(text)
            ]
            connection.execute(insert(Word), rows)
        newest = {"last_message_id": message_id, "indexed_id": message_id}
        connection.execute(update(Channel).values(newest))
        connection.commit()


@contextmanager
def instructions(app: Flask) -> Iterator[list[int]]:
    """Counts the instructions that SQLite carries out meanwhile, in hundreds."""
    count = [0]

    def one_more() -> None:
        count[0] += 1

    def note(connection: Any, *_: Any) -> None:
        connection.connection.driver_connection.set_progress_handler(one_more, 100)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield count
    finally:
        event.remove(engine, "before_cursor_execute", note)
        engine.dispose()


@pytest.mark.abuse
@sqlite_only
def test_a_search_costs_no_more_where_more_is_indexed(
    app: Flask, ada: Person, chat: Chat, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.search.MOST_ROWS", 500, raising=False)
    index_heavy_messages(settings, ada, chat, 80)
    with instructions(app) as few:
        assert len(found(ada, QUERY)) == 50

    index_heavy_messages(settings, ada, chat, 240)
    with instructions(app) as many:
        assert len(found(ada, QUERY)) == 50

    assert few[0] > 100, "need a search that reads the index"
    assert many[0] < 1.5 * few[0]


@pytest.mark.abuse
def test_early_ends_of_a_search_lead_on_to_all(
    ada: Person, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.search.MOST_SECONDS", 0, raising=False)
    said = [ada.said(chat, text)["id"] for text in ["red", "blue", "red and blue", "green", "red"]]

    ids, pages = [], 0
    path: str | None = "/api/search?q=red&limit=50&channel=" + chat["channel_name"]
    while path:
        answer = ada.get(path)
        ids += [message["id"] for message in answer.json]
        pages += 1
        path = answer.links.get("next", "").removeprefix("http://localhost")

    assert ids == [said[4], said[2], said[0]]
    assert pages > 2


@pytest.mark.abuse
@pytest.mark.slow
@sqlite_only
def test_searches_nobody_waits_for_hold_up_nobody(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    index_heavy_messages(load(server.settings), ada, ada.asks(bob).json, 300)
    asked = f"GET /api/search?q={quote(QUERY)} HTTP/1.1\r\nHost: x\r\n"
    asked += f"Authorization: Bearer {ada.token}\r\n\r\n"

    with ExitStack() as stack:
        for _ in range(26):
            attack = stack.enter_context(socket.create_connection((HOST, server.port)))
            attack.sendall(asked.encode())

    assert [bob.get("/api/me").status for _ in range(10)] == [200] * 10


# Texts -------------------------------------------------------------------------------------------


@pytest.mark.abuse
def test_a_text_of_many_words_makes_one_row(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    assert len(words(HAN)) == 5_000, "need a text of many words"
    message = ada.said(chat, HAN)

    assert len(stored(settings, "words")["words"]) == 1
    assert found(bob, HAN[2_000:2_010]) == found(bob, HAN[-1]) == [HAN]
    assert found(bob, HAN[0] + HAN[2]) == []

    ok(edit(ada, message, "few words"))

    assert found(bob, HAN[:2]) == []
    assert found(bob, "few") == ["few words"]
    assert {row[1] for row in stored(settings, "words")["words"]} == {"few", "words"}


@pytest.mark.abuse
def test_as_many_words_as_allowed_are_indexed(
    ada: Person, chat: Chat, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.index.UNINDEXED", 0)
    ada.said(chat, HAN[:MOST_WORDS])
    ada.said(chat, HAN[: MOST_WORDS + 1])

    assert len(stored(settings, "words")["words"]) == MOST_WORDS + 1
    assert len(found(ada, HAN[:3])) == 2


@pytest.mark.abuse
def test_words_of_an_older_version_are_erased_too(
    ada: Person, chat: Chat, settings: Settings
) -> None:
    message = ada.said(chat, HAN)
    with looking_into(settings) as connection:
        rows = [
            {"channel_id": chat["channel_id"], "word": word, "message_id": message["id"]}
            for word in words(HAN)
        ]
        connection.execute(insert(Word), rows)
        connection.commit()

    ok(delete(ada, message))

    assert stored(settings, "words")["words"] == []


@pytest.mark.abuse
def test_long_runs_of_marks_are_cut_for_search(ada: Person, bob: Person, chat: Chat) -> None:
    message = ada.said(chat, MARKS)

    assert message["message"] == bob.reads(chat).json[0]["message"] == MARKS
    assert found(bob, MARKS[:200]) == found(bob, "a") == [MARKS]
    assert max(map(len, words(MARKS))) <= 64
    assert words("a" + "\u0f81" * 40) == words(MARKS)
