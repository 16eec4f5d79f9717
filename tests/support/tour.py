"""The chat page in every state that it has, one after the other: to be judged, or for pictures."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image, ImageDraw, ImageOps
from playwright.sync_api import Error, FilePayload, Route, expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import ChatServer, Person

Chat = dict[str, Any]

LONG = "Maximiliane-Alexandra von und zu Hohenberg-Waldeck (Abteilung B)"
NAMES = ["mira", "Олена", "ليلى", "jonas", "Åsa", "tomas", "Noor", LONG[:50]]

#: Who writes, and what: the newest last.
TALK = [
    ("bob", "Are you coming to the lake on Saturday?"),
    ("ada", "Yes! I can bring the small grill and something for the salad."),
    ("ada", "🎉"),
    ("bob", "Good morning. The forecast says 24 degrees and hardly any wind."),
    ("bob", "Shall we take the early train?"),
    (
        "ada",
        "Let us. It leaves at **8:40**, platform 3. I have the tickets: https://trains.example/t/4821",
    ),
    ("bob", "Run `make run` first, then:\n```\nflask init-db\nflask run --port 5001\n```"),
]


def picture(size: tuple[int, int], evening: bool = False) -> bytes:
    """Hills behind a lake, by day or in the evening."""
    width, height = size
    shore = height * 2 // 3
    above, below, sun, *hills = EVENING if evening else DAY
    sky = Image.composite(Image.new("RGB", size, below), Image.new("RGB", size, above), slope(size))
    drawing = ImageDraw.Draw(sky)
    middle, half = (width * 0.7, shore * 0.55), width * 0.05
    drawing.ellipse([middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half], sun)
    for number, colour in enumerate(hills, 1):
        edge = [
            (
                x,
                shore
                - height
                * (0.3 - 0.08 * number)
                * (1.2 + sin(x / width * (3 + number) + 2 * number))
                / 2,
            )
            for x in range(width + 1)
        ]
        drawing.polygon([(0, shore), *edge, (width, shore)], colour)
    lake = ImageOps.flip(sky.crop((0, 2 * shore - height, width, shore)))
    sky.paste(Image.blend(lake, Image.new("RGB", lake.size, hills[-1]), 0.35), (0, shore))
    made = io.BytesIO()
    sky.save(made, "JPEG", quality=90)
    return made.getvalue()


def slope(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size)


DAY = ["#5b9bd5", "#e9f2f7", "#fff6d8", "#8fb3c7", "#5f8f8f", "#2f5d50"]
EVENING = ["#31416f", "#f3a871", "#ffe3ad", "#7a5a7d", "#4d3d63", "#262545"]


ATTACHED: list[FilePayload] = [
    {"name": "a photo.jpg", "mimeType": "image/jpeg", "buffer": picture((900, 600))},
    {"name": "Notes of the whole year.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"},
]


@dataclass
class Cast:
    """The people of the tour, and what they have said."""

    server: ChatServer
    many: int
    people: dict[str, Person] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Person:
        return self.people[name]

    def join(self) -> None:
        names = [
            "ada",
            "bob",
            "eve",
            "lone",
            "gone",
            *NAMES,
            *(f"guest {n:02}" for n in range(1, 51)),
        ]
        self.people = {name: self.server.api.sign_up(name) for name in names}
        for name in [*names[-50:], *NAMES, "eve", "gone"]:
            peer = self.people[name]
            peer.said(peer.asks(self.ada).json, f"Hello, this is {name}.")
        long = self.ada.asks(self.jonas).json
        for number in range(self.many):
            peer = (self.ada, self.jonas)[number % 3 == 0]
            peer.said(long, f"{number + 1}. " + "And then? " * (number % 7 + 1))
        chat = self.ada.asks(self.bob).json
        for name, text in TALK:
            last = self.people[name].said(chat, text)
        self._decorate(chat, last)
        assert self.gone.request("DELETE", "/api/me", {"password": "correct horse"}).status == 204

    def _decorate(self, chat: Chat, last: dict[str, Any]) -> None:
        """Pictures, files, replies, reactions, edits, and what was deleted."""
        self.bob.sends(chat, "the lake.jpg", picture((900, 600)), message="From last year")
        self.ada.sends(chat, "from the train.jpg", picture((560, 760), evening=True))
        self.bob.sends(
            chat, "A rather long name of a timetable for the whole summer.pdf", b"%PDF-1.7 " * 9_000
        )
        answer = self.ada.said(chat, "That is the way I did it, too.", reply_to=last["id"])
        mistake = self.bob.said(chat, "Wrong chat")
        self.bob.request("DELETE", f"/api/messages/{mistake['id']}")
        self.bob.request("PATCH", f"/api/messages/{last['id']}", {"message": TALK[-1][1]})
        for emoji, person in (("👍", self.bob), ("❤️", self.bob), ("👍", self.ada)):
            person.request("PUT", f"/api/messages/{answer['id']}/reactions/{quote(emoji)}")
        self.ada.said(chat, "You are a good friend.")
        self.ada.request("PUT", f"/api/chats/{chat['channel_name']}/read")
        self.bob.request("PUT", f"/api/chats/{chat['channel_name']}/read")

    def spread(self) -> None:
        """Nobody says all that in one second."""
        now = datetime.now(UTC).replace(tzinfo=None)
        database = Path(self.server.directory) / "instance/chat.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            (last,) = connection.execute("SELECT max(id) FROM messages").fetchone()
            for number in range(1, last + 1):
                ago = timedelta(minutes=2 + 7 * (last - number) ** 1.15)
                at = f"{now - ago:%Y-%m-%d %H:%M:%S.%f}"
                connection.execute("UPDATE messages SET created_at = ? WHERE id = ?", (at, number))
            connection.execute(
                "UPDATE channels SET active_at ="
                " (SELECT created_at FROM messages WHERE id = channels.last_message_id)"
            )


@contextmanager
def held(window: Window, *paths: str) -> Iterator[None]:
    """Answers at these paths wait until the end."""
    waiting: list[Route] = []
    for path in paths:
        window.page.route(path, lambda route: waiting.append(route))
    yield
    for path in paths:
        window.page.unroute(path)
    for route in waiting:
        with suppress(Error):  # the page has given it up, or asked anew
            route.continue_()


def alone(windows: Windows, cast: Cast, **options: Any) -> Iterator[tuple[str, Window]]:
    """Before anybody is logged in, and with nobody else there. Comes before `cast.join()`."""
    visitor = windows(expected="401", **options)
    visitor.visits()
    expect(visitor.page.locator("#login")).to_be_visible()
    yield "log in", visitor
    visitor.page.locator("[name=way][value=register]").check(force=True)
    yield "create account", visitor
    visitor.page.locator("[name=way][value=login]").check(force=True)
    visitor.page.locator("[name=username]").fill("nobody")
    visitor.page.locator("[name=password]").fill("wrong")
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.locator("#login-fault")).not_to_be_empty()
    yield "wrong password", visitor
    visitor.page.close()
    first = windows(**options)
    first.is_of(cast.server.api.sign_up("first"))
    expect(first.page.locator("#lists .empty")).to_be_visible()
    yield "empty", first
    first.page.close()


def tour(windows: Windows, cast: Cast, **options: Any) -> Iterator[tuple[str, Window]]:
    """The states of somebody with sixty chats, one of them long."""
    seen = windows(expected=CUT_OFF, **options)
    page = seen.page
    with held(seen, "**/api/chats*", "**/api/get_message/**"):
        seen.remembers(cast.ada)
        seen.visits()
        expect(page.locator("#chat")).to_be_visible()
        yield "loading", seen
    expect(seen.row(cast.bob)).to_be_visible()
    yield "sixty chats", seen

    seen.opens(cast.jonas)
    yield "many messages", seen
    page.locator("#messages").evaluate("(list) => list.scrollTop -= 1500")
    expect(page.locator("#to-end")).to_be_visible()
    yield "farther up", seen

    yield from _talk(seen, cast)
    yield from _search(seen, cast)
    yield from _apart(seen, cast)
    yield from _settings(seen)
    page.close()


def back(window: Window) -> None:
    window.page.evaluate("location.hash = '#/'")


def _talk(seen: Window, cast: Cast) -> Iterator[tuple[str, Window]]:
    page = seen.page
    go(seen, cast.bob)
    expect(page.locator(".photo img").last).to_have_js_property("complete", True)
    yield "chat", seen
    page.locator(".quote").first.scroll_into_view_if_needed()
    mine = seen.message("You are a good friend.")
    mine.focus()
    page.keyboard.press("+")
    expect(page.locator("#menu")).to_be_visible()
    yield "menu of a message", seen
    page.keyboard.press("Escape")
    mine.focus()
    page.keyboard.press("r")
    page.locator("#file").set_input_files(ATTACHED)
    expect(page.locator("#attached li")).to_have_count(2)
    seen.composer.fill("A text of several lines,\nwhich is not sent yet.\n\nIt has room.")
    yield "reply with files", seen
    for remove in page.locator("#attached button").all()[::-1]:
        remove.click()
    seen.composer.press("Escape")
    seen.composer.fill("")
    seen.composer.press("ArrowUp")
    expect(page.locator("#editing")).to_be_visible()
    seen.composer.fill("e" * 5_001)
    yield "edit too long", seen
    seen.composer.press("Escape")
    page.locator(".photo").first.click()
    expect(page.locator("#viewer")).to_be_visible()
    yield "picture", seen
    page.keyboard.press("Escape")
    page.locator("#chat-menu").click()
    expect(page.locator("#menu")).to_be_visible()
    yield "menu of a chat", seen
    page.keyboard.press("Escape")
    page.locator("#peer-picture").click()
    expect(page.locator("#person")).to_be_visible()
    yield "person", seen
    page.keyboard.press("Escape")


def go(window: Window, peer: Person) -> None:
    """As a link in a notification leads there."""
    window.page.evaluate(f"location.hash = '#/{peer.id}'")
    expect(window.page.locator("#messages")).to_have_attribute("aria-busy", "false")
    expect(window.page.locator("#messages .message").last).to_be_visible()


def _search(seen: Window, cast: Cast) -> Iterator[tuple[str, Window]]:
    page = seen.page
    page.keyboard.press("Control+k")
    page.keyboard.type("train")
    expect(page.locator("mark").first).to_be_visible()
    yield "search", seen
    page.locator("#search").fill("zzyzx")
    expect(page.locator("#lists .empty").first).to_be_visible()
    yield "search without a hit", seen
    page.locator("#search").press("Escape")
    page.locator("#overview").focus()
    page.locator("#logout").click()
    yield "question", seen
    page.keyboard.press("Escape")


def _apart(seen: Window, cast: Cast) -> Iterator[tuple[str, Window]]:
    page = seen.page
    go(seen, cast.bob)
    page.context.set_offline(True)
    expect(page.locator("#connection.offline")).to_be_visible()
    seen.says("This waits for the connection.")
    yield "offline", seen
    with held(seen, "**/api/send_message"):
        page.context.set_offline(False)
        expect(page.locator("#connection.offline")).to_have_count(0)
    cast.ada.request("PUT", f"/api/blocks/{cast.eve.id}")
    page.reload()
    go(seen, cast.eve)
    expect(page.locator("#text")).to_be_disabled()
    yield "blocked", seen
    cast.bob.request("PUT", f"/api/blocks/{cast.ada.id}")
    go(seen, cast.bob)
    seen.says("Does this arrive?")
    expect(page.locator(".failure")).to_be_visible()
    yield "not sent", seen
    go(seen, cast.gone)
    expect(page.locator("#text")).to_be_disabled()
    yield "deleted account", seen


def _settings(seen: Window) -> Iterator[tuple[str, Window]]:
    page = seen.page
    back(seen)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    yield "keys", seen
    page.keyboard.press("Escape")
    page.locator("#open-settings").click()
    sections = page.locator("#settings nav button")
    for at in range(sections.count()):
        if page.locator("#settings .back").is_visible():
            page.locator("#settings .back").click()
        sections.nth(at).click()
        yield f"settings {at + 1}", seen
    page.keyboard.press("Escape")
