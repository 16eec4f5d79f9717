"""Pushes on their way to push services that work, fail, hang or lie about where they are."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from database import db
from realtime.push_services import PushServices, made_up_key
from realtime.pushes import OF_STRANGERS, PAYLOAD_BYTES, Pushes
from tests.support.conversations import block, delete, edit, sqlite_only
from tests.support.people import InProcess, Person, runtime_of, stored
from tests.support.push_service import Browser, PushService
from tests.support.servers import HOST, eventually, free_port

KEY = made_up_key()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.pushes.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("realtime.pushes.FIRST_DELAY", 0.02)
    monkeypatch.setattr("realtime.pushes.LAST_DELAY", 0.05)


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as service:
        yield service


@pytest.fixture
def counts() -> dict[str, int]:
    return {}


@pytest.fixture
def api(make_api: Callable[..., InProcess]) -> InProcess:
    return make_api(push_allow_private=True)


@pytest.fixture
def app(api: InProcess) -> Flask:
    return api.app


@pytest.fixture
def make_sender(app: Flask, counts: dict[str, int]) -> Iterator[Callable[..., Pushes]]:
    """Starts to send what waits."""
    made: list[Pushes] = []

    def count(name: str, amount: int) -> None:
        counts[name] = counts.get(name, 0) + amount

    def make(may_send: Callable[[], bool] = lambda: True, *, private: bool = True) -> Pushes:
        with app.app_context():
            services = PushServices(KEY, "mailto:ops@example.com", allow_private=private)
            made.append(Pushes(db.engine, services, may_send, count))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def subscribe(person: Person, browser: Browser) -> Browser:
    answer = person.request("PUT", "/api/push/subscriptions", browser.subscription)
    assert answer.status == 204, answer
    return browser


def waiting(app: Flask) -> int:
    return len(stored(runtime_of(app).settings, "pushes")["pushes"])


def subscriptions(app: Flask) -> int:
    tables = stored(runtime_of(app).settings, "push_subscriptions")
    return len(tables["push_subscriptions"])


def all_is_sent(app: Flask) -> bool:
    return eventually(lambda: not waiting(app))


# What is told --------------------------------------------------------------------------------


def test_a_browser_reads_what_was_said(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    counts: dict[str, int],
) -> None:
    phone, laptop = (subscribe(bob, service.browser()) for _ in range(2))
    make_sender()

    message = ada.said(chat, "Hello, Bob 🎈")

    for browser in (phone, laptop):
        service.wait_for(browser, "Hello, Bob 🎈")
        (told,) = service.told(browser)
        del told["bytes"]
        assert told == {
            "from_user": ada.id,
            "username": "ada",
            "display_name": None,
            "channel": chat["channel_name"],
            "id": message["id"],
            "type": "Text",
            "message": "Hello, Bob 🎈",
        }
    assert all_is_sent(app)
    assert eventually(lambda: counts.get("chat_pushes_delivered_total") == 2)
    assert {each["sub"] for each in service.signatures} == {"mailto:ops@example.com"}


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["a", "é", "🎈", "\x01", '"'])
def test_a_long_text_is_cut_to_fit(
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    letter: str,
) -> None:
    phone = subscribe(bob, service.browser())
    make_sender()

    ada.said(chat, letter * 5_000)

    assert eventually(lambda: bool(service.told(phone)))
    (told,) = service.told(phone)
    assert set(told["message"]) == {letter}
    assert PAYLOAD_BYTES - 6 < told["bytes"] <= PAYLOAD_BYTES


def test_files_are_told_with_their_caption(
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
) -> None:
    phone = subscribe(bob, service.browser())
    make_sender()

    ada.sends(chat, "notes.txt", b"Hello", message="My notes")

    service.wait_for(phone, "My notes")
    assert service.told(phone)[0]["type"] == "File"


def test_what_is_not_wanted_any_more_stays(
    api: InProcess,
    app: Flask,
    ada: Person,
    bob: Person,
    eve: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
) -> None:
    phone = subscribe(bob, service.browser())
    ada.said(chat, "kept")
    edited = ada.said(chat, "first")
    delete(ada, ada.said(chat, "a secret"))
    edit(ada, edited, "second")
    given_away = subscribe(bob, service.browser())
    ada.said(chat, "for bob")
    subscribe(eve, given_away)
    muted = eve.asks(bob).json
    eve.said(muted, "muted meanwhile")
    bob.request("PUT", f"/api/chats/{muted['channel_name']}/mute")
    ivy = api.sign_up("ivy")
    ivy.said(ivy.asks(bob).json, "blocked meanwhile")
    block(bob, ivy)

    make_sender()

    assert all_is_sent(app)
    assert sorted(service.texts(phone)) == ["for bob", "kept", "second"]
    assert service.texts(given_away) == []
    assert subscriptions(app) == 2


# Failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_is_gone_is_removed(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    status: int,
) -> None:
    phone, laptop = (subscribe(bob, service.browser()) for _ in range(2))
    service.statuses[phone.path] = status
    for number in range(3):
        ada.said(chat, f"{number}")
    make_sender()

    service.wait_for(laptop, "0", "1", "2")
    assert all_is_sent(app)
    # It goes in a transaction of its own, after the pushes.
    assert eventually(lambda: subscriptions(app) == 1)
    assert service.texts(phone) == []


@pytest.mark.slow
@pytest.mark.parametrize("status", [302, 400, 403, 413, 429, 500, 503, "hang"])
def test_what_fails_is_sent_later(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    counts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    status: int | str,
) -> None:
    monkeypatch.setattr("realtime.pushes.CALL_SECONDS", 0.3)
    phone = subscribe(bob, service.browser())
    service.status = status
    service.headers = {"Location": f"{service.base}/elsewhere", "Retry-After": "0"}
    make_sender()

    ada.said(chat, "Hello")
    ada.said(chat, "again")
    service.wait_for_calls(3)
    assert (service.texts(phone), subscriptions(app)) == ([], 1)
    service.status = 201

    service.wait_for(phone, "Hello", "again")
    assert all_is_sent(app)
    assert counts["chat_pushes_failed_total"] >= 2


def test_a_service_is_asked_when_it_wants(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    counts: dict[str, int],
) -> None:
    subscribe(bob, service.browser())
    service.status, service.headers = 429, {"Retry-After": "3600"}
    make_sender()

    ada.said(chat, "Hello")
    assert eventually(lambda: counts.get("chat_pushes_failed_total") == 1)
    ada.said(chat, "again")
    with PushService() as other:
        laptop = subscribe(bob, other.browser())
        ada.said(chat, "and again")
        other.wait_for(laptop, "and again")

        assert eventually(lambda: waiting(app) == 3)

    assert service.calls == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", ["hang", "drip"])
def test_dead_services_keep_no_other_one_waiting(
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr("realtime.pushes.CALL_SECONDS", 1.0)
    phone = subscribe(bob, service.browser())
    dead = [PushService() for _ in range(OF_STRANGERS + 2)]
    make_sender()
    ada.said(chat, "first")
    service.wait_for(phone, "first")  # by now it is known to answer
    for each in dead:
        each.status = status
        each.__enter__()
        subscribe(bob, each.browser())

    texts = [f"{number}" for number in range(20)]
    for text in texts:
        ada.said(chat, text)

    service.wait_for(phone, *texts)
    with PushService() as new:
        laptop = subscribe(bob, new.browser())
        ada.said(chat, "Hello")
        new.wait_for(laptop, "Hello")
    for each in dead:
        each.__exit__()


def test_a_service_that_is_away_is_waited_for(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    make_sender: Callable[..., Pushes],
    counts: dict[str, int],
) -> None:
    service = PushService()
    phone = subscribe(bob, service.browser())
    make_sender()

    ada.said(chat, "Hello")
    assert eventually(lambda: counts.get("chat_pushes_failed_total", 0) >= 2)
    with service:
        service.wait_for(phone, "Hello")
        assert all_is_sent(app)


def test_a_push_is_given_up_after_a_day(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    make_sender: Callable[..., Pushes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe(bob, Browser(f"http://{HOST}:{free_port()}/send"))
    monkeypatch.setattr("realtime.pushes.DAY", 0.5)
    make_sender()

    ada.said(chat, "Hello")

    assert all_is_sent(app)
    assert subscriptions(app) == 1


def test_a_process_without_the_right_sends_nothing(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
) -> None:
    phone = subscribe(bob, service.browser())
    rights: list[bool] = []
    asked: list[bool] = []
    make_sender(lambda: asked.append(True) or bool(rights))  # type: ignore[func-returns-value]

    ada.said(chat, "Hello")
    assert eventually(lambda: len(asked) > 3)
    assert (service.calls, waiting(app)) == (0, 1)

    rights.append(True)
    service.wait_for(phone, "Hello")


@sqlite_only
def test_a_name_that_moves_home_is_not_followed(
    app: Flask,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    service: PushService,
    make_sender: Callable[..., Pushes],
    counts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo

    def found(host: Any, port: Any, *more: Any, **rest: Any) -> Any:
        return real(HOST if host == "push.example" else host, port, *more, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    browser = Browser(f"https://push.example:{service.port}/send")
    subscribe(bob, browser)  # where private addresses are allowed
    make_sender(private=False)

    ada.said(chat, "Hello")

    assert eventually(lambda: counts.get("chat_pushes_failed_total", 0) >= 2)
    assert service.calls == 0
