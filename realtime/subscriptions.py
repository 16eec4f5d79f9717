"""Subscriptions: who may listen to what, and whose connections close when that right ends."""

import threading
from collections.abc import Iterable

from sqlalchemy import bindparam, not_, select

from chat import blocks, channels
from contract.errors import Forbidden
from contract.names import PRESENCE_CHANNEL, notification_channel, pair_of
from database import db
from gateway import SUBSCRIPTION_ENDED, Gateway
from models import Channel, User


def check(user: User, channel_name: str) -> None:
    """Raise Forbidden unless the user may listen to the channel."""
    if not _may_listen(user, channel_name):
        raise Forbidden("This channel is not yours to subscribe to.")


_OPEN_TO = select(Channel.id).where(
    Channel.low_id == bindparam("low"),
    Channel.high_id == bindparam("high"),
    channels.MINE,
    not_(blocks.between(Channel.low_id, Channel.high_id)),
)


def _may_listen(user: User, channel_name: str) -> bool:
    if channel_name in (notification_channel(user.id), PRESENCE_CHANNEL):
        return True
    pair = pair_of(channel_name)
    if pair is None:
        return False
    values = {"low": pair[0], "high": pair[1], "user": user.id}
    return db.session.scalar(_OPEN_TO, values) is not None


class Subscriptions:
    """Which connections have signatures by a right that can end, as far as this process signed
    them: a login (its jti), or to hear a chat. With an embedded server they are closed then.

    Bounded: of very many rights the oldest are forgotten, and of one right's connections the
    oldest is closed.
    """

    RIGHTS = 20_000
    SOCKETS = 200

    def __init__(self, gateway: Gateway | None) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._sockets: dict[str, dict[str, None]] = {}  # by right; a set that knows its oldest

    def remember(
        self, user: User, jti: str, socket_id: str, channel_name: str | None = None
    ) -> None:
        """Remember which connection gets a signature, for a channel or to sign in. Of too many the
        oldest is closed (4200), and comes back to be remembered anew."""
        rights = [jti]
        if channel_name and pair_of(channel_name):
            rights.append(_right_to_hear(channel_name, user.id))
        for right in rights:
            oldest = self._add(right, socket_id)
            if self._gateway and oldest:
                self._gateway.close_connections(
                    [oldest], 4200, "Too many connections of one login or chat"
                )

    def renew(self, jti: str, new_jti: str) -> None:
        """Let a login's connections belong to the one that follows it."""
        with self._lock:
            if sockets := self._sockets.pop(jti, None):
                self._sockets[new_jti] = sockets

    def end_logins(self, jtis: Iterable[str]) -> None:
        """Close the connections of logins that have ended. Their clients stay away (4009) until
        they are told of a new token."""
        sockets = self._pop(jtis)
        if self._gateway:
            self._gateway.close_connections(sockets)

    def end_chat(self, channel_name: str, user_ids: Iterable[int]) -> None:
        """Close the connections of two people, one of whom has blocked the other, that hear their
        chat. Their clients come back (4200) and are refused this channel."""
        sockets = self._pop(_right_to_hear(channel_name, each) for each in user_ids)
        if self._gateway:
            self._gateway.close_connections(sockets, 4200, SUBSCRIPTION_ENDED)
            self._gateway.close_subscribers(channel_name)

    def _add(self, right: str, socket_id: str) -> str | None:
        """The connection that cannot be remembered any more, if any."""
        with self._lock:
            sockets = self._sockets.setdefault(right, {})
            sockets.pop(socket_id, None)
            sockets[socket_id] = None
            if len(self._sockets) > self.RIGHTS:
                del self._sockets[next(iter(self._sockets))]
            if len(sockets) <= self.SOCKETS:
                return None
            oldest = next(iter(sockets))
            del sockets[oldest]
            return oldest

    def _pop(self, rights: Iterable[str]) -> set[str]:
        with self._lock:
            return set().union(*(self._sockets.pop(right, {}) for right in rights))


def _right_to_hear(channel_name: str, user_id: int) -> str:
    """Names what a block ends, among the rights that connections have signatures by."""
    return f"{channel_name} {user_id}"
