"""Make pictures of the chat page in every state, wide and narrow, light and dark, into a folder.

    .venv/bin/python docs/screenshots.py FOLDER [state]

Needs what docs/screenshot.py needs.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import Window, Windows, launched  # noqa: E402
from tests.support.people import ChatServer  # noqa: E402
from tests.support.tour import Cast, alone, tour  # noqa: E402

WIDTHS = {390: 844, 820: 1180, 1280: 800, 1920: 1080}


def main(folder: Path, only: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"JWT_EXPIRES_SECONDS": "86400", "RATELIMIT_ENABLED": "false"}
    with ChatServer(**settings) as server, launched() as browser:
        windows = Windows(browser, f"http://127.0.0.1:{server.port}/")
        cast = Cast(server, many=500)
        for name, window in alone(windows, cast):
            take(folder, name, window)
        cast.join()
        cast.spread()
        for name, window in tour(windows, cast):
            if only in name:
                take(folder, name, window)
        windows.close()


def take(folder: Path, name: str, window: Window) -> None:
    """At every width, in both schemes; and once in the reader's own colours."""
    page = window.page
    browser = page.context.new_cdp_session(page)
    for width, height in WIDTHS.items():
        by_finger = {"enabled": width < 1000, "maxTouchPoints": 5}
        browser.send("Emulation.setTouchEmulationEnabled", by_finger)
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(60)  # the page draws
            page.screenshot(path=folder / f"{name} {width} {scheme}.png")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light", forced_colors="active")
    page.screenshot(path=folder / f"{name} forced.png")
    page.emulate_media(color_scheme="light", forced_colors="none")
    print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
