"""What clients must not be able to do: stop the server, slow down others, make it log errors."""

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway import Limits
from gateway.connections import Connection
from gateway.frames import event_frame
from gateway.hub import Delivery
from tests.support.gateway_client import (
    HANDSHAKE,
    Server,
    frame,
    make_gateway,
    read_to_end,
    read_until,
    serving,
)
from tests.support.servers import PATIENCE

QUICK = {"ping_after": 0.2, "pong_within": 0.2, "close_within": 0.2}

fuzzing = settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """Its `no_complaints` makes every test here one of silence in the log as well."""
    with serving(make_gateway()) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    yield shared
    shared.people.close()


def expect_service(server: Server) -> None:
    """Others are served as ever."""
    ada = server.join()
    ada.subscribe("private-ada")
    server.publisher().trigger("private-ada", "hello", "ada")
    ada.expect("hello")
    ada.close()


# Messages

WRONG: list[Any] = [None, True, 0, -1.5, 10**400, "", "x", "\ud800", "\x00", [], [[]], {}]
GOODBYE = frame((1000).to_bytes(2, "big"), 0x88)
PADDING = "x" * 10_000
COMMANDS = ["subscribe", "unsubscribe", "signin", "ping", "pong", "x"]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_type_in_any_member_is_survived(server: Server, wrong: Any) -> None:
    for command in [f"pusher:{name}" for name in COMMANDS] + ["client-x"]:
        eve = server.shook_hands()
        for message in (
            {"event": command, "data": {}, "channel": wrong},
            {"event": command, "data": {"channel": wrong, "auth": wrong}},
            {"event": command, "data": {"channel": "private-x", "auth": wrong}},
            {"event": command, "data": {"channel": "presence-x", "channel_data": wrong}},
            {"event": command, "data": {"auth": wrong, "user_data": wrong}},
            {"event": command, "data": wrong},
            {"event": wrong, "data": {"channel": "private-x"}},
        ):
            eve.sendall(frame(json.dumps(message)))
        eve.sendall(GOODBYE)

        assert read_to_end(eve)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "null",
        '"pusher:ping"',
        "[" * 30_000,
        '{"event":' * 3_000,
        "9" * 5_000,
        '{"event":NaN}',
        '{"event":Infinity}',
        '{"event": "\\ud800"}',
        '\ufeff{"event":"pusher:ping"}',
    ],
)
def test_text_without_a_message_is_answered_or_ignored(server: Server, text: str) -> None:
    eve = server.join()

    eve.send(text)
    eve.say("pusher:ping")

    while (message := eve.hear())["event"] != "pusher:pong":
        assert message["event"] == "pusher:error"


@pytest.mark.parametrize(
    "data", ["NaN", "1e999", "[-Infinity]", "9" * 4_999, "[" * 900 + "]" * 900, '"\\ud800"']
)
def test_others_get_valid_json_or_nothing(server: Server, data: str) -> None:
    bob, eve = server.join(), server.join()
    bob.subscribe("private-chat")
    eve.subscribe("private-chat")

    eve.send(f'{{"event":"client-x","channel":"private-chat","data":{data}}}')
    eve.say("client-last", {}, channel="private-chat")

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    while "client-last" not in (text := bob.socket.recv(PATIENCE)):
        json.loads(text, parse_constant=no_constant)


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=8,
)
members = some.sampled_from(["channel", "auth", "channel_data", "user_data"])
channels = some.sampled_from(["news", "private-eve", "presence-eve", "#server-to-user-eve"])
messages = some.fixed_dictionaries(
    {"event": some.sampled_from([f"pusher:{name}" for name in COMMANDS] + ["client-x", "x"])},
    optional={
        "channel": channels | json_values,
        "data": some.dictionaries(members, channels | json_values) | json_values,
    },
)


@pytest.mark.slow
@given(message=messages | json_values)
@fuzzing
def test_any_json_is_survived(shared: Server, message: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as eve:
        eve.sendall(HANDSHAKE + frame(json.dumps(message)) + GOODBYE)

        assert b"\x88" in read_to_end(eve)


# Frames


@given(junk=some.binary(min_size=1, max_size=200))
@fuzzing
def test_any_bytes_are_survived(shared: Server, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as eve:
        eve.sendall(HANDSHAKE + junk)
        eve.shutdown(socket.SHUT_WR)

        assert b"101 Switching" in read_to_end(eve)


def client_frame(first: int, masked: bool, size: int, payload: bytes) -> bytes:
    """Frame-like bytes: any flags and opcode, and a length that need not be the payload's."""
    mask = 0x80 if masked else 0
    length = bytes([mask | size]) if size < 126 else bytes([mask | 126]) + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4 if masked else 0) + payload


first_bytes = some.sampled_from([0x81, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8A]) | some.integers(0, 255)
payloads = some.binary(max_size=130) | some.sampled_from([b"{}", b'{"event":"pusher:ping"}'])
frames = payloads.flatmap(
    lambda payload: some.builds(
        client_frame,
        first_bytes,
        some.sampled_from([True, True, True, False]),
        some.just(len(payload)) | some.integers(0, 40_000),
        some.just(payload),
    )
)


@pytest.mark.slow
@given(sent=some.lists(frames, min_size=1, max_size=8), cuts=some.lists(some.integers(1, 60)))
@fuzzing
def test_any_frames_in_any_pieces_are_survived(
    shared: Server, sent: list[bytes], cuts: list[int]
) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as eve:
        eve.sendall(HANDSHAKE)
        rest = b"".join(sent)
        with contextlib.suppress(ConnectionError):  # closed by a frame before the last one
            for cut in cuts:
                eve.sendall(rest[:cut])
                rest = rest[cut:]
            eve.sendall(rest)
            eve.shutdown(socket.SHUT_WR)
            read_to_end(eve)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02{}", 1002),  # not masked
        (b"\xc1\x80" + bytes(4), 1002),  # compressed, though that was never agreed on
        (b"\x83\x80" + bytes(4), 1002),  # an opcode without a meaning
        (b"\x80\x80" + bytes(4), 1002),  # a continuation of nothing
        (b"\x09\x80" + bytes(4), 1002),  # a ping in fragments
        (b"\x89\xfe\x01\x00" + bytes(4 + 256), 1002),  # a ping that is too long
        (frame("{", 0x01) + frame("{}", 0x81), 1002),  # a message inside another
        (b"\x88\x81" + bytes(4) + b"x", 1002),  # half a close code
        (b"\x88\x82" + bytes(4) + b"\x00\x01", 1002),  # no close code
        (frame(b"\xff"), 1007),  # not UTF-8
        (frame(b"\x01", 0x82), 1003),  # binary
        (b"\x81\xff" + b"\x7f" * 8 + bytes(4), 1009),  # 2**63 bytes, it says
        (frame("x" * 20_000, 0x01) + frame("x" * 20_000, 0x80), 1009),  # large in sum
    ],
)
def test_a_broken_frame_ends_the_connection_with_its_code(
    server: Server, sent: bytes, code: int
) -> None:
    eve = server.shook_hands()

    eve.sendall(sent)

    answer = read_to_end(eve)
    assert answer[0] == 0x88
    assert int.from_bytes(answer[2:4], "big") == code


def test_a_message_may_have_32_kilobytes_at_most(server: Server) -> None:
    ada, eve = server.join(), server.join()
    padding = "x" * (32 * 1024 - len('{"event":"pusher:ping","data":""}'))

    ada.send(f'{{"event":"pusher:ping","data":"{padding}"}}')
    eve.send(f'{{"event":"pusher:ping","data":"{padding}x"}}')

    ada.expect("pusher:pong")
    assert eve.expect_close() == 1009


def test_a_closed_client_is_not_heard_any_more(server: Server) -> None:
    eve = server.shook_hands()
    eve.sendall(frame('{"event":"pusher:signin"}'))
    read_until(eve, (4009).to_bytes(2, "big"))

    eve.sendall(frame('{"event":"pusher:subscribe","data":{"channel":"news"}}') + GOODBYE)
    read_to_end(eve)

    assert server.gateway.ask(lambda hub: list(hub.channels)) == []


def test_pings_after_a_close_are_not_answered(server: Server) -> None:
    eve = server.raw(HANDSHAKE.replace(b"the-key", b"wrong"))
    read_until(eve, (4001).to_bytes(2, "big"))

    eve.sendall(frame("ping", 0x89) + GOODBYE)

    assert b"\x8a\x04ping" not in read_to_end(eve)


def test_a_large_frame_to_a_lost_connection_is_harmless() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        connection = Connection(ours, "1.2", "", Limits(send_buffer_bytes=1_000), touched=[])
        theirs.close()

        connection.send(b"x" * 100_000)

        assert connection.gone


def test_empty_fragments_without_end_cost_no_memory(server: Server) -> None:
    eve = server.shook_hands()

    eve.sendall(frame('{"event"', 0x01) + frame("", 0x00) * 1_000 + frame(':"pusher:ping"}', 0x80))

    read_until(eve, b"pusher:pong")


# Time


@pytest.fixture
def impatient() -> Iterator[Server]:
    with serving(make_gateway(limits=QUICK)) as server:
        yield server


def test_a_dead_peer_is_pinged_and_then_closed(impatient: Server) -> None:
    eve = impatient.shook_hands()

    rest = read_to_end(eve)

    assert rest.startswith(b"\x89\x00")
    assert (4201).to_bytes(2, "big") in rest


def test_half_a_frame_does_not_keep_a_connection_alive(impatient: Server) -> None:
    eve = impatient.shook_hands()

    eve.sendall(b"\x81\xfe\x10")

    assert (4201).to_bytes(2, "big") in read_to_end(eve)


@pytest.mark.slow
def test_a_quiet_client_that_answers_pings_stays() -> None:
    with serving(make_gateway(limits=QUICK | {"pong_within": 2})) as server:
        ada = server.shook_hands()
        started, pongs = time.monotonic(), 0
        while pongs < 3 or time.monotonic() - started < 2.5:
            read_until(ada, b"\x89\x00")
            ada.sendall(frame("", 0x8A))
            pongs += 1

        ada.sendall(frame('{"event":"pusher:ping"}'))

        read_until(ada, b"pusher:pong")


def test_a_client_that_never_says_goodbye_is_cut(impatient: Server) -> None:
    eve = impatient.raw(HANDSHAKE.replace(b"the-key", b"wrong"))

    assert (4001).to_bytes(2, "big") in read_to_end(eve)


# Amounts


@pytest.mark.abuse
def test_a_stalled_reader_is_closed_and_nobody_misses_anything() -> None:
    limits = {"send_buffer_bytes": 100_000, "close_within": 60}
    with serving(make_gateway(limits=limits)) as server:
        ada, eve = server.join(), server.shook_hands()
        ada.subscribe("news")
        subscribe(eve, "news")

        count = 0
        while server.gateway.stats()["connections"] == 2:
            batch = [
                Delivery("news", event_frame("headline", f"{n};{PADDING}", "news"))
                for n in range(count, count + 10)
            ]
            server.gateway.deliver(batch)
            for n in range(count, count + 10):
                assert ada.expect("headline")["data"].startswith(f"{n};")
            count += 10
            assert count < 5_000, "the slow reader was never closed"

        stream = ClientProtocol(parse_uri("ws://localhost"), state=State.OPEN, max_size=None)
        frames: list[Frame] = []
        while not frames or frames[-1].opcode != Opcode.CLOSE:
            data = eve.recv(65_536)
            assert data, "it was closed without a word"
            stream.receive_data(data)
            frames += [each for each in stream.events_received() if isinstance(each, Frame)]
        *headlines, close = frames
        assert bytes(close.data[:2]) == (4100).to_bytes(2, "big")
        numbers = [json.loads(bytes(each.data))["data"].partition(";")[0] for each in headlines]
        assert numbers == [str(n) for n in range(len(numbers))], "there is a gap"
        assert len(numbers) < count


@pytest.mark.abuse
def test_pongs_that_nobody_reads_are_bounded() -> None:
    limits = {"send_buffer_bytes": 100_000, "frames_per_second": 1e6, "frames_at_once": 1e6}
    with serving(make_gateway(limits=limits)) as server:
        eve = server.shook_hands()
        pings = frame(b"x" * 125, 0x89) * 1_000

        count = 0
        while server.gateway.stats()["connections"] == 1:
            eve.sendall(pings)
            count += 1
            assert count < 200, "who reads no pongs was never closed"

        assert (4100).to_bytes(2, "big") in read_to_end(eve)


@pytest.mark.abuse
@pytest.mark.slow
def test_coming_and_going_in_a_crowd_is_slowed_down() -> None:
    limits = {"frames_at_once": 40, "frames_per_second": 50}
    with serving(make_gateway(limits=limits)) as server:
        crowd = [server.join() for _ in range(20)]
        for number, client in enumerate(crowd):
            client.subscribe("presence-room", f"user {number}")
        eve = server.join()

        started = time.monotonic()
        for _ in range(20):
            eve.subscribe("presence-room", "eve")
            eve.say("pusher:unsubscribe", {"channel": "presence-room"})

        assert time.monotonic() - started > 0.5, "40 frames and 40 announcements to 20 others"


@pytest.mark.abuse
@pytest.mark.slow
@pytest.mark.parametrize("act", ["asking who is there", "client events"])
def test_what_costs_more_in_crowds_is_slowed_down(act: str) -> None:
    limits = {"frames_at_once": 40, "frames_per_second": 50}
    with serving(make_gateway(limits=limits | {"client_events_per_second": 1_000})) as server:
        for number in range(20):
            server.join().subscribe("presence-room", f"user {number}")
        eve = server.join()
        eve.subscribe("presence-room", "eve")

        started = time.monotonic()
        for _ in range(40):
            if act == "client events":
                eve.say("client-typing", {}, channel="presence-room")
            else:
                eve.subscribe("presence-room", "eve")
        for _ in range(3):  # pings, which wait until what came before is paid for
            eve.expect_silence()

        assert time.monotonic() - started > 0.5, "40 frames, each as dear as two"


def subscribe(sock: socket.socket, channel: str) -> None:
    sock.sendall(frame(json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}})))
    read_until(sock, b"subscription_succeeded")


@pytest.mark.abuse
def test_a_flood_is_read_slowly_and_loses_nothing() -> None:
    limits = {"frames_at_once": 50, "frames_per_second": 500}
    with serving(make_gateway(limits=limits)) as server:
        eve, ada = server.shook_hands(), server.join()

        eve.sendall(frame('{"event":"pusher:ping"}') * 300)
        ada.expect_silence()

        pongs = 0
        while pongs < 300:
            pongs += eve.recv(65536).count(b"pusher:pong")


@pytest.mark.abuse
def test_a_flood_after_a_close_is_read_slowly() -> None:
    limits = {"frames_at_once": 50, "frames_per_second": 2_000, "close_within": 60}
    with serving(make_gateway(limits=limits)) as server:
        eve = server.raw(HANDSHAKE.replace(b"the-key", b"wrong"))
        read_until(eve, (4001).to_bytes(2, "big"))

        started = time.monotonic()
        eve.sendall(frame("", 0x8A) * 2_000 + GOODBYE)
        read_to_end(eve)

        assert time.monotonic() - started > 0.5, "2,000 frames are worth a second"


@pytest.mark.abuse
def test_the_neighbours_of_a_flood_are_served() -> None:
    flood = frame('{"event":"x"}') * 5_000
    with serving(make_gateway()) as server:
        for _ in range(5):
            eve = server.shook_hands()
            eve.setblocking(False)
            eve.send(flood)

        expect_service(server)


@pytest.mark.abuse
def test_connections_with_a_thousand_subscriptions_each_are_served(server: Server) -> None:
    for _ in range(3):
        eve = server.shook_hands()
        for number in range(1_010):
            text = json.dumps({"event": "pusher:subscribe", "data": {"channel": f"c{number}"}})
            eve.sendall(frame(text))
        read_until(eve, b"LimitReached")

    expect_service(server)


@pytest.mark.abuse
def test_clients_that_vanish_leave_nothing_behind(server: Server) -> None:
    for step in range(60):
        eve = server.raw(HANDSHAKE[: random.Random(step).randrange(40, len(HANDSHAKE))])
        if step % 2:
            eve.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
        eve.close()
        eve = server.shook_hands()
        eve.sendall(frame('{"event":"pusher:subscribe","data":{"channel":"news"}}') + b"\x81")
        if step % 2:
            eve.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        eve.close()

    expect_service(server)
    wait_until_nobody_is_left(server)


def wait_until_nobody_is_left(server: Server) -> None:
    for _ in range(1_000):
        if server.gateway.stats() == {"connections": 0, "channels": 0, "subscriptions": 0}:
            return
        server.publisher().channels_info()
    raise AssertionError(server.gateway.stats())


def test_the_number_of_connections_is_limited() -> None:
    with serving(make_gateway(limits={"connections": 2})) as server:
        people = [server.join(), server.join()]

        eve = server.connect()
        assert eve.expect("pusher:error")["data"]["code"] == 4100
        assert eve.expect_close() == 4100

        people[0].close()
        people[1].expect_silence()
        server.join()


def test_the_number_of_connections_of_one_address_is_limited() -> None:
    with serving(make_gateway(limits={"connections_per_address": 1})) as server:
        ada = server.join()
        assert server.connect().expect_close() == 4100

        ada.close()

        server.join()


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("https://chat.example", True),
        (None, True),
        ("https://evil.example", False),
        ("https://chat.example.evil.example", False),
        ("null", False),
    ],
)
def test_listed_origins_keep_browsers_of_foreign_pages_out(origin: Any, welcome: bool) -> None:
    with serving(make_gateway(allowed_origins=["https://chat.example"])) as server:
        if welcome:
            server.join(origin=origin)
        else:
            assert server.connect(origin=origin).expect_close() == 4009


def test_a_failing_task_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = make_gateway()
    gateway.open()
    try:
        with pytest.raises(ZeroDivisionError):
            gateway.ask(lambda hub: 1 / 0)
        assert gateway.ask(lambda hub: os.getpid()) == os.getpid()
    finally:
        gateway.stop()
