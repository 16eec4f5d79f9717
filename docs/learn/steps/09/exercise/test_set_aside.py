"""An event has room for 10,240 bytes. One that is longer is refused today and for ever, and all
others wait behind it. Let it be set aside, so that they do not."""

import json

import pytest
from requests import ConnectionError
from sqlalchemy import select

from app import Event, app, db, deliver_next, pusher


@pytest.fixture
def told(client, monkeypatch):
    """What a Pusher server is told, which refuses what is too long as the official client does."""
    told = []

    def trigger(channel, name, data):
        if len(json.dumps(data)) > 10_240:
            raise ValueError("Too much data")
        told.append(data)

    monkeypatch.setattr(pusher, "trigger", trigger)
    with app.app_context():
        yield told


def recorded(*texts):
    for text in texts:
        db.session.add(Event(channel="private-x", name="new_message", data=json.dumps(text)))
    db.session.commit()


def test_others_do_not_wait_behind_a_long_event(told):
    recorded("x" * 20_000, "Hello")

    assert [deliver_next() for _ in range(3)] == [True, True, False]

    assert told == ["Hello"]


def test_what_was_set_aside_is_kept(told):
    recorded("x" * 20_000)

    deliver_next()

    assert len(db.session.scalars(select(Event)).all()) == 1, "somebody has to look at it"


def test_a_server_that_is_away_sets_nothing_aside(told, monkeypatch):
    def away(*_):
        raise ConnectionError

    recorded("Hello")
    with monkeypatch.context() as context:
        context.setattr(pusher, "trigger", away)
        with pytest.raises(ConnectionError):
            deliver_next()
    db.session.rollback()

    assert deliver_next()
    assert told == ["Hello"]
