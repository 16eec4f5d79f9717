"""Limits counted in Redis, by several processes and while it is away."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from limits import parse

import ratelimits
from tests.support.people import Api, at_once
from tests.support.servers import Redis

WRONG = "wrong password"


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


def failures(apis: list[Api], tries: int) -> list[int]:
    """How wrong passwords for one name are answered, in the order of statuses."""
    name = f"nobody{time.monotonic_ns()}"
    return sorted(at_once(tries, lambda n: apis[n % len(apis)].login(name, WRONG).status))


def test_processes_count_together_and_each_for_itself_while_redis_is_away(
    make_api: Any,
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ratelimits, "AWAY_SECONDS", 0.1)
    limited = {"ratelimit_login": "5 per hour", "ratelimit_storage_uri": redis_server.url}
    apis: list[Api] = [make_api(**limited) for _ in range(2)]
    for api in apis:  # which imports the client library; not for two at once in one process
        api.login("somebody", WRONG)
    together = [401] * 5 + [429] * 7
    assert failures(apis, 12) == together

    redis_server.stop()
    assert failures(apis, 12) == [401] * 10 + [429] * 2

    redis_server.start()
    time.sleep(0.2)
    for api in apis:
        api.login("somebody", WRONG)
    assert failures(apis, 12) == together
    said = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert any("does not answer" in each for each in said)
    assert sum("answers again" in each for each in said) == 2


def test_limits_of_the_same_rule_are_counted_apart(make_api: Any) -> None:
    api: Api = make_api(ratelimit_register="4 per hour", ratelimit_default="4 per hour")

    answers = [api.register(f"somebody{n}").status for n in range(5)]

    assert answers == [201] * 4 + [429]


def test_what_is_over_is_forgotten_by_the_next_one_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ratelimits.Counts(parse("2 per minute"))
    now = 1_000.0
    monkeypatch.setattr("ratelimits.time.monotonic", lambda: now)
    for number in range(1_000):
        now += 1
        assert counts.hit((f"made up {number}",))
    assert len(counts._used) == 60

    now += 60
    assert counts.test(("somebody",))

    assert counts._used == {}


def test_a_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ratelimits.Counts(parse("2 per minute"))
    now = 1_000.0
    monkeypatch.setattr("ratelimits.time.monotonic", lambda: now)

    assert counts.hit(("ada",))
    now += 40
    assert counts.hit(("ada",))
    assert not counts.hit(("ada",))
    assert counts.hit(("bob",))
    assert counts.wait(("ada",)) == 20
    now += 20
    assert counts.test(("ada",))
    assert counts.hit(("ada",))
    assert not counts.test(("ada",))
    assert counts.wait(("ada",)) == 40


@pytest.mark.slow
def test_who_waits_as_long_as_they_are_told_is_let_in(make_api: Any) -> None:
    api: Api = make_api(ratelimit_login="1 per 2 seconds")
    api.login("ada", WRONG)
    time.sleep(0.7)  # 1.3 seconds are left

    answer = api.login("ada", WRONG)
    time.sleep(int(answer.headers["retry-after"]))

    assert (answer.status, api.login("ada", WRONG).status) == (429, 401)
