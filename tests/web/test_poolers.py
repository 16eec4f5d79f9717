"""A pooler between the API and PostgreSQL: it works, or a sentence says what to do."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.support.conversations import postgresql_only
from tests.support.people import ChatServer, at_once, refused
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Postgres, require

pytestmark = [pytest.mark.slow, postgresql_only]


@pytest.fixture
def behind(
    postgres: Postgres, start: Callable[..., ChatServer], request: pytest.FixtureRequest
) -> Callable[[str], ChatServer]:
    """A server whose database is behind a pooler of this mode."""
    require(PgBouncer)

    def behind(mode: str) -> ChatServer:
        pooler = PgBouncer(postgres.port, mode)
        request.addfinalizer(pooler.close)
        pooler.start()
        database = urlsplit(postgres.create_database()).path[1:]
        return start("gunicorn", DATABASE_URL=pooler.url(database))

    return behind


def test_sessions_that_change_with_transactions_are_refused(
    behind: Callable[[str], ChatServer],
) -> None:
    server = behind("transaction")

    message = refused(server.api.get("/health"), 503, "unavailable")

    assert "pool_mode=session" in message
    assert "Traceback" not in server.log.read_text()


def test_people_chat_through_a_pooler_of_sessions(behind: Callable[[str], ChatServer]) -> None:
    server = behind("session")
    ada, bob = server.api.sign_up("ada"), server.api.sign_up("bob")
    chat = ada.asks(bob).json

    sent = at_once(12, lambda number: ada.says(chat, f"number {number}").status)

    assert sent == [201] * 12
    assert server.api.get("/health").json["sockets"]["owner"]
