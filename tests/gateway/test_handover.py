"""Clients that reach a process without the sockets are handed on to the one that has them."""

import contextlib
import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from gateway import Gateway
from tests.support.gateway_client import (
    HANDSHAKE,
    KEY,
    UPGRADE,
    Server,
    frame,
    make_gateway,
    read_to_end,
    read_until,
    serving,
)
from tests.support.servers import PATIENCE, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.sockets"


@pytest.fixture
def make(path: Path) -> Callable[..., Gateway]:
    return lambda **options: make_gateway(handover=path, **options)


@contextlib.contextmanager
def serving_beside(gateway: Gateway) -> Iterator[Server]:
    """A server of a process that does not have the sockets."""
    with serving(gateway) as server:
        gateway.stop()
        yield server


@pytest.fixture
def other(make: Callable[..., Gateway]) -> Iterator[Server]:
    with serving_beside(make()) as server:
        yield server


@pytest.fixture
def owner(make: Callable[..., Gateway], other: Server) -> Iterator[Server]:
    with serving(make()) as server:
        yield server


def test_a_client_of_another_process_hears_everything(owner: Server, other: Server) -> None:
    ada, bob = other.join(), owner.join()
    for client in (ada, bob):
        client.subscribe("private-chat")

    owner.publisher().trigger("private-chat", "hello", "all")
    ada.say("client-hello", "from ada", channel="private-chat")

    assert ada.expect("hello")["data"] == "all"
    assert bob.expect("hello")["data"] == "all"
    assert bob.expect("client-hello")["data"] == "from ada"
    assert owner.gateway.stats()["connections"] == 2


def test_frames_that_come_early_are_handed_on_too(owner: Server, other: Server) -> None:
    subscribe = frame('{"event":"pusher:subscribe","data":{"channel":"news"}}')

    sock = other.raw(HANDSHAKE + subscribe * 50)

    data = b""
    while data.count(b"subscription_succeeded") < 50:
        data += sock.recv(65536)


def test_a_refusal_is_told_by_the_owner(owner: Server, other: Server) -> None:
    assert other.connect(key="wrong").expect_close() == 4001


def test_nothing_stays_behind_where_a_client_arrived(owner: Server, other: Server) -> None:
    other.join().close()
    before = open_files()

    for _ in range(20):
        other.join().close()

    assert eventually(lambda: open_files() <= before)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def files_of(owner: Server, at_most: int = 1_000) -> int:
    """How many are open once a client has come to the owner, been answered, and left."""
    client = owner.join()
    client.expect_silence()
    client.close()
    eventually(lambda: not owner.gateway.stats()["connections"] and open_files() <= at_most, 5)
    return open_files()


def test_without_an_owner_the_answer_is_plain_http(other: Server) -> None:
    for _ in range(2):  # over one connection: it is as good as before
        http = HTTPConnection("127.0.0.1", other.port, timeout=PATIENCE)
        http.request("GET", f"/app/{KEY}", headers=UPGRADE)
        answer = http.getresponse()

        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert "not running" in json.load(answer)["message"]
        http.close()


def test_a_stopped_owner_takes_nobody(owner: Server, other: Server) -> None:
    client = other.join()

    owner.gateway.stop()

    assert client.expect_close() == 4200
    with pytest.raises(InvalidStatus, match="503"):
        other.connect()


def test_a_new_owner_takes_the_place_of_another(owner: Server, other: Server) -> None:
    other.gateway.open()  # the one before may have died without a word, or sleep
    try:
        owner.gateway.stop()

        owner.join().expect_silence()

        assert other.gateway.stats()["connections"] == 1
    finally:
        other.gateway.stop()


def test_limits_of_the_owner_hold_for_all(make: Callable[..., Gateway], other: Server) -> None:
    limits = {"connections_per_address": 2}
    with serving(make(limits=limits)) as owner:
        owner.join()
        other.join()

        assert other.connect().expect_close() == 4100
        # They are told to go, and stay: twice as many sockets are the most of an address.
        for _ in range(2):
            read_until(other.raw(), b"4100")
        assert b"503" in read_to_end(other.raw())


def test_only_its_user_may_use_the_socket_file(owner: Server, path: Path) -> None:
    mode = path.stat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def say(path: Path, data: bytes, *files: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        sender.connect(str(path))
        socket.send_fds(sender, [data], list(files))


NO_ARRIVALS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"\xff{",
    "a deep nest": b"[" * 5_000,
    "too few": b'["::1"]',
    "other types": b"[1, 2, 3, 4]",
    "no latin letters": b'["::1", "\\u20ac", "", null]',
    "a strange refusal": b'["::1", "", "", ["4001", ""]]',
    "too much": b'["' + b"x" * 100_000,
}


@pytest.mark.parametrize("data", NO_ARRIVALS.values(), ids=NO_ARRIVALS.keys())
def test_what_is_no_handover_is_dropped(owner: Server, path: Path, data: bytes) -> None:
    before = files_of(owner)
    ours, theirs = socket.socketpair()

    say(path, data)
    with theirs:
        with ours:
            say(path, data, ours.fileno(), ours.fileno())
        theirs.settimeout(PATIENCE)
        assert theirs.recv(1) == b"", "it was closed on the other side, too"

    assert files_of(owner, before) <= before


def test_what_is_no_connection_is_dropped(owner: Server, path: Path, tmp_path: Path) -> None:
    arrival = b'["::1", "", "", null]'
    before = files_of(owner)
    with (tmp_path / "file").open("w") as file:
        say(path, arrival, file.fileno())
    with socket.socket() as unconnected:
        say(path, arrival, unconnected.fileno())
    say(path, arrival)

    assert files_of(owner, before) <= before


def test_a_path_too_long_costs_only_the_handover(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ("x" * 120)
    with (
        serving_beside(make_gateway(handover=path)) as other,
        serving(make_gateway(handover=path)) as owner,
    ):
        owner.join().expect_silence()
        with pytest.raises(InvalidStatus, match="503"):
            other.connect()

    assert "cannot hand clients on" in caplog.text


def test_an_owner_that_is_busy_is_waited_for(owner: Server, other: Server) -> None:
    loop: Any = owner.gateway._current()
    loop.post(lambda: time.sleep(0.5))

    clients = [other.raw() for _ in range(15)]

    for sock in clients:
        read_until(sock, b"connection_established")
