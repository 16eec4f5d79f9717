import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import insert
from werkzeug.security import generate_password_hash

from config import Settings
from database import utcnow
from models import User
from tests.conftest import application, of_other_app
from tests.support import classic
from tests.support.people import (
    CHEAP_HASH,
    PASSWORD,
    Answer,
    Api,
    InProcess,
    Person,
    looking_into,
    refused,
    runtime_of,
)
from web.ratelimits import RateLimits

Chat = dict[str, Any]
KEY, SECRET = "key", classic.SECRET


@pytest.fixture(scope="module")
def hosted(only_app: Flask) -> Iterator[Flask]:
    """An application with keys of Hosted Channels, on the same database."""
    keys: dict[str, Any] = {"pusher_app_id": "1", "pusher_key": KEY, "pusher_secret": SECRET}
    settings = replace(runtime_of(only_app).settings, **keys, pusher_cluster="eu")
    with application(settings) as app:
        yield app


def hosted_api(hosted: Flask, settings: Settings) -> Api:
    runtime_of(hosted).rate_limits = RateLimits(settings)
    return InProcess(hosted)


api = pytest.fixture(of_other_app if classic.FOLDER else hosted_api, name="api")


def signed(text: str) -> str:
    return f"{KEY}:{hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def form(person: Person, **members: str) -> Answer:
    """A signature, asked for by a form, as pusher-js does."""
    return person.post(
        "/api/pusher/auth",
        body=urlencode(members).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )


@pytest.mark.classic
@pytest.mark.parametrize("as_form", [True, False])
def test_a_chat_is_signed_for_both_of_its_people(
    ada: Person, bob: Person, chat: Chat, as_form: bool
) -> None:
    name = chat["channel_name"]
    for person in (ada, bob):
        asked = {"socket_id": "123.456", "channel_name": name}

        answer = form(person, **asked) if as_form else person.post("/api/pusher/auth", asked)

        assert answer.status == 200
        assert answer.json == {"auth": signed(f"123.456:{name}")}


@pytest.mark.classic
def test_a_form_of_parts_is_a_form_too(ada: Person) -> None:
    name = f"private-notification_user_{ada.id}"
    parts = {"socket_id": "1.2", "channel_name": name}
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
        for k, v in parts.items()
    )

    answer = ada.post(
        "/api/pusher/auth",
        body=f"{body}--b--\r\n".encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.json == {"auth": signed(f"1.2:{name}")}


@pytest.mark.classic
def test_the_callers_own_notifications_are_signed(ada: Person) -> None:
    name = f"private-notification_user_{ada.id}"

    assert ada.signs(name).json == {"auth": signed(f"123.456:{name}")}


@pytest.mark.classic
def test_presence_data_is_built_by_the_server(ada: Person) -> None:
    asked = {
        "socket_id": "123.456",
        "channel_name": "presence-chitchat",
        "channel_data": '{"user_id": "1000", "user_info": {"username": "eve"}}',
        "user_id": "1000",
    }

    for answer in (form(ada, **asked), ada.post("/api/pusher/auth", asked)):
        data = answer.json["channel_data"]
        assert set(answer.json) == {"auth", "channel_data"}
        info = {"id": ada.id, "username": "ada"}
        assert json.loads(data) == {"user_id": str(ada.id), "user_info": info}
        assert answer.json["auth"] == signed(f"123.456:presence-chitchat:{data}")


def test_user_1_is_not_taken_for_user_12(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    number = int(f"{ada.id}2")
    with looking_into(settings) as connection:
        values = {"id": number, "username": "carol", "username_key": "carol"}
        hashed = generate_password_hash(PASSWORD, CHEAP_HASH)
        connection.execute(insert(User).values(**values, password_hash=hashed, created_at=utcnow()))
        connection.commit()
    carol = ada.api.sign_in("carol")
    with_ada = carol.asks(ada).json["channel_name"]

    assert carol.signs(with_ada).status == ada.signs(with_ada).status == 200
    refused(carol.signs(f"private-notification_user_{ada.id}"), 403, "forbidden")
    refused(ada.signs(f"private-notification_user_{carol.id}"), 403, "forbidden")
    refused(carol.signs(chat["channel_name"]), 403, "forbidden")
    refused(bob.signs(with_ada), 403, "forbidden")
    refused(carol.signs(f"{chat['channel_name']}2"), 403, "forbidden")


@pytest.mark.classic
@pytest.mark.parametrize(
    "name",
    [
        *("private-notification_user_{bob}", "private-notification_user_0{ada}", "private-"),
        *("Private-notification_user_{ada}", "private-notification_user_{ada},1", "chitchat"),
        *("private-chat_{bob}_{ada}", "private-chat_0{ada}_{bob}", "private-chat_{ada}_0{bob}"),
        *("private-chat_{ada}_{eve}", "private-chat_{ada}", "private-chat_{ada}_{ada}"),
        *("private-chat_{ada}_{bob}0", "private-chat_{ada}_{bob}_", "{channel}", "presence-other"),
        *("presence-chitchat2", "private-encrypted-chat_{ada}_{bob}", "public", "cache-x"),
        *("presence-chat_{ada}_{bob}", "private-chitchat", "Presence-chitchat", "x" * 164),
        *("private-chat_" + "9" * 19 + "_" + "9" * 20, "private-cache-chat_{ada}_{bob}"),
    ],
)
def test_no_other_channel_is_signed(
    ada: Person, bob: Person, eve: Person, chat: Chat, name: str
) -> None:
    name = name.format(ada=ada.id, bob=bob.id, eve=eve.id, channel=chat["channel_id"])

    answer = ada.signs(name)

    refused(answer, 403, "forbidden")
    assert b"auth" not in answer.body


@pytest.mark.classic
@pytest.mark.parametrize(
    "socket_id",
    [
        *("", "1", "1.", ".1", "1.1.1", "1.1:private-x", "1.1\n", "\n1.1", " 1.1", "1.1 ", "-1.1"),
        *("1,1", "a.b", "1.1a", "１.１", "٣.٣", "1.²", "1.1\0", "1" * 50 + ".1"),
        *(None, 1.1, True, []),
    ],
)
def test_a_malformed_socket_id_signs_nothing(ada: Person, socket_id: Any) -> None:
    name = f"private-notification_user_{ada.id}"

    answer = ada.signs(name, socket_id)

    assert "socket_id" in refused(answer, 400, "invalid")
    if isinstance(socket_id, str):
        refused(form(ada, socket_id=socket_id, channel_name=name), 400, "invalid")


@pytest.mark.classic
@pytest.mark.parametrize(
    "name",
    ["", "a b", "a:b", "x" * 165, "é", "a\n", "a\0", "#server-to-user-1", None, 7, ["a"], {}],
)
def test_a_malformed_channel_name_is_refused(ada: Person, name: Any) -> None:
    answer = ada.signs(name)

    assert "channel_name" in refused(answer, 400, "invalid")


@pytest.mark.classic
@pytest.mark.parametrize("missing", ["socket_id", "channel_name"])
def test_socket_and_channel_are_both_needed(ada: Person, missing: str) -> None:
    asked = {"socket_id": "1.1", "channel_name": "presence-chitchat"}
    del asked[missing]

    assert missing in refused(form(ada, **asked), 400, "invalid")
    assert missing in refused(ada.post("/api/pusher/auth", asked), 400, "invalid")


def test_own_keys_sign_where_none_are_set(make_api: Any, settings: Settings) -> None:
    ada = make_api().sign_up("ada")
    key = ada.get("/api/config").json["key"]
    secret = (settings.folder / "embedded_secret").read_text()

    auth = ada.signs(f"private-notification_user_{ada.id}").json["auth"]

    text = f"123.456:private-notification_user_{ada.id}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert auth == f"{key}:{digest}"
