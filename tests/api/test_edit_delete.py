from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    block,
    changes,
    delete,
    edit,
    entry,
    found,
    holding,
    meanwhile,
    now,
    ok,
    postgresql_only,
    statements,
    to_both,
    wait_for_waiting,
)
from tests.support.people import Person, at_once, events, fill, looking_into, refused, stored

SECRET = "Zanzibar"
Change = Callable[..., Any]


def edited(person: Person, message: Message, **rest: Any) -> Any:
    return edit(person, message, "Come at one", **rest)


CHANGES = pytest.mark.parametrize("change", [edited, delete])


@pytest.fixture
def message(ada: Person, chat: Chat) -> Message:
    return ada.said(chat, f"Come to {SECRET} at noon", client_message_id="c1")


@pytest.fixture
def news(settings: Settings, message: Message) -> News:
    return News(settings)


def moment(value: str) -> datetime:
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


# Editing ----------------------------------------------------------------------------------------


def test_an_edit_answers_with_the_new_message(ada: Person, message: Message) -> None:
    answer = ok(edit(ada, message, "Come at one"))

    assert message["edited_at"] is None
    assert moment(message["created_at"]) < moment(answer["edited_at"]) <= datetime.now(UTC)
    assert answer == {**message, "message": "Come at one", "edited_at": answer["edited_at"]}


def test_an_edit_is_seen_everywhere(ada: Person, bob: Person, chat: Chat, message: Message) -> None:
    cursor = now(bob)

    answer = ok(edit(ada, message, "Come at one"))

    for person in (ada, bob):
        assert person.reads(chat).json == [answer]
        assert person.reads(chat, limit=1).json == [answer]
        assert entry(person, chat)["last_message"] == answer
        assert found(person, "one") == ["Come at one"]
        assert found(person, "noon") == []
        assert found(person, "come") == ["Come at one"]
    assert changes(bob, cursor)["messages"] == [answer]


def test_an_edit_is_told_to_both_people(
    ada: Person, chat: Chat, message: Message, news: News
) -> None:
    answer = ok(edit(ada, message, "Come at one"))

    assert news() == to_both(chat, "message_updated", answer)


def test_a_second_edit_has_a_later_time(ada: Person, message: Message) -> None:
    first = ok(edit(ada, message, "Come at one"))

    second = ok(edit(ada, message, "Come at two"))

    assert moment(second["edited_at"]) > moment(first["edited_at"])


def test_an_edit_that_changes_nothing_is_not_told(
    ada: Person, message: Message, settings: Settings
) -> None:
    before = stored(settings)

    assert ok(edit(ada, message, message["message"])) == message
    assert stored(settings) == before


@pytest.mark.parametrize("text", ["", " \n", "x" * 5_001, "a\0b", None, 7, True, ["x"]])
def test_an_edit_to_an_impossible_text_is_refused(
    ada: Person, message: Message, settings: Settings, text: Any
) -> None:
    before = stored(settings)

    assert "message" in refused(edit(ada, message, text), 400, "invalid")
    assert stored(settings) == before


@pytest.mark.parametrize(
    "text", ["x" * 5_000, "😀" * 5_000, "  a\r\n", "'; DROP TABLE --", "\u200b"]
)
def test_a_text_is_edited_in_exactly_as_sent(
    ada: Person, bob: Person, chat: Chat, message: Message, text: str
) -> None:
    assert ok(edit(ada, message, text))["message"] == text
    assert bob.reads(chat).json[0]["message"] == text


def test_the_event_of_a_long_edit_is_cut(ada: Person, message: Message, news: News) -> None:
    ok(edit(ada, message, "😀" * 5_000))

    for row in news.rows():
        assert row["data"]["truncated"] is True
        assert set(row["data"]["message"]) == {"😀"}
        assert 2_000 < len(row["data"]["message"]) < 2_560


def test_a_retry_answers_with_the_edited_message(
    ada: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    answer = ok(edit(ada, message, "Come at one"))
    before = stored(settings)

    for sent in (message["message"], "Come at one"):
        retry = ada.says(chat, sent, client_message_id="c1")
        assert (retry.status, retry.json) == (200, answer)
    assert stored(settings) == before


# Deleting ---------------------------------------------------------------------------------------


def test_a_deletion_leaves_the_place_without_the_text(
    ada: Person, bob: Person, chat: Chat, message: Message
) -> None:
    cursor = now(bob)

    answer = ok(delete(ada, message))

    assert message["deleted_at"] is None
    assert moment(message["created_at"]) < moment(answer["deleted_at"]) <= datetime.now(UTC)
    assert answer == {**message, "message": "", "deleted_at": answer["deleted_at"]}
    for person in (ada, bob):
        assert person.reads(chat).json == [answer]
        assert entry(person, chat)["last_message"] == answer
        assert found(person, "come") == []
    assert changes(bob, cursor)["messages"] == [answer]


def test_a_deletion_is_told_to_both_people(
    ada: Person, chat: Chat, message: Message, news: News
) -> None:
    answer = ok(delete(ada, message))

    assert news() == to_both(chat, "message_deleted", answer)


def test_a_second_deletion_tells_nobody(ada: Person, message: Message, settings: Settings) -> None:
    first = ok(delete(ada, message))
    before = stored(settings)

    assert ok(delete(ada, message)) == first
    assert stored(settings) == before


def test_a_deleted_message_cannot_be_edited(
    ada: Person, message: Message, settings: Settings
) -> None:
    ok(delete(ada, message))
    before = stored(settings)

    refused(edit(ada, message, "Come at one"), 409, "conflict")
    refused(edit(ada, message, ""), 400, "invalid")
    assert stored(settings) == before


def test_a_retry_does_not_undo_a_deletion(
    ada: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    answer = ok(delete(ada, message))
    before = stored(settings)

    retry = ada.says(chat, message["message"], client_message_id="c1")

    assert (retry.status, retry.json) == (200, answer)
    assert stored(settings) == before


def test_a_retry_in_another_channel_stays_a_conflict(
    ada: Person, eve: Person, chat: Chat, message: Message
) -> None:
    ok(delete(ada, message))

    refused(ada.says(ada.asks(eve).json, "Hello", client_message_id="c1"), 409, "conflict")


def test_erased_text_is_gone_from_the_whole_database(
    ada: Person, bob: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    long = ada.said(chat, f"{SECRET} " * 500)  # its events are cut
    ok(edit(ada, message, f"Do not come to {SECRET}"))
    with looking_into(settings) as connection:
        connection.execute(text("UPDATE events SET set_aside = 'refused' WHERE id % 2 = 0"))
        connection.commit()
    assert everything(settings).count(SECRET) > 500
    assert SECRET.lower() in everything(settings), "its words are indexed"

    ok(delete(ada, message))
    ok(delete(ada, long))

    assert SECRET.lower() not in everything(settings).lower()
    assert not any("truncated" in str(event["data"]) for event in events(settings))
    for answer in (
        *(bob.reads(chat), bob.get("/api/chats"), bob.get("/api/search", q=SECRET)),
        *(bob.get("/api/me/export"), ada.get("/api/me/export"), ada.reads(chat, limit=200)),
    ):
        assert answer.status == 200
        assert SECRET.encode() not in answer.body


def everything(settings: Settings) -> str:
    return str(stored(settings))


def test_a_deletion_leaves_other_messages_alone(
    ada: Person, bob: Person, chat: Chat, message: Message, news: News
) -> None:
    same = bob.said(chat, message["message"])
    told = news()

    ok(delete(ada, message))

    assert found(ada, SECRET) == [same["message"]]
    assert bob.reads(chat).json[1] == same
    assert told[0][2] == same


def test_waiting_events_keep_their_order_and_shape(
    ada: Person, chat: Chat, settings: Settings
) -> None:
    news = News(settings)
    message = ada.said(chat, SECRET)
    ok(edit(ada, message, f"{SECRET}!"))
    ok(delete(ada, message))

    told = news()

    names = [name for _, name, _ in told]
    assert names == ["new_message", "new_chat", *["message_updated"] * 3, *["message_deleted"] * 3]
    assert told[0][2] == {**message, "message": ""}
    assert told[1][2]["message"] == {**message, "message": ""}
    assert told[1][2]["channel_name"] == chat["channel_name"]
    assert {data["message"] for _, _, data in told[2:]} == {""}


# Whose message it is ----------------------------------------------------------------------------


@CHANGES
def test_the_receiver_may_not_change_a_message(
    bob: Person, message: Message, settings: Settings, change: Change
) -> None:
    before = stored(settings)

    refused(change(bob, message), 403, "forbidden")

    assert stored(settings) == before


@CHANGES
def test_an_outsider_cannot_find_the_message(
    ada: Person, eve: Person, message: Message, settings: Settings, change: Change
) -> None:
    before = stored(settings)
    missing = change(eve, {"id": message["id"] + 1_000})
    refused(missing, 404, "not_found")

    assert change(eve, message).timeless == missing.timeless
    assert change(ada, {"id": 0}).timeless == missing.timeless
    assert stored(settings) == before


@CHANGES
def test_a_malformed_message_id_is_no_path(ada: Person, message: Message, change: Change) -> None:
    for message_id in ("x", "-1", "1.0", "9" * 19, "９", "%00", "", "1/x"):
        refused(change(ada, {"id": message_id}), 404, "not_found")


@CHANGES
def test_the_changing_connection_hears_no_event(
    ada: Person, message: Message, news: News, change: Change
) -> None:
    ok(change(ada, message, headers={"X-Socket-ID": "12.34"}))

    assert [each["socket_id"] for each in news.rows()] == ["12.34"] * 3


@CHANGES
def test_a_malformed_connection_is_ignored(
    ada: Person, message: Message, news: News, change: Change
) -> None:
    ok(change(ada, message, headers={"X-Socket-ID": "12.34:x"}))
    ok(change(ada, message, headers={"X-Socket-ID": "x"}))

    assert {each["socket_id"] for each in news.rows()} == {None}


def test_a_blocked_author_may_delete_but_not_edit(
    ada: Person, bob: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    assert block(bob, ada).status == 204
    before = stored(settings)

    refused(edit(ada, message, "Come at one"), 403, "blocked")

    assert stored(settings) == before
    assert ok(delete(ada, message))["message"] == ""


# Races ------------------------------------------------------------------------------------------


def test_edits_beside_a_deletion_restore_no_text(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    for _ in range(2 * OFTEN):
        message = ada.said(chat, f"{SECRET} 0")

        def change(number: int, message: Message = message) -> int:
            if number == 3:
                return delete(ada, message).status
            return edit(ada, message, f"{SECRET} {number}").status

        statuses = at_once(8, change)

        assert statuses[3] == 200
        assert set(statuses) <= {200, 409}
        assert SECRET.lower() not in everything(settings).lower()


def test_a_message_deleted_twice_at_once_is_told_once(
    ada: Person, message: Message, news: News
) -> None:
    answers = at_once(4, lambda _: ok(delete(ada, message)))

    assert answers == [answers[0]] * 4
    assert len(news()) == 3


@postgresql_only
def test_an_edit_that_waits_for_a_block_is_refused(
    ada: Person, bob: Person, chat: Chat, message: Message, settings: Settings
) -> None:
    lock = "SELECT id FROM channels FOR UPDATE"
    with (
        holding(settings, lock) as let_go,
        meanwhile(lambda: edit(ada, message, "Come at one")) as editing,
    ):
        wait_for_waiting(settings)
        assert block(bob, ada).status == 204
        let_go()

        refused(editing.result(), 403, "blocked")


# Costs ------------------------------------------------------------------------------------------


def test_a_long_history_takes_no_more_statements(
    app: Flask, ada: Person, chat: Chat, settings: Settings, message: Message
) -> None:
    ok(edit(ada, message, "Come at noon, please"))  # has what waits for it indexed, too
    with statements(app) as in_a_short_one:
        ok(edit(ada, message, "Come at one"))
    fill(settings, ada, chat, 200)

    with statements(app) as in_a_long_one:
        ok(edit(ada, message, "Come at two"))

    assert len(in_a_short_one) == len(in_a_long_one)
