"""One line of the log for each request, and the id of the request in all that is logged of it."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app import create_app
from config import Settings
from tests.api.test_slow_readers import open_and_read_nothing
from tests.support.people import ChatServer, InProcess, at_once, fill, refused
from tests.support.servers import HOST, Postgres, eventually
from web import logs

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z INFO app\.access \[(?P<id>[\w-]+)\] "
    r"(?P<method>\w+) (?P<route>\S+) (?P<status>\d{3}) \d+\.\dms user=(?P<user>\S+) "
    r"address=(?P<address>\S+)(?P<aborted> aborted)?"
)


def lines(server: ChatServer) -> list[dict[str, str]]:
    """The access lines of a server, past those of its start."""
    said = [line for line in server.log.read_text().splitlines() if " app.access " in line]
    found = [LINE.fullmatch(line) for line in said]
    assert all(found), said
    return [match.groupdict() for match in found if match]


def test_each_request_has_a_line_without_secrets(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada = server.api.sign_up("ada")
    before = len(lines(server))
    chat = ada.asks(server.api.sign_up("bob")).json
    secret = "the-secret-of-ada"
    ada.says(chat, secret)
    ada.get("/api/search", q=secret)
    ada.get(f"/api/{secret}?token={ada.token}")
    server.api.login("ada", secret)
    ada.get("/api/users", headers={"X-Request-ID": "my-own_id"})
    refused(ada.request("GET", "/api/users?limit=0"), 400, "invalid")

    found = lines(server)[before:]
    shown = [(each["method"], each["route"], each["status"], each["user"]) for each in found]
    me = str(ada.id)
    assert shown[3:] == [
        ("POST", "/api/send_message", "201", me),
        ("GET", "/api/search", "200", me),
        ("GET", "unmatched", "404", "-"),
        ("POST", "/api/login", "401", "-"),
        ("GET", "/api/users", "200", me),
        ("GET", "/api/users", "400", me),
    ]
    assert shown[1] == ("POST", "/api/login", "200", str(ada.id + 1))
    assert found[7]["id"] == "my-own_id"
    assert {each["address"] for each in found} == {HOST}
    said = server.log.read_text()
    assert not {secret, ada.token, "correct horse"} & set(re.split(r"[\s=?/\"]+", said))


@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_a_client_that_leaves_is_told_of(start: Callable[..., ChatServer], program: str) -> None:
    server = start(program)
    ada = server.api.sign_up("ada")
    chat = ada.asks(server.api.sign_up("bob")).json
    settings = Settings(
        instance_path=server.settings["INSTANCE_PATH"],
        database_url=server.settings["DATABASE_URL"],
    )
    fill(settings, ada, chat, 20_000, "x" * 500)

    open_and_read_nothing(server, ada, "/api/get_message/1").close()
    assert ada.reads(chat).status == 200

    history = "/api/get_message/<channel>"

    def told() -> set[tuple[str, bool, str]]:
        mine = [each for each in lines(server) if each["route"] == history]
        return {(each["status"], bool(each["aborted"]), each["user"]) for each in mine}

    me = str(ada.id)
    assert eventually(lambda: told() == {("200", True, me), ("200", False, me)})
    assert "Traceback" not in server.log.read_text()


def test_json_lines_are_json_whoever_writes_them(start: Callable[..., ChatServer]) -> None:
    server = start(ACCESS_LOG="json", TRUSTED_PROXIES="1")
    server.api.sign_up("ada")
    told = {"X-Forwarded-For": "6.6.6.6, 7.7.7.7"}
    server.api.post("/api/login", {"username": "ada", "password": "wrong"}, headers=told)

    found = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    warning, line = found[-2:]

    assert warning["level"] == "WARNING"
    assert "A login failed" in warning["message"]
    assert warning["request_id"] == line["request_id"]
    assert line | {"time": "", "ms": 0, "message": ""} == {
        **{"time": "", "level": "INFO", "logger": "app.access", "message": ""},
        **{"request_id": line["request_id"], "method": "POST", "route": "/api/login"},
        **{"status": 401, "ms": 0, "user_id": None, "address": "7.7.7.7", "aborted": False},
    }


def test_the_access_log_can_be_off(start: Callable[..., ChatServer]) -> None:
    server = start(ACCESS_LOG="off")
    server.api.sign_up("ada")
    answer = server.api.login("ada", "wrong password")

    said = server.log.read_text()

    assert "app.access" not in said
    assert "GET" not in said, "nor those of the development server"
    assert f"[{answer.headers['x-request-id']}] A login failed" in said


def test_what_a_library_logs_has_the_request_id(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    app = create_app(Settings(instance_path=str(tmp_path)))

    @app.before_request
    def log_something() -> None:
        logging.getLogger("some.library").warning("Something happened.")

    answer = InProcess(app).get("/health/live", headers={"X-Request-ID": "abc-1"})

    assert answer.headers["x-request-id"] == "abc-1"
    assert "WARNING some.library [abc-1] Something happened." in capfd.readouterr().err


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "é", "a,b"])
def test_an_unfit_request_id_is_replaced(api: InProcess, given: str) -> None:
    answer = api.get("/health/live", headers={"X-Request-ID": given})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_traceback_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    formatter = logs.Lines()

    def failure(text: str) -> logging.LogRecord:
        try:
            raise ZeroDivisionError(text)
        except ZeroDivisionError as error:
            fault = (type(error), error, error.__traceback__)
        return logging.LogRecord("app", logging.ERROR, "", 1, "It failed.", (), fault)

    first, *others = [formatter.format(failure(f"number {count}\nmore")) for count in range(5)]

    assert "Traceback" in first
    for count, line in enumerate(others, 1):
        assert "Traceback" not in line
        assert f"ZeroDivisionError: number {count} (its traceback" in line
        assert len(line.splitlines()) == 2


@pytest.mark.slow
def test_a_database_that_is_away_fills_no_log() -> None:
    with Postgres() as postgres:
        url = postgres.create_database()
        with ChatServer("gunicorn", DATABASE_URL=url) as server:
            ada = server.api.sign_up("ada")
            postgres.stop()
            before = len(server.log.read_text().splitlines())

            answers = [each for _ in range(10) for each in at_once(8, lambda _: ada.get("/api/me"))]
            said = server.log.read_text().splitlines()[before:]

    assert {answer.status for answer in answers} == {503}
    assert "Traceback" not in "".join(said)
    errors = [line for line in said if " ERROR app.web.errors " in line]
    assert len(errors) == len(answers)
    assert len(said) <= 2 * len(answers) + 10
    for answer in answers:
        assert any(answer.headers["x-request-id"] in line for line in errors)


@pytest.mark.slow
def test_a_stream_that_breaks_off_is_told_once() -> None:
    with Postgres() as postgres:
        url = postgres.create_database()
        with ChatServer("gunicorn", DATABASE_URL=url) as server:
            ada = server.api.sign_up("ada")
            chat = ada.asks(server.api.sign_up("bob")).json
            fill(Settings(database_url=url), ada, chat, 20_000, "x" * 500)
            with open_and_read_nothing(server, ada, "/api/get_message/1") as reader:
                postgres.stop()
                received = b"".join(iter(lambda: reader.recv(65_536), b""))
            assert eventually(lambda: bool(lines(server)[-1]["aborted"]))
            said = server.log.read_text()

    assert not received.endswith(b"0\r\n\r\n"), "the client sees that something is missing"
    assert said.count("An answer broke off") == 1
    assert "Traceback" not in said
    assert "/api/get_message/1" not in said
