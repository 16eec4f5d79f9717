"""Assets: the files that the chat page loads, and the version in their addresses.

A version stands for exactly these bytes, so browsers may keep what is at such an address for ever.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from config import ROOT

STATIC = ROOT / "static"
#: The modules and style sheets as one file each, if `make` could make them with esbuild.
BUNDLE = STATIC / "bundle"
BUNDLED = ("app.js", "app.css")
SOURCES = (".js", ".css")
VERSION_LENGTH = 12
#: A script that is no module: it runs before the page is drawn.
BESIDE = ("appearance.js",)
#: Scripts that are not the page's.
OTHERS = ("docs.js", "worker.js", "opening.js")

#: A file's name below the version, where it is, and how it was when it was last written.
Stamp = tuple[str, Path, int, int]


@dataclass(frozen=True)
class Assets:
    """The files by their names, such as views/talk.js, all read at one time."""

    version: str
    files: dict[str, bytes]
    bundled: bool

    @property
    def needed(self) -> list[str]:
        """The names of the scripts and style sheets without which the page does not open."""
        if self.bundled:
            return [*BUNDLED, *BESIDE]
        return [name for name in self.files if name.endswith(SOURCES) and name not in OTHERS]


def current(others: dict[str, Path]) -> Assets:
    """The files as they now are on the disk: those of static/ and, by their names here, others.

    A changed module is seen at the next load, because the version is another one.
    """
    stamps = {stamp[0]: stamp for stamp in _stamps(STATIC)}
    bundle = {stamp[0]: stamp for stamp in _stamps(BUNDLE) if stamp[0] in BUNDLED}
    bundled = _is_whole(bundle) and _is_newer(bundle.values(), stamps.values())
    if bundled:
        stamps |= bundle
    found = [
        *stamps.values(),
        *(_stamp(name, path) for name, path in others.items() if path.exists()),
    ]
    return _read(tuple(sorted(found)), bundled)


def _stamps(folder: Path) -> list[Stamp]:
    return [
        _stamp(path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.is_file() and (folder == BUNDLE or BUNDLE not in path.parents)
    ]


def _stamp(name: str, path: Path) -> Stamp:
    found = path.stat()
    return name, path, found.st_mtime_ns, found.st_size


def _is_whole(bundle: dict[str, Stamp]) -> bool:
    return all(name in bundle for name in BUNDLED)


def _is_newer(bundle: Iterable[Stamp], files: Iterable[Stamp]) -> bool:
    """Whether no source was written after the bundle was made."""
    made = min(written for _, _, written, _ in bundle)
    return all(written <= made for name, _, written, _ in files if name.endswith(SOURCES))


@lru_cache(maxsize=1)
def _read(stamps: tuple[Stamp, ...], bundled: bool) -> Assets:
    files = {name: path.read_bytes() for name, path, _, _ in stamps}
    content = hashlib.sha256()
    for name, bytes_ in files.items():
        content.update(f"{name} {len(bytes_)}\n".encode() + bytes_)
    return Assets(content.hexdigest()[:VERSION_LENGTH], files, bundled)
