"""The signatures of the Pusher protocol, made and checked with the application's secret.

The application signs. The gateway only checks, and knows no users. Every comparison takes the
same time wherever the first difference is, also that of the key. No answer shows an expected
signature.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

REQUEST_AGE = 600
"""Seconds that a signed HTTP API request stays valid (Pusher HTTP API, "auth_timestamp")."""

_TIMESTAMP = re.compile(r"[0-9]{1,15}")


class BadSignature(Exception):
    """The signature is missing, malformed or not ours. The message may be shown to the sender."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One Pusher application: what its clients know (the key) and what its servers know."""

    app_id: str
    key: str
    secret: str = field(repr=False)

    def sign(self, text: str) -> str:
        """HMAC-SHA256 of the text as hexadecimal digits."""
        return hmac.new(_bytes(self.secret), _bytes(text), hashlib.sha256).hexdigest()

    def is_key(self, key: str) -> bool:
        return _equal(key, self.key)

    def check_subscription(
        self, auth: object, socket_id: str, channel: str, channel_data: str | None
    ) -> None:
        """Pusher protocol, "Authenticating": `<key>:<signature of socket_id:channel[:data]>`."""
        if not isinstance(auth, str) or not auth:
            raise BadSignature(f"Auth info required to subscribe to {channel}")
        key, colon, signature = auth.partition(":")
        if not colon:
            raise BadSignature(
                f"Auth value for subscription to {channel} is invalid: "
                "should be of format 'key:signature'"
            )
        if not self.is_key(key):
            raise BadSignature("Invalid key in subscription auth data")
        signed = f"{socket_id}:{channel}"
        if channel_data is not None:
            signed += f":{channel_data}"
        if not _equal(signature, self.sign(signed)):
            raise BadSignature(
                f"Invalid signature: Expected HMAC SHA256 hex digest of {signed[:300]}, "
                f"but got {signature[:100]}"
            )

    def check_signin(self, auth: object, socket_id: str, user_data: str) -> None:
        """Pusher protocol, "pusher:signin": signs `<socket_id>::user::<user_data>`."""
        expected = f"{self.key}:{self.sign(f'{socket_id}::user::{user_data}')}"
        if not isinstance(auth, str) or not _equal(auth, expected):
            raise BadSignature("Invalid signature in signin auth data")

    def check_request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, now: float
    ) -> None:
        """Pusher HTTP API, "Authentication": one signature covers key, time and body."""
        signed_query = "&".join(
            f"{name}={value}" for name, value in sorted(query.items()) if name != "auth_signature"
        )
        expected = self.sign(f"{method}\n{path}\n{signed_query}")
        if not self.is_key(query.get("auth_key", "")):
            raise BadSignature("Unknown auth_key")
        if query.get("auth_version") != "1.0":
            raise BadSignature("auth_version must be 1.0")
        if not _equal(query.get("auth_signature", ""), expected):
            raise BadSignature("Invalid signature")
        timestamp = query.get("auth_timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > REQUEST_AGE:
            raise BadSignature(
                f"auth_timestamp must be within {REQUEST_AGE} s of the server's clock"
            )
        if (body or "body_md5" in query) and not _equal(query.get("body_md5", ""), _md5(body)):
            raise BadSignature("body_md5 does not match the body")


def _equal(given: str, expected: str) -> bool:
    # As bytes, because compare_digest raises TypeError for a str that is not ASCII.
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _bytes(text: str) -> bytes:
    # JSON may smuggle in lone surrogates, which plain UTF-8 refuses to encode.
    return text.encode("utf-8", "surrogatepass")


def _md5(body: bytes) -> str:
    # MD5 is what the protocol asks for; the HMAC around it carries the security.
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
