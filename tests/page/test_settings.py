"""The settings of the chat page, in a real browser."""

import json
import re
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Route, expect

from contract.endpoints import PICTURE
from tests.support.browser import Window, Windows
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

Chat = dict[str, Any]
AN_HOUR_LATER = """() => {
  const [key] = Object.keys(localStorage).filter((each) => each.includes("/mute/"));
  const kept = JSON.parse(localStorage[key]);
  localStorage[key] = JSON.stringify({ ...kept, until: new Date(0).toISOString() });
}"""
HAS_FOCUS = "(element) => element === document.activeElement"
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

    expect(panel.locator("form").get_by_role("status")).to_have_text("Saved")
    expect(writer.page.locator("#me")).to_contain_text("Ada Lovelace")
    assert ada.request("GET", "/api/me").json["about"] == "Countess, and programmer."


def test_a_profile_not_known_yet_is_not_emptied(window: Windows, ada: Person) -> None:
    ada.request("PATCH", "/api/me", {"display_name": "Ada Lovelace"})
    writer = window()
    held: list[Route] = []
    writer.page.route("**/api/me", lambda route: held.append(route))
    writer.remembers(ada)
    writer.visits()
    panel = settings(writer, "Profile")
    expect(panel.get_by_label("Name", exact=True)).to_have_value("")
    panel.get_by_label("About you").fill("Countess")

    for route in held:
        route.continue_()
    writer.page.unroute("**/api/me")
    expect(panel.get_by_label("Name", exact=True)).to_have_value("Ada Lovelace")
    expect(panel.get_by_label("About you")).to_have_value("Countess")
    panel.get_by_role("button", name="Save").click()

    expect(panel.locator("form").get_by_role("status")).to_have_text("Saved")
    profile = ada.request("GET", "/api/me").json
    assert (profile["display_name"], profile["about"]) == ("Ada Lovelace", "Countess")


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


def test_what_is_typed_outlasts_another_language(window: Windows, ada: Person) -> None:
    writer = window(expected="400")
    writer.is_of(ada)
    panel = settings(writer, "Profile")
    panel.get_by_label("About you").fill("Countess")
    panel.get_by_role("button", name="Password").click()
    panel.get_by_label("Current password").fill(PASSWORD)
    panel.get_by_label("New password").fill("password1")

    panel.get_by_role("button", name="Language").click()
    panel.get_by_text("Deutsch").click()
    panel = writer.page.get_by_role("dialog", name="Einstellungen")
    expect(panel.get_by_label("Deutsch")).to_be_focused()
    panel.get_by_role("button", name="Passwort").click()
    panel.get_by_role("button", name="Passwort ändern").click()

    expect(panel.get_by_text("Neues Passwort darf kein häufiges Wort")).to_be_visible()
    expect(panel.get_by_label("Neues Passwort")).to_have_value("password1")
    panel.get_by_role("button", name="Profil").click()
    expect(panel.get_by_label("Über dich")).to_have_value("Countess")


def test_a_picture_is_shown_until_it_is_removed(window: Windows, ada: Person, bob: Person) -> None:
    chooser, other = window(), window()
    chooser.is_of(ada)
    panel = settings(chooser, "Profile")
    own = chooser.page.locator("#me .avatar img")

    panel.get_by_label("Your picture").set_input_files(photograph())
    expect(panel.get_by_role("status").first).to_have_text("Saved")
    other.is_of(bob)
    for place in (own, panel.locator(".avatar img"), other.row(ada).locator(".avatar img")):
        expect(place).to_have_js_property("naturalWidth", 256)
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": bytes(400_000)}
    panel.get_by_label("Your picture").set_input_files(broken)  # type: ignore[arg-type]
    expect(panel.get_by_text("This picture cannot be read.")).to_be_visible()
    expect(own).to_be_visible()
    panel.get_by_role("button", name="Remove").click()

    expect(own).to_have_count(0)
    expect(panel.get_by_role("button", name="Choose a picture")).to_be_focused()
    assert ada.request("GET", "/api/me").json["avatar"] is None


def photograph() -> FilePayload:
    """A picture that is larger than what the page sends as it is."""
    noise = Image.effect_noise((1200, 900), 90)
    noise.save(content := BytesIO(), "PNG")
    assert len(content.getvalue()) > 300_000
    return {"name": "me.png", "mimeType": "image/png", "buffer": content.getvalue()}


def test_a_new_password_logs_the_other_devices_out(
    window: Windows, server: ChatServer, ada: Person
) -> None:
    other = server.api.sign_in(ada.username)
    owner = window(expected="401|403")  # its connection ends before it has the new token
    owner.is_of(ada)
    panel = settings(owner, "Devices")
    expect(panel.get_by_role("listitem").filter(has_text="This device")).to_have_count(1)
    expect(panel.get_by_text(re.compile(r"^Logged in: .*, \d+:\d\d$"))).to_have_count(2)
    panel.get_by_role("button", name="Log out: Unknown device").last.click()
    expect(panel.locator(".cards > li")).to_have_count(1)
    assert other.request("GET", "/api/me").status == 401
    other = server.api.sign_in(ada.username)

    panel.get_by_role("button", name="Password").click()
    panel.get_by_label("Current password").fill("battery staple")
    panel.get_by_label("New password").fill("a longer sentence")
    panel.get_by_role("button", name="Change password").click()
    expect(panel.get_by_text("The password is wrong.")).to_be_visible()
    expect(panel.get_by_label("Current password")).to_be_focused()
    expect(panel.get_by_label("New password")).to_have_value("a longer sentence")
    panel.get_by_label("Current password").fill(PASSWORD)
    panel.get_by_role("button", name="Change password").click()

    expect(panel.get_by_role("status")).to_have_text("Changed")
    assert other.request("GET", "/api/me").status == 401
    assert server.api.login(ada.username, "a longer sentence").status == 200
    owner.page.keyboard.press("Escape")
    owner.page.reload()
    expect(owner.page.locator("#me")).to_contain_text(ada.username)


def test_an_account_is_exported_and_deleted(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Remember me")
    leaver, stayer = window(expected="401|403"), window()  # its connection ends before it has left
    leaver.is_of(ada)
    stayer.is_of(bob, f"#/{ada.id}")
    stayer.sees("Remember me")

    panel = settings(leaver, "Download your data")
    with leaver.page.expect_download() as download:
        panel.get_by_role("button", name="Download", exact=True).click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["user", "channel", "message"]
    panel.get_by_role("button", name="Delete account").first.click()
    panel.get_by_label("Erase them").check()
    panel.get_by_label("Password").fill("not the one")
    panel.locator("form").get_by_role("button", name="Delete account").click()
    expect(panel.get_by_text("The password is wrong.")).to_be_visible()
    panel.get_by_label("Password").fill(PASSWORD)
    panel.locator("form").get_by_role("button", name="Delete account").click()

    expect(leaver.page.get_by_text("Your account was deleted.")).to_be_visible()
    stayer.sees("This message was deleted.")
    assert server.api.login(ada.username).status == 401
    assert leaver.page.evaluate("Object.keys(localStorage).filter((key) => /\\d/.test(key))") == []


@pytest.mark.parametrize("options", [{}, PHONE | {"color_scheme": "dark"}])
def test_axe_finds_no_fault_with_the_settings(
    options: dict[str, Any], window: Windows, server: ChatServer, ada: Person, bob: Person
) -> None:
    ada.request("PUT", f"/api/blocks/{bob.id}")
    stranger = server.api.sign_up(f"stranger {ada.id}")
    stranger.request("PATCH", "/api/me", {"about": "Ask me about boats."})
    reader = window(**options)
    reader.is_of(ada)
    reader.page.get_by_role("button", name="Settings", exact=True).click()
    panel = reader.page.get_by_role("dialog", name="Settings")
    faults = {"list": reader.offends()}
    for section in panel.locator("nav button").all():
        section.click()
        expect(panel.get_by_role("heading", level=3)).to_have_text(section.inner_text())
        reader.page.wait_for_load_state("networkidle")
        faults[section.inner_text()] = reader.offends()
        assert not reader.overflows()
        back = panel.get_by_role("button", name="Back to all settings")
        if back.is_visible():
            back.click()

    reader.page.keyboard.press("Escape")
    reader.visits(f"#/{stranger.id}")
    reader.page.locator("#chat-menu").click()
    faults["menu"] = reader.offends()
    reader.page.get_by_role("menuitem", name="Profile").click()
    expect(reader.page.get_by_text("Ask me about boats.")).to_be_visible()
    faults["profile"] = reader.offends()

    assert set(map(tuple, faults.values())) == {()}, faults
    assert len(faults) == 13


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


def test_a_menu_mutes_a_chat_for_an_hour(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.request("PATCH", "/api/me", {"about": "Ask me about boats."})
    bob.said(chat, "Hello")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    keys, opener = reader.page.keyboard, reader.page.locator("#chat-menu")

    expect(reader.page.locator("#messages")).to_have_attribute("aria-busy", "false")
    expect(opener).to_be_enabled()
    opener.press("Enter")
    menu = reader.page.get_by_role("menu", name=f"Chat with {bob.username}")
    expect(menu.get_by_role("menuitem", name="Profile")).to_be_focused()
    keys.press("ArrowDown")
    while not menu.get_by_role("menuitem", name="Mute for an hour").evaluate(HAS_FOCUS):
        keys.press("ArrowDown")
    keys.press("Enter")
    expect(reader.page.get_by_text("Muted until")).to_be_visible()
    expect(opener).to_be_focused()
    expect(reader.row(bob).get_by_text("Muted")).to_be_attached()
    assert is_muted(ada)
    reader.page.evaluate(AN_HOUR_LATER)
    reader.page.reload()
    assert eventually(lambda: not is_muted(ada))

    reader.chooses("Profile")
    profile = reader.page.get_by_role("dialog", name=bob.username)
    expect(profile.get_by_text("Ask me about boats.")).to_be_visible()
    keys.press("Escape")
    expect(opener).to_be_focused()


def is_muted(person: Person) -> bool:
    muted: bool = person.request("GET", "/api/chats").json[0]["muted"]
    return muted
