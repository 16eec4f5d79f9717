"""Make docs/screenshot.png: the chat page of two people, from a server of its own.

    .venv/bin/python docs/screenshot.py

Needs Chromium (Debian: chromium-headless-shell), and fonts-noto-core and fonts-noto-color-emoji
for the looks.
"""

import base64
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import Windows, launched  # noqa: E402
from tests.support.people import ChatServer, Person  # noqa: E402
from tests.support.tour import picture  # noqa: E402

PICTURE = ROOT / "docs/screenshot.png"

PHOTO = "24 degrees, and hardly any wind"

# Who writes to whom, how many minutes ago, and what.
SAID = [
    ("mira", "ada", 3000, "The slides are in the shared folder"),
    ("ada", "mira", 2990, "Thank you, that was quick!"),
    ("Олена", "ada", 1500, "До завтра!"),
    ("ليلى", "ada", 420, "شكرا جزيلا على المساعدة 🌷"),
    ("jonas", "ada", 190, "Did you see the new release notes?"),
    ("jonas", "ada", 189, "Page 2. You will laugh."),
    ("ada", "bob", 1560, "Are you coming to the lake on Saturday?"),
    ("bob", "ada", 1555, "Yes! I can bring the small grill and something for the salad."),
    ("ada", "bob", 1550, "🎉"),
    ("bob", "ada", 46, PHOTO),
    ("bob", "ada", 45, "Shall we take the early train?"),
    ("ada", "bob", 31, "Let us. It leaves at **8:40**, platform 3: https://trains.example/t/4821"),
    ("bob", "ada", 12, "Perfect. I am there at half past, with coffee ☕"),
    ("ada", "bob", 3, "You are a good friend."),
]

FRAME = """
<style>
  body { margin: 0; width: 1560px; height: 820px; position: relative; background: #dfe9e2; }
  img { position: absolute; box-shadow: 0 14px 44px rgb(20 50 40 / 25%); }
  .desktop { left: 40px; top: 40px; width: 1060px; border-radius: 14px; }
  .phone { right: 40px; top: 60px; width: 360px; border-radius: 34px; border: 9px solid #0c0f0e; }
</style>
"""


def main() -> None:
    with ChatServer(JWT_EXPIRES_SECONDS="86400") as server, launched() as browser:
        people = {name: server.api.sign_up(name) for name in sorted({a for a, *_ in SAID})}
        for name in ("Noor", "Åsa", "tomas"):
            people[name] = server.api.sign_up(name)
        talk(people)
        backdate(server.directory / "instance/chat.db")
        windows = Windows(browser, f"http://127.0.0.1:{server.port}/")
        for name in ("mira", "ليلى", "Noor"):  # are online, too
            windows().is_of(people[name])
        zone = f"Etc/GMT{datetime.now(UTC).hour - 14:+d}"  # where it is early in the afternoon
        desktop = windows(viewport={"width": 1060, "height": 740}, timezone_id=zone)
        desktop.is_of(people["ada"])
        looks: dict[str, Any] = {"color_scheme": "dark", "has_touch": True, "timezone_id": zone}
        phone = windows(viewport={"width": 360, "height": 682}, **looks)
        phone.is_of(people["bob"])
        desktop.opens(people["bob"])
        phone.opens(people["ada"])
        for window in (desktop, phone):
            window.sees("You are a good friend.")
            expect(window.page.locator("#peer-status")).to_have_text("Online")
        phone.composer.press_sequentially("See you on Saturday")
        expect(desktop.page.locator("#peer-status")).to_have_text("typing")
        shots = {"desktop": desktop.page.screenshot(), "phone": phone.page.screenshot()}
        frame = windows(viewport={"width": 1560, "height": 820}).page
        frame.set_content(framed(shots))
        frame.screenshot(path=PICTURE)
        windows.close()


def talk(people: dict[str, Person]) -> None:
    for writer, reader, _, text in SAID:
        chat = people[writer].asks(people[reader]).json
        if text == PHOTO:
            sent = people[writer].sends(chat, "lake.jpg", picture((900, 600)), message=text).json
        else:
            answers = {"reply_to": sent["id"]} if text.startswith("Let us") else {}
            last = people[writer].said(chat, text, **answers)
        if text.startswith("Perfect"):
            for person in (people[reader], people[writer]):
                person.request("PUT", f"/api/messages/{last['id']}/reactions/%E2%9D%A4%EF%B8%8F")
        if "jonas" not in (writer, reader):
            people[reader].request("PUT", f"/api/chats/{chat['channel_name']}/read")


def backdate(database: Path) -> None:
    """Nobody says all that in one second."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with closing(sqlite3.connect(database)) as connection, connection:
        for number, (*_, minutes, _text) in enumerate(SAID, 1):
            at = f"{now - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S.%f}"
            connection.execute("UPDATE messages SET created_at = ? WHERE id = ?", (at, number))
        connection.execute(
            "UPDATE channels SET active_at ="
            " (SELECT created_at FROM messages WHERE id = channels.last_message_id)"
        )


def framed(shots: dict[str, bytes]) -> str:
    images = (
        f'<img class="{name}" src="data:image/png;base64,{base64.b64encode(shot).decode()}">'
        for name, shot in shots.items()
    )
    return FRAME + "".join(images)


if __name__ == "__main__":
    main()
