"""Floods of logins: they silence nobody, and honest people get in."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from config import Settings
from tests.support.conversations import sqlite_only
from tests.support.crowds import LoginOnItsWay, answered
from tests.support.people import PASSWORD, ChatServer, Person, refused

pytestmark = [pytest.mark.abuse, pytest.mark.slow]

#: A real hash takes its time; the cheap one of other tests would hide what waits.
DEAR = {"PASSWORD_HASH": Settings().password_hash}
CROWD = 230
WAITING = 100
OF_ADDRESS = 10
#: Within which an honest login is answered; to hash for the whole crowd takes over a minute.
HONEST_SECONDS = 30


@contextmanager
def crowd(server: ChatServer, addresses: list[str]) -> Iterator[list[LoginOnItsWay]]:
    """Logins of made-up names, one from each address."""
    logins = [
        LoginOnItsWay(server.port, f"nobody {number}", address)
        for number, address in enumerate(addresses)
    ]
    try:
        yield logins
    finally:
        for login in logins:
            login.hang_up()


def log_in_from(server: ChatServer, address: str, password: str = PASSWORD) -> int:
    body = {"username": "ada", "password": password}
    headers = {"X-Forwarded-For": address}
    return server.api.post("/api/login", body, headers=headers).status


def hold_to_serve(server: ChatServer, ada: Person) -> None:
    """Quick requests are answered."""
    assert server.api.get("/health").status == 200
    assert server.api.get("/").status == 200
    assert ada.get("/api/me").status == 200


@sqlite_only
def test_a_crowd_at_one_address_is_refused(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", **DEAR)
    ada = server.api.sign_up("ada")

    with crowd(server, [""] * CROWD) as logins:
        hold_to_serve(server, ada)
        answers = [login.answer() for login in logins]

    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) <= {401, 429, 503}
    # While the crowd arrives, some of the first are done.
    assert statuses[401] <= 2 * (OF_ADDRESS + 1)
    busy = [answer for answer in answers if answer.status == 503]
    assert len(busy) >= CROWD - 2 * (OF_ADDRESS + 1)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in busy)
    refused(busy[0], 503, "busy")


@sqlite_only
def test_no_more_wait_than_half_the_threads(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", **DEAR)
    ada = server.api.sign_up("ada")

    with crowd(server, [f"192.0.2.{number}" for number in range(CROWD)]) as logins:
        assert answered(logins, CROWD - WAITING - 1)  # one more has the turn
        hold_to_serve(server, ada)
        statuses = Counter(login.answer().status for login in logins if login.has_answer())

    # While the crowd arrives, some of the first are done.
    assert set(statuses) <= {401, 503}
    assert statuses[503] >= CROWD // 3


@sqlite_only
def test_clients_that_hung_up_cost_no_hash(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", **DEAR)
    ada = server.api.sign_up("ada")

    with crowd(server, [f"192.0.2.{number}" for number in range(CROWD)]):
        pass
    with ThreadPoolExecutor() as pool:
        honest = pool.submit(log_in_from, server, "198.51.100.7")
        hold_to_serve(server, ada)

        assert honest.result(HONEST_SECONDS) == 200
    assert server.log.read_text().count("A login failed") <= 20


@sqlite_only
def test_an_honest_login_overtakes_a_crowd(start: Callable[..., ChatServer]) -> None:
    """The crowd has few addresses, and addresses take turns."""
    server = start("gunicorn", TRUSTED_PROXIES="1", **DEAR)
    server.api.sign_up("ada")

    with crowd(server, [f"192.0.2.{number % 4}" for number in range(40)]) as logins:
        assert answered(logins, 1)
        before = sum(login.has_answer() for login in logins)
        assert log_in_from(server, "198.51.100.7") == 200
        after = sum(login.has_answer() for login in logins)

    assert after - before <= 10


@sqlite_only
def test_guesses_from_many_addresses_slow_down(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1")
    ada = server.api.sign_up("ada")

    guesses = [
        log_in_from(server, f"192.0.2.{number}", f"guess number {number}") for number in range(120)
    ]

    # After the hundredth there is one attempt a minute; a second minute may begin meanwhile.
    assert guesses[:101] == [401] * 101
    assert guesses[101:].count(401) <= 1
    assert set(guesses[101:]) <= {401, 429}
    assert ada.get("/api/me").status == 200
    other = {"username": "bob", "password": PASSWORD}
    assert server.api.post("/api/login", other).status == 401


@sqlite_only
def test_one_customer_has_one_address(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", RATELIMIT_REGISTER="2 per hour")

    def register_from(addresses: list[str]) -> list[int]:
        return [
            server.api.post(
                "/api/register",
                {"username": f"somebody at {address}", "password": PASSWORD},
                headers={"X-Forwarded-For": address},
            ).status
            for address in addresses
        ]

    of_one_network = [f"2001:db8:1:2:{number:x}::1" for number in range(4)]
    with_ports = ["192.0.2.1:1000", "192.0.2.1:1001", "[::ffff:192.0.2.1]:1002", "192.0.2.1"]
    assert register_from(of_one_network) == [201, 201, 429, 429]
    assert register_from(with_ports) == [201, 201, 429, 429]
    assert register_from(["2001:db8:1:3::1", "192.0.2.2"]) == [201, 201]


@sqlite_only
def test_a_flood_of_messages_is_cut_off(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json

    sent = [ada.says(chat, f"number {number}") for number in range(310)]
    asked = [bob.asks(ada).status for _ in range(62)]

    statuses = [answer.status for answer in sent]
    assert statuses[:300] == [201] * 300
    assert 429 in statuses
    assert asked == [200] * 60 + [429] * 2
    message = sent[0].json
    assert ada.request("DELETE", f"/api/messages/{message['id']}").status == 200
    assert bob.request("PUT", f"/api/chats/{chat['channel_id']}/read").status == 200
    assert bob.says(chat, "Please stop").status == 201


@sqlite_only
def test_attacks_are_logged_without_secrets(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", RATELIMIT_LOGIN="1 per hour")
    ada = server.api.sign_up("ada")
    forged = ada.token[:-4] + ("AAAA" if not ada.token.endswith("AAAA") else "AAAE")

    for _ in range(2):
        log_in_from(server, "192.0.2.1", "a guess of mine")
    bearer = {"Authorization": f"Bearer {forged}", "X-Forwarded-For": "192.0.2.2"}
    assert server.api.get("/api/me", headers=bearer).status == 401

    said = server.log.read_text()
    assert f"A login failed: address 192.0.2.1, user {ada.id}." in said
    assert "The limit 'login' refuses a request: address 192.0.2.1, user " in said
    assert f"A token is forged: address 192.0.2.2, said to be of user {ada.id}." in said
    assert not any(secret in said for secret in ("a guess of mine", forged, ada.token, PASSWORD))
