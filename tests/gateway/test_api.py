"""Publishing and asking, with the official library and by hand."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pusher import Pusher
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus
from pusher.http import process_response

from gateway import Gateway
from gateway.signatures import Credentials
from tests.support.gateway_client import APP_ID, KEY, SECRET, Client, Server, make_gateway, serving


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving(make_gateway()) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    yield shared
    shared.people.close()


class InProcess:
    """A transport of the official library that makes no HTTP request."""

    def __init__(self, client: Any, gateway: Gateway) -> None:
        self.gateway = gateway

    def send_request(self, request: Any) -> Any:
        answer = self.gateway.api(request.method, request.path, request.query_string, request.body)
        return process_response(answer[0], json.dumps(answer[1]))


@pytest.fixture(params=["over HTTP", "in the process"])
def pusher(request: pytest.FixtureRequest, server: Server) -> Pusher:
    if request.param == "over HTTP":
        return server.publisher()
    return Pusher(APP_ID, KEY, SECRET, backend=InProcess, gateway=server.gateway)


def call(
    server: Server, method: str, path: str, document: Any = None, **changed: Any
) -> tuple[int, dict[str, Any]]:
    """A request signed by hand, then spoiled as asked."""
    body = b"" if document is None else json.dumps(document).encode()
    parameters = {
        "auth_key": KEY,
        "auth_timestamp": str(int(time.time())),
        "auth_version": "1.0",
        "body_md5": hashlib.md5(body).hexdigest(),
    }
    parameters |= {name: value for name, value in changed.items() if name in parameters}
    parameters |= changed.get("more", {})
    query = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    signature = Credentials(APP_ID, KEY, SECRET).sign(f"{method}\n{path}\n{query}")
    query += f"&auth_signature={changed.get('auth_signature', signature)}"
    return server.gateway.api(method, path, query, changed.get("body", body))


def event(**changed: Any) -> dict[str, Any]:
    return {"name": "headline", "channel": "news", "data": "text"} | changed


def test_the_signature_matches_the_documented_example() -> None:
    secret = "7ad3773142a6692b25b8"
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    query = {
        "auth_key": "278d425bdf160c739803",
        "auth_timestamp": "1353088179",
        "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
        "auth_signature": "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
    }

    credentials = Credentials("3", "278d425bdf160c739803", secret)

    credentials.check_request("POST", "/apps/3/events", query, body, now=1353088179)


def test_the_secret_does_not_show_in_a_traceback() -> None:
    assert SECRET not in repr(Credentials(APP_ID, KEY, SECRET))


# Publishing


def test_an_event_reaches_all_its_channels(server: Server, pusher: Pusher) -> None:
    ada, bob, eve = (server.join() for _ in range(3))
    ada.subscribe("one")
    bob.subscribe("two")
    eve.subscribe("three")

    assert pusher.trigger(["one", "two"], "headline", {"text": "né 🎉"}) == {}

    for client in (ada, bob):
        assert client.expect("headline")["data"] == {"text": "né 🎉"}
    eve.expect_silence()


def test_an_event_can_leave_one_connection_out(server: Server, pusher: Pusher) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe("news")
    bob.subscribe("news")

    pusher.trigger("news", "headline", "text", socket_id=ada.socket_id)
    pusher.trigger("news", "headline", "text", socket_id="1.2")

    bob.expect("headline")
    bob.expect("headline")
    ada.expect("headline")
    ada.expect_silence()


def test_a_batch_keeps_its_order(server: Server, pusher: Pusher) -> None:
    ada = server.join()
    ada.subscribe("news")

    assert pusher.trigger_batch([event(data=str(number)) for number in range(10)]) == {}

    assert [ada.hear()["data"] for _ in range(10)] == list(range(10))


def test_events_of_one_thread_arrive_in_order(server: Server) -> None:
    ada = server.join()
    names = ["ada", "bob", "eve"]
    for name in names:
        ada.subscribe(name)

    def publish(name: str) -> None:
        for number in range(100):
            batch = {"batch": [event(channel=name, data=str(number))]}
            assert call(server, "POST", "/apps/1/batch_events", batch) == (200, {})

    threads = [threading.Thread(target=publish, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    heard: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(300):
        message = ada.hear()
        heard[message["channel"]].append(message["data"])
    assert all(numbers == list(range(100)) for numbers in heard.values())


@pytest.mark.parametrize(
    ("spoiled", "status"),
    [
        ({"data": "x" * 10_241}, 413),
        ({"data": "é" * 5_121}, 413),
        ({"data": {"text": "not a string"}}, 400),
        ({"data": None}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 201}, 400),
        ({"name": 7}, 400),
        ({"channel": "no channel"}, 400),
        ({"channel": "news\n"}, 400),
        ({"channel": "x" * 165}, 400),
        ({"channel": ["news"]}, 400),
        ({"channel": None}, 400),
        ({"socket_id": "1.2:news"}, 400),
        ({"socket_id": 1.2}, 400),
        ({"info": "user_count"}, 400),
        ({"info": "everything"}, 400),
    ],
)
def test_a_bad_event_has_its_whole_batch_refused(
    server: Server, spoiled: dict[str, Any], status: int
) -> None:
    ada = server.join()
    ada.subscribe("news")

    alone = call(server, "POST", "/apps/1/events", event(**spoiled))
    batch = call(server, "POST", "/apps/1/batch_events", {"batch": [event(), event(**spoiled)]})

    assert (alone[0], batch[0]) == (status, status)
    ada.expect_silence()


def test_an_event_of_10240_bytes_is_delivered(server: Server) -> None:
    ada = server.join()
    ada.subscribe("news")

    assert call(server, "POST", "/apps/1/events", event(data="é" * 5_120))[0] == 200

    assert len(ada.expect("headline")["data"]) == 5_120


@pytest.mark.parametrize(
    "document",
    [
        7,
        [],
        {},
        event(channel=None, channels=[]),
        event(channels=["news"] * 101),
        event(channels="news"),
        event(channels=[["news"]]),
    ],
)
def test_a_trigger_needs_1_to_100_channels(server: Server, document: Any) -> None:
    assert call(server, "POST", "/apps/1/events", document)[0] == 400


@pytest.mark.parametrize("batch", [None, {}, "x", [7], [event()] * 11])
def test_a_batch_lists_at_most_10_events(server: Server, batch: Any) -> None:
    assert call(server, "POST", "/apps/1/batch_events", {"batch": batch})[0] == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":' * 5_000, b"9" * 5_000, b"NaN"])
def test_a_body_without_json_is_refused(server: Server, body: bytes) -> None:
    md5 = hashlib.md5(body).hexdigest()

    assert call(server, "POST", "/apps/1/events", body=body, body_md5=md5)[0] == 400


def test_a_lone_surrogate_is_delivered_as_json_names_it(server: Server) -> None:
    ada = server.join()
    ada.subscribe("news")

    assert call(server, "POST", "/apps/1/events", event(data='"\ud83d"'))[0] == 200

    assert ada.expect("headline")["data"] == "\ud83d"


def test_publishing_can_tell_how_many_are_there(server: Server) -> None:
    server.join().subscribe("presence-news", "ada")
    counted = event(channel="presence-news", info="user_count,subscription_count")

    counts = {"user_count": 1, "subscription_count": 1}
    assert call(server, "POST", "/apps/1/events", counted) == (
        200,
        {"channels": {"presence-news": counts}},
    )
    assert call(server, "POST", "/apps/1/batch_events", {"batch": [counted, event()]}) == (
        200,
        {"batch": [counts, {}]},
    )


# Signatures


@pytest.mark.parametrize(
    "spoiled",
    [
        {"auth_key": "another"},
        {"auth_key": "é"},
        {"auth_version": "2.0"},
        {"auth_timestamp": str(int(time.time()) - 100_000)},
        {"auth_timestamp": str(int(time.time()) + 100_000)},
        {"auth_timestamp": "now"},
        {"auth_timestamp": "9" * 5_000},
        {"auth_timestamp": "\u0661"},
        {"auth_signature": "00"},
        {"auth_signature": ""},
        {"auth_signature": "%C3%A9"},
        {"body_md5": "00"},
        {"body": b"another body"},
    ],
)
def test_a_request_with_a_bad_signature_is_refused(server: Server, spoiled: dict[str, Any]) -> None:
    eve = server.join()
    eve.subscribe("news")

    status, answer = call(server, "POST", "/apps/1/events", event(), **spoiled)

    assert status == 401
    assert answer["error"]
    eve.expect_silence()


def test_a_body_must_be_covered_by_the_signature(server: Server) -> None:
    path, now = "/apps/1/events", int(time.time())
    query = f"auth_key={KEY}&auth_timestamp={now}&auth_version=1.0"
    signature = Credentials(APP_ID, KEY, SECRET).sign(f"POST\n{path}\n{query}")

    body = json.dumps(event()).encode()
    status, _ = server.gateway.api("POST", path, f"{query}&auth_signature={signature}", body)

    assert status == 401


def test_a_publisher_with_another_secret_is_refused(server: Server) -> None:
    eve = Pusher(APP_ID, KEY, "guessed", backend=InProcess, gateway=server.gateway)

    with pytest.raises(PusherBadAuth):
        eve.trigger("news", "headline", "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apps/2/channels", 404),
        ("GET", "/apps/1/", 404),
        ("GET", "/", 404),
        ("GET", "/apps/1/channels/news/more", 404),
        ("GET", "/apps/1/events", 405),
        ("POST", "/apps/1/channels", 405),
    ],
)
def test_unknown_paths_and_apps_are_not_found(
    server: Server, method: str, path: str, status: int
) -> None:
    assert call(server, method, path)[0] == status


# Asking


def test_occupied_channels_are_listed_by_prefix(server: Server, pusher: Pusher) -> None:
    ada = server.join()
    ada.subscribe("news")
    ada.subscribe("presence-room", "ada")

    assert pusher.channels_info() == {"channels": {"news": {}, "presence-room": {}}}
    assert pusher.channels_info("presence-", ["user_count"]) == {
        "channels": {"presence-room": {"user_count": 1}}
    }
    with pytest.raises(PusherBadRequest):
        pusher.channels_info("n", ["user_count"])


def test_a_channel_tells_whether_anyone_is_there(server: Server, pusher: Pusher) -> None:
    for _ in range(2):
        server.join().subscribe("presence-room", "ada")
    counts = ["user_count", "subscription_count"]

    assert pusher.channel_info("presence-room", counts) == {
        "occupied": True,
        "user_count": 1,
        "subscription_count": 2,
    }
    assert pusher.channel_info("empty", ["subscription_count"]) == {
        "occupied": False,
        "subscription_count": 0,
    }
    with pytest.raises(PusherBadRequest):
        pusher.channel_info("news", ["user_count"])


def test_the_users_of_a_presence_channel_are_known(server: Server, pusher: Pusher) -> None:
    for user in ("ada", "bob", "ada"):
        server.join().subscribe("presence-room", user)

    users = pusher.users_info("presence-room")["users"]

    assert sorted(user["id"] for user in users) == ["ada", "bob"]
    with pytest.raises(PusherBadRequest):
        pusher.users_info("news")


# Sending people away


def test_all_connections_of_a_user_can_be_terminated(server: Server) -> None:
    ada, tab, bob = (server.join() for _ in range(3))
    ada.sign_in("ada")
    tab.subscribe("presence-room", "ada")
    bob.sign_in("bob")

    assert call(server, "POST", "/apps/1/users/ada/terminate_connections", {}) == (200, {})

    assert [ada.expect_close(), tab.expect_close()] == [4009, 4009]
    bob.expect_silence()


def test_connections_can_be_closed_by_their_socket_ids(server: Server) -> None:
    def close(client: Client, *arguments: Any) -> int:
        server.gateway.close_connections([client.socket_id, "1.2"], *arguments)
        return client.expect_close()

    assert close(server.join()) == 4009
    assert close(server.join(), 4200, "é" * 200) == 4200
    with pytest.raises(ValueError, match="4000"):
        server.gateway.close_connections([], 1000)


def test_all_subscribers_can_be_made_to_ask_anew(server: Server) -> None:
    ada, bob, eve = (server.join() for _ in range(3))
    for client, channel in ((ada, "room"), (bob, "room"), (eve, "rooms")):
        client.subscribe(channel)

    server.gateway.close_subscribers("room")
    server.gateway.close_subscribers("nobody-there")

    assert [ada.expect_close(), bob.expect_close()] == [4200, 4200]
    eve.expect_silence()


def test_a_closed_gateway_takes_nothing() -> None:
    closed = make_gateway()
    pusher = Pusher(APP_ID, KEY, SECRET, backend=InProcess, gateway=closed)

    for publish in (
        lambda: pusher.trigger("news", "headline", ""),
        lambda: pusher.trigger_batch([event()]),
        pusher.channels_info,
    ):
        with pytest.raises(PusherBadStatus, match="503"):
            publish()
    closed.close_connections(["1.2"])
    closed.close_subscribers("news")
    assert closed.stats() == {"connections": 0, "channels": 0, "subscriptions": 0}
