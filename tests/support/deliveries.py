"""Events on their way from the database to a Pusher server, as the tests look at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask

from database import db, session
from models import Event
from outbox import Dispatcher
from realtime import Server
from tests.support.servers import HOST, PusherApp
from tests.support.stub_pusher import Event as Heard
from tests.support.stub_pusher import StubPusher

start = Dispatcher.start  # at a first request, applications under test do not


@contextmanager
def delivering(app: Flask, server: PusherApp, **more: Any) -> Iterator[Dispatcher]:
    """Deliveries from the application's database to that server."""
    publisher = Server(
        server.app_id, server.key, server.secret, host=HOST, port=server.port, ssl=False
    )
    with app.app_context():
        dispatcher = Dispatcher(db.engine, lambda: publisher.client(), **more)
    start(dispatcher)
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def record(app: Flask, *events: tuple[str, Any]) -> None:
    """Have (channel, data) delivered."""
    with app.app_context():
        Event.record([(channel, "told", str(data)) for channel, data in events], None)
        session.commit()


def heard(events: list[Heard], channel: str, name: str | None = None) -> list[Any]:
    """What a channel was told, each thing when it was told first."""
    first: list[Any] = []
    for event in events:
        if event["channel"] == channel and name in (None, event["name"]):
            data = event["data"]
            if data not in first:
                first.append(data)
    return first


def texts(events: list[Heard], chat: dict[str, Any]) -> list[str]:
    return [data["message"] for data in heard(events, chat["channel_name"], "new_message")]


def wait_for_texts(stub: StubPusher, chat: dict[str, Any], expected: list[str]) -> None:
    """Wait until these have been told on the chat's channel, and see that no other was."""
    events = stub.wait_for(lambda events: len(texts(events, chat)) >= len(expected), 30)
    assert texts(events, chat) == expected
