"""The servers and clients of the other tests, tried on each other first."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from urllib.parse import parse_qs

import psycopg
import pusher
import pytest
import redis
import requests
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus, PusherForbidden

from tests.support.conversations import meanwhile
from tests.support.forked import Forked
from tests.support.people import ROOT, ChatServer
from tests.support.pusher_js import PusherJs, SubscriptionRefused
from tests.support.servers import (
    HOST,
    IN_CI,
    PATIENCE,
    Postgres,
    PusherApp,
    Redis,
    Server,
    Soketi,
    eventually,
    require,
)
from tests.support.stub_pusher import Mode, StubPusher, signature

VERSIONS: list[Literal[8, 4]] = [8, 4]


def publisher_to(app: PusherApp, **options: Any) -> pusher.Pusher:
    return pusher.Pusher(
        app.app_id, app.key, app.secret, **{"host": HOST, "port": app.port, "ssl": False} | options
    )


def batch(*numbers: int, channel: str = "chat-1") -> list[dict[str, str]]:
    return [{"channel": channel, "name": "new_message", "data": f'{{"id":{n}}}'} for n in numbers]


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def publisher(stub: StubPusher) -> pusher.Pusher:
    return publisher_to(stub)


@pytest.fixture(scope="module")
def soketi() -> Iterator[Soketi]:
    with Soketi() as soketi:
        yield soketi


def config(app: PusherApp) -> dict[str, Any]:
    return {
        "key": app.key,
        "cluster": "mt1",
        "wsHost": HOST,
        "wsPort": app.port,
        "wssPort": app.port,
        "forceTLS": False,
        "enabledTransports": ["ws", "wss"],
    }


@contextmanager
def auth_endpoint(app: PusherApp, token: str) -> Iterator[str]:
    """Signs any channel that the bearer of the token asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            channel, socket_id = form["channel_name"][0], form["socket_id"][0]
            user = {"user_id": "1", "user_info": {"name": "ada"}}
            allowed = self.headers["Authorization"] == f"Bearer {token}"
            self.send_response(200 if allowed else 403)
            self.end_headers()
            if allowed:
                presence = user if channel.startswith("presence-") else None
                signed = publisher_to(app).authenticate(channel, socket_id, presence)
                self.wfile.write(json.dumps(signed).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05]).start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()


# pusher-js on soketi


def test_both_generations_of_pusher_js_hear_the_client(
    soketi: Soketi,
) -> None:
    with PusherJs(8) as ada, PusherJs(4) as bob, auth_endpoint(soketi, "token") as auth_url:
        for browser in (ada, bob):
            browser.connect(config(soketi), "token", auth_url)
            browser.subscribe("private-chat-1")
        before = time.time()

        publisher_to(soketi).trigger("private-chat-1", "new_message", {"text": "¿Qué tal? 🎈"})

        for browser in (ada, bob):
            event = browser.wait_for("new_message", "private-chat-1")
            assert event.data == {"text": "¿Qué tal? 🎈"}
            assert before - 0.1 < event.time < time.time() + 0.1
            assert [e.name for e in browser.events].count("new_message") == 1


def test_a_sender_named_by_socket_id_is_left_out(soketi: Soketi) -> None:
    with PusherJs() as ada, PusherJs() as bob:
        for browser in (ada, bob):
            browser.connect(config(soketi))
            browser.subscribe("chat-2")

        publisher_to(soketi).trigger("chat-2", "new_message", 1, ada.socket_id)
        publisher_to(soketi).trigger("chat-2", "the_end", None)

        for browser, heard in ((ada, ["the_end"]), (bob, ["new_message", "the_end"])):
            browser.wait_for("the_end")
            assert [e.name for e in browser.events if not e.name.startswith("pusher:")] == heard


@pytest.mark.parametrize("version", VERSIONS)
def test_an_outsider_is_refused_the_subscription(soketi: Soketi, version: Literal[8, 4]) -> None:
    with PusherJs(version) as eve, auth_endpoint(soketi, "token") as auth_url:
        eve.connect(config(soketi), "another token", auth_url)

        with pytest.raises(SubscriptionRefused) as refusal:
            eve.subscribe("private-chat-1")

        assert refusal.value.status == 403


def test_client_events_and_presence_members_are_reported(soketi: Soketi) -> None:
    with PusherJs(8) as ada, PusherJs(4) as tab, auth_endpoint(soketi, "token") as auth_url:
        for browser in (ada, tab):
            browser.connect(config(soketi), "token", auth_url)
            browser.subscribe("presence-chitchat")

        assert tab.trigger("presence-chitchat", "client-typing", {"in": 7})

        typing = ada.wait_for("client-typing", predicate=lambda event: event.data["in"] == 7)
        assert typing.user_id == "1"
        assert ada.members("presence-chitchat") == {
            "count": 1,
            "me": {"id": "1", "info": {"name": "ada"}},
            "members": {"1": {"name": "ada"}},
        }


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS if IN_CI else VERSIONS[:1])
def test_pusher_js_comes_back_to_a_killed_soketi(version: Literal[8, 4]) -> None:
    with Soketi() as soketi, PusherJs(version) as ada:
        ada.connect(config(soketi))
        ada.subscribe("chat-1")
        ada.clear()

        soketi.kill()
        soketi.start()
        ada.reconnect()

        ada.wait_for("pusher:subscription_succeeded", "chat-1")
        publisher_to(soketi).trigger("chat-1", "new_message", 1)
        assert ada.wait_for("new_message").data == 1


def test_a_client_can_leave_a_channel_and_the_server(soketi: Soketi) -> None:
    with PusherJs() as ada:
        ada.connect(config(soketi))
        ada.subscribe("chat-3")
        ada.subscribe("chat-4")
        ada.unsubscribe("chat-3")

        publisher_to(soketi).trigger(["chat-3", "chat-4"], "new_message", 1)
        ada.wait_for("new_message", "chat-4")
        assert not [e for e in ada.events if e.name == "new_message" and e.channel == "chat-3"]
        ada.disconnect()
        assert ada.state == "disconnected"
        ada.reconnect()

        assert ada.states.count("connected") == 2


# The stub


def test_the_stub_takes_events_of_the_official_client(
    stub: StubPusher, publisher: pusher.Pusher
) -> None:
    assert publisher.trigger(["chat-1", "chat-2"], "new_chat", {"text": "é"}, "1.2") == {}
    assert publisher.trigger_batch(batch(1, 2), already_encoded=True) == {}

    assert [(e["channel"], e["name"], e["data"], e["socket_id"]) for e in stub.events] == [
        ("chat-1", "new_chat", {"text": "é"}, "1.2"),
        ("chat-2", "new_chat", {"text": "é"}, "1.2"),
        ("chat-1", "new_message", {"id": 1}, None),
        ("chat-1", "new_message", {"id": 2}, None),
    ]
    assert [e["request"] for e in stub.events] == [1, 1, 2, 2]
    assert time.time() - 5 < stub.events[0]["time"] <= stub.events[-1]["time"] <= time.time()
    assert stub.requests == 2


def test_a_signature_is_that_of_the_documentation() -> None:
    query = {
        "auth_key": "278d425bdf160c739803",
        "auth_timestamp": "1353088179",
        "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
    }

    assert (
        signature("7ad3773142a6692b25b8", "POST", "/apps/3/events", query)
        == "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
    )


@pytest.mark.parametrize(
    "wrong", [{"secret": "wrong"}, {"key": "wrong"}], ids=["a wrong secret", "a wrong key"]
)
def test_the_stub_refuses_strangers(stub: StubPusher, wrong: dict[str, str]) -> None:
    keys = {"app_id": stub.app_id, "key": stub.key, "secret": stub.secret} | wrong
    stranger = pusher.Pusher(**keys, host=HOST, port=stub.port, ssl=False)

    with pytest.raises(PusherBadAuth):
        stranger.trigger("chat-1", "new_message", 1)

    assert stub.events == []


def test_the_stub_refuses_a_body_that_was_not_signed(
    stub: StubPusher, publisher: pusher.Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = publisher._pusher_client.http.session
    send = session.request
    monkeypatch.setattr(
        session, "request", lambda *args, data, **options: send(*args, data=b"{}", **options)
    )

    with pytest.raises(PusherBadAuth, match="body_md5"):
        publisher.trigger("chat-1", "new_message", 1)


def test_the_stub_refuses_a_signature_of_yesterday(
    stub: StubPusher, publisher: pusher.Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = SimpleNamespace(time=lambda: time.time() - 86_400)
    monkeypatch.setattr("pusher.http.time", yesterday)

    with pytest.raises(PusherBadAuth, match="Timestamp"):
        publisher.trigger("chat-1", "new_message", 1)


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("400", PusherBadRequest),
        ("401", PusherBadAuth),
        ("403", PusherForbidden),
        ("413", PusherBadStatus),
        ("500", PusherBadStatus),
        ("503", PusherBadStatus),
        ("garbage", ValueError),
    ],
)
def test_each_fault_is_as_its_name_says(
    stub: StubPusher, publisher: pusher.Pusher, mode: Mode, outcome: type[Exception]
) -> None:
    stub.mode = mode
    with pytest.raises(outcome):
        publisher.trigger("chat-1", "new_message", 1)
    stub.mode = "ok"
    publisher.trigger("chat-1", "new_message", 2)

    assert [e["data"] for e in stub.events] == [2]
    assert stub.requests == 2


def test_a_reset_is_one_of_tcp(stub: StubPusher, publisher: pusher.Pusher) -> None:
    stub.mode = "reset"

    with pytest.raises(requests.ConnectionError, match="ConnectionResetError"):
        publisher.trigger("chat-1", "new_message", 1)

    assert stub.events == []


def test_an_error_can_come_with_status_200(stub: StubPusher, publisher: pusher.Pusher) -> None:
    stub.mode = "200-with-error"

    assert "error" in publisher.trigger("chat-1", "new_message", 1)
    assert stub.events == []


def test_a_hanging_stub_lets_go_when_told_to(stub: StubPusher, publisher: pusher.Pusher) -> None:
    stub.mode = "hang"
    impatient = publisher_to(stub, timeout=0.25)
    with pytest.raises(requests.ReadTimeout):
        impatient.trigger("chat-1", "new_message", 1)

    def let_go_of_the_second() -> None:
        eventually(lambda: stub.requests == 2)
        stub.mode = "ok"

    with meanwhile(let_go_of_the_second), pytest.raises(requests.ConnectionError):
        publisher_to(stub, timeout=60).trigger("chat-1", "new_message", 2)
    publisher.trigger("chat-1", "new_message", 3)

    assert [e["data"] for e in stub.events] == [3]
    assert stub.max_in_flight == 1, "a client that hung up is not in flight"


def test_a_slow_stub_takes_events_nobody_waited_for(stub: StubPusher) -> None:
    stub.delay = 20
    impatient = publisher_to(stub, timeout=0.1)

    with pytest.raises(requests.ReadTimeout):
        impatient.trigger("chat-1", "new_message", 1)

    assert [e["data"] for e in stub.wait_for(lambda events: len(events) == 1)] == [1]


@pytest.mark.slow
def test_the_stub_counts_requests_in_flight(stub: StubPusher) -> None:
    stub.delay = 3
    batches = [batch(1, channel="chat-1"), batch(2, channel="chat-1"), batch(3, channel="chat-2")]
    senders = [
        threading.Thread(target=publisher_to(stub).trigger_batch, args=[events, True])
        for events in batches
    ]

    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert stub.max_in_flight == 3
    assert stub.max_in_flight_by_channel == {"chat-1": 2, "chat-2": 1}
    stub.clear()
    assert (stub.events, stub.requests, stub.max_in_flight) == ([], 0, 0)


def test_one_bad_event_has_its_whole_batch_refused(
    stub: StubPusher, publisher: pusher.Pusher
) -> None:
    stub.refuse(lambda event: event["data"] == {"id": 2}, status=400)
    with pytest.raises(PusherBadRequest):
        publisher.trigger_batch(batch(1, 2, 3), already_encoded=True)

    for n in (1, 3):
        publisher.trigger_batch(batch(n), already_encoded=True)

    assert [e["data"]["id"] for e in stub.events] == [1, 3]


def test_the_limits_are_those_of_the_hosted_service(
    stub: StubPusher, publisher: pusher.Pusher
) -> None:
    largest = {"channel": "chat-1", "name": "new_message", "data": "é" * 5_120}
    too_large = largest | {"data": "é" * 5_120 + "!"}

    with pytest.raises(PusherBadStatus, match="413"):
        publisher.trigger_batch([*batch(1), too_large], already_encoded=True)
    with pytest.raises(PusherBadRequest, match="Batch too large"):
        publisher.trigger_batch(batch(*range(11)), already_encoded=True)
    assert stub.events == []

    publisher.trigger_batch([*batch(*range(9)), largest], already_encoded=True)
    assert len(stub.events) == 10


@pytest.mark.parametrize(
    "bad",
    [
        {"channel": "a b"},
        {"channel": 1},
        {"name": ""},
        {"data": {}},
        {"data": "\ud800"},
        {"socket_id": "1.2:private-chat-1"},
    ],
)
def test_an_invalid_event_is_refused(
    stub: StubPusher, publisher: pusher.Pusher, bad: dict[str, Any]
) -> None:
    with pytest.raises(PusherBadRequest):
        publisher.trigger_batch([batch(1)[0] | bad], already_encoded=True)


def test_a_paused_stub_refuses_connections_until_it_is_resumed(
    stub: StubPusher, publisher: pusher.Pusher
) -> None:
    publisher.trigger("chat-1", "new_message", 1)

    stub.pause()
    with pytest.raises(requests.ConnectionError):
        publisher.trigger("chat-1", "new_message", 2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, stub.port))
    stub.resume()
    publisher.trigger("chat-1", "new_message", 3)

    assert [e["data"] for e in stub.events] == [1, 3]


def test_a_pause_does_not_wait_for_requests_in_flight(
    stub: StubPusher, publisher: pusher.Pusher
) -> None:
    stub.delay = 20
    pausing = threading.Timer(0.3, stub.pause)
    pausing.start()
    before = time.monotonic()

    with pytest.raises(requests.ConnectionError):
        publisher_to(stub, timeout=30).trigger("chat-1", "new_message", 1)

    pausing.join()
    assert time.monotonic() - before < 15


def test_connections_to_the_stub_are_kept_alive(stub: StubPusher) -> None:
    with closing(HTTPConnection(HOST, stub.port)) as connection:
        sockets = set()
        for _ in range(3):
            connection.request("POST", f"/apps/{stub.app_id}/events", b"{}")
            assert connection.getresponse().read() == b"Unknown auth_key"
            sockets.add(connection.sock)

    assert len(sockets) == 1
    assert sockets != {None}


# PostgreSQL and Redis


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as postgres:
        yield postgres


def test_each_database_of_postgres_is_a_new_one(postgres: Postgres) -> None:
    original = postgres.create_database()
    with psycopg.connect(original) as connection:
        connection.execute("CREATE TABLE people AS SELECT 'ada' AS name")

    copy, other = postgres.create_database(like=original), postgres.create_database()

    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT name FROM people").fetchall() == [("ada",)]
    with psycopg.connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT name FROM people")


def test_a_database_can_be_dropped_though_somebody_uses_it(postgres: Postgres) -> None:
    url = postgres.create_database()

    with closing(psycopg.connect(url)):
        postgres.drop_database(url)

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_redis_answers_and_can_be_away_for_a_while() -> None:
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        client.set("who", "ada")
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.get("who")
        server.start()

        assert client.ping()


# Manners


@pytest.mark.slow
@pytest.mark.parametrize("server", [Redis, ChatServer])
def test_a_server_does_not_outlive_its_test_run(server: type[Server]) -> None:
    require(server)
    script = f"from {server.__module__} import {server.__name__} as Server; import time"
    script += "; s = Server(); s.start(); print(s.port, s.directory, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as test_run:
        assert test_run.stdout is not None
        port, directory = test_run.stdout.readline().split()
        socket.create_connection((HOST, int(port))).close()
        test_run.send_signal(signal.SIGKILL)

    assert eventually(lambda: not Path(directory).exists())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, int(port)))


def test_a_failed_start_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Redis, "command", lambda self: ["sh", "-c", "echo no such luck; exit 1"])
    server = Redis()

    with pytest.raises(RuntimeError, match="no such luck"), server:
        pass

    assert not server.directory.exists()


def test_an_api_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="JWT_SECRET_KEY"), ChatServer(JWT_SECRET_KEY="short"):
        pass


def test_an_ended_process_may_still_be_signalled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forked = Forked(["python", "-c", ""], log=tmp_path / "log", cwd=tmp_path, env={})
    assert forked.wait(PATIENCE) == 0
    monkeypatch.setattr(Forked, "returncode", None)

    forked.send_signal(0)


def test_missing_parts_skip_tests_but_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Soketi, "program", Path("/nowhere"))

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="soketi is missing"):
        require(Soketi)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="soketi is missing"):
        Soketi()
