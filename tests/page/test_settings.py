"""The settings of the chat page, in a real browser."""

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from contract.endpoints import PICTURE
from tests.support.browser import Window, Windows
from tests.support.people import ChatServer, Person

pytestmark = pytest.mark.slow

Chat = dict[str, Any]
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True}


def settings(window: Window, section: str) -> Locator:
    """Open the panel at one of its sections."""
    window.page.get_by_role("button", name="Settings", exact=True).click()
    panel = window.page.get_by_role("dialog", name="Settings")
    panel.get_by_role("button", name=section).click()
    return panel


def test_a_name_that_is_refused_stays_in_the_form(
    window: Windows, ada: Person, bob: Person
) -> None:
    writer = window(expected="409")
    writer.is_of(ada)
    panel = settings(writer, "Profile")
    panel.get_by_label("Name", exact=True).fill("Ada Lovelace")
    panel.get_by_label("About you").fill("Countess, and programmer.")
    panel.get_by_label("User name").fill(bob.username)

    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_text("This username is in use")).to_be_visible()
    expect(panel.get_by_label("User name")).to_be_focused()
    expect(panel.get_by_label("Name", exact=True)).to_have_value("Ada Lovelace")
    panel.get_by_label("User name").fill(ada.username)
    panel.get_by_role("button", name="Save").click()

    expect(panel.get_by_role("status")).to_have_text("Saved")
    expect(writer.page.locator("#me")).to_contain_text("Ada Lovelace")
    assert ada.request("GET", "/api/me").json["about"] == "Countess, and programmer."


def test_the_settings_work_by_keyboard_on_a_phone(window: Windows, ada: Person) -> None:
    phone = window(**PHONE)
    phone.is_of(ada)
    opener = phone.page.get_by_role("button", name="Settings")
    opener.focus()
    keys = phone.page.keyboard

    keys.press("Enter")
    expect(phone.page.get_by_role("button", name="Profile")).to_be_focused()
    expect(phone.page.get_by_label("About you")).to_be_hidden()
    keys.press("Enter")
    expect(phone.page.get_by_role("heading", name="Profile")).to_be_focused()
    keys.press("Tab")
    keys.press("Shift+Tab")
    phone.page.get_by_role("button", name="Back to all settings").press("Enter")
    expect(phone.page.get_by_role("button", name="Profile")).to_be_focused()
    keys.press("Escape")

    expect(phone.page.get_by_role("dialog")).to_be_hidden()
    expect(opener).to_be_focused()
    assert not phone.overflows()


def test_a_chosen_appearance_is_there_before_the_page(window: Windows, ada: Person) -> None:
    reader = window(color_scheme="light")
    reader.is_of(ada)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = reader.page.evaluate(colour)

    settings(reader, "Appearance").get_by_text("Dark").click()
    dark = reader.page.evaluate(colour)
    assert dark != light
    reader.page.route(
        "**/app.js", lambda route: route.fulfill(content_type="text/javascript", body="")
    )
    reader.page.reload()
    assert reader.page.evaluate(colour) == dark
    reader.page.unroute("**/app.js")
    reader.page.reload()

    panel = settings(reader, "Appearance")
    expect(panel.get_by_label("Dark")).to_be_checked()
    panel.get_by_text("As the system").click()
    assert reader.page.evaluate(colour) == light


# People ----------------------------------------------------------------------------------------


def test_people_are_shown_by_name_and_picture(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    grace = server.api.sign_up("amazing 1")
    for person, name in ((bob, "Bob Østergård"), (grace, "Grace Hopper")):
        person.request("PATCH", "/api/me", {"display_name": name})
        person.display_name = name
        person.request("PUT", "/api/me/avatar", body=PICTURE.encode())
    bob.said(chat, "The zebra crossing")
    present = window()
    present.is_of(grace)
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    for place in (reader.row(bob), reader.row(grace), reader.page.locator("#talk header")):
        expect(place.locator(".avatar img")).to_have_js_property("naturalWidth", 256)
    expect(reader.row(bob).locator(".name")).to_have_text("Bob Østergård")
    expect(reader.row(grace)).to_contain_text("amazing 1 · Online")
    expect(reader.page.locator("#peer")).to_have_text("Bob Østergård")
    expect(reader.page.locator("#peer-username")).to_have_text(bob.username)
    expect(reader.page).to_have_title("Bob Østergård · Chitchat")
    for words, found in (("hopper", grace), ("ostergard", bob), ("zebra", bob)):
        reader.page.get_by_role("searchbox").fill(words)
        expect(reader.page.locator(f'#lists a[href^="#/{found.id}"]')).to_be_visible()
        expect(reader.page.locator("#lists li")).to_have_count(1)
