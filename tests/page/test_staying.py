"""Staying logged in, and logging in again without losing what is on the page."""

from typing import Any

import jwt
import pytest
from playwright.sync_api import Request, expect

from tests.support.browser import CUT_OFF, Window, Windows, texts
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

THREE_WEEKS = 21 * 86_400


def kept(window: Window) -> str:
    """The token that this device keeps."""
    token: str = window.page.evaluate("JSON.parse(localStorage.getItem('chat/session')).token")
    return token


def aged(server: ChatServer, token: str) -> str:
    """The same token, as if it had been made three weeks ago."""
    key = (server.directory / "instance/jwt_secret_key").read_text()
    claims = jwt.decode(token, key, algorithms=["HS256"])
    return jwt.encode({**claims, "iat": claims["iat"] - THREE_WEEKS}, key)


def stays(window: Window, person: Person) -> None:
    window.visits()
    window.page.get_by_label("Stay logged in").check()
    window.fills_in(person.username)
    window.is_live()


def test_who_stays_logged_in_stays_in_all_windows(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    first = window(expected=CUT_OFF)
    stays(first, ada)
    login = jwt.decode(kept(first), options={"verify_signature": False})
    assert login["exp"] - login["iat"] == 30 * 86_400
    second = window(beside=first, expected=CUT_OFF)
    second.visits(f"#/{bob.id}")
    second.is_live()  # with the login of the first
    sleeping = second.page.context.new_cdp_session(second.page)
    sleeping.send("Page.setWebLifecycleState", {"state": "frozen"})
    refreshes: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/api/refresh"):
            refreshes.append(request.url)

    first.page.context.on("request", note)
    old = aged(server, kept(first))
    first.page.evaluate(
        """(token) => localStorage.setItem("chat/session", JSON.stringify(
             {...JSON.parse(localStorage.getItem("chat/session")), token}))""",
        old,
    )
    first.page.reload()
    first.is_live()
    eventually(lambda: kept(first) != old)
    sleeping.send("Page.setWebLifecycleState", {"state": "active"})

    second.says("Good morning")
    expect(second.message("Good morning").get_by_title("Sent")).to_be_visible()
    first.opens(bob)
    first.says("And from here")
    expect(first.message("And from here").get_by_title("Sent")).to_be_visible()
    expect(second.page.get_by_role("dialog")).to_have_count(0)
    assert len(refreshes) == 1
    assert server.api.get("/api/me", headers={"Authorization": f"Bearer {old}"}).status == 401

    first.page.locator("#logout").click()
    first.agrees("Log out")
    for each in (first, second):
        expect(each.page.get_by_label("Name")).to_be_visible()


def test_the_log_in_form_has_the_newest_name(window: Windows, ada: Person) -> None:
    first = window(expected=CUT_OFF)
    stays(first, ada)
    second = window(beside=first, expected=CUT_OFF)
    second.visits()
    second.is_live()
    first.page.locator("#me").click()
    first.page.get_by_label("User name").fill(f"{ada.username} Lovelace")
    first.page.get_by_role("button", name="Save").click()
    expect(first.page.get_by_role("status").get_by_text("Saved")).to_be_visible()
    first.page.keyboard.press("Escape")

    second.page.locator("#logout").click()
    second.agrees("Log out")

    expect(first.page.get_by_text("You were logged out here.")).to_be_visible()
    expect(first.page.get_by_label("Name")).to_have_value(f"{ada.username} Lovelace")


def test_a_login_that_ended_is_taken_up_in_place(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    # As on pages without TLS.
    writer.page.context.add_init_script("Object.defineProperty(navigator, 'locks', {})")
    stays(writer, ada)
    writer.opens(bob)
    second = window(beside=writer, expected=CUT_OFF)
    second.visits()
    second.is_live()
    writer.page.route("**/api/send_message", lambda route: route.abort())
    writer.says("On its way")
    expect(writer.message("On its way").get_by_title("Waiting")).to_be_visible()
    writer.composer.fill("A thought")

    assert ada.post("/api/logout", {"all": True}).status == 204

    dialog = writer.page.get_by_role("dialog", name="Log in again")
    password = dialog.get_by_label("Password")
    expect(password).to_be_focused()
    expect(dialog).to_contain_text(ada.username)
    expect(second.page.get_by_role("dialog")).to_be_visible()
    for _ in range(3):  # a browser insists on the second one
        writer.page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    password.fill("not the password")
    writer.page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("This is not the password.")
    assert writer.offends() == []
    assert "token" not in writer.page.locator("body").inner_text().lower()
    writer.page.unroute_all()
    password.fill(PASSWORD)
    writer.page.keyboard.press("Enter")

    expect(writer.message("On its way").get_by_title("Sent")).to_be_visible()
    expect(writer.composer).to_have_value("A thought")
    expect(writer.composer).to_be_focused()
    writer.is_live()
    expect(second.page.get_by_role("dialog")).to_have_count(0)
    bob.said(chat, "Heard by both")
    writer.sees("Heard by both")
    second.opens(bob)
    second.sees("Heard by both")
    assert texts(bob, chat) == ["On its way", "Heard by both"]

    login = {"username": ada.username, "password": PASSWORD}
    ada.token = ada.post("/api/login", login).json["data"]["token"]
    second.page.close()
    writer.page.close()
    assert ada.post("/api/logout", {"all": True}).status == 204
    again = window(beside=writer, expected=CUT_OFF)
    again.visits(f"#/{bob.id}")
    expect(again.row(bob)).to_contain_text("Heard by both")  # as it was last seen
    again.page.get_by_label("Password").fill(PASSWORD)
    again.page.keyboard.press("Enter")
    again.is_live()
    expect(again.composer).to_have_value("A thought")
