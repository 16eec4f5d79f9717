"""The chat page: one document, its static files and worker, and pusher-js, if npm installed it.

It is a front end like any other: it uses only the public API.
"""

import json
import mimetypes
import re

from flask import Blueprint, Response, render_template, request, url_for
from flask import current_app as app
from flask import send_from_directory as send
from flask.sansio.blueprints import BlueprintSetupState

from config import ROOT
from contract.errors import NotFound
from realtime import servers
from web import assets
from web.responses import address
from web.runtime import runtime

PUSHER_JS = ROOT / "node_modules/pusher-js/dist/web/pusher.min.js"
PUSHER = "vendor/pusher.js"
TEMPLATE = ROOT / "templates/chat.html"

#: By ending. Browsers run and show nothing that is called otherwise.
JAVASCRIPT = "text/javascript"
MEDIA_TYPES = {
    ".js": JAVASCRIPT,
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
A_YEAR = 31_536_000

chat_page = Blueprint("page", __name__)


@chat_page.record_once
def name_media_types(_: BlueprintSetupState) -> None:
    """Set what the static files are, where the system may say otherwise.

    On Windows any program can have written into the registry that .js is plain text.
    """
    for ending, media_type in MEDIA_TYPES.items():
        mimetypes.add_type(media_type, ending)


@chat_page.get("/")
def chat() -> Response:
    """The page itself."""
    given, found = runtime(), loaded()

    def asset(name: str) -> str:
        return address_of(found, name)

    page = app.make_response(
        render_template(
            "chat.html",
            asset=asset,
            version=found.version,
            pusher=asset(PUSHER) if PUSHER in found.files else None,
            server=servers.front_end(
                given.settings, given.server.key, address(), request.script_root
            ),
            file_max_bytes=given.settings.file_max_bytes,
        )
    )
    return revalidated(page)


@chat_page.get(f"/static/<string(length={assets.VERSION_LENGTH}):version>/<path:name>")
def asset(version: str, name: str) -> Response:
    """A file that the page loads, to be kept by browsers for as long as they like.

    At an older version's address the file is as it now is, and is not kept: while a new version
    comes in, a page of one process may ask another one.
    """
    found = loaded()
    if name not in found.files:
        raise NotFound("There is no such file.")
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    answer = revalidated(Response(found.files[name], mimetype=media_type))
    if version == found.version:
        answer.headers["Cache-Control"] = f"public, max-age={A_YEAR}, immutable"
    return answer


def revalidated(answer: Response) -> Response:
    """The same answer, but that browsers ask each time whether it is still the same."""
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag(weak=True)  # the same, compressed or not
    answer.make_conditional(request)
    return answer


def address_of(found: assets.Assets, name: str) -> str:
    return url_for("page.asset", version=found.version, name=name)


def loaded() -> assets.Assets:
    """What the page loads, and itself: one that a browser has kept needs the files of its time."""
    return assets.current({PUSHER: PUSHER_JS, "chat.html": TEMPLATE})


@chat_page.get("/vendor/pusher.js")
def pusher_js() -> Response:
    """The client library of Pusher, as npm installed it."""
    if not PUSHER_JS.exists():
        raise NotFound("pusher-js is not installed: run `npm ci`.")
    return send(PUSHER_JS.parent, PUSHER_JS.name)


@chat_page.get("/worker.js")
def worker() -> Response:
    """The service worker, which may serve only what is below its own address.

    It begins with what it keeps, so a new version of the page comes with a new worker. Its parts
    come as one script, because each would be a request.
    """
    found = loaded()
    names = dict.fromkeys([*found.needed, "icon.svg", *({PUSHER} & found.files.keys())])
    kept = [address_of(found, name) for name in names]
    head = f"const VERSION = {json.dumps(found.version)};\nconst FILES = {json.dumps(kept)};\n"
    parts = [head.encode(), found.files["worker.js"], found.files["opening.js"]]
    return revalidated(Response(b"\n".join(parts), mimetype=JAVASCRIPT))


@chat_page.after_request
def restrict(response: Response) -> Response:
    """Keep the page and its worker from running a script, or talking to a host, that is not ours.

    With Trusted Types the browser refuses a text wherever it would read it as markup, or as the
    address of a script. The only one that it takes is that of the worker (registration.js).
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",  # blob: for pictures that are not sent yet
        "connect-src": f"'self' {_pusher_hosts()}",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "worker-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "worker",
    }
    response.headers["Content-Security-Policy"] = "; ".join(map(" ".join, policy.items()))
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _pusher_hosts() -> str:
    """The hosts that pusher-js connects to, given /api/config, as sources of a policy."""
    server = servers.front_end(runtime().settings, "", address(), "")
    host, port = server["wsHost"], server["wsPort"]
    if host is None:
        return f"wss://ws-{server['cluster']}.pusher.com"
    if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
        return "ws: wss:"  # an IPv6 address, which a policy cannot name
    return f"ws://{host}:{port} wss://{host}:{port}"
