from typing import Any

import pytest

from config import Settings
from tests.support.people import Person, fill, refused

Chat = dict[str, Any]
Said = list[dict[str, Any]]


@pytest.fixture
def talk(ada: Person, bob: Person, eve: Person, chat: Chat) -> Said:
    """Nine messages, with those of another chat between them."""
    other = ada.asks(eve).json
    said = []
    for number in range(9):
        said.append((ada if number % 2 else bob).said(chat, f"number {number}"))
        eve.said(other, "Something else")
    return said


@pytest.fixture
def long_talk(settings: Settings, ada: Person, chat: Chat) -> int:
    """The number of messages in a chat, more than a page of the stream holds."""
    fill(settings, ada, chat, 1_111)
    return 1_111


def walked(person: Person, path: str, relation: str) -> Said:
    """The messages of all pages in that direction, oldest first."""
    found: Said = []
    next_path: str | None = path
    while next_path:
        page = person.get(next_path)
        assert page.status == 200, page
        found = page.json + found if relation == "prev" else found + page.json
        next_path = page.links.get(relation, "").removeprefix("http://localhost")
    return found


def numbers(messages: Said) -> list[int]:
    return [int(message["message"].split()[1]) for message in messages]


@pytest.mark.classic
def test_both_read_the_whole_talk_oldest_first(
    ada: Person, bob: Person, chat: Chat, talk: Said
) -> None:
    by_name, by_id = ada.reads(chat), bob.reads({"channel_name": chat["channel_id"]})

    assert by_name.json == by_id.json == talk
    assert "link" not in by_name.headers


def test_a_chat_begins_empty(ada: Person, chat: Chat) -> None:
    places = [{"after": 0}, {"before": 9}, {"before": 0}, {"around": 1}, {"around": 0}]
    for query in ({}, {"limit": 5}, *places):
        answer = ada.reads(chat, **query)
        assert (answer.status, answer.json) == (200, [])
        assert "link" not in answer.headers


@pytest.mark.classic
def test_a_limit_alone_gives_the_newest(ada: Person, chat: Chat, talk: Said) -> None:
    page = ada.reads(chat, limit=2)

    assert page.json == talk[-2:]
    assert set(page.links) == {"prev"}


@pytest.mark.parametrize(
    ("query", "found", "links"),
    [
        ({"before": 0}, [], {"next"}),
        ({"before": 3}, [0, 1, 2], {"next"}),
        ({"before": 3, "limit": 2}, [1, 2], {"prev", "next"}),
        ({"before": 8, "limit": 8}, [0, 1, 2, 3, 4, 5, 6, 7], {"next"}),
        ({"after": 8}, [], {"prev"}),
        ({"after": 5}, [6, 7, 8], {"prev"}),
        ({"after": 5, "limit": 2}, [6, 7], {"prev", "next"}),
        ({"around": 4, "limit": 4}, [2, 3, 4, 5], {"prev", "next"}),
        ({"around": 4, "limit": 3}, [3, 4, 5], {"prev", "next"}),
        ({"around": 4, "limit": 1}, [4], {"prev", "next"}),
        ({"around": 4}, list(range(9)), set()),
        ({"around": 0, "limit": 4}, [0, 1], {"next"}),
        ({"around": 8, "limit": 4}, [6, 7, 8], {"prev"}),
    ],
)
def test_a_page_links_to_both_its_sides(
    ada: Person, chat: Chat, talk: Said, query: dict[str, int], found: list[int], links: set[str]
) -> None:
    asked = {k: v if k == "limit" else talk[v]["id"] for k, v in query.items()}

    page = ada.reads(chat, **asked)

    assert numbers(page.json) == found
    assert set(page.links) == links


@pytest.mark.classic
def test_the_lowest_and_highest_ids_are_allowed(ada: Person, chat: Chat, talk: Said) -> None:
    assert ada.reads(chat, after=0, limit=3).json == talk[:3]
    assert ada.reads(chat, before=2**63 - 1, limit=3).json == talk[-3:]
    assert ada.reads(chat, after=2**63 - 1).json == []


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 10])
def test_the_links_lead_to_both_ends(ada: Person, chat: Chat, talk: Said, limit: int) -> None:
    path = f"/api/get_message/{chat['channel_name']}"
    middle = talk[4]["id"]

    assert walked(ada, f"{path}?limit={limit}", "prev") == talk
    assert walked(ada, f"{path}?after=0&limit={limit}", "next") == talk
    back = walked(ada, f"{path}?around={middle}&limit={limit}", "prev")
    onward = walked(ada, f"{path}?around={middle}&limit={limit}", "next")
    assert back == talk[: len(back)]
    assert onward == talk[-len(onward) :]
    assert {m["id"] for m in back + onward} == {m["id"] for m in talk}


@pytest.mark.classic
def test_a_link_leads_back_from_where_it_led(ada: Person, chat: Chat, talk: Said) -> None:
    newest = ada.reads(chat, limit=3)
    before = ada.get(newest.links["prev"].removeprefix("http://localhost"))

    again = ada.get(before.links["next"].removeprefix("http://localhost"))

    assert again.json == newest.json


def test_a_page_without_limit_has_50_messages(ada: Person, chat: Chat, long_talk: int) -> None:
    assert numbers(ada.reads(chat, after=0).json) == list(range(50))
    assert len(ada.reads(chat, before=2**62).json) == 50
    assert len(ada.reads(chat, limit=200).json) == 200


def test_a_long_talk_is_streamed_as_it_is_paged(ada: Person, chat: Chat, long_talk: int) -> None:
    path = f"/api/get_message/{chat['channel_name']}"

    whole = ada.get(path).json

    assert numbers(whole) == list(range(long_talk))
    assert walked(ada, f"{path}?limit=200", "prev") == whole
    assert walked(ada, f"{path}?after=0&limit=199", "next") == whole


@pytest.mark.parametrize("count", [499, 500, 501, 1_000])
def test_a_stream_ends_well_wherever_its_pages_end(
    ada: Person, chat: Chat, settings: Settings, count: int
) -> None:
    fill(settings, ada, chat, count)

    assert numbers(ada.reads(chat).json) == list(range(count))


@pytest.mark.parametrize(
    ("query", "word"),
    [
        *((f"limit={limit}", "limit") for limit in ("0", "201", "-1", "", "1.5", "all", "1e2")),
        *((f"limit={limit}", "limit") for limit in ("%EF%BC%91", "1_0", "%2B5", "%205", "true")),
        *((f"before={value}", "before") for value in ("", "abc", "-1", "9223372036854775808")),
        *((f"after={value}", "after") for value in ("", "abc", "-1", "1.0", "0x1", "null")),
        *((f"around={value}", "around") for value in ("", "%00", "9" * 5_000, "%D9%A3")),
        *(("before=1&after=1", "before"), ("after=0&around=1", "around")),
        *(("before=9&around=1&limit=5", "around"), ("before=9&after=1&around=5", "after")),
    ],
)
def test_an_impossible_query_is_refused(ada: Person, chat: Chat, query: str, word: str) -> None:
    answer = ada.get(f"/api/get_message/{chat['channel_name']}?{query}")

    assert word in refused(answer, 400, "invalid")


@pytest.mark.classic
@pytest.mark.parametrize("limit", [1, 200])
def test_the_bounds_of_a_limit_are_allowed(ada: Person, chat: Chat, limit: int) -> None:
    assert ada.reads(chat, limit=limit).status == 200


@pytest.mark.classic
@pytest.mark.parametrize(
    "name",
    [
        *("private-chat_{high}_{low}", "private-chat_0{low}_{high}", "private-chat_{low}"),
        *(
            "PRIVATE-chat_{low}_{high}",
            "private-chat_{low}_{high}0",
            "private-chat_{low}_{high}%20",
        ),
        *("%EF%BC%91", "-1", "+1", "1.0", "1_0", "0", "9" * 19, "9" * 40, "9" * 5_000),
        *("%00", "%FF", "x%0A", "%F0%9F%98%80", "..%2f..%2fusers", "%ED%A0%80", "'", "%25"),
    ],
)
def test_a_missing_channel_is_not_found(ada: Person, bob: Person, chat: Chat, name: str) -> None:
    path = f"/api/get_message/{name.format(low=ada.id, high=bob.id)}"

    refused(ada.get(path), 404, "not_found")
