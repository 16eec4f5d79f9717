"""pgbouncer in front of a PostgreSQL server."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.servers import HOST, Postgres, Server

SETTINGS = """
[databases]
* = host={host} port={postgres}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 60
max_client_conn = 200
pidfile = {folder}/pid
"""


class PgBouncer(Server):
    """It lends a connection for a session, or for a transaction."""

    def __init__(self, postgres: Postgres, mode: str) -> None:
        super().__init__()
        if os.geteuid() == 0:  # which pgbouncer refuses to run as
            self.user = "postgres"
            shutil.chown(self.directory, "postgres", "postgres")
        settings = SETTINGS.format(
            host=HOST, postgres=postgres.port, port=self.port, folder=self.directory, mode=mode
        )
        # With auth_type "any" everybody is let in, under the user's name that is said here.
        settings = settings.replace(f"port={postgres.port}", f"port={postgres.port} user=postgres")
        (self.directory / "settings").write_text(settings)
        (self.directory / "users").write_text("")

    @classmethod
    def lacks(cls) -> str | None:
        return None if _program() else "pgbouncer is missing (Debian: pgbouncer)"

    def command(self) -> list[str | Path]:
        program = _program()
        assert program
        return [program, self.directory / "settings"]

    def url(self, url: str) -> str:
        """The way through it to the database at that URL."""
        return f"postgresql://postgres@{HOST}:{self.port}{urlsplit(url).path}"


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
