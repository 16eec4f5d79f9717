"""From a WSGI request to a WebSocket: checking the handshake, and taking the socket.

WSGI knows no connection that stays open. Servers whose threads block on a socket hand it out with
the request all the same: werkzeug's development server and gunicorn.
"""

import contextlib
import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.exceptions import InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PROTOCOLS = frozenset({"4", "5", "6", "7"})
"""Pusher protocol versions that are the same as 7 for a server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a WSGI view must answer. With status 101 the socket has been taken already, and the
    view's answer goes nowhere."""

    status: int
    headers: list[tuple[str, str]]
    body: dict[str, Any] | None


def check(environ: "WSGIEnvironment") -> bytes | Answer:
    """The bytes that accept this handshake (RFC 6455, 4.2.2), or the refusal to answer instead."""
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or environ.get(
        "HTTP_TRANSFER_ENCODING"
    ):
        return Answer(400, [], {"message": "A WebSocket handshake has no body."})
    protocol = ServerProtocol()
    response = protocol.accept(_request(environ))
    if response.status_code == 101:
        return response.serialize()
    if isinstance(protocol.handshake_exc, InvalidUpgrade):
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade, close")]
        message = "This address speaks WebSocket: connect to it with a Pusher client."
        return Answer(426, headers, {"message": message})
    # RFC 6455, 4.4: name the version that is supported.
    headers = [("Sec-WebSocket-Version", "13")]
    if response.status_code == 405:
        headers.append(("Allow", "GET"))
    message = f"Not a WebSocket handshake: {protocol.handshake_exc}."
    return Answer(response.status_code, headers, {"message": message})


def refusal(
    environ: "WSGIEnvironment", is_key: bool, allowed_origins: Sequence[str]
) -> tuple[int, str] | None:
    """Why this client is not let in: a close code of the Pusher protocol and a sentence. Or None.

    A client learns a code only from a WebSocket, so these handshakes are completed first."""
    if not is_key:
        return 4001, "Application does not exist: unknown key"
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    version = query.get("protocol", ["7"])[-1]
    if version not in PROTOCOLS:
        return 4007, "Unsupported protocol version: this server speaks 4 to 7"
    # Only browsers send an Origin, and only they can be lured into connecting by a foreign page.
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and "*" not in allowed_origins and origin not in allowed_origins:
        return 4009, "Connections from this origin are not allowed"
    return None


def offered_socket(environ: "WSGIEnvironment") -> socket.socket | None:
    """The plain TCP (or UNIX) socket of this request, if the server gives one."""
    offered = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    # A TLS socket is of a subclass, and useless: its keys would not come along.
    return offered if type(offered) is socket.socket else None


def take(offered: socket.socket, environ: "WSGIEnvironment") -> tuple[socket.socket, bytes]:
    """Move the connection into a socket of our own; also return what came behind the handshake.

    The server will still write a response to its socket and close it. So it gets a dead socket in
    place of the live one: both servers often meet closed connections and do not log them. Raises
    OSError, and changes nothing, if the process may open no more files.
    """
    dead, other_end = socket.socketpair()
    other_end.close()
    offered.setblocking(False)
    early = _early_bytes(environ.get("wsgi.input"))
    taken = socket.socket(fileno=offered.detach())
    # detach() left the server's object without a file; running its constructor again gives it one.
    socket.socket.__init__(offered, fileno=dead.detach())
    with contextlib.suppress(OSError):  # UNIX sockets have no such option
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken, early


def give_back(offered: socket.socket, taken: socket.socket) -> None:
    """Undo take(), so that the HTTP server can answer after all."""
    offered.close()
    taken.setblocking(True)
    socket.socket.__init__(offered, fileno=taken.detach())


def _early_bytes(stream: Any) -> bytes:
    """Bytes that the client has sent before our answer, and that the HTTP server has read."""
    if unreader := getattr(getattr(stream, "reader", None), "unreader", None):  # gunicorn
        return bytes(unreader.buf.getvalue())
    if isinstance(stream, io.BufferedReader):  # werkzeug
        return stream.peek()
    return b""


def _request(environ: "WSGIEnvironment") -> Request:
    names = ("Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
    headers = Headers()
    for name in names:
        if (value := environ.get("HTTP_" + name.upper().replace("-", "_"))) is not None:
            headers[name] = value
    return Request(
        environ.get("PATH_INFO", "/"),
        headers,
        environ.get("REQUEST_METHOD", ""),
        environ.get("SERVER_PROTOCOL", ""),
    )
