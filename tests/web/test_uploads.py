"""Uploads over real gunicorn: their memory, their ends, and kills among them."""

import io
import os
import resource
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config import Settings, load
from tests.abuse.test_slow_clients import worker_of
from tests.support.conversations import Chat, sqlite_only
from tests.support.people import Api, ChatServer, Person, at_once, python, refused
from tests.support.servers import HOST, IN_CI, eventually

# The database sees the rows only.
pytestmark = [pytest.mark.slow, sqlite_only]

MIB = 1 << 20
LARGEST = 25 * MIB
#: The seconds after which a file is old for `flask files prune`, and for the server itself.
HOUR, DAY = 3_700, 90_000
KILLS = 6 if IN_CI else 2


@pytest.fixture
def server(start: Callable[..., ChatServer]) -> ChatServer:
    return start("gunicorn", RATELIMIT_ENABLED="false", FILES_FREE_BYTES="0")


@pytest.fixture
def settings(server: ChatServer) -> Settings:
    return load(server.environment())


@pytest.fixture
def api(server: ChatServer) -> Api:
    return server.api


def kept(settings: Settings) -> list[Path]:
    """All that is stored, or on its way there."""
    places = (settings.folder / name for name in ("files", "arriving"))
    return [
        path
        for place in places
        for path in place.rglob("*")
        if place.name == "arriving" or path.is_file()
    ]


#: Connections of uploads, which tests leave in all states.
opened: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


class Upload:
    """A request that sends a file, as slowly as the test likes."""

    END = b"\r\n--limit--\r\n"

    def __init__(self, person: Person, chat: Chat, size: int, *, chunked: bool = False) -> None:
        form = (
            '--limit\r\nContent-Disposition: form-data; name="channel"\r\n\r\n'
            f'{chat["channel_id"]}\r\n--limit\r\nContent-Disposition: form-data; name="file"; '
            'filename="a.bin"\r\n\r\n'
        ).encode()
        length = len(form) + size + len(self.END)
        self.chunked = chunked
        self.connection = socket.create_connection((HOST, person.api.port), timeout=120)  # type: ignore[attr-defined]
        opened.append(self.connection)
        head = (
            "POST /api/send_file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {person.token}\r\n"
            "Content-Type: multipart/form-data; boundary=limit\r\n"
            + ("Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}")
            + "\r\n\r\n"
        )
        self.connection.sendall(head.encode())
        self.send(form)

    def send(self, content: bytes) -> None:
        if self.chunked:
            content = b"%x\r\n%b\r\n" % (len(content), content)
        self.connection.sendall(content)

    def status(self) -> int:
        """How it is answered."""
        response = HTTPResponse(self.connection)
        try:
            response.begin()
            response.read()
        finally:
            response.close()
            self.connection.close()
        return response.status

    def finish(self) -> int:
        self.send(self.END)
        if self.chunked:
            self.connection.sendall(b"0\r\n\r\n")
        return self.status()


def upload(person: Person, chat: Chat, content: bytes, *, chunked: bool = False) -> int:
    """Send a file whole: the status of the answer."""
    sending = Upload(person, chat, len(content), chunked=chunked)
    with suppress(ConnectionError):  # it may have been answered before it was sent
        for start in range(0, len(content), MIB):
            sending.send(content[start : start + MIB])
        return sending.finish()
    return sending.status()


def grown(server: ChatServer, act: Callable[[], object]) -> int:
    """By how many bytes the memory of the worker is larger meanwhile, at its highest."""
    worker = worker_of(server)
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    before = _peak(worker)
    act()
    return _peak(worker) - before


def _peak(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def test_large_uploads_at_once_take_little_memory(
    server: ChatServer, ada: Person, chat: Chat
) -> None:
    content = os.urandom(LARGEST)
    assert upload(ada, chat, content[:MIB]) == 201

    def send_and_fetch() -> None:
        assert at_once(16, lambda _: upload(ada, chat, content)) == [201] * 16
        file = ada.reads(chat, limit=1).json[0]["file"]["id"]
        sizes = at_once(4, lambda _: len(ada.get(f"/api/files/{file}").body))
        assert sizes == [LARGEST] * 4

    assert grown(server, send_and_fetch) < 100 * MIB


def test_pictures_at_once_take_the_memory_of_one(
    server: ChatServer, ada: Person, chat: Chat
) -> None:
    made = io.BytesIO()
    Image.new("RGBA", (1_800, 1_800), "red").save(made, "PNG")  # 12 MiB, unpacked
    assert ada.sends(chat, "a.png", made.getvalue()).json["type"] == "Image"

    def send() -> None:
        with ThreadPoolExecutor(40) as pool:
            sent = pool.map(lambda _: ada.sends(chat, "a.png", made.getvalue()).status, range(40))
            assert list(sent) == [201] * 40

    assert grown(server, send) < 120 * MIB


def test_slow_uploads_keep_nobody_from_working(
    server: ChatServer, ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    slow = [Upload(ada, chat, 2_000) for _ in range(40)]
    for each in slow:
        each.send(b"x" * 1_000)
    assert eventually(lambda: len(list((settings.folder / "arriving").iterdir())) == len(slow))

    assert bob.said(chat, "Hello")["message"] == "Hello"
    assert ada.said(chat, "Hello")["message"] == "Hello"

    for each in slow:
        each.send(b"x" * 1_000)
    assert [each.finish() for each in slow] == [201] * len(slow)
    assert not list((settings.folder / "arriving").iterdir())


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_cut_off_leaves_nothing_behind(
    server: ChatServer, ada: Person, chat: Chat, settings: Settings, *, chunked: bool
) -> None:
    for _ in range(4):
        sending = Upload(ada, chat, 9_000_000, chunked=chunked)
        sending.send(b"x" * 3_000_000)
        sending.connection.close()

    assert eventually(lambda: kept(settings) == [])
    assert ada.reads(chat).json == []


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_too_large_leaves_nothing_behind(
    server: ChatServer, ada: Person, chat: Chat, settings: Settings, *, chunked: bool
) -> None:
    assert upload(ada, chat, bytes(LARGEST + 1), chunked=chunked) == 413
    assert upload(ada, chat, bytes(LARGEST + MIB), chunked=chunked) == 413

    assert eventually(lambda: kept(settings) == [])


def test_a_file_may_come_in_chunks(ada: Person, chat: Chat) -> None:
    assert upload(ada, chat, b"x" * 3_000_000, chunked=True) == 201
    assert ada.reads(chat).json[0]["file"]["bytes"] == 3_000_000


def test_a_forged_token_is_refused_before_the_body(
    ada: Person, chat: Chat, settings: Settings
) -> None:
    ada.token = ada.token[:-8] + "A" * 8
    sending = Upload(ada, chat, 9_000_000)

    assert sending.status() == 401  # of 9 MB not one was sent
    assert kept(settings) == []


def test_a_full_disk_is_said_and_leaves_nothing(
    server: ChatServer, ada: Person, chat: Chat, settings: Settings
) -> None:
    """Files of the worker may not grow beyond 8 MB, which the system tells it as a full disk."""
    assert upload(ada, chat, b"x") == 201
    before = kept(settings)
    resource.prlimit(worker_of(server), resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))

    refused(ada.sends(chat, "a", bytes(8_000_100)), 503, "unavailable")  # in the last buffer
    refused(ada.sends(chat, "a", bytes(20_000_000)), 503, "unavailable")

    assert ada.says(chat, "Hello").status == 201
    assert ada.sends(chat, "a", b"x").status == 201
    assert len(kept(settings)) == len(before) + 1
    assert "Traceback" not in server.log.read_text()


# Kills -------------------------------------------------------------------------------------------


def prune(settings: Settings) -> str:
    env = {"INSTANCE_PATH": str(settings.folder), "FLASK_SKIP_DOTENV": "1"}
    status, said = python("-m", "flask", "files", "prune", env=env)
    assert status == 0, said
    return said


def age(settings: Settings, seconds: float) -> None:
    for path in kept(settings):
        os.utime(path, (time.time() - seconds,) * 2)


def keys(settings: Settings) -> set[str]:
    return {row["key"] for row in rows(settings)}


def rows(settings: Settings) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(str(settings.url.database))) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT key, message_id, bytes FROM files")]


def send_until_the_end(person: Person, chat: Chat, number: int) -> None:
    made = io.BytesIO()
    Image.new("RGB", (300, 300), (number, 0, 0)).save(made, "PNG")
    with suppress(OSError, HTTPException):
        while True:
            # A server that has just started again, with six at once, may ask to come back.
            assert person.sends(chat, "a.png", made.getvalue()).status in (201, 503)


def test_after_kills_every_message_has_its_bytes(
    server: ChatServer, ada: Person, chat: Chat, settings: Settings
) -> None:
    for kill in range(KILLS):
        with ThreadPoolExecutor(6) as pool:
            for number in range(6):
                pool.submit(send_until_the_end, ada, chat, number)
            enough = len(keys(settings)) + 7 + kill
            assert eventually(lambda enough=enough: len(keys(settings)) >= enough)  # type: ignore[misc]
            server.kill()
        server.start()

    messages = ada.reads(chat).json
    for message in messages:
        path = f"/api/files/{message['file']['id']}"
        assert len(ada.get(path).body) == message["file"]["bytes"]
        assert ada.get(f"{path}/thumbnail").status == 200
    age(settings, HOUR)
    prune(settings)
    assert {path.name.removesuffix("-thumbnail") for path in kept(settings)} == keys(settings)
    assert len(kept(settings)) == 2 * len(messages) > 20


@pytest.fixture
def orphan(server: ChatServer, ada: Person, chat: Chat, settings: Settings) -> Path:
    """Bytes that were stored by a server which was killed before the commit, and an upload that had
    not ended."""
    assert upload(ada, chat, b"kept") == 201
    before = set(kept(settings))
    unfinished = Upload(ada, chat, 2_000)
    unfinished.send(b"x" * 1_000)
    with closing(sqlite3.connect(str(settings.url.database))) as other, ExitStack() as stack:
        other.execute("BEGIN IMMEDIATE")
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stack.enter_context(suppress(OSError, HTTPException))
        waiting = pool.submit(upload, ada, chat, b"lost")

        def is_stored() -> bool:
            return len([p for p in kept(settings) if "arriving" not in p.parts]) == 2

        assert eventually(is_stored)
        server.kill()
        waiting.result()
    (lost,) = {p for p in kept(settings) if "arriving" not in p.parts} - before
    return lost


def test_what_a_kill_left_is_pruned(orphan: Path, settings: Settings) -> None:
    assert prune(settings) == "0 removed.\n"  # it may still get its message
    assert orphan.exists()

    age(settings, HOUR)

    assert prune(settings) == "1 removed.\n"
    assert [path.name for path in kept(settings)] == list(keys(settings))


def test_what_a_kill_left_goes_by_itself(
    server: ChatServer, orphan: Path, settings: Settings
) -> None:
    age(settings, HOUR)
    server.start()
    assert server.api.get("/health").status == 200
    assert orphan.exists()
    server.stop()

    age(settings, DAY)
    server.start()

    assert server.api.get("/health").status == 200
    assert eventually(lambda: [path.name for path in kept(settings)] == list(keys(settings)))


def test_an_upload_of_hours_is_not_swept(
    server: ChatServer, ada: Person, chat: Chat, settings: Settings
) -> None:
    """It began long ago and still grows."""
    sending = Upload(ada, chat, 300_000)
    sending.send(b"x" * 200_000)
    assert eventually(lambda: len(kept(settings)) == 2)
    for folder in (settings.folder / "arriving").iterdir():
        os.utime(folder, (time.time() - HOUR,) * 2)

    prune(settings)

    sending.send(b"x" * 100_000)
    assert sending.finish() == 201
