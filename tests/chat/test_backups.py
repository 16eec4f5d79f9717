"""A database is kept whole: by a clean stop, in a backup, and after a restore."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.people import ChatServer, Program


def messages_in(file: Path) -> int:
    """How many messages a database file has, alone and as it is."""
    alone = file.with_name(f"{file.name}.alone")
    shutil.copy(file, alone)
    with closing(sqlite3.connect(f"file:{alone}?immutable=1", uri=True)) as copy:
        (count,) = copy.execute("SELECT count(*) FROM messages").fetchone()
    alone.unlink()
    return int(count)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["flask", "gunicorn", "gunicorn --workers 4"])
def test_a_clean_stop_leaves_one_file(program: Program, tmp_path: Path) -> None:
    with ChatServer(program, INSTANCE_PATH=str(tmp_path)) as server:
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        for number in range(40):
            ada.said(chat, f"number {number}")

        server.stop()

    assert not list(tmp_path.glob("chat.db-*"))
    assert messages_in(tmp_path / "chat.db") == 40
