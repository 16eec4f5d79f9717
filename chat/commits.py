"""What others are told once a transaction of db.session is committed, and not if it is rolled
back."""

from blinker import Signal
from sqlalchemy import event
from sqlalchemy.orm import Session

from database import db

_TOLD = "told_on_commit"


def tell(signal: Signal, *words: str) -> None:
    """Send the signal once this transaction is committed, with all words that were given for it."""
    db.session.info.setdefault(_TOLD, {}).setdefault(signal, []).extend(words)


@event.listens_for(db.session, "after_commit")
def _tell(session: Session) -> None:
    for signal, words in session.info.pop(_TOLD, {}).items():
        signal.send(words)


@event.listens_for(db.session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_TOLD, None)
