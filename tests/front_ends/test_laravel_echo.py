"""Laravel Echo, version 1 and 2, as its broadcasters pusher and reverb know a server."""

from collections.abc import Callable

import pytest

from tests.support.conversations import sqlite_only
from tests.support.front_ends import FrontEnd, they_open_a_chat
from tests.support.people import ChatServer

pytestmark = [pytest.mark.slow, sqlite_only]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("broadcaster", ["pusher", "reverb"])
def test_laravel_echo_shows_a_conversation(
    start: Callable[..., ChatServer], version: str, broadcaster: str
) -> None:
    server = start("gunicorn")
    for name in ("ada", "bob"):
        assert server.api.register(name).status == 201
    with (
        FrontEnd("echo.mjs", server, version, broadcaster) as adas,
        FrontEnd("echo.mjs", server, version, broadcaster) as bobs,
    ):
        they_open_a_chat(adas, bobs)
        adas.shows(signedIn="1", online=["ada 1", "bob 2"])
        bobs.shows(signedIn="2", online=["ada 1", "bob 2"])

        adas.does("type")
        bobs.shows(typing="ada")
        adas.does("say", text="Hello, Bob! 🎈")
        bobs.shows(lines=["ada: Hello, Bob! 🎈"])

        bobs.does("chatWith", name="ada")
        bobs.does("type")
        adas.shows(typing="bob")
        bobs.does("say", text="¿Qué tal, Ada?")

        # One's own is shown once: the event leaves out the connection of X-Socket-ID.
        for each in (adas, bobs):
            each.shows(lines=["ada: Hello, Bob! 🎈", "bob: ¿Qué tal, Ada?"])

        adas.does("leave")
        bobs.shows(online=["bob 2"])
