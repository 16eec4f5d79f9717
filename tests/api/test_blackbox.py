"""Cases that nobody had thought of until a client came upon them, seen from outside."""

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
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DBAPIError

from config import Settings
from database import db, utcnow, writing
from models import Channel, Message, User
from tests.support.conversations import postgresql_only, sqlite_only
from tests.support.interruptions import interrupting
from tests.support.people import (
    JSON,
    Api,
    ChatServer,
    InProcess,
    Person,
    Program,
    events,
    looking_into,
    refused,
    stored,
)
from tests.support.servers import HOST, PATIENCE

Chat = dict[str, Any]
MAX_ID = 2**63 - 1
numbers = count(1)


@pytest.fixture(scope="module")
def servers(
    new_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Program], ChatServer]]:
    """One server of each program."""
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
def test_links_and_sockets_name_the_requested_host(
    ada: Person, bob: Person, host: str, address: str
) -> None:
    people = ada.get("/api/users?limit=1", headers={"Host": host})
    config = ada.get("/api/config", headers={"Host": host})

    assert people.links == {"next": f"{address}/api/users?limit=1&after={ada.id}"}
    port = f":{config.json['wsPort']}".removesuffix(":80")
    assert f"http://{config.json['wsHost']}{port}" == address


@pytest.mark.parametrize("host", ["xn--a", "XN--", "[:.]"])
def test_a_malformed_host_is_answered_all_the_same(
    servers: Callable[[Program], ChatServer], host: str
) -> None:
    api = servers("flask").api  # because Flask's client refuses such a host

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


def test_errors_of_the_database_quote_no_values(context: AppContext) -> None:
    with pytest.raises(DBAPIError) as refused:
        db.session.execute(text("INSERT INTO nowhere VALUES (:word)"), {"word": "s3cr3t"})

    assert "nowhere" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_a_lock_kept_by_others_is_a_503(
    make_api: Callable[..., InProcess],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    ada: Person,
    chat: Chat,
) -> None:
    monkeypatch.setattr("database.BUSY_SECONDS", 1)
    monkeypatch.setattr(ada, "api", make_api())

    with looking_into(settings) as connection:
        connection.execute(update(User).values(created_at=utcnow()))  # as a long migration would
        connection.execute(update(Channel).values(created_at=utcnow()))
        answer = ada.says(chat, "Are you there?")

    refused(answer, 503, "unavailable")
    assert ada.reads(chat).json == []
    ada.said(chat, "Now you are.")


@postgresql_only
def test_a_read_only_database_is_a_503(
    make_api: Callable[..., InProcess],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    ada: Person,
    chat: Chat,
) -> None:
    """A standby is read-only after a failover that came too early."""
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


class SlowBody(io.BytesIO):
    """A JSON body; something happens while a server waits for each part of it."""

    def __init__(self, members: dict[str, Any], happens: Callable[[], object]) -> None:
        super().__init__(json.dumps(members).encode())
        self._happens = happens

    def read(self, size: int | None = -1, /) -> bytes:
        self._happens()
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def streamed(app: Flask, person: Person, path: str, body: SlowBody) -> int:
    """The status of a request whose body is read from there."""
    length = str(len(body.getvalue()))
    with app.test_client() as client:
        return client.post(
            path,
            input_stream=body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {person.token}", "Content-Length": length},
        ).status_code


@postgresql_only
def test_no_transaction_is_open_while_a_body_arrives(
    app: Flask, settings: Settings, ada: Person, chat: Chat
) -> None:
    states: list[str] = []

    def look() -> None:
        others = (
            "datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        asked = text(f"SELECT state FROM pg_stat_activity WHERE {others}")
        with looking_into(settings) as connection:
            states.extend(connection.execute(asked).scalars())

    body = SlowBody({"channel": chat["channel_id"], "message": "At last."}, look)

    assert streamed(app, ada, "/api/send_message", body) == 201
    assert states
    assert set(states) == {"idle"}


@pytest.mark.parametrize("path", ["/api/send_message", "/api/pusher/auth"])
def test_a_logout_beats_a_body_on_its_way(
    app: Flask, ada: Person, chat: Chat, settings: Settings, path: str
) -> None:
    before = stored(settings, "messages"), events(settings)
    members = {
        "channel": chat["channel_id"],
        "message": "Still me",
        "socket_id": "1.2",
        "channel_name": chat["channel_name"],
    }
    body = SlowBody(members, lambda: ada.post("/api/logout"))

    assert streamed(app, ada, path, body) == 401
    assert (stored(settings, "messages"), events(settings)) == before


@postgresql_only
def test_a_connection_lost_after_reading_costs_no_answer(
    app: Flask, settings: Settings, ada: Person, chat: Chat
) -> None:
    lost: list[int] = []

    def lose(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        lost.append(driver.info.backend_pid)
        with looking_into(settings) as another:
            another.execute(text("SELECT pg_terminate_backend(:own, 10000)"), {"own": lost[-1]})

    with interrupting(app, "FROM channels", lose):
        answer = ada.get("/api/chats")

    assert lost
    assert (answer.status, len(answer.json)) == (200, 1)
    assert ada.get("/api/chats").json == answer.json, "another connection takes its place"


@sqlite_only
def test_a_failed_commit_leaves_no_lock_or_rows(
    context: AppContext, ada: Person, chat: Chat
) -> None:
    def fail() -> None:
        with writing():
            driver: Any = db.session.connection().connection.driver_connection
            driver.execute("PRAGMA defer_foreign_keys = ON")  # so only the commit finds the fault
            values = {"channel_id": 99, "sender_id": 99, "text": "x", "created_at": utcnow()}
            db.session.execute(insert(Message).values(values))
            db.session.commit()

    with pytest.raises(DBAPIError):
        fail()

    with writing():
        db.session.execute(update(Channel).values(created_at=utcnow()))
        db.session.commit()
    assert ada.reads(chat).json == []


# Queries ---------------------------------------------------------------------------------------


def test_a_prefix_may_end_with_the_last_character(api: Api, ada: Person) -> None:
    api.sign_up("ada\U0010ffff")
    api.sign_up("bob")

    found = ada.get("/api/users", q="ada\U0010ffff").json

    assert [each["username"] for each in found] == ["ada\U0010ffff"]


@pytest.mark.parametrize("path", ["/api/sync?since=", "/api/chats?limit=1&cursor="])
def test_a_cursor_cut_short_is_refused(ada: Person, chat: Chat, eve: Person, path: str) -> None:
    ada.asks(eve)
    following = parse_qs(urlsplit(ada.get("/api/chats?limit=1").links["next"]).query)["cursor"][0]
    cursor = ada.get("/api/sync").json["cursor"] if "sync" in path else following
    assert ada.get(path + cursor).status == 200

    for length in range(len(cursor)):
        message = refused(ada.get(path + cursor[:length]), 400, "invalid")
        assert path[:-1].rpartition("?")[2].rpartition("&")[2] in message


def test_every_reader_sees_the_same_export_lines(ada: Person, chat: Chat) -> None:
    text = "all\rends\nof\x0blines\x0cthere\x1care\x1din\x1eUnicode\x85are\u2028in\u2029here"
    message = ada.said(chat, text)

    lines = ada.get("/api/me/export").body.decode().splitlines()

    assert json.loads(lines[-1]) == {**message, "type": "message", "message_type": "Text"}


# Proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
@pytest.mark.parametrize(
    "header", ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "SCRIPT_NAME: /x"]
)
def test_headers_of_an_unnamed_proxy_are_ignored(
    servers: Callable[[Program], ChatServer], program: Program, header: str
) -> None:
    name, _, value = header.partition(": ")

    answer = servers(program).api.get("/api/config", headers={name: value})

    assert (answer.status, answer.json["forceTLS"]) == (200, False)


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_an_answer_has_one_date(servers: Callable[[Program], ChatServer], program: Program) -> None:
    connection = HTTPConnection(HOST, servers(program).port, timeout=PATIENCE)
    connection.request("GET", "/")

    with closing(connection), connection.getresponse() as answer:
        assert len(answer.headers.get_all("Date", [])) == 1


# White space ----------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_white_space_around_a_token_is_none_of_it(
    servers: Callable[[Program], ChatServer], program: Program
) -> None:
    api = servers(program).api
    token = api.sign_up(f"ada {next(numbers)}").token

    def status(value: str) -> int:
        return api.get("/api/me", headers={"Authorization": value}).status

    around = [f"Bearer {token}\t", f"Bearer {token} \t ", f"\tBearer {token}", f"Bearer   {token}"]
    assert [status(value) for value in around] == [200] * 4
    within = [f"Bearer\t{token}", f"Bearer \t{token}", f"Bearer {token[:-9]}\t{token[-9:]}"]
    assert [status(value) for value in within] == [401] * 3
    # What is white space to Python alone. gunicorn refuses most of it before the application.
    others = [f"Bearer {token}{end}" for end in "\x0b\x0c\x1c\x85\xa0="]
    assert {status(value) for value in others} <= {400, 401}


# Bodies that nobody wants ----------------------------------------------------------------------


@pytest.mark.abuse
@pytest.mark.parametrize("program", ["flask", "gunicorn"])
@pytest.mark.parametrize(("token", "status"), [(True, 413), (False, 401)])
def test_a_client_sending_20_mb_sees_the_answer(
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


def test_an_announced_large_body_is_not_waited_for(
    servers: Callable[[Program], ChatServer],
) -> None:
    port = servers("gunicorn").port

    with closing(HTTPConnection(HOST, port, timeout=60)) as connection:
        connection.putrequest("POST", "/api/login")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "20000000")
        connection.endheaders(b"{")

        with connection.getresponse() as answer:
            assert answer.status == 413
