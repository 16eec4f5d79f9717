import io
import json
from typing import Any

import pytest
from flask import Flask
from werkzeug.security import generate_password_hash
from werkzeug.test import create_environ, run_wsgi_app

from config import Settings
from contract.names import MAX_ID
from tests.support.conversations import sqlite_only
from tests.support.people import PASSWORD, Api, InProcess, at_once, refused, stored

LIGATURE = "\ufdfa"  # one character, 18 after NFKC


@pytest.mark.classic
def test_a_registration_answers_with_id_and_name(api: Api) -> None:
    answer = api.register("Zoë")

    assert answer.status == 201
    assert answer.json["status"] == "success"
    assert answer.json["message"]
    assert set(answer.json["data"]) == {"id", "username"}
    assert type(answer.json["data"]["id"]) is int
    assert answer.json["data"]["username"] == "Zoë"


@pytest.mark.classic
def test_unknown_members_of_a_body_are_ignored(api: Api) -> None:
    body = {"username": "ada", "password": PASSWORD, "type": "text", "id": MAX_ID, "admin": True}

    answer = api.post("/api/register", body)

    assert answer.status == 201
    assert answer.json["data"]["id"] != MAX_ID


@pytest.mark.classic
@pytest.mark.parametrize(
    "username",
    ["a", "x" * 50, "😀" * 50, "e\u0301" * 25, "a b", "名前", "%_'\"\\;--", "<b>", "ﬁ", "Ⅳ", "٣"],
)
def test_a_name_is_shown_as_registered(api: Api, username: str) -> None:
    answer = api.register(username)

    assert answer.status == 201
    assert answer.json["data"]["username"] == username
    assert api.login(username).json["data"]["username"] == username


@pytest.mark.parametrize(
    "username",
    [
        *("", "x" * 51, "😀" * 51, LIGATURE * 3),
        *(" ada", "ada ", "\u00a8ada", "\u3000ada", "ada\u00a0", "ada\n", "\tada", " "),
        *("a\0b", "a\x1fb", "a\x7fb", "a\x85b"),
        *(None, 5, 1.5, True, [], ["ada"], {}, {"name": "ada"}),
    ],
)
def test_an_impossible_name_is_refused(api: Api, settings: Settings, username: Any) -> None:
    answer = api.post("/api/register", {"username": username, "password": PASSWORD})

    assert "username" in refused(answer, 400, "invalid")
    assert not stored(settings, "users")["users"]


def test_a_names_length_counts_after_normalisation_too(api: Api) -> None:
    assert api.register(LIGATURE * 2).status == 201
    assert api.register(LIGATURE * 3).status == 400


@pytest.mark.parametrize(
    "password",
    ["xy" * 4, "xy" * 64, "😀y" * 4, "😀y" * 64, " \t" * 4, "\n\t\r\x01\x02\x03\x04\x05"],
)
def test_a_password_has_8_to_128_characters(api: Api, password: str) -> None:
    assert api.register("ada", password).status == 201
    assert api.login("ada", password).status == 200
    assert api.login("ada", password[:-1]).status == 401


@pytest.mark.parametrize(
    "password",
    ["", "xyxyxyx", "😀y" * 3, "x" * 129, "😀y" * 65, "1234567\0", None, 12345678, ["x"] * 8],
)
def test_an_impossible_password_is_refused(api: Api, settings: Settings, password: Any) -> None:
    answer = api.post("/api/register", {"username": "ada", "password": password})

    assert "password" in refused(answer, 400, "invalid")
    assert not stored(settings, "users")["users"]


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        *(("x" * 8, "again and again"), ("😀" * 128, "again and again"), (" " * 8, "again")),
        *(("ada lovelace", "the user name"), ("ADA LOVELACE", "the user name")),
        *(("ａｄａ lovelace", "the user name"), ("ada\u200b lovelace", "the user name")),
        *(("password", "common"), ("PassWord1", "common"), ("12345678", "common")),
        *(("jennifer", "common"), ("qwertyuiop", "common"), ("trustno1", "common")),
    ],
)
def test_a_password_guessed_first_is_refused(
    api: Api, settings: Settings, password: str, reason: str
) -> None:
    message = refused(api.register("Ada Lovelace", password), 400, "invalid")

    assert message.startswith("password must not be ")
    assert reason in message
    assert not stored(settings, "users")["users"]


def test_passwords_are_compared_as_they_were_sent(api: Api) -> None:
    api.register("ada", "ﬁne password")

    assert api.login("ada", "fine password").status == 401
    assert api.login("ada", "ﬁne password").status == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("ada", "ada"), ("ada", "ADA"), ("ada", "ａｄａ"), ("ﬁ", "FI"), ("Ⅳ", "iv")),
        *(("straße", "STRASSE"), ("Zo\u00eb", "Zoe\u0308"), ("ΣΊΣΥΦΟΣ", "Σίσυφος")),
        *(("\u212a", "k"), ("ｶﾞ", "ガ"), ("\u1e9e", "ss"), ("\u0390", "\u1fd3")),
    ],
)
def test_a_name_in_another_spelling_is_taken(
    api: Api, settings: Settings, first: str, second: str
) -> None:
    assert api.register(first).status == 201
    before = stored(settings)

    refused(api.register(second), 409, "taken")

    assert stored(settings) == before
    assert api.login(second).json["data"]["username"] == first


def test_names_that_only_look_alike_are_different(api: Api) -> None:
    assert api.register("ada").status == 201
    assert api.register("\u0430\u0441\u0435").status == 201  # ace in Cyrillic letters
    assert api.register("ace").status == 201
    assert api.register("adà").status == 201


def test_a_taken_name_costs_no_hash(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.register("ada")

    def hashes(*_: object) -> str:
        raise AssertionError("a password was hashed for a name that is gone")

    monkeypatch.setattr("auth.generate_password_hash", hashes)

    refused(api.register("Ada"), 409, "taken")


@pytest.mark.slow
@sqlite_only
def test_passwords_are_stored_as_strong_salted_hashes(make_api: Any, settings: Settings) -> None:
    api: InProcess = make_api(password_hash=Settings().password_hash)

    api.register("ada")
    api.register("bob")

    hashes = [row[3] for row in stored(settings, "users")["users"]]
    assert all(each.startswith("scrypt:32768:8:3$") for each in hashes)
    assert len({each.split("$")[1] for each in hashes}) == 2
    assert api.login("ada").status == 200
    assert api.login("ada", "wrong password").status == 401


def test_no_password_is_logged_or_returned(
    api: Api, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(0)
    secret = "hunter2 hunter2"

    answers = [api.register("ada", secret), api.login("ada", secret), api.login("bob", secret)]
    answers.append(api.post("/api/register", {"username": "", "password": secret}))
    answers.append(api.post("/api/register", {"username": "ada", "password": [secret]}))

    assert [answer.status for answer in answers] == [201, 200, 401, 400, 400]
    assert secret not in caplog.text
    assert secret not in repr(answers)
    assert secret not in repr(stored(settings))


def test_registrations_from_one_address_are_limited(make_api: Any) -> None:
    api: InProcess = make_api(ratelimit_register="2 per hour")

    answers = [api.register(name) for name in ("ada", "bob", "", "ada", "eve")]

    assert [answer.status for answer in answers] == [201, 201, 429, 429, 429]
    refused(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3601
    assert InProcess(api.app, "192.0.2.7").register("eve").status == 201


def test_registrations_at_once_do_not_exceed_the_limit(make_api: Any) -> None:
    api: InProcess = make_api(ratelimit_register="3 per hour")

    answers = at_once(8, lambda number: api.register(f"person {number}"))

    assert sorted(answer.status for answer in answers) == [201] * 3 + [429] * 5


def test_registrations_that_fail_do_not_count(make_api: Any) -> None:
    api: InProcess = make_api(ratelimit_register="2 per hour")

    answers = [api.register(name) for name in ("ada", "", "ada", "ADA", "bob")]

    assert [answer.status for answer in answers] == [201, 400, 409, 409, 201]


def test_limits_can_be_switched_off(make_api: Any) -> None:
    api: InProcess = make_api(ratelimit_register="1 per hour", ratelimit_enabled=False)

    assert [api.register(name).status for name in ("ada", "bob", "eve")] == [201] * 3


def test_a_race_for_one_name_costs_one_hash(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def counted(password: str, method: str) -> str:
        hashed.append(password)
        return generate_password_hash(password, method)

    monkeypatch.setattr("auth.generate_password_hash", counted)
    monkeypatch.setattr("web.hash_queue.MOST_OF_ADDRESS", 32)

    statuses = at_once(32, lambda _: api.register("ada").status)

    assert sorted(statuses) == [201] + [409] * 31
    assert len(hashed) == 1


class InPieces:
    """What some servers hand over: no more at once than a socket has given."""

    def __init__(self, body: bytes) -> None:
        self.body = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self.body.read(min(7, size) if size > 0 else size)


@pytest.mark.parametrize("terminated", [True, False])
def test_a_body_may_come_in_pieces(app: Flask, *, terminated: bool) -> None:
    body = json.dumps({"username": "ada", "password": "long enough"}).encode()
    environ = create_environ("/api/register", method="POST", content_type="application/json")
    environ |= {"wsgi.input": InPieces(body), "CONTENT_LENGTH": str(len(body))}
    if terminated:
        environ["wsgi.input_terminated"] = True

    _, status, _ = run_wsgi_app(app, environ)

    assert status == "201 CREATED"
