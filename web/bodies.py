"""Bodies and queries: received, and parsed into the values of contract/requests.py."""

import json
import math
import re
import sys
from codecs import BOM_UTF8
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from flask import g, request
from pydantic import ValidationError
from pydantic_core import from_json
from werkzeug.exceptions import RequestEntityTooLarge

from contract.emoji import is_emoji
from contract.errors import Invalid, TooLarge, UnsupportedMediaType
from contract.faults import sentence
from contract.names import MAX_ID
from contract.requests import DIGITS, MAX_BODY, SOCKET_ID, Parameters
from web.runtime import runtime

HUGE = re.compile(rb"[0-9](?:[eE]|[0-9]{299})")  # in any body with a number too large for a float

Parsed = TypeVar("Parsed", bound=Parameters)

LONGEST_USER_AGENT = 200  # characters


def receive(most: int = MAX_BODY) -> bytes:
    """The request's body, whole, of at most so many bytes; it is read once.

    A client that is slow to send holds no work slot. Raises TooLarge or Invalid.
    """
    if "body" in g:
        return bytes(g.body)
    length = request.content_length
    if length is None and "HTTP_TRANSFER_ENCODING" not in request.environ:
        return b""
    too_large = TooLarge(f"The body is larger than {most // 1024} KiB.")
    if (length or 0) > most:
        raise too_large
    request.max_content_length = most + 1  # to see that there is more than allowed
    try:
        with runtime().slots.released():
            received = request.get_data()
    except RequestEntityTooLarge:
        raise too_large from None
    except Exception as error:
        # A broken chunk, a connection that ended early: each server has its own word for it.
        raise Invalid("The body did not arrive as its headers said.") from error
    if len(received) < (length or 0):
        raise Invalid("The body did not arrive as its headers said.")
    if len(received) > most:
        raise too_large
    g.body = received
    return received


def parse(model: type[Parsed], *, form: bool = False, optional: bool = False) -> Parsed:
    """The request's body as `model`: a JSON object; where allowed, a form or nothing at all.

    Raises Invalid, UnsupportedMediaType or TooLarge.
    """
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    is_form = request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")
    if form and is_form:
        receive()
        return validated(model, request.form.to_dict())
    received = receive() if request.is_json or optional else b""
    announced = request.content_length or "HTTP_TRANSFER_ENCODING" in request.environ
    if not received and (optional or not (request.is_json or announced)):
        return validated(model, {})
    if not request.is_json:
        accepted = "JSON or a form" if form else "JSON"
        raise UnsupportedMediaType(f"Send {accepted}: Content-Type: application/json.")
    return validated(model, _json_object(model, received))


def query(model: type[Parsed]) -> Parsed:
    """The query string as `model`. Raises Invalid."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:  # %FF would be read as the three characters
        raise Invalid("The query is not valid UTF-8.") from None
    return validated(model, request.args.to_dict())


def name_or_id(segment: str) -> str | int:
    """A channel as a path names it."""
    return int(segment) if DIGITS.fullmatch(segment) and int(segment) <= MAX_ID else segment


def emoji(segment: str) -> str:
    """An emoji as a path has it. Raises Invalid."""
    if not is_emoji(segment):
        raise Invalid("emoji must be one emoji, percent-encoded in the path.")
    return segment


def socket_id() -> str | None:
    """The connection that X-Socket-ID asks to leave out of the request's events; a malformed one
    is ignored."""
    given = request.headers.get("X-Socket-ID", "").strip(" \t")  # flask run leaves it
    return given if SOCKET_ID.fullmatch(given) else None


def user_agent() -> str | None:
    """How the client calls itself, as far as it can be shown and not at length."""
    given = request.headers.get("User-Agent", "")
    return "".join(filter(str.isprintable, given))[:LONGEST_USER_AGENT].strip() or None


def validated(model: type[Parsed], members: dict[str, Any]) -> Parsed:
    """Members as `model`. Raises Invalid."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise Invalid(sentence(error)) from None


def _json_object(model: type[Parsed], received: bytes) -> dict[str, Any]:
    received = received.removeprefix(BOM_UTF8)  # some editors and .NET write it (RFC 8259, 8.1)
    try:
        members = from_json(received, allow_inf_nan=False)
    except ValueError as error:
        if "hex escape" in str(error):
            _blame_lone_surrogates(model, received)
        raise Invalid(f"The body is not valid JSON: {error}.") from None
    if not isinstance(members, dict):
        raise Invalid('The body must be a JSON object, such as {"name": "value"}.')
    if HUGE.search(received) and not _finite(members):
        validated(model, members)  # which names the member, if it is one of the model's
        raise Invalid("The body has a number that is too large.")
    return members


def _blame_lone_surrogates(model: type[Parsed], received: bytes) -> None:
    """Raise Invalid that names the member whose text has them, if it is one of the model's:
    Python's own parser takes what the other one refuses."""
    with suppress(ValueError, RecursionError):
        members = json.loads(received.decode(), parse_constant=int)  # which NaN is not
        if isinstance(members, dict):
            validated(model, members)


def _finite(value: Any) -> bool:
    """Whether no number in it is beyond what a float holds: 1e999, or the same in digits. The
    parser bounds the depth."""
    match value:
        case float():
            return math.isfinite(value)
        case int():
            return abs(value) <= sys.float_info.max
        case dict():
            return all(map(_finite, value.values()))
        case list():
            return all(map(_finite, value))
    return True
