"""What front ends of the family read: the type and the extras of messages, and who they are."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from config import Settings
from tests.support.conversations import (
    Chat,
    Message,
    News,
    changes,
    delete,
    edit,
    entry,
    mark,
    now,
    ok,
)
from tests.support.people import Api, InProcess, Person, events, refused, stored

SENTIMENT = {"sentiment": {"polarity": 0}}
KEPT_IN_ORDER = {"zeta": None, "alpha": [1, "é🎈", {"deep": True}], "": 0.5}


def compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def api_with(make_api: Callable[..., InProcess], extras: dict[str, Any]) -> InProcess:
    """An API with these extras, of which the OpenAPI document cannot know."""
    api = make_api(message_extras=json.dumps(extras))
    api.judge = lambda *_: None
    return api


def shown_everywhere(api: Api, settings: Settings) -> dict[str, list[Message]]:
    """The message objects of a conversation by the place that shows them."""
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    since, news = now(bob), News(settings)
    sent = ada.said(chat, "tea at four", client_message_id="a1")
    shown = {
        "the answer": [sent],
        "the answer to a retry": [ok(ada.says(chat, "tea at four", client_message_id="a1"))],
        "the history": bob.reads(chat).json,
        "a page": bob.reads(chat, limit=1).json,
        "a page around it": bob.reads(chat, around=sent["id"]).json,
        "the inbox": [entry(bob, chat)["last_message"]],
        "sync": changes(bob, since)["messages"],
        "search": bob.get("/api/search", q="tea").json,
        "an edit": [ok(edit(ada, sent, "tea at five"))],
        "the same edit": [ok(edit(ada, sent, "tea at five"))],
        "search after an edit": bob.get("/api/search", q="five").json,
        "a deletion": [ok(delete(ada, sent))],
        "the same deletion": [ok(delete(ada, sent))],
        "the history after it": bob.reads(chat).json,
        "sync after it": changes(bob, since)["messages"],
    }
    for channel, name, data in news():
        message = data["message"] if name == "new_chat" else data
        shown.setdefault(f"{name} on {channel.partition('_')[0]}", []).append(message)
    return shown


EVENTS = {
    *("new_message on private-chat", "new_chat on private-notification"),
    *("message_updated on private-chat", "message_updated on private-notification"),
    *("message_deleted on private-chat", "message_deleted on private-notification"),
}


def test_every_message_object_has_the_type_text(api: Api, settings: Settings) -> None:
    shown = shown_everywhere(api, settings)

    assert shown.keys() >= EVENTS
    for place, messages in shown.items():
        assert [message["type"] for message in messages] in (["Text"], ["Text"] * 2), place
        assert list(messages[0])[:8] == [
            *("id", "channel_id", "channel", "from_user", "to_user", "type", "message"),
            "created_at",
        ], place


@pytest.mark.parametrize("extras", [SENTIMENT, KEPT_IN_ORDER], ids=["sentiment", "many"])
def test_extras_stand_in_every_message_object(
    make_api: Callable[..., InProcess], settings: Settings, extras: dict[str, Any]
) -> None:
    shown = shown_everywhere(api_with(make_api, extras), settings)

    assert shown.keys() >= EVENTS
    for place, messages in shown.items():
        assert messages, place
        for message in messages:
            found = {name: value for name, value in message.items() if name in extras}
            assert compact(found) == compact(extras), place
            assert message["type"] == "Text", place


def test_messages_have_no_more_members_without_extras(ada: Person, bob: Person, chat: Chat) -> None:
    assert ada.said(chat, "hello").keys() == {
        *("id", "channel_id", "channel", "from_user", "to_user", "type", "message"),
        *("created_at", "client_message_id", "edited_at", "deleted_at"),
        *("file", "reply_to", "reactions"),
    }


def test_extras_of_today_stand_in_old_messages(
    make_api: Callable[..., InProcess], ada: Person, bob: Person, chat: Chat
) -> None:
    old = ada.said(chat, "from before")
    today = api_with(make_api, SENTIMENT)

    history = Person(today, bob.id, "bob", bob.token, 1).reads(chat).json

    assert history == [{**old, **SENTIMENT}]
    assert bob.reads(chat).json == [old], "they are not stored"


def test_a_body_cannot_set_the_type_or_an_extra(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    api = api_with(make_api, SENTIMENT)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json

    message = ada.said(chat, "hello", type="Image", sentiment={"polarity": 1})

    assert (message["type"], message["sentiment"]) == ("Text", {"polarity": 0})


@pytest.mark.parametrize("character", ["x", "名", "🎈", '"'])
def test_an_event_with_extras_has_the_longest_fitting_text(
    make_api: Callable[..., InProcess], settings: Settings, character: str
) -> None:
    extras = {"padding": "é" * 505}
    api = api_with(make_api, extras)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    text = character * 5_000

    message = ada.said(chat, text)

    assert message["message"] == text
    fitting = 0
    for event in events(settings)[1:]:
        data = event["data"]
        carried = data["message"] if event["name"] == "new_chat" else data
        assert carried["padding"] == extras["padding"]
        if "truncated" not in carried:
            assert carried == message
            assert len(compact(data).encode()) <= 10_240
            continue
        fitting += 1
        assert carried == {**message, "message": carried["message"], "truncated": True}
        assert text.startswith(carried["message"])
        one_more = len(compact(character).encode()) - 2
        assert 10_240 - one_more < len(compact(data).encode()) <= 10_240
    assert fitting == (0 if character == "x" else 2)


def test_a_deletion_empties_waiting_events_with_extras(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    api = api_with(make_api, {"text": "of the front end", **SENTIMENT})
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    message = ada.said(chat, "a secret 名" * 500)

    ok(delete(ada, message))

    waiting = [event["data"] for event in events(settings)[1:]]
    carried = [data["message"] if "channel_name" in data else data for data in waiting]
    assert len(carried) == 5
    for each in carried:
        assert (each["message"], each["text"]) == ("", "of the front end")
        assert each["sentiment"] == {"polarity": 0}
        assert "truncated" not in each
    assert "secret" not in str(stored(settings))


def test_an_event_without_a_message_has_no_extras(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    api = api_with(make_api, SENTIMENT)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    ada.said(chat, "hello")
    news = News(settings)

    assert "sentiment" not in ok(mark(bob, chat))
    assert "sentiment" not in chat

    assert not any("sentiment" in data for _, _, data in news())


# The export --------------------------------------------------------------------------------------


def exported(person: Person) -> list[dict[str, Any]]:
    answer = person.get("/api/me/export")
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def test_an_exported_message_has_its_type_beside_the_lines(
    ada: Person, bob: Person, chat: Chat
) -> None:
    message = ada.said(chat, "hello")

    lines = exported(bob)

    assert [line["type"] for line in lines] == ["user", "channel", "message"]
    assert lines[2] == {**message, "type": "message", "message_type": "Text"}
    assert not any("message_type" in line for line in lines[:2])


def test_extras_stand_in_exported_messages(make_api: Callable[..., InProcess]) -> None:
    api = api_with(make_api, SENTIMENT)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    ada.said(chat, "hello")

    user, channel, message = exported(ada)

    assert message["sentiment"] == {"polarity": 0}
    assert message["message_type"] == "Text"
    assert "sentiment" not in user
    assert "sentiment" not in channel


# Who somebody is ---------------------------------------------------------------------------------


def test_users_me_tells_callers_who_they_are(ada: Person, bob: Person) -> None:
    for person in (ada, bob):
        answer = person.get("/api/users/me")

        assert answer.status == 200
        assert answer.json == {
            "status": "success",
            "data": {"id": person.id, "username": person.username},
        }
        assert answer.json["data"].items() <= person.get("/api/me").json.items()


def test_users_me_wants_a_token_that_lives(api: Api, ada: Person) -> None:
    refused(api.get("/api/users/me"), 401, "unauthorized")
    assert ada.post("/api/logout").status == 204

    answer = ada.get("/api/users/me")

    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_users_me_takes_no_other_method(ada: Person) -> None:
    answer = ada.post("/api/users/me", {})

    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_presence_tells_the_id_and_the_name(ada: Person, bob: Person) -> None:
    for person in (ada, bob):
        signature = ok(person.signs("presence-chitchat"))

        assert json.loads(signature["channel_data"]) == {
            "user_id": str(person.id),
            "user_info": {"id": person.id, "username": person.username},
        }


def test_presence_data_of_the_request_is_ignored(ada: Person, bob: Person) -> None:
    forged = {"user_id": str(bob.id), "user_info": {"id": bob.id, "username": "bob"}}
    body = {"socket_id": "123.456", "channel_name": "presence-chitchat"}

    signature = ok(ada.post("/api/pusher/auth", {**body, "channel_data": forged, **forged}))

    assert json.loads(signature["channel_data"])["user_info"] == {"id": ada.id, "username": "ada"}


def test_the_document_describes_what_front_ends_read(api: Api) -> None:
    document = ok(api.get("/api/openapi.json"))

    message = document["components"]["schemas"]["Message"]
    assert "Text" in message["properties"]["type"]["enum"]
    assert "type" in message["required"]
    assert "MESSAGE_EXTRAS" in message["description"]
    assert {"/api/users/me", "/api/pusher/user-auth"} <= document["paths"].keys()
    assert "message_type" in json.dumps(document["components"]["schemas"])
