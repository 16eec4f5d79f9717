"""The API with the outbox's recording switched off: what a send would cost without it."""

from app import app
from models import Event


def _nothing(*_: object, **__: object) -> None:
    pass


Event.record = _nothing  # type: ignore[method-assign]

__all__ = ["app"]
