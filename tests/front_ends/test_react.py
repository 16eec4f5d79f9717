"""A React descendant: pusher-js 8 as on a page, and as on a phone with React Native."""

from collections.abc import Callable

import pytest

from tests.support.conversations import sqlite_only
from tests.support.front_ends import FrontEnd, they_open_a_chat
from tests.support.people import ChatServer

pytestmark = [pytest.mark.slow, sqlite_only]


@pytest.mark.parametrize("build", ["node", "react-native"])
def test_a_react_front_end_shows_a_conversation(
    start: Callable[..., ChatServer], build: str
) -> None:
    server = start("gunicorn")
    for name in ("ada", "bob"):
        assert server.api.register(name).status == 201
    with (
        FrontEnd("react.mjs", server, build) as adas,
        FrontEnd("react.mjs", server, build) as bobs,
    ):
        they_open_a_chat(adas, bobs)
        adas.shows(me="ada 1", signedIn="1", online=["ada 1", "bob 2"])
        bobs.shows(me="bob 2", signedIn="2", online=["ada 1", "bob 2"])

        adas.does("say", text="Hello, Bob! 🎈")

        for each in (adas, bobs):
            each.shows(lines=["ada: Hello, Bob! 🎈"])

        bobs.does("chatWith", name="ada")
        bobs.does("say", text="¿Qué tal, Ada?")

        for each in (adas, bobs):
            each.shows(lines=["ada: Hello, Bob! 🎈", "bob: ¿Qué tal, Ada?"])

        adas.does("logOut")
        adas.shows(connection="disconnected")
        bobs.shows(online=["bob 2"])
