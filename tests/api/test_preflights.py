"""What browsers ask before a page may ask, and the names of requests."""

import re
from collections.abc import Callable

import pytest

from tests.support.people import Answer, Api, InProcess, Person, refused

PAGE = {"Origin": "https://app.example"}
UNKNOWN = ["/api/nothing", "/api/users/1/nothing", "/api/messages/x", "/api/é", "/api/"]


def preflight(api: Api, path: str, method: str = "GET", **headers: str) -> Answer:
    asked = {**PAGE, "Access-Control-Request-Method": method, **headers}
    return api.request("OPTIONS", path, headers=asked)


def test_a_preflight_is_answered_where_there_is_a_route(api: Api) -> None:
    for path in ("/api/users", "/api/users/me", "/api/pusher/user-auth", "/api/messages/1"):
        answer = preflight(api, path)

        assert answer.status in (200, 204)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_preflight_is_answered_where_there_is_no_route(api: Api, path: str, method: str) -> None:
    answer = preflight(api, path, method)

    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"]
    assert answer.body == b""


@pytest.mark.parametrize("path", UNKNOWN)
def test_a_page_sees_the_404_after_its_preflight(ada: Person, path: str) -> None:
    for method in ("GET", "POST"):
        answer = ada.request(method, path, headers=PAGE)

        refused(answer, 404, "not_found")
        assert answer.headers["access-control-allow-origin"] == "*"


def test_a_page_sees_the_405_after_its_preflight(api: Api, ada: Person) -> None:
    assert preflight(api, "/api/users", "DELETE").status in (200, 204)

    answer = ada.request("DELETE", "/api/users", headers=PAGE)

    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_page_sees_the_429_after_its_preflight(make_api: Callable[..., InProcess]) -> None:
    api = make_api(ratelimit_default="1 per hour")
    api.get("/api/users")

    assert preflight(api, "/api/users").status in (200, 204)

    answer = api.get("/api/users", headers=PAGE)
    refused(answer, 429, "rate_limited")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_preflight_for_an_unknown_method_is_answered(api: Api) -> None:
    for path in ("/api/users", "/api/nothing"):
        assert preflight(api, path, "BREW").status in (200, 204)


def test_a_preflight_needs_no_token_and_stores_nothing(api: Api) -> None:
    answer = preflight(api, "/api/register", "POST")

    assert answer.status in (200, 204)
    assert api.register("ada").status == 201


def test_an_options_without_a_requested_method_is_no_preflight(api: Api) -> None:
    known = api.request("OPTIONS", "/api/users", headers=PAGE)
    unknown = api.request("OPTIONS", "/api/nothing", headers=PAGE)

    assert known.status == 200
    assert set(known.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    refused(unknown, 404, "not_found")


@pytest.mark.parametrize("path", ["/nothing", "/apis/users", "/API/users"])
def test_a_preflight_outside_of_the_api_finds_nothing(api: Api, path: str) -> None:
    refused(preflight(api, path), 404, "not_found")


def test_only_options_is_a_preflight(ada: Person) -> None:
    asked = {**PAGE, "Access-Control-Request-Method": "GET"}

    refused(ada.get("/api/nothing", headers=asked), 404, "not_found")


def test_an_unnamed_origin_is_not_let_in(make_api: Callable[..., InProcess]) -> None:
    api = make_api(cors_origins="https://app.example")

    for path in ("/api/users", "/api/nothing"):
        named = preflight(api, path).headers
        other = preflight(api, path, Origin="https://evil.example").headers

        assert named["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-origin" not in other
        assert "Origin" in named["vary"]
        assert "Origin" in other["vary"]


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Type", "X-Socket-ID", "X-Requested-With", "X-Request-ID"]
)
@pytest.mark.parametrize("path", ["/api/send_message", "/api/nothing"])
def test_a_header_of_front_ends_is_allowed(api: Api, path: str, name: str) -> None:
    asked = {"Access-Control-Request-Headers": f"{name.lower()}, x-other"}

    answer = preflight(api, path, "POST", **asked)

    assert answer.headers["access-control-allow-headers"].lower() == name.lower()


# The names of requests ---------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "7", "Abc-1_2", "x" * 64, "-", "__"])
def test_a_request_keeps_the_id_of_its_caller(ada: Person, given: str) -> None:
    asked = {"X-Request-ID": given}

    answers = [
        ada.get("/api/me", headers=asked),
        ada.get("/api/nothing", headers=asked),
        ada.post("/api/send_message", {}, headers=asked),
        ada.get("/health", headers=asked),
        preflight(ada, "/api/nothing", **asked),
    ]

    assert [answer.status for answer in answers] == [200, 404, 400, 200, 204]
    assert {answer.headers["x-request-id"] for answer in answers} == {given}


@pytest.mark.parametrize(
    "given", ["", " ", "x" * 65, "a b", "a.b", "a/b", "é", "a,b", "<b>", "a\tb", "१"]
)
def test_any_other_id_is_replaced(ada: Person, given: str) -> None:
    value = given.encode().decode("latin-1")

    first, second = (ada.get("/api/me", headers={"X-Request-ID": value}) for _ in range(2))

    ids = [answer.headers["x-request-id"] for answer in (first, second)]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids), ids
    assert len(set(ids)) == 2


def test_requests_without_an_id_get_one_each(ada: Person) -> None:
    ids = {ada.get("/api/me").headers["x-request-id"] for _ in range(5)}

    assert len(ids) == 5
