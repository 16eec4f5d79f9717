"""What tests of conversations and accounts say often, beside the people's own verbs."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import event, text

from config import Settings
from database import db
from tests.support.people import Answer, Person, events, looking_into
from tests.support.servers import IN_CI, eventually

Chat = dict[str, Any]
Message = dict[str, Any]
T = TypeVar("T")

#: Where a race is left to chance, or examples are made up, CI tries more often.
OFTEN = 10 if IN_CI else 1

#: What SQLite's one writer cannot even begin is tried on PostgreSQL only.
postgresql_only = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
#: Where it makes no difference which database there is.
sqlite_only = pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")


def inbox(person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = person.get("/api/chats", **query)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json
    return found


def entry(person: Person, chat: Chat) -> dict[str, Any]:
    """The chat in the person's inbox."""
    (found,) = (each for each in inbox(person) if each["channel_id"] == chat["channel_id"])
    return found


def mark(person: Person, chat: Chat, message: Message | int | None = None, **rest: Any) -> Answer:
    """Read up to a message, or all that there is."""
    message_id = message["id"] if isinstance(message, dict) else message
    body = {} if message_id is None else {"message_id": message_id}
    return person.request("PUT", f"/api/chats/{chat['channel_name']}/read", body, **rest)


def edit(person: Person, message: Message, text: str, **rest: Any) -> Answer:
    return person.request("PATCH", f"/api/messages/{message['id']}", {"message": text}, **rest)


def delete(person: Person, message: Message, **rest: Any) -> Answer:
    return person.request("DELETE", f"/api/messages/{message['id']}", **rest)


def react(person: Person, message: Message, emoji: str, **rest: Any) -> Answer:
    path = f"/api/messages/{message['id']}/reactions/{quote(emoji, safe='')}"
    return person.request("PUT", path, **rest)


def unreact(person: Person, message: Message, emoji: str, **rest: Any) -> Answer:
    path = f"/api/messages/{message['id']}/reactions/{quote(emoji, safe='')}"
    return person.request("DELETE", path, **rest)


def block(person: Person, peer: Person) -> Answer:
    return person.request("PUT", f"/api/blocks/{peer.id}")


def unblock(person: Person, peer: Person) -> Answer:
    return person.request("DELETE", f"/api/blocks/{peer.id}")


def ok(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json
    return found


def changes(person: Person, since: str | None = None, **query: Any) -> dict[str, Any]:
    query |= {} if since is None else {"since": since}
    return ok(person.get("/api/sync", **query))


def now(person: Person) -> str:
    """The cursor of now."""
    cursor = changes(person)["cursor"]
    assert isinstance(cursor, str)
    return cursor


def found(person: Person, q: str, **query: Any) -> list[str]:
    """The texts that a search finds, newest first."""
    answer = person.get("/api/search", q=q, **query)
    assert answer.status == 200, answer
    return [message["message"] for message in answer.json]


class News:
    """The events recorded since this was made, or asked the last time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen = len(events(settings))

    def __call__(self) -> list[tuple[str, str, Any]]:
        """Channel, name and data of each."""
        return [(each["channel"], each["name"], each["data"]) for each in self.rows()]

    def rows(self) -> list[dict[str, Any]]:
        recorded = events(self._settings)
        new, self._seen = recorded[self._seen :], len(recorded)
        return new


def to_both(chat: Chat, name: str, data: Any) -> list[tuple[str, str, Any]]:
    """An event on the chat's channel and both notification channels."""
    people = sorted((chat["from_user"], chat["to_user"]))
    channels = [chat["channel_name"], *(f"private-notification_user_{each}" for each in people)]
    return [(channel, name, data) for channel in channels]


@contextmanager
def asked(app: Flask, *, here: bool = False) -> Iterator[list[tuple[str, Any]]]:
    """What the application asks of its database meanwhile: statements and their parameters; or of
    those only what is asked `here`, and not in threads beside the requests."""
    made: list[tuple[str, Any]] = []
    ours = threading.get_ident()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not here or threading.get_ident() == ours:
            made.append((statement, parameters))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(engine, "before_cursor_execute", note)


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """The statements that requests make meanwhile."""
    found: list[str] = []
    with asked(app, here=True) as made:
        yield found
    found += [statement for statement, _ in made]


def plans(app: Flask, act: Callable[[], Any]) -> str:
    """How the database goes about what an act reads, were its tables large."""
    with asked(app, here=True) as made:
        act()
    with app.app_context():
        engine = db.engine
    lines = []
    with engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN "
        if engine.dialect.name == "postgresql":
            explain = "EXPLAIN "
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in made:
            if not statement.startswith(("SELECT", "WITH")):
                continue
            parameters = tuple(parameters) if isinstance(parameters, list) else parameters
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
            lines += [str(row[-1]) for row in rows]
    assert lines
    return "\n".join(lines)


# PostgreSQL's writers, stopped where it matters ------------------------------------------------


@contextmanager
def holding(settings: Settings, statement: str, **values: Any) -> Iterator[Callable[[], None]]:
    """A transaction that has run the statement and stays open until it is let go."""
    with looking_into(settings) as connection:
        connection.execute(text(statement), values)
        yield connection.rollback


@contextmanager
def meanwhile(act: Callable[[], T]) -> Iterator["Future[T]"]:
    """What comes of an act that goes on beside."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(act)


def wait_for_waiting(settings: Settings, count: int = 1) -> None:
    """Until so many transactions wait for the locks of others."""
    question = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def are_waiting() -> bool:
        with looking_into(settings) as connection:
            return bool(connection.execute(question).scalar() == count)

    assert eventually(are_waiting), f"{count} should wait"


class Stop:
    """Tells threads to end; their exceptions are the test's."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()
