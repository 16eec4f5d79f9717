"""Sockets without a token, and crowds of them: they reach nothing and take nobody's place."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.conversations import ok, sqlite_only
from tests.support.gateway_client import HANDSHAKE, KEY, Client, make_gateway
from tests.support.gateway_client import Server as Sockets
from tests.support.people import ChatServer, Person
from tests.support.pusher_js import PusherJs
from tests.support.servers import eventually
from tests.support.tabs import KEYS, join

pytestmark = [pytest.mark.abuse, sqlite_only]  # sockets ask no database

PRESENCE = "presence-chitchat"
SHIPPED = 100  # connections of one address
Start = Callable[..., ChatServer]


@contextlib.contextmanager
def sockets_of(server: ChatServer) -> Iterator[Sockets]:
    sockets = Sockets(server.port, make_gateway())
    with sockets.people:
        yield sockets


def counted(server: ChatServer) -> dict[str, int]:
    found: dict[str, int] = server.api.get("/health").json["sockets"]
    return found


# Public channels ---------------------------------------------------------------------------------


def test_made_up_public_channels_are_refused(start: Start) -> None:
    server = start("gunicorn", **KEYS)
    with sockets_of(server) as sockets:
        eve = sockets.join()

        answers = [eve.subscribe(f"made-up-{number}") for number in range(1_000)]

        assert {each["event"] for each in answers} == {"pusher:subscription_error"}
        assert answers[0]["data"]["status"] == 403
        assert (counted(server)["channels"], counted(server)["subscriptions"]) == (0, 0)


@pytest.mark.parametrize("channel", ["cache-news", "private", "Private-news", "presences"])
def test_names_that_look_signed_are_public_too(start: Start, channel: str) -> None:
    with sockets_of(start("gunicorn", **KEYS)) as sockets:
        assert sockets.join().subscribe(channel)["event"] == "pusher:subscription_error"


def test_public_channels_can_be_allowed(start: Start) -> None:
    server = start("gunicorn", EMBEDDED_PUBLIC_CHANNELS="true", **KEYS)
    with sockets_of(server) as sockets:
        answer = sockets.join().subscribe("news")

        assert answer["event"] == "pusher_internal:subscription_succeeded"


# One address -------------------------------------------------------------------------------------


def from_address(sockets: Sockets, address: str) -> Client:
    return sockets.connect(additional_headers={"X-Forwarded-For": address})


SAME: dict[str, Callable[[int], str]] = {
    "an IPv4 address": lambda number: "203.0.113.7",
    "with ports": lambda number: f"203.0.113.7:{2_000 + number}",
    "in IPv6 clothes": lambda number: ("203.0.113.7", "::ffff:203.0.113.7")[number % 2],
    "a network of IPv6": lambda number: f"2001:db8:1:2:{number:x}::1",
    "IPv6 with ports": lambda number: f"[2001:db8:1:2::{number:x}]:{2_000 + number}",
    "all that is none": lambda number: f"made up {number}",
}


@pytest.mark.parametrize("whose", SAME)
def test_one_address_gets_a_hundred_connections(start: Start, whose: str) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", **KEYS)
    with sockets_of(server) as sockets:
        eves = [from_address(sockets, SAME[whose](number)) for number in range(SHIPPED + 20)]

        first = [each.hear() for each in eves]

        assert [each["event"] for each in first[:SHIPPED]] == [
            "pusher:connection_established"
        ] * SHIPPED
        assert {each["data"]["code"] for each in first[SHIPPED:]} == {4100}
        from_address(sockets, "203.0.113.8").expect("pusher:connection_established")
        assert counted(server)["connections"] == SHIPPED + 1


def test_refused_sockets_that_stay_take_nobodys_place(start: Start) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", **KEYS)
    handshake = HANDSHAKE.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
    with sockets_of(server) as sockets:
        # One after the other, and none of them says goodbye.
        answers = [sockets.raw(handshake).recv(12) for _ in range(3 * SHIPPED)]

        assert answers[: 2 * SHIPPED] == [b"HTTP/1.1 101"] * 2 * SHIPPED
        assert b"HTTP/1.1 503" in answers[2 * SHIPPED :]
        from_address(sockets, "203.0.113.8").expect("pusher:connection_established")
        assert counted(server)["connections"] == SHIPPED + 1


def test_a_place_is_free_again_after_a_close(start: Start) -> None:
    server = start("gunicorn", TRUSTED_PROXIES="1", EMBEDDED_CONNECTIONS_PER_ADDRESS="1", **KEYS)
    with sockets_of(server) as sockets:
        first = from_address(sockets, "203.0.113.7")
        first.expect("pusher:connection_established")
        first.close()

        assert eventually(lambda: counted(server)["connections"] == 0)
        from_address(sockets, "203.0.113.7").expect("pusher:connection_established")


def test_connections_of_this_machine_are_not_counted(start: Start) -> None:
    server = start("gunicorn", **KEYS)
    with sockets_of(server) as sockets:
        for _ in range(SHIPPED + 5):
            sockets.join()

        assert counted(server)["connections"] == SHIPPED + 5
        assert server.log.read_text().count("TRUSTED_PROXIES") == 1

    assert eventually(lambda: counted(server)["connections"] == 0)
    assert "Traceback" not in server.log.read_text()


# Nothing signed ----------------------------------------------------------------------------------


@pytest.fixture
def ada(start: Start) -> tuple[ChatServer, Person]:
    server = start("gunicorn", **KEYS)
    return server, server.api.sign_up("ada")


@pytest.mark.slow
def test_a_socket_without_a_signature_is_closed(ada: tuple[ChatServer, Person]) -> None:
    server, person = ada
    with sockets_of(server) as sockets, PusherJs(8) as browser:
        listener = join(sockets, person, PRESENCE)
        signed_in = sockets.join()
        body = {"socket_id": signed_in.socket_id}
        signed_in.say("pusher:signin", ok(person.post("/api/pusher/user-auth", body)))
        signed_in.expect("pusher:signin_success")
        idle, talker = sockets.join(), sockets.join()
        talker.say("pusher:subscribe", {"channel": "private-news", "auth": f"{KEY}:0"})
        talker.expect("pusher:subscription_error")
        browser.connect(server.api.get("/api/config").json)

        talker.expect_silence()
        assert [idle.expect_close(), talker.expect_close()] == [4009, 4009]

        browser.wait_for_state("disconnected")
        assert "4009" in str(browser.faults)
        assert counted(server)["connections"] == 2
        for each in (listener, signed_in):
            each.expect_silence()


# Presence ----------------------------------------------------------------------------------------


def test_client_events_do_not_reach_the_presence_channel(start: Start) -> None:
    server = start("gunicorn", **KEYS)
    with sockets_of(server) as sockets:
        people = [server.api.sign_up(name) for name in ("ada", "bob", "eve")]
        chat: dict[str, Any] = people[2].asks(people[1]).json
        ada, bob, eve = (join(sockets, person, PRESENCE) for person in people)
        for client, others in ((ada, 2), (bob, 1)):
            for _ in range(others):
                client.expect("pusher_internal:member_added")

        for _ in range(50):
            eve.say("client-typing", {}, channel=PRESENCE)

        assert {eve.hear()["event"] for _ in range(50)} == {"pusher:error"}
        for client in (ada, bob, eve):
            client.expect_silence()
        typing(eve, bob, people[1:], chat["channel_name"])


def typing(eve: Client, bob: Client, people: list[Person], channel: str) -> None:
    """On the chat's channel it is as it was."""
    for client, person in ((bob, people[0]), (eve, people[1])):
        signed = person.signs(channel, client.socket_id).json
        client.say("pusher:subscribe", {"channel": channel, **signed})
        client.expect("pusher_internal:subscription_succeeded")
    eve.say("client-typing", {}, channel=channel)
    assert bob.expect("client-typing")["channel"] == channel
