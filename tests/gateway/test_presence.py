"""Who is present, and who hears of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway_client import Client, Server, make_gateway, serving, signer

ROOM = "presence-room"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(make_gateway()) as server:
        yield server


def member_events(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """What the client has heard by now about members."""
    client.say("pusher:ping")
    heard = []
    while (message := client.hear())["event"] != "pusher:pong":
        heard.append((message["event"].removeprefix("pusher_internal:"), message["data"]))
    return heard


def test_a_newcomer_is_told_of_everybody_itself_included(server: Server) -> None:
    server.join().subscribe(ROOM, "ada", {"name": "Ada"})

    answer = server.join().subscribe(ROOM, "bob", {"name": 'B"ö\\b'})

    assert answer["event"] == "pusher_internal:subscription_succeeded"
    assert answer["data"] == {
        "presence": {
            "count": 2,
            "ids": ["ada", "bob"],
            "hash": {"ada": {"name": "Ada"}, "bob": {"name": 'B"ö\\b'}},
        }
    }


def test_only_the_others_hear_of_a_newcomer(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe(ROOM, "ada")

    bob.subscribe(ROOM, "bob", {"name": "Bob"})

    added = {"user_id": "bob", "user_info": {"name": "Bob"}}
    assert member_events(ada) == [("member_added", added)]
    assert member_events(bob) == []


def test_the_data_of_member_events_is_a_json_string(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe(ROOM, "ada")

    bob.subscribe(ROOM, "bob")

    assert isinstance(json.loads(ada.socket.recv(5))["data"], str)


ADDED_BOB = ("member_added", {"user_id": "bob", "user_info": None})
REMOVED_BOB = ("member_removed", {"user_id": "bob"})


@pytest.mark.parametrize(
    ("steps", "heard"),
    [
        ("join one", [ADDED_BOB]),
        ("join one, join two", [ADDED_BOB]),
        ("join one, join one", [ADDED_BOB]),
        ("join one, join two, leave one", [ADDED_BOB]),
        ("join one, join two, leave one, leave one", [ADDED_BOB]),
        ("join one, join two, leave one, close two", [ADDED_BOB, REMOVED_BOB]),
        ("join one, leave one", [ADDED_BOB, REMOVED_BOB]),
        ("join one, close one", [ADDED_BOB, REMOVED_BOB]),
        ("join one, cut one", [ADDED_BOB, REMOVED_BOB]),
        ("join one, cut one, join two", [ADDED_BOB, REMOVED_BOB, ADDED_BOB]),
        ("leave one", []),
    ],
)
def test_ada_hears_once_of_bob_with_many_tabs(server: Server, steps: str, heard: list[Any]) -> None:
    ada = server.join()
    ada.subscribe(ROOM, "ada")
    tabs = {"one": server.join(), "two": server.join()}
    expected_connections = 3

    for step in steps.split(", "):
        action, tab = step.split()
        bob = tabs[tab]
        if action == "join":
            bob.subscribe(ROOM, "bob")
        elif action == "leave":
            bob.say("pusher:unsubscribe", {"channel": ROOM})
            bob.expect_silence()
        else:
            if action == "close":
                bob.close()
            else:
                bob.socket.socket.shutdown(2)
            expected_connections -= 1
            wait_for_connections(server, expected_connections)

    assert member_events(ada) == heard


def wait_for_connections(server: Server, count: int) -> None:
    """The loop has noticed: asked through the API, which is served in order."""
    watcher = server.publisher()
    for _ in range(500):
        if server.gateway.stats()["connections"] == count:
            watcher.channels_info()
            return
        watcher.channels_info()
    raise AssertionError(f"never {count} connections")


def test_number_10_and_string_10_are_one_user(server: Server) -> None:
    ada = server.join()
    ada.subscribe(ROOM, 10)

    answer = server.join().subscribe(ROOM, "10")

    assert answer["data"]["presence"] == {"count": 1, "ids": ["10"], "hash": {"10": None}}
    assert member_events(ada) == []


@pytest.mark.parametrize(
    "member", [{}, {"user_id": None}, {"user_id": True}, {"user_id": ""}, {"user_id": "x" * 129}]
)
def test_a_member_without_a_usable_id_is_refused(server: Server, member: dict[str, Any]) -> None:
    ada = server.join()
    signed = signer().authenticate(ROOM, ada.socket_id, member or {"user": "ada"})
    ada.say("pusher:subscribe", {"channel": ROOM, **signed})

    assert ada.expect("pusher:subscription_error")["data"]["type"] == "AuthError"


def test_a_user_info_without_json_is_refused(server: Server) -> None:
    ada = server.join()

    answer = ada.subscribe(ROOM, "ada", {"height": float("inf")})

    assert answer["event"] == "pusher:subscription_error"


def test_a_full_channel_still_takes_tabs_of_members() -> None:
    with serving(make_gateway(limits={"presence_members": 1})) as server:
        server.join().subscribe(ROOM, "ada")

        assert server.join().subscribe(ROOM, "bob")["data"]["type"] == "LimitReached"
        assert server.join().subscribe(ROOM, "ada")["data"]["presence"]["count"] == 1


def test_a_room_that_all_have_left_is_empty(server: Server) -> None:
    ada = server.join()
    ada.subscribe(ROOM, "ada")

    ada.say("pusher:unsubscribe", {"channel": ROOM})
    ada.expect_silence()

    assert server.publisher().channels_info() == {"channels": {}}
    assert server.publisher().users_info(ROOM) == {"users": []}
