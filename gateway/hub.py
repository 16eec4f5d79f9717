"""Who is in which channel, and what happens to each message: the Pusher protocol itself.

The loop's thread is the only one that calls the hub, so nothing here is locked, and a join with its
snapshot and its announcement is one step. `receive` reads as the table of contents.
"""

import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.channels import (
    USER_PREFIX,
    Channel,
    PresenceChannel,
    is_cached,
    is_name,
    is_presence,
    needs_signature,
    takes_client_events,
)
from gateway.connections import NEVER, Bucket, Connection
from gateway.frames import (
    Malformed,
    byte_length,
    dumps,
    error_frame,
    established_frame,
    event_frame,
    loads,
)
from gateway.limits import Limits
from gateway.rights import Rights
from gateway.signatures import BadSignature, Credentials

CACHE_SECONDS = 30 * 60
CACHED_CHANNELS = 1_000

SENDS_PER_FRAME = 20
"""A frame to so many connections costs its sender one frame more, and so does a list of so many
members. A crowded room is thus slowed down before one client keeps everyone busy."""

_CLIENT_EVENT = re.compile(r"client-.{1,193}", re.DOTALL)
_PONG = event_frame("pusher:pong", "{}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on one channel, encoded; `but` is the socket id that is left out."""

    channel: str
    frame: bytes
    but: str | None = None


class Refused(Exception):
    """A subscription that is not granted: the text, type and status the client is told."""

    def __init__(self, message: str, kind: str = "AuthError", status: int = 401) -> None:
        super().__init__(message)
        self.kind, self.status = kind, status


class Hub:
    """Every connection and every channel of one gateway."""

    def __init__(self, credentials: Credentials, limits: Limits) -> None:
        self.connections: dict[str, Connection] = {}
        self.channels: dict[str, Channel] = {}
        self.addresses: Counter[str] = Counter()
        self.subscriptions = 0
        self.rights = Rights(limits)
        self._cache: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._credentials = credentials
        self._limits = limits

    # Coming and going

    def welcome(self, connection: Connection) -> None:
        """Let a connection in, or tell it that there is no room (4100: it will try again)."""
        address = connection.address  # empty: not counted
        here = self.addresses[address] if address else 0
        if len(self.connections) >= self._limits.connections:
            connection.close(4100, "Over capacity: too many connections")
        elif 0 < self._limits.connections_per_address <= here:
            connection.close(4100, "Over capacity: too many connections from this address")
        else:
            self.connections[connection.socket_id] = connection
            self.addresses[address] += 1
            connection.send(established_frame(connection.socket_id, self._limits.activity_timeout))

    def leave(self, connection: Connection) -> None:
        """Take a connection out of everything."""
        for name in list(connection.subscriptions):
            self._unsubscribe(connection, name)
        self.rights.leave(connection)
        if self.connections.pop(connection.socket_id, None) is not None:
            self.addresses[connection.address] -= 1
            if not self.addresses[connection.address]:
                del self.addresses[connection.address]

    # What clients say

    def receive(self, connection: Connection, text: str, now: float) -> None:
        """Do what one message of a client says. The answer is a frame or nothing."""
        if connection.socket_id not in self.connections:
            return  # not let in, or closed already: nobody would ever take it out of a channel
        try:
            message = loads(text)
        except Malformed:
            message = None
        if not isinstance(message, dict) or not isinstance(event := message.get("event"), str):
            connection.send(error_frame("Not a JSON object with an event"))
            return
        data = message.get("data")
        if event == "pusher:ping":
            connection.send(_PONG)
        elif event == "pusher:subscribe":
            self._on_subscribe(connection, _object(data))
        elif event == "pusher:unsubscribe":
            self._on_unsubscribe(connection, _object(data))
        elif event == "pusher:signin":
            self._on_signin(connection, _object(data))
        elif event.startswith("client-"):
            self._on_client_event(connection, event, message.get("channel"), data, now)
        # All other names are dropped in silence. Otherwise any participant could forge what only
        # the application may say, such as new_message.

    def _on_subscribe(self, connection: Connection, data: dict[str, Any]) -> None:
        name = data.get("channel")
        if not isinstance(name, str) or not is_name(name):
            connection.send(error_frame("Invalid channel name"))
            return
        try:
            answer = self._subscribe(connection, name, data)
        except (Refused, BadSignature) as refusal:
            connection.send(_subscription_error(name, refusal))
            return
        connection.send(event_frame("pusher_internal:subscription_succeeded", answer, name))
        if is_cached(name):
            connection.send(self._cached(name) or event_frame("pusher:cache_miss", "{}", name))

    def _subscribe(self, connection: Connection, name: str, data: dict[str, Any]) -> str:
        """Check and join; return the data of subscription_succeeded."""
        channel_data = data.get("channel_data")
        if channel_data is not None and not isinstance(channel_data, str):
            raise Refused("channel_data must be a string")
        if name.startswith(USER_PREFIX) and name.removeprefix(USER_PREFIX) != connection.user_id:
            raise Refused("Sign in as this user to subscribe to the user's own channel")
        if needs_signature(name):
            self._credentials.check_subscription(
                data.get("auth"), connection.socket_id, name, channel_data
            )
        elif not (self._limits.public_channels or name.startswith(USER_PREFIX)):
            raise Refused("Public channels are not allowed here", status=403)
        connection.sign_by = NEVER
        if is_presence(name):
            return self._subscribe_presence(connection, name, channel_data)
        if name not in connection.subscriptions:
            self._join(connection, name, Channel(name))
        return "{}"

    def _subscribe_presence(
        self, connection: Connection, name: str, channel_data: str | None
    ) -> str:
        user_id, user_info = _member(channel_data)
        channel = self._presence(name) or PresenceChannel(name)
        if name not in connection.subscriptions:
            limit = self._limits.presence_members
            if 0 < limit <= len(channel.members) and user_id not in channel.members:
                raise Refused("Over capacity: too many members", "LimitReached", 4100)
            self._join(connection, name, channel, user_id)
            if channel.join(user_id, user_info):
                member = dumps({"user_id": user_id, "user_info": user_info})
                frame = event_frame("pusher_internal:member_added", member, name)
                self._tell_others(connection, channel, frame)
        connection.allowance.charge(len(channel.members) / SENDS_PER_FRAME)
        return channel.snapshot()

    def _join(
        self, connection: Connection, name: str, new: Channel, user_id: str | None = None
    ) -> None:
        if len(connection.subscriptions) >= self._limits.subscriptions:
            raise Refused("Over capacity: too many subscriptions", "LimitReached", 4100)
        self.channels.setdefault(name, new).subscribers.add(connection)
        connection.subscriptions[name] = user_id
        self.subscriptions += 1

    def _on_unsubscribe(self, connection: Connection, data: dict[str, Any]) -> None:
        name = data.get("channel")
        if isinstance(name, str) and name in connection.subscriptions:
            self._unsubscribe(connection, name)

    def _unsubscribe(self, connection: Connection, name: str) -> None:
        user_id = connection.subscriptions.pop(name)
        channel = self.channels[name]
        channel.subscribers.discard(connection)
        self.subscriptions -= 1
        if not channel.subscribers:
            del self.channels[name]
        elif isinstance(channel, PresenceChannel) and user_id is not None and channel.part(user_id):
            member = dumps({"user_id": user_id})
            frame = event_frame("pusher_internal:member_removed", member, name)
            self._tell_others(connection, channel, frame)

    def _on_signin(self, connection: Connection, data: dict[str, Any]) -> None:
        """Pusher protocol, "User authentication". A refusal ends the connection with 4009."""
        user_data = data.get("user_data")
        try:
            if not isinstance(user_data, str):
                raise BadSignature("user_data must be a string")
            self._credentials.check_signin(data.get("auth"), connection.socket_id, user_data)
            user_id = _signin_id(user_data)
            if connection.user_id not in (None, user_id):
                raise BadSignature("Already signed in as someone else")
        except (Refused, BadSignature) as refusal:
            connection.close(4009, str(refusal))
            return
        connection.user_id = user_id
        connection.sign_by = NEVER
        connection.send(event_frame("pusher:signin_success", {"user_data": user_data}))

    def _on_client_event(
        self, connection: Connection, event: str, name: object, data: Any, now: float
    ) -> None:
        """Pusher protocol, "Client events": to everyone in the channel but the sender."""
        if not isinstance(name, str) or name not in connection.subscriptions:
            shown = name[:164] if isinstance(name, str) else ""
            connection.send(
                error_frame(
                    f"Cannot broadcast client event (connection not subscribed to channel {shown})"
                )
            )
            return
        if not takes_client_events(name):
            connection.send(error_frame("Client events need a private or presence channel"))
            return
        if name in self._limits.quiet_channels:
            connection.send(error_frame("Client events are not allowed on this channel"))
            return
        if not self._may_send_client_event(connection, now):
            connection.send(error_frame("Client events are sent too fast; this was dropped", 4301))
            return
        user_id = connection.subscriptions[name]
        more = {} if user_id is None else {"user_id": user_id}
        try:
            size = byte_length(data if isinstance(data, str) else dumps(data))
            frame = event_frame(event, data, name, **more)
        except Malformed:
            connection.send(error_frame("The data of this event is not valid JSON"))
            return
        if size > self._limits.event_bytes or not _CLIENT_EVENT.fullmatch(event):
            connection.send(error_frame("Client event dropped: its name or its data is too long"))
            return
        self._tell_others(connection, self.channels[name], frame)

    def _tell_others(self, connection: Connection, channel: Channel, frame: bytes) -> None:
        channel.send(frame, but=connection)
        connection.allowance.charge(len(channel.subscribers) / SENDS_PER_FRAME)

    def _may_send_client_event(self, connection: Connection, now: float) -> bool:
        rate = self._limits.client_events_per_second
        if connection.client_events is None:
            connection.client_events = Bucket(rate, rate, now)
        return connection.client_events.try_take(now)

    # What the application says

    def deliver(self, deliveries: Iterable[Delivery]) -> None:
        """Send each event to its channel's subscribers, in this order."""
        for delivery in deliveries:
            if is_cached(delivery.channel):
                self._remember(delivery)
            if channel := self.channels.get(delivery.channel):
                but = self.connections.get(delivery.but) if delivery.but else None
                channel.send(delivery.frame, but)

    def give(self, socket_id: str, right: str, until: float) -> None:
        if connection := self.connections.get(socket_id):
            self.rights.give(connection, right, until)

    def close(self, socket_ids: Iterable[str], code: int, reason: str) -> None:
        for socket_id in socket_ids:
            if connection := self.connections.get(socket_id):
                connection.close(code, reason)

    def close_subscribers(self, name: str, code: int, reason: str) -> None:
        if channel := self.channels.get(name):
            for connection in list(channel.subscribers):
                connection.close(code, reason)

    def terminate(self, user_id: str) -> None:
        """Close every connection of a user: those that signed in as the user, and those that are
        in a presence channel as the user."""
        for connection in list(self.connections.values()):
            if connection.user_id == user_id or user_id in connection.subscriptions.values():
                connection.close(4009, "Connection terminated by the application")

    def _remember(self, delivery: Delivery) -> None:
        self._cache[delivery.channel] = (time.monotonic(), delivery.frame)
        self._cache.move_to_end(delivery.channel)
        if len(self._cache) > CACHED_CHANNELS:
            self._cache.popitem(last=False)

    def _cached(self, name: str) -> bytes | None:
        when, frame = self._cache.get(name, (0.0, None))
        if frame is not None and time.monotonic() - when > CACHE_SECONDS:
            del self._cache[name]
            return None
        return frame

    # What the application asks

    def occupied(self, prefix: str, info: frozenset[str]) -> dict[str, dict[str, int]]:
        return {
            name: self.channel_info(name, info) for name in self.channels if name.startswith(prefix)
        }

    def channel_info(self, name: str, info: frozenset[str]) -> dict[str, int]:
        """The counts that `info` asks for, of an occupied channel or an empty one."""
        channel = self.channels.get(name)
        counts = {}
        if "user_count" in info:
            counts["user_count"] = len(self.members(name))
        if "subscription_count" in info:
            counts["subscription_count"] = len(channel.subscribers) if channel else 0
        return counts

    def members(self, name: str) -> list[str]:
        channel = self._presence(name)
        return list(channel.members) if channel else []

    def _presence(self, name: str) -> PresenceChannel | None:
        channel = self.channels.get(name)
        return channel if isinstance(channel, PresenceChannel) else None


def _object(value: Any) -> dict[str, Any]:
    """An object, or the JSON text of one; anything else counts as an empty one."""
    if isinstance(value, str):
        try:
            value = loads(value)
        except Malformed:
            return {}
    return value if isinstance(value, dict) else {}


def _member(channel_data: str | None) -> tuple[str, Any]:
    """The id and info of signed channel_data. 10 and "10" are one user: hash keys are strings."""
    data = _object(channel_data)
    user_id = data.get("user_id")
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 0 < len(user_id) <= 128:
        raise Refused("channel_data must be a JSON object with a user_id of 1 to 128 characters")
    try:
        dumps(data.get("user_info"))
    except Malformed as error:
        raise Refused("user_info is not valid JSON") from error
    return user_id, data.get("user_info")


def _signin_id(user_data: str) -> str:
    user_id = _object(user_data).get("id")
    if not isinstance(user_id, str) or not 0 < len(user_id) <= 128:
        raise Refused("user_data must be a JSON object with an id, a non-empty string")
    return user_id


def _subscription_error(name: str, refusal: Exception) -> bytes:
    kind = refusal.kind if isinstance(refusal, Refused) else "AuthError"
    status = refusal.status if isinstance(refusal, Refused) else 401
    data = {"type": kind, "error": str(refusal), "status": status}
    return event_frame("pusher:subscription_error", data, name)
