"""What people ran into with chat pages, tried on this one in a real browser."""

import json
from typing import Any

import pytest
from playwright.sync_api import Route, WebSocket, expect

from tests.support.browser import CUT_OFF, Window, Windows, texts
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

FAULT = {"status": "error", "code": "internal", "message": "Something went wrong here."}
REFUSED = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, {
    get() { throw new DOMException("The operation is insecure.", "SecurityError"); },
  });
}
window.BroadcastChannel = class { constructor() { throw new DOMException("", "SecurityError"); } };
"""
FULL = """
for (let size = 2 ** 20; size >= 1; size /= 2) {
  try { for (let n = 0; ; n += 1) localStorage.setItem(`${size} ${n}`, "x".repeat(size)); }
  catch { /* smaller ones may still fit */ }
}
"""
OLDER = """
delete Intl.Segmenter;
delete AbortSignal.timeout;
delete window.BroadcastChannel;
delete Array.prototype.findLast;
delete HTMLElement.prototype.showPopover;
delete HTMLElement.prototype.hidePopover;
delete HTMLFormElement.prototype.requestSubmit;
"""
NOT_FOCUSED = "document.hasFocus = () => false"
FOCUSED = "document.hasFocus = () => true; dispatchEvent(new Event('focus'))"


def logs_in(window: Window, person: Person, path: str = "") -> None:
    window.visits(path)
    window.fills_in(person.username)
    expect(window.page.locator("#me")).to_contain_text(person.username)


# Writing -------------------------------------------------------------------------------------


def test_enter_that_chooses_a_word_sends_nothing(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    """As Safari tells of it: the composition has ended when the key comes."""
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.composer.fill("日本")

    writer.composer.evaluate(
        """(field) => {
          field.dispatchEvent(new CompositionEvent("compositionend", { data: "日本" }));
          const key = { key: "Enter", keyCode: 229, bubbles: true, cancelable: true };
          field.dispatchEvent(new KeyboardEvent("keydown", key));
        }"""
    )
    expect(writer.composer).to_have_value("日本")
    writer.composer.press("Enter")

    expect(writer.message("日本").get_by_title("Sent")).to_be_visible()
    assert texts(bob, chat) == ["日本"]


@pytest.mark.parametrize("storage", ["refused", "full"])
def test_messages_go_out_without_storage(
    storage: str, window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    if storage == "refused":
        writer.page.add_init_script(REFUSED)
    logs_in(writer, ada, f"#/{bob.id}")
    if storage == "full":
        writer.page.evaluate(FULL)
    line = writer.page.locator("#connection")

    writer.page.route("**/api/send_message", lambda route: route.abort())
    writer.says("Not kept")
    expect(line).to_contain_text("it is lost if you close this window")
    writer.page.unroute_all()
    expect(writer.message("Not kept").get_by_title("Sent")).to_be_visible()
    expect(line).to_be_empty()
    writer.composer.press_sequentially("A draft")
    expect(line).to_contain_text("it is lost if you close this window")
    writer.composer.press("Enter")

    expect(writer.message("A draft").get_by_title("Sent")).to_be_visible()
    assert texts(bob, chat) == ["Not kept", "A draft"]


def test_a_message_the_server_fails_at_blocks_no_other(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    carol = server.api.sign_up(f"carol of {ada.username}")
    to_carol = ada.asks(carol).json
    writer = window(expected=CUT_OFF)

    def fail_at_one(route: Route) -> None:
        if json.loads(route.request.post_data or "")["message"] == "Too much for it":
            route.fulfill(status=500, json=FAULT)
        else:
            route.continue_()

    writer.page.route("**/api/send_message", fail_at_one)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.says("Too much for it")
    writer.says("Later")
    writer.opens(carol)
    writer.says("To carol")
    expect(writer.message("To carol").get_by_title("Sent")).to_be_visible()
    writer.opens(bob)

    expect(writer.page.get_by_text("Not sent: Something went wrong here.")).to_be_visible()
    expect(writer.message("Later").get_by_title("Sent")).to_be_visible()
    assert (texts(bob, chat), texts(carol, to_carol)) == (["Later"], ["To carol"])
    writer.page.unroute_all()
    writer.page.get_by_role("button", name="Try again").click()
    expect(writer.message("Too much for it").get_by_title("Sent")).to_be_visible()


# Reading -------------------------------------------------------------------------------------


def test_a_window_without_focus_marks_nothing_read(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Before")
    reader = window()
    reader.page.add_init_script(NOT_FOCUSED)
    reader.is_of(ada, f"#/{bob.id}")
    reader.sees("Before")
    reader.is_live()
    bob.said(chat, "After")
    reader.sees("After")

    expect(reader.page).to_have_title(f"(2) {bob.username} · Chitchat")
    assert ada.get("/api/chats").json[0]["unread"] == 2
    reader.page.evaluate(FOCUSED)

    assert eventually(lambda: ada.get("/api/chats").json[0]["unread"] == 0)


def test_a_long_answer_over_a_slow_line_arrives(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    """50 messages of 15,000 bytes each take longer than the page's patience with silence."""
    for number in range(50):
        ada.said(chat, f"{number:02}" + "語" * 4_990)
    reader = window()
    reader.is_of(ada)
    reader.is_live()
    line = reader.page.context.new_cdp_session(reader.page)
    slow = {"offline": False, "latency": 50, "downloadThroughput": 40_000, "uploadThroughput": -1}
    line.send("Network.emulateNetworkConditions", slow)
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))

    reader.opens(bob)

    assert len(reader.said()) == 50
    assert len([url for url in asked if "/api/get_message/" in url]) == 1


# Coming in -----------------------------------------------------------------------------------


def test_an_older_browser_shows_the_page(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "👍🏽")
    older = window(expected="400")
    older.page.add_init_script(OLDER)
    logs_in(older, ada, f"#/{bob.id}")

    older.is_live()
    older.composer.fill("Hello")
    older.composer.press("Enter")
    expect(older.message("Hello").get_by_title("Sent")).to_be_visible()
    older.page.route("**/api/messages/*", lambda route: route.continue_(post_data="{}"))
    older.composer.press("ArrowUp")
    older.says("Edited")

    expect(older.page.locator("#toast")).to_be_visible()
    assert texts(bob, chat) == ["👍🏽", "Hello"]


@pytest.mark.parametrize("trouble", ["without script", "cut off", "too old"])
def test_a_sentence_shows_until_the_script_has_run(trouble: str, window: Windows) -> None:
    visitor = window(expected=f"{CUT_OFF}|too old", java_script_enabled=trouble != "without script")
    if trouble == "cut off":
        visitor.page.route("**/app.js", lambda route: route.abort())
    elif trouble == "too old":
        visitor.page.add_init_script("delete Array.prototype.at")
    visitor.visits()

    expect(visitor.page.get_by_text("If this sentence stays, reload the page.")).to_be_visible()
    assert all("too old" in fault for fault in visitor.faults)
    visitor.faults.clear()


def test_registering_again_after_a_lost_answer_logs_in(window: Windows, ada: Person) -> None:
    newcomer = window(expected=f"{CUT_OFF}|409|401")
    newcomer.visits()
    newcomer.page.get_by_text("Create account").click()
    fault = newcomer.page.get_by_role("alert")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    newcomer.page.route("**/api/register", lambda route: route.abort(), times=1)
    newcomer.fills_in(ada.username, "another password")
    expect(fault).to_have_text("No connection.")
    newcomer.page.keyboard.press("Enter")
    expect(fault).to_have_text("This username is in use. Choose another one.")

    mine = f"grace beside {ada.username}"
    newcomer.page.route("**/api/register", lose, times=1)
    newcomer.fills_in(mine, PASSWORD)
    expect(fault).to_have_text("No connection.")
    newcomer.page.keyboard.press("Enter")

    expect(newcomer.page.locator("#me")).to_contain_text(mine)


def test_the_page_signs_its_connection_in(window: Windows, ada: Person) -> None:
    """So that a hosted Pusher server finds the connection when it is told to end it."""
    heard: list[str] = []
    visitor = window()

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: heard.append(str(frame)))

    visitor.page.on("websocket", listen)
    visitor.is_of(ada)

    def is_signed_in() -> bool:
        visitor.page.wait_for_timeout(50)  # has Playwright tell of what came
        return any("pusher:signin_success" in frame for frame in heard)

    assert eventually(is_signed_in)
