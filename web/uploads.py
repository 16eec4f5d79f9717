"""Uploads: a form with a file is received to the disk, and parsed; a picture of somebody is made
small."""

import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from flask import g, request
from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import File

from chat import files, pictures
from chat.storage import NO_ROOM, arriving, refusing_when_full
from contract.errors import Invalid, TooLarge, Unavailable, UnsupportedMediaType
from contract.requests import MAX_BODY, Parameters
from database import release
from web import bodies
from web.bodies import validated
from web.runtime import runtime

Parsed = TypeVar("Parsed", bound=Parameters)

MOST_PARTS = 20
LONGEST_NAME, LONGEST_END = 255, 20
AVATAR_BYTES = 5 * 1024 * 1024


class FormParser(MultiPartParser):
    """Reads a form whose file goes into a folder, and whose texts stay bytes, each of them a
    character: Werkzeug would put U+FFFD for what does not fit, which people may send, too."""

    def __init__(self, folder: str) -> None:
        # Its memory counts the piece of a file that it has just read too, which is up to 64 KiB.
        super().__init__(max_form_memory_size=2 * MAX_BODY, max_form_parts=MOST_PARTS)
        self.folder = folder
        self.charsets: dict[str, str] = {}

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:  # noqa: ARG002
        return Path(self.folder, secrets.token_hex(8)).open("x+b")

    def get_part_charset(self, headers: Headers) -> str:
        name = parse_options_header(headers["Content-Disposition"])[1]["name"]
        self.charsets.setdefault(name, super().get_part_charset(headers))
        return "latin-1"


def receive() -> None:
    """Receive a form with a file, which goes to the disk as it comes. A client that is slow to send
    holds no work slot.

    Raises UnsupportedMediaType, TooLarge, Invalid, and Unavailable where the disk is nearly full.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send a form: Content-Type: multipart/form-data.")
    settings = runtime().settings
    most = settings.file_max_bytes + MAX_BODY
    if (request.content_length or 0) > most:
        raise TooLarge(f"The file is larger than {settings.file_max_bytes:,} bytes.")
    with refusing_when_full():
        place = arriving(settings.folder)
        refuse_without_room(place, request.content_length or 0)
        g.upload_folder = tempfile.TemporaryDirectory(dir=place)
    request.max_content_length = most
    parser = FormParser(g.upload_folder.name)
    g.charsets = parser.charsets
    try:
        boundary = request.mimetype_params["boundary"].encode()
        with runtime().slots.released(), refusing_when_full():
            g.texts, g.files = parser.parse(request.stream, boundary, request.content_length)
            for _, file in _arrived():
                file.flush()
    except RequestEntityTooLarge:
        raise TooLarge(
            f"The form is too large: its file may have {settings.file_max_bytes:,} bytes, its text "
            f"{MAX_BODY // 1024} KiB, and all of it {MOST_PARTS} parts."
        ) from None
    except (LookupError, ValueError) as error:
        raise Invalid("The body is not a form with the boundary that Content-Type says.") from error
    except (HTTPException, OSError) as error:
        raise Invalid("The body did not arrive as its headers said.") from error


def _arrived() -> list[tuple[str, FileStorage]]:
    """The files of the form, with the names of their parts."""
    return [(part, file) for part, each in g.files.lists() for file in each]


def refuse_without_room(folder: Path, size: int) -> None:
    """Raise Unavailable if the disk would have less than FILES_FREE_BYTES left."""
    if shutil.disk_usage(folder).free - size < runtime().settings.files_free_bytes:
        raise Unavailable(NO_ROOM)


def forget_upload(_error: BaseException | None = None) -> None:
    """Remove what has arrived with the request, and is not in the storage by now."""
    if folder := g.pop("upload_folder", None):
        for _, file in _arrived() if "files" in g else ():
            with suppress(OSError):  # of a full disk, which was answered
                file.close()
        with suppress(OSError):  # the pruning takes it
            folder.cleanup()


def parse(model: type[Parsed]) -> tuple[Parsed, files.Upload]:
    """The text parts of the form as `model`, and its file. Raises Invalid and TooLarge."""
    given = _arrived()
    if len(given) != 1 or given[0][0] != "file":
        raise Invalid("file is missing: send one file, with a name, in the part called file.")
    file = given[0][1]
    name = _name(file.filename or "")
    if sum(map(len, g.texts.values())) > MAX_BODY:
        raise TooLarge(f"The text parts of the form have more than {MAX_BODY // 1024} KiB.")
    body = validated(model, _texts())
    path = Path(file.stream.name)
    size = path.stat().st_size
    if size > runtime().settings.file_max_bytes:
        raise TooLarge(f"The file is larger than {runtime().settings.file_max_bytes:,} bytes.")
    if not size:
        raise Invalid("file is empty.")
    return body, _examined(path, name)


def _texts() -> dict[str, str]:
    """The text parts of the form. Raises Invalid for one that is no text in its charset."""
    texts = {}
    for name, value in g.texts.items():
        try:
            texts[name] = value.encode("latin-1").decode(g.charsets[name])
        except UnicodeDecodeError:
            raise Invalid(f"{name} must be text in UTF-8.") from None
    return texts


def _examined(path: Path, name: str) -> files.Upload:
    """What the file is. One picture is looked at at a time, because that takes memory."""
    release()
    with runtime().slots.released():
        return runtime().looking.submit(files.examined, path, name).result()


def _name(sent: str) -> str:
    """The name of a file as it was sent, but for folders and control characters. Raises Invalid."""
    last = sent.replace("\\", "/").rpartition("/")[2]
    name = "".join(each for each in last if unicodedata.category(each) not in ("Cc", "Cs"))
    name = name.strip()
    if not name or set(name) <= {"."}:
        raise Invalid("file must have a name.")
    if len(name) <= LONGEST_NAME:
        return name
    end = PurePosixPath(name).suffix[:LONGEST_END]  # by which systems tell what opens it
    return name[: LONGEST_NAME - len(end)] + end


@contextmanager
def kept(upload: files.Upload) -> Iterator[files.Kept]:
    """The upload with its bytes in the storage, inside the block. They stay if a message refers to
    them then. Raises Unavailable."""
    release()
    with runtime().slots.released():
        file = files.keep(runtime().storage, upload)
    with _dropped_if_unused(file.key):
        yield file


@contextmanager
def _dropped_if_unused(key: str) -> Iterator[None]:
    """After the block remove the bytes of a key that no row refers to then."""
    try:
        yield
    finally:
        release()
        with runtime().slots.released():
            files.drop_unused(runtime().storage, key)


# Pictures of people --------------------------------------------------------------------------


def receive_picture() -> None:
    """Receive the bytes of a picture. Raises TooLarge and Invalid."""
    bodies.receive(AVATAR_BYTES)


def avatar() -> bytes:
    """The picture that was received, as it stands for somebody. Raises UnsupportedMediaType if the
    bytes are no picture, and Unavailable."""
    sent = bodies.receive(AVATAR_BYTES)
    release()
    with runtime().slots.released():
        picture = runtime().looking.submit(pictures.square, sent).result()
    if picture is None:
        raise UnsupportedMediaType("Send the bytes of a picture: PNG, JPEG, GIF or WebP.")
    return picture


@contextmanager
def kept_avatar(picture: bytes) -> Iterator[str]:
    """The key of a picture whose bytes are in the storage, inside the block. They stay if somebody
    has it then. Raises Unavailable."""
    place = arriving(runtime().settings.folder)
    refuse_without_room(place, len(picture))
    with runtime().slots.released():
        key = files.keep_avatar(runtime().storage, place, picture)
    with _dropped_if_unused(key):
        yield key
