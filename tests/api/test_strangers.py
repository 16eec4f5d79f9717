"""Nobody can tell other people's channels from those that do not exist."""

from collections.abc import Callable
from typing import Any

import pytest

from config import Settings
from tests.support.people import Answer, Person, refused, stored

Chat = dict[str, Any]

ATTEMPTS: dict[str, Callable[[Person, Any], Answer]] = {
    "the whole history": lambda eve, channel: eve.get(f"/api/get_message/{channel}"),
    "a page": lambda eve, channel: eve.get(f"/api/get_message/{channel}?limit=5"),
    "a page after": lambda eve, channel: eve.get(f"/api/get_message/{channel}?after=0"),
    "a page around": lambda eve, channel: eve.get(f"/api/get_message/{channel}?around=1"),
    "a malformed page": lambda eve, channel: eve.get(f"/api/get_message/{channel}?limit=0"),
    "another method": lambda eve, channel: eve.post(f"/api/get_message/{channel}", {}),
    "a message": lambda eve, channel: eve.says({"channel_name": channel}, "Hello"),
    "a message by channel_id": lambda eve, channel: eve.post(
        "/api/send_message", {"channel_id": channel, "message": "Hello"}
    ),
    "a message with an id": lambda eve, channel: eve.says(
        {"channel_name": channel}, "Hello", client_message_id="c1"
    ),
    "a message to somebody": lambda eve, channel: eve.says(
        {"channel_name": channel}, "Hello", to_user=1
    ),
    "a malformed message": lambda eve, channel: eve.says({"channel_name": channel}, ""),
    "a signature": lambda eve, channel: eve.signs(str(channel)),
    "a malformed signature": lambda eve, channel: eve.signs(str(channel), "nonsense"),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("by", ["name", "id"])
def test_a_stranger_cannot_tell_which_chats_exist(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings, attempt: str, by: str
) -> None:
    ada.said(chat, "Between you and me", client_message_id="c1")
    theirs = chat["channel_name"] if by == "name" else chat["channel_id"]
    nobodys = f"private-chat_{10**15}_{10**15 + 1}" if by == "name" else 10**15
    before = stored(settings)

    answers = [ATTEMPTS[attempt](eve, channel) for channel in (theirs, nobodys)]

    assert answers[0].status >= 400
    assert answers[0].timeless == answers[1].timeless
    assert stored(settings) == before


@pytest.mark.classic
def test_a_stranger_neither_reads_nor_writes_nor_listens(
    ada: Person, bob: Person, eve: Person, chat: Chat
) -> None:
    ada.said(chat, "Between you and me")

    refused(eve.reads(chat), 404, "not_found")
    refused(eve.reads({"channel_name": chat["channel_id"]}), 404, "not_found")
    refused(eve.says(chat, "Hello"), 404, "not_found")
    refused(eve.signs(chat["channel_name"]), 403, "forbidden")
    assert bob.reads(chat).json[0]["message"] == "Between you and me"


def test_a_stranger_with_own_chats_stays_one(
    ada: Person, bob: Person, eve: Person, chat: Chat
) -> None:
    with_ada = eve.asks(ada).json
    secret = bob.said(chat, "Between you and me")

    eve.said(with_ada, "Hello")

    assert [message["message"] for message in eve.reads(with_ada).json] == ["Hello"]
    assert secret not in eve.reads(with_ada, around=secret["id"]).json
    refused(eve.reads(chat), 404, "not_found")
