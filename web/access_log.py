"""The access log: one line for each request, and its place in the metrics."""

import errno
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from contract.errors import first_line
from web import addresses
from web.slots import WSGI

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
#: Where a request says what the line is to tell of it.
TOLD = "chat.told"
#: Marks a request that no client has sent: gunicorn.conf.py sends itself one.
OWN = "chat.own"

log = logging.getLogger(f"app.{__name__}")
access = logging.getLogger("app.access")


class AccessLog:
    """A WSGI middleware: a request is told of when the last part of its answer is handed over, so
    before the client can see the end, or when the answer is given up.

    `count` is called with the endpoint, route, method, status and seconds of each. Lines name the
    pattern of a route and never the path or query, which may carry what people write or search for.
    """

    def __init__(self, application: WSGI, count: Callable[..., None], *, writes: bool) -> None:
        self._application = application
        self._count = count
        self._writes = writes

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = Call(environ, self.tell)

        def start(status: str, headers: list[tuple[str, str]], *given: Any) -> Any:
            call.status = int(status[:3])
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            call.length = int(lengths[0]) if lengths else None
            return start_response(status, headers, *given)

        try:
            call.parts = self._application(environ, start)
        except BaseException:
            call.close()
            raise
        return call

    def tell(self, call: "Call") -> None:
        """Count a request that has ended, and write its line."""
        if OWN in call.environ:
            return
        seconds = time.perf_counter() - call.began
        told = call.environ.get(TOLD, {})
        method = call.environ["REQUEST_METHOD"]
        line = {
            "method": method if method in METHODS else "other",
            "route": told.get("route", "unmatched"),
            "status": call.status,
        }
        self._count(told.get("endpoint", ""), **line, seconds=seconds)
        if not self._writes:
            return
        address = addresses.counted_as(call.environ.get("REMOTE_ADDR", ""))
        line |= {
            "ms": round(1000 * seconds, 1),
            "user_id": told.get("user_id"),
            "address": re.sub(r"[^!-~]", "?", address),  # a proxy may hand on whatever it was told
            "aborted": not call.is_whole,
        }
        access.info(
            "%s %s %d %.1fms user=%s address=%s%s",
            *(line["method"], line["route"], line["status"], line["ms"]),
            *("-" if line["user_id"] is None else line["user_id"], line["address"] or "-"),
            "" if call.is_whole else " aborted",
            extra={"fields": line, "request_id": told.get("request_id")},
        )


class Call:
    """The answer to one request, as the HTTP server iterates over it."""

    def __init__(self, environ: dict[str, Any], ended: Callable[["Call"], None]) -> None:
        self.environ = environ
        self.began = time.perf_counter()
        self.status = 500  # unless there is an answer
        self.length: int | None = None  # of the body, if it is known
        self.is_whole = False  # whether all of it was handed over
        self.parts: Iterable[bytes] = ()
        self._ended: Callable[[Call], None] | None = ended

    def __iter__(self) -> Iterator[bytes]:
        left = math.inf if self.length is None else self.length
        try:
            for part in self.parts:
                left -= len(part)
                if left <= 0:
                    self._end(whole=True)
                yield part
        except OSError:
            raise
        except Exception as error:
            reason = first_line(error)
            foreseen = isinstance(error, (DBAPIError, WaitedTooLong))
            log.error(
                "An answer broke off: %s",
                reason,
                exc_info=None if foreseen else error,
                extra={"request_id": self.environ.get(TOLD, {}).get("request_id")},
            )
            # HTTP servers know this one: they cut the client off, so that it sees that something is
            # missing, and do not log the same once more, with the path.
            raise ConnectionResetError(errno.ECONNRESET, "The answer broke off.") from None
        self._end(whole=True)

    def close(self) -> None:
        try:
            if close := getattr(self.parts, "close", None):
                close()
        finally:
            self._end(whole=False)

    def _end(self, *, whole: bool) -> None:
        """Tell of it, once."""
        if ended := self._ended:
            self._ended = None
            self.is_whole = whole
            ended(self)


def note_requests_of(app: Flask) -> None:
    """Have each request of the application say what its line is to tell."""
    app.after_request(_note)


def _note(response: Response) -> Response:
    told = {"user_id": g.get("user_id"), "request_id": g.get("request_id")}
    if request.url_rule:
        told |= {"route": request.url_rule.rule, "endpoint": request.endpoint}
    request.environ[TOLD] = told
    return response
