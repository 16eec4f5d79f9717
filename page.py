"""The chat page: one document, its static files, and pusher-js where npm has put it.

It is a front end like any other: it knows nothing but the public API.
"""

import re

from flask import Blueprint, Response, abort, g, render_template
from flask import send_from_directory as send

import realtime
import schemas
from config import ROOT, settings

PUSHER_JS = ROOT / "node_modules/pusher-js/dist/web/pusher.min.js"

chat_page = Blueprint("page", __name__)


@chat_page.get("/")
def chat() -> str:
    return render_template("chat.html", live=PUSHER_JS.exists())


@chat_page.get("/vendor/pusher.js")
def pusher_js() -> Response:
    if not PUSHER_JS.exists():
        abort(404, "pusher-js is not installed: run `npm ci`.")
    return send(PUSHER_JS.parent, PUSHER_JS.name)


@chat_page.after_request
def restrict(response: Response) -> Response:
    """What the page cannot do: run a script, or talk to a host, that is not ours.

    Trusted Types have the browser refuse any text where markup would be read.
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {_pusher_hosts()}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    g.headers["Content-Security-Policy"] = "; ".join(map(" ".join, policy.items()))
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _pusher_hosts() -> str:
    """Where pusher-js connects to with what /api/config says, as sources of a policy."""
    server = realtime.front_end(settings(), "", schemas.address())
    host, port = server["wsHost"], server["wsPort"]
    if host is None:
        return f"wss://ws-{server['cluster']}.pusher.com"
    if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
        return "ws: wss:"  # an IPv6 address, which a policy cannot name
    return f"ws://{host}:{port} wss://{host}:{port}"
