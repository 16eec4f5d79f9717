"""Reactions: emojis of the two people on a message."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from config import Settings
from tests.support.conversations import (
    Chat,
    Message,
    News,
    block,
    changes,
    delete,
    edit,
    entry,
    now,
    ok,
    react,
    statements,
    to_both,
    unreact,
)
from tests.support.people import Person, at_once, refused

UP, DOWN, HEART = "\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}", "\u2764"
TEN = [chr(code) for code in range(0x1F600, 0x1F60A)]


@pytest.fixture
def message(ada: Person, chat: Chat) -> Message:
    return ada.said(chat, "Cake?")


def reactions(answer: Any) -> list[tuple[str, list[int]]]:
    return [(each["emoji"], each["users"]) for each in ok(answer)["reactions"]]


def test_a_reaction_is_seen_by_both_everywhere(
    ada: Person, bob: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    since, news = now(ada), News(settings)

    reacted = ok(react(bob, message, UP))

    assert reacted == {**message, "reactions": [{"emoji": UP, "users": [bob.id]}]}
    assert news() == to_both(chat, "message_updated", reacted)
    assert changes(ada, since)["messages"] == [reacted]
    assert ada.reads(chat).json == ada.reads(chat, limit=1).json == [reacted]
    assert entry(ada, chat)["last_message"] == reacted
    assert ada.get("/api/search", q="cake").json == [reacted]


def test_reactions_stand_as_they_first_came(ada: Person, bob: Person, message: Message) -> None:
    react(bob, message, HEART)
    react(bob, message, UP)
    react(ada, message, UP)

    assert reactions(react(ada, message, DOWN)) == [
        (HEART, [bob.id]),
        (UP, [bob.id, ada.id]),
        (DOWN, [ada.id]),
    ]


@pytest.mark.parametrize("change", [react, unreact])
def test_the_same_again_changes_nothing(
    bob: Person, message: Message, settings: Settings, change: Callable[..., Any]
) -> None:
    react(bob, message, UP)
    before = change(bob, message, UP)
    since, news = now(bob), News(settings)

    again = change(bob, message, UP)

    assert (again.status, again.json) == (200, before.json)
    assert news() == []
    assert changes(bob, since)["messages"] == []


def test_a_reaction_is_taken_back(
    ada: Person, bob: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    for person in (ada, bob):
        react(person, message, UP)
    news = News(settings)

    left = ok(unreact(ada, message, UP))

    assert left["reactions"] == [{"emoji": UP, "users": [bob.id]}]
    assert news() == to_both(chat, "message_updated", left)
    assert reactions(unreact(bob, message, UP)) == []


def test_nobody_takes_back_what_others_put(ada: Person, bob: Person, message: Message) -> None:
    react(ada, message, UP)

    assert reactions(unreact(bob, message, UP)) == [(UP, [ada.id])]


def test_the_look_of_an_emoji_makes_no_difference(
    ada: Person, bob: Person, message: Message
) -> None:
    react(bob, message, "\u2764\ufe0f")

    assert reactions(react(ada, message, "\u2764")) == [("\u2764\ufe0f", [bob.id, ada.id])]
    assert reactions(unreact(bob, message, "\u2764")) == [("\u2764\ufe0f", [ada.id])]


@pytest.mark.parametrize(
    "emoji",
    [
        *(UP, HEART, "\u00a9", "\U0001f1e9\U0001f1ea", "1\ufe0f\u20e3", "#\u20e3", "*\u20e3"),
        UP + "\U0001f3fd",
        "\u200d".join(["\U0001f468", "\U0001f469", "\U0001f467", "\U0001f466"]),
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        UP + "\u0301" * 30,
    ],
)
def test_an_emoji_is_taken_as_sent(bob: Person, message: Message, emoji: str) -> None:
    assert reactions(react(bob, message, emoji)) == [(emoji, [bob.id])]


@pytest.mark.parametrize(
    "text",
    [
        *("a", "1", "#", "ab", UP + UP, UP + "a", " ", " " + UP, "\U0001f1e9", "e\u0301", "\u200d"),
        *("a\u20e3", "\u20e3", "\ufe0f", "\u6771", UP + "\x00", UP + "\u200e", UP + "\u0301" * 31),
    ],
)
@pytest.mark.parametrize("change", [react, unreact])
def test_what_is_no_emoji_is_refused(
    bob: Person, chat: Chat, message: Message, text: str, change: Callable[..., Any]
) -> None:
    assert "emoji" in refused(change(bob, message, text), 400, "invalid")

    assert bob.reads(chat).json == [message]


def test_bytes_that_are_no_text_are_refused(bob: Person, message: Message) -> None:
    path = f"/api/messages/{message['id']}/reactions/%F0%9F%91"

    assert bob.request("PUT", path).status in (400, 404)


def test_one_person_has_ten_reactions_at_most(ada: Person, bob: Person, message: Message) -> None:
    for emoji in TEN:
        ok(react(bob, message, emoji))

    refused(react(bob, message, UP), 409, "conflict")

    assert reactions(react(bob, message, TEN[0])) == [(each, [bob.id]) for each in TEN]
    assert len(reactions(react(ada, message, UP))) == 11
    ok(unreact(bob, message, TEN[0]))
    assert len(reactions(react(bob, message, UP))) == 10


@pytest.mark.parametrize("change", [react, unreact])
def test_strangers_cannot_react_to_a_message(
    eve: Person, message: Message, settings: Settings, change: Callable[..., Any]
) -> None:
    news = News(settings)

    answer = change(eve, message, UP)
    missing = change(eve, {"id": 7777}, UP)

    refused(answer, 404, "not_found")
    assert answer.timeless == missing.timeless
    assert news() == []


def test_a_deletion_clears_all_reactions(ada: Person, bob: Person, message: Message) -> None:
    react(bob, message, UP)

    assert ok(delete(ada, message))["reactions"] == []

    refused(react(bob, message, UP), 409, "conflict")
    assert reactions(unreact(bob, message, UP)) == []


def test_an_edit_keeps_the_reactions(ada: Person, bob: Person, message: Message) -> None:
    react(bob, message, UP)

    assert reactions(edit(ada, message, "Cookies?")) == [(UP, [bob.id])]


def test_a_reaction_is_no_edit(ada: Person, bob: Person, message: Message) -> None:
    edited = ok(edit(ada, message, "Cookies?"))

    assert ok(react(bob, message, UP))["edited_at"] == edited["edited_at"]


@pytest.mark.parametrize("ada_blocks", [True, False])
def test_a_block_ends_reacting_but_not_taking_back(
    ada: Person, bob: Person, message: Message, ada_blocks: bool
) -> None:
    react(bob, message, UP)
    block(ada, bob) if ada_blocks else block(bob, ada)

    refused(react(bob, message, DOWN), 403, "blocked")
    refused(react(bob, message, UP), 403, "blocked")

    assert reactions(unreact(bob, message, UP)) == []


def test_reactions_at_once_are_all_kept(ada: Person, bob: Person, chat: Chat) -> None:
    message = ada.said(chat, "All of you?")
    calls = [(person, emoji) for person in (ada, bob) for emoji in TEN]

    at_once(len(calls), lambda number: ok(react(calls[number][0], message, calls[number][1])))

    (found,) = ada.reads(chat).json
    assert {each["emoji"] for each in found["reactions"]} == set(TEN)
    assert {tuple(sorted(each["users"])) for each in found["reactions"]} == {(ada.id, bob.id)}


def test_a_connection_can_be_left_out_of_reactions(
    bob: Person, message: Message, settings: Settings
) -> None:
    news = News(settings)

    react(bob, message, UP, headers={"X-Socket-ID": "1.2"})

    assert {row["socket_id"] for row in news.rows()} == {"1.2"}


def test_a_page_with_reactions_takes_no_more_statements(
    app: Flask, ada: Person, bob: Person, chat: Chat, message: Message
) -> None:
    with statements(app) as before:
        ada.reads(chat, limit=50)
    for emoji in TEN:
        react(bob, message, emoji)

    with statements(app) as after:
        ada.reads(chat, limit=50)

    assert len(after) == len(before)


def test_reactions_count_as_messages(make_api: Any) -> None:
    api = make_api(ratelimit_messages="3 per minute")
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    message = ada.said(ada.asks(bob).json, "Cake?")

    for emoji in TEN[:3]:
        ok(react(bob, message, emoji))

    refused(react(bob, message, UP), 429, "rate_limited")
    assert len(reactions(unreact(bob, message, TEN[0]))) == 2
