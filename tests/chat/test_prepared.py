"""Statements that go to the driver: the same rows and errors as those that SQLAlchemy runs."""

from typing import Any

import pytest
from flask.ctx import AppContext
from sqlalchemy import bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from database import db, session, utcnow
from models import Event, Message, User
from statements import Prepared
from tests.support.conversations import postgresql_only
from tests.support.people import Person

MESSAGES = select(Message.__table__).order_by(Message.id)
BY_ID = select(Message.id, Message.created_at).where(Message.id == bindparam("id"))


@pytest.fixture
def said(context: AppContext, ada: Person, chat: dict[str, Any]) -> list[dict[str, Any]]:
    return [ada.said(chat, "Hello"), ada.said(chat, "Bob", client_message_id="c1")]


def test_rows_are_those_of_sqlalchemy(said: list[dict[str, Any]]) -> None:
    rows = session.execute(MESSAGES).all()
    assert len(rows) == len(said)

    found = Prepared(MESSAGES).rows(session.connection(), {})

    assert [each._asdict() for each in found] == [each._asdict() for each in rows]


def test_a_row_that_is_not_there_is_none(said: list[dict[str, Any]]) -> None:
    by_id = Prepared(BY_ID)

    assert by_id.row(session.connection(), {"id": said[0]["id"]}).id == said[0]["id"]
    assert by_id.row(session.connection(), {"id": said[1]["id"] + 1}) is None


def test_a_value_that_was_forgotten_is_an_error(said: list[dict[str, Any]]) -> None:
    with pytest.raises(KeyError, match="id"):
        Prepared(BY_ID).row(session.connection(), {"ID": 1})


def test_columns_that_are_not_given_have_their_defaults(context: AppContext) -> None:
    event = {"channel": "c", "name": "n", "data": "{}", "created_at": utcnow()}
    statement = Prepared(insert(Event).returning(Event.refusals, Event.set_aside), *event)

    row = statement.row(session.connection(), event)
    session.rollback()

    assert tuple(row) == (0, None)


def test_errors_are_those_of_sqlalchemy_and_quote_no_values(
    context: AppContext, ada: Person, chat: dict[str, Any]
) -> None:
    secret = {"channel_id": chat["channel_id"], "sender_id": 2**40, "created_at": utcnow()}
    statement = Prepared(insert(Message), *secret, "text")

    with pytest.raises(IntegrityError) as refused:
        statement.count(session.connection(), {**secret, "text": "between us"})
    session.rollback()

    assert "between us" not in str(refused.value)


@postgresql_only
def test_a_lost_connection_is_given_up(context: AppContext) -> None:
    connection = session.connection()
    number = {"pid": connection.execute(text("SELECT pg_backend_pid()")).scalar()}
    end = text("SELECT pg_terminate_backend(:pid, 60000)")  # and waits until it is gone
    with db.engine.connect() as other:
        assert other.execute(end, number).scalar()

    with pytest.raises(OperationalError) as lost:
        Prepared(BY_ID).row(connection, {"id": 1})
    session.rollback()

    assert lost.value.connection_invalidated
    assert Prepared(BY_ID).row(session.connection(), {"id": 1}) is None


def test_a_value_that_was_not_selected_is_an_error(context: AppContext, ada: Person) -> None:
    user = User.with_id(ada.id)

    assert user.username == "ada"
    with pytest.raises(AttributeError, match="not selected"):
        _ = user.created_at
