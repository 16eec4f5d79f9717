"""Pushes: browsers that asked for it are told of new messages, also when no page is open.

Each browser has an address at a push service of its maker. What has to be sent there is recorded
beside the message; the text is read when it is sent, so that nothing goes out that was deleted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from blinker import Signal
from sqlalchemy import (
    Connection,
    Exists,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from chat import blocks, commits, logins
from contract.push_requests import PushSubscription as Browser
from database import AnyRow, db
from models import Channel, Message, Push, PushSubscription, User

SUBSCRIPTIONS = 20  # of one user; with one more the oldest goes
AT_ONCE = datetime(1970, 1, 1)  # whatever the clock does

#: Sent by the process that has committed pushes, once it has.
recorded = Signal()

_OF_USER = select(PushSubscription.id, PushSubscription.endpoint).where(
    PushSubscription.user_id == bindparam("user")
)
_RECORD = insert(Push.__table__)  # type: ignore[arg-type]


# Subscriptions -------------------------------------------------------------------------------


def subscribe(user: User, jti: str, new: Browser) -> None:
    """Store a subscription, or hand one of the same endpoint over to this login of the user.

    Raises Unauthorized if the login has ended.
    """
    # Those of one person come one by one, or there could be more than SUBSCRIPTIONS.
    person = select(User.id).where(User.id == user.id)
    db.session.execute(person.with_for_update(key_share=True))
    logins.lock(user, jti)
    keys = {"p256dh": new.keys.p256dh, "auth": new.keys.auth}
    values = {"user_id": user.id, "jti": jti, **keys}
    on_sqlite = db.session.get_bind().dialect.name == "sqlite"
    stored: Any = (sqlite if on_sqlite else postgresql).insert(PushSubscription)
    stored = stored.values(endpoint=new.endpoint, **values)
    db.session.execute(stored.on_conflict_do_update(index_elements=["endpoint"], set_=values))
    # This one stays. Its id is an old one if somebody else had it before.
    others = (PushSubscription.user_id == user.id, PushSubscription.endpoint != new.endpoint)
    newest = select(PushSubscription.id).where(*others).order_by(PushSubscription.id.desc())
    kept = newest.limit(SUBSCRIPTIONS - 1).subquery()
    oldest = PushSubscription.id.not_in(select(kept.c.id))
    db.session.execute(delete(PushSubscription).where(*others, oldest))


def unsubscribe(user: User, endpoint: str) -> None:
    """Remove a subscription of the user, if it is there."""
    this = (PushSubscription.user_id == user.id, PushSubscription.endpoint == endpoint)
    db.session.execute(delete(PushSubscription).where(*this))


def is_subscribed(user_id: Any) -> Exists:
    """Whether a user has any subscription."""
    return exists().where(PushSubscription.user_id == user_id)


# Recording -----------------------------------------------------------------------------------


def service_of(endpoint: str) -> str:
    """The push service of an endpoint: its host, and its port if it is not the usual one."""
    url = urlsplit(endpoint)
    host = str(url.hostname).rstrip(".")
    return host if url.port in (None, 443) else f"{host}:{url.port}"


def record(message_id: int, receiver_id: int) -> None:
    """Have the receiver's browsers told of a message once this transaction is committed."""
    rows = [
        {
            "subscription_id": each.id,
            "message_id": message_id,
            "service": service_of(each.endpoint),
            "retry_at": AT_ONCE,
        }
        for each in db.session.execute(_OF_USER, {"user": receiver_id})
    ]
    if rows:
        db.session.execute(_RECORD, rows)
        commits.tell(recorded)


# Sending. The connection is the sender's own. -------------------------------------------------


def _services() -> Any:
    """The services for which pushes wait. Each is found by one look into the index, after the one
    before: however many wait for a service that is down, they are not read."""
    found = select(func.min(Push.service).label("name")).cte("services", recursive=True)
    after = select(func.min(Push.service)).where(Push.service > found.c.name).scalar_subquery()
    found = found.union_all(select(after).where(found.c.name.is_not(None)))
    return select(found.c.name).where(found.c.name.is_not(None))


_SERVICES = _services()


def _due() -> Any:
    """The pushes of a service that are due, with all that is to be sent."""
    receiver_id = case((Message.sender_id == Channel.low_id, Channel.high_id), else_=Channel.low_id)
    muted = case((Message.sender_id == Channel.low_id, Channel.high_muted), else_=Channel.low_muted)
    blocked = blocks.between(Channel.low_id, Channel.high_id)
    # An endpoint may belong to somebody else by now.
    theirs = and_(
        PushSubscription.id == Push.subscription_id, PushSubscription.user_id == receiver_id
    )
    gone = or_(PushSubscription.id.is_(None), Message.deleted_at.is_not(None), muted, blocked)
    return (
        select(
            Push.subscription_id,
            Push.message_id,
            PushSubscription.endpoint,
            PushSubscription.p256dh,
            PushSubscription.auth,
            Message.sender_id,
            Message.type,
            Message.text,
            Message.created_at,
            Channel.low_id,
            Channel.high_id,
            User.username,
            User.display_name,
            not_(gone).label("wanted"),
        )
        .select_from(Push)
        .join(Message, Message.id == Push.message_id)
        .join(Channel, Channel.id == Message.channel_id)
        .join(User, User.id == Message.sender_id)
        .outerjoin(PushSubscription, theirs)
        .where(Push.service == bindparam("service"), Push.retry_at <= bindparam("now"))
        .order_by(Push.service, Push.retry_at, Push.message_id)
        .limit(bindparam("limit"))
    )


_DUE = _due()


def services(connection: Connection) -> list[str]:
    """The push services for which pushes wait."""
    return list(connection.execute(_SERVICES).scalars())


def due(connection: Connection, service: str, now: datetime, limit: int) -> Sequence[AnyRow]:
    """The pushes of a service that are due, longest first."""
    values = {"service": service, "now": now, "limit": limit}
    return connection.execute(_DUE, values).all()


def _is(row: AnyRow) -> tuple[Any, ...]:
    return Push.subscription_id == row.subscription_id, Push.message_id == row.message_id


def remove(connection: Connection, row: AnyRow) -> None:
    """Take out a push that was taken, given up, or is not wanted any more."""
    connection.execute(delete(Push).where(*_is(row)))


def put_off(connection: Connection, row: AnyRow, until: datetime) -> None:
    """Have a push tried again later."""
    connection.execute(update(Push).where(*_is(row)).values(retry_at=until))


def end(connection: Connection, row: AnyRow) -> None:
    """Remove the subscription of a push: the push service knows it no more."""
    same = (PushSubscription.id == row.subscription_id, PushSubscription.auth == row.auth)
    connection.execute(delete(PushSubscription).where(*same))
