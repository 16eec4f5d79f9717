"""PgBouncer in front of PostgreSQL, as many hosts offer it."""

import os
import shutil
from pathlib import Path

from tests.support.servers import HOST, Server

SETTINGS = """
[databases]
* = host={host} port={database_port} user=postgres
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 30
max_client_conn = 200
"""


class PgBouncer(Server):
    def __init__(self, database_port: int, mode: str) -> None:
        super().__init__()
        given = {"host": HOST, "port": self.port, "database_port": database_port, "mode": mode}
        self._file = self.directory / "pgbouncer.ini"
        self._file.write_text(SETTINGS.format(**given))
        if os.geteuid() == 0:  # which PgBouncer refuses to run as
            self.user = "postgres"
            for path in (self.directory, self._file):
                shutil.chown(path, self.user)

    @classmethod
    def lacks(cls) -> str | None:
        return None if shutil.which("pgbouncer") else "PgBouncer is missing (Debian: pgbouncer)"

    def command(self) -> list[str | Path]:
        return ["pgbouncer", self._file]

    def url(self, database: str) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"
