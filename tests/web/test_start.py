"""The start of a process: what it needs is brought up by the first request."""

from collections.abc import Callable

from tests.support.people import ChatServer, at_once


def test_first_requests_at_once_are_all_answered(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")

    answers = at_once(8, lambda number: server.api.register(f"person {number}"))

    assert [answer.status for answer in answers] == [201] * 8
