import threading
import unicodedata
from typing import Any

import jwt
import pytest
from werkzeug.security import check_password_hash

from chat.accounts import key
from config import Settings
from tests.support.people import PASSWORD, Api, InProcess, at_once, refused, stored

WRONG = "wrong password"


def test_a_login_answers_with_a_token_that_works(api: Api) -> None:
    registered = api.register("Ada").json["data"]

    answer = api.login("ada")

    assert answer.status == 200
    assert answer.json["status"] == "success"
    data = answer.json["data"]
    members = ["id", "username", "display_name", "avatar", "token", "expires_in"]
    assert list(data) == members
    assert (data["id"], data["username"]) == (registered["id"], "Ada")
    token = {"Authorization": f"Bearer {data['token']}"}
    assert api.get("/api/users", headers=token).status == 200


def test_a_token_names_user_expiry_and_login(make_api: Any, settings: Settings) -> None:
    api: Api = make_api(jwt_expires_seconds=77)

    ada = api.sign_up("ada")

    assert ada.expires_in == 77
    assert jwt.get_unverified_header(ada.token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(ada.token, settings.jwt_key, algorithms=["HS256"])
    assert set(claims) == {"sub", "iat", "exp", "jti"}
    assert claims["sub"] == str(ada.id)
    assert claims["exp"] - claims["iat"] == 77
    assert [row[1] for row in stored(settings, "sessions")["sessions"]] == [claims["jti"]]


@pytest.mark.classic
def test_each_login_has_a_token_of_its_own(api: Api) -> None:
    first = api.sign_up("ada")
    second = api.sign_in("ada")

    assert first.token != second.token
    assert first.get("/api/users").status == second.get("/api/users").status == 200


@pytest.mark.classic
@pytest.mark.parametrize("spelling", ["ADA", "ａｄａ", "Ada"])
def test_any_spelling_of_the_name_logs_in(api: Api, spelling: str) -> None:
    api.register("ada")

    assert api.login(spelling).json["data"]["username"] == "ada"


@pytest.mark.classic
def test_unknown_name_and_wrong_password_answer_alike(api: Api) -> None:
    api.register("ada")

    wrong, unknown = api.login("ada", WRONG), api.login("eve", WRONG)

    refused(wrong, 401, "unauthorized")
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert wrong.timeless == unknown.timeless


def test_unknown_name_and_wrong_password_cost_the_same(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.register("ada")
    work: list[tuple[str, int, int]] = []
    check = check_password_hash

    def counted(stored_hash: str, password: str) -> bool:
        method, salt, digest = stored_hash.split("$")
        work.append((method, len(salt), len(digest)))
        return check(stored_hash, password)

    monkeypatch.setattr("auth.check_password_hash", counted)

    answers = [api.login("ada", WRONG), api.login("eve", WRONG)]

    assert [answer.status for answer in answers] == [401, 401]
    assert len(work) == 2
    assert work[0] == work[1]


@pytest.mark.classic
@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "username"),
        ({"username": "ada"}, "password"),
        ({"password": PASSWORD}, "username"),
        ({"username": None, "password": PASSWORD}, "username"),
        ({"username": "ada", "password": None}, "password"),
        ({"username": 7, "password": PASSWORD}, "username"),
        ({"username": "ada", "password": 12345678}, "password"),
        ({"username": "ada", "password": True}, "password"),
        ({"username": ["ada"], "password": PASSWORD}, "username"),
        ({"username": "a\0", "password": PASSWORD}, "username"),
        ({"username": "ada", "password": "\0" * 8}, "password"),
    ],
)
def test_a_malformed_login_is_refused(api: Api, body: Any, member: str) -> None:
    assert member in refused(api.post("/api/login", body), 400, "invalid")


@pytest.mark.classic
@pytest.mark.parametrize("password", ["", "x", "x" * 129, "😀" * 5_000])
def test_a_password_nobody_can_have_is_wrong(api: Api, password: str) -> None:
    api.register("ada")

    refused(api.login("ada", password), 401, "unauthorized")


@pytest.mark.classic
@pytest.mark.parametrize("username", ["", " ", "x" * 60_000, "\x01"])
def test_a_name_nobody_can_have_is_wrong(api: Api, username: str) -> None:
    refused(api.login(username), 401, "unauthorized")


def test_a_very_long_name_is_compared_in_part() -> None:
    endless = "\u0345" + "\u0301" * 16_000 + "\u0316" * 16_000

    assert key(endless) == key(endless[:1_000])
    longest = "\u1f82" * 50  # four characters each where it is decomposed
    assert key(unicodedata.normalize("NFD", longest)) == key(longest)


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_the_eleventh_try_after_ten_failures_is_refused(api: Api, username: str) -> None:
    api.register("ada")
    failures = [api.login(username, WRONG).status for _ in range(10)]
    assert failures == [401] * 10

    answer = api.login(username)

    refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 181
    assert api.login(username.upper()).status == 429


def test_failures_count_for_one_name_and_address(app: Any) -> None:
    api, elsewhere = InProcess(app), InProcess(app, "192.0.2.7")
    api.register("ada")
    api.register("bob")
    assert [api.login("ada").status for _ in range(12)] == [200] * 12

    assert [api.login("ada", WRONG).status for _ in range(11)] == [401] * 10 + [429]

    assert api.login("bob").status == 200
    assert elsewhere.login("ada").status == 200


def test_a_login_beyond_the_limit_costs_no_hash(
    make_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api: Api = make_api(ratelimit_login="1 per hour")
    api.login("ada", WRONG)

    def hashes(*_: object) -> bool:
        raise AssertionError("a password was hashed beyond the limit")

    monkeypatch.setattr("auth.check_password_hash", hashes)

    assert api.login("ada", WRONG).status == 429


def test_failures_that_race_are_limited_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.hash_queue.MOST_OF_ADDRESS", 30)
    api.register("ada")

    statuses = sorted(at_once(30, lambda _: api.login("ada", WRONG).status))

    assert statuses == [401] * 10 + [429] * 20


def test_the_limit_of_failures_can_be_switched_off(make_api: Any) -> None:
    api: Api = make_api(ratelimit_enabled=False)
    api.register("ada")

    assert [api.login("ada", WRONG).status for _ in range(12)] == [401] * 12


def test_passwords_are_hashed_one_at_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.register("ada")
    check, hashing, most = check_password_hash, threading.Semaphore(1), []

    def alone(stored_hash: str, password: str) -> bool:
        most.append(hashing.acquire(blocking=False))
        try:
            return check(stored_hash, password)
        finally:
            hashing.release()

    monkeypatch.setattr("auth.check_password_hash", alone)
    monkeypatch.setattr("web.hash_queue.MOST_OF_ADDRESS", 16)

    assert at_once(16, lambda _: api.login("ada").status) == [200] * 16
    assert most == [True] * 16
