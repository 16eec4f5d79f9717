"""What was erased is in no file any more, and not only in no answer."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Pool, event, text

from config import Settings
from tests.support.conversations import sqlite_only
from tests.support.people import InProcess, Person, looking_into


def bytes_of(settings: Settings) -> bytes:
    """The database file, with all that waits in its log."""
    with looking_into(settings) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        busy, *_ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        assert not busy
    return Path(str(settings.url.database)).read_bytes()


def leave_erased_bytes(driver: sqlite3.Connection, _record: object) -> None:
    driver.execute("PRAGMA secure_delete=OFF").close()


@pytest.fixture
def api(settings: Settings, make_api: Callable[..., InProcess]) -> Iterator[InProcess]:
    """On an SQLite that overwrites nothing by itself. Debian's does, most others do not."""
    event.listen(Pool, "connect", leave_erased_bytes)
    yield make_api()
    event.remove(Pool, "connect", leave_erased_bytes)


@sqlite_only  # PostgreSQL overwrites nothing before it vacuums
def test_erased_texts_are_overwritten_in_the_file(
    settings: Settings, ada: Person, chat: dict[str, Any]
) -> None:
    texts = [f"zebra{number} crossing " + "secretive " * 30 for number in range(60)]
    sent = [ada.said(chat, each) for each in texts]
    assert b"zebra7 crossing" in bytes_of(settings)

    for each in sent:
        assert ada.request("DELETE", f"/api/messages/{each['id']}").status == 200

    kept = bytes_of(settings)
    assert b"zebra" not in kept
    assert b"secretive" not in kept
