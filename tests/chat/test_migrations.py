"""Databases of earlier versions are brought up to date, and keep everything in them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from werkzeug.security import generate_password_hash

from chat.words import words
from config import Settings
from contract.errors import Taken
from database import init_db, writing_on
from migrations import FOLDER as MIGRATIONS
from migrations import DatabaseError
from tests.conftest import application
from tests.support.conversations import changes, delete, entry, found, inbox, now, ok
from tests.support.people import CHEAP_HASH, PASSWORD, InProcess, looking_into, stored
from tests.support.servers import Postgres

WHEN = "2026-11-22 09:30:00.123456"
LATER = "2026-11-22 09:31:00.000000"
USERS = [(1, "ada"), (2, "bob"), (3, "eve"), (7, "dan")]
CHANNELS = [(1, 1, 2), (2, 1, 3), (5, 2, 7)]
#: id, channel, sender, text, client_message_id
MESSAGES: list[tuple[int, int, int, str, str | None]] = [
    (1, 1, 1, "Hello, Bob", "c1"),
    (2, 1, 2, "Hello, Ada: meet at the Straße", None),
    (4, 2, 3, "東京", None),
    (5, 1, 1, "At noon", "c2"),
    (6, 1, 2, "A secret", None),
    *((10 + number, 2, 3, f"number {number}", None) for number in range(1_234)),
]


def message_of(row: tuple[int, int, int, str, str | None]) -> dict[str, Any]:
    message_id, channel, sender, said, key = row
    (pair,) = (each[1:] for each in CHANNELS if each[0] == channel)
    return {
        "id": message_id,
        "channel_id": channel,
        "channel": f"private-chat_{pair[0]}_{pair[1]}",
        "from_user": sender,
        "to_user": pair[1] if sender == pair[0] else pair[0],
        "type": "Text",
        "message": said,
        "created_at": "2026-11-22T09:30:00.123456Z",
        "client_message_id": key,
    }


SECRET = message_of(MESSAGES[4])
CHAT = {"from_user": 2, "to_user": 1, "channel_id": 1, "channel_name": "private-chat_1_2"}
#: channel, name, data, set aside
EVENTS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("private-notification_user_1", "new_chat", CHAT, None),
    ("private-chat_1_2", "new_message", SECRET, None),
    ("private-notification_user_1", "new_chat", {**CHAT, "message": SECRET}, "refused"),
]


def migrate(connection: Connection, how: Callable[[Config, str], None], revision: str) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.attributes["connection"] = connection
    how(settings, revision)


def insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names, places = ", ".join(rows[0]), ", ".join(f":{name}" for name in rows[0])
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), rows)


@pytest.fixture
def empty(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a database without tables."""
    url = "sqlite:///chat.db"
    postgres: Postgres | None = None
    if backend == "postgresql":
        postgres = request.getfixturevalue("postgres")
        assert postgres
        url = postgres.create_database()
    yield Settings(instance_path=str(tmp_path), database_url=url, password_hash=CHEAP_HASH)
    if postgres:
        postgres.drop_database(url)


@pytest.fixture
def old(empty: Settings) -> Settings:
    """A database at revision 0002, with people who have written to each other."""
    with looking_into(empty) as connection, writing_on(connection):
        migrate(connection, command.upgrade, "0002")
        tables: dict[str, list[dict[str, Any]]] = {
            "users": [
                {"id": user, "username": name, "username_key": name, "created_at": WHEN}
                | {"password_hash": generate_password_hash(PASSWORD, CHEAP_HASH)}
                for user, name in USERS
            ],
            "sessions": [{"jti": "0" * 32, "user_id": 1, "expires_at": "2126-01-01 00:00:00"}],
            "channels": [
                {"id": channel, "low_id": low, "high_id": high}
                | {"created_at": LATER if channel == 5 else WHEN}
                for channel, low, high in CHANNELS
            ],
            "messages": [
                {"id": message, "channel_id": channel, "sender_id": sender, "text": said}
                | {"client_message_id": key, "created_at": WHEN}
                for message, channel, sender, said, key in MESSAGES
            ],
            "events": [
                {"transaction_id": 0, "channel": channel_name, "name": name, "created_at": WHEN}
                | {"data": json.dumps(data, ensure_ascii=False, separators=(",", ":"))}
                | {"refusals": 1 if set_aside else 0, "set_aside": set_aside}
                for channel_name, name, data, set_aside in EVENTS
            ],
        }
        for table, rows in tables.items():
            insert(connection, table, rows)
        if connection.dialect.name == "postgresql":
            for table in ("users", "channels", "messages"):
                connection.execute(
                    text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")
                )
    return empty


@pytest.fixture
def api(old: Settings) -> Iterator[InProcess]:
    """An API on the old database, which is brought up to date."""
    init_db(old)
    with application(old) as app:
        yield InProcess(app)


def raw(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, whatever their columns."""
    with looking_into(settings) as connection:
        return {
            table: sorted(
                (
                    dict(row)
                    for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()
                ),
                key=lambda row: [str(value).zfill(20) for value in row.values()],
            )
            for table in inspect(connection).get_table_names()
            if table != "alembic_version"
        }


def test_every_row_is_kept_as_it_was(old: Settings) -> None:
    before = raw(old)
    assert len(before["messages"]) == len(MESSAGES) > 1_000, "more than a page of the migration"

    init_db(old)

    after = raw(old)
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows


def test_init_db_again_changes_nothing(old: Settings) -> None:
    init_db(old)
    before = raw(old)

    init_db(old)

    assert raw(old) == before


def test_new_columns_are_filled_from_the_old_rows(old: Settings) -> None:
    init_db(old)

    rows = raw(old)
    channels = {row["id"]: row for row in rows["channels"]}
    marks = {
        number: (row["low_read_id"], row["high_read_id"], row["last_message_id"])
        for number, row in channels.items()
    }
    assert marks == {1: (5, 6, 6), 2: (0, 1_243, 1_243), 5: (0, 0, 0)}
    assert {row["indexed_id"] - row["last_message_id"] for row in rows["channels"]} == {0}
    assert [event["message_id"] for event in rows["events"]] == [None, 6, 6]
    assert {row["deleted_at"] for row in rows["users"]} == {None}
    assert {(row["edited_at"], row["deleted_at"]) for row in rows["messages"]} == {(None, None)}
    assert rows["blocks"] == []


def test_everything_is_indexed_for_the_search(old: Settings) -> None:
    init_db(old)

    expected = [(row[1], word, row[0]) for row in MESSAGES for word in words(row[3])]
    assert sorted(stored(old, "words")["words"]) == sorted(expected)


def test_people_go_on_where_they_were(api: InProcess, old: Settings) -> None:
    ada, bob = api.sign_in("ada"), api.sign_in("bob")
    chat = ada.asks(bob).json
    assert chat["channel_id"] == 1

    (with_eve, with_bob) = inbox(ada)
    assert (with_eve["user"]["username"], with_eve["unread"]) == (
        "eve",
        1_000,
    )  # 1,235: counted up to 1,000
    assert (with_bob["user"]["username"], with_bob["unread"]) == ("bob", 1)
    unchanged: dict[str, Any] = {
        "edited_at": None,
        "deleted_at": None,
        "file": None,
        "reply_to": None,
        "reactions": [],
    }
    assert with_bob["last_message"] == {**SECRET, **unchanged}
    assert with_bob["peer_last_read_message_id"] == 6
    assert [each["user"]["username"] for each in inbox(bob)] == ["dan", "ada"]

    assert found(ada, "strasse") == ["Hello, Ada: meet at the Straße"]
    assert found(ada, "京") == ["東京"]
    assert ada.says(chat, "Hello, Bob", client_message_id="c1").status == 200
    since = now(bob)
    new = ada.said(chat, "Well?")
    assert new["id"] > MESSAGES[-1][0]
    assert changes(bob, since)["messages"] == [new]
    assert api.sign_up("zoe").id > 7


def test_old_text_is_erased_like_new(api: InProcess, old: Settings) -> None:
    bob = api.sign_in("bob")
    assert "secret" in str(raw(old))

    ok(delete(bob, SECRET))

    assert "secret" not in str(raw(old)).lower()
    assert entry(bob, CHAT)["last_message"]["message"] == ""
    assert found(bob, "hello") != []


def test_a_migration_that_fails_leaves_the_old_database(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = raw(old)
    monkeypatch.setattr("migrations.words.unicodedata.category", None)  # the search needs it

    with pytest.raises(TypeError):
        init_db(old)

    assert raw(old) == before
    monkeypatch.undo()
    init_db(old)
    assert "words" in raw(old)


def test_a_downgrade_keeps_every_row_too(old: Settings) -> None:
    before = raw(old)
    init_db(old)

    with looking_into(old) as connection, writing_on(connection):
        migrate(connection, command.downgrade, "0002")

    assert raw(old) == before
    init_db(old)
    assert len(raw(old)["words"]) > 1_000


def test_a_downgrade_indexes_the_words_that_waited(api: InProcess, old: Settings) -> None:
    ada = api.sign_in("ada")
    message = ada.said(CHAT, "Well, this waits")
    assert found(ada, "waits") == [message["message"]]
    before = raw(old)["words"]

    with looking_into(old) as connection, writing_on(connection):
        migrate(connection, command.downgrade, "0003")

    new = [row for row in raw(old)["words"] if row not in before]
    assert {row["word"] for row in new} == {"well", "this", "waits"}
    assert {row["message_id"] for row in new} == {message["id"]}


def test_a_database_of_a_newer_version_is_refused(old: Settings) -> None:
    init_db(old)
    with looking_into(old) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    before = raw(old)

    with pytest.raises(DatabaseError, match="newer version"):
        init_db(old)

    assert raw(old) == before


def test_logins_that_have_expired_are_not_kept(old: Settings) -> None:
    with looking_into(old) as connection, writing_on(connection):
        row = {"jti": "1" * 32, "user_id": 1, "expires_at": "2020-01-01 00:00:00"}
        insert(connection, "sessions", [row])

    init_db(old)

    assert [row[1] for row in stored(old, "sessions")["sessions"]] == ["0" * 32]


# Names that were different once ----------------------------------------------------------------

#: Bob's and eve's show the same as ada's; bob came first. Dan's has a selector, and is alone.
LOOK_ALIKES = {2: "a\u200bda", 3: "ad\u200ba", 7: "dan❤\ufe0f"}


@pytest.fixture
def disguised(old: Settings) -> Settings:
    """The old database, with names that show the same."""
    rename = text("UPDATE users SET username = :name, username_key = :name WHERE id = :id")
    with looking_into(old) as connection, writing_on(connection):
        # Ada registers last.
        connection.execute(rename, [{"id": 1, "name": "first"}])
        connection.execute(rename, [{"id": user, "name": it} for user, it in LOOK_ALIKES.items()])
        row = {"id": 9, "username": "ada", "username_key": "ada", "created_at": WHEN}
        row |= {"password_hash": generate_password_hash(PASSWORD, CHEAP_HASH)}
        insert(connection, "users", [row])
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT setval('users_id_seq', 9)"))
    return old


@pytest.fixture
def api_of_disguised(disguised: Settings) -> Iterator[InProcess]:
    init_db(disguised)
    with application(disguised) as app:
        yield InProcess(app)


def test_names_that_collide_stay_as_they_are(disguised: Settings) -> None:
    before = {row["id"]: row for row in raw(disguised)["users"]}

    init_db(disguised)

    after = {row["id"]: row for row in raw(disguised)["users"]}
    keys = {user: row["name_key"] for user, row in after.items()}
    assert keys == {1: "first", 2: "ada", 3: None, 7: "dan❤", 9: None}
    assert all(before[user].items() <= after[user].items() for user in before)


def test_people_of_colliding_names_log_in(api_of_disguised: InProcess) -> None:
    names = {**LOOK_ALIKES, 9: "ada"}

    people = {api_of_disguised.sign_in(name).id: name for name in names.values()}

    assert people == names
    assert api_of_disguised.login("dan❤").json["data"]["id"] == 7
    assert api_of_disguised.login("A\u200bDA").json["data"]["id"] == 2
    assert api_of_disguised.login("ADA").json["data"]["id"] == 9


@pytest.mark.parametrize("name", ["ada", "a\u200bda", "\u200bada", "Dan❤", "dan❤\ufe0e"])
def test_a_colliding_name_is_taken_for_all(api_of_disguised: InProcess, name: str) -> None:
    assert api_of_disguised.register(name).status == 409


def test_people_of_colliding_names_change_passwords(api_of_disguised: InProcess) -> None:
    bob = api_of_disguised.sign_in(LOOK_ALIKES[2])
    change = {"current_password": PASSWORD, "new_password": "battery staple"}

    assert bob.request("PUT", "/api/me/password", change).status == 200

    assert api_of_disguised.login(LOOK_ALIKES[2], "battery staple").status == 200
    assert api_of_disguised.login(LOOK_ALIKES[3]).status == 200
    assert api_of_disguised.login("ada").status == 200


def test_people_an_old_process_registers_log_in(
    api_of_disguised: InProcess, disguised: Settings
) -> None:
    """It knows nothing of the new column."""
    carol = {"username": "Ca\u200brol", "username_key": "ca\u200brol", "created_at": WHEN}
    carol |= {"password_hash": generate_password_hash(PASSWORD, CHEAP_HASH)}
    zoe = {**carol, "username": "Zoe", "username_key": "zoe"}
    with looking_into(disguised) as connection, writing_on(connection):
        insert(connection, "users", [carol, zoe])

    assert api_of_disguised.login("ca\u200brol").json["data"]["username"] == "Ca\u200brol"
    assert api_of_disguised.login("ZOE").json["data"]["username"] == "Zoe"
    assert api_of_disguised.register("ca\u200brol").status == 409
    assert api_of_disguised.register("zo\u200be").status == 409
    with pytest.raises(Taken):  # where the two register at the same moment
        api_of_disguised.sign_up("zoe")


def test_a_name_an_old_process_freed_is_free(
    api_of_disguised: InProcess, disguised: Settings
) -> None:
    with looking_into(disguised) as connection, writing_on(connection):
        gone = "UPDATE users SET username = '', username_key = :key, deleted_at = :now WHERE id = 7"
        connection.execute(text(gone), {"key": "\x017", "now": WHEN})

    assert api_of_disguised.register("dan❤").status == 201
    assert api_of_disguised.login("dan❤\ufe0f").status == 200
