"""Rate limits: windows that end, and counts in Redis, by several processes and while it is away."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from limits.storage import MemoryStorage

from tests.support.conversations import sqlite_only
from tests.support.people import PASSWORD, Answer, Api, InProcess, Person, at_once, refused
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
def test_a_clock_set_back_makes_no_window_longer(
    make_api: Callable[..., InProcess], clock: Clock
) -> None:
    api = make_api(ratelimit_login="2 per minute")
    assert [told(api.login("ada", WRONG)) for _ in range(3)] == [(401, None)] * 2 + [(429, "60")]

    clock.now -= 3_600

    assert [told(api.login("ada", WRONG)) for _ in range(3)] == [(401, None)] * 2 + [(429, "60")]
    clock.now += 60
    assert told(api.login("ada", WRONG)) == (401, None)


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


# Of a user, and of a name ----------------------------------------------------------------------


def people(api: InProcess) -> tuple[Person, Person, dict[str, Any]]:
    """Ada and bob, and their chat."""
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    return ada, bob, ada.asks(bob).json


def test_sends_retries_and_edits_count_together(make_api: Callable[..., InProcess]) -> None:
    ada, bob, chat = people(make_api(ratelimit_messages="3 per hour"))
    message = ada.said(chat, "Hello", client_message_id="c1")
    assert ada.says(chat, "Hello", client_message_id="c1").status == 200
    path = f"/api/messages/{message['id']}"
    assert ada.request("PATCH", path, {"message": "Hello!"}).status == 200

    refused(ada.says(chat, "Again"), 429, "rate_limited")
    refused(ada.request("PATCH", path, {"message": "Hello?"}), 429, "rate_limited")

    assert ada.request("PUT", f"/api/chats/{chat['channel_id']}/read").status == 200
    assert ada.request("DELETE", path).status == 200
    assert bob.says(chat, "Hello, Ada").status == 201


def test_a_user_has_one_limit_at_all_addresses(make_api: Callable[..., InProcess]) -> None:
    here = make_api(ratelimit_messages="1 per hour")
    ada, _, chat = people(here)
    elsewhere = Person(
        InProcess(here.app, "192.0.2.7"), ada.id, ada.username, ada.token, ada.expires_in
    )
    ada.said(chat, "Hello")

    assert elsewhere.says(chat, "Hello from elsewhere").status == 429


def test_requests_for_chats_are_limited_by_user(make_api: Callable[..., InProcess]) -> None:
    ada, bob, _ = people(make_api(ratelimit_chats="2 per hour"))

    assert [ada.asks(bob).status for _ in range(2)] == [200, 429]
    assert bob.asks(ada).status == 200


def test_one_setting_switches_all_limits_off(make_api: Callable[..., InProcess]) -> None:
    limits = ("login", "name", "messages", "chats", "register", "default")
    settings = {f"ratelimit_{name}": "1 per hour" for name in limits}
    api = make_api(ratelimit_enabled=False, **settings)
    ada, bob, chat = people(api)

    assert [ada.says(chat, "Hello").status for _ in range(3)] == [201] * 3
    assert [ada.asks(bob).status for _ in range(3)] == [200] * 3
    assert [api.login("ada", WRONG).status for _ in range(3)] == [401] * 3
    assert [api.register(f"somebody {n}").status for n in range(3)] == [201] * 3


@sqlite_only
def test_a_name_has_one_attempt_a_minute_then(
    make_api: Callable[..., InProcess], clock: Clock
) -> None:
    api = make_api(ratelimit_name="3 per hour")
    api.register("ada")

    def guess(number: int, password: str = WRONG) -> tuple[int, str | None]:
        return told(InProcess(api.app, f"192.0.2.{number}").login("A\u200bda", password))

    assert [guess(number) for number in range(3)] == [(401, None)] * 3

    assert guess(4) == (401, None)
    assert guess(5) == (429, "60")
    assert guess(6, PASSWORD) == (429, "60")
    assert told(api.login("bob", WRONG)) == (401, None)
    clock.now += 60
    assert guess(7, PASSWORD) == (200, None)
    assert guess(8, PASSWORD) == (429, "60")
    clock.now += 3_600
    assert [guess(number, PASSWORD)[0] for number in range(3)] == [200] * 3
