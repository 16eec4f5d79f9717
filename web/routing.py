"""Routing: how paths and requests are matched where Flask's own way does not fit."""

from typing import Any

from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from contract.names import MAX_ID
from web.responses import CompactJSON


class IdConverter(BaseConverter):
    """An id in a path: ASCII digits, where `int` would take those of every script."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        if int(value) > MAX_ID:
            raise NotFound  # ValidationError would make it a 405 where there are two methods
        return int(value)


class ChatAPI(Flask):
    """Flask with our JSON, and with routes that do not mind an offer to speak WebSocket."""

    json_provider_class = CompactJSON

    def create_url_adapter(self, request: Any) -> Any:
        """Answer a client that offers to speak WebSocket where there is none (RFC 9110, 7.8);
        Werkzeug would find no route for it."""
        adapter = super().create_url_adapter(request)
        if adapter:
            adapter.websocket = False
        return adapter
