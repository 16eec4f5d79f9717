"""POST /api/pusher/user-auth: connections that belong to somebody, and end with the login."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.conversations import ok
from tests.support.endings import (
    change_password,
    delete_account,
    log_out,
    log_out_everywhere,
    refresh,
    refresh_and_log_out,
)
from tests.support.gateway_client import KEY, SECRET, Client, make_gateway
from tests.support.gateway_client import Server as Sockets
from tests.support.people import Answer, Api, ChatServer, InProcess, Person, refused
from tests.support.pusher_js import PusherJs
from tests.support.servers import HOST
from tests.support.tabs import KEYS

PATH = "/api/pusher/user-auth"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
numbers = count(1)


def signature_of(text: str) -> str:
    return f"{KEY}:{hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def ask(person: Api, socket_id: str) -> Answer:
    """As pusher-js asks."""
    return person.post(PATH, body=urlencode({"socket_id": socket_id}).encode(), headers=FORM)


# The answer --------------------------------------------------------------------------------------


@pytest.fixture
def api(make_api: Callable[..., InProcess]) -> InProcess:
    """With keys that the tests know."""
    return make_api(**{name.lower(): value for name, value in KEYS.items()})


def as_form(person: Person) -> Answer:
    return ask(person, "123.456")


def as_json(person: Person) -> Answer:
    return person.post(PATH, {"socket_id": "123.456"})


@pytest.mark.parametrize("ask", [as_form, as_json])
def test_a_sign_in_is_signed_for_the_caller(
    ada: Person, bob: Person, ask: Callable[[Person], Answer]
) -> None:
    for person in (ada, bob):
        answer = ok(ask(person))

        assert list(answer) == ["auth", "user_data"]
        assert json.loads(answer["user_data"]) == {
            "id": str(person.id),
            "user_info": {"id": person.id, "username": person.username},
        }
        assert answer["auth"] == signature_of(f"123.456::user::{answer['user_data']}")


def test_user_data_of_the_request_is_ignored(ada: Person, bob: Person) -> None:
    forged = json.dumps({"id": str(bob.id)})

    answer = ok(ada.post(PATH, {"socket_id": "123.456", "user_data": forged, "id": bob.id}))

    assert json.loads(answer["user_data"])["id"] == str(ada.id)


@pytest.mark.parametrize(
    "socket_id",
    [
        *("", "1", "1.", ".1", "1.2.3", "a.b", "1.2:private-x", "1.2::user::", "1.2\n", " 1.2"),
        *("-1.2", "１.2", "1" * 21 + ".1"),
    ],
)
def test_a_malformed_socket_id_is_refused(ada: Person, socket_id: str) -> None:
    assert "socket_id" in refused(ada.post(PATH, {"socket_id": socket_id}), 400, "invalid")
    assert "socket_id" in refused(ask(ada, socket_id), 400, "invalid")


@pytest.mark.parametrize("body", [{}, {"socket_id": None}, {"socket_id": 1.5}, {"socketId": "1.2"}])
def test_a_sign_in_needs_a_socket_id(ada: Person, body: dict[str, Any]) -> None:
    assert "socket_id" in refused(ada.post(PATH, body), 400, "invalid")


def test_other_kinds_of_bodies_are_refused(ada: Person) -> None:
    answer = ada.post(PATH, body=b"socket_id=1.2", headers={"Content-Type": "text/plain"})

    refused(answer, 415, "unsupported_media_type")


def test_a_sign_in_needs_a_token(api: Api, ada: Person) -> None:
    assert ada.post("/api/logout").status == 204

    for person in (api, ada):
        answer = ask(person, "123.456")

        refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_sign_in_is_a_post(ada: Person) -> None:
    refused(ada.get(PATH), 405, "method_not_allowed")


# At the embedded server --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer("gunicorn", **KEYS) as server:
        yield server


@pytest.fixture
def sockets(server: ChatServer) -> Iterator[Sockets]:
    sockets = Sockets(server.port, make_gateway())
    with sockets.people:
        yield sockets


@pytest.fixture
def member(server: ChatServer) -> Person:
    """Ada of this test alone, at that server."""
    return server.api.sign_up(f"ada {next(numbers)}")


def signed_in(sockets: Sockets, person: Person) -> Client:
    """A connection that is the person's, and hears no channel."""
    client = sockets.join()
    client.say("pusher:signin", ok(ask(person, client.socket_id)))
    client.expect("pusher:signin_success")
    return client


def connect(browser: PusherJs, server: ChatServer, person: Person) -> None:
    base = f"http://{HOST}:{server.port}/api/pusher"
    config = server.api.get("/api/config").json
    browser.connect(config, person.token, f"{base}/auth", user_auth_url=f"{base}/user-auth")


def test_pusher_js_signs_in_and_leaves_at_the_logout(server: ChatServer, member: Person) -> None:
    with PusherJs(8) as browser:
        connect(browser, server, member)

        assert browser.sign_in() == {
            "id": str(member.id),
            "user_info": {"id": member.id, "username": member.username},
        }

        assert member.post("/api/logout").status == 204

        browser.wait_for_state("disconnected")
        assert "4009" in json.dumps(browser.faults)


def test_pusher_js_cannot_sign_in_with_an_ended_login(server: ChatServer, member: Person) -> None:
    assert member.post("/api/logout").status == 204
    with PusherJs(8) as browser:
        connect(browser, server, member)

        assert browser.sign_in() is None


@pytest.mark.parametrize(
    ("act", "own_stays", "other_stays"),
    [
        (log_out, False, True),
        (log_out_everywhere, False, False),
        (change_password, False, False),
        (refresh, True, True),
        (refresh_and_log_out, False, True),
        (delete_account, False, False),
    ],
)
def test_a_sign_in_ends_with_the_login_behind_it(
    server: ChatServer,
    sockets: Sockets,
    member: Person,
    act: Callable[[Person], Answer],
    own_stays: bool,
    other_stays: bool,
) -> None:
    own = signed_in(sockets, member)
    other = signed_in(sockets, server.api.sign_in(member.username))
    bystander = signed_in(sockets, server.api.sign_up(f"bob {next(numbers)}"))

    assert act(member).status in (200, 204)

    for client, stays in ((own, own_stays), (other, other_stays), (bystander, True)):
        if stays:
            client.expect_silence()
        else:
            assert client.expect_close() == 4009


def test_a_signature_of_another_connection_is_refused(sockets: Sockets, member: Person) -> None:
    client, other = sockets.join(), sockets.join()

    client.say("pusher:signin", ok(ask(member, other.socket_id)))

    assert client.expect_close() == 4009
