"""What clients send: bodies and queries parsed into values, or refused with a sentence.

A refusal is a 400 `invalid` whose message names the member.
"""

import json
import math
import re
import time
import unicodedata
from contextlib import suppress
from typing import Annotated, Any, Self, TypeVar, cast
from urllib.parse import unquote_to_bytes

from flask import Request, current_app, g, request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json
from werkzeug.exceptions import (
    BadRequest,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.sansio.utils import get_host, host_is_trusted

MAX_BODY = 64 * 1024  # bytes
MAX_ID = 2**63 - 1
#: After a body that took so long to arrive the caller's session is asked for again.
SLOW_SECONDS = 1
DIGITS = re.compile(r"[0-9]{1,19}")
HUGE = re.compile(rb"[0-9](?:[eE]|[0-9]{299})")  # in any body with a number too large for a float
PLAIN = "must be Unicode text without NUL or lone surrogates"
SURROGATES = re.compile("[\ud800-\udfff]")
SOCKET_ID = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
PUSHER_CHANNEL = re.compile(r"[A-Za-z0-9_\-=@,.;]{1,164}")

Parsed = TypeVar("Parsed", bound="Parameters")


def refusal(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("invalid", "{sentence}", {"sentence": sentence})


# Types of members ----------------------------------------------------------------------------


def _plain_text(value: str) -> str:
    # PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
    if "\0" in value or (not value.isascii() and SURROGATES.search(value)):
        raise refusal(PLAIN)
    return value


def _not_blank(value: str) -> str:
    if value.isspace():
        raise refusal("must not be only white space")
    return value


def _username(value: str) -> str:
    normal = unicodedata.normalize("NFKC", value)
    if not 1 <= len(normal) <= 50:
        raise refusal("must have 1 to 50 characters")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise refusal("must not have control characters")
    if any(form != form.strip() for form in (value, normal)):
        raise refusal("must not begin or end with white space")
    return value


def _number(value: Any) -> int:
    """A JSON number or a decimal string; bool is a number to Python, but not to a client."""
    if isinstance(value, str) and DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7.0 is the same number in JSON
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise refusal("must be a whole number, such as 7")
    return int(value)


def _name_or_id(value: Any) -> str | int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return _plain_text(value)
    return _number(value)


def _socket_id(value: str) -> str:
    if not SOCKET_ID.fullmatch(value):
        raise refusal("must be two numbers with a dot between, such as 123.456")
    return value


def _pusher_channel(value: str) -> str:
    if not PUSHER_CHANNEL.fullmatch(value):
        raise refusal("must be 1 to 164 letters, digits or any of _-=@,.;")
    return value


class Shown:
    """What a validator takes, said in JSON Schema for the OpenAPI document."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) | self.keywords


_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NUMBER = {"minimum": 0, "maximum": MAX_ID}

Text = Annotated[str, AfterValidator(_plain_text), Shown(pattern=r"^[^\u0000]*$")]
Username = Annotated[
    Text,
    Field(min_length=1, max_length=50),
    AfterValidator(_username),
    Shown(
        pattern=f"^[^{_CONTROL}{_SPACE}]([^{_CONTROL}]*[^{_CONTROL}{_SPACE}])?$",
        description="All of it holds after NFKC normalisation too.",
    ),
]
Password = Annotated[Text, Field(min_length=8, max_length=128)]
Id = Annotated[
    int,
    BeforeValidator(_number),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            **_NUMBER,
            "pattern": "^[0-9]{1,19}$",
            "description": "A number, or the same as a decimal string.",
        }
    ),
]
IdInQuery = Annotated[int, BeforeValidator(_number), Shown(**_NUMBER)]
NameOrId = Annotated[
    str | int,
    BeforeValidator(_name_or_id),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            **_NUMBER,
            "pattern": r"^[^\u0000]*$",
            "description": "A channel's name or id; the id also as a decimal string.",
        }
    ),
]
MessageText = Annotated[
    Text,
    Field(min_length=1, max_length=5_000),
    AfterValidator(_not_blank),
    Shown(
        pattern=rf"^[^\u0000]*[^\u0000{_SPACE}][^\u0000]*$",
        description="Not only white space.",
    ),
]
Limit = Annotated[
    int,
    Field(ge=1, le=200, description="How many at most; 50 where a page is asked without it."),
    BeforeValidator(_number),
]
Flag = Annotated[bool, WithJsonSchema({"type": ["boolean", "null"]})]


# Bodies and queries --------------------------------------------------------------------------


class Parameters(BaseModel):
    """Members that are not named are ignored; one that is null counts as left out."""

    model_config = ConfigDict(strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, members: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in members.items() if value is not None}


class Registration(Parameters):
    username: Username
    password: Password


class Login(Parameters):
    username: Text
    password: Text


class ChatRequest(Parameters):
    from_user: Id | None = None
    to_user: Id


class NewMessage(Parameters):
    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {
                    "channel": {"type": "null"},
                    "channel_name": {"type": "null"},
                    "channel_id": {"type": "null"},
                }
            }
        }
    )

    from_user: Id | None = None
    to_user: Id | None = None
    message: MessageText
    channel: NameOrId | None = None
    channel_name: NameOrId | None = None
    channel_id: NameOrId | None = None
    client_message_id: Annotated[Text, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _channel_is_said(self) -> Self:
        if not self.spellings:
            raise refusal("channel is missing: give its name or id")
        return self

    @property
    def spellings(self) -> list[str | int]:
        """Whatever names the channel, by name or by id; all must mean the same one."""
        said = (self.channel, self.channel_name, self.channel_id)
        return [each for each in said if each is not None]


class ChannelToSign(Parameters):
    socket_id: Annotated[str, AfterValidator(_socket_id), Shown(pattern=f"^{SOCKET_ID.pattern}$")]
    channel_name: Annotated[
        str, AfterValidator(_pusher_channel), Shown(pattern=f"^{PUSHER_CHANNEL.pattern}$")
    ]


class UserList(Parameters):
    q: Text | None = None
    after: IdInQuery | None = None
    limit: Limit | None = None


class History(Parameters):
    before: IdInQuery | None = None
    after: IdInQuery | None = None
    around: IdInQuery | None = None
    limit: Limit | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if len(self.model_fields_set & {"before", "after", "around"}) > 1:
            raise refusal("give at most one of before, after and around")
        return self


class Page(Parameters):
    limit: Limit | None = None
    cursor: Text | None = None


class ReadMark(Parameters):
    message_id: Id | None = None


class Edit(Parameters):
    message: MessageText


class Sync(Parameters):
    since: Text | None = None
    limit: Limit | None = None


class Search(Parameters):
    q: Annotated[Text, Field(max_length=200)]
    channel: NameOrId | None = None
    before: IdInQuery | None = None
    limit: Limit | None = None


class Logout(Parameters):
    all: Flag = False


class PasswordChange(Parameters):
    current_password: Text
    new_password: Password


class AccountDeletion(Parameters):
    password: Text
    erase: Flag = False


# Parsing -------------------------------------------------------------------------------------


def body(model: type[Parsed], *, form: bool = False, optional: bool = False) -> Parsed:
    """The request's body as `model`: a JSON object; where allowed, a form or nothing at all.

    Raises BadRequest, UnsupportedMediaType or RequestEntityTooLarge.
    """
    # Through the proxy each look at it would raise and forget an error.
    sent: Request = cast(Any, request)._get_current_object()
    if form and sent.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        received_body(form=True)
        return parse(model, sent.form.to_dict())
    is_json = sent.is_json
    received = received_body() if is_json or optional else b""
    announced = sent.content_length or "HTTP_TRANSFER_ENCODING" in sent.environ
    if not received and (optional or not (is_json or announced)):
        return parse(model, {})
    if not is_json:
        accepted = "JSON or a form" if form else "JSON"
        raise UnsupportedMediaType(f"Send {accepted}: Content-Type: application/json.")
    try:
        members = from_json(received, allow_inf_nan=False)
    except ValueError as error:
        if "hex escape" in str(error):
            _blame_lone_surrogates(model, received)
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(members, dict):
        raise BadRequest('The body must be a JSON object, such as {"name": "value"}.')
    if HUGE.search(received) and not _finite(members):
        raise BadRequest("The body has a number that is too large.")
    return parse(model, members)


def query(model: type[Parsed]) -> Parsed:
    """The query string as `model`. Raises BadRequest."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:  # %FF would be read as the three characters
        raise BadRequest("The query is not valid UTF-8.") from None
    return parse(model, request.args.to_dict())


def parse(model: type[Parsed], members: dict[str, Any]) -> Parsed:
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise BadRequest(_sentence(error)) from None


def name_or_id(segment: str) -> str | int:
    """A channel as a path names it."""
    return int(segment) if DIGITS.fullmatch(segment) and int(segment) <= MAX_ID else segment


def socket_id() -> str | None:
    """The connection that X-Socket-ID asks to leave out of the request's events; a malformed
    one is ignored."""
    given = request.environ.get("HTTP_X_SOCKET_ID", "").strip(" \t")  # flask run leaves it
    return given if SOCKET_ID.fullmatch(given) else None


def address() -> str:
    """Where the client found this server, such as http://localhost:5000; without a host where
    even the server does not know one.

    Not request.root_url, which decodes international names (a header is ASCII) and fails on what
    only looks like one, and has no host where a name has an underscore, as containers' have.
    """
    given = request.headers.get("Host", "")
    if not host_is_trusted(given.replace("_", "-")):
        given = get_host(request.scheme, None, request.server)
    return f"{request.scheme}://{request.host or given}"


def received_body(most: int = MAX_BODY, *, form: bool = False) -> bytes:
    """The request's body, whole, of at most so many bytes; for a form, what Flask makes it of.

    If it was long in coming, the session may have ended since, and the caller is asked for again.
    Raises BadRequest, RequestEntityTooLarge or Unauthorized.
    """
    sent: Request = cast(Any, request)._get_current_object()
    length = sent.content_length
    _refuse_over(most, length or 0)
    began = time.monotonic()
    try:
        with current_app.extensions["places"].left:
            if form or length is None:
                sent.max_content_length = most + 1  # to see that there is more than allowed
                received = sent.get_data()
            else:
                received = _read(sent, length)
    except Exception as error:
        # A broken chunk, a connection that ended early: each server has its own word for it.
        raise BadRequest("The body did not arrive as its headers said.") from error
    if len(received) < (length or 0):
        raise BadRequest("The body did not arrive as its headers said.")
    _refuse_over(most, len(received))
    if time.monotonic() - began > SLOW_SECONDS and "ask_again" in g:
        g.ask_again()
    return received


def _refuse_over(most: int, size: int) -> None:
    if size > most:
        raise RequestEntityTooLarge(f"The body is larger than {most // 1024} KiB.")


def _read(sent: Request, length: int) -> bytes:
    """A body by its length, as the server hands it over: get_data() would ask for as much as may
    come, twice, through a stream that counts along."""
    received = b""
    while len(received) < length:
        part: bytes = sent.environ["wsgi.input"].read(length - len(received))
        if not part:
            break
        received += part
    return received


def _blame_lone_surrogates(model: type[Parsed], received: bytes) -> None:
    """Raise BadRequest that names the member whose text has them, if it is one of the model's:
    Python's own parser takes what the other one refuses."""
    with suppress(ValueError, RecursionError):
        members = json.loads(received.decode(), parse_constant=int)  # which NaN is not
        if isinstance(members, dict):
            parse(model, members)


def _finite(value: Any) -> bool:
    """Whether no number in it overflowed (1e999); the parser bounds the depth."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_finite, value.values()))
        case list():
            return all(map(_finite, value))
    return True


_SENTENCES: dict[str, str] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": PLAIN,
    "too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
}


def _sentence(error: ValidationError) -> str:
    """The first fault in words; pydantic's own name its classes."""
    fault = error.errors(include_url=False, include_input=False)[0]
    context = fault.get("ctx", {})
    words = _SENTENCES.get(fault["type"])
    said = words.format(**context) if words else fault["msg"]
    if context.get("min_length") == 1:
        said = "must not be empty"
    member = str(fault["loc"][0]) if fault["loc"] else ""
    return f"{member} {said}.".strip()
