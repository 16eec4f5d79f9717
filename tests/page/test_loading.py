"""How the page loads: with how little, from what it has kept, and without a connection."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.browser import CUT_OFF, NOTE_MESSAGES, Traffic, Window, Windows, address
from tests.support.forked import Forked
from tests.support.people import ROOT, ChatServer, Person
from tests.support.servers import Server, require
from tests.support.tour import held
from web import assets

pytestmark = pytest.mark.slow

Chat = dict[str, Any]
MODULE = re.compile(r"/static/.*\.(js|css)$")
SEEN = "Object.keys({...localStorage, ...sessionStorage}).filter((key) => /seen/.test(key))"


class Bundle:
    """What `make run` makes of the page's modules where npm is."""

    @classmethod
    def lacks(cls) -> str | None:
        return None if assets.current({}).bundled else "The bundle is missing or old (make page)"


def modules(traffic: Traffic) -> list[tuple[str, int]]:
    return [(url, size) for url, size in traffic.by_address() if MODULE.search(url)]


def requests_until_messages(window: Window) -> int:
    """With that of the page itself."""
    found: int = window.page.evaluate(
        "performance.getEntriesByType('resource').filter(({ startTime }) => startTime < shownAfter)"
        ".length"
    )
    return found + 1


def asked(traffic: Traffic, path: str) -> int:
    return sum(path in url for url, _ in traffic.by_address())


def test_messages_come_with_few_requests_and_bytes(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    require(Bundle)
    for number in range(60):
        bob.said(chat, f"Message {number} of a day on which much was said")
    reader = window()
    reader.page.add_init_script(NOTE_MESSAGES)
    cold = Traffic(reader.page.context.new_cdp_session(reader.page))

    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.messages.last).to_contain_text("Message 59")
    reader.is_live()

    assert 5 < requests_until_messages(reader) <= 12
    assert 20_000 < cold.total <= 100_000
    assert asked(cold, "/api/chats?") == 1

    reader.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    warm = Traffic(reader.page.context.new_cdp_session(reader.page))
    reader.page.reload()
    expect(reader.messages.last).to_contain_text("Message 59")
    expect(reader.page.locator("#messages")).to_have_attribute("aria-busy", "false")
    reader.is_live()

    addresses = [url for url, _ in warm.by_address()]
    last = next(at for at, url in enumerate(addresses) if "/api/get_message/" in url)
    assert sum(size for _, size in warm.by_address()[: last + 1]) <= 4_096
    assert sum(size for _, size in modules(warm)) == 0
    assert asked(warm, "/api/chats?") == 1


def test_what_is_loading_never_looks_empty(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    reader = window()
    waiting: list[Route] = []
    going_on = False

    def hold(route: Route) -> None:
        if going_on:
            route.continue_()
        else:
            waiting.append(route)

    for path in ("**/api/chats?*", "**/api/get_message/*?*", "**/api/users?*"):
        reader.page.route(path, hold)

    reader.is_of(ada, f"#/{bob.id}")

    expect(reader.page.locator("#lists .outline")).to_be_visible()
    expect(reader.page.locator("#awaited")).to_be_visible()
    for empty in ("Nobody else is here yet.", "This is the beginning", "No messages yet"):
        expect(reader.page.get_by_text(empty)).not_to_be_visible()
    going_on = True
    for route in waiting:
        route.continue_()
    reader.sees("Hello")
    expect(reader.page.locator(".outline:visible")).to_have_count(0)


def test_nothing_moves_while_the_page_connects(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    reader = window()
    head = reader.page.locator("#talk header")
    with held(reader, "**/vendor/pusher.js"):
        reader.is_of(ada, f"#/{bob.id}")
        reader.sees("Hello")
        before = head.bounding_box()

        reader.page.wait_for_timeout(3_000)

        assert head.bounding_box() == before
    reader.is_live()
    assert head.bounding_box() == before


def test_the_page_opens_without_a_server(window: Windows, own_server: ChatServer) -> None:
    ada, bob = own_server.api.sign_up("ada"), own_server.api.sign_up("bob")
    chat = ada.asks(bob).json
    bob.said(chat, "Hello before the break")
    reader = window(address(own_server), expected=CUT_OFF)
    reader.is_of(ada, f"#/{bob.id}")
    reader.is_live()
    reader.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    status = reader.page.get_by_role("status").first

    own_server.kill()
    reader.page.reload()

    expect(status).to_contain_text("No connection.")
    expect(status).to_contain_text("You see what was here on")
    reader.sees("Hello before the break")
    expect(reader.row(bob)).to_contain_text("Hello before the break")
    reader.says("Written without a connection")
    expect(reader.message("Written without a connection").get_by_title("Waiting")).to_be_visible()
    own_server.start()
    bob.said(chat, "Hello again")
    reader.is_live()
    reader.sees("Hello again")
    assert "Written without a connection" in [each["message"] for each in bob.reads(chat).json]


def test_a_chat_not_seen_yet_takes_messages_offline(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Hello")
    writer = window(expected=CUT_OFF)
    writer.is_of(ada)
    writer.is_live()
    expect(writer.row(bob)).to_contain_text("Hello")
    writer.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    waiting = writer.messages.get_by_title("Waiting")

    writer.page.context.set_offline(True)
    expect(writer.page.locator("#connection.offline")).to_be_visible()
    writer.row(bob).click()
    writer.says("First")
    expect(waiting).to_have_count(1)
    expect(writer.page.get_by_role("button", name="Attach files")).to_be_enabled()
    writer.page.reload()
    writer.says("Second")

    expect(waiting).to_have_count(2)
    writer.page.context.set_offline(False)
    writer.sees("Hello")
    expect(writer.messages.get_by_title("Sent")).to_have_count(2)
    assert writer.said() == ["Hello", "First", "Second"]


def test_what_was_seen_is_gone_after_a_log_out(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "For ada alone")
    first = window(expected=CUT_OFF)
    first.visits()
    first.page.get_by_label("Stay logged in").check()
    first.fills_in(ada.username)
    first.row(bob).click()
    first.sees("For ada alone")
    second = window(beside=first, expected=CUT_OFF)
    second.visits(f"#/{bob.id}")
    second.sees("For ada alone")
    second.page.reload()  # on leaving it keeps what was seen
    second.sees("For ada alone")
    assert len(first.page.evaluate(SEEN)) == 2, "need something that was seen"

    first.page.locator("#logout").click()
    first.agrees("Log out")
    for each in (first, second):
        expect(each.page.get_by_label("Password")).to_be_visible()
        each.page.reload()
        assert each.page.evaluate(SEEN) == []
    kept = "caches.keys().then((all) => Promise.all(all.map(async (name) =>"
    kept += " (await (await caches.open(name)).keys()).map(({ url }) => url))))"
    assert [url for urls in first.page.evaluate(kept) for url in urls if "/api/" in url] == []


class Elsewhere(ChatServer):
    """The API as it is after a clone, on a machine without npm."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.root = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in files.stdout.splitlines():
            if not name.startswith(("tests/", "docs/", "bench/")) and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def command(self) -> list[str | Path]:
        app = self.root / "app.py"
        return [sys.executable, "-m", "flask", "--app", app, "run", "--port", str(self.port)]

    def spawn(self) -> subprocess.Popen[bytes] | Forked:
        return Server.spawn(self)

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(self.root)}


@pytest.fixture
def elsewhere(chromium: Browser, tmp_path: Path) -> Iterator[Elsewhere]:
    with Elsewhere(tmp_path) as server:
        yield server


def test_modules_are_enough_and_a_new_version_comes_in(
    window: Windows, elsewhere: Elsewhere
) -> None:
    ada, bob = elsewhere.api.sign_up("ada"), elsewhere.api.sign_up("bob")
    chat = ada.asks(bob).json
    bob.said(chat, "Hello")
    reader: Window = window(address(elsewhere), expected=CUT_OFF)  # by its own reload
    cold = Traffic(reader.page.context.new_cdp_session(reader.page))
    status = reader.page.get_by_role("status").first

    reader.is_of(ada, f"#/{bob.id}")
    reader.sees("Hello")
    reader.says("Hello too")
    expect(reader.message("Hello too").get_by_title("Sent")).to_be_visible()
    expect(status).to_contain_text("Not live: checking for new messages every few seconds.")
    assert len(modules(cold)) > 30, "need modules, and no bundle"

    reader.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    warm = Traffic(reader.page.context.new_cdp_session(reader.page))
    reader.page.reload()
    reader.sees("Hello too")
    assert sum(size for _, size in modules(warm)) == 0

    texts = elsewhere.root / "static/texts/en.js"
    texts.write_text(texts.read_text().replace('"Not live: ', '"By asking: '), encoding="utf-8")
    os.utime(texts)
    reader.page.reload()
    expect(status).to_contain_text("By asking: ")


def test_a_login_ended_elsewhere_leaves_nothing_seen(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "For ada alone")
    device = window(expected=CUT_OFF)
    device.is_of(ada, f"#/{bob.id}")
    device.sees("For ada alone")
    device.page.reload()  # on leaving it keeps what was seen
    device.sees("For ada alone")
    assert device.page.evaluate(SEEN), "need something that was seen"

    assert ada.post("/api/logout").status == 204
    device.page.reload()

    # In a dialog, or on a page of its own if the first page had heard of it before it was left.
    expect(device.page.get_by_role("textbox", name="Password")).to_be_visible()
    assert device.page.evaluate(SEEN) == []
