"""/health says whether the server is well, and /health/live whether it serves at all."""

import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from app import create_app
from config import Settings
from database import utcnow
from models import Event
from tests.support.people import (
    ChatServer,
    InProcess,
    Person,
    at_once,
    looking_into,
    refused,
    runtime_of,
)
from tests.support.servers import eventually

OLD = "The oldest event has waited for"
UNSEEN = "No process is seen that delivers events."


def health(server: ChatServer) -> dict[str, Any]:
    answer = server.api.get("/health")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json
    return found


def test_first_requests_at_once_are_all_answered(settings: Settings) -> None:
    api = InProcess(create_app(settings))

    answers = at_once(8, lambda _: api.get("/health"))

    running = runtime_of(api.app)
    running.outbox.stop()
    running.metrics.close()
    assert [answer.status for answer in answers] == [200] * 8


def test_a_server_that_delivers_is_well(start: Callable[..., ChatServer]) -> None:
    found = health(start())

    assert (found["status"], found["reasons"], found["delivering"]) == ("ok", [], True)


def test_old_events_and_those_set_aside_are_reasons(
    api: InProcess, ada: Person, chat: dict[str, Any], settings: Settings
) -> None:
    runtime_of(api.app)  # which delivers nothing in this process
    assert [each for each in api.get("/health").json["reasons"] if each != UNSEEN] == []
    ada.said(chat, "Hello")
    with looking_into(settings) as connection:
        connection.execute(update(Event).values(created_at=utcnow() - timedelta(seconds=90)))
        aside = {"channel": "c", "name": "n", "data": "{}", "created_at": utcnow()}
        connection.execute(insert(Event).values(**aside, set_aside="400"))
        connection.commit()

    found = api.get("/health").json

    assert found["status"] == "degraded"
    reasons = [each for each in found["reasons"] if each != UNSEEN]
    assert [each[:31] for each in reasons] == [OLD, "Events were set aside: 1 (`flas"]


@pytest.mark.slow
def test_a_deliverer_that_stands_still_is_missed(
    start: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start()
    other = start(**first.settings)
    assert health(first)["delivering"]
    assert (health(other)["delivering"], health(other)["status"]) == (False, "ok")
    assert first.process is not None

    first.process.send_signal(signal.SIGSTOP)
    try:
        assert eventually(
            lambda: health(other)["reasons"] == [UNSEEN] or health(other)["delivering"]
        )
    finally:
        first.process.send_signal(signal.SIGCONT)

    assert eventually(lambda: health(other)["status"] == "ok")


def test_a_process_lives_whatever_the_database_does(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/chat"

    with ChatServer("gunicorn", INSTANCE_PATH=str(tmp_path), DATABASE_URL=url) as server:
        refused(server.api.get("/health"), 503, "unavailable")
        answers = at_once(8, lambda _: server.api.get("/health/live"))

    for answer in answers:
        assert (answer.status, answer.json) == (200, {"status": "ok"})
        assert answer.headers["x-request-id"]


def test_no_limit_holds_for_the_sign_of_life(make_api: Callable[..., InProcess]) -> None:
    api = make_api(ratelimit_default="2 per hour")

    answers = [api.get("/health/live").status for _ in range(5)]

    assert answers == [200] * 5
    assert [api.get("/health").status for _ in range(3)] == [200, 200, 429]
