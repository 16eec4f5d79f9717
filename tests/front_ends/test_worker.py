"""A page of another origin, whose connection lives in a Web Worker of a real browser."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.browser import Chromium, PagePackages, launched
from tests.support.conversations import sqlite_only
from tests.support.people import PASSWORD, ChatServer
from tests.support.servers import HOST, NODE, require
from web.page import PUSHER_JS

pytestmark = [pytest.mark.slow, sqlite_only]

BUILD = PUSHER_JS.parents[1] / "worker" / "pusher.worker.js"
START = """([script, wish]) => {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const worker = new Worker(url);
    worker.onmessage = ({ data }) => { window.shown = data; };
    worker.postMessage(wish);
}"""
SHOWS = """(parts) => Object.entries(parts).every(
    ([name, part]) => JSON.stringify(window.shown?.[name]) === JSON.stringify(part)
)"""


def shows(page: Page, **parts: Any) -> None:
    """Wait until these parts of what the worker shows are so."""
    page.wait_for_function(SHOWS, arg=parts)


def test_a_worker_of_another_origin_shows_messages(start: Callable[..., ChatServer]) -> None:
    require(Chromium, PagePackages)
    server = start("gunicorn", CORS_ORIGINS="*")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = bob.asks(ada).json
    script = "\n".join(path.read_text("utf-8") for path in (BUILD, NODE / "worker.js"))
    wish = {"address": f"http://{HOST}:{server.port}", "username": "ada", "password": PASSWORD}
    with launched() as browser:
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(f"http://localhost:{server.port}/health")  # to a browser another origin than HOST
        page.evaluate(START, [script, wish])
        shows(page, ready=True, online=["ada"], missing=404)

        bob.said(chat, "Hello, worker! 🎈")
        bob.said(chat, "Still there?")

        shows(page, lines=["bob: Hello, worker! 🎈", "bob: Still there?"])
