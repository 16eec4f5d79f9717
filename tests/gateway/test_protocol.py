"""What a Pusher client sees, frame by frame."""

import json
import re
from collections.abc import Iterator

import pytest

from gateway.signatures import Credentials
from tests.support.gateway_client import (
    HANDSHAKE,
    Server,
    frame,
    make_gateway,
    read_until,
    serving,
    signer,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving(make_gateway()) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    yield shared
    shared.people.close()


# Connecting


def test_the_first_frame_tells_socket_id_and_activity_timeout(server: Server) -> None:
    first = json.loads(server.connect().socket.recv(5))

    assert first["event"] == "pusher:connection_established"
    assert isinstance(first["data"], str), "pusher-js parses the data itself"
    data = json.loads(first["data"])
    assert re.fullmatch(r"\d+\.\d+", data["socket_id"])
    assert data["activity_timeout"] == 30


def test_every_connection_has_a_socket_id_of_its_own(server: Server) -> None:
    assert len({server.join().socket_id for _ in range(5)}) == 5


@pytest.mark.parametrize("query", ["", "?protocol=4", "?protocol=7&client=js&version=8.6.0"])
def test_protocols_4_to_7_and_none_are_spoken(server: Server, query: str) -> None:
    server.join(query=query)


@pytest.mark.parametrize(
    ("key", "query", "code"),
    [
        ("another-key", "", 4001),
        ("clé", "", 4001),
        ("the-key/more", "", 4001),
        ("the-key", "?protocol=3", 4007),
        ("the-key", "?protocol=8", 4007),
        ("the-key", "?protocol=", 4007),
        ("the-key", "?protocol=seven", 4007),
    ],
)
def test_a_refused_client_learns_the_code_twice(
    server: Server, key: str, query: str, code: int
) -> None:
    eve = server.connect(key=key, query=query)

    assert eve.expect("pusher:error")["data"]["code"] == code
    assert eve.expect_close() == code


def test_an_offer_of_compression_is_declined(server: Server) -> None:
    ada = server.join(compression="deflate")

    assert ada.socket.response is not None
    assert "Sec-WebSocket-Extensions" not in ada.socket.response.headers


# Staying alive


def test_a_ping_event_is_answered_with_a_pong_event(server: Server) -> None:
    ada = server.join()

    ada.send('{"event":"pusher:ping","data":{}}')

    assert json.loads(ada.socket.recv(5)) == {"event": "pusher:pong", "data": "{}"}


def test_a_ping_frame_is_answered_with_a_pong_frame(server: Server) -> None:
    ada = server.join()

    assert ada.socket.ping("hello").wait(5)


def test_a_message_in_fragments_is_one_message(server: Server) -> None:
    ada = server.join()

    ada.socket.send(['{"event":"pus', "", 'her:ping","data":', "{}}"])

    ada.expect("pusher:pong")


def test_frames_sent_right_behind_the_handshake_are_not_lost(server: Server) -> None:
    sock = server.raw(HANDSHAKE + frame('{"event":"pusher:ping"}') * 3)

    assert read_until(sock, b"pusher:pong")


def test_a_goodbye_is_answered(server: Server) -> None:
    ada = server.join()

    ada.socket.close(1000)

    assert ada.socket.close_code == 1000


# Channels


def test_a_subscriber_gets_published_data_byte_for_byte(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe("news")
    bob.subscribe("sports")

    server.publisher().trigger("news", "headline", '{"text":  "né 🎉 \\u0000"}')

    assert json.loads(ada.socket.recv(5)) == {
        "event": "headline",
        "channel": "news",
        "data": '{"text":  "né 🎉 \\u0000"}',
    }
    bob.expect_silence()


@pytest.mark.parametrize(
    "channel", ["news", "private-ada", "private-encrypted-ada", "cache-news", "a-b_c=d@e,f.g;h"]
)
def test_a_subscription_signed_where_needed_succeeds(server: Server, channel: str) -> None:
    answer = server.join().subscribe(channel)

    assert answer["event"] == "pusher_internal:subscription_succeeded"
    assert answer["channel"] == channel
    assert answer["data"] == {}


def test_the_signature_covers_a_private_subscriptions_data(server: Server) -> None:
    ada = server.join()
    signed = signer().authenticate("private-ada", ada.socket_id, {"user_id": "ada"})

    ada.say("pusher:subscribe", {"channel": "private-ada", **signed})
    assert ada.hear()["event"] == "pusher_internal:subscription_succeeded"
    ada.say("pusher:unsubscribe", {"channel": "private-ada"})
    ada.say("pusher:subscribe", {"channel": "private-ada", "auth": signed["auth"]})
    assert ada.hear()["event"] == "pusher:subscription_error"


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        (None, "Auth info required"),
        ("", "Auth info required"),
        (7, "Auth info required"),
        (["the-key:00"], "Auth info required"),
        ("nonsense", "should be of format"),
        ("another-key:00", "Invalid key"),
        ("clé:00", "Invalid key"),
        ("\ud800:\ud800", "Invalid key"),
        ("the-key:00", "Invalid signature"),
        ("the-key:é\ud800", "Invalid signature"),
        ("the-key:", "Invalid signature"),
    ],
)
def test_eve_gets_no_private_channel_without_a_signature(
    server: Server, auth: object, text: str
) -> None:
    eve = server.join()

    eve.say("pusher:subscribe", {"channel": "private-ada", "auth": auth})

    refusal = eve.expect("pusher:subscription_error")
    assert refusal["channel"] == "private-ada"
    assert refusal["data"]["type"] == "AuthError"
    assert refusal["data"]["status"] == 401
    assert text in refusal["data"]["error"]
    server.publisher().trigger("private-ada", "secret", "for ada")
    eve.expect_silence()


def test_a_refusal_does_not_show_the_right_signature(server: Server) -> None:
    eve = server.join()
    right = signer().authenticate("private-ada", eve.socket_id)["auth"].partition(":")[2]

    eve.say("pusher:subscribe", {"channel": "private-ada", "auth": "the-key:00"})

    assert right not in eve.expect("pusher:subscription_error")["data"]["error"]


def test_a_signature_for_ada_is_worth_nothing_to_eve(server: Server) -> None:
    ada, eve = server.join(), server.join()

    eve.say("pusher:subscribe", ada.subscription("private-ada"))

    eve.expect("pusher:subscription_error")


@pytest.mark.parametrize(
    "channel",
    ["", "a b", "a/b", "é", "a\n", "x" * 165, "#server", "#server-to-user-", 7, None, ["a"], {}],
)
def test_an_invalid_channel_name_is_refused(server: Server, channel: object) -> None:
    eve = server.join()

    eve.say("pusher:subscribe", {"channel": channel})

    assert eve.expect("pusher:error")["data"]["code"] is None
    eve.expect_silence()


def test_subscribing_twice_succeeds_and_delivers_once(server: Server) -> None:
    ada = server.join()
    for _ in range(2):
        answer = ada.subscribe("private-twice")
        assert answer["event"] == "pusher_internal:subscription_succeeded"

    server.publisher().trigger("private-twice", "once", "")

    ada.expect("once")
    ada.expect_silence()


def test_after_unsubscribing_nothing_comes_any_more(server: Server) -> None:
    ada = server.join()
    ada.subscribe("news")

    ada.say("pusher:unsubscribe", {"channel": "news"})
    ada.expect_silence()
    server.publisher().trigger("news", "headline", "")

    ada.expect_silence()


def test_a_connection_has_a_limited_number_of_subscriptions() -> None:
    with serving(make_gateway(limits={"subscriptions": 2})) as server:
        ada = server.join()
        ada.subscribe("one")
        ada.subscribe("two")

        assert ada.subscribe("three")["data"]["type"] == "LimitReached"
        ada.say("pusher:unsubscribe", {"channel": "one"})
        assert ada.subscribe("three")["event"] == "pusher_internal:subscription_succeeded"


def test_a_cache_channel_hands_newcomers_its_last_event(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe("private-cache-weather")
    ada.expect("pusher:cache_miss")
    for degrees in ("7", "8"):
        server.publisher().trigger("private-cache-weather", "degrees", degrees)

    bob.subscribe("private-cache-weather")

    assert bob.expect("degrees")["data"] == 8


def test_cache_channels_forget_by_time_and_by_number(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = server.join()
    monkeypatch.setattr("gateway.hub.CACHED_CHANNELS", 1)
    for channel in ("cache-one", "cache-two"):
        server.publisher().trigger(channel, "headline", "")
    ada.subscribe("cache-one")
    ada.expect("pusher:cache_miss")
    ada.subscribe("cache-two")
    ada.expect("headline")

    monkeypatch.setattr("gateway.hub.CACHE_SECONDS", 0)

    ada.subscribe("cache-two")
    ada.expect("pusher:cache_miss")


# Client events


@pytest.mark.parametrize("channel", ["private-chat", "presence-chat"])
@pytest.mark.parametrize("data", [{"typing": True}, "a string", None, [1.5, "é"]])
def test_a_client_event_reaches_everybody_but_its_sender(
    server: Server, channel: str, data: object
) -> None:
    ada, tab, bob = (server.join() for _ in range(3))
    for client, user in ((ada, "ada"), (tab, "ada"), (bob, "bob")):
        client.subscribe(channel, user if channel.startswith("presence-") else None)
    if channel.startswith("presence-"):
        for client in (ada, tab):
            client.expect("pusher_internal:member_added")

    ada.say("client-typing", data, channel=channel, user_id="eve", extra=1)

    expected = {"event": "client-typing", "channel": channel, "data": data}
    if channel.startswith("presence-"):
        expected["user_id"] = "ada"
    assert tab.hear() == expected
    assert bob.hear() == expected
    ada.expect_silence()


@pytest.mark.parametrize(
    "channel", ["news", "private-encrypted-chat", "private-elsewhere", "presence-x", "", 7, None]
)
def test_a_client_event_needs_a_subscription_that_allows_it(
    server: Server, channel: object
) -> None:
    ada, bob = server.join(), server.join()
    for name in ("news", "private-encrypted-chat"):
        ada.subscribe(name)
        bob.subscribe(name)
    bob.subscribe("private-elsewhere")

    ada.say("client-typing", {}, channel=channel)

    assert ada.expect("pusher:error")["data"]["code"] is None
    bob.expect_silence()


@pytest.mark.parametrize(
    "event", ["new_message", "xclient-typing", "pusher_internal:member_removed", "client-", "x"]
)
def test_nobody_can_forge_events_of_the_application(server: Server, event: str) -> None:
    ada, eve = server.join(), server.join()
    ada.subscribe("private-chat")
    eve.subscribe("private-chat")

    eve.say(event, {"text": "I am bob"}, channel="private-chat")

    eve.say("pusher:ping")
    while eve.hear()["event"] != "pusher:pong":
        pass
    ada.expect_silence()


def test_the_eleventh_client_event_in_a_second_is_dropped(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe("private-chat")
    bob.subscribe("private-chat")

    for number in range(11):
        ada.say("client-typing", number, channel="private-chat")

    assert ada.expect("pusher:error")["data"]["code"] == 4301
    assert [bob.hear()["data"] for _ in range(10)] == list(range(10))
    bob.expect_silence()
    ada.expect_silence()


def test_a_client_event_over_10_kilobytes_is_dropped(server: Server) -> None:
    ada, bob = server.join(), server.join()
    ada.subscribe("private-chat")
    bob.subscribe("private-chat")

    ada.say("client-file", "é" * 5_121, channel="private-chat")
    ada.say("client-file", "é" * 5_120, channel="private-chat")

    ada.expect("pusher:error")
    assert len(bob.expect("client-file")["data"]) == 5_120


# Users


def test_a_signed_in_user_gets_their_own_events(server: Server) -> None:
    ada, tab, bob = (server.join() for _ in range(3))
    for client, user in ((ada, "ada"), (tab, "ada"), (bob, "bob")):
        assert client.sign_in(user)["event"] == "pusher:signin_success"
        client.subscribe(f"#server-to-user-{user}")

    server.publisher().trigger("#server-to-user-ada", "hello", "ada")

    ada.expect("hello")
    tab.expect("hello")
    bob.expect_silence()


def test_the_channel_of_a_user_is_closed_to_others(server: Server) -> None:
    eve = server.join()

    for _ in ("before she signs in", "and after"):
        for user in ("ada", "None"):
            answer = eve.subscribe(f"#server-to-user-{user}")
            assert answer["event"] == "pusher:subscription_error"
        eve.sign_in("eve")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"auth": "the-key:00", "user_data": '{"id":"ada"}'},
        {"auth": 7, "user_data": '{"id":"ada"}'},
        {"auth": "é", "user_data": 7},
    ],
)
def test_an_unsigned_sign_in_ends_the_connection(server: Server, data: object) -> None:
    eve = server.join()

    eve.say("pusher:signin", data)

    assert eve.expect("pusher:error")["data"]["code"] == 4009
    assert eve.expect_close() == 4009


@pytest.mark.parametrize("user", ['{"id":7}', '{"id":""}', "[]", "no json", '{"id":"' + "x" * 129])
def test_a_signed_user_without_an_id_is_nobody(server: Server, user: str) -> None:
    eve = server.join()
    signature = Credentials("1", "the-key", "the-secret").sign(f"{eve.socket_id}::user::{user}")
    eve.say("pusher:signin", {"auth": f"the-key:{signature}", "user_data": user})

    assert eve.expect_close() == 4009


def test_a_connection_signs_in_as_one_user_only(server: Server) -> None:
    ada = server.join()
    for _ in range(2):
        assert ada.sign_in("ada")["event"] == "pusher:signin_success"

    ada.sign_in("bob")

    assert ada.expect_close() == 4009
