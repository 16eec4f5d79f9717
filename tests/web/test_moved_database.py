"""A database file that is taken away from a running server."""

from collections.abc import Callable
from pathlib import Path

from config import load
from tests.support.conversations import sqlite_only
from tests.support.people import ChatServer, refused


@sqlite_only
def test_nothing_is_stored_in_a_file_that_is_gone(start: Callable[..., ChatServer]) -> None:
    server = start("gunicorn")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json
    file = Path(str(load(server.settings).url.database))
    elsewhere = file.with_name("elsewhere.db")

    file.rename(elsewhere)
    for answer in (ada.says(chat, "Lost?"), ada.get("/api/me"), server.api.get("/health")):
        assert "database file was moved" in refused(answer, 503, "unavailable")
    file.write_bytes(b"")
    refused(ada.says(chat, "Lost?"), 503, "unavailable")
    file.unlink()
    elsewhere.rename(file)

    ada.said(chat, "Found")
    assert [message["message"] for message in bob.reads(chat).json] == ["Found"]
