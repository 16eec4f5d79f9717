"""Messages: sent, edited and erased, in a channel that the caller has found as their own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from flask import current_app
from sqlalchemy import and_, bindparam, case, exists, func, not_, select, update

from chat import blocks, channels, events, files, index, logins, pushes
from contract import answers, requests
from contract.errors import Blocked, Conflict, Forbidden, NotFound, Unauthorized
from contract.names import chat_channel
from database import AnyRow, db, insert_once, utcnow
from dialects.expressions import iso, json_object
from dialects.transactions import next_change
from models import Channel, File, Message, User

# Columns of the table rather than attributes of the class: to read a page costs a third less.
_message = Message.__table__.c
_quoted = Message.__table__.alias("quoted")

#: Characters of a message that its replies quote.
QUOTED = 200

#: The columns of a message object that a message has by itself.
_OWN = (
    _message.id,
    _message.channel_id,
    _message.sender_id,
    _message.text,
    _message.client_message_id,
    iso(_message.created_at).label("created_at"),
    iso(_message.edited_at).label("edited_at"),
    iso(_message.deleted_at).label("deleted_at"),
    _message.type,
    _message.reactions,
)
_quote = select(
    json_object(
        id=_quoted.c.id,
        from_user=_quoted.c.sender_id,
        type=_quoted.c.type,
        message=func.substr(_quoted.c.text, 1, QUOTED),
        deleted_at=iso(_quoted.c.deleted_at),
    ).label("quote")
)
_file = File.__table__.c
_file_of = select(
    json_object(
        id=_file.id,
        name=_file.name,
        media_type=_file.media_type,
        bytes=_file.bytes,
        width=_file.width,
        height=_file.height,
    )
).where(_file.message_id == _message.id)
#: The columns of a message object, with what it quotes, as that now stands, and its file.
SHOWN = (
    *_OWN,
    _quote.where(_quoted.c.id == _message.reply_to).scalar_subquery().label("quote"),
    case((_message.type != "Text", _file_of.scalar_subquery())).label("file"),
)


def shown(row: Sequence[Any], low_id: int, high_id: int) -> answers.Message:
    """The message object: the answer, the history element and the event alike.

    The row begins with the columns SHOWN: by place they cost a fifth of what names do, and this is
    where a page of messages spends its time.
    """
    (id_, channel_id, sender_id, text, client_message_id, created, edited, deleted) = row[:8]
    type_, reactions, quote, file = row[8:12]
    if deleted:  # perhaps by a process of a version that knows of neither
        file = reactions = None
    if file:
        file = {**file, "has_thumbnail": type_ == "Image"}
    return {
        "id": id_,
        "channel_id": channel_id,
        "channel": chat_channel(low_id, high_id),
        "from_user": sender_id,
        "to_user": high_id if sender_id == low_id else low_id,
        "type": type_,
        "message": text,
        "created_at": created,
        "client_message_id": client_message_id,
        "edited_at": edited,
        "deleted_at": deleted,
        "file": file,
        "reply_to": quote,
        "reactions": reactions or [],
        **current_app.config["MESSAGE_EXTRAS"],
    }


# Sending -------------------------------------------------------------------------------------


def _posted(mark: str, receiver: Any, muted: Any) -> Any:
    """The channel's row after a message, and the sender's mark; only while nobody is blocked or
    deleted. Says whether the receiver wants a push. In one statement: an earlier one, made to wait
    for the row, would not have seen a block of the meantime."""
    both = User.id.in_((Channel.low_id, Channel.high_id))
    open_ = and_(
        Channel.id == bindparam("channel"),
        not_(blocks.between(Channel.low_id, Channel.high_id)),
        not_(exists().where(both, User.deleted_at.is_not(None))),
    )
    values: dict[str, Any] = {
        mark: bindparam("message"),
        "last_message_id": bindparam("message"),
        "active_at": bindparam("now"),
        "indexed_id": bindparam("indexed"),
        "unindexed": bindparam("characters"),
    }
    wants = and_(not_(muted), pushes.is_subscribed(receiver).correlate(Channel))
    posted = update(Channel.__table__).where(open_).values(values)  # type: ignore[arg-type]
    return posted.returning(wants)


_LOW_POSTED = _posted("low_read_id", Channel.high_id, Channel.high_muted)
_HIGH_POSTED = _posted("high_read_id", Channel.low_id, Channel.low_muted)


_BY_ID = select(*SHOWN).where(_message.id == bindparam("id"))
_QUOTE = _quote.where(_quoted.c.id == bindparam("id"), _quoted.c.channel_id == bindparam("channel"))


def post(
    channel: Channel,
    sender: User,
    new: requests.NewMessage,
    socket_id: str | None,
    file: files.Kept | None = None,
) -> tuple[answers.Message, bool]:
    """Store a message and its events, once for each client_message_id; whether it is new.

    Raises Conflict if that id was used for another message or what it answers was deleted, Blocked,
    NotFound if the other account was deleted or there is nothing to answer, and Unauthorized if the
    sender's own account was deleted.
    """
    now = max(utcnow(), channel.active_at)  # the clock may have stepped back
    quote = _quote_of(channel, new.reply_to)
    row, is_new = insert_once(
        Message,
        ("sender_id", "client_message_id"),
        (*_OWN, _message.reply_to),
        channel_id=channel.id,
        sender_id=sender.id,
        text=new.message,
        client_message_id=new.client_message_id,
        reply_to=new.reply_to if quote else None,
        type=file.type if file else "Text",
        created_at=now,
    )
    if not is_new:
        _check_same(row, channel, new, file)
        stored = db.session.execute(_BY_ID, {"id": row.id}).one()
        return shown(stored, channel.low_id, channel.high_id), False
    _check_quote(new, quote)
    added = files.add(row.id, sender, file) if file else None
    message = shown((*row[:-1], quote, added), channel.low_id, channel.high_id)
    wants_push = _move_channel(channel, sender, message["id"], new.message, now)
    _tell(channel, sender, message, socket_id)
    if wants_push:
        pushes.record(message["id"], message["to_user"])
    return message, True


def _tell(channel: Channel, sender: User, message: answers.Message, socket_id: str | None) -> None:
    """Have the chat told of a new message, and the receiver of the chat."""
    chat = channels.chat(channel, sender.id)
    told = (
        (channel.name, "new_message", events.fitted(message)),
        (
            chat["to_user_notification_channel"],
            "new_chat",
            events.fitted(message, lambda cut: {**chat, "message": cut}),
        ),
    )
    events.record(told, socket_id, message["id"])


def _quote_of(channel: Channel, message_id: int | None) -> answers.Quote | None:
    """What a reply to this message quotes; None if the channel has no such message."""
    if message_id is None:
        return None
    values = {"channel": channel.id, "id": message_id}
    quote: answers.Quote | None = db.session.scalar(_QUOTE, values)
    return quote


def _check_quote(new: requests.NewMessage, quote: answers.Quote | None) -> None:
    if new.reply_to is not None and quote is None:
        raise NotFound("No such message in this channel to reply to.")
    if quote and quote["deleted_at"]:
        raise Conflict("A deleted message cannot be answered.")


def _check_same(
    row: AnyRow, channel: Channel, new: requests.NewMessage, file: files.Kept | None
) -> None:
    changed = row.edited_at or row.deleted_at
    same_place = (row.channel_id, row.reply_to) == (channel.id, new.reply_to)
    same_content = row.text == new.message and files.is_same(row.id, file)
    if not same_place or not (changed or same_content):
        raise Conflict("This client_message_id was used for a different message.")


def _move_channel(channel: Channel, sender: User, message_id: int, text: str, now: Any) -> bool:
    """Note in the channel's row that a message has come; whether the receiver wants a push. Not
    before it is stored: a retry of what was stored before a block is still answered."""
    characters = channel.unindexed + (len(text) or 1)  # each that waits counts
    full = characters >= index.UNINDEXED
    values = {
        "channel": channel.id,
        "message": message_id,
        "now": now,
        "indexed": message_id if full else channel.indexed_id,
        "characters": 0 if full else characters,
    }
    posted = _LOW_POSTED if sender.id == channel.low_id else _HIGH_POSTED
    moved = db.session.execute(posted, values).one_or_none()
    if moved is None:
        _refuse(channel, sender)
    if full:
        index.add_waiting(channel)
    return bool(moved[0])


def _refuse(channel: Channel, sender: User) -> NoReturn:
    """Say why nothing can be sent in this channel."""
    if blocks.in_channel(channel):
        raise Blocked
    if db.session.scalar(select(User.deleted_at).where(User.id == sender.id)):
        raise Unauthorized(logins.GONE)
    raise NotFound("No such user: the account was deleted.")


# Changing ------------------------------------------------------------------------------------


def to_change(user: User, message_id: int) -> tuple[Channel, AnyRow]:
    """A message of the user's chats, and its channel, locked. Raises NotFound as for other people's
    channels."""
    channel = channels.of_message_to_write(user, message_id)
    return channel, db.session.execute(_BY_ID, {"id": message_id}).one()


def own(user: User, message_id: int) -> tuple[Channel, AnyRow]:
    """The same, if the user wrote it. Raises Forbidden if the other one of the pair did."""
    channel, row = to_change(user, message_id)
    if row.sender_id != user.id:
        raise Forbidden("Only its author may change a message.")
    return channel, row


def edit(channel: Channel, row: AnyRow, text: str, socket_id: str | None) -> answers.Message:
    """Give a message another text. Raises Conflict if it was deleted, and Blocked."""
    refuse_blocked(channel, row.sender_id)
    if row.deleted_at:
        raise Conflict("A deleted message cannot be edited.")
    if row.text == text:
        return shown(row, channel.low_id, channel.high_id)
    values = {"text": text, "edited_at": _now_after(row)}
    return change(channel, row, "message_updated", socket_id, **values)


def erase(channel: Channel, row: AnyRow, socket_id: str | None) -> answers.Message:
    """Delete a message: its text is gone from the row, the index and waiting events."""
    if row.deleted_at:
        return shown(row, channel.low_id, channel.high_id)
    events.erase(row.id)
    files.erase(row.id)
    values = {"text": "", "reactions": None, "deleted_at": _now_after(row)}
    return change(channel, row, "message_deleted", socket_id, **values)


def _now_after(row: AnyRow) -> datetime:
    """Now, or the moment after the message's last change if the clock has stepped back: clients
    keep the later one of two states."""
    last = datetime.fromisoformat(row.edited_at or row.created_at).replace(tzinfo=None)
    return max(utcnow(), last + timedelta(microseconds=1))


def refuse_blocked(channel: Channel, writer_id: int) -> None:
    """Raise Blocked if one of the two has blocked the other, and let nobody block the writer before
    the commit."""
    # Who blocks waits for writers by their users' rows. Sending locks its own by itself.
    writer = select(User.id).where(User.id == writer_id)
    db.session.execute(writer.with_for_update(read=True, key_share=True))
    if blocks.in_channel(channel):
        raise Blocked


def change(
    channel: Channel, row: AnyRow, event: str, socket_id: str | None, **values: Any
) -> answers.Message:
    """Change the row of a message, and have both people told; the message as it then stands."""
    db.session.execute(
        update(Message.__table__)  # type: ignore[arg-type]
        .where(_message.id == row.id)
        .values(transaction_id=next_change(), **values)
    )
    changed = db.session.execute(_BY_ID, {"id": row.id}).one()
    index.replace(channel, row.id, row.text, changed.text)
    message = shown(changed, channel.low_id, channel.high_id)
    channels.tell_both(channel, event, events.fitted(message), socket_id, row.id)
    return message


def _first_of(user: User) -> int | None:
    """The id of the oldest message of the user's that is not deleted."""
    return db.session.scalar(select(_message.id).where(*_of(user)).order_by(_message.id).limit(1))


def _of(user: User) -> tuple[Any, ...]:
    return _message.sender_id == user.id, _message.deleted_at.is_(None)


def erase_some(user: User, socket_id: str | None) -> bool:
    """Delete some of the user's messages, of one chat; whether there were any."""
    first = _first_of(user)
    if first is None:
        return False
    channel = channels.of_message_to_write(user, first)
    of_chat = (_message.channel_id == channel.id, _message.id >= first)
    some = select(*SHOWN).where(*_of(user), *of_chat).order_by(_message.id).limit(100)
    rows = db.session.execute(some).all()
    events.lock([row.id for row in rows])
    characters = 0
    for row in rows:
        erase(channel, row, socket_id)
        characters += len(row.text)
        if characters > 20_000:  # each may be a word to take out of the index
            break
    return True
