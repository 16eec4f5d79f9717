"""The handover of connections, from the process that a client reached to the one that serves all.

Both are on one machine. The second listens at a socket file, which only the same user may write to.
The system passes the connection along with a datagram. That arrives whole or not at all, so nobody
ever waits for the rest of one.
"""

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.frames import Malformed, dumps, loads

WAIT_SECONDS = 2
"""How long a process that does not read its datagrams is waited for."""

BYTES = 64 * 1024
"""More than a datagram has: an HTTP server reads 8 KiB at once, and the rest is short."""

NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

Refusal = tuple[int, str] | None
"""The close code and the reason of a connection that is not let in."""


class Unsupported(OSError):
    """Windows, where processes hand no connections to each other in this way."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection whose handshake was checked, and all that is needed to go on with it."""

    sock: socket.socket
    address: str  # that it counts as
    greeting: bytes  # which accepts the handshake
    early: bytes  # what the HTTP server has read beyond the handshake
    refusal: Refusal


def listen(path: Path) -> socket.socket:
    """A socket that takes the datagrams sent to this file, in place of the one before. It waits
    for none. Raises OSError: a path may have some 100 characters, and not every file system
    has sockets."""
    made: socket.socket = _datagrams()
    made.setblocking(False)
    draft = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        made.bind(str(draft))
        draft.chmod(0o600)
        draft.replace(path)  # only now can it be found, and the one before no more
    except OSError:
        made.close()
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return made


def send(path: Path | None, arrival: Arrival) -> None:
    """Give a connection to the process that listens at this file. Close it here afterwards.

    Raises OSError, and nothing has happened then: nobody listens, or does not read."""
    if path is None:
        raise FileNotFoundError("No file was named")
    known = (arrival.greeting.decode("latin-1"), arrival.early.decode("latin-1"))
    text = dumps([arrival.address, *known, arrival.refusal]).encode()
    with _datagrams() as sender:
        sender.settimeout(WAIT_SECONDS)
        sender.connect(str(path))
        socket.send_fds(sender, [text], [arrival.sock.fileno()])


def receive(entrance: socket.socket) -> Arrival:
    """The next connection. Raises BlockingIOError if none waits, and Malformed if it is none."""
    text, files, _, _ = socket.recv_fds(entrance, BYTES, 1)
    try:
        address, greeting, early, refusal = _read(text)
        if not files:
            raise Malformed("No connection came with it")  # or this process has no file left
        try:
            sock = socket.socket(fileno=files[0])
        except OSError as error:
            raise Malformed("What came with it is no connection") from error
    except Malformed:
        for file in files:
            os.close(file)
        raise
    sock.setblocking(False)
    return Arrival(sock, address, greeting, early, refusal)


def _read(text: bytes) -> tuple[str, bytes, bytes, Refusal]:
    match loads(text):
        case [str(address), str(greeting), str(early), None]:
            refusal: Refusal = None
        case [str(address), str(greeting), str(early), [int(code), str(reason)]]:
            refusal = (code, reason)
        case _:
            raise Malformed("Not what send() says")
    try:
        return address, greeting.encode("latin-1"), early.encode("latin-1"), refusal
    except UnicodeEncodeError as error:
        raise Malformed("Not what send() says") from error


def _datagrams() -> Any:
    if not hasattr(socket, "AF_UNIX") or not hasattr(socket, "send_fds"):
        raise Unsupported("This system has no sockets with file names")
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
