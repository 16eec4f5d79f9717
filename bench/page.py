"""The chat page in Chromium: what a slow line and a long chat cost it.

    .venv/bin/python -m bench.page                      # two minutes; --rounds 3

Messages on the screen: at 400 ms and 400 kbit/s (DevTools' throttling), beside a bare page of the
same bytes that makes two requests, the second after the first. Typing: the longest that a key
takes, with 10,000 messages behind it. Needs Chromium, and the bundle (`make run` makes it).
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser

from bench import data
from bench.server import Server
from tests.support.browser import NOTE_MESSAGES, Traffic, launched

LINE = {"latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000, "offline": False}
MESSAGES = 10_000
TYPED = "Shall we meet at the usual place at noon? " * 2
FLOOR = """
<title>Bare</title><ol id="messages"></ol>
<script type="module">
  await (await fetch("first")).text();
  const found = await (await fetch("second")).text();
  document.querySelector("ol").innerHTML = "<li>" + found.length;
</script>
"""


def filled(text: str, size: int) -> bytes:
    """The text, and a comment that makes it as long."""
    return text.encode() + b"<!--" + b"x" * max(0, size - len(text) - 7) + b"-->"


@contextmanager
def bare_page(page: int, first: int, second: int) -> Iterator[str]:
    """The address of a page of so many bytes, which asks for two answers of so many."""
    parts = {"/": filled(FLOOR, page), "/first": b"x" * first, "/second": b"x" * second}

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = parts.get(self.path, b"")
            self.send_response(200 if self.path in parts else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def open_page(
    browser: Browser, address: str, session: str | None = None
) -> tuple[float, list[tuple[str, int]]]:
    """In how many milliseconds there is a message on the screen, and what had come until then: each
    address with its bytes."""
    context = browser.new_context(service_workers="block")  # each time is the first time
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    traffic = Traffic(devtools)
    devtools.send("Network.emulateNetworkConditions", LINE)
    page.add_init_script(NOTE_MESSAGES)
    if session:
        page.add_init_script(f"sessionStorage.setItem('chat/session', {json.dumps(session)})")
    page.goto(address, wait_until="commit")
    page.locator("#messages li").first.wait_for(state="attached")
    answers = traffic.by_address()
    page.wait_for_timeout(200)  # until it is drawn
    shown = float(page.evaluate("shownAfter"))
    context.close()
    return shown, answers


def loading(browser: Browser, address: str, session: str, rounds: int) -> None:
    open_page(browser, address, session)  # the first one waits for the server to get up
    ours, bare = [], []
    for _ in range(rounds):
        shown, loaded = open_page(browser, address, session)
        ours.append(shown)
        total = sum(size for _, size in loaded)
        # The bare page's two requests: for the chats and what comes beside them, and the messages.
        second = sum(size for address, size in loaded if "/api/get_message" in address)
        first = sum(size for address, size in loaded if "/api/" in address) - second
        with bare_page(total - first - second, first, second) as floor:
            bare.append(open_page(browser, floor)[0])
    print(f"until messages: {len(loaded)} requests, {total:,} bytes (goals: 12, 100,000)")
    ratio = median(our / floor for our, floor in zip(ours, bare, strict=True))
    print(f"bare page {median(bare):.0f} ms, ours {median(ours):.0f} ms: {ratio:.2f} (goal: 1.5)")


def typing(browser: Browser, address: str, session: str) -> None:
    """A key's time is that of the page's thread, because the machine may be busy with others."""
    page = browser.new_page()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(f"sessionStorage.setItem('chat/session', {json.dumps(session)})")
    page.goto(address)
    page.locator("#messages .message").first.wait_for()
    page.locator("#text").focus()
    for _ in range(40):  # back through some of them, and so to as many elements as there can be
        page.locator("#messages").evaluate("(list) => list.scrollTo(0, 0)")
        page.wait_for_timeout(50)
    page.wait_for_timeout(5_000)  # until it is quiet

    def spent() -> tuple[float, float]:
        """By scripts, styles and layout, and with painting and all else, in milliseconds."""
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        found = {each["name"]: each["value"] * 1000 for each in metrics}
        own = found["ScriptDuration"] + found["LayoutDuration"] + found["RecalcStyleDuration"]
        return own, found["TaskDuration"]

    costs = []
    for letter in TYPED:
        before = spent()
        page.keyboard.press(letter)
        page.wait_for_timeout(80)
        costs.append([after - was for after, was in zip(spent(), before, strict=True)])
    (own, most), (whole, longest) = ((median(each), max(each)) for each in zip(*costs, strict=True))
    rows = page.locator("#messages > li").count()
    print(f"{MESSAGES:,} messages, {rows} elements, a key: scripts, styles, layout {own:.1f} ms,")
    print(f"at most {most:.1f}; with painting {whole:.1f}, at most {longest:.1f} (goal: 50)")
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, launched() as browser:
        data.build(Path(name), 1, MESSAGES)
        session = json.dumps({"id": 1, "username": "user1", "token": data.token(1)})
        with Server("app:app", Path(name), processes=1, threads=24) as server:
            address = f"http://127.0.0.1:{server.port}/#/2"
            loading(browser, address, session, rounds)
            typing(browser, address, session)


if __name__ == "__main__":
    main()
