"""Reading on the chat page: what is new, what texts look like, and where things are found."""

import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

# What is new ---------------------------------------------------------------------------------

AWAY = "document.hasFocus = () => false; dispatchEvent(new Event('blur'))"
BACK = "document.hasFocus = () => true; dispatchEvent(new Event('focus'))"


def marked_as_new(reader: Window) -> Locator:
    """The message below the line "New", of which there is one."""
    expect(reader.page.locator("#messages .rule.new")).to_have_count(1)
    return reader.page.locator("#messages .rule.new + .message p")


def test_an_absence_is_marked_once(window: Windows, ada: Person, bob: Person, chat: Chat) -> None:
    reader = window(expected=CUT_OFF)
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    line = reader.page.locator("#messages .rule.new")
    bob.said(chat, "Seen")
    reader.sees("Seen")
    expect(line).to_have_count(0)

    reader.page.evaluate(AWAY)
    for text in ("One", "Two"):
        bob.said(chat, text)
        reader.sees(text)
    expect(marked_as_new(reader)).to_have_text("One")
    reader.page.evaluate(BACK)
    assert eventually(lambda: ada.get("/api/chats").json[0]["unread"] == 0)
    bob.said(chat, "Three")
    reader.sees("Three")
    expect(marked_as_new(reader)).to_have_text("One")

    reader.page.evaluate(AWAY)
    lines = [f"Line {number}" for number in range(30)]
    for text in lines:
        bob.said(chat, text)
    reader.sees(lines[-1])
    expect(marked_as_new(reader)).to_have_text("Line 0")
    expect(line).to_be_in_viewport()
    reader.page.evaluate(BACK)
    to_end = reader.page.get_by_role("button", name="To the end, 30 new")
    to_end.click()
    assert eventually(lambda: ada.get("/api/chats").json[0]["unread"] == 0)
    reader.says("Back again")
    expect(line).to_have_count(0)


def test_what_an_absent_line_held_back_is_marked(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    """After a short time without a connection, and after one so long that all is loaded anew."""
    bob.said(chat, "Before")
    reader = window(expected=CUT_OFF)
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    reader.sees("Before")
    expect(reader.page.locator("#messages .rule.new")).to_have_count(1)
    assert eventually(lambda: ada.get("/api/chats").json[0]["unread"] == 0)

    reader.page.route("**/api/**", lambda route: route.abort())
    reader.page.context.set_offline(True)
    expect(reader.page.locator("#connection.offline")).to_be_attached()
    bob.said(chat, "Meanwhile")
    reader.page.unroute_all()
    reader.page.context.set_offline(False)
    expect(marked_as_new(reader)).to_have_text("Meanwhile")
    reader.is_live()
    assert eventually(lambda: ada.get("/api/chats").json[0]["unread"] == 0)

    def is_foreign(route: Route) -> None:
        bob.said(chat, "Long after")
        route.fulfill(status=400, json=refusal)

    refusal = {"status": "error", "code": "invalid", "message": "From another database."}
    reader.page.evaluate(AWAY)
    reader.page.route(re.compile("/api/sync.since="), is_foreign, times=1)
    reader.page.evaluate("dispatchEvent(new Event('online'))")
    expect(marked_as_new(reader)).to_have_text("Long after")


def test_the_day_stays_above_while_scrolling(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    for number in range(60):
        ada.said(chat, f"Line {number:02}")
    with closing(sqlite3.connect(server.directory / "instance/chat.db")) as database, database:
        database.execute(
            "UPDATE messages SET created_at = datetime(created_at, '-1 day') || '.000000'"
            " WHERE channel_id = ? AND CAST(substr(text, 6) AS INTEGER) < 30",
            [chat["channel_id"]],
        )
    reader = window(timezone_id="UTC")
    reader.is_of(ada, f"#/{bob.id}")
    reader.sees("Line 59")
    day = reader.page.locator("#day")
    expect(day).to_be_hidden()

    for line, expected in (("Line 34", "Today"), ("Line 20", "Yesterday"), ("Line 33", "Today")):
        reader.message(line).evaluate("(line) => line.scrollIntoView()")
        expect(day).to_have_text(expected)
        expect(day).to_be_in_viewport()
    reader.page.locator("#messages .rule.day").last.evaluate("(rule) => rule.scrollIntoView()")
    expect(day).to_be_hidden()


# The list ------------------------------------------------------------------------------------


def test_the_list_shows_drafts_ticks_and_typing(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    carol = server.api.sign_up(f"carol beside {ada.username}")
    to_carol = ada.asks(carol).json
    ada.said(to_carol, "How are *you*?")
    bob.said(chat, "Hello")
    writer, other = window(), window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    expect(writer.row(carol).locator(".mark.sent")).to_be_visible()
    expect(writer.row(carol)).to_contain_text("How are you?")
    carol.request("PUT", f"/api/chats/{to_carol['channel_name']}/read", {})
    expect(writer.row(carol).locator(".mark.read")).to_be_visible()

    writer.composer.fill("Not sent")
    writer.opens(carol)
    expect(writer.row(bob)).to_contain_text("Draft: Not sent")
    expect(writer.row(bob).locator(".mark")).to_have_count(0)
    other.is_of(bob, f"#/{ada.id}")
    expect(writer.row(bob).locator(".dot")).to_be_visible()
    other.is_live()

    def is_seen() -> bool:
        other.composer.press("a")  # the first may be too early
        return "typing…" in writer.row(bob).inner_text()

    assert eventually(is_seen)
    assert not writer.offends()
    expect(writer.row(bob)).to_contain_text("Draft: Not sent")

    writer.opens(bob)
    writer.composer.fill("")
    writer.opens(carol)
    expect(writer.row(bob)).to_contain_text("Hello")


def test_older_chats_come_by_scrolling(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "The oldest")
    for number in range(55):
        friend = server.api.sign_up(f"friend {number} of {ada.username}")
        ada.said(ada.asks(friend).json, "Hello")
    reader = window()
    reader.is_of(ada)
    rows = reader.page.get_by_role("region", name="Chats").locator("li")
    expect(rows).to_have_count(50)
    expect(reader.page.get_by_role("heading", name="People")).to_have_count(0)

    reader.page.locator("#lists").hover()
    reader.page.mouse.wheel(0, 10_000)

    expect(rows).to_have_count(56)
    expect(reader.row(bob)).to_contain_text("The oldest")


def test_a_search_says_where_it_looks(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    """Everywhere, in the open chat, and from a phone."""
    carol = server.api.sign_up(f"Miss Quokka {bob.username}")
    dan = server.api.sign_up(f"Old Quokka {ada.username}")
    found = ada.said(chat, "A **quokka** in the garden")
    for number in range(60):
        bob.said(chat, f"Word {number}")
    ada.said(ada.asks(carol).json, "Have you seen a quokka?")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    field = reader.page.get_by_role("searchbox")
    regions = reader.page.locator("#lists").get_by_role("region")

    expect(field).to_have_attribute("placeholder", "Search people, chats, messages")
    field.fill("quokka")
    expect(regions.get_by_role("heading")).to_have_text(["Chats", "People", "Messages"])
    expect(regions.nth(0).locator(".name")).to_have_text([carol.username])
    expect(regions.nth(1).locator(".name")).to_have_text([dan.username])
    expect(regions.nth(2).locator("a")).to_have_count(2)
    field.fill("kangaroo")
    expect(reader.page.get_by_text("Nothing found for “kangaroo” among people")).to_be_visible()
    assert not reader.offends()

    field.fill("quokka")
    reader.page.get_by_text("In this chat", exact=True).click()
    hits = reader.page.locator("#lists a")
    expect(hits).to_have_count(1)
    hits.click()
    hit = reader.page.locator(f'.message.found[data-id="{found["id"]}"]')
    expect(hit).to_be_in_viewport()
    reader.sees("Word 3")
    field.fill("kangaroo")
    expect(reader.page.get_by_text("Nothing found for “kangaroo” in this chat.")).to_be_visible()
    reader.page.get_by_role("button", name="End the search").click()
    expect(reader.page.get_by_role("heading", name="Chats")).to_be_visible()

    reader.page.set_viewport_size({"width": 390, "height": 700})
    reader.page.get_by_role("button", name="Search in this chat").click()
    expect(field).to_be_focused()
    field.fill("quokka")
    expect(hits).to_have_count(1)
    assert not reader.offends()
    assert not reader.overflows()
    hits.click()
    expect(hit).to_be_in_viewport()


def test_a_search_that_failed_is_made_again(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "The zebra crossing")
    reader = window(expected=CUT_OFF)
    reader.is_of(ada)
    reader.is_live()
    lists = reader.page.locator("#lists")
    reader.page.route("**/api/search?*", lambda route: route.abort())
    reader.page.get_by_role("searchbox").fill("zebra")
    expect(lists).to_contain_text("No connection.")
    reader.page.unroute_all()
    reader.page.keyboard.press("Enter")
    expect(lists).to_contain_text("The zebra crossing")

    reader.page.context.set_offline(True)
    expect(reader.page.locator("#connection.offline")).to_be_attached()
    reader.page.get_by_role("searchbox").fill("crossing")
    expect(lists).to_contain_text("No connection.")
    reader.page.context.set_offline(False)
    expect(lists).to_contain_text("The zebra crossing")


def test_who_hides_is_not_seen_and_sees_nobody(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    watcher, hider = window(), window(expected=CUT_OFF)
    watcher.is_of(bob, f"#/{ada.id}")
    hider.is_of(ada, f"#/{bob.id}")
    status = watcher.page.locator("#peer-status")
    expect(status).to_have_text("Online")
    expect(hider.page.locator("#peer-status")).to_have_text("Online")

    def chooses(shown: bool) -> None:
        hider.page.get_by_role("button", name="Settings").click()
        hider.page.get_by_role("button", name="Online status").click()
        hider.page.get_by_label("Show when I am online").set_checked(shown)
        assert not hider.offends()
        hider.page.keyboard.press("Escape")

    chooses(False)
    expect(status).to_have_text("Offline")
    expect(hider.page.locator("#peer-status")).to_have_text("")
    hider.composer.press_sequentially("Nobody sees th")
    hider.page.reload()
    hider.is_live()
    bob.said(chat, "Are you there?")
    hider.sees("Are you there?")
    expect(hider.page.locator(".dot")).to_have_count(0)
    expect(status).to_have_text("Offline")

    chooses(True)
    expect(status).to_have_text("Online")
    expect(hider.page.locator("#peer-status")).to_have_text("Online")


# Texts ---------------------------------------------------------------------------------------

# A text, and what of it stands out: the element, and what is to be seen of it.
WRITTEN: list[tuple[str, list[str]]] = [
    ("Run `npm ci` now", ["code npm ci"]),
    ("```python\nx = 1\n\ny = 2\n```\nSo?", ["block x = 1\n\ny = 2"]),
    ("```\n<b>**a** www.example.com</b>```", ["block <b>**a** www.example.com</b>"]),
    ("```two words``` and `<script>`", ["block two words", "code <script>"]),
    ("**bold**, *slanted* and (_slanted_)!", ["strong bold", "em slanted", "em slanted"]),
    ("**bold *and* slanted**", ["strong bold and slanted", "em and"]),
    (
        "**use `*x*` and https://example.com**",
        ["strong use *x* and https://example.com", "code *x*"],
    ),
    ("https://example.com/_a_/*b* _c_", ["em c"]),
    ("这是**重要**的", ["strong 重要"]),
    ("2 * 3 * 4, 2*3*4 and snake_case_name", []),
    ("*.txt and *.md; *args, **kwargs; __init__ ***", []),
    ("* one\n* two* and f*ck off* /usr/_lib_/x", []),
    ("*not over\na line* ** ** `` ``` ``` `not\nhere`", []),
    ("<img src=x onerror=alert(1)> [a](javascript:alert(1)) # b", []),
]


def test_signs_become_formats_and_stay_text(window: Windows) -> None:
    reader = window()
    reader.visits()

    found = reader.page.evaluate(
        """async (texts) => {
          const { formatted, plain } = await import("/static/formatting.js");
          return texts.map((text) => {
            const p = document.createElement("p");
            p.append(...formatted(text));
            const whole = p.textContent;
            const tags = [...p.querySelectorAll("*")].map((each) => each.localName);
            for (const sign of p.querySelectorAll(".sign")) sign.remove();
            const all = [...p.querySelectorAll("code, strong, em")];
            const name = (each) => each.classList[0] ?? each.localName;
            const seen = all.map((each) => `${name(each)} ${each.textContent}`);
            return [whole, seen, tags, p.textContent.trim(), plain(text).trim()];
          });
        }""",
        [text for text, _ in WRITTEN],
    )

    for (text, formats), (whole, seen, tags, shown, plain) in zip(WRITTEN, found, strict=True):
        assert whole == text
        assert seen == formats, text
        assert set(tags) <= {"code", "strong", "em", "span", "a"}
        assert "".join(plain.split()) == "".join(shown.split())


def test_what_is_copied_or_edited_is_as_written(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    text = "See **this** or www.example.com:\n```js\na = `b`\n```\nand write to ada@example.com"
    ada.said(chat, text)
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    shown = writer.messages.locator(".bubble > p")
    expect(shown).to_have_text(text, use_inner_text=False)
    expect(shown.locator("strong")).to_be_visible()
    expect(shown.locator("a")).to_have_count(2)
    expect(writer.row(bob)).to_contain_text("See this or www")
    assert "monospace" in shown.locator("code").evaluate("(e) => getComputedStyle(e).fontFamily")

    copied = shown.evaluate("(p) => (getSelection().selectAllChildren(p), `${getSelection()}`)")
    writer.composer.press("ArrowUp")

    assert copied == text
    expect(writer.composer).to_have_value(text)
    assert not writer.offends()
