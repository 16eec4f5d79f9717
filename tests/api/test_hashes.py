"""Password hashes are renewed at login when the parameters rise; easy passwords are refused."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, update
from werkzeug.security import generate_password_hash

from config import Settings
from models import User
from tests.support.people import (
    CHEAP_HASH,
    PASSWORD,
    InProcess,
    at_once,
    looking_into,
    refused,
    stored,
)

WEAK, TODAY, STRONG = "scrypt:128:8:1", "scrypt:256:8:1", "scrypt:512:8:1"


def hash_of_ada(settings: Settings) -> str:
    with looking_into(settings) as connection:
        return str(connection.execute(select(User.password_hash)).scalar_one())


@pytest.mark.parametrize("former", [WEAK, "pbkdf2:sha256:1000"])
def test_a_weaker_hash_is_renewed_at_login(
    make_api: Callable[..., InProcess], settings: Settings, former: str
) -> None:
    make_api(password_hash=former).register("ada")
    assert hash_of_ada(settings).startswith(f"{former}$")
    api = make_api(password_hash=TODAY)

    ada = api.sign_in("ada")

    renewed = hash_of_ada(settings)
    assert renewed.startswith(f"{TODAY}$")
    assert ada.get("/api/me").status == 200
    assert api.login("ada").status == 200
    assert hash_of_ada(settings) == renewed


@pytest.mark.parametrize("former", [TODAY, STRONG, "scrypt:128:16:1"])
def test_a_hash_as_strong_stays(
    make_api: Callable[..., InProcess], settings: Settings, former: str
) -> None:
    make_api(password_hash=former).register("ada")
    before = hash_of_ada(settings)

    make_api(password_hash=TODAY).sign_in("ada")

    assert hash_of_ada(settings) == before


def test_a_wrong_password_renews_nothing(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    make_api(password_hash=WEAK).register("ada")
    before = hash_of_ada(settings)

    assert make_api(password_hash=TODAY).login("ada", "wrong password").status == 401

    assert hash_of_ada(settings) == before


def test_logins_at_once_all_succeed_after_a_rise(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    make_api(password_hash=WEAK).register("ada")
    api = make_api(password_hash=TODAY)

    people = at_once(8, lambda _: api.sign_in("ada"))

    assert [each.get("/api/me").status for each in people] == [200] * 8
    assert api.login("ada", PASSWORD).status == 200


def test_a_living_login_survives_a_renewal(
    make_api: Callable[..., InProcess], settings: Settings
) -> None:
    weak = make_api(password_hash=WEAK)
    weak.register("ada")
    ada = weak.sign_in("ada")
    api = make_api(password_hash=TODAY)

    api.sign_in("ada")

    assert ada.get("/api/me").status == 200


# Passwords that were set before easy ones were refused ------------------------------------------


def test_an_easy_password_from_before_logs_in(api: InProcess, settings: Settings) -> None:
    ada = api.sign_up("ada")
    easy = generate_password_hash("password", CHEAP_HASH)
    with looking_into(settings) as connection:
        connection.execute(update(User).values(password_hash=easy))
        connection.commit()

    assert api.login("ada", "password").status == 200

    change = {"current_password": "password", "new_password": "battery staple"}
    assert ada.request("PUT", "/api/me/password", change).status == 200


@pytest.mark.parametrize(
    ("password", "reason"),
    [("ada lovelace", "the user name"), ("x" * 8, "again and again"), ("Password1", "common")],
)
def test_a_password_is_not_changed_to_an_easy_one(
    api: InProcess, settings: Settings, password: str, reason: str
) -> None:
    ada = api.sign_up("Ada Lovelace")
    before = stored(settings)
    change = {"current_password": PASSWORD, "new_password": password}

    message = refused(ada.request("PUT", "/api/me/password", change), 400, "invalid")

    assert message.startswith("new_password must not be ")
    assert reason in message
    assert stored(settings) == before
