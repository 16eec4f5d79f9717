"""Pushes over processes that are killed, and beside events."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.people import ChatServer, Person
from tests.support.push_service import Browser, PushService
from tests.support.servers import eventually
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as service:
        yield service


@pytest.fixture
def server(start: Callable[..., ChatServer]) -> ChatServer:
    return start(PUSH_ALLOW_PRIVATE="true")


def subscribed_chat(
    server: ChatServer, *browsers: Browser
) -> tuple[Person, Person, dict[str, Any]]:
    """Ada's chat with bob, who is told on these browsers."""
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    for browser in browsers:
        answer = bob.request("PUT", "/api/push/subscriptions", browser.subscription)
        assert answer.status == 204, answer
    return ada, bob, ada.asks(bob).json


def test_a_killed_server_loses_no_push(server: ChatServer, service: PushService) -> None:
    phone = service.browser()
    ada, _, chat = subscribed_chat(server, phone)
    ada.said(chat, "before")
    service.wait_for(phone, "before")

    service.status = "hang"
    texts = [f"{number}" for number in range(12)]
    for text in texts:
        ada.said(chat, text)
    service.wait_for_calls(2)
    server.kill()
    service.status = 201
    server.start()
    assert server.api.get("/api/config").status == 200  # which brings it up

    service.wait_for(phone, *texts)
    assert {each["key"] for each in service.signatures} == {ada.get("/api/push/key").json["key"]}


def test_events_and_pushes_wait_for_no_other(
    start: Callable[..., ChatServer], service: PushService
) -> None:
    phone = service.browser()
    service.status = "hang"
    with StubPusher() as stub:
        server = start("gunicorn", PUSH_ALLOW_PRIVATE="true", **stub.env)
        ada, _, chat = subscribed_chat(server, phone)
        for number in range(20):
            ada.said(chat, f"{number}")
        service.wait_for_calls(1)
        stub.wait_for(lambda events: len(events) >= 41)  # with the chat's own

        stub.mode = "503"
        service.status = 201
        ada.said(chat, "Hello")
        service.wait_for(phone, "Hello")
        page = server.api.get("/metrics").body.decode()
        assert "chat_pushes_delivered_total" in page
        stub.mode = "ok"
        assert eventually(lambda: len(stub.events) >= 43)
