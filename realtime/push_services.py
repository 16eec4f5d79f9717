"""Push services: what a browser is told of goes to the one that its maker runs, encrypted for the
browser and signed by us (RFC 8030, 8291, 8292).

The addresses come from users, so none that is not public is ever connected to: a name is resolved
once for each call, and the connection goes to the address that was looked at.
"""

import base64
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config import Settings
from contract.errors import Invalid
from database import AnyRow

CONNECT_SECONDS, ANSWER_SECONDS = 5, 10
CALL_SECONDS = 20  # for a whole call, however slowly the answer drips
TOKEN_SECONDS = 12 * 3_600
LONGEST_WAIT = 3_600  # seconds that a service may ask for
NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of the IPv6 internet is in it
CURVE = ec.SECP256R1()
GONE = (404, 410)
BUSY = 429


class Failure(Exception):
    """A push service has not taken a push, as far as we know. `wait`: the seconds until it wants
    to be asked again, if it says so."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Gone(Failure):
    """It knows the subscription no more."""


class Outage(Failure):
    """It cannot be reached, or cannot do more now: likely no push's fault."""


class PushServices:
    """Calls push services in our name."""

    def __init__(self, private_key: str, subject: str = "", *, allow_private: bool = False) -> None:
        """`subject` is an address at which services reach us, and `allow_private` is for tests."""
        self._subject = subject
        self._allow_private = allow_private
        number = int.from_bytes(decoded(private_key))
        self._key = ec.derive_private_key(number, CURVE)
        #: What a browser asks for when it subscribes.
        self.public_key = encoded(point(self._key))

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def check(self, endpoint: str) -> None:
        """Raise Invalid unless we would call this address."""
        try:
            self._addresses(urlsplit(endpoint))
        except Failure as failure:
            raise Invalid(f"endpoint {failure}.") from None

    def push(self, call: "Call", subscription: AnyRow, payload: bytes, seconds: int) -> None:
        """Have a payload of at most 3,993 bytes told to a browser, within so many seconds if it is
        not there now. Raises Failure."""
        url = urlsplit(subscription.endpoint)
        body = http_ece.encrypt(
            payload,
            private_key=ec.generate_private_key(CURVE),
            dh=decoded(subscription.p256dh),
            auth_secret=decoded(subscription.auth),
        )
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(seconds),
            "Urgency": "high",  # somebody waits for it
            "Authorization": f"vapid t={self._token(url)}, k={self.public_key}",
        }
        status, answered = call.post(url, self._addresses(url), self._trust, body, headers)
        if status in GONE:
            raise Gone(f"it answers {status}")
        if status == BUSY or status >= 500:
            raise Outage(f"it answers {status}", _wait(answered.get("retry-after", "")))
        if not 200 <= status < 300:  # redirects are not followed: they could lead anywhere
            raise Failure(f"it answers {status}")

    def _token(self, url: SplitResult) -> str:
        """Says who we are, to this service only."""
        claims: dict[str, Any] = {
            "aud": f"{url.scheme}://{url.netloc.lower().removesuffix(':443')}",
            "exp": int(time.time()) + TOKEN_SECONDS,
        }
        if self._subject:
            claims["sub"] = self._subject
        return jwt.encode(claims, self._key, "ES256")

    def _addresses(self, url: SplitResult) -> list[str]:
        """Where the host of an endpoint is. Raises Failure if we do not go there."""
        if url.scheme != "https" and not (self._allow_private and url.scheme == "http"):
            raise Failure("must begin with https://")
        try:
            found = socket.getaddrinfo(url.hostname, _port(url), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Outage("has a host that cannot be found") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not self._allow_private and not all(map(is_public, addresses)):
            raise Outage("must be at a public address")
        return addresses


def of(settings: Settings) -> PushServices:
    """Push services, called as the settings say, with a key that is made on first need."""
    key = settings.vapid_private_key or settings.kept("vapid_private_key", made_up_key)
    return PushServices(key, settings.vapid_subject, allow_private=settings.push_allow_private)


class Call:
    """One call of a push service. Another thread can end it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._ended = False

    def post(
        self,
        url: SplitResult,
        addresses: list[str],
        trust: ssl.SSLContext,
        body: bytes,
        headers: Mapping[str, str],
    ) -> tuple[int, Mapping[str, str]]:
        """Send it to the first address that takes the connection: the status and the headers of
        the answer. Raises Outage."""
        host, port = str(url.hostname), _port(url)
        connection = HTTPConnection(host, port)  # it does not open what is open already
        try:
            self._socket = connection.sock = self._connected(addresses, port)
            self._socket.settimeout(ANSWER_SECONDS)
            if url.scheme == "https":
                connection.sock = trust.wrap_socket(self._socket, server_hostname=host)
                self._socket = connection.sock
            if self._ended:
                raise TimeoutError
            target = urlunsplit(("", "", url.path or "/", url.query, ""))
            connection.request("POST", target, body, {"Host": url.netloc, **headers})
            response = connection.getresponse()
            return response.status, {
                name.lower(): value for name, value in response.headers.items()
            }
        except (OSError, HTTPException, ValueError) as error:
            raise Outage(f"it does not answer ({type(error).__name__})") from None
        finally:
            connection.close()

    def _connected(self, addresses: list[str], port: int) -> socket.socket:
        for address in addresses[:-1]:
            with suppress(OSError):
                return socket.create_connection((address, port), CONNECT_SECONDS)
        return socket.create_connection((addresses[-1], port), CONNECT_SECONDS)

    def end(self) -> None:
        """Have the call fail now."""
        self._ended = True
        if self._socket:
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def is_public(address: str) -> bool:
    """Whether an address is one of the internet, also where it carries another one inside."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inside: Any = None
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in NAT64:
            inside = ipaddress.ip_address(int(found) & 0xFFFFFFFF)
    if inside:
        return is_public(str(inside))
    if found.version == 6 and found not in GLOBAL_UNICAST:
        return False  # Python calls ::127.0.0.1 and fec0::1 global
    return found.is_global and not found.is_multicast


def made_up_key() -> str:
    """A new private key."""
    number = ec.generate_private_key(CURVE).private_numbers().private_value
    return encoded(number.to_bytes(32))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key of a private one, as browsers write it."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encoded(value: bytes) -> str:
    """In base64url without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """The bytes of base64url, padded or not."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _wait(retry_after: str) -> float:
    """The seconds that the header Retry-After says, or 0."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(min(int(retry_after[:9]), LONGEST_WAIT))
    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(0.0, seconds), LONGEST_WAIT)
