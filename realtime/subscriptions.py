"""Subscriptions: who may listen to what, and whose connections close when that right ends."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from pusher import Pusher
from pusher.errors import PusherBadStatus
from sqlalchemy import bindparam, not_, select

from chat import blocks, channels, events, logins
from chat.events import notified_user
from contract.errors import Forbidden
from contract.names import PRESENCE_CHANNEL, notification_channel, pair_of
from database import AnyRow, db, writing
from gateway import SUBSCRIPTION_ENDED, Gateway
from models import Channel, User
from realtime import servers

log = logging.getLogger(f"app.{__name__}")


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
    """By which rights connections get signatures: a login (its jti), and to hear a chat. They are
    closed when one of these ends.

    The embedded server knows the rights of each connection that is open (gateway/rights.py). Only
    one process has it; the others, and whatever ends a right, leave word in the database
    (chat/events.py, notify). Another Pusher server knows no rights, but it can end all connections
    that signed in as a user.
    """

    def __init__(self, gateway: Gateway | None) -> None:
        self._gateway = gateway
        self._told = False

    def remember(
        self, user: User, claims: Mapping[str, Any], socket_id: str, channel_name: str | None = None
    ) -> None:
        """Remember which connection is about to get a signature, for a channel or to sign in, by
        the login of a token with these claims. Raises Unauthorized if that has ended."""
        if self._gateway is None:
            return
        jti, until = claims["jti"], claims["exp"]
        chat = channel_name if channel_name and pair_of(channel_name) else None
        if self._gateway.is_open:
            _sign(self._gateway, user.id, socket_id, jti, until, chat)
            return
        with writing():
            # What ends a right waits for this lock, so the owner hears of the signature first.
            logins.lock(user, jti)
            signed = {"socket_id": socket_id, "login": jti, "until": until, "chat": chat}
            events.notify(user.id, events.SIGNED, **signed)
            db.session.commit()

    def heed(self, client: Pusher, notice: AnyRow) -> Any:
        """Do what a notice asks for, where the connections are: the answer of a Pusher server, if
        one was asked. Raises the client's errors."""
        user_id = int(notified_user(notice.channel) or 0)
        if self._gateway:
            self._heed(self._gateway, user_id, notice.name, json.loads(notice.data))
        elif notice.name in (events.LOGINS_ENDED, events.CHAT_ENDED):
            try:
                return servers.terminate(client, user_id)
            except PusherBadStatus as error:
                if not str(error).startswith("404"):
                    raise
                self._tell_once()
        return {}

    def _tell_once(self) -> None:
        if not self._told:
            self._told = True
            log.warning("The Pusher server ends no connections: it has no terminate_connections.")

    def _heed(self, gateway: Gateway, user_id: int, name: str, data: dict[str, Any]) -> None:
        if name == events.SIGNED:
            signed = (data["socket_id"], data["login"], data["until"], data["chat"])
            _sign(gateway, user_id, *signed)
        elif name == events.LOGINS_ENDED:
            # Their clients stay away (4009) until they are told of a new token.
            for jti in data["logins"]:
                gateway.end_right(jti)
        elif name == events.LOGIN_RENEWED:
            gateway.renew_right(data["login"], data["heir"], _on_the_gateways_clock(data["until"]))
        elif name == events.CHAT_ENDED:
            # Their clients come back (4200) and are refused this channel.
            gateway.end_right(_right_to_hear(data["chat"], user_id), 4200, SUBSCRIPTION_ENDED)
            gateway.close_subscribers(data["chat"])


def _sign(
    gateway: Gateway, user_id: int, socket_id: str, jti: str, until: float, chat: str | None
) -> None:
    gateway.give_right(socket_id, jti, _on_the_gateways_clock(until))
    if chat:
        gateway.give_right(socket_id, _right_to_hear(chat, user_id))


def _right_to_hear(channel_name: str, user_id: int) -> str:
    """Names what a block ends, among the rights that connections have signatures by."""
    return f"{channel_name} {user_id}"


def _on_the_gateways_clock(when: float) -> float:
    """A time in seconds since 1970, by the clock that nobody sets."""
    return time.monotonic() + when - time.time()
