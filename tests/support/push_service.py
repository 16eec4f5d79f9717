"""A push service that checks who pushes, decrypts as a browser would, and misbehaves on demand.

with PushService() as service:
    browser = service.browser()
    service.statuses[browser.path] = 410
"""

import json
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.servers import HOST, PATIENCE, free_port

CURVE = ec.SECP256R1()


def encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(eq=False)
class Browser:
    """One that is subscribed. Only it can read what is pushed to it."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(CURVE))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def path(self) -> str:
        return "/" + self.endpoint.partition("://")[2].partition("/")[2]

    @property
    def subscription(self) -> dict[str, Any]:
        """As the browser's toJSON() gives it."""
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": encoded(point), "auth": encoded(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def read(self, body: bytes) -> dict[str, Any]:
        plain = http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth)
        told: dict[str, Any] = json.loads(plain)
        return told | {"bytes": len(plain)}


class PushService:
    """`status` is what it answers, and `statuses` by path; "hang" and "drip" never end."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status: int | str = 201
        self.statuses: dict[str, int | str] = {}
        self.headers: dict[str, str] = {}
        self._browsers: dict[str, Browser] = {}
        self._changed = threading.Condition()
        self._told: dict[str, list[dict[str, Any]]] = {}
        self.calls = 0
        self.signatures: list[dict[str, Any]] = []
        self._server: ThreadingHTTPServer | None = None
        self.closing = threading.Event()

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}"

    def browser(self) -> Browser:
        """A new one, which has subscribed here."""
        browser = Browser(f"{self.base}/send/{secrets.token_hex(8)}?v=2")
        self._browsers[browser.path] = browser
        return browser

    def told(self, browser: Browser) -> list[dict[str, Any]]:
        """What was taken for a browser, in the order of arrival."""
        with self._changed:
            return list(self._told.get(browser.path, []))

    def texts(self, browser: Browser) -> list[str]:
        return [each["message"] for each in self.told(browser)]

    def wait_for_calls(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls >= count, PATIENCE), self.calls

    def wait_for(self, browser: Browser, *texts: str) -> None:
        """Until the browser was told of these, at least."""

        def has_all() -> bool:
            told = self._told.get(browser.path, [])
            return set(texts) <= {each["message"] for each in told}

        with self._changed:
            assert self._changed.wait_for(has_all, PATIENCE), self._told

    def take(self, path: str, headers: Any, body: bytes) -> int | str:
        """What to answer to a push."""
        scheme, _, rest = headers["Authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, decoded(parts["k"]))
        claims = jwt.decode(parts["t"], key, algorithms=["ES256"], audience=self.base)
        assert scheme == "vapid"
        assert claims["exp"] <= time.time() + 86_400
        assert headers["Content-Encoding"] == "aes128gcm"
        assert 0 < int(headers["TTL"]) <= 86_400
        assert headers["Host"] == f"{HOST}:{self.port}"
        status = self.statuses.get(path, self.status)
        with self._changed:
            self.calls += 1
            self.signatures.append(claims | {"key": parts["k"]})
            if status in (200, 201, 202):
                told = self._browsers[path].read(body)
                self._told.setdefault(path, []).append(told)
            self._changed.notify_all()
        return status

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = service.take(self.path, self.headers, body)
                while status in ("hang", "drip") and not service.closing.wait(0.1):
                    if status == "drip":
                        self.wfile.write(b"H")  # of HTTP/1.1, which never comes
                if isinstance(status, int):
                    self.send_response(status)
                    for name, value in service.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a client that has hung up

        self._server = Server((HOST, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
