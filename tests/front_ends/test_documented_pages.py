"""The pages of docs/front-end/, in a browser and with a server that comes and goes."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from config import ROOT
from tests.support.browser import Chromium, address, launched, texts
from tests.support.conversations import block, sqlite_only
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import HOST, NODE_MODULES, require

PAGES = ROOT / "docs" / "front-end"
GUIDE = (ROOT / "docs" / "front-end.md").read_text(encoding="utf-8")
NAMES = [path.name for path in sorted(PAGES.glob("*.html"))]
URL = re.compile(r'"(https://cdn[^"]+)"')
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/([\w-]+)@([\d.]+)/(.+)")
LIBRARIES = [ROOT / "node_modules" / "pusher-js", *(NODE_MODULES / n for n in ("react", "vue"))]


class Libraries:
    @classmethod
    def lacks(cls) -> str | None:
        missing = [path.name for path in LIBRARIES if not path.exists()]
        return f"{' and '.join(missing)} missing (make node)" if missing else None


def installed(name: str, path: str) -> Path:
    folder = ROOT / "node_modules" if name == "pusher-js" else NODE_MODULES
    return folder / name / path


def from_the_packages(route: Route) -> None:
    """What a content delivery network would send, from where npm has put it."""
    name, _, path = CDN.fullmatch(route.request.url).groups()  # type: ignore[union-attr]
    readable = {"Access-Control-Allow-Origin": "*"}  # or the browser could not check integrity
    route.fulfill(path=installed(name, path), headers=readable)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    require(Chromium, Libraries)
    with launched() as browser:
        yield browser


@contextmanager
def site(folder: Path, server: ChatServer) -> Iterator[str]:
    """The pages on a site of their own, with the server's address in place of the usual one."""
    for file in PAGES.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://localhost:5000/", address(server))
        (folder / file.name).write_text(text, encoding="utf-8")
    files = ThreadingHTTPServer((HOST, 0), partial(SimpleHTTPRequestHandler, directory=folder))
    Thread(target=files.serve_forever).start()
    try:
        yield f"http://{HOST}:{files.server_port}"
    finally:
        files.shutdown()
        files.server_close()


class FrontEnd:
    """One of the pages, as somebody uses it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.route(CDN, from_the_packages)
        page.goto(address)

    def logs_in(self, name: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def opens(self, person: Person) -> None:
        self.page.get_by_role("button", name=person.username).click()

    def says(self, text: str) -> None:
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.get_by_role("button", name="Send").click()

    def messages(self, text: str | None = None, state: str = "") -> Locator:
        found = self.page.get_by_label("Messages").locator(f"li{state}")
        return found if text is None else found.filter(has_text=text)

    def sees(self, text: str, state: str = ".sent") -> None:
        expect(self.messages(text, state)).to_have_count(1)

    def complains(self, text: str) -> None:
        expect(self.page.get_by_role("alert")).to_contain_text(text)

    def is_(self, state: str) -> None:
        expect(self.page.get_by_role("status")).to_contain_text(state)


DOCUMENTS = [GUIDE, *(path.read_text(encoding="utf-8") for path in PAGES.glob("*.html"))]
#: Of a script, and of an import map.
PINNED = re.compile(r'"(https://cdn[^"]+)"(?:\s+integrity=|: )"sha384-([^"]+)"')


def test_scripts_from_elsewhere_are_npms_to_the_byte() -> None:
    """Another version, or other bytes under its name, would not run."""
    require(Libraries)
    shown = [each for text in DOCUMENTS for each in PINNED.findall(text)]
    assert len({url for url, _ in shown}) == 5
    assert {url for url, _ in shown} == {url for t in DOCUMENTS for url in URL.findall(t)}

    for url, integrity in shown:
        name, version, path = CDN.fullmatch(url).groups()  # type: ignore[union-attr]
        package = json.loads(installed(name, "package.json").read_text(encoding="utf-8"))
        assert package["version"] == version
        script = installed(name, path).read_bytes()
        assert base64.b64decode(integrity) == hashlib.sha384(script).digest(), url


def test_the_guide_shows_lines_of_the_pages() -> None:
    code = [" ".join(path.read_text(encoding="utf-8").split()) for path in PAGES.iterdir()]
    shown = re.findall(r"```js\n(.*?)```", GUIDE, re.DOTALL)
    assert len(shown) > 3, "the lines are not where they were"

    for lines in shown:
        assert any(" ".join(lines.split()) in each for each in code), lines


@pytest.mark.slow
@sqlite_only
def test_the_documented_pages_lose_and_double_nothing(
    chromium: Browser, start: Callable[..., ChatServer], tmp_path: Path
) -> None:
    """Each is another person's, and all live through the same: that takes a third of the time."""
    assert len(NAMES) == 3, "the pages are not where they were"
    server = start("gunicorn")
    ada = server.api.sign_up("ada")
    theirs = {name: server.api.sign_up(name.removesuffix(".html")) for name in NAMES}
    chats = {name: ada.asks(person).json for name, person in theirs.items()}
    for number in range(52):
        for chat in chats.values():
            ada.said(chat, f"Message {number:02}")
    with site(tmp_path, server) as at:
        fronts = {name: FrontEnd(chromium.new_page(), f"{at}/{name}") for name in NAMES}

    for name, front in fronts.items():
        front.logs_in(theirs[name].username, "wrong horse")
        front.complains("password")
        front.logs_in(theirs[name].username)
        front.is_("live")
        front.complains("")
        front.opens(ada)
        expect(front.messages()).to_have_count(50)
        front.page.get_by_role("button", name="Earlier").click()
        expect(front.messages()).to_have_count(52)
        ada.said(chats[name], "Are you there? <b>")
        front.sees("Are you there? <b>")

        # The API stores it, and the answer is lost.
        front.page.route("**/api/send_message", lose_the_answer, times=1)
        front.says("Only once")
        expect(front.messages("Only once", ".waiting")).to_have_count(0)
        front.sees("Only once")

    server.stop()
    for front in fronts.values():
        front.is_("offline")
        front.says("Said without a connection")
        front.sees("Said without a connection", ".waiting")
    server.start()
    for chat in chats.values():
        ada.said(chat, "Said meanwhile")
    for name, front in fronts.items():
        front.sees("Said meanwhile")
        front.sees("Said without a connection")
        front.is_("live")
        stored = texts(ada, chats[name])
        assert [stored.count(text) for text in ("Only once", "Said without a connection")] == [1, 1]

        block(ada, theirs[name])
        front.says("Not to somebody who has blocked me")
        front.sees("blocked", ".failed")
        front.page.get_by_role("button", name="Log out").click()
        expect(front.page.get_by_label("Password")).to_be_visible()
        assert front.faults == []
        front.page.close()


@pytest.mark.slow
@sqlite_only
def test_a_reaction_marks_no_chat_as_new(
    chromium: Browser, start: Callable[..., ChatServer], tmp_path: Path
) -> None:
    server = start("gunicorn")
    ada, bob, eve = (server.api.sign_up(name) for name in ("ada", "bob", "eve"))
    message = ada.said(ada.asks(bob).json, "Said long ago")
    with site(tmp_path, server) as at:
        front = FrontEnd(chromium.new_page(), f"{at}/plain.html")
    front.logs_in("bob")
    front.is_("live")

    bob.request("PUT", f"/api/messages/{message['id']}/reactions/%F0%9F%91%8D")
    eve.said(eve.asks(bob).json, "Said now")

    people = front.page.get_by_label("People").get_by_role("button")
    expect(people).to_have_text(["ada", "eve (new)"])
    front.page.close()


def lose_the_answer(route: Route) -> None:
    route.fetch()
    route.abort("connectionreset")
