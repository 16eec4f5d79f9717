"""Long lists and large counts."""

import pytest

from config import Settings
from tests.support.conversations import Chat, entry, mark
from tests.support.people import Person, fill


@pytest.mark.abuse
def test_unread_messages_are_counted_to_1000(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    fill(settings, bob, chat, 1_500)
    messages = ada.reads(chat).json

    assert entry(ada, chat)["unread"] == 1_000
    assert mark(ada, chat, messages[499]).json["unread"] == 1_000
    assert mark(ada, chat, messages[500]).json["unread"] == entry(ada, chat)["unread"] == 999
