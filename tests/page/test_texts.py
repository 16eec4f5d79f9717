"""How texts and times look on the chat page, in a real browser."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import CUT_OFF, Window, Windows, texts
from tests.support.people import Person

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

# Addresses -----------------------------------------------------------------------------------

# A text, and what in it becomes a link: as it is, or as "text -> where it leads".
WRITTEN: list[tuple[str, list[str]]] = [
    ("See https://example.com/a_(b).", ["https://example.com/a_(b)"]),
    ("(see https://example.com/a_(b))", ["https://example.com/a_(b)"]),
    ("[a](https://example.com/[1]), b", ["https://example.com/[1]"]),
    ("It's https://example.com/?a=b,c&d=(e)!?", ["https://example.com/?a=b,c&d=(e)"]),
    ("'https://example.com/Rokos’s_table'", ["https://example.com/Rokos’s_table"]),
    ("看https://example.com/a。好", ["https://example.com/a"]),
    ("（https://example.com/a）", ["https://example.com/a"]),
    (
        "「https://example.com」と『http://a.example/』",
        ["https://example.com", "http://a.example/"],
    ),
    ("https://example.com、例", ["https://example.com"]),
    ("“https://example.com” »http://a.example«", ["https://example.com", "http://a.example"]),
    ("https://example.com/a… next", ["https://example.com/a"]),
    ("هل رأيت https://example.com/a؟ نعم", ["https://example.com/a"]),
    ("نعم، https://example.com؛", ["https://example.com"]),
    ("यह https://example.com/a। है", ["https://example.com/a"]),
    ("https://example.com谢谢", ["https://example.com"]),
    ("https://zh.example.org/wiki/中文", ["https://zh.example.org/wiki/中文"]),
    ("HTTPS://Example.COM/A or Http://a.example", ["HTTPS://Example.COM/A", "Http://a.example"]),
    ("http://localhost:5000/x, http://[::1]:50/", ["http://localhost:5000/x", "http://[::1]:50/"]),
    ("Www.example.co.uk/a, then", ["Www.example.co.uk/a -> https://Www.example.co.uk/a"]),
    ("So: example.com.", ["example.com -> https://example.com"]),
    ("(Example.ORG:80/a?b)", ["Example.ORG:80/a?b -> https://Example.ORG:80/a?b"]),
    ("看example.com吧", ["example.com -> https://example.com"]),
    ("To ada.l+x@mail.example.at.", ["ada.l+x@mail.example.at -> mailto:ada.l+x@mail.example.at"]),
    ("<mailto:ada@example.com>", ["ada@example.com -> mailto:ada@example.com"]),
    ("notes.md main.py node.js e.g. 1.2.3 so it goes.in time", []),
    ("аpple.com éexample.com example.comé @ada@example.com /srv/example.com", []),
    ("javascript:alert(1) data:text/html,x https:// http://. www. file:///etc/passwd", []),
    ("https://bank.example@evil.example/ https://a:b@evil.example", []),
    ("https://bank.example%2F@evil.example", []),
    ("https://example.com/\u202egpj.exe", ["https://example.com/"]),
    ("https://example.com\u200b/x", ["https://example.com"]),
]


def test_addresses_become_links_without_their_surroundings(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    for text, _ in WRITTEN:
        bob.said(chat, text)
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    reader.sees(WRITTEN[-1][0])

    found = reader.page.locator("#messages .bubble > p").evaluate_all(
        "(all) => all.map((p) => [p.textContent, [...p.querySelectorAll('a')].map("
        "(a) => [a.textContent, a.getAttribute('href')])])"
    )

    for (text, expected), (shown, links) in zip(WRITTEN, found, strict=True):
        assert shown == text
        assert [link if link == to else f"{link} -> {to}" for link, to in links] == expected, text


def test_a_deceptive_link_says_where_it_leads(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "https://www.аррӏе.com/ and https://example.com/")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    def shown_after(name: str) -> str:
        link = reader.messages.get_by_role("link", name=name)
        content: str = link.evaluate("(link) => getComputedStyle(link, '::after').content")
        return content

    assert "www.xn--80ak6aa92e.com" in shown_after("https://www.аррӏе.com/")
    assert shown_after("https://example.com/") == "none"


LABYRINTHS = ["a" * 5_000, "1." * 2_500, "a@a." * 1_250, "https://a.com/" + "(" * 4_900]
LABYRINTHS += ["https://)" * 555, "www." * 1_250, "a-" * 2_500, ".com谢" * 1_000, "a@" * 2_500]


def test_no_text_keeps_the_page_busy(window: Windows, ada: Person, bob: Person, chat: Chat) -> None:
    for text in LABYRINTHS:
        bob.said(chat, text)
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    reader.sees(LABYRINTHS[-1])
    assert reader.said() == LABYRINTHS


# Characters ----------------------------------------------------------------------------------

FAMILY = "👩‍👩‍👧‍👦"


def test_previews_show_no_half_emoji(window: Windows, ada: Person, bob: Person, chat: Chat) -> None:
    bob.said(chat, "Families " + FAMILY * 40 + " and a zebra")
    reader = window()
    reader.is_of(ada)

    listed = reader.row(bob).locator(".said bdi").inner_text()
    reader.page.get_by_role("searchbox").fill("zebra")
    expect(reader.page.locator("mark")).to_have_text("zebra")
    hit = reader.page.locator("#lists .said bdi").inner_text()

    for shown in (listed, hit):
        assert shown.count("👩") == 2 * shown.count(FAMILY) > 0
        assert set(shown.replace(FAMILY, "")) <= set("Families and a zebra…")


def test_what_was_found_begins_with_a_whole_word(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "It leaves at noon from platform 3, and I have the tickets for the zebra.")
    bob.said(chat, "https://example.org/animals-of-africa-and-asia/zebra")
    reader = window()
    reader.is_of(ada)

    reader.page.get_by_role("searchbox").fill("zebra")

    hits = reader.page.locator("#lists .said bdi")
    address, sentence = "…mals-of-africa-and-asia/zebra", "…the tickets for the zebra."
    expect(hits).to_have_text([address, sentence])


def test_a_preview_begins_with_the_first_word(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "\n" * 200 + "Far down")
    reader = window()
    reader.is_of(ada)

    expect(reader.row(bob)).to_contain_text("Far down")


def test_the_first_line_keeps_its_indentation(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.says("\n  \n    if x:\n\treturn\n \n")

    text = "    if x:\n\treturn"
    expect(writer.messages.get_by_title("Sent")).to_have_count(1)
    assert texts(bob, chat) == writer.said() == [text]
    writer.composer.press("ArrowUp")
    expect(writer.composer).to_have_value(text)
    writer.composer.press("End")
    writer.composer.press_sequentially(" x")
    writer.composer.press("Enter")
    writer.sees(text + " x")
    assert texts(bob, chat) == [text + " x"]


INVISIBLE = ["\u200b", "\u2060\u00ad\ufeff", "\u3164", "\u2800 \u180e"]


def test_a_message_without_anything_to_see_says_so(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    for text in INVISIBLE:
        bob.said(chat, text)
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    expect(reader.messages.get_by_text("Nothing to see")).to_have_count(len(INVISIBLE))
    expect(reader.row(bob)).to_contain_text("Nothing to see")
    for text in INVISIBLE:
        reader.composer.fill(text)
        expect(reader.page.get_by_role("button", name="Send")).to_be_disabled()
    reader.composer.fill("")


@pytest.mark.parametrize("text", ["1️⃣", "#️⃣*️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿🏴󠁧󠁢󠁳󠁣󠁴󠁿🇩🇪", FAMILY * 3])
def test_up_to_three_emoji_are_large(
    text: str, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "12")
    bob.said(chat, text)
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    def size(of: str) -> float:
        shown = reader.page.locator("#messages .bubble > p").get_by_text(of, exact=True)
        return float(shown.evaluate("(p) => parseFloat(getComputedStyle(p).fontSize)"))

    assert size(text) > 2 * size("12")


def test_piled_up_accents_stay_inside_their_message(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    def above(pile: str) -> bytes:
        bob.said(chat, "Above")
        bob.said(chat, pile)
        reader = window()
        reader.is_of(ada, f"#/{bob.id}")
        reader.sees(pile)
        return reader.message("Above").last.locator("p").screenshot()

    assert above("a") == above("a" + "\u0302" * 80)


def test_what_is_copied_are_people_and_their_words(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "See https://example.com")
    ada.said(chat, "def f():\n\treturn  1")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.page.locator("#peer")).to_have_text(bob.username)
    reader.sees("See https://example.com")

    copied = reader.page.evaluate(
        "getSelection().selectAllChildren(document.getElementById('messages')),"
        " getSelection().toString()"
    )

    lines = [line for line in copied.split("\n") if line and line != "Today"]
    first = f"{bob.username}: See https://example.com"
    assert lines == [first, "You: def f():", "\treturn  1"]


# Directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "مرحبا",
        "مرحبا بالعالم " * 12,
        "שלום https://example.com שלום",
        "Hello \u202eolleH",
        "\u2067a",
    ],
)
def test_no_text_covers_or_turns_around_its_time(
    text: str, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, text)
    reader = window(viewport={"width": 360, "height": 640})
    reader.is_of(ada, f"#/{bob.id}")

    places = reader.page.locator("#messages .bubble").evaluate(
        """(bubble) => {
          const [p, meta, time] = ["p", ".meta", "time"].map((each) => bubble.querySelector(each));
          const range = document.createRange();
          range.selectNodeContents(p);
          const at = meta.getBoundingClientRect();
          const covers = [...range.getClientRects()].some((each) =>
            each.left < at.right && at.left < each.right && each.top < at.bottom - 1
            && at.top < each.bottom - 1);
          const left = (place) => {
            range.setStart(time.firstChild, place);
            range.setEnd(time.firstChild, place + 1);
            return range.getBoundingClientRect().left;
          };
          return { covers, turned: left(0) >= left(3) };
        }"""
    )

    assert places == {"covers": False, "turned": False}
    assert not reader.overflows()


def test_an_address_reads_left_to_right_in_any_text(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "ראו https://example.com/a/ (www.example.org/) שלום https://example.com/?a=1/")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.messages.locator("a")).to_have_count(3)

    ends = reader.messages.locator("a").evaluate_all(
        """(links) => links.map((link) => {
          const range = document.createRange();
          const left = (place) => {
            range.setStart(link.firstChild, place);
            range.setEnd(link.firstChild, place + 1);
            return range.getBoundingClientRect().left;
          };
          return left(link.textContent.length - 1) > left(0);
        })"""
    )

    assert ends == [True, True, True]


# Times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-72, 25])
def test_todays_messages_are_todays_by_any_clock(
    hours: int, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    reader = window(timezone_id="UTC")
    reader.page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=hours))
    reader.is_of(ada, f"#/{bob.id}")

    reader.sees("Hello")
    expect(reader.page.locator("#messages .rule.day")).to_have_text("Today")
    expect(reader.row(bob).locator("time")).to_contain_text(":")
    reader.says("Good day")
    expect(reader.message("Good day").get_by_title("Sent")).to_be_visible()
    expect(reader.page.locator("#messages .rule.day")).to_have_text(["Today"])


def test_days_change_while_the_page_is_open(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    reader = window(timezone_id="UTC", expected=CUT_OFF)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def answer_tomorrow(route: Any) -> None:
        answer = route.fetch()
        date = format_datetime(tomorrow, usegmt=True)
        route.fulfill(response=answer, headers={**answer.headers, "date": date})

    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.page.locator("#messages .rule.day")).to_have_text("Today")
    reader.page.route("**/api/*", answer_tomorrow)
    reader.page.clock.set_system_time(tomorrow)
    reader.page.evaluate("dispatchEvent(new Event('online'))")  # has it look at once

    expect(reader.page.locator("#messages .rule.day")).to_have_text("Yesterday")
    expect(reader.row(bob).locator("time")).to_have_text("Yesterday")
    expect(reader.message("Hello").locator("time")).not_to_have_attribute("title", "Today")
    reader.page.unroute_all(behavior="wait")


# Where the clock goes forward, goes back, and goes forward at midnight, which then is no time.
@pytest.mark.parametrize(
    ("zone", "now", "then", "day"),
    [
        ("Europe/Berlin", "2026-03-30T10:00:00Z", "2026-03-28T23:30:00Z", "Yesterday"),
        ("Europe/Berlin", "2026-03-30T10:00:00Z", "2026-03-28T22:30:00Z", "Saturday"),
        ("Europe/Berlin", "2026-03-29T21:59:00Z", "2026-03-28T23:30:00Z", "Today"),
        ("Europe/Berlin", "2026-10-25T22:59:00Z", "2026-10-24T22:00:00Z", "Today"),
        ("Europe/Berlin", "2026-10-26T08:00:00Z", "2026-10-24T22:00:00Z", "Yesterday"),
        ("America/Santiago", "2026-09-06T15:00:00Z", "2026-09-06T03:59:00Z", "Yesterday"),
        ("America/Santiago", "2026-09-06T15:00:00Z", "2026-09-06T04:01:00Z", "Today"),
        ("Pacific/Kiritimati", "2026-11-29T10:30:00Z", "2026-11-29T09:30:00Z", "Yesterday"),
        ("Asia/Kolkata", "2026-11-29T18:00:00Z", "2026-11-28T18:31:00Z", "Today"),
    ],
)
def test_a_day_is_the_readers_however_long(
    zone: str, now: str, then: str, day: str, window: Windows
) -> None:
    reader: Window = window(timezone_id=zone)
    reader.page.clock.set_fixed_time(now)
    reader.visits()

    shown = reader.page.evaluate(
        "(then) => import('/static/format.js').then(({ day }) => day(then))", then
    )

    assert shown == day


def test_times_follow_the_reader_to_another_zone(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    reader = window()
    browser = reader.page.context.new_cdp_session(reader.page)
    reader.is_of(ada, f"#/{bob.id}")

    def shown_in(zone: str) -> str:
        browser.send("Emulation.setTimezoneOverride", {"timezoneId": zone})
        hour = reader.page.evaluate("new Date().getHours()")
        reader.page.evaluate("dispatchEvent(new Event('online'))")  # has it look at once
        for place in (reader.message("Hello"), reader.row(bob)):
            expect(place.locator("time")).to_have_text(re.compile(rf"^(Yesterday|{hour}:\d\d)$"))
        return reader.message("Hello").locator("time").inner_text()

    assert shown_in("Etc/GMT+3") != shown_in("Etc/GMT-4")


def test_nothing_is_ever_from_tomorrow(window: Windows) -> None:
    reader = window(timezone_id="UTC")
    reader.page.clock.set_fixed_time("2026-11-29T23:59:59Z")
    reader.visits()

    shown = reader.page.evaluate(
        "import('/static/format.js').then(({ day, when }) => [day, when].flatMap((each) =>"
        " ['2026-11-30T00:00:01Z', '2027-01-01T12:00:00Z'].map(each)))"
    )

    assert shown == ["Today", "1 January 2027", "0:00", "1 Jan 2027"]
