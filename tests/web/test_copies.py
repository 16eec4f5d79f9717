"""`flask db copy`: a whole database goes into another one, of the other kind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, inspect, select, text, update

from app import create_app
from config import ROOT, Settings
from database import db, init_db, writing_on
from models import Event, Message
from tests.api.test_files import TEXT, bytes_of, picture, sent
from tests.conftest import application
from tests.support.conversations import (
    block,
    changes,
    delete,
    edit,
    found,
    inbox,
    mark,
    now,
    ok,
    react,
    sqlite_only,
)
from tests.support.people import (
    Api,
    ChatServer,
    InProcess,
    Person,
    fill,
    looking_into,
    refused,
    stored,
)
from tests.support.servers import Postgres, free_port
from tests.support.stub_pusher import StubPusher
from web.copies import OWN

Chat = dict[str, Any]


@pytest.fixture
def target(
    backend: str, settings: Settings, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Settings]:
    """Settings of a database of the other kind, without tables."""
    if backend == "postgresql":
        yield replace(settings, database_url=f"sqlite:///{tmp_path}/copy.db")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.create_database()
    yield replace(settings, database_url=url)
    postgres.drop_database(url)


def copy(settings: Settings, target: Settings | str) -> tuple[int, str]:
    """How `flask db copy` ends, and what it says."""
    url = target if isinstance(target, str) else target.database_url
    app = create_app(settings)
    end = app.test_cli_runner().invoke(args=["db", "copy", url])
    with app.app_context():
        db.engine.dispose()
    return end.exit_code, end.output


def copied(settings: Settings, target: Settings) -> str:
    """What a copy says that has come to its end."""
    end, said = copy(settings, target)
    assert end == 0, said
    return said


@pytest.fixture
def on_the_copy(settings: Settings, target: Settings) -> Iterator[Callable[[], InProcess]]:
    """Copies, and opens the API on the copy."""
    applications = []

    def open_api() -> InProcess:
        copied(settings, target)
        applications.append(application(target))
        return InProcess(applications[-1].__enter__())

    yield open_api
    for each in applications:
        each.__exit__(None, None, None)


def rows(settings: Settings) -> dict[str, list[Any]]:
    """All rows but for their numbers, sorted."""
    found = stored(settings)
    for name, model in (("messages", Message), ("events", Event)):
        place = list(model.__table__.columns.keys()).index("transaction_id")
        found[name] = [row[:place] + row[place + 1 :] for row in found[name]]
    return {name: sorted(map(repr, rows)) for name, rows in found.items() if name not in OWN}


def order(settings: Settings, model: Any) -> list[int]:
    """The ids, in the order of their changes."""
    ids = select(model.id).order_by(model.transaction_id, model.id)
    with looking_into(settings) as connection:
        return list(connection.scalars(ids))


@pytest.fixture
def talk(api: Api, ada: Person, bob: Person, eve: Person, chat: Chat) -> list[dict[str, Any]]:
    """Messages of all sorts, among people of all sorts; their events wait."""
    messages = [ada.said(chat, text) for text in ("Hello", "at noon", "東京 🗼 'x' \\ \t\n", "no")]
    messages.append(bob.said(chat, "tab\\n", client_message_id="b1"))
    messages.append(sent(ada.sends(chat, "notes.txt", TEXT, reply_to=messages[4]["id"])))
    messages.append(sent(bob.sends(chat, "photo.png", picture())))
    ok(react(bob, messages[0], "👍"))
    ok(edit(ada, messages[0], "Hello, Bob"))
    ok(delete(ada, messages[3]))
    ok(mark(bob, chat, messages[1]))
    block(bob, eve)
    eve.asks(ada)
    return messages


def test_every_row_goes_along(
    talk: list[Any], settings: Settings, target: Settings, bob: Person
) -> None:
    before = rows(settings)
    assert sum(1 for each in before.values() if each) >= 7, "need rows in most tables"

    said = copied(settings, target)

    assert rows(target) == rows(settings) == before
    assert f"messages: {len(talk)} rows, all the same\n" in said
    assert order(target, Message) == order(settings, Message)


def test_people_go_on_in_the_copy(
    talk: list[Any],
    ada: Person,
    bob: Person,
    chat: Chat,
    on_the_copy: Callable[[], InProcess],
) -> None:
    history, chats = ada.reads(chat).json, inbox(bob)

    there = on_the_copy()

    ada, bob = replace(ada, api=there), replace(bob, api=there)  # with the tokens they have
    assert ada.reads(chat).json == history
    assert inbox(bob) == chats
    assert bytes_of(bob, talk[5]).body == TEXT
    assert found(ada, "京") == [talk[2]["message"]]
    assert bob.says(chat, talk[4]["message"], client_message_id="b1").json == history[4]
    since = now(bob)
    new = ada.said(chat, "in the copy")
    assert new["id"] > talk[-1]["id"]
    changed = ok(edit(ada, talk[1], "at one"))
    assert changes(bob, since)["messages"] == [new, changed]
    assert there.sign_up("zoe").id > 3


def test_cursors_of_before_are_refused(
    talk: list[Any], ada: Person, chat: Chat, on_the_copy: Callable[[], InProcess]
) -> None:
    since = now(ada)

    ada = replace(ada, api=on_the_copy())

    refused(ada.get("/api/sync", since=since), 400, "invalid")
    for number in range(3):  # however many messages have come since
        ada.said(chat, str(number))
    refused(ada.get("/api/sync", since=since), 400, "invalid")


def test_ids_whose_rows_are_gone_stay_used(
    talk: list[Any], ada: Person, chat: Chat, settings: Settings, target: Settings
) -> None:
    with looking_into(settings) as connection, writing_on(connection):
        last = connection.scalars(select(func.max(Event.id))).one()
        connection.execute(text("DELETE FROM events"))

    copied(settings, target)

    with application(target) as app:
        replace(ada, api=InProcess(app)).said(chat, "new")
    (first, *_) = order(target, Event)
    assert first == last + 1


def test_events_that_wait_are_told_in_order(
    talk: list[Any], ada: Person, chat: Chat, settings: Settings, target: Settings
) -> None:
    # The first to begin is not the first to commit on PostgreSQL.
    if settings.url.drivername != "sqlite":
        turned = update(Event).values(transaction_id=1_000_000_000 - Event.id)
        with looking_into(settings) as connection, writing_on(connection):
            connection.execute(turned)
    expected = order(settings, Event)
    told = {row[0]: row for row in stored(settings, "events")["events"]}
    assert len(expected) > 10

    copied(settings, target)
    names = [told[each][3] for each in expected if told[each][2] == chat["channel_name"]]
    env = {"INSTANCE_PATH": target.instance_path, "DATABASE_URL": target.database_url}
    with StubPusher() as stub, ChatServer("flask", **env, **stub.env) as server:
        new = replace(ada, api=server.api).said(chat, "after all others")

        def of_chat(events: list[Any]) -> list[Any]:
            return [each for each in events if each["channel"] == chat["channel_name"]]

        heard = of_chat(stub.wait_for(lambda events: len(of_chat(events)) > len(names)))

    assert [each["name"] for each in heard] == [*names, "new_message"]
    assert heard[-1]["data"]["id"] == new["id"]


# What is refused -------------------------------------------------------------------------------


def empty(settings: Settings) -> bool:
    with looking_into(settings) as connection:
        tables = set(inspect(connection).get_table_names()) - OWN
    return not tables or not any(rows(settings).values())


def test_a_database_with_rows_is_no_target(
    talk: list[Any], settings: Settings, target: Settings
) -> None:
    init_db(target)
    with application(target) as app:
        InProcess(app).sign_up("zoe")
    before = rows(target)

    end, said = copy(settings, target)

    assert (end, said) == (
        1,
        "Error: The other database is not empty: there are rows in name_words.\n",
    )
    assert rows(target) == before


def test_a_database_of_others_is_no_target(
    talk: list[Any], settings: Settings, target: Settings
) -> None:
    with looking_into(target) as connection, writing_on(connection):
        connection.execute(text("CREATE TABLE invoices (id INTEGER)"))

    end, said = copy(settings, target)

    assert (end, said) == (1, "Error: The other database is not empty: it has a table invoices.\n")
    with looking_into(target) as connection:
        assert inspect(connection).get_table_names() == ["invoices"]


@pytest.mark.parametrize("url", ["mysql://localhost/chat", "sqlite://", "chat.db"])
@sqlite_only
def test_what_is_no_url_is_refused(settings: Settings, url: str) -> None:
    end, said = copy(settings, url)

    assert end == 1
    assert said.startswith("Error: DATABASE_URL cannot be read")


@sqlite_only
def test_a_server_that_does_not_answer_is_told_of(talk: list[Any], settings: Settings) -> None:
    end, said = copy(settings, f"postgresql://nobody@127.0.0.1:{free_port()}/chat")

    assert end == 1
    assert said.startswith("Error: Nothing was copied: ")
    assert "Traceback" not in said


@sqlite_only
def test_a_source_that_is_not_there_is_not_made(settings: Settings, tmp_path: Path) -> None:
    missing = replace(settings, database_url=f"sqlite:///{tmp_path}/missing.db")

    end, said = copy(missing, f"sqlite:///{tmp_path}/copy.db")

    assert (end, said) == (1, f"Error: There is no database at {tmp_path}/missing.db.\n")
    assert not list(tmp_path.glob("*.db"))


def test_a_database_that_is_served_is_not_copied(
    start: Callable[..., ChatServer], target: Settings, tmp_path: Path
) -> None:
    server = start()
    server.api.sign_up("ada")
    served = Settings(
        instance_path=server.settings["INSTANCE_PATH"],
        database_url=server.settings["DATABASE_URL"],
    )

    end, said = copy(served, target)

    assert end == 1
    assert said.startswith("Error: A server runs on this database.")
    assert empty(target)
    server.stop()
    assert "users: 1 rows, all the same" in copied(served, target)


def test_a_row_that_arrives_changed_is_noticed(
    talk: list[Any], settings: Settings, target: Settings
) -> None:
    init_db(target)
    with looking_into(target) as connection, writing_on(connection):
        for statement in SPOIL[connection.dialect.name]:
            connection.execute(text(statement))

    end, said = copy(settings, target)

    assert end == 1
    assert said.endswith("Error: Nothing was copied: row 3 of messages differs.\n")
    assert empty(target)


#: A trigger that changes the third message.
SPOIL = {
    "sqlite": [
        "CREATE TRIGGER spoil AFTER INSERT ON messages WHEN NEW.text LIKE '%🗼%'"
        " BEGIN UPDATE messages SET text = '' WHERE id = NEW.id; END"
    ],
    "postgresql": [
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.text = ''; RETURN NEW; END$$",
        "CREATE TRIGGER spoil BEFORE INSERT ON messages FOR EACH ROW"
        " WHEN (NEW.text LIKE '%🗼%') EXECUTE FUNCTION spoil()",
    ],
}


@pytest.mark.slow
def test_a_copy_that_was_killed_is_run_again(
    ada: Person, chat: Chat, settings: Settings, target: Settings
) -> None:
    fill(settings, ada, chat, 20_000)
    flask = [sys.executable, "-m", "flask", "--app", str(ROOT / "app.py")]
    env = {"INSTANCE_PATH": settings.instance_path, "DATABASE_URL": settings.database_url}
    with subprocess.Popen(
        [*flask, "db", "copy", target.database_url],
        env=os.environ | env,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        line = process.stdout.readline()  # everything is written, and is being compared
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, line
    assert line
    assert empty(target)

    copied(settings, target)

    assert rows(target) == rows(settings)
