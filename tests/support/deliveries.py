"""Events on their way from the database to a Pusher server, as the tests look at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import Connection, event

from chat import events
from database import db
from realtime.outbox import Outbox
from realtime.servers import Server
from tests.support.servers import HOST, PusherApp
from tests.support.stub_pusher import Event as Heard
from tests.support.stub_pusher import StubPusher


@contextmanager
def delivering(app: Flask, server: PusherApp, **more: Any) -> Iterator[Outbox]:
    """Deliveries from the application's database to that server."""
    publisher = Server(
        server.app_id, server.key, server.secret, host=HOST, port=server.port, ssl=False
    )
    with app.app_context():
        outbox = Outbox(db.engine, lambda: publisher.client(), **more)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.stop()


def record(app: Flask, *told: tuple[str, Any]) -> None:
    """Have (channel, data) delivered."""
    with app.app_context():
        events.record([(channel, "told", str(data)) for channel, data in told], None)
        db.session.commit()


@contextmanager
def without_power(app: Flask) -> Iterator[None]:
    """Have each transaction that has recorded events fail at its commit."""
    recorded: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO events" in statement:
            recorded.append(statement)

    def fail(_connection: Connection) -> None:
        if recorded:
            raise RuntimeError("the power is gone")

    with app.app_context():
        engine = db.engine
    event.listen(engine, "after_cursor_execute", note)
    event.listen(engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", note)
        event.remove(engine, "commit", fail)
    assert recorded, "nothing was recorded, so nothing could fail"


def heard(events: list[Heard], channel: str, name: str | None = None) -> list[Any]:
    """What a channel was told, each thing when it was told first."""
    first: list[Any] = []
    for each in events:
        if each["channel"] == channel and name in (None, each["name"]):
            data = each["data"]
            if data not in first:
                first.append(data)
    return first


def texts(events: list[Heard], chat: dict[str, Any]) -> list[str]:
    return [data["message"] for data in heard(events, chat["channel_name"], "new_message")]


def wait_for_texts(stub: StubPusher, chat: dict[str, Any], expected: list[str]) -> None:
    """Wait until these have been told on the chat's channel, and see that no other was."""
    events = stub.wait_for(lambda events: len(texts(events, chat)) >= len(expected), 30)
    assert texts(events, chat) == expected
