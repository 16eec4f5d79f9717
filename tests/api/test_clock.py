"""The server's clock has stepped back: everything there is has times that are still to come."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from config import Settings
from database import utcnow, writing_on
from tests.support.conversations import Chat, Message, changes, delete, edit, entry, inbox, now, ok
from tests.support.people import Person, looking_into


@pytest.fixture
def later() -> datetime:
    """What the clock showed before it stepped back."""
    return utcnow() + timedelta(hours=1)


@pytest.fixture
def message(ada: Person, chat: Chat, settings: Settings, later: datetime) -> Message:
    """A message that was sent, and edited, before the clock stepped back."""
    message = ada.said(chat, "Hello")
    with looking_into(settings) as connection, writing_on(connection):
        connection.execute(
            text("UPDATE messages SET created_at = :at, edited_at = :at"), {"at": str(later)}
        )
        connection.execute(text("UPDATE channels SET active_at = :at"), {"at": str(later)})
    return message


def shown(time: datetime) -> str:
    return f"{time.isoformat(timespec='microseconds')}Z"


def test_an_edit_is_after_the_one_before(ada: Person, message: Message, later: datetime) -> None:
    first = ok(edit(ada, message, "one"))["edited_at"]
    second = ok(edit(ada, message, "two"))["edited_at"]

    assert shown(later) < first < second


def test_a_deletion_is_after_the_last_edit(
    ada: Person, bob: Person, chat: Chat, message: Message, later: datetime
) -> None:
    since = now(bob)
    deleted = ok(delete(ada, message))

    assert deleted["deleted_at"] > deleted["edited_at"] == shown(later)
    assert changes(bob, since)["messages"] == [deleted]


def test_activity_and_history_never_go_back(
    ada: Person, bob: Person, eve: Person, chat: Chat, message: Message, later: datetime
) -> None:
    eve.asks(ada)

    said = [ada.said(chat, "one"), bob.said(chat, "two")]

    assert [each["created_at"] >= shown(later) for each in said] == [True, True]
    times = [each["created_at"] for each in bob.reads(chat).json]
    assert times == sorted(times)
    assert entry(ada, chat)["last_message"] == said[1]
    assert inbox(ada)[0]["channel_id"] == chat["channel_id"]
