"""Rights: names of the application's, by which connections are signed for and closed."""

import time
from collections.abc import Iterator

import pytest

from tests.support.gateway_client import Client, Server, make_gateway, serving

SOON = 1.0  # seconds


@pytest.fixture
def server() -> Iterator[Server]:
    limits = {"connections_per_right": 3, "rights": 2_000}
    with serving(make_gateway(limits=limits)) as server:
        yield server


def give(server: Server, client: Client, right: str, *until: float) -> None:
    server.gateway.give_right(client.socket_id, right, *until)


def test_the_connections_of_an_ended_right_are_closed(server: Server) -> None:
    ada, tab, bob = (server.join() for _ in range(3))
    for client, right in ((ada, "ada"), (tab, "ada"), (bob, "bob")):
        give(server, client, right)

    server.gateway.end_right("ada")

    assert [ada.expect_close(), tab.expect_close()] == [4009, 4009]
    bob.expect_silence()


def test_a_right_may_end_with_another_code(server: Server) -> None:
    ada = server.join()
    give(server, ada, "chat")

    server.gateway.end_right("chat", 4200, "Blocked")

    assert ada.expect_close() == 4200


def test_an_expired_right_closes_its_connection(server: Server) -> None:
    ada, bob = server.join(), server.join()
    give(server, ada, "for ever")
    give(server, ada, "for a moment", time.monotonic() + SOON)
    give(server, bob, "for ever")

    assert ada.expect_close() == 4009
    bob.expect_silence()


def test_an_expired_right_is_not_given_any_more(server: Server) -> None:
    ada = server.join()

    give(server, ada, "expired", time.monotonic() - 1)

    assert ada.expect_close() == 4009


def test_a_renewed_right_expires_with_its_heir(server: Server) -> None:
    ada, bob = server.join(), server.join()
    for client in (ada, bob):
        give(server, client, client.socket_id, time.monotonic() + SOON)

    server.gateway.renew_right(ada.socket_id, "heir")

    assert bob.expect_close() == 4009
    ada.expect_silence()
    server.gateway.end_right(ada.socket_id)
    ada.expect_silence()
    server.gateway.end_right("heir")
    assert ada.expect_close() == 4009


def test_the_oldest_connection_gives_way_to_others(server: Server) -> None:
    first, *others = (server.join() for _ in range(4))
    for client in (first, *others):
        give(server, client, "ada")

    assert first.expect_close() == 4200
    for client in others:
        client.expect_silence()


def test_a_made_up_connection_takes_no_room(server: Server) -> None:
    ada = server.join()
    give(server, ada, "ada")

    for number in range(10):
        server.gateway.give_right(f"1.{number}", "ada")

    ada.expect_silence()
    server.gateway.end_right("ada")
    assert ada.expect_close() == 4009


@pytest.mark.abuse
def test_very_many_rights_hide_no_connection(server: Server) -> None:
    ada, *crowd = (server.join() for _ in range(13))
    give(server, ada, "ada")

    for client in crowd:
        for number in range(2_000):
            give(server, client, f"{client.socket_id} {number}")

    for client in (ada, *crowd):
        client.expect_silence()
    server.gateway.end_right("ada")
    assert ada.expect_close() == 4009


def test_a_connection_with_too_many_rights_is_closed(server: Server) -> None:
    ada = server.join()

    for number in range(2_001):
        give(server, ada, str(number))

    assert ada.expect_close() == 4200


def test_a_closed_connection_leaves_no_rights(server: Server) -> None:
    ada = server.join()
    give(server, ada, "ada")
    ada.close()

    assert server.gateway.ask(lambda hub: hub.rights.count) == 0


def test_a_closed_gateway_takes_no_rights() -> None:
    closed = make_gateway()

    closed.give_right("1.2", "ada")
    closed.renew_right("ada", "heir")
    closed.end_right("ada")

    assert not closed.is_open


# Without a signature -----------------------------------------------------------------------------


@pytest.fixture
def impatient() -> Iterator[Server]:
    with serving(make_gateway(limits={"sign_within": SOON, "public_channels": False})) as server:
        yield server


def test_a_connection_without_a_signature_is_closed(impatient: Server) -> None:
    eve = impatient.join()

    assert eve.subscribe("news")["data"]["status"] == 403
    assert eve.subscribe("#server-to-user-ada")["event"] == "pusher:subscription_error"

    assert eve.expect_close() == 4009


@pytest.mark.parametrize("signed", ["private-room", "presence-room", "private-encrypted-room"])
def test_a_signed_subscription_lets_a_connection_stay(impatient: Server, signed: str) -> None:
    ada, eve = impatient.join(), impatient.join()

    ada.subscribe(signed, "ada" if signed.startswith("presence") else None)

    assert eve.expect_close() == 4009
    ada.expect_silence()


def test_a_sign_in_lets_a_connection_stay(impatient: Server) -> None:
    ada, eve = impatient.join(), impatient.join()

    ada.sign_in("ada")

    assert eve.expect_close() == 4009
    ada.expect_silence()
    assert ada.subscribe("#server-to-user-ada")["event"] == "pusher_internal:subscription_succeeded"


def test_an_allowed_public_channel_lets_a_connection_stay() -> None:
    with serving(make_gateway(limits={"sign_within": SOON})) as server:
        ada, eve = server.join(), server.join()

        ada.subscribe("news")

        assert eve.expect_close() == 4009
        ada.expect_silence()


def test_client_events_are_refused_on_a_quiet_channel() -> None:
    limits = {"quiet_channels": frozenset({"presence-room"})}
    with serving(make_gateway(limits=limits)) as server:
        ada, eve = server.join(), server.join()
        for client, name in ((ada, "ada"), (eve, "eve")):
            client.subscribe("presence-room", name)
        ada.expect("pusher_internal:member_added")

        eve.say("client-x", {}, channel="presence-room")

        assert "not allowed" in eve.expect("pusher:error")["data"]["message"]
        ada.expect_silence()
