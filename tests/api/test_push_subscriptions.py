"""Subscriptions to pushes and muted chats, as clients see them."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from chat.pushes import SUBSCRIPTIONS
from config import Settings
from tests.support.conversations import block, delete, entry, statements
from tests.support.people import Api, InProcess, Person, at_once, refused, stored
from tests.support.push_service import Browser, decoded

PATH = "/api/push/subscriptions"
PUBLIC = "https://1.1.1.1/send/"  # an address, so that no name has to be found


def browser(name: str = "abc") -> dict[str, Any]:
    return Browser(f"{PUBLIC}{name}").subscription


def put(person: Person, subscription: dict[str, Any]) -> Any:
    return person.request("PUT", PATH, subscription)


def subscriptions(settings: Settings) -> list[tuple[int, str]]:
    """Whose they are, and their endpoints, by id."""
    rows = sorted(stored(settings, "push_subscriptions")["push_subscriptions"])
    return [(row[1], row[3]) for row in rows]


def pushes(settings: Settings) -> list[tuple[Any, ...]]:
    return stored(settings, "pushes")["pushes"]


def mute(person: Person, chat: dict[str, Any], method: str = "PUT") -> None:
    answer = person.request(method, f"/api/chats/{chat['channel_name']}/mute")
    assert (answer.status, answer.body) == (204, b"")


# Subscriptions -------------------------------------------------------------------------------


def test_the_key_is_a_point_that_stays(ada: Person, bob: Person) -> None:
    key = ada.get("/api/push/key").json["key"]

    assert (len(decoded(key)), decoded(key)[0]) == (65, 4)
    assert bob.get("/api/push/key").json == {"key": key}


def test_an_endpoint_belongs_to_its_last_owner(
    ada: Person, bob: Person, settings: Settings
) -> None:
    for person in (ada, ada, bob):
        assert put(person, browser()).status == 204

    assert subscriptions(settings) == [(bob.id, f"{PUBLIC}abc")]


def test_only_its_owner_removes_a_subscription(
    ada: Person, eve: Person, settings: Settings
) -> None:
    put(ada, browser())

    assert eve.request("DELETE", PATH, browser()).status == 204
    assert len(subscriptions(settings)) == 1
    for _ in range(2):
        assert ada.request("DELETE", PATH, browser()).status == 204
        assert subscriptions(settings) == []


def test_the_oldest_of_too_many_subscriptions_goes(
    ada: Person, bob: Person, settings: Settings
) -> None:
    put(bob, browser("bob"))
    for number in range(SUBSCRIPTIONS + 2):
        assert put(ada, browser(f"{number}")).status == 204

    kept = [(bob.id, f"{PUBLIC}bob")]
    kept += [(ada.id, f"{PUBLIC}{number}") for number in range(2, SUBSCRIPTIONS + 2)]
    assert subscriptions(settings) == kept


def test_the_newest_stays_whoever_had_it_before(
    ada: Person, bob: Person, settings: Settings
) -> None:
    put(bob, browser("shared"))
    for number in range(SUBSCRIPTIONS):
        put(ada, browser(f"{number}"))

    assert put(ada, browser("shared")).status == 204

    assert (ada.id, f"{PUBLIC}shared") in subscriptions(settings)
    assert (ada.id, f"{PUBLIC}0") not in subscriptions(settings)
    assert len(subscriptions(settings)) == SUBSCRIPTIONS


def test_many_at_once_leave_no_more(ada: Person, settings: Settings) -> None:
    for number in range(SUBSCRIPTIONS - 1):
        put(ada, browser(f"{number}"))

    answers = at_once(6, lambda number: put(ada, browser(f"new {number // 2}".replace(" ", ""))))

    assert [each.status for each in answers] == [204] * 6
    assert len(subscriptions(settings)) == SUBSCRIPTIONS


KEYS = browser()["keys"]
BAD: dict[str, dict[str, Any]] = {
    "no endpoint": {"endpoint": None},
    "a number": {"endpoint": 7},
    "no address": {"endpoint": "push"},
    "a space": {"endpoint": f"{PUBLIC}a b"},
    "a line": {"endpoint": f"{PUBLIC}a\r\nX-Evil: 1"},
    "a user": {"endpoint": "https://ada:secret@1.1.1.1/send"},
    "a fragment": {"endpoint": f"{PUBLIC}a#b"},
    "another scheme": {"endpoint": "ftp://1.1.1.1/send"},
    "no port": {"endpoint": "https://1.1.1.1:70000/send"},
    "too long": {"endpoint": PUBLIC + "a" * 2_000},
    "http": {"endpoint": "http://1.1.1.1/send"},
    "loopback": {"endpoint": "https://127.0.0.1/send"},
    "loopback by name": {"endpoint": "https://localhost/send"},
    "loopback as a number": {"endpoint": "https://2130706433/send"},
    "loopback in six": {"endpoint": "https://[::1]/send"},
    "loopback mapped": {"endpoint": "https://[::ffff:127.0.0.1]/send"},
    "loopback compatible": {"endpoint": "https://[::127.0.0.1]/send"},
    "loopback translated": {"endpoint": "https://[::ffff:0:127.0.0.1]/send"},
    "private": {"endpoint": "https://10.0.0.1/send"},
    "private in six": {"endpoint": "https://[fd00::1]/send"},
    "private in old six": {"endpoint": "https://[fec0::1]/send"},
    "private by translation": {"endpoint": "https://[64:ff9b::a00:1]/send"},
    "private by local translation": {"endpoint": "https://[64:ff9b:1::a00:1]/send"},
    "private by tunnel": {"endpoint": "https://[2002:a00:1::1]/send"},
    "link-local": {"endpoint": "https://169.254.169.254/latest/meta-data"},
    "unspecified": {"endpoint": "https://0.0.0.0/send"},
    "multicast": {"endpoint": "https://224.0.0.1/send"},
    "no such host": {"endpoint": "https://push.invalid/send"},
    "no keys": {"keys": None},
    "keys that are none": {"keys": "abc"},
    "no auth": {"keys": {"p256dh": KEYS["p256dh"]}},
    "short auth": {"keys": {**KEYS, "auth": "abc"}},
    "no point": {"keys": {**KEYS, "p256dh": "B" + "A" * 86}},
    "a time that is none": {"expirationTime": "tomorrow"},
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_subscriptions_are_refused_and_leave_nothing(
    ada: Person, settings: Settings, fault: str
) -> None:
    answer = put(ada, {**browser(), **BAD[fault]})

    message = refused(answer, 400, "invalid")
    assert next(iter(BAD[fault])) in message
    assert "should" not in message, "those are pydantic's words"
    assert subscriptions(settings) == []


def test_private_addresses_are_taken_where_allowed(make_api: Callable[..., InProcess]) -> None:
    ada = make_api(push_allow_private=True).sign_up("ada")

    for endpoint in ("http://127.0.0.1:9/send", "https://localhost/send"):
        assert put(ada, Browser(endpoint).subscription).status == 204


def test_one_private_address_of_several_is_enough(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("1.1.1.1", "192.168.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    refused(put(ada, Browser("https://push.example/a").subscription), 400, "invalid")


# With the login ------------------------------------------------------------------------------


def test_a_subscription_ends_with_its_login(api: Api, ada: Person, settings: Settings) -> None:
    phone = api.sign_in("ada")
    put(ada, browser("laptop"))
    put(phone, browser("phone"))

    assert phone.post("/api/logout").status == 204

    assert subscriptions(settings) == [(ada.id, f"{PUBLIC}laptop")]
    assert ada.post("/api/logout", {"all": True}).status == 204
    assert subscriptions(settings) == []


def test_a_subscription_survives_a_refresh(api: Api, ada: Person, settings: Settings) -> None:
    put(ada, browser())

    data = ada.post("/api/refresh").json["data"]

    assert len(subscriptions(settings)) == 1
    assert Person(api, **data).post("/api/logout").status == 204
    assert subscriptions(settings) == []


def test_a_deleted_account_leaves_no_subscription(ada: Person, settings: Settings) -> None:
    put(ada, browser())

    assert ada.request("DELETE", "/api/me", {"password": "correct horse"}).status == 204

    assert subscriptions(settings) == []


# Recording -----------------------------------------------------------------------------------


def test_a_message_is_recorded_for_each_browser(
    ada: Person, bob: Person, chat: dict[str, Any], settings: Settings
) -> None:
    for name in ("laptop", "phone"):
        put(bob, browser(name))
    put(ada, browser("ada"))

    message = ada.said(chat, "Hello", client_message_id="a")
    assert ada.says(chat, "Hello", client_message_id="a").status == 200
    file = ada.sends(chat, "notes.txt", b"Hello").json

    rows = pushes(settings)
    assert sorted(row[1] for row in rows) == [message["id"]] * 2 + [file["id"]] * 2
    assert {row[2] for row in rows} == {"1.1.1.1"}


def test_muted_chats_record_no_push(
    ada: Person, bob: Person, chat: dict[str, Any], settings: Settings
) -> None:
    for person in (ada, bob):
        put(person, browser(person.username))
    mute(bob, chat)
    mute(bob, chat)
    assert (entry(bob, chat)["muted"], entry(ada, chat)["muted"]) == (True, False)

    ada.said(chat, "Hello")
    assert pushes(settings) == []
    bob.said(chat, "Hello")
    assert len(pushes(settings)) == 1

    mute(bob, chat, "DELETE")
    assert entry(bob, chat)["muted"] is False
    ada.said(chat, "Hello")
    assert len(pushes(settings)) == 2


def test_other_peoples_chats_cannot_be_muted(eve: Person, chat: dict[str, Any]) -> None:
    for name in (chat["channel_name"], chat["channel_id"], "private-chat_98_99"):
        for method in ("PUT", "DELETE"):
            refused(eve.request(method, f"/api/chats/{name}/mute"), 404, "not_found")


def test_subscriptions_make_a_send_little_dearer(
    app: Flask, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    def cost() -> int:
        with statements(app) as made:
            ada.said(chat, "Hello")
        return len(made)

    assert cost() == 5  # as without pushes
    put(bob, browser("phone"))
    assert cost() == 7
    for number in range(5):
        put(bob, browser(f"{number}"))
    assert cost() == 7
    mute(bob, chat)
    assert cost() == 5


def test_blocked_and_deleted_messages_are_still_refused(
    ada: Person, bob: Person, chat: dict[str, Any], settings: Settings
) -> None:
    put(bob, browser())
    message = ada.said(chat, "Hello")
    assert delete(ada, message).status == 200
    assert block(bob, ada).status == 204

    refused(ada.says(chat, "Hello"), 403, "blocked")
    assert len(pushes(settings)) == 1  # which finds nothing to send
