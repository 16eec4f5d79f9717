"""Processes forked from one that has imported their libraries: of a start, that is most.

What is the API's own, each imports by itself, with the environment it is given.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

LIBRARIES = [
    *("dotenv", "filelock", "flask.cli", "flask_cors", "flask_migrate.cli", "flask_sqlalchemy"),
    *("flask_swagger_ui", "gunicorn.app.wsgiapp", "gunicorn.workers.gthread", "jwt"),
    *("limits.storage", "limits.strategies", "prometheus_client", "psycopg", "pusher.requests"),
    "pydantic.json_schema",
    *("requests", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.orm", "sqlite3"),
    *("websockets.server", "werkzeug.middleware.proxy_fix"),
]


@cache
def _fork_server() -> "ForkServerContext":
    server = multiprocessing.get_context("forkserver")  # not on Windows
    server.set_forkserver_preload(LIBRARIES)
    return server


class Forked:
    """What a command of `python -m` or `python -c` would be, shown as subprocess.Popen shows a
    process.

    It leads a session of its own, reads what was typed, and what it writes goes to the end of the
    log.
    """

    def __init__(
        self, command: list[str], *, log: Path, cwd: Path, env: dict[str, str], typed: str = ""
    ) -> None:
        self.args = command
        self._process = _fork_server().Process(target=_become, args=(command, log, cwd, env, typed))
        self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended, which is about to be heard of
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(command: list[str], log: Path, cwd: Path, env: dict[str, str], typed: str) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stdin = StringIO(typed)
    sys.orig_argv = command  # which Flask's reloader repeats
    _, kind, program, *_ = command
    sys.argv = command[2:]
    try:
        if kind == "-c":
            exec(program, {"__name__": "__main__"})
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:  # what the interpreter does at its end, and multiprocessing does not
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
