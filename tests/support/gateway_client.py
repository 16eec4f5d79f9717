"""A WSGI application around a gateway, and clients that send it raw frames."""

import base64
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request
from pusher import Pusher
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from werkzeug.serving import make_server

from gateway import Gateway, Limits
from tests.support.servers import PATIENCE

APP_ID, KEY, SECRET = "1", "the-key", "the-secret"
MASTER_KEY = base64.b64encode(bytes(32)).decode()  # of encrypted channels; not the gateway's affair

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
HANDSHAKE = (
    f"GET /app/{KEY} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()


def make_app(gateway: Gateway) -> Flask:
    app = Flask(__name__)

    # werkzeug keeps handshakes away from ordinary rules, and ordinary requests from these.
    @app.get("/app/<path:key>", websocket=True)
    @app.get("/app/<path:key>")
    def websocket(key: str) -> Any:
        answer = gateway.upgrade(request.environ, key)
        return jsonify(answer.body), answer.status, answer.headers

    @app.route("/apps/<path:rest>", methods=["GET", "POST"])
    def api(rest: str) -> Any:
        query = request.query_string.decode()
        status, body = gateway.api(request.method, request.path, query, request.get_data())
        return jsonify(body), status

    @app.get("/hello")
    def hello() -> Response:
        return Response("hello")

    return app


def signer() -> Pusher:
    """The application's side: signs subscriptions, publishes nothing."""
    return Pusher(APP_ID, KEY, SECRET, encryption_master_key_base64=MASTER_KEY)


def frame(payload: str | bytes, opcode: int = 0x81) -> bytes:
    """A client's frame, masked with zeroes."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([opcode]) + size + bytes(4) + data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        more = sock.recv(65536)
        assert more, f"the connection ended after {data[-200:]!r}"
        data += more
    return data


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


class Client:
    """One WebSocket. `expect` waits for a frame, so no test needs to sleep."""

    def __init__(self, url: str, **options: Any) -> None:
        self._stack = contextlib.ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            # Without a limit on its queue, it reads whether or not the test does.
            connect(
                url, proxy=None, max_queue=None, open_timeout=PATIENCE, close_timeout=5, **options
            )
        )
        self.socket_id = ""

    def say(self, event: str, data: Any = None, **more: Any) -> None:
        self.send(json.dumps({"event": event, "data": data, **more}))

    def send(self, text: str | bytes) -> None:
        self.socket.send(text)

    def hear(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next message, with data decoded if it is JSON in a string."""
        message: dict[str, Any] = json.loads(self.socket.recv(timeout))
        with contextlib.suppress(KeyError, TypeError, ValueError):
            message["data"] = json.loads(message["data"])
        return message

    def expect(self, event: str) -> dict[str, Any]:
        message = self.hear()
        assert message["event"] == event, message
        return message

    def expect_silence(self) -> None:
        """Nothing came before the answer to this ping: frames keep their order."""
        self.say("pusher:ping", {})
        self.expect("pusher:pong")

    def expect_close(self) -> int:
        """Read to the end; the close code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.socket.recv(PATIENCE)
        assert self.socket.close_code is not None
        return self.socket.close_code

    def subscribe(self, channel: str, user: Any = None, user_info: Any = None) -> dict[str, Any]:
        """Subscribe as the application would sign it, and return the answer."""
        self.say("pusher:subscribe", self.subscription(channel, user, user_info))
        return self.hear()

    def subscription(self, channel: str, user: Any = None, user_info: Any = None) -> dict[str, Any]:
        data = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            member = {"user_id": user, "user_info": user_info} if user is not None else None
            signed = signer().authenticate(channel, self.socket_id, member)
            data.update(auth=signed["auth"])
            if member:
                data.update(channel_data=signed["channel_data"])
        return data

    def sign_in(self, user: str) -> dict[str, Any]:
        self.say("pusher:signin", signer().authenticate_user(self.socket_id, {"id": user}))
        return self.hear()

    def close(self) -> None:
        self._stack.close()


class Server:
    """A running HTTP server, and everyone connected to it."""

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.port, self.gateway = port, gateway
        self.people = contextlib.ExitStack()

    def connect(self, key: str = KEY, query: str = "?protocol=7", **options: Any) -> Client:
        """A connection past its handshake, or refused in its first frame."""
        client = Client(f"ws://127.0.0.1:{self.port}/app/{key}{query}", **options)
        self.people.callback(client.close)
        return client

    def join(self, **options: Any) -> Client:
        client = self.connect(**options)
        client.socket_id = client.expect("pusher:connection_established")["data"]["socket_id"]
        return client

    def shook_hands(self, data: bytes = HANDSHAKE) -> socket.socket:
        """A TCP connection that is a WebSocket now: everything up to the first frame is read."""
        sock = self.raw(data)
        read_until(sock, b"established")
        return sock

    def raw(self, data: bytes = HANDSHAKE) -> socket.socket:
        """A TCP connection that has sent these bytes."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.people.callback(sock.close)
        sock.sendall(data)
        return sock

    def publisher(self) -> Pusher:
        """The official library, over HTTP."""
        client = Pusher(
            app_id=APP_ID,
            key=KEY,
            secret=SECRET,
            ssl=False,
            host="127.0.0.1",
            port=self.port,
            timeout=PATIENCE,
        )
        client._pusher_client.http.session.trust_env = False
        self.people.callback(client._pusher_client.http.session.close)
        return client


def make_gateway(**options: Any) -> Gateway:
    limits = Limits(**options.pop("limits", {}))
    return Gateway(APP_ID, KEY, SECRET, limits=limits, **options)


def gunicorn_app() -> Flask:
    """What the gunicorn under test loads: tests.support.gateway_client:gunicorn_app()"""
    gateway = make_gateway()
    gateway.open()
    return make_app(gateway)


class Complaints(logging.Handler):
    """What the gateway and the HTTP server logged as errors, tracebacks above all."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def no_complaints() -> Iterator[None]:
    """See that nobody logs an error."""
    complaints = Complaints()
    loggers = [logging.getLogger(name) for name in ("gateway", "werkzeug")]
    for logger in loggers:
        logger.addHandler(complaints)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(complaints)
    assert not complaints.lines, complaints.lines


@contextlib.contextmanager
def serving(gateway: Gateway) -> Iterator[Server]:
    """werkzeug's development server around an open gateway."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    http = make_server("127.0.0.1", 0, make_app(gateway), threaded=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    gateway.open()
    server = Server(http.server_port, gateway)
    try:
        with no_complaints(), server.people:
            yield server
    finally:
        gateway.stop()
        http.shutdown()
        thread.join()
        http.server_close()
