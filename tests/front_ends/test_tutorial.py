"""The tutorial's own front end: Vue 2 with pusher-js 4, which insists on a sentiment."""

import json
from collections.abc import Callable

import pytest

from tests.support.conversations import sqlite_only
from tests.support.front_ends import FrontEnd, they_open_a_chat
from tests.support.people import ChatServer

pytestmark = [pytest.mark.slow, sqlite_only]


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_the_tutorials_front_end_shows_a_conversation(
    start: Callable[..., ChatServer], program: str
) -> None:
    server = start(program, MESSAGE_EXTRAS=json.dumps({"sentiment": {"polarity": 0}}))
    for name in ("ada", "bob"):
        assert server.api.register(name).status == 201
    with FrontEnd("tutorial.mjs", server) as adas, FrontEnd("tutorial.mjs", server) as bobs:
        they_open_a_chat(adas, bobs)
        for each in (adas, bobs):
            each.shows(online=["ada", "bob"])

        adas.does("say", text="Hello, Bob! 🎈")

        for each in (adas, bobs):
            each.shows(lines=["ada (calm): Hello, Bob! 🎈"])

        bobs.does("chatWith", name="ada")
        bobs.does("say", text="¿Qué tal, Ada?")

        for each in (adas, bobs):
            each.shows(lines=["ada (calm): Hello, Bob! 🎈", "bob (calm): ¿Qué tal, Ada?"])

        adas.close()
        bobs.shows(online=["bob"])


def test_extras_decide_what_the_tutorials_front_end_shows(
    start: Callable[..., ChatServer],
) -> None:
    server = start(MESSAGE_EXTRAS=json.dumps({"sentiment": {"polarity": 0.5}}))
    for name in ("ada", "bob"):
        assert server.api.register(name).status == 201
    with FrontEnd("tutorial.mjs", server) as adas, FrontEnd("tutorial.mjs", server) as bobs:
        they_open_a_chat(adas, bobs)

        adas.does("say", text="good news")

        bobs.shows(lines=["ada (glad): good news"])
