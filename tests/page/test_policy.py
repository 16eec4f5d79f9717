"""What the chat page may load, and where it is given: without a browser."""

import mimetypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.conftest import application
from tests.support.people import Api, InProcess, refused
from web.assets import STATIC


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """The application with these settings, without a server or a browser."""
    with ExitStack() as stack:

        def serve(**given: Any) -> Api:
            settings = Settings(instance_path=str(tmp_path), **given)
            return InProcess(stack.enter_context(application(settings)))

        yield serve


def test_the_policy_lets_in_nothing_of_others(serve: Callable[..., Api]) -> None:
    headers = serve().get("/").headers

    policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["connect-src"] == "'self' ws://localhost:80 wss://localhost:80"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_worker_may_do_no_more_than_the_page(serve: Callable[..., Api]) -> None:
    for settings, path in [({}, "/"), ({"script_name": "/chat"}, "/chat/")]:
        api = serve(**settings)
        answer = api.get(f"{path}worker.js")

        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert policy.split("; worker-src")[0] in api.get(path).headers["content-security-policy"]


def test_the_worker_comes_in_one_file(serve: Callable[..., Api]) -> None:
    worker = serve().get("/worker.js").body.decode()

    for part in ("worker.js", "opening.js"):
        assert (STATIC / part).read_text() in worker
    assert "importScripts(" not in worker


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ({"pusher_cluster": "eu"}, "wss://ws-eu.pusher.com"),
        ({"pusher_host": "chat.example"}, "ws://chat.example:443 wss://chat.example:443"),
        ({"pusher_host": "[::1]"}, "ws: wss:"),
    ],
)
def test_the_policy_names_the_pusher_server(
    where: dict[str, str], allowed: str, serve: Callable[..., Api]
) -> None:
    keys = {"pusher_app_id": "1", "pusher_key": "key", "pusher_secret": "secret"}

    policy = serve(**keys, **where).get("/").headers["content-security-policy"]

    assert f"connect-src 'self' {allowed};" in policy


def test_the_page_without_npm_loads_no_pusher_js(
    serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("web.page.PUSHER_JS", tmp_path / "pusher.min.js")

    api = serve()
    assert b"pusher.js" not in api.get("/").body
    assert "npm ci" in refused(api.get("/vendor/pusher.js"), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/base.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_scripts_are_scripts_whatever_the_system_says(
    path: str, media_type: str, serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where any program may have made them plain text for all others."""
    mimetypes.guess_type(path)  # reads what the system says, which it does once
    monkeypatch.setitem(mimetypes.types_map, Path(path).suffix, "text/plain")

    api = serve()
    assert isinstance(api, InProcess)
    with api.app.test_client().get(path) as answer:
        assert answer.content_type == media_type


def test_a_browser_asks_whether_scripts_have_changed(serve: Callable[..., Api]) -> None:
    """Otherwise, after an upgrade, it would put old and new modules together."""
    api = serve()
    assert isinstance(api, InProcess)
    with api.app.test_client().get("/static/app.js") as answer:
        assert answer.cache_control.no_cache
        assert answer.get_etag()[0]
