"""Replies: a message that answers another one of its chat, and quotes it as it now stands."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from config import Settings
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    changes,
    delete,
    edit,
    entry,
    now,
    statements,
)
from tests.support.people import Person, events, refused, stored

SECRET = "Zanzibar"


@pytest.fixture
def question(bob: Person, chat: Chat) -> Message:
    return bob.said(chat, f"Shall we meet in {SECRET}?")


@pytest.fixture
def reply(ada: Person, chat: Chat, question: Message) -> Message:
    return ada.said(chat, "Yes", client_message_id="r1", reply_to=question["id"])


def quote_of(of: Message, **changed: Any) -> dict[str, Any]:
    quote = {name: of[name] for name in ("id", "from_user", "type", "message", "deleted_at")}
    return quote | changed


def test_a_reply_quotes_what_it_answers(question: Message, reply: Message) -> None:
    assert reply["reply_to"] == quote_of(question)
    assert question["reply_to"] is None


def test_every_list_and_event_has_the_quote(
    bob: Person, chat: Chat, question: Message, settings: Settings
) -> None:
    since, news = now(bob), News(settings)

    reply = bob.said(chat, "In spring, say", reply_to=question["id"])

    (new_message, new_chat) = (data for _, _, data in news())
    assert new_message == new_chat["message"] == reply
    assert bob.reads(chat).json[-1] == bob.reads(chat, limit=1).json[0] == reply
    assert changes(bob, since)["messages"] == [reply]
    assert entry(bob, chat)["last_message"] == reply
    assert bob.get("/api/search", q="spring").json == [reply]


def test_a_quote_has_200_characters_at_most(ada: Person, chat: Chat) -> None:
    long = ada.said(chat, "\N{GRINNING FACE}" * 300)

    reply = ada.said(chat, "Ha", reply_to=long["id"])

    assert reply["reply_to"]["message"] == "\N{GRINNING FACE}" * 200


def test_a_quote_is_as_its_message_now_stands(
    ada: Person, bob: Person, chat: Chat, question: Message, reply: Message
) -> None:
    edit(bob, question, "Shall we?")
    assert ada.reads(chat).json[-1]["reply_to"] == quote_of(question, message="Shall we?")

    deleted = delete(bob, question).json
    assert ada.reads(chat).json[-1]["reply_to"] == quote_of(deleted, message="")


def test_a_quote_that_changes_is_not_told_anew(
    ada: Person, bob: Person, question: Message, reply: Message
) -> None:
    since = now(ada)

    deleted = delete(bob, question).json

    assert changes(ada, since)["messages"] == [deleted]


def test_a_deletion_erases_the_text_in_waiting_replies(
    bob: Person, question: Message, reply: Message, settings: Settings
) -> None:
    assert SECRET in str([each["data"] for each in events(settings)])

    delete(bob, question)

    assert SECRET not in str(stored(settings, "events", "messages"))
    waiting = [each["data"] for each in events(settings) if each["message_id"] == reply["id"]]
    assert waiting[0] == {**reply, "reply_to": quote_of(question, message="")}


@pytest.mark.parametrize("wrong", ["7777", 7777, "of another chat"])
def test_only_a_message_of_the_chat_can_be_answered(
    ada: Person, bob: Person, eve: Person, chat: Chat, wrong: Any
) -> None:
    if wrong == "of another chat":
        wrong = eve.said(eve.asks(ada).json, "Psst")["id"]

    refused(bob.says(chat, "Yes", reply_to=wrong), 404, "not_found")

    assert bob.reads(chat).json == []


@pytest.mark.parametrize("wrong", ["x", 1.5, True, -1, 2**63, [1]])
def test_a_reply_to_no_number_is_refused(ada: Person, chat: Chat, wrong: Any) -> None:
    assert "reply_to" in refused(ada.says(chat, "Yes", reply_to=wrong), 400, "invalid")


def test_a_deleted_message_cannot_be_answered(
    ada: Person, bob: Person, chat: Chat, question: Message
) -> None:
    delete(bob, question)

    refused(ada.says(chat, "Yes", reply_to=question["id"]), 409, "conflict")

    assert len(ada.reads(chat).json) == 1


def test_a_retry_of_a_reply_is_answered(
    ada: Person, bob: Person, chat: Chat, question: Message, reply: Message
) -> None:
    """Also once what it answers is deleted."""
    again = {"client_message_id": "r1", "reply_to": question["id"]}

    first = ada.says(chat, "Yes", **again)
    delete(bob, question)
    second = ada.says(chat, "Yes", **again)

    assert (first.status, first.json) == (200, reply)
    assert (second.status, second.json["reply_to"]["message"]) == (200, "")


@pytest.mark.parametrize("other", [None, "another message", 7777])
def test_a_retry_that_answers_another_message_conflicts(
    ada: Person, chat: Chat, question: Message, reply: Message, other: Any
) -> None:
    reply_to = ada.said(chat, "Or not?")["id"] if other == "another message" else other

    answer = ada.says(chat, "Yes", client_message_id="r1", reply_to=reply_to)

    refused(answer, 409, "conflict")


def test_a_retry_of_a_reply_elsewhere_conflicts(
    ada: Person, eve: Person, question: Message, reply: Message
) -> None:
    elsewhere = ada.asks(eve).json

    answer = ada.says(elsewhere, "Yes", client_message_id="r1", reply_to=question["id"])

    refused(answer, 409, "conflict")
    assert ada.reads(elsewhere).json == []


def test_a_page_with_replies_takes_no_more_statements(
    app: Flask, ada: Person, chat: Chat, question: Message
) -> None:
    with statements(app) as before:
        ada.reads(chat, limit=50)
    for number in range(20):
        ada.said(chat, f"{number}", reply_to=question["id"])

    with statements(app) as after:
        ada.reads(chat, limit=50)

    assert len(after) == len(before)


def test_of_a_reply_and_a_deletion_either_is_first(ada: Person, bob: Person, chat: Chat) -> None:
    for _ in range(5 * OFTEN):
        asked = bob.said(chat, "Well?")

        with ThreadPoolExecutor(2) as pool:
            reply = pool.submit(ada.says, chat, "Yes", reply_to=asked["id"])
            gone = pool.submit(delete, bob, asked)

        assert gone.result().status == 200
        assert reply.result().status in (201, 409)
        quote = None if reply.result().status == 409 else quote_of(gone.result().json)
        assert bob.reads(chat).json[-1]["reply_to"] == quote
