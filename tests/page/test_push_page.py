"""Being told of messages while the page is closed, and while it is open but not looked at.

The browser of the tests can show no notifications and knows no push service. So scripts stand in
for both, and all between them is real: the outbox, the encryption, and the service worker.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import CDPSession, Page, Worker, expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.push_service import PushService
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

# What a browser has that shows notifications: `shown` are those that the page has asked for.
NOTIFICATIONS = """
  window.shown = [];
  window.Notification = class extends EventTarget {
    static permission = localStorage.permission ?? "default";
    static async requestPermission() {
      this.permission = localStorage.permission = localStorage.answer ?? "granted";
      return this.permission;
    }
    constructor(title, options) {
      super();
      shown.push(Object.assign(this, { title, ...options }));
    }
    close() {
      shown.splice(shown.indexOf(this), 1);
    }
  };
"""
# What is subscribed to is a browser that the push service of the tests knows.
SUBSCRIBING = """
  PushManager.prototype.subscribe = async (options) => {
    const { userVisibleOnly, applicationServerKey: key } = options;
    if (!userVisibleOnly || !key) throw new TypeError("Both, please.");
    localStorage.asked = 1 + Number(localStorage.asked ?? 0);
    return %s;
  };
"""
# The same in the worker, where notifications stay until they are closed.
IN_THE_WORKER = """
  self.shown = [];
  registration.showNotification = async (title, options) => {
    shown = shown.filter(({ tag }) => tag !== options.tag);
    shown.push({ title, ...options, close() { shown = shown.filter((each) => each !== this); } });
  };
  registration.getNotifications = async ({ tag } = {}) =>
    shown.filter((each) => !tag || each.tag === tag);
  self.click = () => {
    const event = new Event("notificationclick");
    const waitUntil = (act) => act.catch(() => {}); // only a real click may move the focus
    dispatchEvent(Object.assign(event, { notification: shown[0], waitUntil }));
  };
  0
"""


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as service:
        yield service


@pytest.fixture(scope="module")
def server(chromium: Chromium) -> Iterator[ChatServer]:
    with ChatServer(PUSH_ALLOW_PRIVATE="true") as server:
        yield server


def opens_settings(window: Window) -> None:
    window.page.locator("#open-settings").click()
    settings = window.page.get_by_role("dialog", name="Settings")
    settings.get_by_role("button", name="Notifications").click()


def shown(of: Page | Worker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of.evaluate("shown.map((each) => ({ ...each }))")
    return found


class Pushed:
    """The browser's end of its push service."""

    def __init__(self, window: Window) -> None:
        self.page = window.page
        self.origin = window.address.rstrip("/")
        self.session: CDPSession = self.page.context.new_cdp_session(self.page)
        self.registrations: list[str] = []
        self.session.on("ServiceWorker.workerRegistrationUpdated", self._note)
        self.session.send("ServiceWorker.enable")
        self.page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
        [self.worker] = self.page.context.service_workers
        self.worker.evaluate(IN_THE_WORKER)

    def _note(self, event: dict[str, Any]) -> None:
        self.registrations += [each["registrationId"] for each in event["registrations"]]

    def delivers(self, told: dict[str, Any]) -> None:
        eventually(lambda: self.page.evaluate("0") == 0 and bool(self.registrations))
        data = {"origin": self.origin, "registrationId": self.registrations[-1]}
        text = json.dumps({key: value for key, value in told.items() if key != "bytes"})
        self.session.send("ServiceWorker.deliverPushMessage", {**data, "data": text})


def test_a_message_reaches_a_browser_out_of_sight(
    window: Windows,
    service: PushService,
    server: ChatServer,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
) -> None:
    browser = service.browser()
    eve = server.api.sign_up("eve")
    reader = window(expected=CUT_OFF)
    reader.page.add_init_script(NOTIFICATIONS + SUBSCRIBING % json.dumps(browser.subscription))
    reader.is_of(ada)
    reader.is_live()
    assert reader.page.evaluate("localStorage.asked") is None  # nothing by itself
    opens_settings(reader)
    reader.page.get_by_role("button", name="Turn on notifications").click()
    expect(reader.page.locator("#told")).to_contain_text("also while this page is closed")
    assert reader.offends() == []
    reader.page.get_by_label("With a sound").uncheck()
    reader.page.keyboard.press("Escape")
    pushed = Pushed(reader)

    def reach(*texts: str) -> None:
        service.wait_for(browser, *texts)
        for told in service.told(browser):
            if told["message"] in texts:
                pushed.delivers(told)

    bob.said(chat, "Are you there?")
    bob.said(chat, "Ada?")
    reach("Are you there?", "Ada?", "Are you there?")
    eventually(lambda: [each["body"] for each in shown(pushed.worker)] == ["Are you there?\nAda?"])
    [notification] = shown(pushed.worker)
    assert (notification["title"], notification["silent"]) == (bob.username, True)
    expect(reader.page).to_have_title("(2) Chitchat")
    icon = reader.page.locator("link[rel=icon]")
    expect(icon).to_have_attribute("href", re.compile("^blob:"))

    pushed.worker.evaluate("click()")
    expect(reader.page.locator("#peer")).to_have_text(bob.username)
    expect(reader.page).to_have_title(f"{bob.username} · Chitchat")
    expect(icon).to_have_attribute("href", re.compile(r"icon\.svg$"))
    assert shown(pushed.worker) == []
    bob.said(chat, "Seen at once")
    reach("Seen at once")
    other = eve.asks(ada).json
    eve.said(other, "From somebody else")
    reach("From somebody else")
    eventually(lambda: [each["body"] for each in shown(pushed.worker)] == ["From somebody else"])

    assert ada.request("PUT", f"/api/chats/{other['channel_name']}/mute").status == 204
    eve.said(other, "Not heard")
    bob.said(chat, "Heard")
    service.wait_for(browser, "Heard")
    assert "Not heard" not in service.texts(browser)

    with reader.page.expect_request(re.compile("/api/push/subscriptions")) as put:
        change = "Object.assign(new Event('pushsubscriptionchange'), { waitUntil() {} })"
        pushed.worker.evaluate(f"dispatchEvent({change})")
    assert put.value.method == "PUT"
    reader.page.locator("#logout").click()
    reader.agrees("Log out")
    expect(reader.page.get_by_label("Name")).to_be_visible()
    bob.said(chat, "To nobody here")
    spare = service.browser()
    assert eve.request("PUT", "/api/push/subscriptions", spare.subscription).status == 204
    bob.said(bob.asks(eve).json, "To somebody")
    service.wait_for(spare, "To somebody")
    assert "To nobody here" not in service.texts(browser)


def test_an_open_page_tells_where_pushes_are_refused(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    refusing = """
      PushManager.prototype.subscribe = async () => {
        throw new DOMException("The push service is away.", "AbortError");
      };
    """
    reader = window(expected=CUT_OFF)
    reader.page.add_init_script(NOTIFICATIONS + refusing + "localStorage.answer ??= 'denied'")
    reader.is_of(ada)
    reader.is_live()
    opens_settings(reader)
    button = reader.page.get_by_role("button", name="Turn on notifications")
    button.click()
    expect(reader.page.locator("#told")).to_contain_text("does not let this page")

    reader.page.evaluate("localStorage.answer = 'granted'; localStorage.permission = 'default'")
    reader.page.reload()
    reader.is_live()
    opens_settings(reader)
    button.click()
    expect(reader.page.locator("#told")).to_contain_text("while this page is open")
    expect(reader.page.get_by_text("The push service is away.")).to_be_visible()
    assert reader.offends() == []
    reader.page.keyboard.press("Escape")
    behind = window(beside=reader, expected=CUT_OFF)
    behind.page.add_init_script(NOTIFICATIONS + refusing + "document.hasFocus = () => false")
    behind.is_of(ada)
    behind.is_live()
    bob.said(chat, "While she looks")
    expect(reader.row(bob)).to_contain_text("While she looks")
    expect(behind.row(bob)).to_contain_text("While she looks")
    behind.page.wait_for_timeout(1_000)  # for what must not come
    assert shown(behind.page) == []
    behind.page.close()
    reader.page.evaluate("document.hasFocus = () => false")
    bob.said(chat, "While she is away")

    eventually(lambda: [each["body"] for each in shown(reader.page)] == ["While she is away"])
    reader.page.evaluate(
        "document.hasFocus = () => true; shown[0].dispatchEvent(new Event('click'))"
    )
    reader.sees("While she is away")
    assert shown(reader.page) == []
    reader.page.evaluate("document.hasFocus = () => false")
    assert ada.request("PUT", f"/api/chats/{chat['channel_name']}/mute").status == 204
    with reader.page.expect_response(re.compile("/api/chats")):
        reader.page.evaluate("dispatchEvent(new Event('online'))")  # has it look at once
    eve = server.api.sign_up("eve, who is new")
    bob.said(chat, "Not told of")
    eve.said(eve.asks(ada).json, "From somebody new")
    eventually(lambda: [each["body"] for each in shown(reader.page)] == ["From somebody new"])
    expect(reader.row(bob)).to_contain_text("Not told of")


def test_a_subscription_ends_where_somebody_else_begins(
    window: Windows, service: PushService, server: ChatServer, ada: Person, bob: Person
) -> None:
    chat, carol = bob.asks(ada).json, server.api.sign_up("carol")
    browser = service.browser()
    first = window(expected=CUT_OFF)
    subscribing = NOTIFICATIONS + SUBSCRIBING % json.dumps(browser.subscription)
    first.page.add_init_script(subscribing)
    first.is_of(ada)
    first.is_live()
    opens_settings(first)
    first.page.get_by_role("button", name="Turn on notifications").click()
    expect(first.page.locator("#told")).to_contain_text("also while this page is closed")
    first.page.keyboard.press("Escape")

    ada.post("/api/logout", {"all": True})
    first.page.get_by_label("Password").fill(PASSWORD)
    with first.page.expect_response(re.compile("/api/push/subscriptions")):
        first.page.keyboard.press("Enter")
    bob.said(chat, "To the new login")
    service.wait_for(browser, "To the new login")

    first.page.close()  # not logged out
    second = window(beside=first)
    second.page.add_init_script(subscribing)
    with second.page.expect_request(lambda request: request.method == "DELETE"):
        second.is_of(carol)
    second.is_live()
    opens_settings(second)
    expect(second.page.get_by_role("button", name="Turn on notifications")).to_be_visible()
    bob.said(chat, "To nobody here")
    spare = service.browser()
    assert bob.request("PUT", "/api/push/subscriptions", spare.subscription).status == 204
    carol.said(carol.asks(bob).json, "To somebody")
    service.wait_for(spare, "To somebody")
    assert "To nobody here" not in service.texts(browser)


def test_a_button_turns_pushes_off_and_on(
    window: Windows,
    service: PushService,
    server: ChatServer,
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
) -> None:
    browser, spare = service.browser(), service.browser()
    assert bob.request("PUT", "/api/push/subscriptions", spare.subscription).status == 204
    reader = window()
    reader.page.add_init_script(NOTIFICATIONS + SUBSCRIBING % json.dumps(browser.subscription))
    reader.is_of(ada)
    reader.is_live()
    opens_settings(reader)
    told, page = reader.page.locator("#told"), reader.page
    page.get_by_role("button", name="Turn on notifications").click()
    expect(told).to_contain_text("also while this page is closed")

    with page.expect_response(re.compile("/api/push/subscriptions")):
        page.get_by_role("button", name="Turn off notifications").click()
    expect(told).to_have_text("This device does not tell you of new messages.")
    bob.said(chat, "To nobody")
    ada.said(chat, "To the other side")
    service.wait_for(spare, "To the other side")
    assert service.texts(browser) == []
    page.reload()
    reader.is_live()
    opens_settings(reader)
    expect(told).to_have_text("This device does not tell you of new messages.")

    page.get_by_role("button", name="Turn on notifications").click()
    expect(told).to_contain_text("also while this page is closed")
    bob.said(chat, "To this device")
    service.wait_for(browser, "To this device")


def test_a_log_out_closes_what_was_told(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    on_the_screen = """
      localStorage.shown ??= "For ada alone";
      ServiceWorkerRegistration.prototype.getNotifications = async () =>
        localStorage.shown ? [{ close() { localStorage.shown = ""; } }] : [];
    """
    reader = window(expected=CUT_OFF)
    reader.page.add_init_script(on_the_screen)
    bob.said(chat, "For ada alone")
    reader.is_of(ada)
    reader.is_live()
    reader.page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    assert reader.page.evaluate("localStorage.shown")

    reader.page.locator("#logout").click()
    reader.agrees("Log out")

    expect(reader.page.get_by_label("Name")).to_be_visible()
    assert reader.page.evaluate("localStorage.shown") == ""
