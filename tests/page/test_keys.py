"""The chat page by keyboard, and what it says to screen readers."""

from typing import Any, NamedTuple

import pytest
from playwright.sync_api import expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import Person
from tests.support.tour import held

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

#: As of a reader who has set the letters of the browser to twice their size.
LARGE = """new MutationObserver((_, observer) => {
  document.documentElement.style.fontSize = "200%";
  observer.disconnect();
}).observe(document, { childList: true })"""


class Box(NamedTuple):
    top: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def box(window: Window, what: str) -> Box:
    """Where something is in the window, from above."""
    found = window.page.locator(what).first.bounding_box()
    assert found, what
    return Box(found["y"], found["height"])


def test_keys_lead_to_people_and_chats(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    eve = ada.api.sign_up(f"eve of {ada.username}")
    eve.said(eve.asks(ada).json, "The latest")
    bob.said(chat, "The newest")
    seen = window()
    seen.is_of(ada)
    keys, focused = seen.page.keyboard, seen.page.locator(":focus")
    peer = seen.page.locator("#peer")
    expect(seen.row(bob)).to_be_visible()

    keys.press("Tab")
    keys.press("Enter")
    expect(seen.page.locator("#conversation")).to_be_focused()
    keys.press("Alt+ArrowDown")
    expect(peer).to_have_text(bob.username)
    keys.press("Alt+ArrowDown")
    expect(peer).to_have_text(eve.username)
    keys.press("Alt+ArrowDown")  # there is none below
    keys.press("Alt+ArrowUp")
    expect(peer).to_have_text(bob.username)
    keys.press("Control+k")
    keys.type(eve.username)
    expect(seen.page.locator("#lists a")).to_have_count(1)
    keys.press("ArrowDown")
    expect(focused).to_have_attribute("href", f"#/{eve.id}")
    keys.press("Enter")
    expect(peer).to_have_text(eve.username)
    keys.press("Control+k")
    keys.type(bob.username)
    keys.press("Enter")  # does not wait for the list
    expect(peer).to_have_text(bob.username)


def test_a_question_mark_shows_the_keys(window: Windows, ada: Person, bob: Person) -> None:
    seen = window()
    seen.is_of(ada, f"#/{bob.id}")
    keys = seen.page.get_by_role("dialog", name="Keyboard shortcuts")

    seen.composer.press("?")
    expect(seen.composer).to_have_value("?")
    seen.page.locator("#conversation").focus()
    seen.page.keyboard.press("?")
    expect(keys.get_by_text("Find a person or message")).to_be_visible()
    seen.page.keyboard.press("Escape")

    expect(keys).to_be_hidden()
    expect(seen.page.locator("#conversation")).to_be_focused()


def test_the_focus_comes_back_to_the_message(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello")
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    message = writer.messages.first

    def press(verb: str) -> None:
        message.focus()
        message.get_by_role("button", name=verb).focus()
        writer.page.keyboard.press("Enter")
        expect(writer.page.locator("dialog[open]")).to_be_visible()

    for verb in ("React", "Delete"):
        press(verb)
        writer.page.keyboard.press("Escape")
        expect(message).to_be_focused()
    press("React")
    writer.page.keyboard.press("Enter")
    expect(message.get_by_role("button", name="👍 1")).to_be_visible()
    expect(message).to_be_focused()
    press("Delete")
    writer.agrees("Delete")
    expect(message).to_contain_text("This message was deleted.")
    expect(message).to_be_focused()

    bob.request("PUT", f"/api/blocks/{ada.id}")
    writer.says("Hello?")
    discard = writer.page.get_by_role("button", name="Discard")
    discard.focus()
    writer.page.keyboard.press("Enter")
    expect(discard).to_have_count(0)
    expect(writer.composer).to_be_focused()


def test_larger_letters_leave_everything_in_place(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    for size in ({"width": 390, "height": 844}, {"width": 1280, "height": 800}):
        reader = window(viewport=size)
        reader.page.add_init_script(LARGE)
        reader.is_of(ada)
        expect(reader.row(bob)).to_contain_text("Hello")

        assert box(reader, "#skip").bottom <= 0
        assert abs(box(reader, "[role=search] > .icon").middle - box(reader, "#search").middle) < 3
        assert box(reader, ".count").height >= 40
        reader.page.locator("#open-settings").click()
        expect(reader.page.locator("#settings nav")).to_be_visible()
        assert box(reader, '#settings nav span:text-is("Notifications")').height < 70  # a line


def test_what_arrives_is_read_out_shortly(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    reader = window(expected=CUT_OFF)
    reader.page.route_web_socket("**", lambda _: None)  # it hears of nothing but by asking
    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.page.locator("#blank")).to_contain_text("the beginning of your chat")
    said = reader.page.locator("#announcements p")

    bob.said(chat, "It is a long story. " * 100)
    expect(said).to_contain_text([f"{bob.username}: It is a long story."])
    assert len(said.inner_text()) < 120
    with held(reader, "**/api/sync*"):
        for number in range(10):
            bob.said(chat, f"{number}")

    expect(said.last).to_have_text(f"10 new messages from {bob.username}")
