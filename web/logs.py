"""Logs: how every line looks that is logged in this process, ours or a library's."""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from flask import g, has_app_context
from flask.logging import default_handler

from contract.errors import first_line

#: For how long a traceback that was logged is not repeated.
AGAIN_SECONDS = 600
#: Tracebacks that are remembered.
MOST_REMEMBERED = 1_000


def set_up(access_log: str) -> None:
    """Have everything that is logged go to the standard error output, each line with the id of the
    request that it is of; as JSON if the access log is to be JSON.

    Calling it again changes only the format.
    """
    lines = JSONLines() if access_log == "json" else Lines()
    default_handler.setFormatter(lines)
    if not default_handler.filters:
        default_handler.addFilter(name_request)
    logging.getLogger().addHandler(default_handler)
    logging.getLogger("app.access").setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("werkzeug").addFilter(is_no_request_line)


def name_request(record: logging.LogRecord) -> bool:
    """Note in a record which request it is of."""
    if not hasattr(record, "request_id"):
        record.request_id = g.get("request_id") if has_app_context() else None
    return True


def is_no_request_line(record: logging.LogRecord) -> bool:
    """Whether it is none of the lines that the development server writes for each request: those
    have the whole address, with what people search for."""
    return '"%s" %s %s' not in str(record.msg)


class Lines(logging.Formatter):
    """A line of text, in UTC. A traceback is logged once; then its last line has to do."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s")
        self._logged: dict[Any, float] = {}

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002
        when = datetime.fromtimestamp(record.created, UTC)
        return f"{when:%Y-%m-%dT%H:%M:%S.%f}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.request = getattr(record, "request_id", None) or "-"
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        kind, error, trace = ei
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = (kind, trace.tb_frame.f_code, trace.tb_lineno) if trace else (kind, None, 0)
        now = time.monotonic()
        if now - self._logged.get(where, -AGAIN_SECONDS) < AGAIN_SECONDS:
            reason = first_line(error)
            return f"{kind.__name__}: {reason} (its traceback was logged before)"
        if len(self._logged) >= MOST_REMEMBERED:
            self._logged.clear()
        self._logged[where] = now
        return super().formatException(ei)


class JSONLines(Lines):
    """The same as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", None),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
