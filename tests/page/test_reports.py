"""What users of other chat pages have reported in public, tried on this one in a real browser."""

from typing import Any

import pytest
from playwright.sync_api import Route, ViewportSize, expect

from tests.support.browser import CUT_OFF, Windows, address, texts
from tests.support.people import PASSWORD, ChatServer, Person

pytestmark = pytest.mark.slow

TRANSLATE = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walk.nextNode()) if (walk.currentNode.data.trim()) found.push(walk.currentNode);
  for (const text of found) {
    const font = document.createElement("font");
    font.append(document.createElement("font"));
    font.firstChild.textContent = text.data;
    text.replaceWith(font);
  }
}"""


# Connections ---------------------------------------------------------------------------------


def test_the_page_is_live_again_after_every_break(window: Windows, own_server: ChatServer) -> None:
    """Two in short time, of which the second meets a page out of sight that a phone has frozen."""
    ada, bob = own_server.api.sign_up("ada"), own_server.api.sign_up("bob")
    chat = ada.asks(bob).json
    reader = window(address(own_server), expected=CUT_OFF)
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    system = reader.page.context.new_cdp_session(reader.page)

    own_server.kill()
    expect(reader.page.locator("#connection.offline")).to_be_attached()
    own_server.start()
    reader.is_live()
    system.send("Page.setWebLifecycleState", {"state": "frozen"})
    own_server.kill()
    own_server.start()
    bob.said(chat, "While you were away")
    system.send("Page.setWebLifecycleState", {"state": "active"})

    reader.sees("While you were away")
    reader.is_live()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "content_type": "text/html", "body": "<h1>Accept our terms</h1>"},
        {"status": 401, "json": {"error": "proxy authentication"}},
    ],
    ids=["portal", "proxy"],
)
def test_answers_of_strangers_lose_nothing(
    answer: dict[str, Any],
    window: Windows,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.page.route("**/api/**", lambda route: route.fulfill(**answer))
    writer.says("Through the portal")
    expect(writer.page.locator("#connection.offline")).to_be_attached()
    expect(writer.message("Through the portal").get_by_title("Waiting")).to_be_visible()
    writer.page.unroute_all()

    expect(writer.message("Through the portal").get_by_title("Sent")).to_be_visible()
    assert texts(bob, chat) == ["Through the portal"]


def test_a_message_a_firewall_refuses_blocks_no_other(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    def refuse(route: Route) -> None:
        if "DROP TABLE" in (route.request.post_data or ""):
            route.fulfill(status=403, content_type="text/html", body="<h1>Forbidden</h1>")
        else:
            route.continue_()

    writer = window(expected=CUT_OFF)
    writer.page.route("**/api/send_message", refuse)
    writer.is_of(ada, f"#/{bob.id}")
    writer.says("DROP TABLE students")
    writer.says("Hello")

    expect(writer.page.get_by_text("Not sent: ")).to_be_visible()
    expect(writer.message("Hello").get_by_title("Sent")).to_be_visible()


# Writing -------------------------------------------------------------------------------------


def test_a_hasty_writer_sends_once_and_loses_nothing(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.composer.fill("Twice?")
    writer.page.get_by_role("button", name="Send").dblclick(force=True)
    writer.composer.press_sequentially("One\nTwo\n\nThree")

    expect(writer.messages.get_by_title("Sent")).to_have_count(3)
    expect(writer.composer).to_have_value("Three")
    assert texts(bob, chat) == ["Twice?", "One", "Two"]


def test_an_edit_that_is_slow_takes_no_other_away(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    for text in ("One", "Two"):
        ada.said(chat, text)
    held: list[Route] = []
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.page.route("**/api/messages/*", lambda route: held.append(route), times=1)
    writer.acts("One", "Edit")
    with writer.page.expect_request("**/api/messages/*"):
        writer.says("First")
    writer.composer.press("Enter")
    writer.acts("Two", "Edit")
    writer.composer.fill("Sec")
    bob.said(chat, "By the way")
    writer.sees("By the way")
    held[0].continue_()
    writer.sees("First")

    expect(writer.composer).to_have_value("Sec")
    writer.composer.press("o")
    writer.composer.press("Enter")
    writer.sees("Seco")
    assert texts(bob, chat) == ["First", "Seco", "By the way"]


def test_an_edit_that_was_left_keeps_its_text(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    carol = server.api.sign_up(f"carol beside {bob.username}")
    ada.asks(carol)
    ada.said(chat, "One")
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.acts("One", "Edit")
    writer.composer.fill("A better one, but")
    writer.opens(carol)
    expect(writer.composer).to_have_value("")
    writer.opens(bob)

    writer.acts("One", "Edit")
    expect(writer.composer).to_have_value("A better one, but")
    writer.composer.press("Escape")
    writer.acts("One", "Edit")
    expect(writer.composer).to_have_value("One")


def test_an_edit_ends_with_its_message(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    message = ada.said(chat, "One")
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.composer.fill("A draft")
    writer.acts("One", "Edit")
    writer.composer.fill("A better one")

    ada.request("DELETE", f"/api/messages/{message['id']}")

    expect(writer.page.get_by_text("you were editing was deleted")).to_be_visible()
    expect(writer.page.get_by_text("Editing", exact=True)).to_be_hidden()
    expect(writer.composer).to_have_value("A draft")


def test_a_clock_that_steps_back_changes_no_order(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.page.context.set_offline(True)
    writer.says("First")
    writer.page.evaluate("now = Date.now() - 3_600_000; Date.now = () => now")
    writer.says("Second")
    writer.says("Third")
    assert writer.said() == ["First", "Second", "Third"]
    writer.page.context.set_offline(False)

    expect(writer.messages.get_by_title("Sent")).to_have_count(3)
    assert texts(bob, chat) == writer.said() == ["First", "Second", "Third"]


# What is on the screen -----------------------------------------------------------------------


def test_a_translated_page_goes_on(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    mine, theirs = ada.said(chat, "Guten Tag"), bob.said(chat, "Guten Abend")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    reader.sees("Guten Abend")
    reader.page.evaluate(TRANSLATE)

    bob.request("PATCH", f"/api/messages/{theirs['id']}", {"message": "Gute Nacht"})
    bob.said(chat, "Noch da?")
    reader.sees("Gute Nacht")
    reader.sees("Noch da?")
    ada.request("DELETE", f"/api/messages/{mine['id']}")
    reader.sees("This message was deleted.")
    reader.says("Ja")
    expect(reader.message("Ja").get_by_title("Sent")).to_be_visible()


def test_reading_the_history_is_not_disturbed(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    for number in range(60):
        ada.said(chat, f"Line {number:02}")
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    line = reader.message("Line 30")
    line.evaluate("(line) => line.scrollIntoView({ block: 'center' })")
    line.evaluate("(line) => getSelection().selectAllChildren(line.querySelector('p'))")
    expect(reader.page.get_by_role("button", name="To the end")).to_be_visible()
    before = line.bounding_box()

    bob.said(chat, "News")
    bob.request("PUT", f"/api/chats/{chat['channel_name']}/read", {})  # redraws ada's own
    expect(reader.page.get_by_role("button", name="To the end, 1 new")).to_be_visible()

    assert line.bounding_box() == before
    assert reader.page.evaluate("String(getSelection())") == "Line 30"


def test_turning_a_phone_keeps_what_is_read(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    for number in range(60):
        ada.said(chat, f"Line {number:02} {'of a text that is read on a phone ' * 5}")
    upright = ViewportSize(width=390, height=844)
    lying = ViewportSize(width=844, height=390)
    reader = window(viewport=upright, has_touch=True, is_mobile=True)
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    line = reader.messages.filter(has_text="Line 30")
    line.evaluate("(line) => line.scrollIntoView({ block: 'start' })")
    expect(reader.page.get_by_role("button", name="To the end")).to_be_visible()

    for turned in (lying, upright, lying):
        reader.page.set_viewport_size(turned)
        reader.page.wait_for_function("width => innerWidth === width", arg=turned["width"])

        expect(line).to_be_in_viewport()
    reader.page.locator("#to-end").click()
    expect(reader.messages.last).to_be_in_viewport()
    reader.page.set_viewport_size(upright)
    expect(reader.messages.last).to_be_in_viewport()


def test_somebody_in_two_windows_stays_online_in_one(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    watcher, first = window(), window()
    watcher.is_of(ada, f"#/{bob.id}")
    first.is_of(bob, f"#/{ada.id}")
    second = window(beside=first)
    second.is_of(bob)
    first.is_live()
    second.is_live()
    status = watcher.page.locator("#peer-status")
    expect(status).to_have_text("Online")

    second.page.close()
    first.composer.press_sequentially("I am st")
    expect(status).to_have_text("typing")
    expect(status).to_have_text("Online")  # nobody says that typing has ended
    first.page.close()
    expect(status).to_have_text("Offline")


# Coming in -----------------------------------------------------------------------------------


def test_the_end_of_one_login_leaves_the_next_one(
    window: Windows, ada: Person, bob: Person
) -> None:
    """In one browser: ada, who stays logged in, and then bob, who does, too."""
    first = window(expected=CUT_OFF)
    first.visits()
    first.page.get_by_label("Stay logged in").check()
    first.fills_in(ada.username)
    first.is_live()
    second = window(beside=first, expected=CUT_OFF)
    second.page.add_init_script("sessionStorage.clear()")
    second.visits()
    expect(second.page.locator("#me")).to_contain_text(ada.username)
    kept = {"id": bob.id, "username": bob.username, "token": bob.token}
    second.page.evaluate(
        "(kept) => localStorage.setItem('chat/session', JSON.stringify(kept))", kept
    )
    second.page.reload()
    expect(second.page.locator("#me")).to_contain_text(bob.username)

    ada.post("/api/logout", {"all": True})
    first.page.get_by_label("Password").fill(PASSWORD)
    first.page.keyboard.press("Enter")
    expect(first.page.get_by_role("dialog")).to_have_count(0)
    second.page.reload()
    expect(second.page.locator("#me")).to_contain_text(bob.username)
    login = {"username": ada.username, "password": PASSWORD}
    ada.token = ada.post("/api/login", login).json["data"]["token"]
    ada.post("/api/logout", {"all": True})
    for dialog in ("Log in again", "Log out?"):
        at = first.page.get_by_role("dialog", name=dialog)
        at.get_by_role("button", name="Log out").click()

    expect(first.page.locator("#me")).to_contain_text(bob.username)
    second.page.reload()
    expect(second.page.locator("#me")).to_contain_text(bob.username)


def test_garbage_in_the_storage_hinders_nothing(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    """Such as half a value after a crash, or what an extension has written."""
    visitor = window()
    visitor.visits()
    visitor.page.evaluate(
        """([me, peer]) => {
          localStorage.setItem("chat/session", "undefined");
          sessionStorage.setItem("chat/notice", "{");
          localStorage.setItem(`chat/${me}/draft/${peer}`, "half a dra");
          for (const text of ["", "null", "{}", '"text"', "[1"])
            localStorage.setItem(`chat/${me}/outbox/${text}`, text);
        }""",
        [ada.id, bob.id],
    )
    visitor.page.reload()
    visitor.fills_in(ada.username)
    visitor.opens(bob)
    visitor.says("Hello")

    expect(visitor.message("Hello").get_by_title("Sent")).to_be_visible()
    assert texts(bob, chat) == ["Hello"]


def test_the_form_says_what_it_will_do(window: Windows) -> None:
    """A browser may restore the choice on the way back."""
    visitor = window()
    visitor.visits()
    visitor.page.get_by_text("Create account").first.click()
    visitor.page.goto(f"{visitor.address}static/icon.svg")

    visitor.page.go_back()

    chosen = visitor.page.locator("[name=way]:checked").get_attribute("value")
    verb = {"login": "Log in", "register": "Create account"}[str(chosen)]
    expect(visitor.page.get_by_role("button")).to_have_text(verb)
    assert chosen == "register", "need a choice that was restored"
