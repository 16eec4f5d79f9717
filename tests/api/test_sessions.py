"""Sessions: where somebody is logged in, for how long, and how to end it from elsewhere."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from config import Settings
from database import utcnow
from models import Login
from tests.support.people import (
    PASSWORD,
    Api,
    InProcess,
    Person,
    at_once,
    looking_into,
    notices,
    refused,
)
from tests.support.servers import eventually

DAY = 86_400


def sessions(person: Person) -> list[dict[str, Any]]:
    answer = person.get("/api/me/sessions")
    assert answer.status == 200, answer
    listed: list[dict[str, Any]] = answer.json
    return listed


def logged_in(api: Api, person: Person, agent: str | None = None, **members: Any) -> Person:
    """The same person on another device."""
    body = {"username": person.username, "password": PASSWORD, **members}
    headers = {} if agent is None else {"User-Agent": agent}
    answer = api.post("/api/login", body, headers=headers)
    assert answer.status == 200, answer
    return Person(api, **answer.json["data"])


def refreshed(person: Person) -> Person:
    answer = person.post("/api/refresh")
    assert answer.status == 200, answer
    return Person(person.api, **answer.json["data"])


def expiry(person: Person) -> datetime:
    claims = jwt.decode(person.token, options={"verify_signature": False})
    return datetime.fromtimestamp(claims["exp"], UTC)


def set_back(settings: Settings, **columns: Any) -> None:
    with looking_into(settings) as connection:
        connection.execute(update(Login).values(columns))
        connection.commit()


def test_sessions_tell_where_somebody_is_logged_in(api: Api, ada: Person, bob: Person) -> None:
    phone = logged_in(api, ada, agent="Phone/1.0 " + "x" * 1_000)

    here, there = sessions(ada)
    assert (here["current"], there["current"]) == (True, False)
    assert [each["current"] for each in sessions(phone)] == [False, True]
    assert there["user_agent"] == ("Phone/1.0 " + "x" * 1_000)[:200]
    assert there["expires_at"] == f"{expiry(phone):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert there["last_used_at"][14:] == "00:00.000000Z"
    assert there["last_used_at"][:13] <= there["created_at"][:13]
    assert here["id"] < there["id"]


def test_a_session_without_an_agent_says_so(api: Api, ada: Person) -> None:
    for agent in ("", " ", "\x1b\x7f"):
        assert sessions(logged_in(api, ada, agent=agent))[-1]["user_agent"] is None


def test_a_session_that_is_ended_elsewhere_is_void(
    api: Api, ada: Person, settings: Settings
) -> None:
    phone = logged_in(api, ada)
    gone = sessions(ada)[1]["id"]

    assert ada.request("DELETE", f"/api/me/sessions/{gone}").status == 204

    refused(phone.get("/api/me"), 401, "unauthorized")
    assert len(sessions(ada)) == 1
    refused(ada.request("DELETE", f"/api/me/sessions/{gone}"), 404, "not_found")
    (notice,) = notices(settings)
    assert notice["name"] == "logins_ended"


def test_the_current_session_can_be_ended_too(ada: Person) -> None:
    (mine,) = sessions(ada)

    assert ada.request("DELETE", f"/api/me/sessions/{mine['id']}").status == 204
    refused(ada.get("/api/me"), 401, "unauthorized")


def test_sessions_of_others_are_not_there(ada: Person, bob: Person) -> None:
    (theirs,) = sessions(bob)

    for session_id in (theirs["id"], 0, 2**63 - 1):
        refused(ada.request("DELETE", f"/api/me/sessions/{session_id}"), 404, "not_found")
    assert bob.get("/api/me").status == 200


def test_a_session_ends_once_however_many_ask(api: Api, ada: Person) -> None:
    logged_in(api, ada)
    gone = sessions(ada)[1]["id"]

    answers = at_once(4, lambda _: ada.request("DELETE", f"/api/me/sessions/{gone}").status)

    assert sorted(answers) == [204, 404, 404, 404]


def test_a_refresh_is_the_same_session(ada: Person) -> None:
    (before,) = sessions(ada)

    (after,) = sessions(refreshed(ada))

    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    refused(ada.get("/api/me"), 401, "unauthorized")


def test_one_of_many_refreshes_goes_through(ada: Person) -> None:
    statuses = at_once(4, lambda _: ada.post("/api/refresh").status)

    assert sorted(statuses) == [200, 401, 401, 401]


def test_expired_sessions_are_neither_listed_nor_ended(
    api: Api, ada: Person, settings: Settings
) -> None:
    logged_in(api, ada)
    gone = sessions(ada)[1]["id"]
    with looking_into(settings) as connection:
        past = utcnow() - timedelta(seconds=1)
        connection.execute(update(Login).where(Login.id == gone).values(expires_at=past))
        connection.commit()

    assert len(sessions(ada)) == 1
    refused(ada.request("DELETE", f"/api/me/sessions/{gone}"), 404, "not_found")


def test_the_last_use_is_kept_to_the_hour(api: Api, ada: Person, settings: Settings) -> None:
    phone = logged_in(api, ada)
    long_ago = utcnow().replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    set_back(settings, last_used_at=long_ago)
    assert sessions(ada)[1]["last_used_at"] == f"{long_ago:%Y-%m-%dT%H:%M:%S.%fZ}"

    assert phone.get("/api/me").status == 200

    eventually(lambda: sessions(ada)[1]["last_used_at"] > f"{long_ago:%Y-%m-%dT%H:%M:%S.%fZ}")


def test_the_last_use_never_steps_back(ada: Person, settings: Settings) -> None:
    ahead = utcnow().replace(minute=0, second=0, microsecond=0) + timedelta(hours=5)
    set_back(settings, last_used_at=ahead)

    assert ada.get("/api/me").status == 200

    assert sessions(ada)[0]["last_used_at"] == f"{ahead:%Y-%m-%dT%H:%M:%S.%fZ}"


# How long ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("remember", "seconds"), [(True, 30 * DAY), (False, DAY), (None, DAY)])
def test_a_login_is_remembered_if_it_asks(
    api: Api, ada: Person, remember: bool | None, seconds: int
) -> None:
    phone = logged_in(api, ada, remember=remember)

    assert phone.expires_in == refreshed(phone).expires_in == seconds
    until = expiry(phone) - datetime.now(UTC)
    assert timedelta(0) <= timedelta(seconds=seconds) - until < timedelta(minutes=1)


@pytest.mark.parametrize("remember", ["yes", "true", 1, 0, [], {}])
def test_to_remember_is_true_or_false(api: Api, ada: Person, remember: Any) -> None:
    body = {"username": "ada", "password": PASSWORD, "remember": remember}

    assert "remember" in refused(api.post("/api/login", body), 400, "invalid")


def test_a_chain_of_refreshes_ends(ada: Person, api: Api, settings: Settings) -> None:
    phone = logged_in(api, ada, remember=True)
    set_back(settings, created_at=utcnow() - timedelta(days=89))

    last = refreshed(phone)
    assert DAY - 60 < last.expires_in <= DAY
    assert DAY - 60 < refreshed(last).expires_in <= DAY


def test_a_chain_that_has_ended_asks_for_the_password(ada: Person, settings: Settings) -> None:
    set_back(settings, created_at=utcnow() - timedelta(days=90))

    refused(ada.post("/api/refresh"), 401, "token_expired")
    assert ada.get("/api/me").status == 200  # as long as the token itself holds


def test_no_token_outlives_the_chain(make_api: Any, ada: Person) -> None:
    api: InProcess = make_api(remember_seconds=100, session_max_seconds=60, jwt_expires_seconds=80)

    for remember in (True, False):
        phone = logged_in(api, ada, remember=remember)
        assert phone.expires_in == 60
        assert refreshed(phone).expires_in <= 60


def test_another_password_leaves_the_session_its_id(api: Api, ada: Person) -> None:
    logged_in(api, ada)
    before = sessions(ada)[0]
    body = {"current_password": PASSWORD, "new_password": "battery staple"}

    answer = ada.request("PUT", "/api/me/password", body)

    (after,) = sessions(Person(api, **answer.json["data"]))
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
