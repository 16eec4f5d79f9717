"""A server, Chromium, and two people with a chat."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Chromium, PagePackages, Windows, address, launched
from tests.support.people import ChatServer, Person
from tests.support.servers import Soketi, require

numbers = count(1)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    require(Chromium, PagePackages)
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(chromium: Browser) -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture(scope="module")
def server_with_soketi(chromium: Browser) -> Iterator[ChatServer]:
    with Soketi() as soketi, ChatServer("flask", **soketi.env) as server:
        yield server


@pytest.fixture
def own_server(chromium: Browser) -> Iterator[ChatServer]:
    """One that the test may stop."""
    with ChatServer() as server:
        yield server


@pytest.fixture
def window(chromium: Browser, server: ChatServer) -> Iterator[Windows]:
    windows = Windows(chromium, address(server))
    yield windows
    windows.close()


@pytest.fixture
def ada(server: ChatServer) -> Person:
    return server.api.sign_up(f"ada {next(numbers)}")


@pytest.fixture
def bob(server: ChatServer) -> Person:
    return server.api.sign_up(f"bob {next(numbers)}")


@pytest.fixture
def chat(ada: Person, bob: Person) -> dict[str, Any]:
    chat: dict[str, Any] = ada.asks(bob).json
    return chat
