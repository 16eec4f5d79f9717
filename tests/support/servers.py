"""The real servers that the tests drive: each on a free port, and gone with the test process.

with Soketi() as soketi, Postgres() as postgres: ...
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol, Self
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.support.forked import Forked

HOST = "127.0.0.1"
#: Whether everything is tried, and as often as it takes.
IN_CI = bool(os.environ.get("CI"))
#: Seconds to wait for what may be starting, or ending, on a busy machine.
PATIENCE = 60
NODE = Path(__file__).resolve().parents[1] / "node"
NODE_MODULES = NODE / "node_modules"


class Part(Protocol):
    """Something a test is driven with and that a machine may lack."""

    def lacks(self) -> str | None:
        """What is missing here and what brings it, or None."""


def require(*parts: Part) -> None:
    """Skip where something is missing, but fail in CI, which has to test everything."""
    for missing in filter(None, (part.lacks() for part in parts)):
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


def _candidates() -> Iterator[int]:
    """Ports under the range that outgoing connections get theirs from: one of those could take the
    port of a server that is stopped for a while, and a client that tries a stopped server again and
    again could even be connected with itself. Each pytest-xdist worker has some to itself, and none
    comes twice until all have come.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        ports = list(range(20_000 + worker, 32_000, workers))
        random.shuffle(ports)
        yield from ports


_ports = _candidates()


def free_port() -> int:
    """A free port that nobody else of this test run is about to use."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise AssertionError("there is always another port")


def eventually(condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """Whether it comes true: looked at less and less often, down to ten times a second."""
    deadline = time.monotonic() + timeout
    pause = 0.01
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)
    return True


class Server:
    """A child process with a port, a folder and a log of its own; it can be started again."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    user: str | None = None

    def __init__(self) -> None:
        require(type(self))
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.log = self.directory / "log"
        self.process: subprocess.Popen[bytes] | Forked | None = None

    @classmethod
    def lacks(cls) -> str | None:
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def start(self, timeout: float = 120) -> None:
        assert self.process is None, f"{self.log} is of a server that is running"

        self.process = self.spawn()
        self._guard = _guard(self.process.pid, self.directory)

        process = self.process
        eventually(lambda: process.poll() is not None or self.answers(), timeout)
        if process.poll() is not None or not self.answers():
            self.kill()
            raise RuntimeError(f"{type(self).__name__} did not start:\n{self.log.read_text()}")

    def spawn(self) -> subprocess.Popen[bytes] | Forked:
        # Its own folder is the working directory: soketi, say, would read the project's .env.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=os.environ | self.environment(),
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,
            )

    def stop(self, how: signal.Signals | None = None, timeout: float = PATIENCE) -> None:
        if self.process is None:
            return
        self.process.send_signal(how or self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self._guard.communicate(b"all is well\n")

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        # What a killed server leaves running for a moment may still write there.
        eventually(self._removed)

    def _removed(self) -> bool:
        shutil.rmtree(self.directory, ignore_errors=True)
        return not self.directory.exists()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _guard(pid: int, directory: Path) -> subprocess.Popen[bytes]:
    """Kill the server if this process dies, by any signal: the guard's input ends then.

    Linux could do that by itself (PR_SET_PDEATHSIG), but it goes by the thread that started the
    child, and a test may well start a server again from a thread.
    """
    script = 'read _ || { kill -s KILL -- "-$1"; sleep 0.2; rm -rf -- "$2"; }'
    return subprocess.Popen(
        ["sh", "-c", script, "guard", str(pid), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Postgres(Server):
    stop_signal = signal.SIGINT  # its "fast" shutdown: does not wait for clients to leave

    def __init__(self) -> None:
        super().__init__()
        self._data = self.directory / "data"
        self._numbers = count(1)
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            self.user = "postgres"
            shutil.chown(self.directory, "postgres", "postgres")

    @classmethod
    def lacks(cls) -> str | None:
        return None if _postgres_programs() else "PostgreSQL is missing (Debian: postgresql)"

    def command(self) -> list[str | Path]:
        # The data need not outlive a power cut, so no fsync.
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._program("postgres"), "-D", self._data, *options]

    def start(self, timeout: float = 120) -> None:
        if not self._data.exists():
            options = "--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync"
            subprocess.run(
                [self._program("initdb"), "-D", self._data, *options.split()],
                check=True,
                stdout=subprocess.DEVNULL,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                cwd=self.directory,
            )
        super().start(timeout)

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")):
            return True
        return False

    def url(self, database: str) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    def create_database(self, like: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the one at the URL `like`, unused now."""
        name = f"test_{next(self._numbers)}"
        template = urlsplit(like).path[1:] if like else "template1"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            # Without fsync, copying files is three times as fast as writing them to the log.
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop it, though somebody is connected."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(
                    sql.Identifier(urlsplit(url).path[1:])
                )
            )

    def _program(self, name: str) -> Path:
        programs = _postgres_programs()
        assert programs is not None
        return programs / name


def _postgres_programs() -> Path | None:
    """The folder of initdb and postgres, which Debian keeps out of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True)
        folders.insert(0, Path(answer.stdout.strip()))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Redis(Server):
    @classmethod
    def lacks(cls) -> str | None:
        found = shutil.which("redis-server")
        return None if found else "redis-server is missing (Debian: redis-server)"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str | Path]:
        return ["redis-server", "--bind", HOST, "--port", str(self.port), "--save", ""]


class PusherApp:
    """One application of a Pusher server: what the API is to be told of it."""

    port: int

    def make_keys(self) -> None:
        # soketi reads its settings as JSON where it can: a key of digits would become a number.
        self.app_id = str(100_000 + secrets.randbelow(900_000))
        self.key = f"key{secrets.token_hex(10)}"
        self.secret = f"secret{secrets.token_hex(10)}"

    @property
    def env(self) -> dict[str, str]:
        return {
            "PUSHER_APP_ID": self.app_id,
            "PUSHER_KEY": self.key,
            "PUSHER_SECRET": self.secret,
            "PUSHER_HOST": HOST,
            "PUSHER_PORT": str(self.port),
            "PUSHER_SSL": "false",
        }


class Soketi(Server, PusherApp):
    """A Pusher-protocol server that others wrote."""

    program = NODE_MODULES / "@soketi/soketi/bin/server.js"

    def __init__(self, *, sign_ins: bool = False, members: int = 100) -> None:
        """With `sign_ins` it closes clients that do not sign in within 30 seconds. A presence
        channel takes so many `members`."""
        super().__init__()
        self.make_keys()
        self._sign_ins = sign_ins
        self._members = members

    @classmethod
    def lacks(cls) -> str | None:
        if not shutil.which("node"):
            return "Node.js is missing (Debian: nodejs npm)"
        return None if cls.program.exists() else "soketi is missing (make node)"

    def command(self) -> list[str | Path]:
        return ["node", self.program, "start"]

    def environment(self) -> dict[str, str]:
        return {
            "SOKETI_DEFAULT_APP_ID": self.app_id,
            "SOKETI_DEFAULT_APP_KEY": self.key,
            "SOKETI_DEFAULT_APP_SECRET": self.secret,
            "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "true",
            "SOKETI_DEFAULT_APP_USER_AUTHENTICATION": str(self._sign_ins).lower(),
            "SOKETI_PRESENCE_MAX_MEMBERS": str(self._members),
            "SOKETI_HOST": HOST,
            "SOKETI_PORT": str(self.port),
            "SOKETI_SHUTDOWN_GRACE_PERIOD": "0",
            # It listens for metrics though they are off (port 0: any that is free), and looks for
            # others of its kind by broadcasts to the whole network.
            "SOKETI_METRICS_HOST": HOST,
            "SOKETI_METRICS_SERVER_PORT": "0",
            "SOKETI_CLUSTER_UNICAST_ADDRESSES": HOST,
            "SOKETI_CLUSTER_PORT": str(self.port),
        }
