"""Measure conversations on a large database against a small one, and print a table of medians.

    python -m bench.conversations [--seconds N] [--rounds N] [--postgresql URL] [names...]

Small: 1,000 messages in 10 chats. Large: 1,000,000 in 10,000 chats, one of them of 100,000. User 1
has the same 10 chats of 100 messages in both. Each measure takes turns on both; a ratio is the
median of the rounds' own ratios. Only ratios count. Then the same user takes turns with one who has
2,000 chats, both on the large database.

The URL is that of an empty PostgreSQL database for the small one; the large one is made beside it.
"""

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import psycopg
from sqlalchemy import make_url

import config
from bench import data
from bench.run import API, compare, row
from bench.server import Request, Server
from chat import cursors
from chat.words import words
from database import init_db

MINE = 10  # chats of user 1
MANY = 2_000  # chats of another one, in the large database
EACH = 100  # messages in each of them
COMMON, RARE = "meeting", "zanzibar"  # in every other message; in one of each chat
VOCABULARY = [
    f"{consonant}{vowel}{number}"
    for consonant in "bcdfg"
    for vowel in "aeiou"
    for number in range(80)
]
STARTED = datetime(2026, 1, 1)

Table = tuple[str, str, Iterator[tuple[Any, ...]]]


class Content:
    """What a database holds: user 1's chats, then those of others, their messages interleaved. Of
    the others one has many, after a chat that may be a long one."""

    def __init__(self, others: int, in_each: int, in_the_long_one: int, many: int = 0) -> None:
        self.pairs = [(1, peer) for peer in range(2, MINE + 2)]
        first = MINE + 2
        self.popular = first + 2
        for number in range(others):
            low = self.popular if 0 < number <= many else first + 2 * number
            self.pairs.append((low, first + 2 * number + 1))
        self.counts = [EACH] * MINE + [in_each] * others
        if in_the_long_one:
            self.counts[MINE] = in_the_long_one
        self.ids: list[list[int]] = [[] for _ in self.pairs]
        number = 0
        for turn in range(EACH):
            for channel, count in enumerate(self.counts):
                for _ in range(count * (turn + 1) // EACH - count * turn // EACH):
                    number += 1
                    self.ids[channel].append(number)
        self.total = number

    @staticmethod
    def text(channel: int, place: int) -> str:
        said = Random(channel * 1_000_003 + place).choices(VOCABULARY, k=8)
        said += [COMMON] if place % 2 else []
        said += [RARE] if place == EACH // 2 else []
        return " ".join(said)

    def tables(self) -> list[Table]:
        return [
            ("users", "id, username, username_key, password_hash, created_at", self._users()),
            ("sessions", "jti, user_id, expires_at", self._sessions()),
            (
                "channels",
                "id, low_id, high_id, low_read_id, high_read_id, last_message_id, indexed_id,"
                " created_at, active_at",
                self._channels(),
            ),
            (
                "messages",
                "id, channel_id, sender_id, text, created_at, transaction_id",
                self._messages(),
            ),
            ("words", "channel_id, word, message_id", self._words()),
        ]

    def _users(self) -> Iterator[tuple[Any, ...]]:
        for user in range(1, self.pairs[-1][1] + 1):
            yield user, f"user{user}", f"user{user}", data.PASSWORD_HASH, time_of(0)

    def _sessions(self) -> Iterator[tuple[Any, ...]]:
        expires = datetime.now(UTC) + timedelta(days=1)
        for user in {user for pair in self.pairs[: MINE + 2] for user in pair}:
            yield f"{user:032x}", user, f"{expires:%Y-%m-%d %H:%M:%S.%f}"

    def _channels(self) -> Iterator[tuple[Any, ...]]:
        for number, (low, high) in enumerate(self.pairs):
            ids = self.ids[number]
            read = (ids[len(ids) // 2], ids[-1], ids[-1], ids[-1])
            yield number + 1, low, high, *read, time_of(0), time_of(ids[-1])

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        places = [iter(enumerate(ids)) for ids in self.ids]
        order = sorted((id_, channel) for channel, ids in enumerate(self.ids) for id_ in ids)
        for _, channel in order:
            place, id_ = next(places[channel])
            sender = self.pairs[channel][place % 2]
            text = self.text(channel, place)
            yield id_, channel + 1, sender, text, time_of(id_), id_

    def _words(self) -> Iterator[tuple[Any, ...]]:
        for channel, ids in enumerate(self.ids):
            yield from sorted(
                (channel + 1, word, id_)
                for place, id_ in enumerate(ids)
                for word in words(self.text(channel, place))
            )


SMALL = Content(0, 0, 0)


def time_of(message: int) -> str:
    return f"{STARTED + timedelta(seconds=message):%Y-%m-%d %H:%M:%S.%f}"


def requests(content: Content) -> dict[str, Request]:
    """The requests that are measured, for one of the two databases."""
    mine = sorted(id_ for ids in content.ids[:MINE] for id_ in ids)
    since = cursors.encode("sync", mine[-201], mine[-201])
    # The longest chat, read by one of its two people.
    channel = max(range(len(content.counts)), key=lambda number: (content.counts[number], -number))
    low, high = content.pairs[channel]
    ids = content.ids[channel]
    history = f"/api/get_message/private-chat_{low}_{high}?limit=50"

    def get(path: str, user: int = 1) -> Request:
        return Request("GET", path, data.token(user))

    return {
        "inbox": get("/api/chats"),
        "first page of a history": get(f"{history}&after=0", low),
        "middle page of a history": get(f"{history}&around={ids[len(ids) // 2]}", low),
        "last page of a history": get(history, low),
        "sync of 200": get(f"/api/sync?limit=200&since={since}"),
        "search of a common word": get(f"/api/search?q={COMMON}"),
        "search of a rare word": get(f"/api/search?q={RARE}"),
        "search of both": get(f"/api/search?q={COMMON}+{RARE}"),
        "search in a chat": get(f"/api/search?q={COMMON}&channel=1"),
    }


def answered_at_once(server: Server, user: int) -> dict[str, Request]:
    """What is to cost the same for somebody with many chats."""
    headers = {"Authorization": f"Bearer {data.token(user)}"}
    asked = HttpRequest(f"http://127.0.0.1:{server.port}/api/sync", headers=headers)
    with urlopen(asked) as answer:
        since = json.load(answer)["cursor"]
    return {
        "sync of nothing": Request("GET", f"/api/sync?since={since}", data.token(user)),
        "search of a common word, by both": Request(
            "GET", f"/api/search?q={COMMON}", data.token(user)
        ),
    }


def build(folder: Path, content: Content, url: str | None) -> dict[str, str]:
    """Fill a database. Returns the settings for a server on it."""
    env = {"INSTANCE_PATH": str(folder), **({"DATABASE_URL": url} if url else {})}
    init_db(config.load(env))
    for table, columns, rows in content.tables():
        if url:
            copy(url, f"COPY {table} ({columns}) FROM STDIN", rows)
        else:
            places = ", ".join("?" * len(columns.split(",")))
            insert(folder, f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
    same_generation(folder, url)
    if url:
        use_up_numbers(url, content.total)
    return env


def insert(folder: Path, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with sqlite3.connect(folder / "chat.db") as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-400000")
        database.executemany(statement, rows)
    database.close()


def same_generation(folder: Path, url: str | None) -> None:
    """Have the database take cursors that name none."""
    statement = "UPDATE generations SET number = 0"
    if url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)
    else:
        insert(folder, statement, [()])


def copy(url: str, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy(statement.encode()) as to:
            for each in rows:
                to.write_row(each)
        connection.execute("ANALYZE")


def use_up_numbers(url: str, count: int) -> None:
    """Use up transaction numbers, as if each message had been a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN"
            f" WHILE pg_current_xact_id()::text::bigint <= {count} LOOP COMMIT; END LOOP;"
            " END $$".encode()
        )


def beside(url: str | None) -> str | None:
    """Another empty PostgreSQL database on the same server."""
    if url is None:
        return None
    name = f"{make_url(url).database}_large"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.conversations")
    parser.add_argument("--seconds", type=float, default=1, help="of each load (1)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--postgresql", metavar="URL", help="instead of SQLite")
    parser.add_argument("names", nargs="*", metavar="names", help=", ".join(requests(SMALL)))
    given = parser.parse_args()
    if unknown := set(given.names) - set(requests(SMALL)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    large = Content(9_990, 90, 100_000, MANY)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folders = Path(name, "small"), Path(name, "large")
        urls = given.postgresql, beside(given.postgresql)
        envs = [build(*each) for each in zip(folders, (SMALL, large), urls, strict=True)]
        servers = [Server(API, folder, env=env) for folder, env in zip(folders, envs, strict=True)]
        with servers[0] as small_server, servers[1] as large_server:
            row("what", f"{SMALL.total:,}", f"{large.total:,}", "ratio", "goal")
            row("-" * 44, "-" * 14, "-" * 14, "-" * 6, "-" * 8)
            for what, request in requests(SMALL).items():
                if given.names and what not in given.names:
                    continue
                costs: tuple[list[Any], list[Any]] = ([], [])
                for _ in range(given.rounds):
                    costs[0].append(small_server.under([request], given.seconds))
                    costs[1].append(large_server.under([requests(large)[what]], given.seconds))
                compare(what, *costs, "p50", "ms", "<= 3")
            row("what", f"{MINE} chats", f"{MANY:,} chats", "ratio", "goal")
            of_many = answered_at_once(large_server, large.popular)
            for what, request in answered_at_once(large_server, 1).items():
                few, many = [], []
                for _ in range(given.rounds):
                    few.append(large_server.under([request], given.seconds))
                    many.append(large_server.under([of_many[what]], given.seconds))
                compare(what, few, many, "p50", "ms", "<= 3")


if __name__ == "__main__":
    main()
