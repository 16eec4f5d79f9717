"""Files: what is sent with a message. Their bytes are in the storage, a row says which.

Pictures of people are there, too. The bytes are stored first and the row is written with its
message or its person. So every row has its bytes, and
what a kill leaves behind are bytes that no row refers to, which prune() finds.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import filetype
from blinker import Signal
from flask import current_app
from sqlalchemy import bindparam, delete, func, select, union_all
from sqlalchemy.exc import SQLAlchemyError

from chat import commits, pictures
from chat.channels import MINE
from chat.storage import Folder, Storage, refusing_when_full
from contract import answers
from contract.errors import NotFound, TooLarge
from database import db, utcnow, writing
from models import Channel, File, Message, User

#: What the thumbnail of a file is stored as.
SMALL = "-thumbnail"
#: What keep() calls what it stores.
OURS = re.compile(rf"[0-9a-f]{{32}}(?:{SMALL})?")
#: Keys that are looked up at once.
SOME = 500

#: Sent once a transaction that has erased files is committed, with their keys.
erased = Signal()

log = logging.getLogger(f"app.{__name__}")


def storage(url: str, folder: Path) -> Storage:
    """The storage of FILES_URL: s3://bucket/prefix, or below the folder if it is empty."""
    if not url:
        return Folder(folder)
    from chat.bucket import Bucket  # boto3 is slow to import, and only needed here

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return Bucket(bucket, prefix.strip("/"))


@dataclass(frozen=True)
class Upload:
    """A file that has arrived, and what was found out about it."""

    path: Path
    name: str
    bytes: int
    sha256: str
    media_type: str
    picture: pictures.Picture | None

    @property
    def type(self) -> answers.MessageType:
        """The type of a message with it."""
        return "Image" if self.picture else "File"


def examined(path: Path, name: str) -> Upload:
    """A file that has arrived. What it is is told from its bytes, never from its name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    picture = pictures.look_at(path)
    guessed = picture.media_type if picture else filetype.guess_mime(str(path))
    size = path.stat().st_size
    return Upload(path, name, size, digest, guessed or "application/octet-stream", picture)


@dataclass(frozen=True)
class Kept(Upload):
    """An upload whose bytes are in the storage."""

    key: str


def keep(storage: Storage, upload: Upload) -> Kept:
    """Store the bytes of an upload. Raises Unavailable."""
    key = secrets.token_hex(16)
    try:
        with refusing_when_full():
            if upload.picture:
                thumbnail = upload.path.with_name(f"{upload.path.name}{SMALL}")
                thumbnail.write_bytes(upload.picture.thumbnail)
                storage.put(key + SMALL, thumbnail)
            storage.put(key, upload.path)
    except Exception:
        remove(storage, [key])
        raise
    return Kept(**vars(upload), key=key)


def keep_avatar(storage: Storage, folder: Path, picture: bytes) -> str:
    """Store the bytes of a picture of somebody, by way of a file in the folder: their key. Raises
    Unavailable."""
    key = secrets.token_hex(16)
    draft = folder / key
    try:
        with refusing_when_full():
            draft.write_bytes(picture)
            storage.put(key, draft)
    finally:
        draft.unlink(missing_ok=True)
    return key


def drop_unused(storage: Storage, key: str) -> None:
    """Remove bytes that no row came of. The database is asked, because a commit that failed may
    have come through."""
    try:
        if not _referred_to([key]):
            remove(storage, [key])
    except SQLAlchemyError:
        log.warning("Whether a file is in use is not known. If it is not, it is pruned.")


def remove(storage: Storage, keys: list[str]) -> None:
    """Remove the bytes of files, and their thumbnails. What cannot be removed now is found by
    prune()."""
    try:
        for key in keys:
            storage.remove(key)
            storage.remove(key + SMALL)
    except Exception:
        log.exception("Bytes of files that are gone could not be removed. They are, later.")


# Rows ----------------------------------------------------------------------------------------


def add(message_id: int, user: User, upload: Kept) -> answers.File:
    """Write down the file of a new message; what answers show of it. Raises TooLarge if the user's
    files would take more than FILES_BYTES_PER_USER."""
    # Locked, so that no other file of the user's comes between.
    lock = select(User.id).where(User.id == user.id).with_for_update(key_share=True)
    db.session.execute(lock)
    taken = select(func.coalesce(func.sum(File.bytes), 0)).where(File.user_id == user.id)
    room = current_app.config["FILES_BYTES_PER_USER"] - (db.session.scalar(taken) or 0)
    if upload.bytes > room:
        raise TooLarge("Your files take all the room that you have. Delete some of them.")
    picture = upload.picture
    row = File(
        message_id=message_id,
        user_id=user.id,
        key=upload.key,
        name=upload.name,
        media_type=upload.media_type,
        bytes=upload.bytes,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        sha256=upload.sha256,
        created_at=utcnow(),
    )
    db.session.add(row)
    db.session.flush()
    return {
        "id": row.id,
        "name": row.name,
        "media_type": row.media_type,
        "bytes": row.bytes,
        "width": row.width,
        "height": row.height,
        "has_thumbnail": picture is not None,
    }


def is_same(message_id: int, upload: Upload | None) -> bool:
    """Whether a message was sent with this file, or without any."""
    row = db.session.execute(
        select(File.sha256, File.name).where(File.message_id == message_id)
    ).one_or_none()
    return (row and tuple(row)) == (upload and (upload.sha256, upload.name))


def erase(message_id: int) -> None:
    """Remove the row of a message's file, and its bytes once this transaction is committed."""
    gone = delete(File).where(File.message_id == message_id).returning(File.key)
    for key in db.session.scalars(gone).all():
        forget(key)


def forget(key: str | None) -> None:
    """Have bytes removed once this transaction, which leaves no row that refers to them, is
    committed."""
    if key:
        commits.tell(erased, key)


# Finding -------------------------------------------------------------------------------------

# Of a message that is not deleted: a process of a version without files leaves the row.
_BY_ID = (
    select(File)
    .join(Message, Message.id == File.message_id)
    .where(File.id == bindparam("id"), Message.deleted_at.is_(None))
)
_MINE = _BY_ID.join(Channel, Channel.id == Message.channel_id).where(MINE)


def find(user: User, file_id: int) -> File:
    """A file of the user's chats. Raises NotFound, as for other people's."""
    found: File | None = db.session.scalar(_MINE, {"id": file_id, "user": user.id})
    if found is None:
        raise NotFound("No such file.")
    return found


def with_id(file_id: int) -> File:
    """A file of anybody's, for those who have a signed address of it. Raises NotFound."""
    found: File | None = db.session.scalar(_BY_ID, {"id": file_id})
    if found is None:
        raise NotFound("No such file.")
    return found


# Pruning -------------------------------------------------------------------------------------


def ours(storage: Storage, seconds: float) -> Iterator[str]:
    """The keys of what keep() has stored longer ago. Other objects of a bucket are left alone."""
    return (key for key in storage.old_keys(seconds) if OURS.fullmatch(key))


def prune(storage: Storage, seconds: float) -> int:
    """Remove what was stored longer ago and no row refers to; how many files that were."""
    _erase_left_rows()
    pruned = 0
    keys = (key.removesuffix(SMALL) for key in ours(storage, seconds))
    while some := set(islice(keys, SOME)):
        lost = some - _referred_to(sorted(some))
        remove(storage, sorted(lost))
        pruned += len(lost)
    return pruned


def _erase_left_rows() -> None:
    """Remove the rows of messages that a process of a version without files has deleted."""
    deleted = select(File.message_id).join(Message, Message.id == File.message_id)
    left = db.session.scalars(deleted.where(Message.deleted_at.is_not(None))).all()
    if left:
        with writing():
            for message_id in left:
                erase(message_id)
            db.session.commit()


def _referred_to(keys: list[str]) -> set[str]:
    """Those of the keys that a row refers to."""
    used: Any = union_all(
        select(File.key).where(File.key.in_(keys)), select(User.avatar).where(User.avatar.in_(keys))
    )
    with db.engine.connect() as connection:
        return set(connection.scalars(used))
