"""Events: what the Pusher server has to be told, recorded beside what they tell of."""

import json
from bisect import bisect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from blinker import Signal
from sqlalchemy import insert, or_, select, update

from chat import commits
from contract.answers import encode
from database import db, utcnow
from models import Event, Message

EVENT_BYTES = 10_240  # the most that Pusher takes, as UTF-8

#: Sent by the process that has committed events, once it has.
recorded = Signal()

_RECORD = insert(Event.__table__)  # type: ignore[arg-type]

# The process that has the connections, or the Pusher server, is told of rights in the same way: by
# rows of a channel that none can subscribe to. Their names:
LOGINS_ENDED = "logins_ended"
LOGIN_RENEWED = "login_renewed"
CHAT_ENDED = "chat_ended"
SIGNED = "signed"
_NOTICES = "#user-"


def record(
    events: Iterable[tuple[str, str, str]],
    socket_id: str | None,
    message_id: int | None = None,
) -> None:
    """Have (channel, name, data) delivered once this transaction is committed.

    The connection named by `socket_id`, if any, does not hear of it. This is the only place where
    events come into being.
    """
    same = {"socket_id": socket_id, "message_id": message_id, "created_at": utcnow()}
    rows = [
        {"channel": channel, "name": name, "data": data, **same} for channel, name, data in events
    ]
    db.session.execute(_RECORD, rows)
    commits.tell(recorded)


def notify(user_id: int, name: str, **data: Any) -> None:
    """Have the owner of the connections told what has become of a user's rights, in order, once
    this transaction is committed."""
    record([(f"{_NOTICES}{user_id}", name, encode(data))], None)


def notified_user(channel: str) -> int | None:
    """Whose rights a row of this channel is about, or None if it is for the subscribers of a real
    channel."""
    return int(channel.removeprefix(_NOTICES)) if channel.startswith(_NOTICES) else None


def lock(message_ids: Collection[int]) -> None:
    """Lock what waits of messages that are about to be erased, and of their replies, in the order
    in which the dispatcher removes it, or each could wait for the other."""
    db.session.execute(_waiting(message_ids, Event.id)).all()


def _waiting(message_ids: Collection[int], *columns: Any) -> Any:
    replies = select(Message.id).where(Message.reply_to.in_(message_ids))
    theirs = or_(Event.message_id.in_(message_ids), Event.message_id.in_(replies))
    return select(*columns).where(theirs).order_by(Event.id).with_for_update()


def erase(message_id: int) -> None:
    """Take a message's text out of the events that still wait: its own and those of its replies."""
    waiting = _waiting([message_id], Event.id, Event.message_id, Event.data)
    for row in db.session.execute(waiting).all():
        data = json.loads(row.data)
        message = data["message"] if isinstance(data["message"], dict) else data
        if row.message_id == message_id:
            message["message"], message["file"] = "", None
            message.pop("truncated", None)
        else:
            message["reply_to"]["message"] = ""
        db.session.execute(update(Event).where(Event.id == row.id).values(data=encode(data)))


def fitted(
    message: Mapping[str, Any], wrap: Callable[[Any], Mapping[str, Any]] = lambda cut: cut
) -> str:
    """The data of an event about a message, its text cut where EVENT_BYTES would be exceeded."""
    whole = encode(wrap(message))
    if len(whole.encode()) <= EVENT_BYTES:
        return whole

    def cut(length: int) -> str:
        members = {}
        for name, value in message.items():
            members[name] = value[:length] if name == "message" else value
            if name == "message":
                members["truncated"] = True
        return encode(wrap(members))

    lengths = range(len(message["message"]))
    return cut(bisect(lengths, EVENT_BYTES, key=lambda length: len(cut(length).encode())) - 1)
