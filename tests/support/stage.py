"""A Pusher server on a stage, the embedded one or soketi, for the same play on both."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pusher.errors import PusherBadRequest, PusherBadStatus, PusherError
from websockets.exceptions import ConnectionClosed

from tests.support.gateway_client import (
    APP_ID,
    KEY,
    SECRET,
    Client,
    Server,
    make_gateway,
    serving,
)
from tests.support.servers import Soketi


class Stage:
    """A server with somebody who publishes, and people who come and go."""

    def __init__(self, port: int) -> None:
        self.server = Server(port, make_gateway())
        self.publisher = self.server.publisher()

    def join(self, **options: Any) -> Client:
        return self.server.join(**options)

    def told(self, client: Client) -> list[Any]:
        """What the client has been told so far, or why it was closed. A ping's answer ends it."""
        heard: list[Any] = []
        try:
            client.say("pusher:ping", {})
            while (message := client.hear())["event"] != "pusher:pong":
                heard.append(plain(message))
        except (ConnectionClosed, TimeoutError):
            heard.append(closed(client))
        return heard

    def publishes(self, *arguments: Any, **options: Any) -> str:
        return outcome(lambda: self.publisher.trigger(*arguments, **options))


def plain(message: dict[str, Any]) -> str:
    """The message in a word or two; texts and random numbers may differ."""
    data, event = message.get("data"), message["event"].partition(":")[2] or message["event"]
    code = data.get("code", data.get("status")) if isinstance(data, dict) else None
    words = [event, *([str(code)] if code else [])]
    if not message["event"].startswith("pusher"):
        words.append(json.dumps(data))
    if "user_id" in message:
        words.append(f"by {message['user_id']}")
    return " ".join(words)


def closed(client: Client) -> str:
    return f"closed {client.socket.close_code}"


def outcome(act: Callable[[], Any]) -> str:
    """What a publisher is told."""
    try:
        answer = act()
    except PusherBadRequest:
        return "400"
    except PusherBadStatus as error:
        return str(error)[:3]
    except (PusherError, ValueError) as error:
        return type(error).__name__
    return f"200 with error {answer['code']}" if "error" in answer else "200"


@contextmanager
def the_embedded_server() -> Iterator[Stage]:
    with serving(make_gateway()) as server:
        yield Stage(server.port)


@contextmanager
def soketi() -> Iterator[Stage]:
    server = Soketi()
    server.app_id, server.key, server.secret = APP_ID, KEY, SECRET
    with server:
        stage = Stage(server.port)
        with stage.server.people:
            yield stage
