"""Secrets that are made on first need, and kept in files that only their owner can read."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in a file, made if there is none yet.

    Several processes may ask at once. Each writes its value to a draft and links the draft to the
    path: one link succeeds, the others fail, and nobody ever reads a half-written file.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with open(draft, "x", opener=_private, encoding="ascii") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except OSError:
                if not path.exists():  # no hard links: exFAT, and some network mounts
                    with FileLock(f"{path}.lock"):
                        path.exists() or draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
