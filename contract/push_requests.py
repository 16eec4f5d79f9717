"""What clients send of a browser that is to be pushed to: its PushSubscription (W3C Push API)."""

import re
from base64 import urlsafe_b64decode
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from pydantic import AfterValidator, Field

from contract.requests import Parameters, Shown, fault

# No user, no fragment, and nothing that an HTTP request could not carry.
ENDPOINT = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?/[!-\"$-~]*"
)


def _endpoint(value: str) -> str:
    sentence = "must be the address of a push service, such as https://push.example/abc"
    try:
        fits = ENDPOINT.fullmatch(value) and urlsplit(value).port != 0
    except ValueError:  # a port beyond 65535, or brackets around what is no address
        fits = False
    if not fits:
        raise fault(sentence)
    return value


def _p256dh(value: str) -> str:
    try:
        point = urlsafe_b64decode(f"{value.rstrip('=')}=")
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        raise fault("must be a public key of the curve P-256") from None
    return value


Endpoint = Annotated[
    str,
    Field(max_length=2_000),
    AfterValidator(_endpoint),
    Shown(pattern=f"^{ENDPOINT.pattern}$", description="https, and at a public address."),
]


class PushKeys(Parameters):
    p256dh: Annotated[
        str,
        Field(pattern=r"^B[A-Za-z0-9_-]{86}=?$", description="A point of P-256, uncompressed."),
        AfterValidator(_p256dh),
    ]
    auth: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{21}[AQgw](==)?$")]


class PushEndpoint(Parameters):
    endpoint: Endpoint


class PushSubscription(PushEndpoint):
    """A browser's own, as its toJSON() gives it."""

    expirationTime: Annotated[float, Field(ge=0)] | None = None
    keys: PushKeys
