"""Prometheus reads what the processes of a machine count and measure."""

import json
import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from config import ROOT
from tests.support.gateway_client import Server as Sockets
from tests.support.gateway_client import make_gateway
from tests.support.metrics import scraped
from tests.support.people import ChatServer, InProcess, refused
from tests.support.servers import eventually
from tests.support.stub_pusher import StubPusher
from tests.support.tabs import KEYS
from web import metrics
from web.tally import Tally

SENT = {"route": "/api/send_message", "method": "POST"}
DOCUMENT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DASHBOARD = (ROOT / "docs" / "grafana.json").read_text(encoding="utf-8")


# Counting ------------------------------------------------------------------------------------


def test_requests_are_counted_with_how_they_ended(start: Callable[..., ChatServer]) -> None:
    api = start().api
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    for client_message_id in ("a", "b", "b"):
        ada.says(chat, "Hello", client_message_id=client_message_id)
    refused(ada.says(chat, ""), 400, "invalid")
    for path in ("/api/nothing", "/api/nothing/at/all"):
        api.get(path)
    api.request("FROB", "/api/me")

    found = scraped(api)

    assert found.of("chat_requests_total", status="201", **SENT) == 2
    assert found.of("chat_requests_total", status="200", **SENT) == 1
    assert found.of("chat_requests_total", status="400", **SENT) == 1
    assert found.of("chat_messages_sent_total") == 2
    assert found.of("chat_requests_total", route="unmatched", status="404") == 2
    assert found.of("chat_requests_total", route="unmatched", method="other") == 1
    assert found.of("chat_request_duration_seconds_count", **SENT) == 4
    assert found.of("chat_request_duration_seconds_bucket", le="+Inf", **SENT) == 4
    assert 0 < found.of("chat_request_duration_seconds_sum", **SENT) < 4 * 60


def test_events_are_counted_as_they_go_out(start: Callable[..., ChatServer]) -> None:
    with StubPusher() as stub:
        api = start(**stub.env).api
        ada, bob = api.sign_up("ada"), api.sign_up("bob")
        chat = ada.asks(bob).json
        assert eventually(lambda: scraped(api)["chat_events_delivered_total"] == 1)
        stub.pause()
        ada.said(chat, "Hello")

        away = scraped(api)
        stub.resume()

        assert away["chat_events_waiting"] == 2
        assert away["chat_events_oldest_seconds"] >= 0
        assert away["chat_delivering"] == 1
        assert eventually(lambda: scraped(api)["chat_events_delivered_total"] == 3)
        assert scraped(api)["chat_events_waiting"] == 0


def test_open_sockets_are_measured(start: Callable[..., ChatServer]) -> None:
    server = start(EMBEDDED_PUBLIC_CHANNELS="true", **KEYS)
    sockets = Sockets(server.port, make_gateway())

    client = sockets.connect()
    client.subscribe("news")
    found = scraped(server.api)
    client.close()

    assert found["chat_connections"] == 1
    assert found["chat_subscriptions"] == 1
    assert found["chat_hash_queue"] == 0
    assert found["chat_pool_connections_used"] >= 1
    assert eventually(lambda: scraped(server.api)["chat_connections"] == 0)


@pytest.mark.slow
def test_processes_of_one_machine_are_added_up(start: Callable[..., ChatServer]) -> None:
    one = start("gunicorn")
    other = start("flask", **one.settings)
    for _ in range(3):
        one.api.get("/api/config")
    for _ in range(4):
        other.api.get("/api/config")

    found = [scraped(server.api) for server in (one, other)]

    for each in found:
        assert each.of("chat_requests_total", route="/api/config") == 7
        assert each["chat_processes"] == 2
    assert eventually(lambda: scraped(other.api)["chat_delivering"] == 1)


@pytest.mark.slow
def test_counts_outlive_a_worker_that_was_killed(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn --workers 2")
    for _ in range(20):
        server.api.get("/api/config")
    before = scraped(server.api)

    (children,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}").glob("children")  # type: ignore[union-attr]
    victim = int(children.read_text().split()[0])
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: str(victim) not in children.read_text().split())
    for _ in range(5):
        server.api.get("/api/config")

    assert before.of("chat_requests_total", route="/api/config") == 20
    assert scraped(server.api).of("chat_requests_total", route="/api/config") == 25
    assert eventually(lambda: scraped(server.api)["chat_processes"] == 2)
    assert eventually(lambda: scraped(server.api)["chat_delivering"] == 1)


# Who may ask ---------------------------------------------------------------------------------


FORWARDED = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded"]
FORWARDED += ["Via", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Origin"]


@pytest.mark.parametrize("header", FORWARDED)
def test_a_request_through_a_proxy_reads_no_metrics(api: InProcess, header: str) -> None:
    assert api.get("/metrics").status == 200

    answer = api.get("/metrics", headers={header: "127.0.0.1"})

    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("address", ["10.0.0.7", "2001:db8::7", "127.0.0.1.evil"])
def test_another_machine_reads_no_metrics(api: InProcess, address: str) -> None:
    for here in ("127.0.0.1", "::1", "::ffff:127.0.0.1", ""):
        assert InProcess(api.app, here).get("/metrics").status == 200

    refused(InProcess(api.app, address).get("/metrics"), 401, "unauthorized")


def test_a_token_opens_the_metrics_from_anywhere(make_api: Callable[..., InProcess]) -> None:
    api = make_api(metrics_token="t0p-secret")
    far = InProcess(api.app, "10.0.0.7")

    assert scraped(far, {"Authorization": "Bearer t0p-secret", "X-Forwarded-For": "7.7.7.7"})
    assert scraped(far, {"Authorization": "bearer t0p-secret"})
    for wrong in ("Bearer t0p-secre", "Bearer ", "t0p-secret", "Basic t0p-secret", "Bearer é"):
        refused(far.get("/metrics", headers={"Authorization": wrong}), 401, "unauthorized")
    refused(api.get("/metrics"), 401, "unauthorized")


# In what state -------------------------------------------------------------------------------


def test_metrics_are_shown_while_the_database_is_away(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/chat"

    with ChatServer(INSTANCE_PATH=str(tmp_path), DATABASE_URL=url) as server:
        refused(server.api.get("/health"), 503, "unavailable")
        found = scraped(server.api)

        assert found["chat_database_up"] == 0
        assert "chat_events_waiting" not in found
        assert found.of("chat_requests_total", route="/health", status="503") == 1
        assert server.api.get("/health/live").json == {"status": "ok"}


def test_the_document_names_every_metric_and_no_other(api: InProcess) -> None:
    shown = {re.sub(r"_(bucket|count|sum)(?=\{)|\{.*", "", name) for name in scraped(api)}
    named = set(re.findall(r"^\| `(chat_\w+)`", DOCUMENT, re.M))

    assert named == metrics.names()
    assert shown - {"chat_request_duration_seconds"} <= named
    assert set(re.findall(r"\bchat_\w+", DOCUMENT)) <= with_suffixes(named)


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD)
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(targets) > 8, "need panels to look at"

    shown = [set(re.findall(r"\bchat_\w+", expression)) for expression in targets]
    assert all(shown), targets
    assert set().union(*shown) <= with_suffixes(metrics.names())
    assert metrics.names() - set().union(*shown) == {metrics.DURATION}  # which has the suffixes


def with_suffixes(names: set[str]) -> set[str]:
    return names | {f"{metrics.DURATION}_{each}" for each in ("bucket", "count", "sum")}


# The tally -----------------------------------------------------------------------------------


def test_the_next_process_goes_on_counting(tmp_path: Path) -> None:
    first, other = (Tally(tmp_path, frozenset({"level"})) for _ in range(2))
    first.add(("count", "é"))
    first.put({"level": 7})
    other.add(("count", "é"), 2)
    assert other.total()[0] == {("count", "é"): 3, ("level",): 7}
    first.close()

    alone = other.total()
    heir = Tally(tmp_path, frozenset({"level"}))
    heir.add(("count", "é"), 4)

    assert alone == ({("count", "é"): 3}, 1)
    assert heir.total()[0][("count", "é")] == 7
    assert len(list(tmp_path.glob("*.tally"))) == 2


@pytest.mark.parametrize("rubbish", [b"\0" * 5, b"\xff" * 40, b"\0" * 12 + b"["])
def test_a_file_is_read_up_to_its_cut(tmp_path: Path, rubbish: bytes) -> None:
    first = Tally(tmp_path, frozenset())
    first.add(("count",), 3)
    first.close()
    with (tmp_path / "0.tally").open("ab") as file:
        file.write(rubbish)

    second = Tally(tmp_path, frozenset())
    second.add(("count",))
    second.add(("another",))
    second.close()

    assert Tally(tmp_path, frozenset()).total()[0] == {("count",): 4, ("another",): 1}


def test_a_disk_without_room_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(tmp_path, frozenset())
    tally.add(("count",))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(3):
            tally.add(("count",))
            tally.add(("another",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert tally.total()[0] == {("count",): 4, ("another",): 3}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    tally.add(("another",))
    assert Tally(tmp_path, frozenset()).total()[0] == {("count",): 1, ("another",): 4}


def test_a_folder_that_cannot_be_made_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    tally = Tally(tmp_path / "file" / "metrics", frozenset())

    for _ in range(3):
        tally.add(("count",))

    assert tally.total() == ({("count",): 3}, 1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
