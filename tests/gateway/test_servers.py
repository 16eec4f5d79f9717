"""The gateway and its neighbours: HTTP servers, threads, processes."""

import contextlib
import logging
import os
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import CloseCode
from werkzeug.test import EnvironBuilder, run_wsgi_app

from gateway import Gateway, GatewayClosed, Limits
from gateway.frames import event_frame
from gateway.hub import Delivery, Hub
from gateway.loop import Ended, Loop
from gateway.signatures import Credentials
from tests.support.gateway_client import (
    HANDSHAKE,
    KEY,
    UPGRADE,
    Server,
    frame,
    make_app,
    make_gateway,
    read_to_end,
    read_until,
    serving,
)
from tests.support.servers import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def gunicorn(log: Path, *options: str) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """gunicorn in a process of its own, on a socket that listens before it is started."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "4"]
        command += ["--bind", f"fd://{listener.fileno()}", "--error-logfile", str(log), *options]
        process = subprocess.Popen(
            [*command, "tests.support.gateway_client:gunicorn_app()"],
            pass_fds=[listener.fileno()],
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        server = Server(listener.getsockname()[1], make_gateway())
        try:
            with server.people:
                yield server, process
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="module", params=["werkzeug", "gunicorn", "gunicorn without keep-alive"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Both servers that the gateway lives in, silent in their logs."""
    if request.param == "werkzeug":
        with serving(make_gateway()) as server:
            yield server
        return
    pytest.importorskip("gunicorn")
    options = ["--keep-alive", "0" if "without" in request.param else "60"]
    log = tmp_path_factory.mktemp("gunicorn") / "log"
    with gunicorn(log, *options) as (server, _):
        yield server
    assert "Booting worker" in log.read_text()
    assert all("[INFO]" in line for line in log.read_text().splitlines()), log.read_text()


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    yield shared
    shared.people.close()


def test_sockets_and_requests_live_side_by_side(server: Server) -> None:
    people = [server.join() for _ in range(12)]  # three times gunicorn's threads
    for client in people:
        client.subscribe("private-chat")

    http = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    for _ in range(3):
        http.request("GET", "/hello")
        assert http.getresponse().read() == b"hello"
    http.close()
    server.publisher().trigger("private-chat", "hello", "all")

    for client in people:
        assert client.expect("hello")["data"] == "all"


def test_a_connection_that_served_requests_can_shake_hands(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    with gunicorn(tmp_path / "log", "--keep-alive", "60") as (server, _):
        sock = server.raw(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(sock, b"hello")

        sock.sendall(HANDSHAKE)

        read_until(sock, b"connection_established")


def test_frames_that_come_with_the_handshake_are_read(server: Server) -> None:
    subscribe = frame('{"event":"pusher:subscribe","data":{"channel":"news"}}')

    sock = server.raw(HANDSHAKE + subscribe * 20)

    data = b""
    while data.count(b"subscription_succeeded") < 20:
        data += sock.recv(65536)
    assert data.index(b"connection_established") < data.index(b"subscription_succeeded")


def test_many_handshakes_leave_no_thread_and_no_file_behind() -> None:
    with serving(make_gateway()) as server:
        server.join().close()
        files, threads = count_files(), threading.active_count()

        for _ in range(20):
            server.join().close()

        wait_until(lambda: count_files() <= files and threading.active_count() <= threads)


def count_files() -> int:
    folder = Path("/dev/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


# Answers that are not a WebSocket


def request(server: Server, headers: dict[str, str], method: str = "GET") -> tuple[int, Any, str]:
    http = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    http.request(method, f"/app/{KEY}", headers=headers)
    answer = http.getresponse()
    body = answer.read().decode()
    http.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "close"}, 426),
        ({"Upgrade": ","}, 400),
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Version": "13, 13"}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "é" * 24}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Content-Length": "1"}, 400),
        ({"Transfer-Encoding": "chunked"}, 400),
    ],
)
def test_a_request_without_handshake_gets_plain_http(changes: dict[str, str], status: int) -> None:
    headers = {**UPGRADE, **changes}
    gateway = make_gateway()
    with live_environ(headers) as environ:
        answer = gateway.upgrade(environ, KEY)

        assert answer.status == status
        assert answer.body
        assert answer.body["message"]
        assert environ["werkzeug.socket"].fileno() >= 0, "the socket stays with its server"


@contextlib.contextmanager
def live_environ(headers: dict[str, str], **more: Any) -> Iterator[dict[str, Any]]:
    """A WSGI environment with a real socket in it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = EnvironBuilder(path=f"/app/{KEY}").get_environ()
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_LENGTH" else f"HTTP_{key}"] = value
        environ["werkzeug.socket"], environ["client"] = ours, theirs
        environ.update(more)
        yield environ


def test_a_browser_is_told_what_the_address_is_for(server: Server) -> None:
    status, headers, body = request(server, {})

    assert status == 426
    assert headers["Upgrade"] == "websocket"
    first, *more = headers.get_all("Connection")
    assert not more or "close" in first, "some clients read the first one only"
    assert "WebSocket" in body


def test_only_http_1_1_get_requests_can_be_upgraded() -> None:
    gateway = make_gateway()

    with live_environ(UPGRADE, REQUEST_METHOD="POST") as environ:
        assert gateway.upgrade(environ, KEY).status == 405
    with live_environ(UPGRADE, SERVER_PROTOCOL="HTTP/2") as environ:
        assert gateway.upgrade(environ, KEY).status == 505


def test_a_server_without_sockets_is_told_of_others() -> None:
    gateway = make_gateway()
    environ = EnvironBuilder(path=f"/app/{KEY}", headers=list(UPGRADE.items())).get_environ()

    answer = gateway.upgrade(environ, KEY)

    assert answer.status == 501
    assert answer.body
    assert "gunicorn" in answer.body["message"]


def test_a_tls_socket_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    wrapped = context.wrap_socket(ours, do_handshake_on_connect=False)
    with wrapped, theirs, live_environ(UPGRADE, **{"werkzeug.socket": wrapped}) as environ:
        assert make_gateway().upgrade(environ, KEY).status == 501


def test_an_environment_of_a_test_client_is_answered_too() -> None:
    environ = EnvironBuilder(path=f"/app/{KEY}", input_stream=BytesIO()).get_environ()

    _, status, _ = run_wsgi_app(make_app(make_gateway()), environ)

    assert status.startswith("501")


# Opening and stopping


def test_a_new_gateway_has_neither_thread_nor_file() -> None:
    threads, files = threading.active_count(), count_files()

    gateway = make_gateway()

    assert threading.active_count() <= threads  # those of earlier tests may end
    assert count_files() <= files
    assert not gateway.is_open
    with live_environ(UPGRADE) as environ:
        assert gateway.upgrade(environ, KEY).status == 503
    gateway.stop()


def test_a_low_limit_of_open_files_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    gateway = make_gateway(limits={"connections": 700})
    try:
        gateway.open()

        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(700, before[1])
    finally:
        gateway.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_half_of_a_fixed_limit_is_left_to_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    gateway = make_gateway()
    with monkeypatch.context() as patch:
        patch.setattr("resource.setrlimit", no_more_files)
        gateway.open()
    resource.setrlimit(resource.RLIMIT_NOFILE, (2_048, before[1]))  # for the clients
    try:
        with contextlib.ExitStack() as crowd:
            for _ in range(256):
                crowd.enter_context(joined(gateway))
            with live_environ(UPGRADE) as environ:
                assert gateway.upgrade(environ, KEY).status == 503
    finally:
        gateway.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_clients_sent_away_by_a_stop_may_return() -> None:
    with serving(make_gateway()) as server:
        for _ in range(3):
            ada = server.join()

            server.gateway.stop()

            assert ada.expect_close() == 4200
            assert not server.gateway.is_open
            status, headers, body = request(server, UPGRADE)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "not running" in body
            server.gateway.stop()
            server.gateway.open()
            server.gateway.open()


@pytest.mark.abuse
@pytest.mark.slow
def test_a_thousand_clients_hear_though_some_never_answer() -> None:
    gateway = make_gateway(limits={"connections": 1_000, "close_within": 600})
    gateway.open()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(joined(gateway)) for _ in range(1_000)]
        assert gateway.stats()["connections"] == 1_000
        answering = threading.Thread(target=say_goodbye, args=(crowd[:900],))
        answering.start()

        started = time.monotonic()
        gateway.stop(timeout=2.0)
        took = time.monotonic() - started

        answering.join()
        assert took < 60, "100 clients that never answer must not hold it up"
        for sock in crowd[900:]:
            assert (4200).to_bytes(2, "big") in read_to_end(sock)


@contextlib.contextmanager
def joined(gateway: Gateway) -> Iterator[socket.socket]:
    """A client's socket, without the HTTP server that usually stands between."""
    with live_environ(UPGRADE) as environ:
        assert gateway.upgrade(environ, KEY).status == 101
        read_until(environ["client"], b"established")
        yield environ["client"]


def say_goodbye(crowd: list[socket.socket]) -> None:
    """Answer each close frame, as browsers do."""
    with selectors.DefaultSelector() as selector:
        for sock in crowd:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                assert (4200).to_bytes(2, "big") in key.fileobj.recv(4_096)
                key.fileobj.sendall(frame((4200).to_bytes(2, "big"), 0x88))
                selector.unregister(key.fileobj)


def test_gunicorn_says_4200_when_it_is_told_to_stop(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    with gunicorn(tmp_path / "log") as (server, process):
        people = [server.join() for _ in range(5)]

        process.send_signal(signal.SIGTERM)

        assert [client.expect_close() for client in people] == [4200] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_leaves_its_parents_clients_alone() -> None:
    with serving(make_gateway()) as server:
        ada = server.join()
        ada.subscribe("news")

        child = os.fork()
        if child == 0:  # no assert in here: it would run the parent's tests a second time
            gateway = server.gateway
            closed = not gateway.is_open and gateway.api("GET", "/", "", b"")[0] == 401
            gateway.open()
            gateway.stop()
            os._exit(0 if closed else 1)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        server.publisher().trigger("news", "still", "here")
        ada.expect("still")


def test_a_stopped_loop_takes_no_more_work() -> None:
    limits = Limits()
    loop = Loop(Hub(Credentials("1", KEY, "the-secret"), limits), limits, logging.getLogger())
    loop.start()
    assert loop.ask(lambda: "an answer") == "an answer"

    loop.stop(2.0)

    with pytest.raises(Ended):
        loop.post(lambda: None)
    with pytest.raises(Ended):
        loop.ask(lambda: None)


def test_work_that_adds_work_keeps_the_loop_responsive() -> None:
    gateway = make_gateway()
    gateway.open()
    try:
        for _ in range(3):
            # The second one is done in the same turn as the first.
            gateway.ask(lambda _: gateway.deliver([]))
            time.sleep(0.05)  # time enough for the loop to fall asleep

            assert gateway.ask(lambda _: "awake") == "awake"
    finally:
        gateway.stop()


def test_publishing_during_opening_and_stopping_is_always_answered() -> None:
    gateway = make_gateway()
    statuses: set[int] = set()

    def publish() -> None:
        for _ in range(300):
            try:
                gateway.deliver([])
                statuses.add(gateway.ask(lambda hub: 200))
            except (GatewayClosed, Ended):
                statuses.add(503)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gateway.open()
        gateway.ask(lambda hub: None)
        gateway.stop()
    for thread in threads:
        thread.join()

    assert statuses <= {200, 503}


def test_a_bug_in_one_connection_costs_that_one_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The bug is a division by zero, which every subscription to a presence channel meets."""
    gateway = Gateway("1", KEY, "the-secret", limits=Limits(), logger=logging.getLogger("test"))
    monkeypatch.setattr("gateway.hub.SENDS_PER_FRAME", 0)
    with serving(gateway) as server:
        ada, eve = server.join(), server.join()

        eve.say("pusher:subscribe", eve.subscription("presence-room", "eve"))

        assert eve.expect_close() == CloseCode.ABNORMAL_CLOSURE
        ada.expect_silence()
    assert "ZeroDivisionError" in caplog.text


def test_the_loop_survives_a_bug_of_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway("1", KEY, "the-secret", logger=logging.getLogger("test"))
    select = selectors.DefaultSelector.select
    failures = [ZeroDivisionError()]

    def faulty(self: selectors.DefaultSelector, timeout: float | None = None) -> Any:
        if failures:
            raise failures.pop()
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", faulty)
    with serving(gateway) as server:
        server.join().expect_silence()
    assert not failures
    assert "ZeroDivisionError" in caplog.text


def test_publishers_wait_when_the_loop_cannot_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.loop.BACKLOG", 0)
    with serving(make_gateway()) as server:
        ada = server.join()
        ada.subscribe("news")

        for number in range(50):
            server.gateway.deliver([Delivery("news", event_frame("headline", str(number), "news"))])

        assert [ada.hear()["data"] for _ in range(50)] == list(range(50))


def test_a_flood_of_refused_connections_takes_no_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.server.LINGERING", 0)
    gateway = make_gateway(limits={"connections": 1})
    gateway.open()
    with joined(gateway), live_environ(UPGRADE) as environ:
        answer = gateway.upgrade(environ, KEY)

        assert answer.status == 503
        assert environ["werkzeug.socket"].fileno() >= 0
    gateway.stop()


def test_a_process_out_of_files_answers_over_http(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = make_gateway()
    gateway.open()
    with live_environ(UPGRADE) as environ, monkeypatch.context() as patch:
        patch.setattr("socket.socketpair", no_more_files)

        assert gateway.upgrade(environ, KEY).status == 503
        assert environ["werkzeug.socket"].getblocking()
    gateway.stop()


def no_more_files(*_: object) -> None:
    raise OSError("Too many open files")
