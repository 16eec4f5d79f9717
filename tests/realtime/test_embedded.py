"""The embedded Pusher-protocol server inside the real application, with the clients people use."""

import json
import logging
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pysher
import pytest
from pusher.errors import PusherBadAuth
from pusher.http import Request as SignedRequest
from werkzeug.serving import make_server

from gateway import Limits
from gateway.frames import event_frame
from gateway.hub import Delivery
from tests.support.browser import Chromium, PagePackages, launched
from tests.support.endings import (
    change_password,
    delete_account,
    log_out,
    log_out_everywhere,
    refresh,
    refresh_and_log_out,
)
from tests.support.gateway_client import (
    APP_ID,
    KEY,
    SECRET,
    UPGRADE,
    frame,
    make_gateway,
    read_until,
)
from tests.support.gateway_client import Server as Sockets
from tests.support.people import (
    Answer,
    Api,
    ChatServer,
    InProcess,
    Person,
    at_once,
    refused,
    runtime_of,
)
from tests.support.pusher_js import PusherJs, SubscriptionRefused
from tests.support.servers import HOST, IN_CI, NODE, NODE_MODULES, Soketi, eventually, require
from tests.support.tabs import KEYS, Tab, join
from web.page import PUSHER_JS

MESSAGES = 50 if IN_CI else 15
PRESENCE = "presence-chitchat"
numbers = count(1)


# From registration to catching up, with each Pusher server -----------------------------------


PROGRAMS = ["flask", "flask with soketi"]
MORE_PROGRAMS = ["flask --reload", "gunicorn", "gunicorn with soketi"]


@pytest.fixture(params=PROGRAMS + MORE_PROGRAMS if IN_CI else PROGRAMS)
def chat_server(request: pytest.FixtureRequest) -> Iterator[ChatServer]:
    program, _, soketi = request.param.partition(" with ")
    with ExitStack() as stack:
        settings = stack.enter_context(Soketi()).env if soketi else {}
        yield stack.enter_context(ChatServer(program, **settings))


@pytest.mark.slow
def test_two_people_chat_and_a_third_stays_out(chat_server: ChatServer) -> None:
    people = [chat_server.api.sign_up(name) for name in ("ada", "bob", "eve")]
    with (
        Tab(chat_server, people[0]) as ada,
        Tab(chat_server, people[1], version=4) as bob,
        Tab(chat_server, people[2]) as eve,
    ):
        chat = they_open_a_chat(ada, bob)
        an_outsider_is_refused(eve, chat)
        they_see_each_other_typing(ada, bob, chat)
        they_see_who_is_there(ada, bob)
        they_talk(ada, bob, chat)
        one_is_cut_off_and_catches_up(ada, bob, chat)

        assert {event.channel for event in eve.events} == {eve.notifications, chat["channel_name"]}
        assert all(event.name.startswith("pusher:subscription") for event in eve.events)


def they_open_a_chat(ada: Tab, bob: Tab) -> dict[str, Any]:
    answer = ada.person.asks(bob.person)

    assert answer.status == 201
    chat: dict[str, Any] = bob.wait_for("new_chat", bob.notifications).data
    assert chat == answer.json
    for tab in (ada, bob):
        tab.subscribe(chat["channel_name"])
    return chat


def an_outsider_is_refused(eve: Tab, chat: dict[str, Any]) -> None:
    with pytest.raises(SubscriptionRefused) as refusal:
        eve.subscribe(chat["channel_name"])
    assert refusal.value.status == 403


def they_see_each_other_typing(ada: Tab, bob: Tab, chat: dict[str, Any]) -> None:
    channel = chat["channel_name"]

    assert ada.trigger(channel, "client-typing", {"from": "ada"})
    assert bob.trigger(channel, "client-typing", {"from": "bob"})

    assert bob.wait_for("client-typing", channel).data == {"from": "ada"}
    assert ada.wait_for("client-typing", channel).data == {"from": "bob"}


def they_see_who_is_there(ada: Tab, bob: Tab) -> None:
    ada.subscribe(PRESENCE)
    bob.subscribe(PRESENCE)

    ada.wait_for("pusher:member_added", PRESENCE)
    people = {tab.person.id: tab.person.username for tab in (ada, bob)}
    members = {str(number): {"id": number, "username": name} for number, name in people.items()}
    for tab in (ada, bob):
        seen = tab.members(PRESENCE)
        assert (seen["count"], seen["members"]) == (2, members)
        assert seen["me"]["info"] == {"id": tab.person.id, "username": tab.person.username}


def they_talk(ada: Tab, bob: Tab, chat: dict[str, Any]) -> None:
    """Both at once, so that only the server knows the order."""

    def talk(number: int) -> list[dict[str, Any]]:
        person = (ada, bob)[number].person
        return [person.said(chat, f"{person.username} {n} ¿qué? 🎈") for n in range(MESSAGES)]

    messages = [message for said in at_once(2, talk) for message in said]

    in_order = sorted(messages, key=lambda message: int(message["id"]))
    for tab in (ada, bob):
        for message in in_order:
            tab.hears(chat, message)
        assert tab.heard(chat) == [message["id"] for message in in_order]


def one_is_cut_off_and_catches_up(ada: Tab, bob: Tab, chat: dict[str, Any]) -> None:
    bob.disconnect()
    gone = ada.wait_for("pusher:member_removed", PRESENCE)
    assert gone.data["id"] == str(bob.person.id)
    missed = [ada.person.said(chat, f"missed {number}") for number in range(3)]
    for message in missed:
        ada.hears(chat, message)
    before = bob.heard(chat)

    bob.reconnect()
    bob.wait_for("pusher:subscription_succeeded", chat["channel_name"])

    assert bob.person.reads(chat, after=before[-1]).json == missed
    bob.hears(chat, ada.person.said(chat, "welcome back"))
    assert len(bob.heard(chat)) == 1, "the missed ones come by HTTP only"


@pytest.mark.slow
def test_a_page_returns_after_the_reloader_restarts_the_server(tmp_path: Path) -> None:
    watched = tmp_path / "watched.py"
    watched.touch()
    with (
        ChatServer(f"flask --reload --extra-files {watched}") as server,
        Tab(server, server.api.sign_up("ada")) as ada,
    ):
        bob = server.api.sign_up("bob")
        socket_id = ada.socket_id
        ada.clear()

        watched.write_text("changed = True")

        ada.wait_for_socket(socket_id)
        ada.wait_for("pusher:subscription_succeeded", ada.notifications)
        assert bob.asks(ada.person).status == 201
        ada.wait_for("new_chat")


# Clients that others wrote -------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer("gunicorn", EMBEDDED_HTTP_API="true", **KEYS) as server:
        yield server


@pytest.fixture
def sockets(server: ChatServer) -> Iterator[Sockets]:
    sockets = Sockets(server.port, make_gateway())
    with sockets.people:
        yield sockets


@pytest.fixture
def people(server: ChatServer) -> list[Person]:
    """Ada and bob of this test alone."""
    number = next(numbers)
    return [server.api.sign_up(f"{name} {number}") for name in ("ada", "bob")]


@pytest.fixture
def their_chat(people: list[Person]) -> dict[str, Any]:
    chat: dict[str, Any] = people[0].asks(people[1]).json
    return chat


def test_the_official_python_library_publishes_and_asks(
    sockets: Sockets, people: list[Person], their_chat: dict[str, Any]
) -> None:
    channel = their_chat["channel_name"]
    bob = join(sockets, people[1], channel)
    join(sockets, people[0], PRESENCE)
    publisher = sockets.publisher()

    publisher.trigger(channel, "reminder", {"at": "noon"})
    publisher.trigger_batch([{"channel": channel, "name": "reminder", "data": "twice"}] * 2)

    assert [bob.expect("reminder")["data"] for _ in range(3)] == [{"at": "noon"}, "twice", "twice"]
    assert publisher.channels_info("private-chat")["channels"] == {channel: {}}
    assert publisher.users_info(PRESENCE)["users"] == [{"id": str(people[0].id)}]


def test_a_batch_of_ten_full_events_is_taken(
    sockets: Sockets, people: list[Person], their_chat: dict[str, Any]
) -> None:
    channel = their_chat["channel_name"]
    bob = join(sockets, people[1], channel)
    event = {"channel": channel, "name": "reminder", "data": "x" * 10_000}

    sockets.publisher().trigger_batch([dict(event) for _ in range(10)])

    assert [bob.expect("reminder")["data"] for _ in range(10)] == [event["data"]] * 10


def test_a_publisher_who_sends_broken_chunks_is_told(server: ChatServer) -> None:
    head = "POST /apps/1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    with socket.create_connection((HOST, server.port), timeout=60) as connection:
        connection.sendall(f"{head}zz\r\n".encode())
        answer = connection.recv(1_000)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_the_official_node_library_publishes_and_asks(
    server: ChatServer, sockets: Sockets, people: list[Person], their_chat: dict[str, Any]
) -> None:
    channel = their_chat["channel_name"]
    bob = join(sockets, people[1], channel)

    assert published_by_node(server, SECRET, channel) == {
        "trigger": 200,
        "batch": 200,
        "channels": {"channels": {channel: {}}},
        "channel": {"occupied": True, "subscription_count": 1},
    }

    assert [bob.expect("reminder")["data"] for _ in range(3)] == [{"at": "noon"}, "one", "two"]


def test_a_library_with_a_wrong_secret_is_refused(server: ChatServer, sockets: Sockets) -> None:
    stranger = sockets.publisher()
    stranger._pusher_client._secret = "wrong"

    with pytest.raises(PusherBadAuth, match="Invalid signature"):
        stranger.trigger("news", "headline", 1)

    assert published_by_node(server, "wrong", "news") == {"status": 401}


def published_by_node(server: ChatServer, secret: str, channel: str) -> Any:
    require(NodePusher)
    script = NODE / "publish.mjs"
    arguments = [str(server.port), APP_ID, KEY, secret, channel]
    done = subprocess.run(["node", script, *arguments], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class NodePusher:
    @classmethod
    def lacks(cls) -> str | None:
        if not shutil.which("node"):
            return "Node.js is missing (Debian: nodejs npm)"
        return None if (NODE_MODULES / "pusher").exists() else "pusher is missing (make node)"


@pytest.mark.parametrize("path", ["/apps/1/events", "/apps/1/channels"])
def test_publishing_over_http_is_off_by_default(
    make_api: Callable[..., InProcess], path: str
) -> None:
    assert refused(make_api().post(path, {}), 404, "not_found") == "No such path."
    assert make_api(embedded_http_api=True).post(path, {}).status == 401


def test_a_refused_publisher_gets_the_one_error_shape(make_api: Callable[..., InProcess]) -> None:
    api = make_api(embedded_http_api=True)

    assert refused(api.post("/apps/1/events", {}), 401, "unauthorized") == "Unknown auth_key"


@pytest.mark.parametrize(("method", "right"), [("GET", "POST"), ("POST", "GET")])
def test_a_publisher_is_told_the_right_method(
    server: ChatServer, sockets: Sockets, method: str, right: str
) -> None:
    path = f"/apps/{APP_ID}/{'events' if right == 'POST' else 'channels'}"
    signed = SignedRequest(sockets.publisher()._pusher_client, method, path, {})

    body = signed.body if method == "POST" else None
    answer = server.api.request(method, f"{path}?{signed.query_string}", body=body)

    assert refused(answer, 405, "method_not_allowed") == f"Use {right}"
    assert answer.headers.get("allow") == right


def test_pysher_hears_new_messages(
    server: ChatServer, sockets: Sockets, people: list[Person], their_chat: dict[str, Any]
) -> None:
    established = threading.Event()
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    client = pysher.Pusher(
        KEY,
        custom_host=HOST,
        port=server.port,
        secure=False,
        log_level=logging.CRITICAL,
        reconnect_interval=0,  # it sits that out when it is told to disconnect
    )
    client.connection.bind("pusher:connection_established", lambda _: established.set())
    client.connect()
    try:
        assert established.wait(20)
        signed = people[1].signs(their_chat["channel_name"], client.connection.socket_id).json
        channel = client.subscribe(their_chat["channel_name"], signed["auth"])
        channel.bind("new_message", heard.put)
        # It asks before one can listen for the answer, so the server is asked instead.
        name = their_chat["channel_name"]
        assert eventually(lambda: sockets.publisher().channel_info(name)["occupied"])

        message = people[0].said(their_chat, "Hello, Python!")

        assert json.loads(heard.get(timeout=20)) == message
    finally:
        client.disconnect(timeout=5)


@pytest.mark.slow
def test_a_browser_hears_new_messages(
    server: ChatServer, people: list[Person], their_chat: dict[str, Any]
) -> None:
    require(Chromium, PagePackages)
    with launched() as browser:
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(f"http://{HOST}:{server.port}/health")
        page.add_script_tag(path=PUSHER_JS)
        page.evaluate(LISTEN, [people[1].token, their_chat["channel_name"]])

        message = people[0].said(their_chat, "Hello, browser!")

        assert page.wait_for_function("window.heard").json_value() == message


LISTEN = """async ([token, channel]) => {
    const { key, ...options } = await (await fetch("/api/config")).json();
    const headers = { Authorization: `Bearer ${token}` };
    const authorization = { endpoint: "/api/pusher/auth", headers, transport: "ajax" };
    const pusher = new Pusher(key, { ...options, channelAuthorization: authorization });
    const subscription = pusher.subscribe(channel);
    subscription.bind("new_message", (message) => { window.heard = message; });
    await new Promise((resolve) => subscription.bind("pusher:subscription_succeeded", resolve));
}"""


# Who is not let in, and who has to leave -----------------------------------------------------


@pytest.mark.parametrize("version", [8, 4])
def test_pusher_js_gives_up_with_a_wrong_key(server: ChatServer, version: Literal[8, 4]) -> None:
    with PusherJs(version) as eve:
        config = server.api.get("/api/config").json | {"key": "wrong"}

        eve.connect(config, until="disconnected")

        assert eve.faults, "it is told why"
        assert all("4001" in json.dumps(fault) for fault in eve.faults), eve.faults
        assert "connected" not in eve.states


def test_pusher_js_stays_away_after_its_login_ends(server: ChatServer) -> None:
    with Tab(server, server.api.sign_up("leaver")) as tab:
        assert tab.person.post("/api/logout").status == 204

        tab.wait_for_state("disconnected")


@pytest.mark.parametrize(
    ("act", "own_stays", "other_stays"),
    [
        (log_out, False, True),
        (log_out_everywhere, False, False),
        (change_password, False, False),
        (refresh, True, True),
        (refresh_and_log_out, False, True),
        (delete_account, False, False),
    ],
)
def test_a_connection_ends_with_its_login(
    server: ChatServer,
    sockets: Sockets,
    people: list[Person],
    act: Callable[[Person], Answer],
    own_stays: bool,
    other_stays: bool,
) -> None:
    ada, bob = people
    own = join(sockets, ada, PRESENCE)
    other = join(sockets, server.api.sign_in(ada.username), PRESENCE)
    bystander = join(sockets, bob, PRESENCE)
    for client in (own, other):  # the later one is announced
        client.expect("pusher_internal:member_added")

    assert act(ada).status in (200, 204)

    for client, stays in ((own, own_stays), (other, other_stays)):
        if stays:
            client.expect_silence()
        else:
            assert client.expect_close() == 4009
    if not own_stays and not other_stays:
        bystander.expect("pusher_internal:member_removed")
    bystander.expect_silence()


def test_a_connection_that_cannot_be_remembered_is_closed(
    sockets: Sockets, people: list[Person]
) -> None:
    ada, bob = people
    bystander = join(sockets, bob, f"private-notification_user_{bob.id}")
    first = join(sockets, ada, PRESENCE)

    for _ in range(Limits().connections_per_right):
        answer = ada.signs(f"private-notification_user_{ada.id}", sockets.join().socket_id)
        assert answer.status == 200

    assert first.expect_close() == 4200
    bystander.expect_silence()


def test_made_up_connections_do_not_hide_a_real_one(sockets: Sockets, people: list[Person]) -> None:
    ada, _ = people
    first = join(sockets, ada, PRESENCE)
    for number in range(Limits().connections_per_right):
        assert ada.signs(f"private-notification_user_{ada.id}", f"1.{number}").status == 200
    first.expect_silence()

    assert ada.post("/api/logout").status == 204

    assert first.expect_close() == 4009


def test_a_block_ends_the_subscriptions_to_the_chat(
    sockets: Sockets, people: list[Person], their_chat: dict[str, Any]
) -> None:
    ada, bob = people
    channel = their_chat["channel_name"]
    one, other = (join(sockets, person, channel) for person in people)
    elsewhere = join(sockets, bob, f"private-notification_user_{bob.id}")
    waiting = sockets.join()  # with a signature, to subscribe once it is blocked
    assert bob.signs(channel, waiting.socket_id).status == 200

    assert ada.request("PUT", f"/api/blocks/{bob.id}").status == 204

    assert [each.expect_close() for each in (one, other, waiting)] == [4200] * 3
    elsewhere.expect_silence()
    refused(bob.signs(channel, sockets.join().socket_id), 403, "forbidden")


# Settings ------------------------------------------------------------------------------------


@contextmanager
def served(api: InProcess) -> Iterator[Sockets]:
    """The application on a port, with its sockets open."""
    gateway = runtime_of(api.app).gateway
    assert gateway
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    http = make_server(HOST, 0, api.app, threaded=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    gateway.open()
    sockets = Sockets(http.server_port, gateway)
    try:
        with sockets.people:
            yield sockets
    finally:
        gateway.stop()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def serve(make_api: Callable[..., InProcess]) -> Iterator[Callable[..., Sockets]]:
    """Serves an application with these settings."""
    keys = {name.lower(): value for name, value in KEYS.items()}
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(served(make_api(**keys | settings)))


@pytest.mark.parametrize("setting", ["embedded_connections", "embedded_connections_per_address"])
def test_one_connection_too_many_must_come_back_later(
    serve: Callable[..., Sockets], setting: str
) -> None:
    sockets = serve(trusted_proxies=1, **{setting: 1})
    ada = sockets.join()

    assert sockets.connect().expect_close() == 4100
    ada.expect_silence()


def test_one_subscription_too_many_is_refused(serve: Callable[..., Sockets]) -> None:
    ada = serve(embedded_subscriptions=1, embedded_public_channels=True).join()
    assert ada.subscribe("news")["event"] == "pusher_internal:subscription_succeeded"

    assert ada.subscribe("weather")["data"]["type"] == "LimitReached"


def test_one_member_too_many_is_refused(serve: Callable[..., Sockets]) -> None:
    sockets = serve(embedded_presence_members=1)
    ada, bob = sockets.join(), sockets.join()
    assert ada.subscribe(PRESENCE, "1")["event"] == "pusher_internal:subscription_succeeded"

    assert bob.subscribe(PRESENCE, "2")["data"]["type"] == "LimitReached"


def test_a_message_too_large_ends_its_connection(serve: Callable[..., Sockets]) -> None:
    ada = serve(embedded_frame_bytes=100).join()
    ada.expect_silence()

    ada.say("client-typing", "x" * 100)

    assert ada.expect_close() == 1009


@pytest.mark.abuse
@pytest.mark.parametrize(("size", "is_let_go"), [(10_000, True), (50_000_000, False)])
def test_a_reader_too_slow_for_the_buffer_is_disconnected(
    serve: Callable[..., Sockets], size: int, is_let_go: bool
) -> None:
    sockets = serve(embedded_send_buffer_bytes=size, embedded_public_channels=True)
    eve = sockets.shook_hands()
    eve.sendall(frame('{"event":"pusher:subscribe","data":{"channel":"news"}}'))
    read_until(eve, b"succeeded")

    for _ in range(2_000):  # 20 MB, more than the system itself buffers
        sockets.gateway.deliver([Delivery("news", event_frame("headline", "x" * 10_000, "news"))])

    assert sockets.gateway.ask(lambda hub: hub.subscriptions) == (0 if is_let_go else 1)
    if is_let_go:
        read_until(eve, (4100).to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("https://chat.example", True),
        ("https://m.chat.example", True),
        ("https://chat.example.evil.example", False),
        ("null", False),
    ],
)
def test_named_origins_keep_pages_of_others_out(
    serve: Callable[..., Sockets], origin: str, is_let_in: bool
) -> None:
    sockets = serve(embedded_origins="https://chat.example, https://m.chat.example")

    client = sockets.connect(origin=origin)

    if is_let_in:
        client.expect("pusher:connection_established")
    else:
        assert client.expect_close() == 4009


def test_the_keys_are_those_of_the_settings(serve: Callable[..., Sockets]) -> None:
    ada = serve().join()

    answer = ada.subscribe("private-news")

    assert answer["event"] == "pusher_internal:subscription_succeeded", answer


# HTTP servers that cannot --------------------------------------------------------------------


def shakes_hands(api: Api) -> Answer:
    return api.get(f"/app/{KEY}?protocol=7", headers=UPGRADE)


def test_a_server_without_sockets_names_an_alternative() -> None:
    with ChatServer("waitress", **KEYS) as server:
        message = refused(shakes_hands(server.api), 501, "not_implemented")

        assert "gunicorn" in message
        assert "flask run" in message
        ada = server.api.sign_up("ada")
        assert ada.asks(server.api.sign_up("bob")).status == 201, "all else works"


def test_a_browser_at_the_address_is_told_its_purpose(server: ChatServer) -> None:
    answer = server.api.get(f"/app/{KEY}")

    assert "WebSocket" in refused(answer, 426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


def test_health_tells_how_many_are_connected(server: ChatServer, sockets: Sockets) -> None:
    before = server.api.get("/health").json["sockets"]

    sockets.join().subscribe("private-channel-of-its-own")

    after = server.api.get("/health").json["sockets"]
    assert (before["owner"], after["owner"]) == (True, True)
    assert after["subscriptions"] == before["subscriptions"] + 1
