"""The tally: numbers that each process of this machine keeps, added up.

Each process has a file of its own. When it ends, the next one to start takes the file over and goes
on counting in it. So a kill loses no count, and there are never more files than there were
processes at once.

prometheus_client has a way for several processes, too. It writes through mmap, and there a full
disk ends the process (SIGBUS); here it is an error that can be caught.
"""

import itertools
import json
import logging
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

#: A name and the values of its labels.
Key = tuple[str, ...]

#: A record: the number, the length of the key, and then the key as JSON.
_HEAD = struct.Struct("<dI")
_NUMBER = struct.Struct("<d")
_BINARY = getattr(os, "O_BINARY", 0)  # on Windows

log = logging.getLogger(f"app.{__name__}")


class Tally:
    """The numbers of one process, in a file that the others read.

    Counts go up and outlive the process. Levels, whose names are given, go up and down, and end
    with it. What the disk does not take is still counted here, but the others do not see it.
    """

    def __init__(self, folder: Path, levels: frozenset[str]) -> None:
        self._folder = folder
        self._levels = levels
        self._lock = threading.Lock()
        self._totalling = threading.Lock()  # or two at once would take each other for a process
        self._pid = 0
        self._number = -1
        self._turn: FileLock | None = None
        self._file: int | None = None  # a descriptor
        self._end = 0
        self._places: dict[Key, int] = {}
        self._numbers: dict[Key, float] = {}
        self._told = False

    def add(self, key: Key, amount: float = 1) -> None:
        """Count."""
        with self._lock:
            self._open()
            self._write(key, self._numbers.get(key, 0.0) + amount)

    def put(self, levels: dict[str, float]) -> None:
        """Set levels."""
        with self._lock:
            self._open()
            for name, level in levels.items():
                if self._numbers.get((name,)) != level:
                    self._write((name,), level)

    def total(self) -> tuple[Counter[Key], int]:
        """The numbers of all processes, and how many processes live, this one included."""
        with self._lock:
            self._open()
            sums, processes = Counter[Key](self._numbers), 1
        with self._totalling:
            for path in self._folder.glob("*.tally"):
                if path.stem == str(self._number):
                    continue
                lives = self._is_taken(path.stem)
                processes += lives
                for key, number, _ in _records(path.read_bytes()):
                    if lives or key[0] not in self._levels:
                        sums[key] += number  # type: ignore[assignment]
        return sums, processes

    def close(self) -> None:
        """Leave the file to another process."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            if self._turn and self._pid == os.getpid():
                self._turn.release()
            self._file = self._turn = None

    def __del__(self) -> None:
        self.close()

    # The file ----------------------------------------------------------------------------------

    def _open(self) -> None:
        """Take the first file that no living process has, once in each process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._inherited = self._turn  # or its end would give the parent's file away
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for self._number in itertools.count():
                self._turn = FileLock(self._lock_of(str(self._number)), mode=0o600)
                try:
                    self._turn.acquire(blocking=False)
                except Timeout:
                    continue
                break
            path = self._folder / f"{self._number}.tally"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
            self._read(path.read_bytes())
        except OSError as error:
            self._tell(error)

    def _read(self, before: bytes) -> None:
        """Go on with the counts of the process that had the file before; its levels are no more."""
        self._end, self._places, self._numbers = 0, {}, {}
        for key, number, place in _records(before):
            self._places[key] = place
            self._end = place + _HEAD.size + len(_encoded(key))
            self._numbers[key] = number
        for key in [key for key in self._numbers if key[0] in self._levels]:
            self._write(key, 0.0)

    def _write(self, key: Key, number: float) -> None:
        self._numbers[key] = number
        if self._file is None:
            return
        place = self._places.get(key)
        record = _NUMBER.pack(number)
        if place is None:
            encoded = _encoded(key)
            record = _HEAD.pack(number, len(encoded)) + encoded
        try:
            os.lseek(self._file, self._end if place is None else place, os.SEEK_SET)
            if os.write(self._file, record) == len(record) and place is None:
                self._places[key] = self._end
                self._end += len(record)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            log.warning("What this process counts is not seen by others: %s", error)

    def _is_taken(self, number: str) -> bool:
        lock = FileLock(self._lock_of(number), mode=0o600)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False

    def _lock_of(self, number: str) -> Path:
        return self._folder / f"{number}.lock"


def _encoded(key: Key) -> bytes:
    return json.dumps(key).encode()


def _records(data: bytes) -> Iterator[tuple[Key, float, int]]:
    """Each key, its number, and where that stands; up to what a kill or a full disk has cut off."""
    place = 0
    while place + _HEAD.size <= len(data):
        number, length = _HEAD.unpack_from(data, place)
        encoded = data[place + _HEAD.size : place + _HEAD.size + length]
        try:
            key = tuple(json.loads(encoded))
        except ValueError:
            return
        yield key, number, place
        place += _HEAD.size + length
