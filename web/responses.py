"""Answers: JSON, lists with links, streams, and the headers that all of them have."""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, Response, current_app, g, request, stream_with_context
from flask.json.provider import DefaultJSONProvider
from flask_compress import Compress
from flask_cors import CORS
from werkzeug.sansio.utils import get_host, host_is_trusted

import config
from contract.answers import encode
from database import release
from models import User
from web.runtime import runtime

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Of every answer that does not set its own.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # mere data, no page
    # No answer is taken for another type than it says: a message is not a script.
    "X-Content-Type-Options": "nosniff",
    # No browser and no proxy keeps what one person was told; static files say otherwise.
    "Cache-Control": "no-store",
}
#: What is worth compressing. The bytes of people's files are never of these types.
COMPRESSED = ["text/html", "text/css", "text/javascript", "application/json", "image/svg+xml"]


class CompactJSON(DefaultJSONProvider):
    """Encodes answers as events are encoded."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return encode(obj)


def set_headers_of(app: Flask, settings: config.Settings) -> None:
    """Have all answers of the application carry the headers of the contract, CORS included."""
    app.config.update(
        COMPRESS_MIMETYPES=COMPRESSED,
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_BR_LEVEL=5,  # with 4, scripts get larger than by gzip
        COMPRESS_STREAMS=False,  # each part of a long answer goes out when it is there
        # Views compare ETags themselves. This would add a second Date to all answers.
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
    )
    Compress(app)  # first, so that it comes last: it has to see all headers
    app.before_request(name_request)
    app.before_request(allow_preflight)
    app.after_request(complete)
    CORS(
        app,
        # Never a text, which might look like a regular expression: http://[::1]:3000.
        origins="*" if settings.cors_origins == "*" else config.exactly(settings.cors_origins),
        send_wildcard=settings.cors_origins == "*",
        allow_headers=[
            "Authorization",
            "Content-Type",
            "X-Socket-ID",
            "X-Requested-With",
            "X-Request-ID",
        ],
        expose_headers=["Link", "Retry-After", "X-Request-ID"],
        max_age=86_400,
        vary_header=False,  # complete() says it always
    )


def name_request() -> None:
    """Name the request, so that its answer is found in the log; a caller's own name is kept."""
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def allow_preflight() -> Response | None:
    """Answer a preflight before anything can refuse it. Otherwise the browser would hide from its
    page why the request itself is refused: by a 404, a 429, or a 503 without the database."""
    asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if asked and request.path.startswith("/api/"):
        return Response(status=204)
    return None


def complete(response: Response) -> Response:
    """Add the headers of every answer."""
    response.headers["X-Request-ID"] = g.request_id
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Date", None)  # Werkzeug's for ETags; each server sets its own
    response.vary.add("Origin")
    if response.is_sequence and not any(response.response):
        response.headers.pop("Content-Type", None)  # Flask labels even an empty body as HTML
    return response


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


def listed(items: list[Any], **links: dict[str, Any] | None) -> Response:
    """A list with a Link header (RFC 8288): each relation by the parameters that differ."""
    response = current_app.make_response(items)
    if any(links.values()):
        asked = request.args
        kept = {name: asked[name] for name in ("q", "channel", "limit") if name in asked}
        here = address() + quote(request.root_path + request.path)
        response.headers["Link"] = ", ".join(
            f'<{here}?{urlencode({**kept, **parameters})}>; rel="{relation}"'
            for relation, parameters in links.items()
            if parameters
        )
    return response


def streamed(user: User, pages: Iterator[Sequence[Mapping[str, Any]]]) -> Response:
    """A JSON array sent page by page. The first two are read here, while an error is still a
    status; where there are more, it is a stream. Raises Busy."""
    release()  # each page has a connection of its own, and a thread is to need one
    read = [next(pages, []), next(pages, [])]

    def parts() -> Iterator[str]:
        start = "["
        for page in chain(read, pages):
            if page:
                yield start + ",".join(map(encode, page))
                start = ","
        yield "[]" if start == "[" else "]"

    response = Response(stream_with_context(parts()), mimetype="application/json")
    if read[1]:
        runtime().streams.begin(user.id, response)
    return response


def streamed_lines(user: User, pages: Iterator[Sequence[Mapping[str, Any]]]) -> Response:
    """JSON lines sent page by page. Raises Busy."""
    release()
    lines = ("".join(map(line, page)) for page in pages)
    response = Response(stream_with_context(lines), mimetype="application/x-ndjson")
    runtime().streams.begin(user.id, response)
    return response


def line(item: Mapping[str, Any]) -> str:
    """JSON on one line also for readers who know more ends of lines than JSON has to escape."""
    text = encode(item)
    for end in "\x85\u2028\u2029":
        text = text.replace(end, f"\\u{ord(end):04x}")
    return f"{text}\n"
