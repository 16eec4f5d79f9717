"""Housekeeping goes on, whatever fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, update

from chat.storage import Folder
from config import Settings
from database import db
from models import User
from tests.support.people import InProcess, Person, looking_into
from tests.support.servers import eventually
from web.housekeeping import Housekeeping


def test_housekeeping_goes_on_after_a_failure(
    make_api: Callable[..., InProcess],
    ada: Person,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("web.housekeeping.MINUTE", 0.05)
    app = make_api().app
    with app.app_context():
        engine = db.engine
    fails = True

    def fail(_connection: Connection, *_: Any) -> None:
        if fails:
            raise OSError("the disk is gone")

    event.listen(engine, "before_cursor_execute", fail)
    housekeeping = Housekeeping(app, Folder(tmp_path / "files"), tmp_path)
    housekeeping.start()
    try:
        assert eventually(lambda: "It goes on with the next" in caplog.text)
        with looking_into(settings) as connection:
            connection.execute(update(User).where(User.id == ada.id).values(has_words=False))
            connection.commit()

        fails = False

        assert eventually(lambda: has_words(settings, ada))
    finally:
        housekeeping.stop()


def has_words(settings: Settings, person: Person) -> bool:
    with looking_into(settings) as connection:
        user = User.__table__.c
        found = connection.execute(User.__table__.select().where(user.id == person.id)).one()
    return bool(found.has_words)
