"""What goes over the wire: Pusher messages as JSON, and JSON as WebSocket text frames."""

import json
from typing import Any

from websockets.frames import Frame, Opcode

PING = Frame(Opcode.PING, b"").serialize(mask=False)


class Malformed(ValueError):
    """The text is not JSON, or not JSON that can be passed on."""


def dumps(value: Any) -> str:
    """JSON without blanks. Raises Malformed for what JSON cannot say, such as infinity."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        raise Malformed("Not representable as JSON") from error


def loads(text: str | bytes) -> Any:
    """Parse JSON from a stranger. Raises nothing but Malformed.

    Python raises RecursionError for a deep nest and ValueError for a number of 4,301 digits. It
    accepts NaN and Infinity, which browsers do not; dumps() refuses to pass them on.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("Not valid JSON") from error


def text_frame(text: str) -> bytes:
    """One unmasked text frame. Servers do not mask (RFC 6455, 5.1), so the same bytes serve every
    subscriber of an event and are made once."""
    return Frame(Opcode.TEXT, _encode(text)).serialize(mask=False)


def event_frame(event: str, data: Any, channel: str | None = None, **more: str) -> bytes:
    """The frame of `{"event", "channel", "data", ...}`."""
    message: dict[str, Any] = {"event": event}
    if channel is not None:
        message["channel"] = channel
    message["data"] = data
    message.update(more)
    return text_frame(dumps(message))


def error_frame(message: str, code: int | None = None) -> bytes:
    """Pusher protocol, "pusher:error". A code of None is a warning that changes nothing."""
    return event_frame("pusher:error", {"message": message, "code": code})


def established_frame(socket_id: str, activity_timeout: int) -> bytes:
    """Pusher protocol, "pusher:connection_established": the first frame; its data is a string."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
    return event_frame("pusher:connection_established", dumps(data))


def byte_length(text: str) -> int:
    """Bytes of the text in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _encode(text: str) -> bytes:
    # UTF-8 cannot carry a lone surrogate, but JSON can name it. backslashreplace turns it into
    # \udXXX. That is its JSON escape, because surrogates occur inside JSON strings only.
    return text.encode("utf-8", "backslashreplace")
