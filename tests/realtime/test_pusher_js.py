"""What browsers hear: real pusher-js on a real soketi, authenticated by this API."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.people import ChatServer, Person
from tests.support.pusher_js import PusherJs, SubscriptionRefused
from tests.support.servers import HOST, Soketi, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def soketi() -> Iterator[Soketi]:
    with Soketi() as soketi:
        yield soketi


def connect(browser: PusherJs, person: Person, server: ChatServer) -> None:
    config = server.api.get("/api/config").json
    browser.connect(config, person.token, f"http://{HOST}:{server.port}/api/pusher/auth")


def test_only_two_people_hear_of_their_chat(
    soketi: Soketi, start: Callable[..., ChatServer]
) -> None:
    server = start(**soketi.env)
    ada, bob, eve = (server.api.sign_up(name) for name in ("ada", "bob", "eve"))
    with PusherJs(8) as adas, PusherJs(4) as bobs, PusherJs(8) as eves:
        for browser, person in ((adas, ada), (bobs, bob), (eves, eve)):
            connect(browser, person, server)
        notifications = f"private-notification_user_{bob.id}"
        bobs.subscribe(notifications)

        chat = ada.asks(bob).json

        assert bobs.wait_for("new_chat", notifications).data == chat
        for browser in (adas, bobs):
            browser.subscribe(chat["channel_name"])
        for channel in (chat["channel_name"], notifications):
            with pytest.raises(SubscriptionRefused) as refusal:
                eves.subscribe(channel)
            assert refusal.value.status == 403

        message = ada.said(chat, "¿Qué tal? 🎈")

        for browser in (adas, bobs):
            assert browser.wait_for("new_message", chat["channel_name"]).data == message
        notice = bobs.wait_for("new_chat", predicate=lambda event: "message" in event.data)
        assert notice.data == {**chat, "message": message}

        body = {"channel": chat["channel_name"], "message": "not in this window"}
        headers = {"X-Socket-ID": bobs.socket_id or ""}
        reply = bob.post("/api/send_message", body, headers=headers).json
        last = ada.said(chat, "the end")

        assert said_to(adas, last) == [message["id"], reply["id"], last["id"]]
        assert said_to(bobs, last) == [message["id"], last["id"]]
        assert [event for event in eves.events if event.name.startswith("new_")] == []


def said_to(browser: PusherJs, last: dict[str, Any]) -> list[int]:
    """The messages that a browser has heard of, once it has heard of the last."""
    browser.wait_for("new_message", predicate=lambda event: bool(event.data["id"] == last["id"]))
    return [event.data["id"] for event in browser.events if event.name == "new_message"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
def test_a_chat_survives_its_killed_pusher_server(
    start: Callable[..., ChatServer],
) -> None:
    with Soketi() as soketi, PusherJs(8) as adas, PusherJs(4) as bobs:
        server = start(**soketi.env)
        ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
        chat = ada.asks(bob).json
        for browser, person in ((adas, ada), (bobs, bob)):
            connect(browser, person, server)
            browser.subscribe(chat["channel_name"])
        sent: list[int] = []
        enough = threading.Event()

        def send() -> None:
            while not enough.wait(0.02):
                sent.append(ada.said(chat, "hello?")["id"])

        sending = threading.Thread(target=send)
        sending.start()
        try:
            bobs.wait_for("new_message")
            soketi.kill()
            during = len(sent) + 10
            assert eventually(lambda: len(sent) > during), "nobody waits for it"
            soketi.start()
            for browser in (adas, bobs):
                browser.reconnect()
                browser.wait_for("pusher:subscription_succeeded", chat["channel_name"])
        finally:
            enough.set()
            sending.join()
        last = bob.said(chat, "here I am")

        for browser in (adas, bobs):
            told = said_to(browser, last)
            assert told == sorted(told)
            missed = [number for number in sent if number < told[0]]
            assert [*missed, *told] == [*sent, last["id"]], "no gap once they are back"

        def nothing_waits() -> bool:
            events = server.api.get("/health").json["events"]
            return bool(events["waiting"] == events["set_aside"] == 0)

        assert eventually(nothing_waits)
        history = [message["id"] for message in bob.reads(chat).json]
        assert history == [*sent, last["id"]]


def test_a_signed_in_page_leaves_at_its_logout(start: Callable[..., ChatServer]) -> None:
    with Soketi(sign_ins=True) as soketi:
        server = start(**soketi.env)
        ada_leaves_and_bob_stays(server)


def ada_leaves_and_bob_stays(server: ChatServer) -> None:
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    base = f"http://{HOST}:{server.port}/api/pusher"
    config = server.api.get("/api/config").json
    with PusherJs(8) as adas, PusherJs(8) as bobs:
        for browser, person in ((adas, ada), (bobs, bob)):
            browser.connect(config, person.token, f"{base}/auth", user_auth_url=f"{base}/user-auth")
            assert browser.sign_in()

        assert ada.post("/api/logout").status == 204

        adas.wait_for_state("disconnected")
        assert "4009" in str(adas.faults)
        assert bobs.states[-1] == "connected"
