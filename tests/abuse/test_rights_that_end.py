"""Rights that end take their connections with them, whichever process ends or signs them."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.conversations import ok
from tests.support.endings import (
    change_password,
    delete_account,
    log_out,
    log_out_everywhere,
    refresh,
)
from tests.support.gateway_client import Client, make_gateway
from tests.support.gateway_client import Server as Sockets
from tests.support.people import Answer, ChatServer, Person
from tests.support.servers import eventually
from tests.support.stub_pusher import StubPusher
from tests.support.tabs import KEYS, join

pytestmark = pytest.mark.slow  # they wait more than they work, and disturb nobody

PRESENCE = "presence-chitchat"
LIFE = 4  # seconds of a token
Start = Callable[..., ChatServer]


@contextlib.contextmanager
def sockets_of(server: ChatServer) -> Iterator[Sockets]:
    sockets = Sockets(server.port, make_gateway())
    with sockets.people:
        yield sockets


def again(server: ChatServer, person: Person) -> Person:
    """The same person, by another login, which may be in another process."""
    return server.api.sign_in(person.username)


def through(server: ChatServer, person: Person) -> Person:
    """The same login, in another process."""
    return Person(server.api, person.id, person.username, person.token, person.expires_in)


# Expiry ------------------------------------------------------------------------------------------


def test_a_connection_ends_at_the_expiry_of_its_token(start: Start) -> None:
    server = start("gunicorn", JWT_EXPIRES_SECONDS=str(LIFE), **KEYS)
    with sockets_of(server) as sockets:
        ada = server.api.sign_up("ada")
        hearing = join(sockets, ada, PRESENCE)
        signed_in = sockets.join()
        body = {"socket_id": signed_in.socket_id}
        signed_in.say("pusher:signin", ok(ada.post("/api/pusher/user-auth", body)))
        began = time.monotonic()

        assert [hearing.expect_close(), signed_in.expect_close()] == [4009, 4009]

        assert time.monotonic() - began < LIFE + 10


@pytest.mark.parametrize("act", [log_out_everywhere, change_password, delete_account])
def test_a_thief_hears_nothing_once_the_row_was_swept(
    start: Start, act: Callable[[Person], Answer]
) -> None:
    server = start("gunicorn", JWT_EXPIRES_SECONDS=str(LIFE), **KEYS)
    with sockets_of(server) as sockets:
        ada = server.api.sign_up("ada")
        thief = join(sockets, ada, PRESENCE)
        time.sleep(LIFE + 1)

        ada = again(server, ada)  # sweeps the row
        assert act(ada).status in (200, 204)

        assert thief.expect_close() == 4009


def test_a_refreshed_token_keeps_its_connection_open(start: Start) -> None:
    server = start("gunicorn", JWT_EXPIRES_SECONDS=str(LIFE), **KEYS)
    with sockets_of(server) as sockets:
        ada = server.api.sign_up("ada")
        hearing = join(sockets, ada, PRESENCE)
        for _ in range(3):
            time.sleep(LIFE / 2)
            refresh(ada)
            hearing.expect_silence()

        assert hearing.expect_close() == 4009, "the last one expires too"


# Two processes -----------------------------------------------------------------------------------


@pytest.fixture
def two(start: Start) -> tuple[ChatServer, ChatServer]:
    """The owner of the sockets, and another process."""
    owner = start("gunicorn", **KEYS)
    assert eventually(lambda: owner.api.get("/health").json["sockets"]["owner"])
    return owner, start("gunicorn", **owner.settings)


@pytest.mark.parametrize("signed_by", ["owner", "other"])
@pytest.mark.parametrize(
    ("act", "own_stays", "other_stays"),
    [
        (log_out, False, True),
        (log_out_everywhere, False, False),
        (change_password, False, False),
        (refresh, True, True),
        (delete_account, False, False),
    ],
)
def test_a_connection_ends_with_a_login_elsewhere(
    two: tuple[ChatServer, ChatServer],
    signed_by: str,
    act: Callable[[Person], Answer],
    own_stays: bool,
    other_stays: bool,
) -> None:
    owner, other = two
    signer = owner if signed_by == "owner" else other
    ada, bob = (signer.api.sign_up(name) for name in ("ada", "bob"))
    with sockets_of(owner) as sockets:
        own = join(sockets, ada, f"private-notification_user_{ada.id}")
        second = join(sockets, again(signer, ada), f"private-notification_user_{ada.id}")
        bystander = join(sockets, bob, f"private-notification_user_{bob.id}")

        assert act(through(other, ada)).status in (200, 204)

        expect(own, own_stays)
        expect(second, other_stays)
        bystander.expect_silence()


def expect(client: Client, stays: bool) -> None:
    if stays:
        time.sleep(1)
        client.expect_silence()
    else:
        assert client.expect_close() == 4009


@pytest.mark.parametrize("signed_by", ["owner", "other"])
def test_a_block_elsewhere_ends_the_subscriptions(
    two: tuple[ChatServer, ChatServer], signed_by: str
) -> None:
    owner, other = two
    signer = owner if signed_by == "owner" else other
    ada, bob = (signer.api.sign_up(name) for name in ("ada", "bob"))
    channel = ada.asks(bob).json["channel_name"]
    with sockets_of(owner) as sockets:
        listening = [join(sockets, person, channel) for person in (ada, bob)]
        waiting = sockets.join()  # with a signature, to subscribe once it is blocked
        assert bob.signs(channel, waiting.socket_id).status == 200
        elsewhere = join(sockets, bob, f"private-notification_user_{bob.id}")

        assert through(other, ada).request("PUT", f"/api/blocks/{bob.id}").status == 204

        assert [each.expect_close() for each in (*listening, waiting)] == [4200] * 3
        elsewhere.expect_silence()


def test_a_renewed_login_ends_elsewhere_too(two: tuple[ChatServer, ChatServer]) -> None:
    owner, other = two
    ada = other.api.sign_up("ada")
    with sockets_of(owner) as sockets:
        hearing = join(sockets, ada, PRESENCE)
        refresh(ada)

        assert log_out(ada).status == 204

        assert hearing.expect_close() == 4009


# Another Pusher server ---------------------------------------------------------------------------


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.mark.parametrize("act", [log_out, log_out_everywhere, change_password, delete_account])
def test_a_pusher_server_is_told_of_an_ended_login(
    stub: StubPusher, start: Start, act: Callable[[Person], Answer]
) -> None:
    server = start("gunicorn", **stub.env)
    ada = server.api.sign_up("ada")
    again(server, ada)

    assert act(ada).status in (200, 204)

    assert eventually(lambda: stub.terminated == [str(ada.id)])


def test_a_pusher_server_is_told_of_expiry_and_blocks(stub: StubPusher, start: Start) -> None:
    server = start("gunicorn", JWT_EXPIRES_SECONDS=str(LIFE), **stub.env)
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    ada.asks(bob)
    both = [str(ada.id), str(bob.id)]

    assert ada.request("PUT", f"/api/blocks/{bob.id}").status == 204
    assert eventually(lambda: sorted(stub.terminated) == both)

    assert eventually(lambda: sorted(stub.terminated) == sorted(both * 2))


def test_no_request_waits_for_the_pusher_server(stub: StubPusher, start: Start) -> None:
    server = start("gunicorn", **stub.env)
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    stub.mode = "hang"

    for person in (ada, bob):
        assert log_out(person).status == 204
    assert stub.terminated == []
    server.kill()
    server.start()
    stub.mode = "ok"

    assert eventually(lambda: set(stub.terminated) == {str(ada.id), str(bob.id)})


def test_an_old_pusher_server_keeps_taking_events(stub: StubPusher, start: Start) -> None:
    """One that does not know how to end a user's connections."""
    stub.can_terminate = False
    server = start("gunicorn", **stub.env)
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    chat: dict[str, Any] = ada.asks(bob).json

    log_out(again(server, ada))
    said = ada.said(chat, "Hello, Bob!")

    stub.wait_for(lambda events: any(each["data"] == said for each in events))
    assert eventually(lambda: server.api.get("/health").json["events"]["waiting"] == 0)
    assert server.api.get("/health").json["events"]["set_aside"] == 0
    assert server.log.read_text().count("terminate_connections") == 1
