"""gunicorn reads this file if it is started in this folder: `gunicorn app:app`.

Its command line wins over this file.
"""

import errno
import logging
import signal
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker

from config import SettingsError
from config import load as load_settings

#: How long a thread waits for a new connection to say something. Then it is watched without one.
FIRST_BYTE_SECONDS = 0.05
#: As long as gunicorn itself waits for a client to close its side of a connection.
LINGER_SECONDS = 2


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, except that silent connections hold none and stop none.

    A thread would wait for the first byte for 5 seconds, so 450 connections that say nothing kept
    everybody waiting for 10.

    Before it closes a connection, gunicorn waits for the client to do so too. It does that in the
    one thread that accepts connections, so 40 clients that never close kept everybody out for more
    than a minute.
    """

    def accept(self, listener: Any) -> None:
        """Go on when the process may open no more files. gunicorn's worker would die of it, and
        all WebSockets with it; so the next client waits until one has left."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            time.sleep(0.05)

    def handle(self, conn: Any) -> Any:
        if not conn.initialized and not conn.wait_for_data(FIRST_BYTE_SECONDS):
            return _DEFER
        kept = super().handle(conn)
        if kept is False:
            let_go(conn.sock)
        return kept


def let_go(connection: socket.socket) -> None:
    """Wait here, so that the client sees all of its answer, and leave nothing to wait for."""
    until = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(64 * 1024):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


# For this machine only: other machines come through a reverse proxy (see TRUSTED_PROXIES).
bind = "127.0.0.1:5000"

# gunicorn trusts no proxy: TRUSTED_PROXIES alone says which headers of proxies count.
forwarded_allow_ips = ""

# One process, because each counts rate limits in a memory of its own. `--workers 2` works all the
# same: docs/growing.md says what for.
workers = 1

# So many threads because requests wait: for a slow client, or for their turn to hash a password.
# app.WORK_SLOTS limits how many are worked on at once.
worker_class = Worker
threads = 200

# Each thread may also open two files of SQLite. Together these are fewer than the 1,024 files that
# a process may open at first on many systems.
worker_connections = 500

# Seconds that a client may be silent on a connection, and so the longest that a stop waits for it.
keepalive = 1

# Seconds after which a worker that has stopped moving is replaced, and a client is cut off that has
# neither sent nor taken a byte in the middle of a request: it would keep a thread for ever.
timeout = 30

# The same for a write of an answer. The growing buffers of the system make it some three times as
# long.
SILENT_READER_SECONDS = 10

# The application writes a line for each request itself (ACCESS_LOG). Those of gunicorn would have
# the whole address, with what people search for.
accesslog = None

# Nothing here uses its management interface, and two servers would use the same path for it.
control_socket_disable = True


def on_starting(_server: Any) -> None:
    """Refuse wrong settings in one sentence, before a worker does with a traceback."""
    try:
        load_settings()
    except SettingsError as refusal:
        raise SystemExit(f"Error: {refusal.message}") from None


def post_worker_init(worker: Any) -> None:
    """Prepare a worker that serves the chat API, and not the application of a benchmark."""
    if runtime := worker.wsgi.extensions.get("chat"):
        threading.Thread(
            target=send_first_request, args=(worker.wsgi, runtime), daemon=True
        ).start()
        stop_outbox_early(runtime)


def when_ready(server: Any) -> None:
    """Have the system end a read or a write in which nothing has moved for so many seconds. On
    Linux a connection gets this from the socket that accepts it; WebSockets never wait so."""
    to_read = struct.pack("ll", server.cfg.timeout, 0)
    to_write = struct.pack("ll", SILENT_READER_SECONDS, 0)
    for listener in server.LISTENERS:
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, to_read)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, to_write)
    # gunicorn would log each of them as an error of its own.
    logging.getLogger("gunicorn.error").addFilter(is_no_cut_off)


def is_no_cut_off(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))


def send_first_request(app: Any, runtime: Any) -> None:
    """Have the delivery of events start, which it does with the first request: events that an
    earlier process left need not wait for a client."""
    pause = 1.0
    while not runtime.has_database:
        own = {"REMOTE_ADDR": "", "chat.own": True}  # no line of the access log is to tell of it
        app.test_client().get("/health", environ_base=own)
        time.sleep(pause)
        pause = min(1.5 * pause, 15)


def stop_outbox_early(runtime: Any) -> None:
    """Tell WebSocket clients of a stop at once, not when the last request has been answered."""
    finish_requests: Any = signal.getsignal(signal.SIGTERM)

    def stop(*given: Any) -> None:
        if runtime.has_database:
            threading.Thread(target=runtime.outbox.stop).start()
        finish_requests(*given)

    signal.signal(signal.SIGTERM, stop)


def pre_request(worker: Any, request: Any) -> None:
    """Let requests in that lack the path of SCRIPT_NAME: a proxy may take it away, and a health
    check ask this port itself. gunicorn would answer them with a 500."""
    runtime = worker.wsgi.extensions.get("chat")
    prefix = runtime.settings.script_name if runtime else ""
    if prefix and not f"{request.path}/".startswith(f"{prefix}/"):
        request.path = prefix + request.path


def post_request(_worker: Any, request: Any, environ: dict[str, Any], _response: Any) -> None:
    """Read the rest of a body that nobody has read, up to 32 MiB, and drop it.

    If the connection was closed on a client that is still sending, the client would not see the
    answer (413, 401).
    """
    left = 32 * 1024 * 1024
    if connection := environ.get("gunicorn.socket"):
        before = connection.gettimeout()
        with suppress(Exception):  # the client has left, or sends broken chunks
            connection.settimeout(2)
            while left > 0 and (block := request.body.read(64 * 1024)):
                left -= len(block)
        with suppress(OSError):
            connection.settimeout(before)
