"""The export: everything of one user."""

from collections.abc import Iterator
from typing import Any, cast

from sqlalchemy import bindparam, case, select

from chat import accounts, blocks, history
from chat.channels import MINE
from chat.pages import pages
from contract import answers
from contract.names import chat_channel
from database import AnyRow, db
from dialects.expressions import iso
from models import Channel, User

_CHANNELS = (
    select(
        Channel.id,
        Channel.low_id,
        Channel.high_id,
        Channel.last_message_id,
        case(
            (Channel.low_id == bindparam("user"), Channel.low_read_id), else_=Channel.high_read_id
        ).label("read_id"),
        case(
            (Channel.low_id == bindparam("user"), Channel.low_muted), else_=Channel.high_muted
        ).label("muted"),
        iso(Channel.created_at).label("created"),
    )
    .where(MINE, Channel.id > bindparam("after"))
    .order_by(Channel.id)
    .limit(bindparam("size"))
)


def lines(user: User, prefix: str) -> Iterator[list[answers.ExportLine]]:
    """The user, whom they have blocked, and every channel and message of theirs, in pages.

    Addresses of files are below the prefix.
    """
    created = select(iso(User.created_at)).where(User.id == user.id)
    me: answers.UserLine = {
        "type": "user",
        **accounts.profile(user),
        "created_at": db.session.execute(created).scalar_one(),
    }

    def everything() -> Iterator[list[answers.ExportLine]]:
        yield [me]
        for people in blocks.listed(user):
            yield [{"type": "block", **person} for person in people]
        for channels in pages(_CHANNELS, {"user": user.id}, lambda row: row):
            for channel in channels:
                yield [_channel(channel)]
                for page in history.whole(channel):
                    yield [_line(message, prefix) for message in page]

    return everything()


def _line(message: answers.Message, prefix: str) -> answers.MessageLine:
    """A message's line, whose own type gives way to that of the line."""
    line: dict[str, Any] = {"type": "message", **message}
    line |= {"type": "message", "message_type": message["type"]}
    if file := message["file"]:
        line["file"] = {**file, "url": f"{prefix}/api/files/{file['id']}"}
    return cast(answers.MessageLine, line)


def _channel(row: AnyRow) -> answers.ChannelLine:
    return {
        "type": "channel",
        "id": row.id,
        "name": chat_channel(row.low_id, row.high_id),
        "users": [row.low_id, row.high_id],
        "created_at": row.created,
        "last_read_message_id": row.read_id or None,
        "muted": row.muted,
    }
