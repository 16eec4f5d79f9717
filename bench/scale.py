"""Measure how the cost of a request grows with messages, chats and users, and print a table.

    python -m bench.scale [--seconds N] [--rounds N] [--postgresql URL] [axes...]

Each axis has three databases on SQLite, each ten times as large in one thing and the same in all
others. A slope is the CPU of a request on the largest one to that on the smallest one, which is a
hundredth of it: 1.0 is no growth. CPU counts only what the server itself has used, so that others
on the machine matter less. "walls" measures what does not grow with processes.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import config
from bench import data
from bench.conversations import same_generation
from bench.run import API, CHATS, Bench, drained, fetch
from bench.server import ROOT, Request, Server, pusher, send
from chat import cursors
from contract.names import MAX_ID
from database import init_db


@dataclass(frozen=True)
class Size:
    """How much there is: user 1 has so many chats of ten messages each; all others have one chat,
    and all the rest of the messages are theirs."""

    messages: int = 20_000
    chats: int = 10
    users: int = 2_000


#: What grows along each axis, and how far.
AXES = {
    "messages": ("messages", (5_000, 50_000, 500_000)),
    "chats": ("chats", (10, 100, 1_000)),
    "users": ("users", (1_000, 10_000, 100_000)),
    "names": ("users", (1_000, 30_000, 1_000_000)),
}
SEQUENCE = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {})"
#: Of the chat of a pair, of user 1 and one after the other, then of each two of the rest.
TABLES = (
    "INSERT INTO users (id, username, username_key, password_hash, created_at)"
    " SELECT i, 'user' || i, 'user' || i, '', :now FROM n WHERE i <= :users",
    # Everybody is found by the name, and 1,000 of them by "hopper" too.
    "INSERT INTO name_words (word, user_id) SELECT 'user' || i, i FROM n WHERE i <= :users",
    "INSERT INTO name_words (word, user_id)"
    " SELECT 'hopper', i * (:users / 1000) FROM n WHERE i <= 1000",
    "UPDATE users SET has_words = true",
    "INSERT INTO sessions (jti, user_id, expires_at)"
    " SELECT printf('%032x', i), i, '2126-01-01 00:00:00.000000' FROM n WHERE i <= 2",
    "INSERT INTO channels (id, low_id, high_id, created_at, active_at)"
    " SELECT i, CASE WHEN i <= :chats THEN 1 ELSE 2 * i - :chats END,"
    " CASE WHEN i <= :chats THEN i + 1 ELSE 2 * i - :chats + 1 END, :now, :now"
    " FROM n WHERE i <= :chats OR 2 * i - :chats < :users",
    # Those of user 1 come last, as of somebody who is there now.
    "INSERT INTO messages (id, channel_id, sender_id, text, created_at, transaction_id)"
    " SELECT i, channels.id, low_id, 'meeting number' || (i % 97) || ' word' || (i % 1009), :now, i"
    " FROM n JOIN channels ON channels.id = CASE WHEN i > :messages - 10 * :chats"
    " THEN i % :chats + 1 ELSE :chats + 1 + i % ((:users - :chats - 1) / 2) END"
    " WHERE i <= :messages",
    "UPDATE channels SET (last_message_id, indexed_id) ="
    " (SELECT max(id), max(id) FROM messages WHERE channel_id = channels.id)"
    " WHERE id IN (SELECT channel_id FROM messages)",
    *(
        "INSERT INTO words (channel_id, word, message_id)"
        f" SELECT channel_id, {word}, id FROM messages"
        for word in ("'meeting'", "'number' || (id % 97)", "'word' || (id % 1009)")
    ),
)


def build(folder: Path, size: Size) -> None:
    """Make a database of this size."""
    init_db(config.load({"INSTANCE_PATH": str(folder)}))
    values = {**vars(size), "now": "2026-01-01 00:00:00.000000"}
    with sqlite3.connect(folder / "chat.db") as database:
        database.execute("PRAGMA synchronous=OFF")
        for statement in TABLES:
            head, select, rest = statement.partition(" SELECT ")
            if " FROM n" in rest:
                sequence = SEQUENCE.format(max(size.messages, size.users))
                head, select = f"{sequence} {head}", select
            database.execute(head + select + rest, values)
    database.close()
    same_generation(folder, None)


def requests(size: Size) -> dict[str, Request]:
    """What user 1 asks."""

    def ask(path: str) -> Request:
        return Request("GET", path, data.token(1))

    recent = cursors.encode("sync", size.messages - 51, MAX_ID)
    latest = cursors.encode("sync", size.messages, MAX_ID)
    body = '{"channel": 1, "message": "Shall we meet at the usual place at noon?"}'
    return {
        "a page of a history": ask("/api/get_message/1?limit=10"),
        "the inbox, 10 chats of it": ask("/api/chats?limit=10"),
        "sync, nothing new": ask(f"/api/sync?since={latest}"),
        "sync of 50": ask(f"/api/sync?limit=50&since={recent}"),
        "search of a rare word": ask("/api/search?q=word7&limit=10"),
        "search of a common word": ask("/api/search?q=meeting&limit=10"),
        "a page of 50 users": ask("/api/users?limit=50"),
        "people by a word of 1,000": ask("/api/users?q=hop&limit=50"),
        "send": Request("POST", "/api/send_message", data.token(1), body),
    }


def slopes(axis: str, seconds: float, rounds: int) -> None:
    """The rows of one axis."""
    member, counts = AXES[axis]
    sizes = [Size(**{member: count}) for count in counts]
    print(f"\n| {axis} | " + " | ".join(f"{count:,}" for count in counts) + " | slope |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, pusher("down") as settings:
        folders = [Path(name, str(count)) for count in counts]
        for folder, size in zip(folders, sizes, strict=True):
            build(folder, size)
        found: dict[str, list[list[float]]] = {what: [[], [], []] for what in requests(sizes[0])}
        for place, (folder, size) in enumerate(zip(folders, sizes, strict=True)):
            with Server(API, folder, processes=1, env=settings) as server:
                for what, request in requests(size).items():
                    for _ in range(rounds):
                        found[what][place].append(server.under([request], seconds).cpu)
    for what, costs in found.items():
        middle = [median(each) for each in costs]
        figures = " | ".join(f"{each:.2f} ms" for each in middle)
        print(f"| {what} | {figures} | {middle[2] / middle[0]:.2f} |", flush=True)


def drain(bench: Bench) -> None:
    """Events drained, where few channels have them, and where many do."""
    for channels in (1, CHATS):
        rates = []
        for number in range(bench.rounds):
            folder = Path(bench.folder, f"{channels}-{number}")
            data.build(folder, CHATS)
            data.add_events(folder / "chat.db", 20_000, channels)
            with (
                pusher("at once") as settings,
                Server(API, folder, processes=1, env=settings) as server,
            ):
                fetch(server, "/health")
                rates.append(drained(folder / "chat.db", bench.seconds))
        print(
            f"| events drained, of {2 * channels} channels | {median(rates):,.0f} /s |", flush=True
        )


def one_chat(bench: Bench, url: str) -> None:
    """Sends on PostgreSQL: 16 clients in a chat each, and all of them in one."""
    folder = Path(bench.folder, "chats")
    data.build(folder, CHATS)
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "app.py"), "db", "copy", url]
    env = {"INSTANCE_PATH": str(folder), "FLASK_SKIP_DOTENV": "1"}
    subprocess.run(command, env=os.environ | env, check=True, stdout=subprocess.DEVNULL)
    with pusher("down") as settings:
        env = settings | {"DATABASE_URL": url}
        with Server(API, folder, processes=2, threads=8, env=env) as server:
            ratios = []
            for _ in range(bench.rounds):
                many = server.under([send(chat) for chat in range(1, 17)], bench.seconds).rate
                one = server.under([send(1)] * 16, bench.seconds).rate
                ratios.append(one / many)
    print(f"| 16 clients in one chat, to 16 in 16 chats: sends | {median(ratios):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.scale")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each load (0.5)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (3)")
    parser.add_argument("--postgresql", metavar="URL", help="of an empty database, for one_chat")
    parser.add_argument("axes", nargs="*", metavar="axes", help=", ".join([*AXES, "drain"]))
    given = parser.parse_args()
    if unknown := set(given.axes) - {*AXES, "drain"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for axis in AXES:
        if axis in (given.axes or AXES):
            slopes(axis, given.seconds, given.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bench = Bench(Path(name), given.seconds, given.rounds)
        if "drain" in (given.axes or ["drain"]):
            drain(bench)
        if given.postgresql:
            one_chat(bench, given.postgresql)


if __name__ == "__main__":
    main()
