"""Processes of one machine: how they tell each other, and what if they cannot."""

import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.bell import Bell
from tests.support.gateway_client import KEY, UPGRADE, make_gateway, read_until
from tests.support.gateway_client import Server as Sockets
from tests.support.people import ChatServer, refused
from tests.support.servers import PATIENCE, eventually
from tests.support.tabs import KEYS, join


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.bell"


@pytest.fixture
def rung(path: Path) -> Iterator[threading.Event]:
    """Set when the bell rings that one process answers."""
    rung, bell = threading.Event(), Bell(path)
    bell.answer(rung.set)
    yield rung
    bell.close()


def test_a_bell_is_heard_by_the_process_that_delivers(rung: threading.Event, path: Path) -> None:
    Bell(path).ring()

    assert rung.wait(PATIENCE)


def test_who_delivers_next_gets_the_bell(rung: threading.Event, path: Path) -> None:
    heard, successor = threading.Event(), Bell(path)
    successor.answer(heard.set)  # the one before may still sleep

    Bell(path).ring()

    assert heard.wait(PATIENCE)
    assert not rung.is_set()
    successor.close()


def test_a_bell_that_nobody_answers_does_no_harm(path: Path, tmp_path: Path) -> None:
    Bell(path).ring()
    Bell(tmp_path / ("x" * 200)).ring()
    stopped = Bell(path)
    stopped.answer(lambda: None)
    stopped.close()
    for _ in range(100):  # more than the system keeps
        Bell(path).ring()


def test_a_bell_without_a_place_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Bell(tmp_path / ("x" * 200)).answer(lambda: None)

    assert "seen a little later" in caplog.text


def test_only_its_user_may_ring_the_bell(rung: threading.Event, path: Path) -> None:
    mode = path.stat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def owns(server: ChatServer) -> bool:
    owner: bool = server.api.get("/health").json["sockets"]["owner"]
    return owner


def beside(owner: ChatServer, **settings: str) -> ChatServer:
    """Another process on the same database."""
    assert eventually(lambda: owns(owner))
    database = f"sqlite:///{owner.directory}/instance/chat.db"
    places = {"DATABASE_URL": database, "INSTANCE_PATH": str(owner.directory / "instance")}
    return ChatServer("gunicorn", **{**owner.settings, **places, **settings})


@pytest.mark.slow
def test_a_process_in_another_folder_hands_nobody_on(tmp_path: Path) -> None:
    """As it is between machines, on Windows, and where a path is too long for a socket."""
    key = "of both of them, as between two machines"
    with (
        ChatServer(JWT_SECRET_KEY=key, **KEYS) as owner,
        beside(owner, INSTANCE_PATH=str(tmp_path / "elsewhere")) as other,
    ):
        ada, bob = (owner.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        ada.api = other.api
        sockets = Sockets(owner.port, make_gateway())
        with sockets.people:
            client = join(sockets, bob, chat["channel_name"])

            answer = other.api.get(f"/app/{KEY}", headers=UPGRADE)

            message = refused(answer, 503, "unavailable")
            assert "one worker" in message
            assert "PUSHER_" in message
            assert int(answer.headers["retry-after"]) > 0
            said = ada.said(chat, "seen without a bell")
            assert client.expect("new_message")["data"] == said


@pytest.mark.slow
def test_a_suspended_owner_welcomes_who_came_meanwhile() -> None:
    with ChatServer(**KEYS) as owner, beside(owner) as other:
        sockets = Sockets(other.port, make_gateway())
        assert owner.process
        with sockets.people:
            owner.process.send_signal(signal.SIGSTOP)
            try:
                waiting = [sockets.raw() for _ in range(5)]
                assert other.api.get("/api/config").status == 200, "it serves all else"
            finally:
                owner.process.send_signal(signal.SIGCONT)

            for sock in waiting:
                read_until(sock, b"connection_established")


@pytest.mark.slow
def test_connections_of_an_address_count_wherever_they_come() -> None:
    settings = {"TRUSTED_PROXIES": "1", "EMBEDDED_CONNECTIONS_PER_ADDRESS": "2"}
    with ChatServer(**KEYS, **settings) as owner, beside(owner) as other:
        sockets, others = (Sockets(each.port, make_gateway()) for each in (owner, other))
        near = {"X-Forwarded-For": "192.0.2.1"}
        far = {"X-Forwarded-For": "192.0.2.2"}
        with sockets.people, others.people:
            sockets.join(additional_headers=near)
            others.join(additional_headers=near)

            assert others.connect(additional_headers=near).expect_close() == 4100
            assert sockets.connect(additional_headers=near).expect_close() == 4100
            others.join(additional_headers=far)


@pytest.mark.slow
def test_a_stop_of_the_owner_moves_everybody_over() -> None:
    with ChatServer(**KEYS) as owner, beside(owner) as other:
        sockets = Sockets(other.port, make_gateway())
        with sockets.people:
            client = sockets.join()

            owner.stop()

            assert client.expect_close() == 4200
            assert eventually(lambda: owns(other))
            sockets.join().expect_silence()
