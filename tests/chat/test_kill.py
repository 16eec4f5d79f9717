"""Acknowledged messages survive a kill -9, and each is there once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.people import ChatServer, Person
from tests.support.servers import IN_CI

pytestmark = pytest.mark.slow

KILLS = 20 if IN_CI else 2
WRITERS = 4


class Writer:
    """Sends one message after the other until the server is gone. Keeps those acknowledged."""

    def __init__(self, person: Person, chat: dict[str, Any], name: str) -> None:
        self.person, self.chat, self.name = person, chat, name
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.numbers = count()
        self.unanswered = ""

    def write(self, some_are_stored: threading.Semaphore) -> None:
        try:
            while True:
                self.unanswered = f"{self.name}-{next(self.numbers)}"
                self.acknowledged[self.unanswered] = self.said(self.unanswered)
                some_are_stored.release()
        except (OSError, HTTPException):
            return

    def said(self, key: str) -> dict[str, Any]:
        return self.person.said(self.chat, f"text {key}", client_message_id=key)

    def retry(self) -> None:
        """Send the last message again, because nobody knows whether it arrived."""
        answer = self.person.says(
            self.chat, f"text {self.unanswered}", client_message_id=self.unanswered
        )
        assert answer.status in (200, 201), answer
        self.acknowledged[self.unanswered] = answer.json


def killed_while_writing(server: ChatServer, writers: list[Writer]) -> None:
    stored = threading.Semaphore(0)
    with ThreadPoolExecutor(len(writers)) as pool:
        writing = [pool.submit(writer.write, stored) for writer in writers]
        for _ in range(3 * len(writers)):
            assert stored.acquire(timeout=60)
        server.kill()
        for each in writing:
            each.result(60)


def test_a_kill_loses_and_doubles_no_acknowledged_message(
    start: Callable[..., ChatServer], tmp_path: Path
) -> None:
    server = start("flask")
    ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
    chat = ada.asks(bob).json
    writers = [Writer(ada if n % 2 else bob, chat, f"w{n}") for n in range(WRITERS)]

    for _ in range(KILLS):
        killed_while_writing(server, writers)
        server.start()
        for writer in writers:
            writer.retry()

    acknowledged = {key: message for w in writers for key, message in w.acknowledged.items()}
    assert len(acknowledged) > KILLS * WRITERS
    history = ada.reads(chat).json
    assert {m["client_message_id"]: m for m in history} == acknowledged
    assert len(history) == len(acknowledged)
    ids = [message["id"] for message in history]
    assert ids == sorted(set(ids))
    for key, message in list(acknowledged.items())[:20]:
        sender = ada if message["from_user"] == ada.id else bob
        retried = sender.says(chat, message["message"], client_message_id=key)
        assert (retried.status, retried.json["id"]) == (200, message["id"])
