"""The interactive documentation, used in a real browser with no way to the internet."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import Chromium, launched
from tests.support.people import PASSWORD, Api, ChatServer, refused
from tests.support.servers import require

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    require(Chromium)
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def server(chromium: Browser) -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture(scope="module")
def page(server: ChatServer, chromium: Browser) -> Iterator[Page]:
    """The documentation. A test fails if the browser complains of anything, or if it sends a
    request to anybody else."""
    own = f"http://127.0.0.1:{server.port}/"
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{own}api/docs")

    yield page

    context.close()
    assert [url for url in asked if not url.startswith((own, "data:"))] == []
    # The console also tells of refused requests, which the tests send on purpose.
    assert [said for said in complaints if "the server responded with a status" not in said] == []


def method(page: Page, name: str) -> Locator:
    """The panel of an endpoint, open."""
    panel = page.locator(f"[id$=-{name}].opblock")
    if "is-open" not in (panel.get_attribute("class") or ""):
        panel.locator(".opblock-summary-control").click()
    return panel


def execute(page: Page, name: str, body: str | None = None, **parameters: str) -> Locator:
    """The status it is answered with."""
    panel = method(page, name)
    if body is not None:
        panel.locator("textarea.body-param__text").fill(body)
    for parameter, value in parameters.items():
        panel.locator(f"[data-param-name={parameter}] input").fill(value)
    with page.expect_response(lambda response: "/api/" in response.url):
        panel.locator("button.execute").click()
    return panel.locator(".live-responses-table tbody .response-col_status").first


@pytest.mark.slow
def test_the_page_shows_every_method(page: Page, server: ChatServer) -> None:
    document = server.api.get("/api/openapi.json").json
    operations = [each for item in document["paths"].values() for each in item]

    expect(page.locator("#docs .opblock")).to_have_count(
        len(operations) + len(document["webhooks"])
    )
    expect(page).to_have_title("Chat API")


def credentials(name: str) -> str:
    return json.dumps({"username": name, "password": PASSWORD})


@pytest.mark.slow
def test_a_login_on_the_page_holds_until_logout(page: Page, server: ChatServer) -> None:
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    ada.said(ada.asks(bob).json, "Hello, Bob!")

    expect(execute(page, "login", credentials("ada"))).to_have_text("200")
    form = method(page, "pusher_auth")
    kinds = form.locator(".opblock-section-request-body select.content-type")
    kinds.select_option("application/x-www-form-urlencoded")
    form.locator("[data-property-name=socket_id] input").fill("123.456")
    form.locator("[data-property-name=channel_name] input").fill("presence-chitchat")
    expect(execute(page, "pusher_auth")).to_have_text("200")

    page.reload()
    expect(execute(page, "get_message", channel="1", limit="5")).to_have_text("200")
    shown = method(page, "get_message").locator(".live-responses-table")
    expect(shown).to_contain_text("Hello, Bob!")

    # Another tab, and all that come after this one, know nothing of it.
    other = page.context.new_page()
    other.goto(page.url)
    with other.expect_request("**/api/me") as asked:
        expect(execute(other, "me")).to_have_text("401")
    assert "authorization" not in asked.value.headers
    assert page.evaluate("Object.keys(localStorage)") == []
    other.close()

    expect(execute(page, "logout", "{}")).to_have_text("204")
    with page.expect_request("**/api/me") as asked:
        expect(execute(page, "me")).to_have_text("401")
    assert "authorization" not in asked.value.headers


@pytest.mark.slow
def test_only_scripts_of_this_server_run(server: ChatServer) -> None:
    policy: dict[str, Any] = {}
    for path in ("/api/docs", "/api/users", "/api/openapi.json"):
        policy[path] = server.api.get(path).headers["content-security-policy"]

    assert "default-src 'self'" in policy["/api/docs"]
    assert "script-src" not in policy["/api/docs"]
    assert policy["/api/users"] == "default-src 'none'; frame-ancestors 'none'"
    assert "<script>" not in server.api.get("/api/docs").body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/docs/assets/nothing.js", 404, "not_found"),
        ("GET", "/api/docs/assets/../../app.py", 404, "not_found"),
        ("GET", "/api/docs/assets/", 404, "not_found"),
        ("GET", "/api/docs/nothing", 404, "not_found"),
        ("POST", "/api/docs", 405, "method_not_allowed"),
        ("POST", "/api/openapi.json", 405, "method_not_allowed"),
    ],
)
def test_errors_around_the_page_have_the_one_shape(
    method: str, path: str, status: int, code: str, api: Api
) -> None:
    refused(api.request(method, path), status, code)


def test_the_page_answers_with_a_slash_too(api: Api) -> None:
    assert api.get("/api/docs/").status == 200


@pytest.mark.slow
def test_refused_storage_leaves_the_documentation_alone(
    server: ChatServer, chromium: Browser
) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        page.add_init_script(
            "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty("
            "window, name, { get() { throw new DOMException('Refused', 'SecurityError'); } })"
        )
        page.goto(f"http://127.0.0.1:{server.port}/api/docs")

        expect(page.locator("[id$=-login].opblock")).to_be_visible()
