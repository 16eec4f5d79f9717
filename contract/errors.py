"""Why a request is refused: one base class, which carries the status and the code of the answer."""

from typing import ClassVar


class ApiError(Exception):
    """A refusal. Its message is a sentence that a person can act on.

    `code` is the stable word for programs; the headers go with the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, **headers: str) -> None:
        super().__init__(message)
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Invalid(ApiError):
    """The request is malformed, or a member is missing, wrong or out of range."""

    status, code = 400, "invalid"


class Unauthorized(ApiError):
    """The token is missing or not valid (any more), or the login is wrong."""

    status, code = 401, "unauthorized"


class TokenExpired(Unauthorized):
    """The token was valid, but has expired."""

    code = "token_expired"


class Forbidden(ApiError):
    """The caller is known, but may not do this."""

    status, code = 403, "forbidden"


class Blocked(Forbidden):
    """One of the two people has blocked the other."""

    code = "blocked"

    def __init__(self) -> None:
        super().__init__("One of you has blocked the other.")


class NotFound(ApiError):
    """There is no such thing, or it belongs to other people: both look the same."""

    status, code = 404, "not_found"


class Taken(ApiError):
    """The username is in use."""

    status, code = 409, "taken"


class Conflict(ApiError):
    """The request does not fit what is stored."""

    status, code = 409, "conflict"


class PreconditionFailed(ApiError):
    """The thing is not as the request wants it to be."""

    status, code = 412, "precondition_failed"


class TooLarge(ApiError):
    """The body is larger than the endpoint takes."""

    status, code = 413, "too_large"


class UnsupportedMediaType(ApiError):
    """The Content-Type of the body is not one that the endpoint takes."""

    status, code = 415, "unsupported_media_type"


class RateLimited(ApiError):
    """Too many requests; `Retry-After` says how many seconds to wait."""

    status, code = 429, "rate_limited"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many attempts. Try again in {seconds} seconds.", Retry_After=str(seconds)
        )


class Internal(ApiError):
    """It is our fault. The log has more, under the id of the request."""

    status, code = 500, "internal"


class Busy(ApiError):
    """So much waits to be done that more is not taken on; `Retry-After` says how many seconds to
    wait."""

    status, code = 503, "busy"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(f"{message} Try again in {seconds} seconds.", Retry_After=str(seconds))


class Unavailable(ApiError):
    """The database does not answer, or cannot be used as it is."""

    status, code = 503, "unavailable"


def first_line(error: object) -> str:
    """What to log of an error of the database: its other lines are the same each time."""
    return str(error).partition("\n")[0]
