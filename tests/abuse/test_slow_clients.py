"""Clients that send or read slowly, or stop in the middle, keep no thread that others need."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect as websocket

from config import load
from tests.support.conversations import sqlite_only
from tests.support.nginx import Nginx
from tests.support.people import ChatServer, Person, fill
from tests.support.servers import HOST, eventually, require

# What keeps threads waits in front of any database.
pytestmark = [pytest.mark.abuse, pytest.mark.slow, sqlite_only]

THREADS = 4
#: What is cut off here after 3 seconds is after 30 as shipped.
GUNICORN = f"gunicorn --threads {THREADS} --timeout 3"
POST = "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
Chat = dict[str, Any]


@pytest.fixture
def server(start: Callable[..., ChatServer]) -> ChatServer:
    return start(GUNICORN, TRUSTED_PROXIES="1")


@pytest.fixture
def api(server: ChatServer) -> Any:
    return server.api


@pytest.fixture
def nginx(server: ChatServer) -> Iterator[Nginx]:
    require(Nginx)
    with Nginx(server.port) as nginx:
        yield nginx


@pytest.fixture
def history(server: ChatServer, ada: Person, chat: Chat) -> str:
    """A request for 8 MB, which are more than the buffers of sockets take."""
    fill(load(server.settings), ada, chat, 4_000, " " + "x" * 2_000)
    path = f"/api/get_message/{chat['channel_name']}"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\n\r\n"


def connections(server: ChatServer) -> int:
    """How many are open at the server: each of those below holds a thread."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    own = f"0100007F:{server.port:04X}"
    return sum(line.split()[1] == own and line.split()[3] == "01" for line in lines)


def worker_of(server: ChatServer) -> int:
    """The process at the end of the line: a child that has none itself."""
    assert server.process
    pid = server.process.pid
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def connect(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.settimeout(60)
    client.connect((HOST, port))
    return client


def test_slow_readers_behind_nginx_hold_no_thread(
    server: ChatServer, nginx: Nginx, history: str
) -> None:
    with ExitStack() as stack:
        for _ in range(3 * THREADS):
            client = nginx.api.context.wrap_socket(connect(nginx.port), server_hostname=HOST)
            stack.enter_context(client)
            client.sendall(history.encode())
            assert client.recv(12).endswith(b" 200")

        released = eventually(lambda: connections(server) == 0, timeout=20)
        health = nginx.api.get("/health")

    assert released
    assert health.status == 200


def test_slow_senders_behind_nginx_hold_no_thread(server: ChatServer, nginx: Nginx) -> None:
    part = "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n"
    assert nginx.api.get("/health").status == 200

    with ExitStack() as stack:
        for begun in [part, f"{part}Content-Type: application/json\r\n\r\n{{"] * THREADS:
            client = nginx.api.context.wrap_socket(connect(nginx.port), server_hostname=HOST)
            stack.enter_context(client)
            client.sendall(begun.encode())

        assert eventually(lambda: connections(server) == 0)
        assert nginx.api.get("/health").status == 200


def test_a_reader_who_takes_nothing_is_cut_off(server: ChatServer, history: str) -> None:
    with ExitStack() as stack:
        for _ in range(THREADS):
            client = stack.enter_context(connect(server.port))
            client.sendall(history.encode())
            assert client.recv(12).endswith(b" 200")
        assert connections(server) == THREADS

        assert eventually(lambda: connections(server) == 0)

    assert server.api.get("/health").status == 200
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "begun",
    [
        "GET /health HTT",
        "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        f"{POST}Content-Length: 99\r\n\r\n{{",
        f"{POST}Transfer-Encoding: chunked\r\n\r\n5\r\n{{",
    ],
)
def test_a_client_that_stops_sending_is_cut_off(server: ChatServer, begun: str) -> None:
    with ExitStack() as stack:
        for _ in range(THREADS):
            stack.enter_context(connect(server.port)).sendall(begun.encode())
        assert eventually(lambda: connections(server) == THREADS)

        assert eventually(lambda: connections(server) == 0)

    assert server.api.get("/health").status == 200
    assert "Traceback" not in server.log.read_text()


def test_connections_that_say_nothing_keep_nobody_out(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    with ExitStack() as stack:
        for _ in range(450):
            stack.enter_context(connect(server.port))

        with connect(server.port) as honest:
            honest.settimeout(5)
            honest.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert honest.recv(12).endswith(b" 200")


@pytest.mark.parametrize(
    "request_", ["GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "RUBBISH\r\n\r\n"]
)
def test_clients_that_never_close_keep_nobody_out(
    start: Callable[..., ChatServer], request_: str
) -> None:
    server = start("gunicorn")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(server.port)).sendall(request_.encode())

        for _ in range(3):
            with connect(server.port) as honest:
                honest.settimeout(10)
                honest.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert honest.recv(12).endswith(b" 200")


def test_a_worker_out_of_files_lives_on(start: Callable[..., ChatServer]) -> None:
    """It has to refuse people, but must not close the connections of those who are in."""
    server = start("gunicorn")
    assert server.api.get("/health").status == 200
    key = server.api.get("/api/config").json["key"]
    worker = worker_of(server)
    with ExitStack() as stack:
        url = f"ws://{HOST}:{server.port}/app/{key}?protocol=7"
        early = stack.enter_context(websocket(url, proxy=None))
        files = len(list(Path(f"/proc/{worker}/fd").iterdir())) + 60
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (files, files))

        for _ in range(120):
            stack.enter_context(connect(server.port)).sendall(b"GET /app/x HTTP/1.1\r\n")
        full = eventually(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) >= files - 1)
        early.send('{"event": "pusher:ping", "data": {}}')
        while "pusher:pong" not in str(early.recv(60)):
            pass

    def answers() -> bool:
        with suppress(ConnectionError):  # while the last of them are leaving
            return server.api.get("/health").status == 200
        return False

    assert full
    assert eventually(answers)
    assert not eventually(lambda: worker_of(server) != worker, timeout=3)


def test_a_reader_who_takes_a_little_is_served(server: ChatServer, history: str) -> None:
    """The time without a byte counts, and not the time of the whole."""
    with connect(server.port) as client:
        client.sendall(history.encode())
        answer = bytearray()
        for _ in range(6):
            answer += client.recv(100_000)
            assert not eventually(lambda: connections(server) == 0, timeout=1)
        while not answer.endswith(b"]\r\n0\r\n\r\n"):
            more = client.recv(1_000_000)
            assert more, "it was cut off"
            answer += more

    assert answer.count(b'"number ') == 4_000
