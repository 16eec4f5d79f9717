"""A Pusher that checks everything, keeps what it got, and misbehaves on demand.

with StubPusher() as stub:
    stub.mode = "503"
"""

import contextlib
import hashlib
import hmac
import json
import re
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Literal, NamedTuple, Self, TypedDict, get_args
from urllib.parse import parse_qsl, urlsplit

from tests.support.servers import HOST, PATIENCE, PusherApp, free_port


class Event(TypedDict):
    channel: str
    name: str
    data: Any
    socket_id: str | None  # the connection that is not to get it
    time: float  # of arrival, in seconds since 1970
    request: int  # the number of the request that brought it


Mode = Literal[
    "ok",
    "hang",
    "drip",
    "reset",
    "302",
    "400",
    "401",
    "403",
    "413",
    "500",
    "503",
    "200-with-error",
    "garbage",
]
Answer = tuple[int, str]


class Request(NamedTuple):
    channels: set[str]
    gone: Callable[[], bool]  # whether its client has hung up


DRIP = "a byte at a time, for as long as the client stays"

FAULTS: dict[Mode, Answer] = {
    "drip": (200, DRIP),
    "302": (302, "Over there"),
    "400": (400, "Bad request"),
    "401": (401, "Unknown auth_key"),
    "403": (403, "Over quota"),
    "413": (413, "Too large"),
    "500": (500, "Internal server error"),
    "503": (503, "Service unavailable"),
    "200-with-error": (200, '{"error": "The app does not exist.", "code": 404}'),
    "garbage": (200, "<html>Welcome to this Wi-Fi</html>"),
}


TERMINATE = "/apps/{}/users/([0-9]+)/terminate_connections"


class StubPusher(PusherApp):
    """The publishing half of hosted Channels, with its limits, and with faults on demand.

    `mode`, `delay` and `refuse()` may be changed at any moment and count from the next request on;
    leaving the mode "hang" lets go of the requests that hang. What is taken is taken when it
    arrives: a client that does not wait for a delayed answer has delivered all the same.
    """

    def __init__(self) -> None:
        self.make_keys()
        self.port = free_port()
        self.delay = 0.0  # seconds before each answer
        self.can_terminate = True  # or it does not know how to end a user's connections
        self._mode: Mode = "ok"
        self._refuses: Callable[[Event], bool] = lambda event: False
        self._refusal = 400
        self._changed = threading.Condition()  # guards all that follows
        self._server: _StubServer | None = None
        self._underway: list[Request] = []
        self.clear()

    def clear(self) -> None:
        """Forget the events and the counts so far."""
        with self._changed:
            self._events: list[Event] = []
            self._terminated: list[str] = []
            self.requests = 0
            self.max_in_flight = 0
            self.max_in_flight_by_channel: dict[str, int] = {}

    @property
    def events(self) -> list[Event]:
        """What was taken, in the order of arrival."""
        with self._changed:
            return list(self._events)

    @property
    def terminated(self) -> list[str]:
        """The users whose connections were to end, in the order of arrival."""
        with self._changed:
            return list(self._terminated)

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        assert mode in get_args(Mode), mode
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def refuse(self, predicate: Callable[[Event], bool], status: int = 400) -> None:
        """Refuse such events from now on, and the whole batch that contains one."""
        with self._changed:
            self._refuses, self._refusal = predicate, status

    def wait_for(
        self, predicate: Callable[[list[Event]], bool], timeout: float = PATIENCE
    ) -> list[Event]:
        """The events, once they are as the predicate wants them."""
        with self._changed:
            done = self._changed.wait_for(lambda: predicate(self._events), timeout)
            assert done, f"after {timeout} s there are {len(self._events)} events"
            return list(self._events)

    def resume(self) -> None:
        if self._server is None:
            self._server = _StubServer(self)

    def pause(self) -> None:
        """As a server that was killed: connections are cut, new ones are refused."""
        if self._server is None:
            return
        self._server.close()
        self._server = None

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def answer(self, path: str, body: bytes, gone: Callable[[], bool]) -> Answer | None:
        """What to answer to a request; None is to cut the connection."""
        with self._counted(Request(_channels_of(body), gone)):
            with self._changed:
                self.requests += 1
                mode = self._mode
                deadline = time.monotonic() + (30 if mode == "hang" else self.delay)
                answer = self._take(path, body) if mode == "ok" else FAULTS.get(mode)

            while not gone():
                with self._changed:
                    left = deadline - time.monotonic()
                    if left <= 0 or mode == "hang" != self._mode:
                        break
                    self._changed.wait(min(left, 0.1))

            return answer

    @contextlib.contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        with self._changed:
            # A request whose client has hung up is over, though its thread may not know it yet.
            underway = [other for other in self._underway if not other.gone()] + [request]
            self._underway = underway
            self.max_in_flight = max(self.max_in_flight, len(underway))
            for channel in request.channels:
                now = sum(channel in other.channels for other in underway)
                most = self.max_in_flight_by_channel.get(channel, 0)
                self.max_in_flight_by_channel[channel] = max(most, now)
        try:
            yield
        finally:
            with self._changed:
                self._underway = [other for other in self._underway if other is not request]

    def _take(self, path: str, body: bytes) -> Answer:
        try:
            self._authenticate(path, body)
            user = re.fullmatch(TERMINATE.format(self.app_id), urlsplit(path).path)
            if user and self.can_terminate:
                self._terminated.append(user[1])
                return 200, "{}"
            events = self._read(path, body)
        except Refused as refused:
            return refused.status, refused.message
        self._events += events
        self._changed.notify_all()
        return 200, "{}"

    def _authenticate(self, target: str, body: bytes) -> None:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        signed = signature(self.secret, "POST", url.path, query)
        if query.get("auth_key") != self.key:
            raise Refused(401, "Unknown auth_key")
        if query.get("auth_version") != "1.0":
            raise Refused(401, "auth_version should be 1.0")
        timestamp = query.get("auth_timestamp", "")
        if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 600:
            raise Refused(401, "Timestamp expired: not within 600 s of server time")
        if query.get("body_md5") != hashlib.md5(body).hexdigest():
            raise Refused(401, "Invalid body_md5")
        if not hmac.compare_digest(query.get("auth_signature", "").encode(), signed.encode()):
            raise Refused(401, "Invalid signature")

    def _read(self, target: str, body: bytes) -> list[Event]:
        path = urlsplit(target).path
        if path not in (f"/apps/{self.app_id}/events", f"/apps/{self.app_id}/batch_events"):
            raise Refused(404, "No such path or app")
        try:
            content = json.loads(body)
            posts = content["batch"] if path.endswith("/batch_events") else [content]
            events = [event for post in posts for event in self._expand(post)]
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(400, f"Not an event: {error!r}") from error
        if len(posts) > 10:
            raise Refused(400, "Batch too large (> 10)")
        for event in events:
            if self._refuses(event):
                raise Refused(self._refusal, "This event is refused")
        return events

    def _expand(self, post: dict[str, Any]) -> Iterator[Event]:
        """An event for each of the channels."""
        name, data, socket_id = post["name"], post["data"], post.get("socket_id")
        channels = post["channels"] if "channels" in post else [post["channel"]]
        if not (isinstance(name, str) and 0 < len(name) <= 200):
            raise Refused(400, "Invalid event name")
        if not isinstance(data, str):
            raise Refused(400, "The data of an event is a string")
        if len(data.encode()) > 10_240:
            raise Refused(
                413, "The data content of this event exceeds the allowed maximum (10240 bytes)"
            )
        if len(channels) > 100:
            raise Refused(400, "Too many channels (> 100)")
        if socket_id is not None and not re.fullmatch(r"\d+\.\d+", socket_id):
            raise Refused(400, f"Invalid socket id {socket_id!r}")
        for channel in channels:
            if not re.fullmatch(r"[A-Za-z0-9_\-=@,.;]{1,164}", channel):
                raise Refused(400, f"Invalid channel name {channel!r}")
            yield Event(
                channel=channel,
                name=name,
                data=_decoded(data),
                socket_id=socket_id,
                time=time.time(),
                request=self.requests,
            )


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def signature(secret: str, method: str, path: str, query: dict[str, str]) -> str:
    """The signature of a REST call, as the protocol's documentation gives it."""
    signed = sorted((name, value) for name, value in query.items() if name != "auth_signature")
    text = "\n".join([method, path, "&".join(f"{name}={value}" for name, value in signed)])
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _decoded(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


def _channels_of(body: bytes) -> set[str]:
    """The channels of a request, to count it by, before anything in it is checked."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(body)
        posts = content.get("batch", [content])
        return {c for post in posts for c in post.get("channels") or [post["channel"]]}
    return set()


class _StubServer(ThreadingMixIn, TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, stub: StubPusher) -> None:
        self.stub = stub
        self._open: set[Any] = set()
        self._closed = threading.Condition()
        super().__init__((HOST, stub.port), _StubHandler)
        self._thread = threading.Thread(target=self.serve_forever, args=[0.05], daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._closed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._closed:
            self._open.discard(request)
            self._closed.notify_all()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._closed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            assert self._closed.wait_for(lambda: not self._open, 10), "a request does not end"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves in the middle is what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _StubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise an answer may take 40 ms
    server: _StubServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.stub.answer(self.path, body, self._client_is_gone)
        if answer is None:
            self._cut()
            return
        status, text = answer
        if text == DRIP:
            self._drip()
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/")
        self.send_header("Content-Type", "application/json" if text[0] == "{" else "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        """As a page would answer that knows nothing of events."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _client_is_gone(self) -> bool:
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):  # closed on this side
            return True

    def _drip(self) -> None:
        """Begin with an answer, and never come to its end."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not self._client_is_gone():
            self.wfile.write(b".")
            time.sleep(0.02)

    def _cut(self) -> None:
        """End the connection without an answer, by a TCP reset."""
        self.close_connection = True
        no_lingering = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass
