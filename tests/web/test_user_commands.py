"""`flask users`: what the operator does, by the same rules as the API."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from config import Settings
from tests.support.gateway_client import Server as Sockets
from tests.support.gateway_client import make_gateway
from tests.support.people import (
    PASSWORD,
    Api,
    ChatServer,
    InProcess,
    Person,
    events,
    notices,
    python,
    refused,
    stored,
)
from tests.support.tabs import KEYS, join

NEW = "battery staple"


@pytest.fixture
def flask(app: Flask) -> Callable[..., Result]:
    """Runs `flask users ...`; what is typed comes last."""

    def run(*arguments: str, typed: str = "") -> Result:
        return app.test_cli_runner().invoke(args=["users", *arguments], input=typed)

    return run


def test_the_operator_finds_users_by_name_and_id(
    flask: Callable[..., Result], ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    ada.said(chat, "Hello")

    assert flask("list").output == f"{ada.id}  ada\n{bob.id}  bob\n"
    assert flask("list", "--q", "B").output == f"{bob.id}  bob\n"
    shown = flask("show", "ADA").output
    assert shown == flask("show", str(ada.id)).output
    assert shown.startswith(f"id: {ada.id}\nusername: ada\ncreated at: 20")
    assert shown.endswith("logins: 1\nchats: 1\nmessages: 1\n")


@pytest.mark.parametrize("command", ["show", "set-password", "logout", "delete"])
def test_who_is_not_there_cannot_be_meant(flask: Callable[..., Result], command: str) -> None:
    for nobody in ("nobody", "77", "9" * 19, "9" * 30):
        run = flask(command, nobody)

        assert (run.exit_code, run.output) == (1, f"Error: There is no user {nobody}.\n")


def test_a_name_like_an_id_is_told_apart(
    flask: Callable[..., Result], api: Api, ada: Person, settings: Settings
) -> None:
    other = api.sign_up(str(ada.id))

    run = flask("delete", str(ada.id), "--yes")
    by_name = flask("show", str(ada.id), "--by", "name")
    by_id = flask("show", str(ada.id), "--by", "id")

    assert run.exit_code == 1
    assert "--by name, or --by id" in run.output
    assert f"id: {other.id}\n" in by_name.output
    assert "username: ada\n" in by_id.output
    assert ada.get("/api/me").status == other.get("/api/me").status == 200


def test_a_new_password_ends_all_logins(
    flask: Callable[..., Result], api: Api, ada: Person, settings: Settings
) -> None:
    run = flask("set-password", "ada", "--password-stdin", typed=f"{NEW}\nmore\n")

    assert (run.exit_code, run.output) == (0, "ada has a new password.\n")
    refused(ada.get("/api/me"), 401, "unauthorized")
    refused(api.login("ada", PASSWORD), 401, "unauthorized")
    assert api.login("ada", NEW).status == 200
    assert [each["name"] for each in notices(settings)] == ["logins_ended"]


def test_a_password_is_asked_for_twice(flask: Callable[..., Result], api: Api, ada: Person) -> None:
    no = flask("set-password", "ada", typed="n\n")
    different = flask("set-password", "ada", "--yes", typed=f"{NEW}\nother words\n")
    assert no.exit_code == different.exit_code == 1
    assert ada.get("/api/me").status == 200

    run = flask("set-password", "ada", typed=f"y\n{NEW}\n{NEW}\n")

    assert run.exit_code == 0
    assert NEW not in run.output
    assert api.login("ada", NEW).status == 200


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "must have at least 8 characters"),
        ("short", "must have at least 8 characters"),
        ("x" * 129, "must have at most 128 characters"),
        ("password123", "must not be a common word"),
        ("ADA LOVELACE", "must not be the user name"),
        ("zzzzzzzzzz", "must not be one character again"),
        ("battery\0staple", "must be Unicode text without NUL"),
    ],
)
def test_an_easy_password_is_refused(
    flask: Callable[..., Result], api: Api, password: str, reason: str
) -> None:
    ada = api.sign_up("Ada Lovelace")

    run = flask("set-password", "Ada Lovelace", "--password-stdin", typed=f"{password}\n")

    assert run.exit_code == 1
    assert run.output.startswith(f"Error: The password {reason}")
    assert ada.get("/api/me").status == 200


def test_logging_out_ends_every_login(
    flask: Callable[..., Result], api: InProcess, ada: Person, bob: Person
) -> None:
    again = api.sign_in("ada")
    assert flask("logout", "ada", typed="n\n").exit_code == 1
    assert flask("logout", "ada").exit_code == 1, "nobody answers"
    assert ada.get("/api/me").status == 200

    assert flask("logout", "ada", "--yes").exit_code == 0

    assert [each.get("/api/me").status for each in (ada, again, bob)] == [401, 401, 200]


def test_deleting_a_user_is_what_the_api_does(
    flask: Callable[..., Result], api: Api, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    ada.said(chat, "Hello")
    assert flask("delete", "ada", typed="n\n").exit_code == 1
    assert ada.get("/api/me").status == 200

    run = flask("delete", str(ada.id), typed="y\n")

    assert run.exit_code == 0
    assert run.output.endswith("ada is deleted.\n")
    refused(ada.get("/api/me"), 401, "unauthorized")
    refused(api.login("ada"), 401, "unauthorized")
    assert [each["message"] for each in bob.reads(chat).json] == ["Hello"]
    assert api.register("ada").status == 201
    assert flask("delete", str(ada.id), "--yes").exit_code == 1


def test_deleting_can_erase_what_was_said(
    flask: Callable[..., Result],
    ada: Person,
    bob: Person,
    chat: dict[str, Any],
    settings: Settings,
) -> None:
    for number in range(3):
        ada.said(chat, f"number {number}")
    bob.said(chat, "I stay")

    assert flask("delete", "ada", "--erase", "--yes").exit_code == 0

    assert [each["message"] for each in bob.reads(chat).json] == ["", "", "", "I stay"]
    told = [each["name"] for each in events(settings)]
    assert told.count("message_deleted") == 3 * 3
    assert stored(settings, "erasures")["erasures"] == []


@pytest.mark.slow
def test_erasing_by_command_removes_files_too(
    ada: Person, chat: dict[str, Any], settings: Settings
) -> None:
    assert ada.sends(chat, "notes.txt", b"Hello").status == 201
    env = {"INSTANCE_PATH": settings.instance_path, "DATABASE_URL": settings.database_url}

    end, said = python("-m", "flask", "users", "delete", "ada", "--erase", "--yes", env=env)

    assert (end, said) == (0, "ada is deleted.\n")
    assert [
        each for each in Path(settings.instance_path, "files").glob("*/*") if each.is_file()
    ] == []


@pytest.mark.slow
def test_connections_end_with_the_logins(start: Callable[..., ChatServer]) -> None:
    server = start(**KEYS)
    ada = server.api.sign_up("ada")
    sockets = Sockets(server.port, make_gateway())
    client = join(sockets, ada, f"private-notification_user_{ada.id}")

    end, said = python("-m", "flask", "users", "logout", "ada", "--yes", env=server.settings)

    assert (end, said) == (0, "ada is logged out everywhere.\n")
    assert client.expect_close() == 4009


COMMANDS = ("users list", "events list", "files prune", "db new-generation")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_lost_database_is_told_in_a_sentence(command: str) -> None:
    url = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/chat", "FLASK_APP": "app.py"}

    end, said = python("-m", "flask", *command.split(), env=url)

    assert end == 1
    assert said.startswith("Error: The database failed: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_make_no_database_where_none_is(command: str, tmp_path: Path) -> None:
    env = {"INSTANCE_PATH": str(tmp_path), "FLASK_APP": "app.py"}

    end, said = python("-m", "flask", *command.split(), env=env)

    assert (end, said) == (1, f"Error: There is no database at {tmp_path}/chat.db.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["users", "show", os.fsdecode(b"ad\xe0")],
        ["events", "retry", "9" * 30],
        ["events", "drop", "9" * 30, "--yes"],
    ],
)
def test_what_nothing_can_be_called_is_said(app: Flask, command: list[str]) -> None:
    run = app.test_cli_runner().invoke(args=command)

    assert run.exit_code in (1, 2)
    assert "Error: " in run.output
    assert isinstance(run.exception, SystemExit)
