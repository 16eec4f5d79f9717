"""What clients send: bodies and queries, as values whose members have been checked.

A member that does not fit is a 400 `invalid`, whose message names it.
"""

import re
import unicodedata
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from contract.characters import fault_of_name, folded, is_bare_at_an_end, stream_safe
from contract.names import MAX_ID
from contract.passwords import fault_of_password

MAX_BODY = 64 * 1024  # bytes
DIGITS = re.compile(r"[0-9]{1,19}")
PLAIN = "must be Unicode text without NUL or lone surrogates"
SURROGATES = re.compile("[\ud800-\udfff]")
SOCKET_ID = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
PUSHER_CHANNEL = re.compile(r"[A-Za-z0-9_\-=@,.;]{1,164}")


def fault(sentence: str) -> PydanticCustomError:
    """An error to raise in a validator; the sentence goes on after the member's name."""
    return PydanticCustomError("invalid", "{sentence}", {"sentence": sentence})


# Types of members ----------------------------------------------------------------------------


def _plain_text(value: str) -> str:
    # PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
    if "\0" in value or (not value.isascii() and SURROGATES.search(value)):
        raise fault(PLAIN)
    return value


def _not_blank(value: str) -> str:
    if value.isspace():
        raise fault("must not be only white space")
    return value


def _username(value: str) -> str:
    normal = unicodedata.normalize("NFKC", stream_safe(value))
    if not 1 <= len(normal) <= 50:
        raise fault("must have 1 to 50 characters")
    if any(map(is_bare_at_an_end, (value, normal, folded(value)))):
        raise fault("must not begin or end with white space")
    if sentence := fault_of_name(value) or fault_of_name(normal):
        raise fault(sentence)
    return value


def _display_name(value: str) -> str:
    normal = unicodedata.normalize("NFKC", stream_safe(value))
    if value and (sentence := fault_of_name(value) or fault_of_name(normal)):
        raise fault(sentence)
    return value


def _number(value: Any) -> int:
    """A JSON number or a decimal string; bool is a number to Python, but not to a client."""
    if isinstance(value, str) and DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7.0 is the same number in JSON
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise fault("must be a whole number, such as 7")
    return int(value)


def _name_or_id(value: Any) -> str | int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return _plain_text(value)
    return _number(value)


def _flag_in_query(value: Any) -> bool:
    if value not in ("true", "false"):
        raise fault("must be true or false")
    return bool(value == "true")


def _socket_id(value: str) -> str:
    if not SOCKET_ID.fullmatch(value):
        raise fault("must be two numbers with a dot between, such as 123.456")
    return value


def _pusher_channel(value: str) -> str:
    if not PUSHER_CHANNEL.fullmatch(value):
        raise fault("must be 1 to 164 letters, digits or any of _-=@,.;")
    return value


class Shown:
    """What a validator accepts, as JSON Schema for the OpenAPI document."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) | self.keywords


# Control, bidirectional and private-use characters of the basic plane.
_NO_NAME = (
    r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\ue000-\uf8ff\ufff9-\ufffb"
)
_SPACE = r"\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NUMBER = {"minimum": 0, "maximum": MAX_ID}
# Of the numbers with 19 digits some are larger than MAX_ID. What no id will ever reach is left out.
_SHOWN_DIGITS = "^([0-9]{1,18}|[1-8][0-9]{18})$"

Text = Annotated[str, AfterValidator(_plain_text), Shown(pattern=r"^[^\u0000]*$")]
Username = Annotated[
    Text,
    Field(min_length=1, max_length=50),
    AfterValidator(_username),
    Shown(
        pattern=f"^[^{_NO_NAME}{_SPACE}]([^{_NO_NAME}]*[^{_NO_NAME}{_SPACE}])?$",
        description=(
            "The same must be true after NFKC normalisation. Something in it can be seen, nothing "
            "turns the direction of writing, and its letters are of only one of Latin, Cyrillic "
            "and Greek."
        ),
    ),
]
DisplayName = Annotated[
    Text,
    Field(max_length=50),
    AfterValidator(_display_name),
    Shown(
        pattern=f"^[^{_NO_NAME}]*$",
        description=(
            "Empty to have none. Something in it can be seen, also after NFKC normalisation, "
            "nothing turns the direction of writing, and its letters are of only one of Latin, "
            "Cyrillic and Greek."
        ),
    ),
]
About = Annotated[Text, Field(max_length=200), Shown(description="Empty to say nothing.")]
Password = Annotated[
    Text,
    Field(min_length=8, max_length=128),
    Shown(
        pattern=r"^(?!([^\u0000])\1*$)[^\u0000]*$",
        description="Not the user name, not one repeated character, and not a common one.",
    ),
]
Id = Annotated[
    int,
    BeforeValidator(_number),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            **_NUMBER,
            "pattern": _SHOWN_DIGITS,
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
            "pattern": r"^(?![0-9]{19,}$)[^\u0000]*$",
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
Caption = Annotated[
    Text,
    Field(max_length=5_000),
    AfterValidator(lambda text: text and _not_blank(text)),
    Shown(description="Empty, or not only white space."),
]
Limit = Annotated[
    int,
    Field(ge=1, le=200, description="How many at most. A page without it has 50."),
    BeforeValidator(_number),
]
Flag = Annotated[bool, WithJsonSchema({"type": ["boolean", "null"]})]


# Bodies and queries --------------------------------------------------------------------------


class Parameters(BaseModel):
    """A body or a query. Unknown members are ignored, and one that is null counts as left out."""

    model_config = ConfigDict(strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, members: Any) -> Any:
        if not isinstance(members, dict):
            return members  # of a body inside a body, which is then refused
        return {name: value for name, value in members.items() if value is not None}


class Registration(Parameters):
    username: Username
    password: Password

    @model_validator(mode="after")
    def _password_is_hard_to_guess(self) -> Self:
        if sentence := fault_of_password(self.password, self.username):
            raise fault(f"password {sentence}")
        return self


class Login(Parameters):
    # Keyboards of phones add a space.
    username: Annotated[Text, AfterValidator(str.strip)]
    password: Text
    remember: Flag = False


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
    reply_to: Id | None = None

    @model_validator(mode="after")
    def _channel_is_said(self) -> Self:
        if not self.spellings:
            raise fault("channel is missing: give its name or id")
        return self

    @property
    def spellings(self) -> list[str | int]:
        """The members that name the channel, by name or by id. All must mean the same one."""
        said = (self.channel, self.channel_name, self.channel_id)
        return [each for each in said if each is not None]


class NewFile(NewMessage):
    """The text parts of a form with a file."""

    message: Caption = ""


class ChannelToSign(Parameters):
    socket_id: Annotated[str, AfterValidator(_socket_id), Shown(pattern=f"^{SOCKET_ID.pattern}$")]
    channel_name: Annotated[
        str, AfterValidator(_pusher_channel), Shown(pattern=f"^{PUSHER_CHANNEL.pattern}$")
    ]


class ConnectionToSignIn(Parameters):
    socket_id: Annotated[str, AfterValidator(_socket_id), Shown(pattern=f"^{SOCKET_ID.pattern}$")]


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
            raise fault("give at most one of before, after and around")
        return self


class Page(Parameters):
    limit: Limit | None = None
    cursor: Text | None = None


class FileUrl(Parameters):
    thumbnail: Annotated[bool, BeforeValidator(_flag_in_query), Shown(type="boolean")] = False


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


class ProfileChange(Parameters):
    username: Username | None = None
    display_name: DisplayName | None = None
    about: About | None = None


class Avatar(Parameters):
    v: Annotated[Text, Field(description="Changes with the picture.")] | None = None


class PasswordChange(Parameters):
    current_password: Text
    new_password: Password


class AccountDeletion(Parameters):
    password: Text
    erase: Flag = False
