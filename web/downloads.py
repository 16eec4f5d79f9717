"""Downloads: the bytes of files, whole or in ranges, and addresses that need no token."""

import time
import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote

import jwt
from flask import Response, request, url_for
from werkzeug.http import dump_options_header
from werkzeug.wsgi import wrap_file

from chat import files
from chat.pictures import THUMBNAIL_TYPE
from contract import answers
from contract.errors import Forbidden, NotFound, PreconditionFailed
from database import release
from models import File, User
from web.runtime import runtime

#: How long an address that needs no token holds.
URL_SECONDS = 600
AUDIENCE = "file"
ALGORITHM = "HS256"
#: In the extended value of a parameter (RFC 8187, attr-char), beside letters and digits.
NEEDS_NO_QUOTING = "!#$&+-.^_`|~"
#: Characters that would show the end of a name elsewhere: "gpj.exe" as "exe.jpg".
REVERSING = dict.fromkeys(
    (0x061C, *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)
HEADERS = {
    # Whatever a file is, nothing in it runs.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=86400, immutable",
    "X-Content-Type-Options": "nosniff",
}


def download(file: File, *, thumbnail: bool = False) -> Response:
    """The bytes of a file or of its thumbnail, as far as the request wants them (RFC 9110, 14).

    Raises NotFound, PreconditionFailed and Unavailable, and RequestedRangeNotSatisfiable of
    Werkzeug's.
    """
    is_image = file.width is not None
    if thumbnail:
        check_thumbnail(file)
    response = _stored(
        file.key + files.SMALL if thumbnail else file.key,
        THUMBNAIL_TYPE if thumbnail else file.media_type,
        file.sha256 + (files.SMALL if thumbnail else ""),
    )
    response.headers["Content-Disposition"] = _disposition(
        "inline" if is_image else "attachment", file.name
    )
    return response


def avatar(user: User) -> Response:
    """The bytes of somebody's picture, in the same way, and with the same errors."""
    if user.avatar is None:
        raise NotFound("This user has no picture.")
    return _stored(user.avatar, THUMBNAIL_TYPE, user.avatar[:8])


def _stored(key: str, media_type: str, etag: str) -> Response:
    """Bytes of the storage, as far as the request wants them. Raises Unavailable where they are
    there and cannot be read."""
    if request.if_match and etag not in request.if_match:
        raise PreconditionFailed("The bytes are others than If-Match names.")
    release()  # a bucket may take its time
    with runtime().slots.released():
        stored = runtime().storage.open(key)
    size = stored.seek(0, 2)
    stored.seek(0)
    response = Response(
        wrap_file(request.environ, stored),
        content_type=media_type,
        direct_passthrough=True,
    )
    response.headers.update(HEADERS)
    response.content_length = size
    response.set_etag(etag)
    response.accept_ranges = "bytes"
    # Werkzeug would answer 412 with all the bytes, also to the * that each of them is.
    conditions = {**request.environ, "HTTP_IF_MATCH": ""}
    is_part = asks_for_part(size, etag)
    try:
        response.make_conditional(conditions, accept_ranges=is_part, complete_length=size)
        if request.method == "GET" and response.status_code in (200, 206):
            # The first of them, while an error is still a status.
            with runtime().slots.released():
                stored.seek(response.content_range.start or 0)
                stored.peek(1)
    except Exception:
        stored.close()
        raise
    response.headers["Accept-Ranges"] = "bytes"
    return response


def check_thumbnail(file: File) -> None:
    """Raise NotFound for a file that is no image."""
    if file.width is None:
        raise NotFound("This file has no thumbnail.")


def asks_for_part(size: int, etag: str) -> bool:
    """Whether the request asks for one part in bytes. Any other Range is ignored (RFC 9110, 14.2),
    several parts and a longer end than there is among them, where Werkzeug would refuse it. So is
    that of a client who has these bytes (13.2.2), or is not sure of what it has (13.1.5)."""
    asked = request.range if request.method == "GET" else None
    is_unsure = request.headers.get("If-Range", "").startswith("W/")
    if is_unsure or request.if_none_match.contains_weak(etag):
        return False
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return False
    return bool(asked.ranges[0][0] >= -size)


def _disposition(kind: str, name: str) -> str:
    """RFC 6266: the name in ASCII for old readers, and as it is (RFC 8187)."""
    name = name.translate(REVERSING)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    options = {"filename": plain.strip() or "file"}
    if plain != name:
        options["filename*"] = f"UTF-8''{quote(name, safe=NEEDS_NO_QUOTING)}"
    return dump_options_header(kind, options)


def signed(file: File, *, thumbnail: bool) -> answers.SignedUrl:
    """An address of a file that needs no token, for URL_SECONDS or as long as its message is
    there. Raises NotFound for the thumbnail of what has none."""
    if thumbnail:
        check_thumbnail(file)
    expires = int(time.time()) + URL_SECONDS
    claims = {"aud": AUDIENCE, "file": file.id, "thumbnail": thumbnail, "exp": expires}
    ticket = jwt.encode(claims, runtime().settings.jwt_key, ALGORITHM)
    moment = datetime.fromtimestamp(expires, UTC)
    return {
        "url": url_for("api.signed_file", ticket=ticket),
        "expires_at": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
    }


def of_ticket(ticket: str) -> tuple[File, bool]:
    """The file that a signed address is of, and whether its thumbnail is meant.

    Raises Forbidden and NotFound.
    """
    try:
        claims = jwt.decode(
            ticket,
            runtime().settings.jwt_key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["exp", "aud"]},
        )
    except jwt.InvalidTokenError:
        raise Forbidden("This address does not hold any more. Ask for a new one.") from None
    return files.with_id(claims["file"]), bool(claims["thumbnail"])
