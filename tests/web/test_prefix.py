"""Everything served below a path: by a setting, by a header of a proxy, and in a real nginx."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from tests.support.browser import Chromium, PagePackages, Windows, launched
from tests.support.conversations import sqlite_only
from tests.support.nginx import Nginx
from tests.support.people import ROOT, Api, ChatServer, InProcess
from tests.support.servers import HOST, eventually, require

SAID = {"X-Forwarded-Prefix": "/chat"}
#: Prefixes that a browser would take for another host, or that are no path at all.
HOSTILE = ["//evil.example", "/\\evil.example", "https://evil.example", "/../x", "/a//b", '/"><b>']
PLACES = {"location / {": "location /chat/ {", "location /app/ {": "location /chat/app/ {"}
#: The settings, and what is different in the documented site.
WAYS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "the path is passed whole": ({"SCRIPT_NAME": "/chat"}, PLACES),
    "the path is taken away": (
        {"TRUSTED_PREFIX": "true"},
        {name: f"{place} rewrite ^/chat(/.*) $1 break;" for name, place in PLACES.items()}
        | {"X-Forwarded-Proto $scheme;": "X-Forwarded-Proto $scheme; proxy_set_header"
           " X-Forwarded-Prefix /chat;"},
    ),
}  # fmt: skip


def asked_for(api: Api, path: str, **headers: str) -> list[str]:
    """The paths that a page names."""
    body = api.get(path, headers=headers).body.decode()
    return re.findall(r'(?:href|src|data-contract|data-root|data-pusher)="([^"#][^"]*)"', body)


def script_of(api: Api, **headers: str) -> str:
    (script,) = (path for path in asked_for(api, "/", **headers) if path.endswith("/app.js"))
    return script


def ways_in(make_api: Callable[..., InProcess]) -> Iterator[tuple[InProcess, dict[str, str]]]:
    """An API below /chat, and the headers that its proxy sends."""
    yield make_api(script_name="/chat"), {}
    yield make_api(trusted_prefix=True, trusted_proxies=1), SAID


@sqlite_only
def test_pages_ask_below_the_prefix(make_api: Callable[..., InProcess]) -> None:
    for api, headers in ways_in(make_api):
        chat, docs = asked_for(api, "/", **headers), asked_for(api, "/api/docs", **headers)

        assert len(chat) > 5
        assert len(docs) > 4
        assert [path for path in chat + docs if not path.startswith("/chat/")] == []


@sqlite_only
def test_links_and_addresses_have_the_prefix(make_api: Callable[..., InProcess]) -> None:
    for api, headers in ways_in(make_api):
        ada = api.sign_up(f"ada {headers}")
        api.sign_up(f"bob {headers}")

        page = ada.get("/api/users", limit=1, headers=headers)
        config = api.get("/api/config", headers=headers).json

        assert page.links["next"].startswith("http://localhost/chat/api/users?")
        assert config["wsPath"] == "/chat"
        document = api.get("/api/openapi.json", headers=headers).json
        assert document["servers"] == [{"url": "/chat"}]


@sqlite_only
def test_the_export_names_files_below_the_prefix(make_api: Callable[..., InProcess]) -> None:
    for api, headers in ways_in(make_api):
        ada, bob = api.sign_up(f"ada {headers}"), api.sign_up(f"bob {headers}")
        file = ada.sends(ada.asks(bob).json, "notes.txt", b"At noon.").json["file"]["id"]

        lines = ada.get("/api/me/export", headers=headers).body.splitlines()

        (address,) = [json.loads(line)["file"]["url"] for line in lines if b"notes.txt" in line]
        assert address == f"/chat/api/files/{file}"


@sqlite_only
def test_a_path_with_and_without_prefix_is_found(make_api: Callable[..., InProcess]) -> None:
    api = make_api(script_name="/chat")

    found = [api.get(path).status for path in ("/chat/health", "/health", "/chat/", "/chat", "/")]

    assert found == [200] * 5
    assert api.get("/chatter").status == 404


@sqlite_only
def test_nobody_is_believed_about_the_prefix(make_api: Callable[..., InProcess]) -> None:
    api = make_api(trusted_proxies=1)

    assert script_of(api, **SAID).startswith("/static/")
    assert "wsPath" not in api.get("/api/config", headers=SAID).json


@sqlite_only
@pytest.mark.parametrize("prefix", HOSTILE)
def test_what_is_no_path_is_no_prefix(make_api: Callable[..., InProcess], prefix: str) -> None:
    api = make_api(trusted_proxies=1, trusted_prefix=True)
    said = {"X-Forwarded-Prefix": prefix}

    assert script_of(api, **said).startswith("/static/")
    assert "wsPath" not in api.get("/api/config", headers=said).json


@sqlite_only
def test_only_the_embedded_server_is_below_it(make_api: Callable[..., InProcess]) -> None:
    keys = {"pusher_app_id": "7", "pusher_key": "key", "pusher_secret": "hush"}
    api = make_api(script_name="/chat", pusher_host="pusher.example", **keys)

    assert "wsPath" not in api.get("/api/config").json


@pytest.fixture(params=WAYS)
def nginx(request: pytest.FixtureRequest, start: Callable[..., ChatServer]) -> Iterator[Nginx]:
    require(Nginx)
    settings, changes = WAYS[request.param]
    server = start("gunicorn", TRUSTED_PROXIES="1", **settings)
    with Nginx(server.port, **changes) as nginx:
        yield nginx


@pytest.mark.slow
@sqlite_only
def test_people_chat_below_a_path_of_nginx(nginx: Nginx) -> None:
    require(Chromium, PagePackages)
    own = f"https://{HOST}:{nginx.port}/chat/"
    asked: list[str] = []
    # The worker is fetched by the browser itself, which no option of a window speaks for.
    with launched("--ignore-certificate-errors") as chromium:
        windows = Windows(chromium, own)
        options: dict[str, Any] = {"ignore_https_errors": True}
        ada, bob = windows(**options), windows(**options)
        ada.page.on("request", lambda request: asked.append(request.url))
        ada.page.on("websocket", lambda socket: asked.append(socket.url.replace("wss:", "https:")))

        ada.registers("ada")
        bob.registers("bob")
        ada.is_live()
        bob.is_live()
        bob.page.get_by_role("link", name="ada").click()
        bob.says("Hello!")
        ada.page.get_by_role("link", name="bob").click()
        ada.sees("Hello!")
        bob.page.locator("#file").set_input_files(ROOT / "docs/screenshot.png")
        bob.page.get_by_role("button", name="Send").click()
        picture = ada.page.get_by_role("img", name="Photo: screenshot.png")
        assert eventually(lambda: picture.evaluate("(image) => image.naturalWidth > 0"))
        ada.page.locator("#logout").click()
        ada.agrees("Log out")
        expect(ada.page.get_by_label("Password")).to_be_visible()

        assert ada.page.url == own
        assert [url for url in asked if not url.startswith(own)] == []
        assert any("/chat/app/" in url for url in asked)
        windows.close()


@pytest.mark.slow
@sqlite_only
def test_programs_find_the_socket_below_a_path(nginx: Nginx) -> None:
    config = nginx.api.get("/chat/api/config").json
    place = f"{config['wsHost']}:{config['wssPort']}{config['wsPath']}"

    with connect(
        f"wss://{place}/app/{config['key']}?protocol=7", ssl=nginx.api.context, proxy=None
    ) as socket:
        assert "pusher:connection_established" in str(socket.recv(60))
    assert nginx.api.get("/api/config").status == 404
    assert nginx.api.get("/chat").headers["location"].endswith("/chat/")
