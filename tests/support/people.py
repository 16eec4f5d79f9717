"""The API as its clients see it, in this process or over HTTP, and the people who use it."""

import json as json_codec
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, run
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Flask
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert, select
from sqlalchemy.engine import URL
from urllib3 import encode_multipart_formdata
from werkzeug.security import generate_password_hash

from auth import log_in
from chat import accounts
from config import Settings
from database import Base, db, prepare, utcnow, writing
from models import Event, Message
from tests.support.forked import Forked
from tests.support.servers import HOST, IN_CI, PATIENCE, Server
from web.runtime import NAME, Runtime

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse"
CHEAP_HASH = "scrypt:128:8:1"
HASH = generate_password_hash(PASSWORD, CHEAP_HASH)
T = TypeVar("T")
JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json_codec.loads(self.body)

    @property
    def links(self) -> dict[str, str]:
        """The targets of the Link header by relation."""
        links = (link.split("; ") for link in self.headers.get("link", "").split(", ") if link)
        return {rel.removeprefix('rel="')[:-1]: target[1:-1] for target, rel in links}

    @property
    def timeless(self) -> tuple[int, dict[str, str], bytes]:
        """All of it but for what differs between any two answers."""
        varying = ("date", "x-request-id")
        return self.status, {k: v for k, v in self.headers.items() if k not in varying}, self.body


def refused(answer: Answer, status: int, code: str) -> str:
    """Hold the answer to the one shape of errors; its message."""
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert list(answer.json) == ["status", "code", "message"]
    assert answer.json["status"] == "error"
    assert answer.headers["x-request-id"]
    message = answer.json["message"]
    assert isinstance(message, str)
    assert message.strip()
    assert "<" not in answer.body.decode().replace("Bearer <token>", "")
    assert "Traceback" not in message
    return message


class Api:
    """What anybody can ask of it."""

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        raise NotImplementedError

    def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        if body is None and json is not None:
            body = json_codec.dumps(json).encode()
            headers = JSON | (headers or {})
        if query:
            path = f"{path}?{urlencode(query)}"
        return self.send(method, path, body, headers or {})

    def get(self, path: str, **rest: Any) -> Answer:
        return self.request("GET", path, **rest)

    def post(self, path: str, json: Any = None, **rest: Any) -> Answer:
        return self.request("POST", path, json, **rest)

    def register(self, username: str, password: str = PASSWORD) -> Answer:
        return self.post("/api/register", {"username": username, "password": password})

    def login(self, username: str, password: str = PASSWORD) -> Answer:
        return self.post("/api/login", {"username": username, "password": password})

    def sign_up(self, username: str) -> "Person":
        registered = self.register(username)
        assert registered.status == 201, registered
        return self.sign_in(username)

    def sign_in(self, username: str) -> "Person":
        answer = self.login(username)
        assert answer.status == 200, answer
        return Person(self, **answer.json["data"])


@dataclass
class Person(Api):
    """Somebody who is logged in."""

    api: Api
    id: int
    username: str
    token: str
    expires_in: int
    display_name: str | None = None
    avatar: str | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """As others see them who have said nothing of themselves."""
        return {"id": self.id, "username": self.username, "display_name": None, "avatar": None}

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        bearer = {"Authorization": f"Bearer {self.token}"}
        return self.api.send(method, path, body, bearer | headers)

    def asks(self, peer: "Person", **rest: Any) -> Answer:
        return self.post("/api/request_chat", {"to_user": peer.id}, **rest)

    def says(self, chat: dict[str, Any], text: str, **members: Any) -> Answer:
        body = {"channel": chat["channel_name"], "message": text, **members}
        return self.post("/api/send_message", body)

    def said(self, chat: dict[str, Any], text: str, **members: Any) -> dict[str, Any]:
        """The message object of what was said."""
        answer = self.says(chat, text, **members)
        assert answer.status == 201, answer
        message: dict[str, Any] = answer.json
        return message

    def sends(self, chat: dict[str, Any], name: str, content: bytes, **members: Any) -> Answer:
        """Send a file."""
        parts = {"channel": chat["channel_name"], **{k: str(v) for k, v in members.items()}}
        body, kind = encode_multipart_formdata({**parts, "file": (name, content)})
        return self.post("/api/send_file", body=body, headers={"Content-Type": kind})

    def reads(self, chat: dict[str, Any], **query: Any) -> Answer:
        return self.get(f"/api/get_message/{chat['channel_name']}", **query)

    def signs(self, channel: str, socket_id: str = "123.456") -> Answer:
        return self.post("/api/pusher/auth", {"socket_id": socket_id, "channel_name": channel})


def runtime_of(app: Flask) -> Runtime:
    """What the application has running in this process."""
    running: Runtime = app.extensions[NAME]
    return running


class InProcess(Api):
    """By Flask's test client."""

    #: Looks at each answer, with the application, the method and the path before it.
    judge: Callable[[Flask, str, str, Answer], None] = staticmethod(lambda *_: None)

    def __init__(self, app: Flask, address: str = "127.0.0.1") -> None:
        self.app = app
        self.address = address

    def sign_up(self, username: str) -> "Person":
        """What register and login leave behind, which have tests of their own: most tests begin
        with people, and would spend half of their time on this."""
        with self.app.app_context(), writing():
            user = accounts.find(accounts.register(username, HASH)["id"])
            token = log_in(user)
            db.session.commit()
        return Person(self, user.id, username, token.text, token.seconds)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        with self.app.test_client() as client:
            response = client.open(
                path,
                method=method,
                data=body,
                headers=headers,
                environ_base={"REMOTE_ADDR": self.address},
            )
            found = {name.lower(): value for name, value in response.headers}
            answer = Answer(response.status_code, found, response.data)
            response.close()
        self.judge(self.app, method, path, answer)
        return answer


class OverHttp(Api):
    """By a connection for each request, with nothing made nicer on the way."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connection(self) -> HTTPConnection:
        return HTTPConnection(HOST, self.port, timeout=120)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        with closing(self.connection()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())


Program = str  # "flask", "gunicorn" or "waitress", and its options: "gunicorn --workers 2"


class ChatServer(Server):
    """The API in a process of its own: `flask run`, or gunicorn with one worker if none is said."""

    def __init__(self, program: Program = "flask", **settings: str) -> None:
        super().__init__()
        self.program, *self.options = program.split()
        self.settings = {"PASSWORD_HASH": CHEAP_HASH, **settings}

    @classmethod
    def lacks(cls) -> str | None:
        return None

    def command(self) -> list[str | Path]:
        address = ["--host", HOST, "--port", str(self.port), *self.options]
        if self.program == "flask":
            return [sys.executable, "-m", "flask", "--app", ROOT / "app.py", "run", *address]
        if self.program == "waitress":
            return [sys.executable, "-m", "waitress", *address, "app:app"]
        gunicorn: list[str | Path] = [sys.executable, "-m", "gunicorn", "app:app", "--chdir", ROOT]
        gunicorn += ["--config", ROOT / "gunicorn.conf.py", "--bind", f"{HOST}:{self.port}"]
        return [*gunicorn, *self.options]

    def spawn(self) -> Popen[bytes] | Forked:
        """With CI set, as anybody would; otherwise in a quarter of the time."""
        command = [str(each) for each in self.command()]
        if IN_CI or command[:2] != [sys.executable, "-m"]:
            return super().spawn()
        env = os.environ | self.environment()
        return Forked(command, log=self.log, cwd=self.directory, env=env)

    def environment(self) -> dict[str, str]:
        # Nothing of it goes to the working tree: each server has an instance folder of its own.
        places = {"INSTANCE_PATH": str(self.directory / "instance"), "PYTHONPATH": str(ROOT)}
        return {**places, **self.settings}

    def kill(self) -> None:
        """Without a word to anybody, workers included."""
        if self.process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
        super().kill()

    @property
    def api(self) -> OverHttp:
        return OverHttp(self.port)


def python(
    *arguments: str, env: dict[str, str], cwd: Path = ROOT, typed: str = ""
) -> tuple[int, str]:
    """How `python ...` ends, and all that it writes; started as a server is."""
    command = [sys.executable, *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | env
    if IN_CI:
        end = run(command, cwd=cwd, env=env, input=typed, stdout=PIPE, stderr=STDOUT, text=True)
        return end.returncode, end.stdout
    with NamedTemporaryFile() as log:
        forked = Forked(command, log=Path(log.name), cwd=cwd, env=env, typed=typed)
        return forked.wait(PATIENCE), Path(log.name).read_text()


@contextmanager
def looking_into(settings: Settings) -> Iterator[Connection]:
    """The database, past the API."""
    with _engine(settings.url).connect() as connection:
        yield connection


@cache
def _engine(url: URL) -> Engine:
    """Made once for each database, as it takes longer than most looks. It keeps a connection to
    PostgreSQL, where making one takes twenty times as long as a look."""
    if url.drivername == "sqlite":
        return prepare(create_engine(url, poolclass=NullPool))
    engine = prepare(create_engine(url, pool_size=1, max_overflow=-1, pool_pre_ping=True))
    event.listen(engine, "connect", _take_time)
    return engine


def _take_time(driver: Any, _record: object) -> None:
    """Tests leave transactions open, for as long as it takes."""
    driver.execute("SET idle_in_transaction_session_timeout = 0")
    driver.commit()


def stored(settings: Settings, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of these tables, or of all."""
    with looking_into(settings) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in Base.metadata.sorted_tables
            if not tables or table.name in tables
        }


def events(settings: Settings) -> list[dict[str, Any]]:
    """The events that wait for delivery, in the order of their recording."""
    return [row for row in waiting(settings) if not row["channel"].startswith("#")]


def notices(settings: Settings) -> list[dict[str, Any]]:
    """What waits to be told to the owner of the connections."""
    return [row for row in waiting(settings) if row["channel"].startswith("#")]


def waiting(settings: Settings) -> list[dict[str, Any]]:
    """Both of them."""
    columns = [column.name for column in Event.__table__.columns]
    rows = sorted(stored(settings, "events")["events"])
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    return [event | {"data": json_codec.loads(event["data"])} for event in found]


def fill(
    settings: Settings, person: Person, chat: dict[str, Any], count: int, padding: str = ""
) -> None:
    """Have so many messages in the chat: "number 0", "number 1", ...

    All but the last one are written past the API, which would take its time over each.
    """
    row = {"channel_id": chat["channel_id"], "sender_id": person.id, "created_at": utcnow()}
    with looking_into(settings) as connection:
        rows = [row | {"text": f"number {number}{padding}"} for number in range(count - 1)]
        connection.execute(insert(Message), rows)
        connection.commit()
    person.said(chat, f"number {count - 1}")


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """What came of so many acts, each in a thread of its own, that begin together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> T:
        barrier.wait(60)
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
