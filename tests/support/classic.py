"""Another application of the seven methods, on which the tests marked `classic` are tried, too:

    CLASSIC_APP=docs/learn/steps/10 pytest -m classic tests/api

It is a folder with an app.py that keeps its rows in SQLite, as the last step of the course does.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.support.people import CHEAP_HASH, OverHttp
from tests.support.servers import HOST, Server

#: The folder, or nothing: then they are tried on the API itself, as all the others.
FOLDER = os.environ.get("CLASSIC_APP")
#: The one that tests/api/test_pusher_auth.py signs with.
SECRET = "a secret of the tests"


class OtherApp(Server):
    """It in a process of its own, with an empty database."""

    @classmethod
    def lacks(cls) -> str | None:
        return None

    def command(self) -> list[str | Path]:
        app = Path(FOLDER or "").resolve() / "app.py"
        address = ["--host", HOST, "--port", str(self.port)]
        return [sys.executable, "-m", "flask", "--app", app, "run", *address]

    @property
    def database(self) -> Path:
        return self.directory / "chat.db"

    def environment(self) -> dict[str, str]:
        return {
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.database}",
            "FLASK_PASSWORD_HASH": CHEAP_HASH,
            "FLASK_PUSHER_SECRET": SECRET,
        }

    def empty(self) -> None:
        """Remove every row, so that each test begins with nobody."""
        with closing(sqlite3.connect(self.database)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                connection.execute(f'DELETE FROM "{table}"')
            connection.commit()

    @property
    def api(self) -> OverHttp:
        return OverHttp(self.port)
