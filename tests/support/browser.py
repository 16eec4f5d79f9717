"""Chromium as the tests drive it, and what people do on the chat page."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import NODE_MODULES
from web.page import PUSHER_JS

# The headless shell is Chromium without what is around a page, and takes half the processor's time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium") or ""
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
AXE = NODE_MODULES / "axe-core/axe.min.js"
# What the browser itself says of a failed request. The page cannot prevent it. The last is of the
# service worker, where the line breaks while the browser fetches it.
CUT_OFF = (
    "Failed to load resource|WebSocket connection to"
    "|^An unknown error occurred when fetching the script.$"
)
# What it says of pusher-js, whatever the page does, and nothing is lost by either: pusher-js sends
# from a timer and does not look whether the server has hung up since, as it does after a block; and
# it tries anew when a connection takes longer than one second and twice the time of the last.
TIMING = (
    "^WebSocket is already in CLOSING or CLOSED state.$"
    "|^WebSocket connection to 'ws://.*' failed: WebSocket is closed before the connection is"
)

#: Notes when the first message was on the screen. For `add_init_script`.
NOTE_MESSAGES = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#messages li")) return;
  observer.disconnect();
  requestAnimationFrame(() => (window.shownAfter = performance.now()));
}).observe(document, { childList: true, subtree: true });
"""

expect.set_options(timeout=60_000)  # a reconnection takes some seconds


@contextmanager
def launched(*options: str) -> Iterator[Browser]:
    """Chromium, until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *options])
        yield browser
        browser.close()


def address(server: ChatServer) -> str:
    return f"http://127.0.0.1:{server.port}/"


def texts(person: Person, chat: dict[str, Any]) -> list[str]:
    return [message["message"] for message in person.reads(chat).json]


class Chromium:
    @classmethod
    def lacks(cls) -> str | None:
        return None if CHROMIUM else "Chromium is missing (Debian: chromium-headless-shell)"


class PagePackages:
    """pusher-js, which makes the page live, and axe-core, which judges it."""

    @classmethod
    def lacks(cls) -> str | None:
        missing = [path.name for path in (PUSHER_JS, AXE) if not path.exists()]
        return f"{' and '.join(missing)} missing (make node)" if missing else None


@dataclass
class Window:
    """Somebody's window of the chat page.

    `faults` are what the browser's console has to complain of, but for what is `expected`.
    """

    page: Page
    address: str
    expected: str = "^$"
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"{error}\n{error.stack}"))

    def _hear(self, said: ConsoleMessage) -> None:
        expected = f"{self.expected}|{TIMING}"
        if said.type in ("error", "warning") and not re.search(expected, said.text):
            self.faults.append(said.text)

    # Coming and going

    def visits(self, path: str = "") -> None:
        self.page.goto(f"{self.address}{path}")

    def registers(self, name: str) -> None:
        self.visits()
        self.page.get_by_text("Create account").click()
        self.fills_in(name)
        expect(self.page.locator("#me")).to_contain_text(name)

    def fills_in(self, name: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.keyboard.press("Enter")

    def remembers(self, person: Person) -> None:
        """They have logged in here before."""
        session = {"id": person.id, "username": person.username, "token": person.token}
        self.page.add_init_script(
            "sessionStorage.begun || sessionStorage.setItem('chat/session', "
            f"{json.dumps(json.dumps(session))}); sessionStorage.begun = 'yes'"
        )

    def is_of(self, person: Person, path: str = "") -> None:
        """They have logged in here before, and come back."""
        self.remembers(person)
        self.visits(path)
        expect(self.page.locator("#me")).to_contain_text(person.display_name or person.username)

    def is_live(self) -> None:
        expect(self.page.locator("#connection.live")).to_be_attached()

    # Chatting

    @property
    def composer(self) -> Locator:
        return self.page.locator("#text")

    @property
    def messages(self) -> Locator:
        return self.page.locator("#messages .message")

    def row(self, peer: Person) -> Locator:
        """Of the list of chats and people."""
        return self.page.locator(f'#lists a[href="#/{peer.id}"]')

    def message(self, text: str) -> Locator:
        body = self.page.locator("p").get_by_text(text, exact=True)
        return self.messages.filter(has=body)

    def opens(self, peer: Person) -> None:
        self.row(peer).click()
        expect(self.page.locator("#peer")).to_have_text(peer.username)
        expect(self.page.locator("#messages")).to_have_attribute("aria-busy", "false")

    def says(self, text: str) -> None:
        self.composer.fill(text)
        self.page.get_by_role("button", name="Send").click()

    def sees(self, text: str) -> None:
        expect(self.message(text)).to_be_visible()

    def acts(self, text: str, verb: str) -> None:
        """Edit or Delete, from the buttons of a message."""
        self.message(text).hover()
        self.message(text).get_by_role("button", name=verb).click()

    def chooses(self, item: str) -> None:
        """Something of the open chat's menu."""
        self.page.locator("#chat-menu").click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def offers(self, item: str) -> bool:
        """Whether the open chat's menu has it."""
        if self.page.locator("#chat-menu").is_hidden():
            return False
        self.page.locator("#chat-menu").click()
        items = self.page.get_by_role("menuitem").all_inner_texts()
        self.page.keyboard.press("Escape")
        return item in items

    def agrees(self, verb: str) -> None:
        self.page.get_by_role("dialog").get_by_role("button", name=verb).click()

    def said(self) -> list[str]:
        """The texts of all messages, in order."""
        return self.page.locator("#messages .bubble > p").all_text_contents()

    # Judging

    def offends(self, *rules: str) -> list[str]:
        """What axe-core finds wrong by these rules, or by all of its own."""
        if self.page.evaluate("typeof axe") == "undefined":
            # Past the policy of the page, which lets no script in that is not its own.
            session = self.page.context.new_cdp_session(self.page)
            session.send("Runtime.evaluate", {"expression": AXE.read_text()})
        # It would fetch imported style sheets and put them into the page, against its policy.
        options: dict[str, Any] = {"preload": False}
        if rules:
            options["runOnly"] = list(rules)
        run = "async (options) => (await axe.run(options)).violations"
        found: list[dict[str, Any]] = self.page.evaluate(run, options)
        return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]

    def overflows(self) -> bool:
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth > innerWidth"
            " || [...document.querySelectorAll('#messages, #lists, #talk')]"
            ".some((each) => each.scrollWidth > each.clientWidth)"
        )
        return wide


class Traffic:
    """What a page has asked for until now, and the bytes of that on the wire."""

    def __init__(self, devtools: CDPSession) -> None:
        self._asked: dict[str, str] = {}
        self._bytes: dict[str, int] = {}
        devtools.on("Network.requestWillBeSent", self._ask)
        devtools.on("Network.loadingFinished", self._finish)
        devtools.send("Network.enable")

    def _ask(self, event: dict[str, Any]) -> None:
        self._asked[event["requestId"]] = event["request"]["url"]
        self._bytes[event["requestId"]] = 0

    def _finish(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = int(event["encodedDataLength"])

    def by_address(self) -> list[tuple[str, int]]:
        """Each request, in its order."""
        return [(url, self._bytes[request]) for request, url in self._asked.items()]

    @property
    def total(self) -> int:
        return sum(self._bytes.values())


@dataclass
class Windows:
    """Opens windows, each in a browser profile of its own where none is named."""

    browser: Browser
    address: str
    opened: list[Window] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(
        self,
        address: str | None = None,
        beside: Window | None = None,
        expected: str = "^$",
        **options: Any,
    ) -> Window:
        if beside:
            context = beside.page.context
        else:
            context = self.browser.new_context(**{"locale": "en-GB", **options})
            self.contexts.append(context)
        window = Window(context.new_page(), address or self.address, expected)
        self.opened.append(window)
        return window

    def close(self) -> None:
        """Raises AssertionError if a console had to complain."""
        for context in self.contexts:
            context.close()
        faults = [fault for window in self.opened for fault in window.faults]
        assert not faults, "\n".join(faults)
