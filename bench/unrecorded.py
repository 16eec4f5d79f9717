"""The API with the outbox's recording switched off: what a send would cost without it."""

from app import app
from chat import events


def _nothing(*_: object, **__: object) -> None:
    pass


events.record = _nothing

__all__ = ["app"]
