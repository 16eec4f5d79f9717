"""Long lists and large counts."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from config import Settings, load
from tests.api.test_slow_readers import open_and_read_nothing
from tests.support.conversations import Chat, entry, mark, sqlite_only
from tests.support.people import ChatServer, Person, fill, refused
from tests.support.servers import eventually


@pytest.mark.abuse
def test_unread_messages_are_counted_to_1000(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    fill(settings, bob, chat, 1_500)
    messages = ada.reads(chat).json

    assert entry(ada, chat)["unread"] == 1_000
    assert mark(ada, chat, messages[499]).json["unread"] == 1_000
    assert mark(ada, chat, messages[500]).json["unread"] == entry(ada, chat)["unread"] == 999


@pytest.fixture
def server(start: Callable[..., ChatServer]) -> ChatServer:
    return start("gunicorn")


@pytest.fixture
def history(server: ChatServer) -> tuple[Person, Person, str]:
    """Two people, and the path of a history too long for the buffers of sockets."""
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat: dict[str, Any] = ada.asks(bob).json
    fill(load(server.settings), ada, chat, 4_000, " " + "x" * 2_000)
    return ada, bob, f"/api/get_message/{chat['channel_name']}"


@pytest.mark.abuse
@sqlite_only
def test_one_user_gets_ten_long_lists_at_once(
    server: ChatServer, history: tuple[Person, Person, str]
) -> None:
    ada, bob, path = history
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(open_and_read_nothing(server, ada, path))

        refusal = ada.get(path)
        refused(refusal, 503, "busy")
        assert int(refusal.headers["retry-after"]) > 0
        refused(ada.get("/api/me/export"), 503, "busy")
        assert ada.get("/api/users").status == ada.get(path, limit=200).status == 200
        assert bob.get(path).status == 200

    assert eventually(lambda: ada.get(path).status == 200), "those that left should not count"


@pytest.mark.abuse
@sqlite_only
def test_a_process_sends_twenty_long_lists_at_once(
    server: ChatServer, history: tuple[Person, Person, str]
) -> None:
    ada, bob, path = history
    with ExitStack() as stack:
        for person in [ada, bob] * 10:
            stack.enter_context(open_and_read_nothing(server, person, path))

        eve = server.api.sign_up("eve")
        refused(eve.get("/api/me/export"), 503, "busy")
        assert eve.get("/api/chats").status == eve.get("/api/users").status == 200


@pytest.mark.abuse
@pytest.mark.slow
@sqlite_only
def test_a_reader_who_takes_nothing_is_cut_off(
    server: ChatServer, history: tuple[Person, Person, str]
) -> None:
    ada, _, path = history
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(open_and_read_nothing(server, ada, path))
        assert ada.get(path).status == 503

        assert eventually(lambda: ada.get(path).status == 200, 60)
