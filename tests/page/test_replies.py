"""Replies, reactions and copies on the chat page, in a real browser, by mouse, keys and fingers."""

from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, expect

from tests.support.browser import CUT_OFF, Window, Windows, texts
from tests.support.people import ChatServer, Person

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
DARK: dict[str, Any] = {"color_scheme": "dark"}


def reaction(window: Window, text: str, emoji: str) -> Locator:
    return window.message(text).get_by_role("list", name="Reactions").get_by_text(emoji)


def touch(window: Window, text: str, by: int = 0, rest_ms: int = 0) -> None:
    """A finger comes down on a message, and moves to the right or rests."""
    box = window.message(text).locator(".bubble").bounding_box()
    assert box
    x, y = box["x"] + 12, box["y"] + box["height"] / 2
    fingers = window.page.context.new_cdp_session(window.page)

    def send(kind: str, *points: float) -> None:
        at = [{"x": each, "y": y} for each in points]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    send("touchStart", x)
    for step in range(1, 6):
        if by:
            send("touchMove", x + by * step / 5)
    window.page.wait_for_timeout(rest_ms)
    send("touchEnd")


# Replies -------------------------------------------------------------------------------------


def test_a_quote_leads_to_its_message(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Shall we meet at noon?")
    for number in range(120):
        bob.said(chat, f"Word {number}")
    writer = window()
    writer.is_of(ada, f"#/{bob.id}/{bob.reads(chat).json[0]['id']}")

    writer.acts("Shall we meet at noon?", "Reply")
    expect(writer.composer).to_be_focused()
    bar = writer.page.locator("#replying")
    expect(bar).to_have_text(f"Reply to {bob.username}: Shall we meet at noon?")
    writer.says("Yes")
    expect(writer.message("Yes").get_by_title("Sent")).to_be_visible()
    expect(bar).to_be_hidden()
    reader = window()
    reader.is_of(bob, f"#/{ada.id}")
    reader.sees("Yes")
    assert reader.message("Shall we meet at noon?").count() == 0  # not loaded
    link = reader.message("Yes").get_by_role("link", name="In reply to")
    expect(link).to_contain_text("Shall we meet at noon?")
    link.click()

    expect(reader.message("Shall we meet at noon?")).to_be_in_viewport()
    expect(reader.message("Shall we meet at noon?")).to_be_focused()
    assert bob.reads(chat).json[-1]["reply_to"]["message"] == "Shall we meet at noon?"


def test_keys_reply_and_react(window: Windows, ada: Person, bob: Person, chat: Chat) -> None:
    bob.said(chat, "Hello")
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.sees("Hello")
    keys = writer.page.keyboard
    expect(writer.composer).to_be_focused()

    keys.press("Shift+Tab")
    expect(writer.message("Hello")).to_be_focused()
    keys.press("r")
    expect(writer.page.locator("#replying")).to_be_visible()
    expect(writer.composer).to_be_focused()
    keys.press("Escape")
    expect(writer.page.locator("#replying")).to_be_hidden()
    keys.press("Shift+Tab")
    keys.press("+")
    expect(writer.page.get_by_role("button", name="Thumbs up")).to_be_focused()
    keys.press("ArrowRight")
    keys.press("ArrowDown")
    expect(writer.page.get_by_role("button", name="Party")).to_be_focused()
    keys.press("Enter")

    expect(reaction(writer, "Hello", "🎉")).to_be_visible()
    expect(writer.message("Hello")).to_be_focused()
    assert bob.reads(chat).json[0]["reactions"] == [{"emoji": "🎉", "users": [ada.id]}]


def test_a_reply_to_what_was_deleted_keeps_its_text(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    first, second = bob.said(chat, "One"), bob.said(chat, "Two")
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.acts("One", "Reply")
    bob.request("DELETE", f"/api/messages/{first['id']}")
    expect(writer.page.get_by_text("you were replying to was deleted")).to_be_visible()
    expect(writer.page.locator("#replying")).to_be_hidden()

    writer.acts("Two", "Reply")
    writer.page.route("**/api/send_message", lambda route: route.abort())
    writer.says("A long answer")
    expect(writer.message("A long answer").locator(".quote")).to_contain_text("Two")
    bob.request("DELETE", f"/api/messages/{second['id']}")
    expect(writer.message("A long answer").locator(".quote")).to_contain_text("Deleted")
    writer.page.unroute_all()
    expect(writer.page.get_by_text("Not sent: The message you replied to")).to_be_visible()
    writer.page.get_by_role("button", name="Try again").click()

    expect(writer.message("A long answer").get_by_title("Sent")).to_be_visible()
    assert texts(bob, chat) == ["", "", "A long answer"]


# Reactions -----------------------------------------------------------------------------------


def test_reactions_show_at_both_sides_and_toggle(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    one, other = window(), window()
    one.is_of(ada, f"#/{bob.id}")
    other.is_of(bob, f"#/{ada.id}")
    one.is_live()
    other.is_live()

    one.acts("Hello", "React")
    one.page.get_by_role("button", name="Thumbs up").click()
    mine = one.message("Hello").get_by_role("button", name="👍 1")
    expect(mine).to_have_attribute("aria-pressed", "true")
    theirs = other.message("Hello").get_by_role("button", name="👍 1")
    expect(theirs).to_have_attribute("aria-pressed", "false")
    expect(theirs).to_have_attribute("title", ada.username)
    theirs.click()
    for side in (one, other):
        both = side.message("Hello").get_by_role("button", name="👍 2")
        expect(both).to_have_attribute("aria-pressed", "true")
    one.message("Hello").get_by_role("button", name="👍 2").press("Enter")
    expect(theirs).to_have_attribute("aria-pressed", "true")
    expect(one.message("Hello").get_by_role("button", name="👍 1")).to_be_focused()

    one.acts("Hello", "React")
    field = one.page.get_by_role("textbox", name="Another emoji")
    field.fill("no")
    expect(one.page.locator("#menu")).to_be_visible()
    field.fill("🦓")
    expect(reaction(other, "Hello", "🦓")).to_be_visible()
    assert [each["emoji"] for each in ada.reads(chat).json[0]["reactions"]] == ["👍", "🦓"]


def test_a_block_leaves_only_what_is_allowed(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    message = bob.said(chat, "Hello")
    for person, emoji in ((ada, "👍"), (bob, "😂")):
        person.request("PUT", f"/api/messages/{message['id']}/reactions/{quote(emoji)}")
    ada.request("PUT", f"/api/blocks/{bob.id}")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    hello = reader.message("Hello")

    hello.hover()
    expect(hello.get_by_role("button", name="Copy")).to_be_visible()
    for name in ("Reply", "React"):
        expect(hello.get_by_role("button", name=name)).to_have_count(0)
    expect(reader.page.get_by_role("button", name="Attach files")).to_be_disabled()
    expect(hello.get_by_role("button", name="😂 1")).to_be_disabled()
    hello.get_by_role("button", name="👍 1").click()

    expect(reaction(reader, "Hello", "👍")).to_have_count(0)


# Copies, and fingers -------------------------------------------------------------------------


@pytest.mark.parametrize("clipboard", ["new", "old"])
def test_a_message_is_copied(
    clipboard: str, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Two\nlines")
    reader = window()
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if clipboard == "old":
        reader.page.add_init_script(
            "window.reads = () => read.call(clipboard); const { clipboard } = navigator;"
            "const read = clipboard.readText;"
            "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        )
    reader.is_of(ada, f"#/{bob.id}")

    reader.messages.hover()
    reader.messages.get_by_role("button", name="Copy").click()

    expect(reader.page.locator("#toast")).to_have_text("Copied")
    read = "reads()" if clipboard == "old" else "navigator.clipboard.readText()"
    assert reader.page.evaluate(read) == "Two\nlines"


def test_a_finger_replies_and_opens_the_menu(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    phone = window(**PHONE)
    phone.is_of(ada, f"#/{bob.id}")
    phone.sees("Hello")

    touch(phone, "Hello", by=30)
    expect(phone.page.locator("#replying")).to_be_hidden()
    touch(phone, "Hello", by=120)
    expect(phone.page.locator("#replying")).to_contain_text("Hello")
    phone.page.get_by_role("button", name="Cancel the reply").click()
    touch(phone, "Hello", rest_ms=900)
    expect(phone.page.get_by_role("dialog")).to_be_visible()
    phone.page.get_by_role("button", name="Heart").click()

    expect(reaction(phone, "Hello", "❤️")).to_be_visible()
    expect(phone.page.get_by_role("dialog")).to_be_hidden()
    assert not phone.overflows()


@pytest.mark.parametrize("options", [{}, PHONE | DARK], ids=["light", "phone-dark"])
def test_axe_finds_no_fault_with_replies(
    options: dict[str, Any],
    window: Windows,
    server: ChatServer,
    ada: Person,
    bob: Person,
    chat: Chat,
) -> None:
    message = bob.said(chat, "Hello")
    ada.said(chat, "Good day", reply_to=message["id"])
    for person, emoji in ((ada, "👍"), (bob, "😂")):
        person.request("PUT", f"/api/messages/{message['id']}/reactions/{quote(emoji)}")
    bob.said(chat, "Indeed", reply_to=message["id"])
    seen = window(**options)
    seen.is_of(ada, f"#/{bob.id}")
    seen.sees("Indeed")

    seen.message("Hello").focus()
    assert seen.offends() == []
    seen.page.keyboard.press("+")
    expect(seen.page.get_by_role("dialog")).to_be_visible()
    assert seen.offends() == []
    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("r")
    expect(seen.page.locator("#replying")).to_be_visible()
    assert seen.offends() == []
    assert not seen.overflows()
