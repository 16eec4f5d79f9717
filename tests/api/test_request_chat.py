from typing import Any

import pytest

from config import Settings
from tests.support.people import Person, events, refused, stored


@pytest.mark.classic
def test_a_new_chat_names_its_channels(ada: Person, bob: Person) -> None:
    answer = ada.asks(bob)

    assert answer.status == 201
    channel_id = answer.json["channel_id"]
    assert type(channel_id) is int
    assert answer.json == {
        "from_user": ada.id,
        "to_user": bob.id,
        "channel_id": channel_id,
        "channel_name": f"private-chat_{ada.id}_{bob.id}",
        "from_user_notification_channel": f"private-notification_user_{ada.id}",
        "to_user_notification_channel": f"private-notification_user_{bob.id}",
    }


def test_a_pair_has_one_chat(
    ada: Person, bob: Person, chat: dict[str, Any], settings: Settings
) -> None:
    again, the_other_way = ada.asks(bob), bob.asks(ada)

    assert (again.status, again.json) == (200, chat)
    assert the_other_way.status == 200
    assert the_other_way.json == {
        "from_user": bob.id,
        "to_user": ada.id,
        "channel_id": chat["channel_id"],
        "channel_name": chat["channel_name"],
        "from_user_notification_channel": chat["to_user_notification_channel"],
        "to_user_notification_channel": chat["from_user_notification_channel"],
    }
    assert len(stored(settings, "channels")["channels"]) == 1


@pytest.mark.classic
def test_the_lower_id_always_comes_first(ada: Person, bob: Person) -> None:
    assert bob.asks(ada).json["channel_name"] == f"private-chat_{ada.id}_{bob.id}"


def test_each_call_tells_the_other_one(ada: Person, bob: Person, settings: Settings) -> None:
    answers = [ada.asks(bob), ada.asks(bob), bob.asks(ada)]

    told = [(event["channel"], event["name"], event["data"]) for event in events(settings)]
    assert told == [
        (answer.json["to_user_notification_channel"], "new_chat", answer.json) for answer in answers
    ]


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ("123.456", "123.456"),
        ("1.1:private-x", None),
        ("1.1\u00b2", None),
        ("", None),
        ("abc", None),
        ("1", None),
        ("1.", None),
        ("１.１", None),
        ("1" * 99 + ".1", None),
    ],
)
def test_the_askers_connection_is_left_out(
    ada: Person, bob: Person, settings: Settings, given: str, left_out: str | None
) -> None:
    header = given.encode().decode("latin-1")

    answer = ada.asks(bob, headers={"X-Socket-ID": header})

    assert answer.status == 201
    assert [event["socket_id"] for event in events(settings)] == [left_out]


@pytest.mark.classic
@pytest.mark.parametrize("spelling", [int, str, "{:05}".format])
def test_ids_are_numbers_or_their_digits(ada: Person, bob: Person, spelling: Any) -> None:
    body = {"from_user": spelling(ada.id), "to_user": spelling(bob.id)}

    answer = ada.post("/api/request_chat", body)

    assert answer.status == 201
    assert (answer.json["from_user"], answer.json["to_user"]) == (ada.id, bob.id)


@pytest.mark.classic
def test_from_user_may_be_null(ada: Person, bob: Person) -> None:
    body = {"from_user": None, "to_user": bob.id, "type": "text"}

    assert ada.post("/api/request_chat", body).json["from_user"] == ada.id


def test_nobody_asks_in_the_name_of_another(
    ada: Person, bob: Person, eve: Person, settings: Settings
) -> None:
    before = stored(settings)

    answer = eve.post("/api/request_chat", {"from_user": ada.id, "to_user": bob.id})

    refused(answer, 403, "forbidden")
    assert stored(settings) == before


def test_nobody_can_chat_with_themselves(ada: Person, settings: Settings) -> None:
    answer = ada.asks(ada)

    assert "to_user" in refused(answer, 400, "invalid")
    assert not stored(settings, "channels")["channels"]


@pytest.mark.parametrize("to_user", [0, 10**15, str(10**15), 2**63 - 1])
def test_nobody_can_chat_with_a_missing_user(ada: Person, settings: Settings, to_user: Any) -> None:
    answer = ada.post("/api/request_chat", {"to_user": to_user})

    refused(answer, 404, "not_found")
    assert not stored(settings, "channels", "events")["channels"]


@pytest.mark.parametrize("member", ["to_user", "from_user"])
@pytest.mark.parametrize(
    "value",
    [
        *(True, False, 1.5, -1, 2**63, 10**400, [1], {"id": 1}),
        *("", "abc", "1.5", "-1", "+1", " 1", "1 ", "1_0", "１", "٣", "1e3", "0x1", "\0"),
        *("9223372036854775808", "9" * 5_000),
    ],
)
def test_a_malformed_id_is_refused(
    ada: Person, bob: Person, settings: Settings, member: str, value: Any
) -> None:
    answer = ada.post("/api/request_chat", {"to_user": bob.id, member: value})

    assert member in refused(answer, 400, "invalid")
    assert not stored(settings, "channels")["channels"]


@pytest.mark.classic
@pytest.mark.parametrize("body", [{}, {"to_user": None}, {"touser": 1}])
def test_the_other_person_must_be_named(ada: Person, body: Any) -> None:
    assert "to_user" in refused(ada.post("/api/request_chat", body), 400, "invalid")
