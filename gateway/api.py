"""The Pusher HTTP API: how applications publish, and ask who is there.

Any Pusher server library speaks it. The official Python one may also call it without HTTP, through
its `backend` argument; the signatures, checks and answers are the same.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from gateway.channels import is_name, is_presence
from gateway.frames import Malformed, byte_length, event_frame, loads
from gateway.hub import Delivery, Hub
from gateway.limits import Limits
from gateway.signatures import BadSignature, Credentials

CHANNELS_PER_EVENT = 100
EVENTS_PER_BATCH = 10
EVENT_NAME = 200
BODY_BYTES = 2 * 1024 * 1024
INFO = frozenset({"user_count", "subscription_count"})

_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")

Result = TypeVar("Result")


class Failure(Exception):
    """A request that is answered with an error, and with what else the answer has."""

    def __init__(self, status: int, message: str, **rest: Any) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"error": message, **rest}


class Owner(Protocol):
    """The owner of the hub. It takes events in order, and answers questions after them."""

    def deliver(self, deliveries: list[Delivery]) -> None: ...

    def ask(self, question: Callable[[Hub], Result]) -> Result: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request with a valid signature. `name` is the channel or user in its path, if any."""

    query: dict[str, str]
    body: bytes
    name: str = ""

    def json(self) -> dict[str, Any]:
        document = loads(self.body)
        if not isinstance(document, dict):
            raise Failure(400, "The body must be a JSON object")
        return document

    def info(self) -> frozenset[str]:
        return _info(self.query.get("info"))


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a request, checked and encoded."""

    deliveries: list[Delivery]
    info: frozenset[str]


class Api:
    """Answers requests from any thread."""

    def __init__(self, credentials: Credentials, limits: Limits, owner: Owner) -> None:
        self._credentials = credentials
        self._limits = limits
        self._owner = owner
        self._routes: list[tuple[str, str, Callable[[Call], dict[str, Any]]]] = [
            ("POST", "events", self._trigger),
            ("POST", "batch_events", self._trigger_batch),
            ("GET", "channels", self._channels),
            ("GET", "channels/([^/]+)", self._channel),
            ("GET", "channels/([^/]+)/users", self._users),
            ("POST", "users/([^/]+)/terminate_connections", self._terminate),
        ]

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request. Nothing in the request makes it raise."""
        parameters = _parameters(query)
        try:
            if len(body) > BODY_BYTES:
                raise Failure(413, "The body is too large")
            self._credentials.check_request(method, path, parameters, body, time.time())
            return 200, self._route(method, path, parameters, body)
        except BadSignature as error:
            return 401, {"error": str(error)}
        except Failure as error:
            return error.status, error.answer
        except Malformed:
            return 400, {"error": "The body is not valid JSON"}

    def _route(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        root = f"/apps/{self._credentials.app_id}/"
        if path.startswith(root):
            for verb, pattern, handler in self._routes:
                if match := re.fullmatch(pattern, path.removeprefix(root)):
                    if verb != method:
                        raise Failure(405, f"Use {verb}", allow=verb)
                    return handler(Call(query, body, *match.groups()))
        raise Failure(404, "Unknown app or resource")

    # Publishing

    def _trigger(self, call: Call) -> dict[str, Any]:
        """POST /apps/ID/events: one event on up to 100 channels."""
        document = call.json()
        names = document.get("channels", [document.get("channel")])
        if not isinstance(names, list) or not 0 < len(names) <= CHANNELS_PER_EVENT:
            raise Failure(400, f"channels must be a list of 1 to {CHANNELS_PER_EVENT}")
        event = self._event(document, names)
        self._owner.deliver(event.deliveries)
        if not event.info:
            return {}
        return {"channels": self._counts(event)}

    def _trigger_batch(self, call: Call) -> dict[str, Any]:
        """POST /apps/ID/batch_events: all of up to 10 events, or none if one is bad."""
        batch = call.json().get("batch")
        if not isinstance(batch, list) or len(batch) > EVENTS_PER_BATCH:
            raise Failure(400, f"batch must be a list of at most {EVENTS_PER_BATCH} events")
        events = [self._batch_event(document) for document in batch]
        self._owner.deliver([delivery for event in events for delivery in event.deliveries])
        if not any(event.info for event in events):
            return {}
        return {"batch": [next(iter(self._counts(event).values())) for event in events]}

    def _batch_event(self, document: Any) -> Event:
        if not isinstance(document, dict):
            raise Failure(400, "Each event must be a JSON object")
        return self._event(document, [document.get("channel")])

    def _event(self, document: dict[str, Any], names: list[Any]) -> Event:
        name, data, but = (document.get(key) for key in ("name", "data", "socket_id"))
        if not isinstance(name, str) or not 0 < len(name) <= EVENT_NAME:
            raise Failure(400, f"name must be a string of 1 to {EVENT_NAME} characters")
        if not isinstance(data, str):
            raise Failure(400, "data must be a string; encode objects as JSON first")
        if byte_length(data) > self._limits.event_bytes:
            raise Failure(
                413,
                "The data content of this event exceeds the allowed maximum "
                f"({self._limits.event_bytes} bytes)",
            )
        if but is not None and not (isinstance(but, str) and _SOCKET_ID.fullmatch(but)):
            raise Failure(400, "socket_id is malformed")
        channels = [_checked_name(channel) for channel in names]
        deliveries = [Delivery(each, event_frame(name, data, each), but) for each in channels]
        info = _info(document.get("info"))
        if "user_count" in info and not all(map(is_presence, channels)):
            raise Failure(400, "user_count is for presence channels only")
        return Event(deliveries, info)

    def _counts(self, event: Event) -> dict[str, dict[str, int]]:
        names = [delivery.channel for delivery in event.deliveries]
        return self._owner.ask(
            lambda hub: {name: hub.channel_info(name, event.info) for name in names}
        )

    def _terminate(self, call: Call) -> dict[str, Any]:
        """POST /apps/ID/users/U/terminate_connections"""
        self._owner.ask(lambda hub: hub.terminate(call.name))
        return {}

    # Asking

    def _channels(self, call: Call) -> dict[str, Any]:
        """GET /apps/ID/channels: the channels that have subscribers."""
        prefix, info = call.query.get("filter_by_prefix", ""), call.info()
        if "user_count" in info and not is_presence(prefix):
            raise Failure(400, "user_count needs filter_by_prefix=presence-")
        return {"channels": self._owner.ask(lambda hub: hub.occupied(prefix, info))}

    def _channel(self, call: Call) -> dict[str, Any]:
        """GET /apps/ID/channels/C"""
        name, info = _checked_name(call.name), call.info()
        if "user_count" in info and not is_presence(name):
            raise Failure(400, "user_count is for presence channels only")
        return self._owner.ask(
            lambda hub: {"occupied": name in hub.channels, **hub.channel_info(name, info)}
        )

    def _users(self, call: Call) -> dict[str, Any]:
        """GET /apps/ID/channels/C/users"""
        name = _checked_name(call.name)
        if not is_presence(name):
            raise Failure(400, "Only presence channels have a list of users")
        return {"users": [{"id": user} for user in self._owner.ask(lambda hub: hub.members(name))]}


def _parameters(query: str) -> dict[str, str]:
    """The query's parameters. Signatures cover them unescaped, with their names in lower case."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {unquote(name).lower(): unquote(value) for name, _, value in pairs}


def _info(text: Any) -> frozenset[str]:
    asked = frozenset(text.split(",")) if isinstance(text, str) and text else frozenset()
    if not asked <= INFO:
        raise Failure(400, f"info may name only {', '.join(sorted(INFO))}")
    return asked


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise Failure(400, "Invalid channel name")
    return name
