"""pysher: a front end in Python, which asks the API for its signatures by itself."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pysher
import pytest

from tests.support.conversations import sqlite_only
from tests.support.people import ChatServer, Person
from tests.support.servers import HOST

pytestmark = [pytest.mark.slow, sqlite_only]


class Program:
    """Somebody's program, which shows what it hears."""

    def __init__(self, server: ChatServer, person: Person) -> None:
        self.heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._pongs: queue.SimpleQueue[str] = queue.SimpleQueue()
        config = server.api.get("/api/config").json
        api = f"http://{HOST}:{server.port}/api"
        me, token = person.get("/api/users/me").json["data"], person.token
        self.pusher = pysher.Pusher(
            config["key"],
            custom_host=config["wsHost"],
            port=config["wsPort"],
            secure=config["forceTLS"],
            auth_endpoint=f"{api}/pusher/auth",
            auth_endpoint_headers={"Authorization": f"Bearer {token}"},
            user_data={"user_id": str(me["id"]), "user_info": me},
            log_level=logging.CRITICAL,
            reconnect_interval=0,  # it sits that out when it is told to disconnect
        )
        connected = threading.Event()
        self.pusher.connection.bind("pusher:connection_established", lambda _: connected.set())
        self.pusher.connection.bind("pusher:pong", self._pongs.put)
        self.pusher.connect()
        assert connected.wait(20)
        self._pongs.get(timeout=20)  # it pings at once

    def listens(self, channel: str, *events: str) -> None:
        """Subscribe, and wait until the server has done so."""
        subscription = self.pusher.subscribe(channel)
        for event in events:
            subscription.bind(event, self._hear, event)
        # It asks before one can listen for the answer. But answers keep their order.
        self.pusher.connection.send_event("pusher:ping", "")
        self._pongs.get(timeout=20)

    def _hear(self, data: Any, event: str) -> None:
        # What the server tells is JSON in a string; what other clients do is an object.
        self.heard.put((event, json.loads(data) if isinstance(data, str) else data))

    def shows(self) -> tuple[str, Any]:
        """What it has heard next."""
        return self.heard.get(timeout=20)

    def ends(self) -> None:
        self.pusher.disconnect(timeout=5)


@pytest.fixture
def begin(start: Callable[..., ChatServer]) -> Iterator[Callable[[str], tuple[Person, Program]]]:
    """Signs somebody up, and starts their program."""
    server = start("gunicorn")
    with ExitStack() as stack:

        def begin(name: str) -> tuple[Person, Program]:
            person = server.api.sign_up(name)
            program = Program(server, person)
            stack.callback(program.ends)
            return person, program

        yield begin


def test_pysher_shows_a_conversation(
    begin: Callable[[str], tuple[Person, Program]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", HOST)  # for its own requests
    ada, adas = begin("ada")
    bob, bobs = begin("bob")
    bobs.listens(f"private-notification_user_{bob.id}", "new_chat")

    chat = ada.asks(bob).json

    assert bobs.shows() == ("new_chat", chat)
    adas.listens(chat["channel_name"], "new_message", "client-typing")
    bobs.pusher.subscribe(chat["channel_name"]).trigger("client-typing", {"name": "bob"})
    assert adas.shows() == ("client-typing", {"name": "bob"})
    message = ada.said(chat, "Hello, Python! 🎈")
    assert adas.shows() == ("new_message", message)
    assert bobs.shows() == ("new_chat", {**chat, "message": message})
    assert (message["type"], message["message"]) == ("Text", "Hello, Python! 🎈")


def test_pysher_shows_who_comes_and_goes(
    begin: Callable[[str], tuple[Person, Program]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", HOST)
    added, removed = "pusher_internal:member_added", "pusher_internal:member_removed"
    _, adas = begin("ada")
    bob, bobs = begin("bob")
    adas.listens("presence-chitchat", added, removed)

    bobs.listens("presence-chitchat")

    member = {"user_id": str(bob.id), "user_info": {"id": bob.id, "username": "bob"}}
    assert adas.shows() == (added, member)

    bobs.ends()

    assert adas.shows() == (removed, {"user_id": str(bob.id)})
