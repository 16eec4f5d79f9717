"""Errors: every refusal and every fault of ours becomes the one error shape of the contract."""

import logging
from http import HTTPStatus

from flask import Flask, Response, current_app, g
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from werkzeug.exceptions import HTTPException

from contract.errors import ApiError, Internal, Unavailable, first_line
from migrations import DatabaseError

log = logging.getLogger(f"app.{__name__}")

#: Where the code is not the name of the status in snake_case.
CODES = {
    400: "invalid",
    413: "too_large",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}
#: Headers of a body that gives way to ours.
BODY_HEADERS = ("Content-Type", "Content-Length")
#: What Flask itself refuses, in words a person can act on.
SENTENCES = {
    404: "No such path.",
    405: "This path does not accept this method; the Allow header names those it does.",
}


def answer_errors_of(app: Flask) -> None:
    """Have the application answer each error in the one shape."""
    app.register_error_handler(ApiError, answer)
    app.register_error_handler(HTTPException, answer_flask)
    app.register_error_handler(DatabaseError, answer_wrong_database)
    for kind in (DBAPIError, WaitedTooLong):
        app.register_error_handler(kind, answer_database_trouble)
    for kind in (DataError, IntegrityError):  # what it was given does not fit
        app.register_error_handler(kind, answer_our_fault)
    app.register_error_handler(Exception, answer_our_fault)


def error_response(status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    """The one error shape, with headers of its own."""
    if status == 401:
        headers = {**headers, "WWW-Authenticate": "Bearer"}
    body = {"status": "error", "code": code, "message": message}
    response = current_app.make_response(body)
    response.status_code = status
    response.headers.update(headers)
    return response


def traceable(status: int, message: str) -> str:
    """The message of a fault names its request, by which it is found in the log."""
    return f"{message} (Request {g.request_id})" if status >= 500 else message


def answer(error: ApiError) -> Response:
    message = traceable(error.status, error.message)
    return error_response(error.status, error.code, message, error.headers)


def answer_flask(error: HTTPException) -> Response:
    """What Flask refuses; the exception's own headers (Allow) stay."""
    own = error.get_response()
    status = own.status_code
    message = error.description or HTTPStatus(status).phrase
    if message == type(error).description:
        message = SENTENCES.get(status, message)
    kept = {name: value for name, value in own.headers if name not in BODY_HEADERS}
    return error_response(status, code_of(status), traceable(status, message), kept)


def answer_database_trouble(error: Exception) -> Response:
    foreseen = isinstance(error, OperationalError | InterfaceError | WaitedTooLong)
    reason = first_line(error)
    log.error("503, because the database failed: %s", reason, exc_info=None if foreseen else error)
    return answer(Unavailable("The database does not answer. Try again later."))


def answer_wrong_database(error: DatabaseError) -> Response:
    log.error("503: %s", error.message)
    return answer(Unavailable(error.message))


def answer_our_fault(error: Exception) -> Response:
    log.error("The request failed.", exc_info=error)
    return answer(Internal("Something failed on our side."))


def code_of(status: int) -> str:
    """The stable word of a status that no error of ours carries."""
    phrase = HTTPStatus(status).phrase
    return CODES.get(status) or phrase.lower().replace(" ", "_").replace("-", "_")
