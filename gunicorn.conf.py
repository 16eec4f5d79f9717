"""gunicorn reads this by itself when it is started in this folder: `gunicorn app:app`.

Its command line wins over what stands here.
"""

import signal
import threading
import time
from contextlib import suppress
from typing import Any

# For this machine only: others come through a reverse proxy (see TRUSTED_PROXIES).
bind = "127.0.0.1:5000"

# What they say of clients is for TRUSTED_PROXIES alone to believe.
forwarded_allow_ips = ""

# One process: the embedded Pusher server and the rate limits in memory know only their own.
workers = 1

# Threads are for requests that wait, for a slow client or for the one password hash at a time; how
# many are worked on at once says app.PLACES.
worker_class = "gthread"
threads = 200

# With two files of SQLite for each thread these are fewer than the 1,024 that a process may open
# at first on many systems.
worker_connections = 500

# Seconds: what a client may be silent on a connection, and so what a stop waits for it at most.
keepalive = 1

# Nothing here uses its management interface, and two servers would claim the same path for it.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Ask the application for something, as its first client: then events that an earlier
    process left are delivered without waiting for a request."""

    def start() -> None:
        pause = 1.0
        while "outbox" not in worker.wsgi.extensions:  # as long as the database is away
            worker.wsgi.test_client().get("/health", environ_base={"REMOTE_ADDR": ""})
            time.sleep(pause)
            pause = min(1.5 * pause, 15)

    threading.Thread(target=start, daemon=True).start()

    # WebSocket clients are told of a stop at once, not when the last request is answered.
    finish_requests: Any = signal.getsignal(signal.SIGTERM)

    def stop(*given: Any) -> None:
        outbox = worker.wsgi.extensions.get("outbox")
        if outbox:
            threading.Thread(target=outbox.stop).start()
        finish_requests(*given)

    signal.signal(signal.SIGTERM, stop)


def post_request(_worker: Any, request: Any, environ: dict[str, Any], _response: Any) -> None:
    """Take what nobody wanted of a body, once it is answered: a client that is still sending
    would not get to see the answer (413, 401) if the connection was closed on it."""
    left = 32 * 1024 * 1024
    if connection := environ.get("gunicorn.socket"):
        before = connection.gettimeout()
        with suppress(Exception):  # it has left, or sends broken chunks: either is its own affair
            connection.settimeout(2)
            while left > 0 and (block := request.body.read(64 * 1024)):
                left -= len(block)
        with suppress(OSError):
            connection.settimeout(before)
