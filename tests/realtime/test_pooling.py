"""PostgreSQL behind pgbouncer: by session it works, and by transaction it is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from config import Settings
from database import engine_options, init_db, prepare
from migrations import DatabaseError
from realtime import pooling
from realtime.lease import Lease
from tests.support.deliveries import wait_for_texts
from tests.support.people import ChatServer
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Postgres, eventually, require
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow


@pytest.fixture
def stub() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Of a database with tables, past the pooler."""
    url = postgres.create_database()
    init_db(Settings(database_url=url))
    return url


@pytest.fixture
def by_session(postgres: Postgres) -> Iterator[PgBouncer]:
    require(PgBouncer)
    with PgBouncer(postgres, "session") as pooler:
        yield pooler


@pytest.fixture
def by_transaction(postgres: Postgres) -> Iterator[PgBouncer]:
    require(PgBouncer)
    with PgBouncer(postgres, "transaction") as pooler:
        yield pooler


@contextmanager
def engine_to(url: str, **options: Any) -> Iterator[Engine]:
    settings = Settings(database_url=url)
    how = engine_options(settings) | {"connect_args": options}
    engine = prepare(create_engine(settings.url, **how))
    try:
        yield engine
    finally:
        engine.dispose()


def test_a_pooler_of_transactions_is_refused_at_start(
    by_transaction: PgBouncer, url: str, stub: StubPusher
) -> None:
    with ChatServer("gunicorn", DATABASE_URL=by_transaction.url(url), **stub.env) as server:
        answer = server.api.get("/health")

        assert answer.status == 503
        assert "set pool_mode = session" in answer.json["message"]
        assert eventually(lambda: "set pool_mode = session" in server.log.read_text())
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("prepare_threshold", [5, None], ids=["as shipped", "newer poolers"])
def test_no_lease_is_taken_through_a_pooler_of_transactions(
    prepare_threshold: int | None, by_transaction: PgBouncer, url: str
) -> None:
    """Newer ones carry prepared statements, so that nothing else would fail."""
    for _ in range(3):
        with engine_to(by_transaction.url(url), prepare_threshold=prepare_threshold) as engine:
            with pytest.raises(DatabaseError, match="pool_mode = session"):
                Lease(engine).acquire()
            with pytest.raises(DatabaseError, match="pool_mode = session"):
                pooling.refuse(engine)

    with engine_to(url) as engine:
        lease = Lease(engine)
        assert lease.acquire(), "the pooler has not kept the lock"
        lease.release()


def test_two_processes_deliver_through_a_pooler_of_sessions(
    by_session: PgBouncer, url: str, stub: StubPusher
) -> None:
    settings = {"DATABASE_URL": by_session.url(url), "JWT_SECRET_KEY": "secret" * 8, **stub.env}
    with ChatServer("gunicorn", **settings) as first, ChatServer("gunicorn", **settings) as second:
        ada, bob = first.api.sign_up("ada"), first.api.sign_up("bob")
        chat = ada.asks(bob).json
        ada.said(chat, "0")
        wait_for_texts(stub, chat, ["0"])

        first.kill()

        bob.api = second.api
        bob.said(chat, "1")
        wait_for_texts(stub, chat, ["0", "1"])
