"""Rate limits: windows that end, and counts in Redis, by several processes and while it is away."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from limits.storage import MemoryStorage

from tests.support.conversations import sqlite_only
from tests.support.people import Answer, Api, InProcess, at_once
from tests.support.servers import Redis, eventually
from web import ratelimits

WRONG = "wrong password"


class Clock:
    """Takes the place of time.time(); it stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    """The address of a storage for counts."""
    if request.param == "memory":
        return "memory://"
    server: Redis = request.getfixturevalue("redis_server")
    return server.url


def failures(apis: list[Api], tries: int) -> list[int]:
    """How wrong passwords for one name are answered, in the order of statuses."""
    name = f"nobody{time.monotonic_ns()}"
    return sorted(at_once(tries, lambda n: apis[n % len(apis)].login(name, WRONG).status))


def told(answer: Answer) -> tuple[int, str | None]:
    """The status, and how many seconds to wait."""
    return answer.status, answer.headers.get("retry-after")


def test_processes_count_together_unless_redis_is_away(
    make_api: Any,
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ratelimits, "AWAY_SECONDS", 0.1)
    limited = {"ratelimit_login": "5 per hour", "ratelimit_storage_uri": redis_server.url}
    apis: list[Api] = [make_api(**limited) for _ in range(2)]
    for api in apis:  # this imports the client library; two at once in one process must not
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


@sqlite_only
def test_a_window_ends_when_it_says(make_api: Callable[..., InProcess], clock: Clock) -> None:
    api = make_api(ratelimit_login="2 per minute")

    def after(seconds: float, name: str = "ada") -> tuple[int, str | None]:
        clock.now += seconds
        return told(api.login(name, WRONG))

    assert after(0) == (401, None)
    assert after(40) == (401, None)
    assert after(0) == (429, "20")
    assert after(0, "bob") == (401, None)
    assert after(19.5) == (429, "1")
    assert after(0.5) == (401, None)
    assert after(0) == (401, None)
    assert after(0) == (429, "60")


@sqlite_only
def test_addresses_have_windows_of_their_own(
    make_api: Callable[..., InProcess], clock: Clock
) -> None:
    here = make_api(ratelimit_login="1 per minute")
    there = InProcess(here.app, "127.0.0.2")
    assert told(here.login("ada", WRONG)) == (401, None)
    clock.now += 30

    assert told(there.login("ada", WRONG)) == (401, None)

    assert told(here.login("ada", WRONG)) == (429, "30")
    assert told(there.login("ada", WRONG)) == (429, "60")


@sqlite_only
def test_the_memory_forgets_windows_that_are_over(
    make_api: Callable[..., InProcess], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = MemoryStorage()
    monkeypatch.setattr("web.ratelimits.MemoryStorage", lambda: counts)
    api = make_api(ratelimit_login="1000 per minute", ratelimit_name="")

    def fail(name: str) -> None:
        assert api.login(name, WRONG).status == 401

    def is_left(count: int) -> bool:
        fail("somebody")  # only when it counts does the library look what is over
        return len(counts.storage) == len(counts.expirations) == count

    for number in range(100):
        clock.now += 1
        fail(f"made up {number}")
    assert eventually(lambda: is_left(60 + 1))

    clock.now += 60

    assert eventually(lambda: is_left(1))


@pytest.mark.slow
@sqlite_only
def test_a_client_that_waits_as_told_gets_in(
    make_api: Callable[..., InProcess], storage: str
) -> None:
    api = make_api(ratelimit_login="1 per 2 seconds", ratelimit_storage_uri=storage)
    api.login("somebody", WRONG)  # this may import and connect, which takes its time
    api.login("ada", WRONG)
    time.sleep(0.7)  # 1.3 seconds are left

    answer = api.login("ada", WRONG)
    time.sleep(int(answer.headers["retry-after"]))

    assert (answer.status, api.login("ada", WRONG).status) == (429, 401)
