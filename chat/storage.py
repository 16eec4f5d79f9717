"""Storage: where the bytes of files are, below the instance folder or in an S3 bucket.

Each object has a key, which nobody can guess, and never changes. A row of `files` refers to it.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from contract.errors import NotFound, Unavailable

#: Folders below the instance folder.
FILES, ARRIVING = "files", "arriving"
NO_BYTES = "The bytes of this file are not there any more."
NO_ROOM = "There is no room for files on this server."
#: How the system says that a disk is full, or a quota or a limit of the process is reached.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Storage(Protocol):
    """What both kinds can do. Raises Unavailable where the storage does not answer."""

    def put(self, key: str, path: Path) -> None:
        """Store the bytes of a file durably; the file may be moved away."""

    def open(self, key: str) -> BufferedReader:
        """The bytes, to read and seek in. Raises NotFound."""

    def remove(self, key: str) -> None:
        """Remove the bytes, if they are there."""

    def old_keys(self, seconds: float) -> Iterator[str]:
        """The keys of all that was stored longer ago."""

    def close(self) -> None:
        """Give its connections up."""


class Folder:
    """Files below one folder, spread over folders by the first two characters of the key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, path: Path) -> None:
        target = self._path(key)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
        for folder in (target.parent, self._folder, self._folder.parent):
            _sync(folder)

    def open(self, key: str) -> BufferedReader:
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            raise NotFound(NO_BYTES) from None

    def remove(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def old_keys(self, seconds: float) -> Iterator[str]:
        until = time.time() - seconds
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):  # removed meanwhile
                if path.stat().st_mtime < until:
                    yield path.name

    def close(self) -> None:
        """A folder has none."""

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key


def _sync(folder: Path) -> None:
    """Have the entries of a folder survive a power cut, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """A disk that turns out to be full inside becomes what the API answers. Raises Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Unavailable(NO_ROOM) from error
        raise


def arriving(folder: Path) -> Path:
    """Where files are while they arrive, below the instance folder: on the same disk, so that they
    need only be renamed."""
    place = folder / ARRIVING
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def sweep_arriving(folder: Path, seconds: float) -> None:
    """Remove what has not grown for longer: it arrived in a process that was killed."""
    until = time.time() - seconds
    for place in arriving(folder).iterdir():
        with suppress(FileNotFoundError):
            if max(each.stat().st_mtime for each in (place, *place.iterdir())) < until:
                shutil.rmtree(place)
