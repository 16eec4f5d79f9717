"""A server under gunicorn, the load on it, and what that costs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import quantiles
from typing import Self

import config
from bench import data

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Request:
    """The request that a client repeats."""

    method: str
    path: str
    token: str = ""
    body: str = ""


def send(chat: int) -> Request:
    body = json.dumps({"channel": data.channel(chat), "message": data.TEXT})
    return Request("POST", "/api/send_message", data.token(2 * chat - 1), body)


def get(chat: int) -> Request:
    path = f"/api/get_message/{data.channel(chat)}?limit=50"
    return Request("GET", path, data.token(2 * chat - 1))


def login(user: int) -> Request:
    body = json.dumps({"username": f"user{user}", "password": data.PASSWORD})
    return Request("POST", "/api/login", body=body)


@dataclass(frozen=True)
class Cost:
    """The cost of one load: requests a second, latency, CPU of the server for each request."""

    rate: float
    p50: float  # ms
    p99: float
    cpu: float  # ms


class Server:
    """gunicorn with an application, its folder and settings; killed at the end."""

    def __init__(
        self,
        app: str,
        folder: Path,
        *,
        processes: int = 2,
        threads: int = 4,
        env: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self._log = folder / "log"
        self._processes = processes
        settings = {each.name.upper() for each in fields(config.Settings)}
        inherited = {name: value for name, value in os.environ.items() if name not in settings}
        self._env = inherited | {
            "FLASK_SKIP_DOTENV": "1",
            "INSTANCE_PATH": str(folder),
            "JWT_SECRET_KEY": data.KEY,
            # Counted as ever, but never used up: one user sends all of the load.
            "RATELIMIT_MESSAGES": "1000000000 per minute",
            "FLOOR_DATABASE": str(folder / "chat.db"),
            "FLOOR_PASSWORD_HASH": data.PASSWORD_HASH,
            **(env or {}),
        }
        self._command = [sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{self.port}"]
        self._command += ["--workers", str(processes), "--threads", str(threads)]
        self._command += ["--worker-class", "gthread", "--keep-alive", "60"]
        self._command += ["--log-level", "critical", "--no-control-socket"]

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:  # a line for each request, as in earnest
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._env, start_new_session=True, stderr=log
            )
        wait_for(self.port)
        self._settle()
        return self

    def _settle(self) -> None:
        """Wait until all workers have started and are quiet, for some seconds at most."""
        before = -1.0
        for _ in range(20):
            now = self.cpu_seconds()
            if len(self.workers) == self._processes and now - before < 0.05:
                return
            before = now
            time.sleep(0.3)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait(30)

    @property
    def workers(self) -> list[int]:
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.workers:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])  # utime, stime
        return ticks / TICKS

    def peak_memory(self) -> float:
        """The most that any worker has held so far, in MiB."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.workers]
        return max(int(status.split("VmHWM:")[1].split()[0]) for status in statuses) / 1024

    def under(self, requests: list[Request], seconds: float, beside: int = 0) -> Cost:
        """The cost of these requests, each repeated by a client of its own, all at once. The last
        `beside` clients only disturb, and are not counted."""
        # Each from an address of its own, because some limits are for an address.
        addresses = (f"127.0.1.{number}" for number in range(1, len(requests) + 1))
        clients = [
            self._client(request, seconds, address)
            for request, address in zip(requests, addresses, strict=True)
        ]
        for client in clients:
            assert client.stdout
            if client.stdout.readline() != "ready\n":
                raise RuntimeError("A client failed.")
        before = self.cpu_seconds()
        for client in clients:
            assert client.stdin
            client.stdin.write("go\n")
            client.stdin.flush()
        took = [json.loads(client.communicate()[0]) for client in clients]
        cpu = self.cpu_seconds() - before
        counted = took[: len(took) - beside]
        all_of_them = [each for client_took in counted for each in client_took]
        percent = quantiles(all_of_them, n=100) if len(all_of_them) > 1 else all_of_them * 99
        return Cost(
            rate=sum(len(each) / sum(each) for each in counted),
            p50=percent[49] * 1000,
            p99=percent[98] * 1000,
            cpu=cpu / len(all_of_them) * 1000,
        )

    def _client(self, request: Request, seconds: float, address: str) -> subprocess.Popen[str]:
        what = [request.method, request.path, request.token, request.body]
        return subprocess.Popen(
            [sys.executable, "-m", "bench.client", str(self.port), str(seconds), *what, address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def pusher(kind: str) -> Iterator[dict[str, str]]:
    """The settings for a Pusher server that answers "at once", or is "80 ms", "hanging" or "down",
    or for "none"."""
    port = free_port()
    keys = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "bench", "PUSHER_SECRET": "bench"}
    where = {"PUSHER_HOST": "127.0.0.1", "PUSHER_PORT": str(port), "PUSHER_SSL": "false"}
    seconds = {"at once": "0", "80 ms": "0.08", "hanging": "600"}.get(kind)
    if seconds is None:
        yield {} if kind == "none" else keys | where
        return
    stub = subprocess.Popen([sys.executable, "-m", "bench.pusher", str(port), seconds], cwd=ROOT)
    try:
        wait_for(port)
        yield keys | where
    finally:
        stub.kill()
        stub.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"Nothing answers at port {port}.")
