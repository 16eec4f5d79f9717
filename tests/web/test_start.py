"""The start of a process: what it needs is brought up by the first request."""

from collections.abc import Callable
from pathlib import Path

from tests.support.people import ChatServer, at_once, python


def test_first_requests_at_once_are_all_answered(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")

    answers = at_once(8, lambda number: server.api.register(f"person {number}"))

    assert [answer.status for answer in answers] == [201] * 8


def test_gunicorn_refuses_a_wrong_setting_in_one_sentence(tmp_path: Path) -> None:
    command = ["-m", "gunicorn", "app:app", "--bind", "127.0.0.1:0"]
    env = {"INSTANCE_PATH": str(tmp_path), "PUSHER_PORT": "many"}

    code, said = python(*command, env=env)

    assert code == 1
    assert said.splitlines()[-1] == "Error: PUSHER_PORT must be a whole number."
    assert "Traceback" not in said
