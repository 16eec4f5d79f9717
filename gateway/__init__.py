"""An embedded Pusher server: a WebSocket server inside a WSGI application's own process.

It speaks the Pusher Channels protocol 7 to browsers and the Pusher HTTP API to applications. It
knows nothing of users or chats: the application says with signatures who may do what.

    gateway = Gateway("1", "key", "secret")
    gateway.open()

    @app.get("/app/<key>", websocket=True)  # for handshakes
    @app.get("/app/<key>")  # for people who look at the address in a browser
    def websocket(key):
        answer = gateway.upgrade(request.environ, key)
        return jsonify(answer.body), answer.status, answer.headers
"""

from gateway.api import BODY_BYTES
from gateway.handshake import Answer
from gateway.limits import Limits
from gateway.server import SUBSCRIPTION_ENDED, Gateway, GatewayClosed

__all__ = [
    "BODY_BYTES",
    "SUBSCRIPTION_ENDED",
    "Answer",
    "Gateway",
    "GatewayClosed",
    "Limits",
]
