"""What clients came upon that nobody had thought of, from outside and over HTTP."""

import io
import json
import string
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.ctx import AppContext
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError

from config import Settings
from database import begin_to_write, session, utcnow, writing
from models import Channel, Message, User
from tests.support.conversations import postgresql_only
from tests.support.people import (
    JSON,
    Api,
    ChatServer,
    InProcess,
    Person,
    Program,
    looking_into,
    refused,
    stored,
)
from tests.support.servers import HOST

Chat = dict[str, Any]
MAX_ID = 2**63 - 1
numbers = count(1)


@pytest.fixture(scope="module")
def servers(
    new_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Program], ChatServer]]:
    """One of each program."""
    with ExitStack() as stack:

        @cache
        def server(program: Program) -> ChatServer:
            folder = tmp_path_factory.mktemp(program)
            url = new_database(folder)
            return stack.enter_context(
                ChatServer(program, INSTANCE_PATH=str(folder), DATABASE_URL=url)
            )

        yield server


# Links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["before=0", "before=1", f"after={MAX_ID}", "around=0&limit=1"])
def test_each_link_leads_somewhere(ada: Person, chat: Chat, query: str) -> None:
    texts = [ada.said(chat, f"number {number}")["message"] for number in range(3)]

    links = ada.get(f"/api/get_message/{chat['channel_id']}?{query}").links

    assert links, "there is more that way"
    for target in links.values():
        url = urlsplit(target)
        answer = ada.get(f"{url.path}?{url.query}")
        assert set(texts) & {message["message"] for message in answer.json}, answer


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("chat.example", "http://chat.example"),
        ("chat.example:8000", "http://chat.example:8000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("chat_api:5000", "http://chat_api:5000"),  # as containers are named
        ("xn--fiqs8s", "http://xn--fiqs8s"),
        ("a>; rel=x", "http://localhost"),  # the server's own
        ("localhost:99999", "http://localhost"),
    ],
)
def test_links_and_sockets_are_where_the_request_went(
    ada: Person, bob: Person, host: str, address: str
) -> None:
    people = ada.get("/api/users?limit=1", headers={"Host": host})
    config = ada.get("/api/config", headers={"Host": host})

    assert people.links == {"next": f"{address}/api/users?limit=1&after={ada.id}"}
    port = f":{config.json['wsPort']}".removesuffix(":80")
    assert f"http://{config.json['wsHost']}{port}" == address


@pytest.mark.parametrize("host", ["xn--a", "XN--", "[:.]"])
def test_what_only_looks_like_a_host_is_no_fault_of_ours(
    servers: Callable[[Program], ChatServer], host: str
) -> None:
    api = servers("flask").api  # Flask's client knows no such host

    answer = api.get("/api/config", headers={"Host": host})

    assert (answer.status, answer.json["wsHost"]) == (200, host)


# Tokens --------------------------------------------------------------------------------------


def test_no_other_spelling_of_a_signature_is_valid(api: Api, ada: Person) -> None:
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    others = [ada.token[:-1] + letter for letter in letters if letter != ada.token[-1]]
    padded = [f"{ada.token}=", f"{ada.token}!", f"{ada.token[:-9]}!{ada.token[-9:]}"]

    for token in [*others, *padded, f"\xa0{ada.token}"]:
        headers = {"Authorization": f"Bearer {token}"}
        refused(api.get("/api/me", headers=headers), 401, "unauthorized")


# The database ----------------------------------------------------------------------------------


def test_what_the_database_refuses_is_not_quoted(context: AppContext) -> None:
    with pytest.raises(DBAPIError) as refused:
        session.execute(text("INSERT INTO nowhere VALUES (:word)"), {"word": "s3cr3t"})

    assert "nowhere" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_a_lock_that_others_keep_is_a_503(
    make_api: Callable[..., InProcess],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    ada: Person,
    chat: Chat,
) -> None:
    monkeypatch.setattr("database.BUSY_SECONDS", 1)
    monkeypatch.setattr(ada, "api", make_api())

    with looking_into(settings) as connection, begin_to_write(connection):
        connection.execute(update(User).values(created_at=utcnow()))  # as a long migration would
        connection.execute(update(Channel).values(created_at=utcnow()))
        answer = ada.says(chat, "Are you there?")

    refused(answer, 503, "unavailable")
    assert ada.reads(chat).json == []
    ada.said(chat, "Now you are.")


@postgresql_only
def test_a_database_that_is_read_only_is_a_503(
    make_api: Callable[..., InProcess],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    ada: Person,
    chat: Chat,
) -> None:
    """As a standby is, after a failover that came too early."""
    with looking_into(settings) as connection:
        name = connection.scalar(text("SELECT current_database()"))
        switch = text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        connection.execute(switch)
        connection.commit()
        try:
            monkeypatch.setattr(ada, "api", make_api())
            refused(ada.says(chat, "Are you there?"), 503, "unavailable")
            assert ada.reads(chat).json == []
        finally:
            connection.execute(text("SET transaction_read_only = off"))
            connection.execute(text(f'ALTER DATABASE "{name}" RESET ALL'))
            connection.commit()


def streamed(app: Flask, person: Person, path: str, body: io.BytesIO) -> int:
    """The status of a request whose body is read from there."""
    length = str(len(body.getvalue()))
    with app.test_client() as client:
        return client.post(
            path,
            input_stream=body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {person.token}", "Content-Length": length},
        ).status_code


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_no_body_is_waited_for_within_a_transaction(
    app: Flask, settings: Settings, ada: Person, chat: Chat
) -> None:
    states: list[str] = []

    class SlowBody(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            others = (
                "datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            asked = text(f"SELECT state FROM pg_stat_activity WHERE {others}")
            with looking_into(settings) as connection:
                states.extend(connection.execute(asked).scalars())
            return super().read(size)

        def readinto(self, buffer: Any) -> int:
            part = self.read(len(buffer))
            buffer[: len(part)] = part
            return len(part)

    body = {"channel": chat["channel_id"], "message": "At last."}

    assert streamed(app, ada, "/api/send_message", SlowBody(json.dumps(body).encode())) == 201
    assert states
    assert set(states) == {"idle"}


@pytest.mark.parametrize("path", ["/api/send_message", "/api/pusher/auth"])
def test_who_logs_out_while_a_body_is_on_its_way_has_logged_out(
    app: Flask,
    ada: Person,
    chat: Chat,
    settings: Settings,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.SLOW_SECONDS", -1)
    before = stored(settings, "messages", "events")

    class LateBody(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            ada.post("/api/logout")
            return super().read(size)

    members = {"channel": chat["channel_id"], "message": "Still me", "socket_id": "1.2"}
    body = json.dumps(members | {"channel_name": chat["channel_name"]}).encode()

    assert streamed(app, ada, path, LateBody(body)) == 401
    assert stored(settings, "messages", "events") == before


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_an_answer_that_was_made_does_not_need_the_connection_any_more(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, ada: Person
) -> None:
    def chats_and_loss(*_: object) -> tuple[list[Any], None]:
        own = session.execute(text("SELECT pg_backend_pid()")).scalar()
        with looking_into(settings) as connection:
            connection.execute(text("SELECT pg_terminate_backend(:own, 10000)"), {"own": own})
        return [], None

    monkeypatch.setattr("models.inbox.chats", chats_and_loss)

    answer = ada.get("/api/chats")

    assert (answer.status, answer.json) == (200, [])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_commit_that_fails_leaves_neither_lock_nor_rows(
    context: AppContext, ada: Person, chat: Chat
) -> None:
    def fail() -> None:
        with writing():
            driver: Any = session.bare().connection.driver_connection
            driver.execute("PRAGMA defer_foreign_keys = ON")  # so that only the commit finds it
            values = {"channel_id": 99, "sender_id": 99, "text": "x", "created_at": utcnow()}
            session.execute(insert(Message).values(values))
            session.commit()

    with pytest.raises(DBAPIError):
        fail()

    with writing():
        session.execute(update(Channel).values(created_at=utcnow()))
        session.commit()
    assert ada.reads(chat).json == []


# Queries ---------------------------------------------------------------------------------------


def test_a_prefix_may_end_with_the_last_character_there_is(api: Api, ada: Person) -> None:
    api.sign_up("ada\U0010ffff")
    api.sign_up("bob")

    found = ada.get("/api/users", q="ada\U0010ffff").json

    assert [each["username"] for each in found] == ["ada\U0010ffff"]


@pytest.mark.parametrize("path", ["/api/sync?since=", "/api/chats?limit=1&cursor="])
def test_a_cursor_that_was_cut_short_is_none(
    ada: Person, chat: Chat, eve: Person, path: str
) -> None:
    ada.asks(eve)
    following = parse_qs(urlsplit(ada.get("/api/chats?limit=1").links["next"]).query)["cursor"][0]
    cursor = ada.get("/api/sync").json["cursor"] if "sync" in path else following
    assert ada.get(path + cursor).status == 200

    for length in range(len(cursor)):
        message = refused(ada.get(path + cursor[:length]), 400, "invalid")
        assert path[:-1].rpartition("?")[2].rpartition("&")[2] in message


def test_each_line_of_the_export_is_one_to_any_reader(ada: Person, chat: Chat) -> None:
    text = "all\rends\nof\x0blines\x0cthere\x1care\x1din\x1eUnicode\x85are\u2028in\u2029here"
    message = ada.said(chat, text)

    lines = ada.get("/api/me/export").body.decode().splitlines()

    assert json.loads(lines[-1]) == {"type": "message", **message}


# Proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
@pytest.mark.parametrize(
    "header", ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "SCRIPT_NAME: /x"]
)
def test_nobody_is_a_proxy_who_was_not_said_to_be_one(
    servers: Callable[[Program], ChatServer], program: Program, header: str
) -> None:
    name, _, value = header.partition(": ")

    answer = servers(program).api.get("/api/config", headers={name: value})

    assert (answer.status, answer.json["forceTLS"]) == (200, False)


# Bodies that nobody wants ----------------------------------------------------------------------


@pytest.mark.abuse
@pytest.mark.parametrize("program", ["flask", "gunicorn"])
@pytest.mark.parametrize(("token", "status"), [(True, 413), (False, 401)])
def test_who_sends_20_mb_gets_to_see_the_answer(
    servers: Callable[[Program], ChatServer], program: Program, token: bool, status: int
) -> None:
    server = servers(program)
    ada = server.api.sign_up(f"ada {next(numbers)}")
    headers = JSON | ({"Authorization": f"Bearer {ada.token}"} if token else {})

    with closing(HTTPConnection(HOST, server.port, timeout=60)) as connection:
        for _ in range(3):  # on the same connection, where the server keeps it
            connection.request("POST", "/api/request_chat", b" " * 20_000_000, headers)
            answer = connection.getresponse()
            assert (answer.status, "code" in json.load(answer)) == (status, True)


def test_an_announced_body_is_not_waited_for(servers: Callable[[Program], ChatServer]) -> None:
    port = servers("gunicorn").port

    with closing(HTTPConnection(HOST, port, timeout=60)) as connection:
        connection.putrequest("POST", "/api/login")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "20000000")
        connection.endheaders(b"{")

        with connection.getresponse() as answer:
            assert answer.status == 413
