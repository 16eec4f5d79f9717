"""People, the API they use and its two databases: fixtures are named for what a test says."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.ctx import AppContext
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from werkzeug.routing import Map

from chat.storage import FILES
from config import Settings
from tests.support import classic
from tests.support.document import Contract
from tests.support.people import (
    CHEAP_HASH,
    Answer,
    Api,
    ChatServer,
    InProcess,
    Person,
    runtime_of,
)
from tests.support.servers import IN_CI, Postgres

# What a developer has set for the API is not what it is tested with.
os.environ["FLASK_SKIP_DOTENV"] = "1"
for each in fields(Settings):
    os.environ.pop(each.name.upper(), None)

from app import create_app  # noqa: E402  (it reads the environment)
from contract import openapi  # noqa: E402
from database import Base, db, init_db  # noqa: E402
from web.ratelimits import RateLimits  # noqa: E402

# How long an example takes is for the machine to say. (With CI set that is so by itself.)
hypothesis.register_profile(
    "default",
    hypothesis.get_profile("default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

#: Fixtures behind which processes are started.
PROCESSES = {"chat_server", "chromium", "nowhere", "server", "servers", "start"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The files that take long come first, so that no process is left with them at the end. Without
    CI, of a test's examples only the first is tried on PostgreSQL too, and none where processes
    are started for each."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    busy = {item.path for item in items if _starts_processes(item)}
    items.sort(key=lambda item: (-slow[item.path], item.path not in busy))
    if IN_CI:
        return
    names = {item.nodeid for item in items}
    tried, kept, left_out = set(), [], []
    for item in items:
        twin = item.nodeid.replace("postgresql", "sqlite")
        test = item.nodeid.partition("[")[0]
        if twin == item.nodeid or twin not in names:
            kept.append(item)
        elif _starts_processes(item) or test in tried:
            left_out.append(item)
        else:
            kept.append(item)
            tried.add(test)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def _starts_processes(item: pytest.Item) -> bool:
    return not PROCESSES.isdisjoint(getattr(item, "fixturenames", ()))


@cache
def contract(url_map: Map) -> Contract:
    return Contract(url_map, openapi.document(url_map))


def hold_to_the_document(app: Flask, method: str, path: str, answer: Answer) -> None:
    """Every answer to a test in this process is as the OpenAPI document says."""
    if path.startswith(("/api/", "/health")) and method not in ("HEAD", "OPTIONS"):
        contract(app.url_map).judge(method, path, answer)


InProcess.judge = staticmethod(hold_to_the_document)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def new_database_on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Callable[[Path], str]]:
    """By backend. What belongs to one is kept: each file of tests goes through both of them, and
    pytest would make anew for each what depends on a parameter."""

    @cache
    def on(backend: str) -> Callable[[Path], str]:
        if backend == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = postgres.create_database()
            init_db(Settings(database_url=url))
            return lambda folder: postgres.create_database(like=url)

        original = tmp_path_factory.mktemp("original")
        init_db(Settings(instance_path=str(original)))

        def copy(folder: Path) -> str:
            shutil.copy(original / "chat.db", folder / "chat.db")
            return "sqlite:///chat.db"

        return copy

    return on


@pytest.fixture(scope="session")
def new_database(
    backend: str, new_database_on: Callable[[str], Callable[[Path], str]]
) -> Callable[[Path], str]:
    """Makes an empty database, with its tables, for an instance folder."""
    return new_database_on(backend)


@contextmanager
def application(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    running = runtime_of(app)
    with app.app_context():
        running.start()
    # Events stay where they were recorded; their delivery has tests of its own.
    running.outbox.stop()
    yield app
    running.stop()
    running.metrics.close()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def app_on(
    new_database_on: Callable[[str], Callable[[Path], str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Flask]]:
    with ExitStack() as stack:

        @cache
        def on(backend: str) -> Flask:
            folder = tmp_path_factory.mktemp("instance")
            url = new_database_on(backend)(folder)
            settings = Settings(
                instance_path=str(folder), database_url=url, password_hash=CHEAP_HASH
            )
            return stack.enter_context(application(settings))

        yield on


@pytest.fixture(scope="session")
def only_app(backend: str, app_on: Callable[[str], Flask]) -> Flask:
    """For all tests: an application and a database for each would take most of their time."""
    return app_on(backend)


def _empty() -> None:
    with db.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != "generations":  # it stays the same database
                connection.execute(delete(table))


@pytest.fixture
def settings(only_app: Flask) -> Settings:
    """Of an application whose database and storage are empty."""
    with only_app.app_context():
        try:
            _empty()
        except IntegrityError:  # housekeeping has just added words of a name
            _empty()
    found = runtime_of(only_app).settings
    shutil.rmtree(found.folder / FILES, ignore_errors=True)
    return found


@pytest.fixture
def make_api(settings: Settings) -> Iterator[Callable[..., InProcess]]:
    """An API with other settings, on the same database."""
    with ExitStack() as stack:

        def make(**changes: Any) -> InProcess:
            return InProcess(stack.enter_context(application(replace(settings, **changes))))

        yield make


@pytest.fixture
def app(only_app: Flask, settings: Settings) -> Flask:
    runtime_of(only_app).rate_limits = RateLimits(settings)
    return only_app


@pytest.fixture
def context(app: Flask) -> Iterator[AppContext]:
    with app.app_context() as context:
        yield context


@pytest.fixture(scope="session")
def other_app() -> Iterator[classic.OtherApp]:
    with classic.OtherApp() as server:
        yield server


def in_process(app: Flask) -> Api:
    return InProcess(app)


def of_other_app(other_app: classic.OtherApp) -> Api:
    other_app.empty()
    return other_app.api


api = pytest.fixture(of_other_app if classic.FOLDER else in_process, name="api")


@pytest.fixture
def ada(api: Api) -> Person:
    return api.sign_up("ada")


@pytest.fixture
def bob(api: Api) -> Person:
    return api.sign_up("bob")


@pytest.fixture
def eve(api: Api) -> Person:
    """The outsider."""
    return api.sign_up("eve")


@pytest.fixture
def chat(ada: Person, bob: Person) -> dict[str, Any]:
    """The one between ada and bob."""
    answer = ada.asks(bob)
    assert answer.status == 201, answer
    chat: dict[str, Any] = answer.json
    return chat


@pytest.fixture
def start(
    new_database: Callable[[Path], str], tmp_path: Path
) -> Iterator[Callable[..., ChatServer]]:
    """Starts a server process, on a database of its own where none is named."""
    with ExitStack() as stack:

        def start(program: Any = "flask", **settings: str) -> ChatServer:
            settings.setdefault("DATABASE_URL", new_database(tmp_path))
            settings.setdefault("INSTANCE_PATH", str(tmp_path))
            return stack.enter_context(ChatServer(program, **settings))

        yield start
