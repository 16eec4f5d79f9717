"""Count the instructions of a request with valgrind. A busy machine does not change their number.

    python -m bench.instructions

Each application answers in a single thread, without an HTTP server and without deliveries. The
start is not counted: it costs the same for few requests and for many.
"""

import gc
import io
import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from bench import data
from bench.run import API, FLOOR, Bench, copy, row
from bench.server import ROOT, Request, get, send

REQUESTS = {"send": send(1), "last 50": get(1)}
WARM_UP, FEW, MANY = 20, 50, 250


def answer(app: str, request: Request, times: int) -> None:
    """Answer the same request again and again, for valgrind to count."""
    if app == API:
        from realtime.outbox import Outbox

        Outbox.start = lambda _: None  # type: ignore[method-assign, assignment]
    module, _, name = app.partition(":")
    wsgi_app = getattr(import_module(module), name)
    body = request.body.encode()
    path, _, query = request.path.partition("?")
    statuses = set()
    for number in range(WARM_UP + times):
        if number == WARM_UP:
            # When the garbage collector walks, and through what, differs between checkouts: it made
            # up to a tenth of a request. Without it they agree to a five-hundredth.
            gc.disable()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)) if body else "",
            "CONTENT_TYPE": "application/json",
            "HTTP_AUTHORIZATION": f"Bearer {request.token}",
            "HTTP_HOST": "127.0.0.1:5000",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.multiprocess": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
        }
        parts = wsgi_app(environ, lambda status, *_: statuses.add(status[0]))
        b"".join(parts)
        parts.close()
    if statuses != {"2"}:
        sys.exit(f"{request.method} {request.path}: {statuses}")


def counted(app: str, what: str, times: int, folder: Path) -> int:
    settings = {
        "FLASK_SKIP_DOTENV": "1",
        "FLOOR_DATABASE": str(folder / "chat.db"),
        "INSTANCE_PATH": str(folder),
        "JWT_SECRET_KEY": data.KEY,
        "PYTHONHASHSEED": "0",
        "RATELIMIT_MESSAGES": "1000000000 per minute",
    }
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "bench.instructions", app, what, str(times)]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True
    )
    found = re.search(r"I +refs: +([0-9,]+)", run.stderr)
    if run.returncode or not found:
        sys.exit(run.stderr)
    return int(found[1].replace(",", ""))


def main() -> None:
    row("instructions of a request, in thousands", "floor", "API", "ratio")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), seconds=0, rounds=1)
        for what in REQUESTS:
            cost = []
            for app in (FLOOR, API):
                totals = []
                for times in (FEW, MANY):
                    with copy(bench.small) as mine:
                        totals.append(counted(app, what, times, mine))
                cost.append((totals[1] - totals[0]) / (MANY - FEW) / 1000)
            row(what, f"{cost[0]:,.0f}", f"{cost[1]:,.0f}", f"{cost[1] / cost[0]:.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        answer(sys.argv[1], REQUESTS[sys.argv[2]], int(sys.argv[3]))
    else:
        main()
