"""The prefix: the path below which everything is served, such as /chat, if it is not the root."""

import re
from collections.abc import Iterable
from typing import Any

import config
from web.slots import WSGI

PREFIX = re.compile(config.PREFIX[0])


class Prefix:
    """A WSGI middleware: requests have the prefix in SCRIPT_NAME, where Flask looks for it.

    `own` is that of the settings. One that the server or a proxy has said comes before it, and is
    taken for none if it is no path: `//evil.example` would have the page load another's scripts.
    """

    def __init__(self, application: WSGI, own: str) -> None:
        self._application = application
        self._own = own

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = environ.get("SCRIPT_NAME", "").rstrip("/")
        if said:
            environ["SCRIPT_NAME"] = said if PREFIX.fullmatch(said) else ""
        elif self._own:
            environ["SCRIPT_NAME"] = self._own
            environ["PATH_INFO"] = without(self._own, environ["PATH_INFO"])
        return self._application(environ, start_response)


def without(prefix: str, path: str) -> str:
    """What the path is below the prefix. A proxy may have taken the prefix away already."""
    return path.removeprefix(prefix) if f"{path}/".startswith(f"{prefix}/") else path
