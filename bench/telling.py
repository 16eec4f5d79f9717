"""Measure what telling of events costs the commits of others on PostgreSQL, and print a table.

    .venv/bin/python -m bench.telling postgresql://user@host/an_empty_database [--seconds N]

pgbench sends messages over 1, 4 and 16 connections, each in a chat of its own: the statements with
which the API stores one. Nobody tells of the events; three processes tell of them after the
commits, as the API does; or each transaction tells of its own, as it used to. They take turns.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine

import config
from bench.run import row
from database import init_db
from realtime.lease import Lease
from realtime.outbox import TELL_SECONDS

CONNECTIONS = 1, 4, 16
PROCESSES = 3
SETUP = """
INSERT INTO users (id, username, username_key, password_hash, created_at)
  SELECT i, 'user' || i, 'user' || i, '', now() FROM generate_series(1, 32) AS i;
INSERT INTO channels (id, low_id, high_id, low_read_id, high_read_id, last_message_id, indexed_id,
                      unindexed, created_at, active_at)
  SELECT i, 2 * i - 1, 2 * i, 0, 0, 0, 0, 0, now(), now() FROM generate_series(1, 16) AS i;
"""
NUMBER = (
    "GREATEST(pg_current_xact_id()::text::bigint,"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)"
)
SEND = f"""
\\set chat :client_id + 1
\\set sender 2 * :chat - 1
BEGIN;
SELECT * FROM channels WHERE low_id = :sender AND high_id = :sender + 1 FOR UPDATE;
INSERT INTO messages (channel_id, sender_id, text, created_at, transaction_id)
  VALUES (:chat, :sender, 'Shall we meet at the usual place at noon?', now(), {NUMBER})
  ON CONFLICT (sender_id, client_message_id) DO NOTHING RETURNING id \\gset
UPDATE channels SET last_message_id = :id, active_at = now(), low_read_id = :id WHERE id = :chat;
INSERT INTO events (transaction_id, channel, name, data, message_id, created_at, refusals) VALUES
  ({NUMBER}, 'private-chat_' || :chat, 'new_message', repeat('x', 300), :id, now(), 0),
  ({NUMBER}, 'private-notification_user_' || :chat, 'new_chat', repeat('x', 500), :id, now(), 0);
COMMIT;
"""
TELLING_INSIDE = SEND.replace("COMMIT;", "SELECT pg_notify('events', '');\nCOMMIT;")


def pgbench(url: str, script: str, connections: int, seconds: float) -> float:
    """Transactions a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [_program(), "--no-vacuum", "--client", str(connections), "--jobs", "2"]
        command += ["--time", str(round(seconds)), "--file", file.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def _program() -> str:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    return shutil.which("pgbench") or str(found[-1])


@contextmanager
def told(url: str) -> Iterator[None]:
    """Meanwhile some processes tell as often as they may."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), pool_size=9)
    over = threading.Event()

    def tell() -> None:
        lease = Lease(engine)
        while not over.wait(TELL_SECONDS):
            lease.tell()

    threads = [threading.Thread(target=tell) for _ in range(PROCESSES)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in threads:
            each.join()
        engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.telling")
    parser.add_argument("url", help="of an empty PostgreSQL database")
    parser.add_argument("--seconds", type=float, default=5, help="of each load (5)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    given = parser.parse_args()
    init_db(config.load({"DATABASE_URL": given.url}))
    engine = create_engine(given.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(SETUP)
    row("transactions a second", "nobody tells", "", "ratio", "goal")
    row("-" * 44, "-" * 14, "-" * 14, "-" * 6, "-" * 8)
    for connections in CONNECTIONS:
        rates: dict[str, list[float]] = {"nobody": [], "after": [], "inside": []}
        for _ in range(given.rounds):
            load = (connections, given.seconds)
            rates["nobody"].append(pgbench(given.url, SEND, *load))
            with told(given.url):
                rates["after"].append(pgbench(given.url, SEND, *load))
            rates["inside"].append(pgbench(given.url, TELLING_INSIDE, *load))
        base = rates.pop("nobody")
        for how, goal in (("after", ">= 0.9"), ("inside", "")):
            ratio = median(one / two for one, two in zip(rates[how], base, strict=True))
            what = f"{connections} connections, told {how} the transaction"
            figures = (f"{median(base):,.0f} /s", f"{median(rates[how]):,.0f} /s")
            row(what, *figures, f"{ratio:.2f}", goal)
    engine.dispose()


if __name__ == "__main__":
    main()
