import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.events import fitted
from config import Settings
from tests.support.people import JSON, Person, events, refused, stored

Chat = dict[str, Any]
MEMBERS = {
    *("id", "channel_id", "channel", "from_user", "to_user", "message", "created_at"),
    "client_message_id",
}


@pytest.fixture
def quiet(settings: Settings, chat: Chat) -> Callable[[], bool]:
    """Whether nothing was stored or told since then."""
    before = stored(settings)
    return lambda: stored(settings) == before


@pytest.mark.classic
def test_sending_answers_with_the_message_object(ada: Person, bob: Person, chat: Chat) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    answer = ada.says(chat, "Hello, Bob")

    assert answer.status == 201
    message = answer.json
    assert set(message) >= MEMBERS
    assert type(message["id"]) is int
    assert message["channel_id"] == chat["channel_id"]
    assert message["channel"] == chat["channel_name"]
    assert (message["from_user"], message["to_user"]) == (ada.id, bob.id)
    assert message["message"] == "Hello, Bob"
    assert message["client_message_id"] is None
    sent_at = datetime.strptime(message["created_at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert before < sent_at < datetime.now(UTC) + timedelta(seconds=1)
    assert len(message["created_at"]) == len("2026-11-22T09:30:00.123456Z")


@pytest.mark.classic
def test_both_may_speak_and_the_ids_ascend(ada: Person, bob: Person, chat: Chat) -> None:
    said = [ada.said(chat, "Hello"), bob.said(chat, "Hello, Ada"), ada.said(chat, "Well?")]

    assert [(m["from_user"], m["to_user"]) for m in said] == [
        (ada.id, bob.id),
        (bob.id, ada.id),
        (ada.id, bob.id),
    ]
    assert said[0]["id"] < said[1]["id"] < said[2]["id"]


def test_a_message_is_told_to_chat_and_receiver(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    already = len(events(settings))

    message = bob.said(chat, "Hello, Ada 😀")

    told = events(settings)[already:]
    assert [(event["channel"], event["name"]) for event in told] == [
        (chat["channel_name"], "new_message"),
        (f"private-notification_user_{ada.id}", "new_chat"),
    ]
    assert told[0]["data"] == message
    assert told[1]["data"] == {**bob.asks(ada).json, "message": message}


@pytest.mark.parametrize(
    ("given", "left_out"), [("123.456", "123.456"), ("1.1:private-x", None), ("nonsense", None)]
)
def test_the_senders_connection_hears_neither_event(
    ada: Person, chat: Chat, settings: Settings, given: str, left_out: str | None
) -> None:
    already = len(events(settings))
    body = {"channel": chat["channel_name"], "message": "Hello"}

    answer = ada.post("/api/send_message", body, headers={"X-Socket-ID": given})

    assert answer.status == 201
    assert [event["socket_id"] for event in events(settings)[already:]] == [left_out] * 2


# Which channel --------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["channel", "channel_name", "channel_id"])
@pytest.mark.parametrize("spelling", ["name", "id", "digits"])
def test_a_channel_is_named_by_its_name_or_id(
    ada: Person, chat: Chat, member: str, spelling: str
) -> None:
    names = {
        "name": chat["channel_name"],
        "id": chat["channel_id"],
        "digits": str(chat["channel_id"]),
    }

    answer = ada.post("/api/send_message", {member: names[spelling], "message": "Hello"})

    assert answer.status == 201
    assert answer.json["channel_id"] == chat["channel_id"]


def test_spellings_of_one_channel_agree(ada: Person, chat: Chat) -> None:
    body = {
        "channel": chat["channel_name"],
        "channel_name": chat["channel_name"],
        "channel_id": str(chat["channel_id"]),
        "message": "Hello",
    }

    assert ada.post("/api/send_message", body).status == 201


def test_spellings_of_two_channels_are_refused(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings
) -> None:
    other = ada.asks(eve).json
    before = stored(settings)
    bodies: list[dict[str, Any]] = [
        {"channel": chat["channel_name"], "channel_id": other["channel_id"]},
        {"channel": other["channel_id"], "channel_name": chat["channel_name"]},
        {"channel_name": chat["channel_name"], "channel_id": 10**15},
        {"channel": 10**15, "channel_id": chat["channel_id"]},
        {"channel": "abc", "channel_name": chat["channel_name"]},
        {"channel": 10**15, "channel_id": 10**15 + 1},
        {"channel": "private-chat_998_999", "channel_name": "private-chat_997_999"},
    ]

    for body in bodies:
        answer = ada.post("/api/send_message", body | {"message": "Hello"})
        assert "channel" in refused(answer, 400, "invalid")

    assert stored(settings) == before


def test_a_spelling_that_is_null_counts_as_left_out(ada: Person, chat: Chat) -> None:
    body = {"channel": None, "channel_id": chat["channel_id"], "message": "Hello"}
    body |= {"from_user": None, "to_user": None, "client_message_id": None}

    assert ada.post("/api/send_message", body).status == 201


@pytest.mark.classic
@pytest.mark.parametrize("members", [{}, {"channel": None}, {"chat": 1}])
def test_a_channel_must_be_named(ada: Person, chat: Chat, members: Any) -> None:
    answer = ada.post("/api/send_message", {"message": "Hello", **members})

    assert "channel" in refused(answer, 400, "invalid")


@pytest.mark.parametrize("member", ["channel", "channel_name", "channel_id"])
@pytest.mark.parametrize("value", [True, 1.5, -1, 2**63, [], {}, "a\0b", "9" * 19, "9" * 40])
def test_a_malformed_channel_is_refused(
    ada: Person, quiet: Callable[[], bool], member: str, value: Any
) -> None:
    answer = ada.post("/api/send_message", {member: value, "message": "Hello"})

    assert member in refused(answer, 400, "invalid")
    assert quiet()


@pytest.mark.parametrize(
    "name",
    [
        *("private-chat_{high}_{low}", "private-chat_0{low}_{high}", "private-chat_{low}_0{high}"),
        *(
            "private-chat_{low}_{high} ",
            " private-chat_{low}_{high}",
            "private-chat_{low}_{high}\n",
        ),
        *("Private-chat_{low}_{high}", "private-chat_{low}_{high}\n", "chat_{low}_{high}"),
        *("private-chat_{low}_{high}0", "private-chat_{low}", "private-chat_１_２", "", "ada"),
        *("private-chat_{low}_{low}", "private-chat_" + "9" * 30 + "_{high}", "presence-chitchat"),
    ],
)
def test_only_the_canonical_name_names_a_channel(
    ada: Person, bob: Person, quiet: Callable[[], bool], name: str
) -> None:
    name = name.format(low=ada.id, high=bob.id)

    refused(ada.says({"channel_name": name}, "Hello"), 404, "not_found")
    assert quiet()


# Who ------------------------------------------------------------------------------------------


@pytest.mark.classic
def test_from_user_and_to_user_may_be_said(ada: Person, bob: Person, chat: Chat) -> None:
    assert ada.says(chat, "Hello", from_user=ada.id, to_user=bob.id).status == 201
    assert ada.says(chat, "Hello", from_user=str(ada.id), to_user=str(bob.id)).status == 201


def test_nobody_speaks_in_the_name_of_another(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings
) -> None:
    before = stored(settings)

    refused(bob.says(chat, "Hello", from_user=ada.id), 403, "forbidden")
    refused(eve.says(chat, "Hello", from_user=ada.id), 403, "forbidden")

    assert stored(settings) == before


def test_to_user_must_be_the_other_person(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings
) -> None:
    before = stored(settings)

    for to_user in (ada.id, eve.id, 0, 10**15):
        assert "to_user" in refused(ada.says(chat, "Hello", to_user=to_user), 400, "invalid")

    assert stored(settings) == before


# What -----------------------------------------------------------------------------------------


@pytest.mark.classic
@pytest.mark.parametrize(
    "text",
    [
        *("a", "x" * 5_000, "é" * 5_000, "😀" * 5_000, "👩‍👩‍👧‍👦" * 700, "e\u0301"),
        *("  Hello \r\n\t", "\u200b", "\ufeff", "\u2060", "\x01\x1b[31m", "a\u2028", "\ufffe"),
        *("<script>alert('1')</script>", "'; DROP TABLE messages; --", "%s {0} \\u0041 \\"),
        *("שלום \u202eabc", "\U0010ffff", "null", '{"message": 1}', "ﬁ Ⅳ ａ", "\ue000"),
    ],
)
def test_a_text_is_returned_exactly_as_sent(
    ada: Person, bob: Person, chat: Chat, text: str
) -> None:
    message = ada.said(chat, text)

    assert message["message"] == text
    assert bob.reads(chat).json == [message]
    assert bob.reads(chat, limit=1).json == [message]


WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x110000))))


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 5_001, "😀" * 5_001, "a\0b", "\0", WHITE_SPACE),
        *(None, 5, 1.5, True, ["Hello"], {"text": "Hello"}),
    ],
)
def test_an_impossible_text_is_refused(
    ada: Person, chat: Chat, quiet: Callable[[], bool], text: Any
) -> None:
    answer = ada.says(chat, text)

    assert "message" in refused(answer, 400, "invalid")
    assert quiet()


@pytest.mark.parametrize("text", [rb"\ud800", rb"\udfff", rb"a\ud83d", rb"\ude00\ud83d", b"\xff"])
@pytest.mark.parametrize("member", ["message", "client_message_id", "channel"])
def test_half_a_character_is_refused(
    ada: Person, chat: Chat, quiet: Callable[[], bool], member: str, text: bytes
) -> None:
    body = json.dumps(
        {"message": "Hello", "channel": chat["channel_name"], member: "HERE"}
    ).encode()

    answer = ada.post(
        "/api/send_message",
        body=body.replace(b"HERE", text),
        headers=JSON,
    )

    refused(answer, 400, "invalid")
    assert quiet()


@pytest.mark.classic
def test_a_character_in_two_escapes_is_one(ada: Person, chat: Chat) -> None:
    body = json.dumps({"message": "😀" * 5_000, "channel": chat["channel_name"]}).encode()
    assert rb"\ud83d\ude00" in body

    answer = ada.post("/api/send_message", body=body, headers=JSON)

    assert answer.json["message"] == "😀" * 5_000


def test_a_text_of_white_space_is_refused(
    ada: Person, chat: Chat, quiet: Callable[[], bool]
) -> None:
    assert len(WHITE_SPACE) > 20

    assert {ada.says(chat, each).status for each in WHITE_SPACE} == {400}
    assert quiet()


# Once -----------------------------------------------------------------------------------------


def test_a_retry_is_answered_but_not_told(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    first = ada.said(chat, "Hello", client_message_id="c1")
    ada.said(chat, "Something else", client_message_id="c2")
    before = stored(settings)

    retry = ada.says({"channel_name": chat["channel_id"]}, "Hello", client_message_id="c1")

    assert first["client_message_id"] == "c1"
    assert (retry.status, retry.json) == (200, first)
    assert stored(settings) == before


def test_an_id_used_otherwise_is_a_conflict(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings
) -> None:
    other = ada.asks(eve).json
    ada.said(chat, "Hello", client_message_id="c1")
    before = stored(settings)

    refused(ada.says(chat, "Hello!", client_message_id="c1"), 409, "conflict")
    refused(ada.says(chat, "hello", client_message_id="c1"), 409, "conflict")
    refused(ada.says(other, "Hello", client_message_id="c1"), 409, "conflict")

    assert stored(settings) == before


@pytest.mark.classic
def test_ids_belong_to_their_sender(ada: Person, bob: Person, chat: Chat) -> None:
    one = ada.said(chat, "Hello", client_message_id="c1")
    another = bob.said(chat, "Hello, Ada", client_message_id="c1")

    assert one["id"] != another["id"]


@pytest.mark.classic
@pytest.mark.parametrize("other", ["C1", "c1 ", "ｃ1", "c1\u0301"])
def test_ids_are_compared_as_they_are(ada: Person, chat: Chat, other: str) -> None:
    ada.said(chat, "Hello", client_message_id="c1")

    assert ada.said(chat, "Another", client_message_id=other)["client_message_id"] == other


@pytest.mark.classic
def test_messages_without_an_id_are_all_new(ada: Person, chat: Chat) -> None:
    assert ada.said(chat, "Hello")["id"] != ada.said(chat, "Hello")["id"]


@pytest.mark.classic
@pytest.mark.parametrize("value", ["x", "x" * 64, "😀" * 64, " ", "\n"])
def test_an_id_is_1_to_64_characters(ada: Person, chat: Chat, value: str) -> None:
    assert ada.said(chat, "Hello", client_message_id=value)["client_message_id"] == value
    assert ada.says(chat, "Hello", client_message_id=value).status == 200


@pytest.mark.parametrize("value", ["", "x" * 65, "😀" * 65, "a\0", 7, True, ["x"], {}])
def test_an_impossible_id_is_refused(
    ada: Person, chat: Chat, quiet: Callable[[], bool], value: Any
) -> None:
    answer = ada.says(chat, "Hello", client_message_id=value)

    assert "client_message_id" in refused(answer, 400, "invalid")
    assert quiet()


# Events have room for 10,240 bytes ------------------------------------------------------------


def compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("letter", ["😀", "é", '"', "\\", "\x01", "\u007f", "x", "名"])
def test_a_cut_event_keeps_what_fits(
    ada: Person, chat: Chat, settings: Settings, letter: str
) -> None:
    already = len(events(settings))

    message = ada.said(chat, letter * 5_000)

    new_message, new_chat = (event["data"] for event in events(settings)[already:])
    for data, carried, whole in (
        (new_message, new_message, message),
        (new_chat, new_chat["message"], new_chat | {"message": message}),
    ):
        if len(compact(whole)) <= 10_240:
            assert data == whole
        else:
            assert carried == message | {"message": carried["message"], "truncated": True}
            assert message["message"].startswith(carried["message"])
            one_more = len(compact(letter)) - len(compact(""))
            assert 10_240 - one_more < len(compact(data)) <= 10_240


def test_only_an_event_too_long_is_cut(ada: Person, chat: Chat, settings: Settings) -> None:
    already = len(events(settings))
    probe = ada.said(chat, "x" * 1_000)
    room = 10_240 - len(compact(probe)) + 1_000

    text = "名" * (room // 3 - 2)
    message = ada.said(chat, text)

    new_message, new_chat = (event["data"] for event in events(settings)[already + 2 :])
    assert new_message == message
    assert new_chat["message"]["truncated"] is True


def test_10240_bytes_fit_and_one_more_does_not() -> None:
    frame = len(compact({"id": 7, "message": ""}))
    text = "名" * ((10_240 - frame) // 3)
    text += "x" * (10_240 - frame - len(text.encode()))

    assert json.loads(fitted({"id": 7, "message": text})) == {"id": 7, "message": text}
    assert json.loads(fitted({"id": 7, "message": f"{text}x"}))["truncated"] is True


@given(text=st.text(max_size=5_000), name=st.text(max_size=64))
def test_the_events_of_any_text_fit(text: str, name: str) -> None:
    message: dict[str, Any] = {"id": 7, "message": text * 20, "client_message_id": name}

    data = fitted(message, lambda cut: {"channel": "x" * 400, "message": cut})

    assert len(data.encode()) <= 10_240
    assert message["message"].startswith(json.loads(data)["message"]["message"])
