"""What an answer lets others keep, and what it believes of those who hand a request on."""

from collections.abc import Callable
from typing import Any

from tests.support.people import Api, ChatServer, InProcess, Person, refused
from web.page import PUSHER_JS

STATIC = ["/", "/static/app.js", "/api/docs/assets/swagger-ui.css"]
STATIC += ["/vendor/pusher.js"] if PUSHER_JS.exists() else []


def test_no_answer_of_the_api_is_kept(api: Api, ada: Person, chat: dict[str, Any]) -> None:
    ada.said(chat, "Hello, Bob!")
    paths = ["/api/me", "/api/users", "/api/chats", "/api/sync", "/api/search?q=hello"]
    paths += ["/api/get_message/1", "/api/get_message/1?limit=1", "/api/me/export", "/api/config"]
    paths += ["/api/nothing", "/api/messages/1", "/health", "/api/docs", "/api/openapi.json"]

    answers = [ada.get(path) for path in paths]
    answers += [api.get("/api/me"), api.login("ada"), api.login("ada", "wrong"), ada.asks(ada)]
    answers += [ada.says(chat, "Hello"), ada.post("/api/logout"), api.get("/static/nothing.js")]

    assert {answer.status for answer in answers} == {200, 201, 204, 400, 401, 404, 405}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


def test_a_static_file_may_be_kept(start: Callable[..., ChatServer]) -> None:
    api = start().api

    for path in STATIC:
        answer = api.get(path)
        assert answer.headers["cache-control"] == "no-cache", path  # asked for again by its ETag
        known = api.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (known.status, known.body) == (304, b"")


def test_a_forwarded_host_is_not_believed(make_api: Callable[..., InProcess]) -> None:
    api = make_api(trusted_proxies=1)
    told = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "4444"}
    told |= {"X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil.example;proto=http"}
    of_proxy = {"Host": "chat.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "7.7.7.7"}

    config = api.get("/api/config", headers=of_proxy | told)
    page = api.get("/", headers=of_proxy | told)

    assert config.json["wsHost"] == "chat.example"
    assert (config.json["wssPort"], config.json["forceTLS"]) == (443, True)
    policy = page.headers["content-security-policy"]
    assert "connect-src 'self' ws://chat.example:443 wss://chat.example:443;" in policy
    assert b"evil" not in config.body + page.body


def test_links_name_the_host_of_the_proxy(make_api: Callable[..., InProcess]) -> None:
    api = make_api(trusted_proxies=1)
    ada = api.sign_up("ada")
    api.sign_up("bob")
    told = {
        "Host": "chat.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
    }

    answer = ada.get("/api/users?limit=1", headers=told)

    assert answer.links["next"] == f"https://chat.example/api/users?limit=1&after={ada.id}"


def test_the_address_is_the_one_the_proxy_names(make_api: Callable[..., InProcess]) -> None:
    api = make_api(trusted_proxies=1, ratelimit_default="2 per hour")
    made_up = (f"{number}.1.1.1, 7.7.7.7" for number in range(9))

    answers = [api.get("/api/config", headers={"X-Forwarded-For": each}) for each in made_up]

    assert [answer.status for answer in answers[:2]] == [200, 200]
    for answer in answers[2:]:
        refused(answer, 429, "rate_limited")
