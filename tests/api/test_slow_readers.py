"""A client that reads a long answer slowly, or not at all, hinders nobody."""

import socket
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import text

from config import Settings, load
from tests.support.people import Api, ChatServer, Person, fill, looking_into
from tests.support.servers import HOST, eventually

READERS = 8


def open_and_read_nothing(server: ChatServer, person: Person, path: str) -> socket.socket:
    """A request whose answer waits in full buffers; at least its beginning has arrived."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(60)
    connection.connect((HOST, server.port))
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.token}\r\n\r\n"
    connection.sendall(request.encode())
    assert connection.recv(12).endswith(b" 200")
    return connection


@pytest.fixture
def server(start: Callable[..., ChatServer], backend: str) -> ChatServer:
    return start("flask" if backend == "sqlite" else "gunicorn", DATABASE_POOL_SIZE="4")


@pytest.fixture
def settings(server: ChatServer) -> Settings:
    return load(server.settings)


@pytest.fixture
def api(server: ChatServer) -> Api:
    return server.api


@pytest.fixture
def path(settings: Settings, ada: Person, chat: dict[str, Any]) -> str:
    """The path of a history that is too long for the buffers of sockets."""
    fill(settings, ada, chat, 4_000, " " + "x" * 2_000)
    return f"/api/get_message/{chat['channel_name']}"


@pytest.mark.abuse
def test_streams_nobody_reads_hold_no_connection(
    server: ChatServer, settings: Settings, ada: Person, chat: dict[str, Any], path: str
) -> None:
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(open_and_read_nothing(server, ada, path))

        said = [ada.said(chat, "Still there?") for _ in range(10)]
        # The outbox has one for moments at a time.
        free = eventually(lambda: held(settings) == 0)

    assert len(said) == 10
    assert free


def held(settings: Settings) -> Any:
    """How many transactions of others are open, or whether any is."""
    if settings.url.drivername == "sqlite":
        with closing(sqlite3.connect(str(settings.url.database))) as connection:
            return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    with looking_into(settings) as connection:
        return connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )
        )


def test_a_stream_omits_what_comes_after_it_began(
    server: ChatServer, ada: Person, chat: dict[str, Any], path: str
) -> None:
    with open_and_read_nothing(server, ada, path) as connection:
        ada.said(chat, "Too late")
        answer = b""
        while not answer.endswith((b"}]", b"\n]\r\n0\r\n\r\n")):
            answer += connection.recv(65_536)

    assert answer.count(b'"number ') == 4_000
    assert b"Too late" not in answer
