"""Channels: their names, who is subscribed, and who is present."""

import re
from typing import TYPE_CHECKING, Any

from gateway.frames import dumps

if TYPE_CHECKING:
    from gateway.connections import Connection

USER_PREFIX = "#server-to-user-"

_NAME = re.compile(r"[A-Za-z0-9_\-=@,.;]{1,164}")
_USER_NAME = re.compile(re.escape(USER_PREFIX) + r"[A-Za-z0-9_\-=@,.;]{1,128}")
_CACHED = re.compile(r"(private-(encrypted-)?|presence-)?cache-.*")

# Always fullmatch: `$` and match() would let a newline or a suffix through.


def is_name(name: object) -> bool:
    """Whether a channel may have this name. Server-to-user channels are included."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name) or _USER_NAME.fullmatch(name))


def is_presence(name: str) -> bool:
    return name.startswith("presence-")


def needs_signature(name: str) -> bool:
    return name.startswith(("private-", "presence-"))


def takes_client_events(name: str) -> bool:
    """Whether clients may send events on it: on private and presence channels.

    Not on encrypted ones: the server could forward plain text only, and members cannot tell that
    from a forgery.
    """
    return needs_signature(name) and not name.startswith("private-encrypted-")


def is_cached(name: str) -> bool:
    """Whether it is a cache channel, which sends its last event to each new subscriber."""
    return bool(_CACHED.fullmatch(name))


class Channel:
    """The connections that get what is published under one name."""

    __slots__ = ("name", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: set[Connection] = set()

    def send(self, frame: bytes, but: "Connection | None" = None) -> None:
        for connection in self.subscribers:
            if connection is not but:
                connection.send(frame)


class Member:
    """One user of a presence channel, no matter how many tabs are open.

    The JSON is made once, because each newcomer is sent all of it.
    """

    __slots__ = ("connections", "info", "key")

    def __init__(self, user_id: str, user_info: Any) -> None:
        self.key = dumps(user_id)
        self.info = dumps(user_info)
        self.connections = 0


class PresenceChannel(Channel):
    """A channel whose members know of each other (Pusher protocol, "Presence channels")."""

    __slots__ = ("members",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.members: dict[str, Member] = {}

    def join(self, user_id: str, user_info: Any) -> bool:
        """Count one more connection of this user. Returns True for the user's first."""
        member = self.members.get(user_id)
        if first := member is None:
            member = self.members[user_id] = Member(user_id, user_info)
        member.connections += 1
        return first

    def part(self, user_id: str) -> bool:
        """Count one connection less. Returns True if that was the user's last."""
        member = self.members[user_id]
        member.connections -= 1
        if last := member.connections == 0:
            del self.members[user_id]
        return last

    def snapshot(self) -> str:
        """The JSON of `{"presence": {"count", "ids", "hash"}}`, which each newcomer gets."""
        members = self.members.values()
        ids = ",".join(member.key for member in members)
        hashed = ",".join(f"{member.key}:{member.info}" for member in members)
        return f'{{"presence":{{"count":{len(self.members)},"ids":[{ids}],"hash":{{{hashed}}}}}}}'
