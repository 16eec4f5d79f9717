import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from chat.words import LONGEST, sought, words
from config import Settings
from models import Channel, Word
from tests.support.conversations import OFTEN, Chat, delete, edit, found, ok, plans, statements
from tests.support.people import Person, at_once, looking_into, refused, runtime_of, stored
from tests.support.servers import IN_CI
from web.ratelimits import RateLimits

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
TEXTS = {
    "plain": "The quick brown fox is at Dr. O'Neill's, 12-24 Fox Street",
    "wide": "ｆｕｌｌ ｗｉｄｔｈ ＡＢＣ１２３",
    "half": "ｶﾞﾗｽ",
    "german": "Die Straße nach GROSSGLOCKNER",
    "turkish": "İstanbul'da IŞIK, ılık",
    "accents": "Un cafe\u0301 à la Über-Gare",
    "greek": "ΟΔΥΣΣΕΥΣ",
    "russian": "Съешь ещё этих мягких французских булок",
    "hebrew": "שלום עולם",
    "arabic": "السلام عليكم",
    "hindi": "नमस्ते दुनिया",
    "japanese": "東京都に住んでいます",
    "chinese": "我爱北京天安门。",
    "rare han": "𠮷野家",
    "variant": "葛\U000e0100飾",
    "korean": "안녕하세요 세계",
    "thai": "สวัสดีชาวโลก",
    "javanese": "ꦲꦏ꧀ꦱꦫꦗꦮ",
    "mixed": "iPhoneを買った2台",
    "ligature": "ﬁnd the ﬂag №5 ²",
    "operators": "this AND that OR NOT NEAR those",
    "signs": '100% of "a_b" \\ c* <d> (e) f:g ^h {i} +j -k ~l',
    "emoji": "👩🏽‍👩‍👧 ❤️ 👍🏽 🇹🇷 #️⃣",
    "long": f"a {LONG} z",
    "soft hyphen": "Silben\u00adtrennung, zero\u200bwidth, no\u2060break",
    "mark": "x\u0323yz",
    "letter": "q",
    "digits": "٣٤ ५६",
    "huge": " ".join(f"word{number}" for number in range(600))[:5_000],
}
FOUND: list[tuple[str, list[str]]] = [
    *(("quick", ["plain"]), ("QUICK", ["plain"]), ("qui", ["plain"]), ("uick", [])),
    *(("quick fox", ["plain"]), ("fox quick", ["plain"]), ("quick cat", []), ("fo fox", ["plain"])),
    *(("neill", ["plain"]), ("O'Neill", ["plain"]), ("o’neill", ["plain"]), ("dr.", ["plain"])),
    *(("12", ["plain"]), ("12-24", ["plain"]), ("24", ["plain"]), ("1224", [])),
    *(
        ("is", ["plain"]),
        ("at", ["plain"]),
        ("st", ["plain", "german"]),
        ("fu", ["wide"]),
        ("de", []),
    ),
    *(("full", ["wide"]), ("ＦＵＬＬ", ["wide"]), ("abc123", ["wide"]), ("ａbｃ", ["wide"])),
    *(("ガラス", ["half"]), ("ｶﾞﾗ", ["half"]), ("ガ", ["half"]), ("カ", [])),
    *(("strasse", ["german"]), ("STRASSE", ["german"]), ("straße", ["german"])),
    *(("STRAẞE", ["german"]), ("straß", ["german"]), ("großglockner", ["german"])),
    *(
        ("İSTANBUL", ["turkish"]),
        ("i̇stanbul", ["turkish"]),
        ("ISTANBUL", []),
        ("i", ["plain", "turkish", "mixed", "signs"]),
    ),
    *(
        ("ışık", []),
        ("işik", ["turkish"]),
        ("IŞIK", ["turkish"]),
        ("ILIK", []),
        ("ılı", ["turkish"]),
    ),
    *(("café", ["accents"]), ("CAFE\u0301", ["accents"]), ("cafe", []), ("caf", ["accents"])),
    *(("über", ["accents"]), ("u\u0308ber", ["accents"]), ("gare", ["accents"]), ("uber", [])),
    *(("οδυσσευς", ["greek"]), ("οδυσσευσ", ["greek"]), ("ОДУ", []), ("οδ", ["greek"])),
    *(("ЕЩЁ", ["russian"]), ("булок съешь", ["russian"]), ("еще", [])),
    *(("שלום", ["hebrew"]), ("שלו עול", ["hebrew"]), ("السلام", ["arabic"]), ("سلام", [])),
    *(("नमस्ते", ["hindi"]), ("नम", ["hindi"]), ("दुनिया नमस्ते", ["hindi"])),
    *(("東京", ["japanese"]), ("京都", ["japanese"]), ("東", ["japanese"]), ("都", ["japanese"])),
    *(
        ("す", ["japanese"]),
        ("東都", []),
        ("住んでいます", ["japanese"]),
        ("東京 住ん", ["japanese"]),
    ),
    *(
        ("北京", ["chinese"]),
        ("天安门", ["chinese"]),
        ("门", ["chinese"]),
        ("京北", []),
        ("。", []),
    ),
    *(("京", ["japanese", "chinese"]), ("京 天", ["chinese"])),
    *(("𠮷野", ["rare han"]), ("𠮷", ["rare han"]), ("吉野", []), ("葛飾", ["variant"])),
    *(("葛\U000e0101飾", ["variant"]), ("飾", ["variant"])),
    *(("안녕", ["korean"]), ("하세요", []), ("세계", ["korean"]), ("안", ["korean"])),
    *(("สวัส", ["thai"]), ("ชาวโลก", ["thai"]), ("โล", ["thai"]), ("ก", ["thai"]), ("ลโ", [])),
    *(("ꦲꦏ꧀", ["javanese"]), ("ꦫꦗ", ["javanese"]), ("ꦗꦮ", ["javanese"]), ("ꦮꦗ", [])),
    *(("iphone", ["mixed"]), ("iphoneを", ["mixed"]), ("買った", ["mixed"]), ("2台", ["mixed"])),
    *(
        ("find", ["ligature"]),
        ("flag", ["ligature"]),
        ("no5", ["ligature"]),
        ("２", ["plain", "mixed", "ligature"]),
    ),
    *(
        ("AND", ["operators"]),
        ("NOT", ["operators"]),
        ("this AND quick", []),
        ("nea", ["operators"]),
    ),
    *(("that OR quick", []), ('"this that"', ["operators"]), ("NEAR(this those)", ["operators"])),
    *(
        ("100%", ["signs"]),
        ("a_b", ["plain", "signs"]),
        ("c*", ["accents", "signs"]),
        ("(e)", ["signs"]),
        ("f:g", ["signs"]),
    ),
    *(("^h", ["signs"]), ("-k", ["signs"]), ("\\", []), ("%", []), ("_", []), ("'", []), ('"', [])),
    *(("*", []), ("AND*", ["operators"]), ("-quick", ["plain"]), ("that*", ["operators"])),
    *(
        ("' OR 1=1 --", []),
        ("1000", []),
        ("100 c", ["signs"]),
        ("", []),
        (" \t\n", []),
        ("\u0301", []),
    ),
    *(("❤️", []), ("👍🏽", []), ("👩🏽‍👩‍👧", []), ("🇹🇷", []), ("#️⃣", []), ("❤️ quick", ["plain"])),
    *((LONG, ["long"]), (LONG[:LONGEST], ["long"]), (LONG + "er", ["long"]), (LONG[:20], ["long"])),
    *(
        (LONG[:30] + "x", []),
        ("silbentrennung", ["soft hyphen"]),
        ("tren", []),
        ("q", ["plain", "letter"]),
    ),
    *(("silben\u00adtr", ["soft hyphen"]), ("zero", ["soft hyphen"]), ("nobr", ["soft hyphen"])),
    *(("width", ["wide", "soft hyphen"]), ("x\u0323", ["mark"]), ("x", ["mark"]), ("ẋ", [])),
    *(("٣٤", ["digits"]), ("34", []), ("word599", ["huge"]), ("word1 word2 word3", ["huge"])),
    *(("\ufdfa", []), ("\U0010ffff", []), ("\ue000", []), ("a" * 200, []), ("x " * 100, ["mark"])),
    *(("東" * 200, []), ("".join(map(chr, range(0x4E00, 0x4E00 + 200))), [])),
    *(("".join(map(chr, range(0x3300, 0x3358))) * 2, []), ("\ufdfa" * 200, [])),
]


@pytest.fixture(params=["indexed", "waiting"])
def indexing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """New messages are found alike, whether their words are in the index yet or still wait."""
    most = {"indexed": 0, "waiting": 1_000_000}[request.param]
    monkeypatch.setattr("chat.index.UNINDEXED", most)


@pytest.fixture
def texts(ada: Person, bob: Person, chat: Chat) -> dict[str, str]:
    """What was said in the chat, oldest first, by what to call it."""
    return {name: ada.said(chat, text)["message"] for name, text in TEXTS.items()}


@pytest.fixture
def step(backend: str) -> int:
    """PostgreSQL takes five times as long, so without CI it gets each third search only."""
    return 1 if IN_CI or backend == "sqlite" else 3


@pytest.mark.usefixtures("indexing")
def test_the_same_is_found_on_both_databases(
    ada: Person, bob: Person, chat: Chat, texts: dict[str, str], step: int
) -> None:
    names = {text: name for name, text in texts.items()}
    tried = FOUND[::step]

    answers = {q: [names[text] for text in found(bob, q)][::-1] for q, _ in tried}

    assert answers == dict(tried)


@pytest.mark.usefixtures("indexing")
def test_every_word_of_a_text_finds_it(bob: Person, texts: dict[str, str], step: int) -> None:
    for text in list(texts.values())[::step]:
        for word in text[:30].split():
            if sought(word):
                assert text in found(bob, word[:200])


@pytest.mark.usefixtures("indexing")
def test_messages_are_found_newest_first_as_they_stand(
    ada: Person, bob: Person, chat: Chat
) -> None:
    said = [ada.said(chat, "Hello one"), bob.said(chat, "hello two"), ada.said(chat, "HELLO")]

    answer = ada.get("/api/search", q="hello")

    assert answer.status == 200
    assert answer.json == said[::-1]


@pytest.mark.usefixtures("indexing")
def test_limit_and_before_turn_the_pages(ada: Person, chat: Chat) -> None:
    said = [ada.said(chat, f"Hello {number}") for number in range(5)]
    newest, oldest = said[4]["id"], said[0]["id"]

    def ids(**query: Any) -> list[int]:
        return [message["id"] for message in ada.get("/api/search", q="hello", **query).json]

    assert ids() == ids(limit=200) == ids(before=2**63 - 1) == [each["id"] for each in said[::-1]]
    assert ids(limit=2) == [newest, said[3]["id"]]
    assert ids(limit=2, before=said[3]["id"]) == [said[2]["id"], said[1]["id"]]
    assert ids(before=newest) == [each["id"] for each in said[3::-1]]
    assert ids(before=oldest) == ids(before=0) == []


@pytest.mark.usefixtures("indexing")
def test_links_lead_through_what_was_found(ada: Person, chat: Chat) -> None:
    said = [ada.said(chat, f"Hello {number}") for number in range(4)]

    first = ada.get("/api/search", q="hello", limit=2)
    second = ada.get(first.links["next"].removeprefix("http://localhost"))

    assert first.json + second.json == said[::-1]
    assert "next" not in second.links


def test_50_messages_are_found_unless_more_are_asked(ada: Person, chat: Chat) -> None:
    for number in range(51):
        ada.said(chat, f"Hello {number}")

    assert len(found(ada, "hello")) == 50
    assert len(found(ada, "hello", limit=200)) == 51


@pytest.mark.usefixtures("indexing")
def test_only_the_callers_chats_are_searched(
    ada: Person, bob: Person, eve: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello, Bob")
    ada.said(ada.asks(eve).json, "Hello, Eve")

    assert found(ada, "hello") == ["Hello, Eve", "Hello, Bob"]
    assert found(bob, "hello") == ["Hello, Bob"]
    assert found(eve, "hello") == ["Hello, Eve"]


@pytest.mark.usefixtures("indexing")
def test_a_channel_narrows_the_search(ada: Person, bob: Person, eve: Person, chat: Chat) -> None:
    with_eve = ada.asks(eve).json
    ada.said(chat, "Hello, Bob")
    ada.said(with_eve, "Hello, Eve")

    for name in (chat["channel_name"], chat["channel_id"]):
        assert found(ada, "hello", channel=name) == ["Hello, Bob"]
    assert found(ada, "eve", channel=chat["channel_id"]) == []
    assert found(ada, "", channel=chat["channel_id"]) == []


def test_a_channel_of_others_looks_missing(ada: Person, eve: Person, chat: Chat) -> None:
    ada.said(chat, "Hello")
    missing = eve.get("/api/search", q="hello", channel="private-chat_1_99999999")
    refused(missing, 404, "not_found")

    for name in (chat["channel_name"], chat["channel_id"]):
        assert eve.get("/api/search", q="hello", channel=name).timeless == missing.timeless


@pytest.mark.usefixtures("indexing")
def test_edits_and_deletions_change_the_index_too(ada: Person, bob: Person, chat: Chat) -> None:
    message = ada.said(chat, "red green 東京")
    other = ada.said(chat, "red 東京")

    ok(edit(ada, message, "green blue 京都"))

    assert found(bob, "red") == found(bob, "東京") == ["red 東京"]
    assert found(bob, "green") == found(bob, "blue") == found(bob, "京都") == ["green blue 京都"]
    assert found(bob, "京") == ["red 東京", "green blue 京都"]

    ok(delete(ada, message))

    assert found(bob, "green") == found(bob, "blue") == found(bob, "京都") == []
    assert found(bob, "red") == [other["message"]]


@pytest.mark.usefixtures("indexing")
def test_the_index_holds_exactly_the_words_of_texts(
    app: Flask, ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    """Also when texts change at once, and change back."""
    runtime_of(app).rate_limits = RateLimits(replace(settings, ratelimit_messages=""))
    texts = ["red green", "green blue", "blue red 東京", "東京都", "red", "x" * 5_000]
    messages = [ada.said(chat, text) for text in texts[:2]]

    def change(number: int) -> None:
        message = messages[number % 2]
        for _ in range(OFTEN):
            for text in texts[number % 3 :]:
                ok(edit(ada, message, text))

    at_once(6, change)

    standing = [
        (m["channel_id"], w, m["id"]) for m in bob.reads(chat).json for w in words(m["message"])
    ]
    assert sorted(stored(settings, "words")["words"]) == sorted(standing)


def test_words_indexed_by_an_older_version_do_no_harm(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    """It may still run when init_db() has been called, and indexes each message at once."""
    theirs = [ada.said(chat, f"red number{number}") for number in range(3)]
    with looking_into(settings) as connection:
        rows = [
            {"channel_id": m["channel_id"], "word": word, "message_id": m["id"]}
            for m in theirs
            for word in words(m["message"])
        ]
        connection.execute(insert(Word), rows)
        connection.commit()

    ok(delete(ada, theirs[0]))
    ok(edit(ada, theirs[1], "green"))
    ada.said(chat, "x" * 5_000)
    ada.said(chat, "blue")

    assert found(bob, "red") == found(bob, "number2") == ["red number2"]
    assert found(bob, "number1") == []
    assert found(bob, "green") == ["green"]
    standing = [
        (m["channel_id"], w, m["id"]) for m in bob.reads(chat).json for w in words(m["message"])
    ]
    indexed = [row for row in standing if row[1] != "blue"]
    assert sorted(stored(settings, "words")["words"]) == sorted(indexed)


def test_words_indexed_in_batches_are_all_found(
    ada: Person, bob: Person, chat: Chat, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.index.UNINDEXED", 90)

    def talk(number: int) -> None:
        for turn in range(10):
            (ada, bob)[number % 2].said(chat, f"all of word{number}x{turn}")

    at_once(8, talk)

    assert len(found(bob, "all", limit=200)) == 80
    assert found(ada, "word3x7") == ["all of word3x7"]
    assert len(found(ada, "all word3")) == 10
    rows = stored(settings, "words")
    with looking_into(settings) as connection:
        channel = connection.execute(select(Channel.indexed_id, Channel.unindexed)).one()
    messages = bob.reads(chat).json
    waiting = [m["message"] for m in messages if m["id"] > channel.indexed_id]
    assert 0 < len(waiting) < 20
    assert channel.unindexed == len("".join(waiting)) < 90
    indexed = [
        (m["channel_id"], w, m["id"])
        for m in messages
        for w in words(m["message"])
        if m["id"] <= channel.indexed_id
    ]
    assert sorted(rows["words"]) == sorted(indexed)


def test_pages_lead_from_waiting_to_indexed_messages(
    ada: Person, bob: Person, eve: Person, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ada.asks(eve).json
    said = []
    for number in range(12):
        monkeypatch.setattr("chat.index.UNINDEXED", 0 if number == 5 else 1_000)
        where = other if number % 3 == 0 else chat
        said.append(ada.said(where, f"hello {number}"))

    newest = said[::-1]
    assert ada.get("/api/search", q="hello").json == newest
    for first in range(0, 12, 5):
        query = {"before": newest[first - 1]["id"]} if first else {}
        page = ada.get("/api/search", q="hello", limit=5, **query)
        assert page.json == newest[first : first + 5]


IMPOSSIBLE = [
    *(("q=%00", "q"), ("q=a%00b", "q"), ("", "q"), ("q=" + "x" * 201, "q")),
    *((f"q=x&limit={limit}", "limit") for limit in ("0", "201", "x", "")),
    *((f"q=x&before={before}", "before") for before in ("-1", "x", "", "9223372036854775808")),
    ("q=x&channel=%00", "channel"),
    *((f"q={text}", "UTF-8") for text in ("%FF", "caf%E9", "%C3", "%ED%A0%80")),
]


def test_many_words_take_no_more_statements(app: Flask, ada: Person, chat: Chat) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 199)))
    told = ada.said(chat, text)
    other = ada.said(chat, text[:150] + "一" + text[151:])

    for length in (3, 40, 64, 65, 66, 100, 128, 129, 130, 199):
        with statements(app) as made:
            assert told["message"] in found(ada, text[:length])

        # The caller, whether they have many chats, how many are indexed, which they are, and the
        # messages.
        assert len(made) == 5
        assert max(each.count("words.word >=") for each in made) <= 3

    assert other["message"] in found(ada, text[:149])
    assert other["message"] not in found(ada, text)


def test_an_impossible_search_is_refused(ada: Person) -> None:
    for query, member in IMPOSSIBLE:
        assert member in refused(ada.get(f"/api/search?{query}"), 400, "invalid")


def test_words_are_looked_up_in_the_index(
    app: Flask, ada: Person, bob: Person, chat: Chat, backend: str
) -> None:
    ada.said(chat, "The quick brown fox")

    plan = plans(app, lambda: found(bob, "quick fo"))

    if backend == "sqlite":
        looked_up = "words USING PRIMARY KEY (channel_id=? AND word>? AND word<?)"
        assert plan.count(looked_up) == 4, plan  # each is counted first
        assert "SCAN words" not in plan
        assert "SCAN messages" not in plan
    else:
        assert "Seq Scan" not in plan


# Words by themselves ----------------------------------------------------------------------------

TEXT = st.text(max_size=40) | st.text("aAßıİée\u0301 ,東京ガカ\u3099ｶﾞสวั\ufe0f❤1①", max_size=20)


@hypothesis_settings(max_examples=100 * OFTEN)
@given(TEXT, TEXT)
def test_every_word_between_spaces_finds_its_text(one: str, other: str) -> None:
    text = words(f"{one} {other}")

    for prefix in sought(one) | sought(other):
        assert any(word.startswith(prefix) for word in text)


@hypothesis_settings(max_examples=100 * OFTEN)
@given(TEXT)
def test_case_and_width_and_composition_make_no_difference(text: str) -> None:
    for change in (str.upper, str.casefold, lambda each: unicodedata.normalize("NFD", each)):
        changed = change(text)
        if unicodedata.normalize("NFKC", changed.casefold()) == unicodedata.normalize(
            "NFKC", text.casefold()
        ):
            assert words(changed) == words(text)


def test_no_word_is_longer_than_the_index_takes() -> None:
    assert max(map(len, words("ﷺ" * 100 + "x" * 5_000 + "東" * 5_000))) == LONGEST
    assert words("x" * 5_000) == words("x" * LONGEST)
