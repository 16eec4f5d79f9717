"""Measure the API against the floor, and print a table of medians and their ratios.

    python -m bench.run [--seconds N] [--rounds N] [names...]

Within a round the contenders take turns, each with a fresh server and a fresh copy of the same
database; a ratio is the median of the rounds' own ratios. Machines drift: only ratios count.
Without a Pusher server configured ("none") the embedded one delivers in the same process.
"""

import argparse
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from bench import data
from bench.server import Cost, Request, Server, get, login, pusher, send

CHATS = 100
CLIENTS = 16
API, FLOOR, UNRECORDED = "app:app", "bench.floor:app", "bench.unrecorded:app"


@dataclass(frozen=True)
class Bench:
    folder: Path
    seconds: float
    rounds: int

    def cost(self, app: str, requests: list[Request], beside: int = 0, **options: Any) -> Cost:
        """The cost of these clients to a fresh server on a fresh copy of the small database."""
        with copy(self.small) as folder, Server(app, folder, **options) as server:
            return server.under(requests, self.seconds, beside)

    def with_pusher(
        self, kind: str, app: str = API, requests: list[Request] | None = None, **options: Any
    ) -> Cost:
        with pusher(kind) as settings:
            return self.cost(app, requests or [send(1)], env=settings, **options)

    def in_turn(self, **contenders: Callable[[], Any]) -> dict[str, list[Any]]:
        """What each contender returned, round by round."""
        results: dict[str, list[Any]] = {name: [] for name in contenders}
        for number in range(self.rounds):
            order = list(contenders)
            for name in order if number % 2 == 0 else order[::-1]:
                results[name].append(contenders[name]())
        return results

    @property
    def small(self) -> Path:
        """A hundred messages in each chat."""
        return self._built("small", CHATS, *[100] * CHATS)

    @property
    def large(self) -> Path:
        """A million messages in the first chats: 900,000, 100,000 and 1,000 of them."""
        return self._built("large", CHATS, 900_000, 100_000, 1_000)

    def _built(self, name: str, chats: int, *messages: int) -> Path:
        folder = self.folder / name
        if not folder.exists():
            data.build(folder, chats, *messages)
        return folder


class copy:
    """A copy of a database's folder, gone at the end."""

    def __init__(self, folder: Path) -> None:
        self._copy = Path(tempfile.mkdtemp(dir=folder.parent))
        shutil.copytree(folder, self._copy, dirs_exist_ok=True)

    def __enter__(self) -> Path:
        return self._copy

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._copy)


# The table -----------------------------------------------------------------------------------


def row(what: str, base: str, ours: str, ratio: str = "", goal: str = "") -> None:
    print(f"| {what:<44} | {base:>14} | {ours:>14} | {ratio:>6} | {goal:>8} |", flush=True)


def compare(
    what: str, base: list[Any], ours: list[Any], value: str, unit: str, goal: str = ""
) -> None:
    """A row: medians of one value of two contenders, and the median of the rounds' ratios."""
    of_base = [getattr(each, value) for each in base]
    of_ours = [getattr(each, value) for each in ours]
    ratio = median(mine / floor for mine, floor in zip(of_ours, of_base, strict=True))
    row(what, figure(median(of_base), unit), figure(median(of_ours), unit), f"{ratio:.2f}", goal)


def figure(value: float, unit: str) -> str:
    return f"{value:,.{0 if value > 99 else 2}f} {unit}"


def tail(what: str, costs: list[Cost], goal: str = "") -> None:
    p50, p99 = median(each.p50 for each in costs), median(each.p99 for each in costs)
    ratio = median(each.p99 / each.p50 for each in costs)
    row(what, f"{p50:.1f} ms", f"{p99:.1f} ms", f"{ratio:.1f}", goal)


# What is measured ----------------------------------------------------------------------------


def send_one(bench: Bench) -> None:
    """send_message, one client; the events wait, as the floor's do, or are delivered."""
    found = bench.in_turn(
        floor=lambda: bench.cost(FLOOR, [send(1)]),
        waiting=lambda: bench.with_pusher("down"),
        delivered=lambda: bench.with_pusher("none"),
    )
    compare("send, 1 client: CPU", found["floor"], found["waiting"], "cpu", "ms", "<= 2.0")
    compare("send, 1 client: p50", found["floor"], found["waiting"], "p50", "ms")
    compare("the same, delivering: CPU", found["floor"], found["delivered"], "cpu", "ms")
    compare("the same, delivering: p50", found["floor"], found["delivered"], "p50", "ms")


def get_one(bench: Bench) -> None:
    """get_message, the last 50, one client."""
    found = bench.in_turn(
        floor=lambda: bench.cost(FLOOR, [get(1)]), api=lambda: bench.cost(API, [get(1)])
    )
    compare("last 50, 1 client: CPU", found["floor"], found["api"], "cpu", "ms", "<= 1.5")
    compare("last 50, 1 client: p50", found["floor"], found["api"], "p50", "ms")


def get_pictures(bench: Bench) -> None:
    """get_message, the last 50, of which none, then 25 are pictures."""

    def cost(*, pictures: bool) -> Cost:
        with copy(bench.small) as folder:
            if pictures:
                data.add_pictures(folder / "chat.db", 1)
            with Server(API, folder) as server:
                return server.under([get(1)], bench.seconds)

    found = bench.in_turn(texts=lambda: cost(pictures=False), pictures=lambda: cost(pictures=True))
    what = "last 50, without -> with 25 pictures"
    compare(f"{what}: CPU", found["texts"], found["pictures"], "cpu", "ms", "<= 1.3")
    compare(f"{what}: p50", found["texts"], found["pictures"], "p50", "ms")


def send_many(bench: Bench) -> None:
    """send_message, 16 clients."""
    clients = [send(chat) for chat in range(1, CLIENTS + 1)]
    for threads in (4, 8):
        cost = partial(bench.cost, requests=clients, threads=threads)
        found = bench.in_turn(
            floor=partial(cost, FLOOR),
            mutex=partial(cost, FLOOR, env={"FLOOR_MUTEX": "1"}),
            api=partial(bench.with_pusher, "down", API, clients, threads=threads),
        )
        what = f"send, 16 clients, 2x{threads}"
        compare(f"{what}: rate", found["floor"], found["api"], "rate", "/s", ">= 0.6")
        compare(f"{what}: rate, floor mutex", found["mutex"], found["api"], "rate", "/s")
        tail(f"{what}: floor p50, p99", found["floor"])
        tail(f"{what}: floor mutex p50, p99", found["mutex"])
        tail(f"{what}: API p50, p99", found["api"], "<= 6")


def get_large(bench: Bench) -> None:
    """get_message with a million messages stored against a hundred."""

    def cost(app: str, folder: Path) -> Cost:
        with Server(app, folder) as server:
            return server.under([get(1)], bench.seconds)

    found = bench.in_turn(
        floor_small=partial(cost, FLOOR, bench.small),
        api_small=partial(cost, API, bench.small),
        floor_large=partial(cost, FLOOR, bench.large),
        api_large=partial(cost, API, bench.large),
    )
    for app in ("floor", "api"):
        small, large = found[f"{app}_small"], found[f"{app}_large"]
        compare(f"last 50, 100 -> 1,000,000 stored: {app}, CPU", small, large, "cpu", "ms")
    losses = {
        app: [
            large.cpu / small.cpu
            for small, large in zip(found[f"{app}_small"], found[f"{app}_large"], strict=True)
        ]
        for app in ("floor", "api")
    }
    ratio = median(ours / floor for ours, floor in zip(losses["api"], losses["floor"], strict=True))
    floor, api = (f"x {median(losses[app]):.2f}" for app in ("floor", "api"))
    row("last 50, 1,000,000 stored: loss", floor, api, f"{ratio:.2f}", "<= 1.2")


def history(bench: Bench) -> None:
    """A history without parameters: the memory of the worker that streams it."""
    with Server(API, bench.large, processes=1) as server:
        fetch(server, f"/api/get_message/{data.channel(3)}", data.token(5))
        before = server.peak_memory()
        started = time.perf_counter()
        size = fetch(server, f"/api/get_message/{data.channel(2)}", data.token(3))
        took = time.perf_counter() - started
        after = server.peak_memory()
    row(
        "history of 1,000, then 100,000: peak MiB",
        f"{before:.1f}",
        f"{after:.1f}",
        f"{after / before:.2f}",
        "flat",
    )
    row("history of 100,000: size, time", f"{size / 2**20:.1f} MiB", f"{took:.2f} s")


def two_processes(bench: Bench) -> None:
    """get_message, the last 50, 16 clients: one process and two of the same machine."""
    clients = [get(chat) for chat in range(1, CLIENTS + 1)]
    cost = partial(bench.cost, API, clients, threads=200)
    found = bench.in_turn(one=partial(cost, processes=1), two=partial(cost, processes=2))
    what = "last 50, 16 clients, 1 -> 2 processes"
    compare(f"{what}: rate", found["one"], found["two"], "rate", "/s", ">= 1.5")
    compare(f"{what}: CPU", found["one"], found["two"], "cpu", "ms")


def login_one(bench: Bench) -> None:
    """login, one client, against a view that only checks the hash."""
    found = bench.in_turn(
        floor=lambda: bench.cost(FLOOR, [login(1)]), api=lambda: bench.cost(API, [login(1)])
    )
    compare(
        "login, 1 client: p50, to the bare hash",
        found["floor"],
        found["api"],
        "p50",
        "ms",
        "<= 1.1",
    )
    compare("login, 1 client: CPU", found["floor"], found["api"], "cpu", "ms")


def login_storm(bench: Bench) -> None:
    """Two senders, alone and while 16 clients log in without pause."""
    senders = [send(1), send(2)]
    logins = [login(user) for user in range(11, 11 + CLIENTS)]
    found = bench.in_turn(
        alone=lambda: bench.cost(API, senders, threads=24),
        beside=lambda: bench.cost(API, senders + logins, CLIENTS, threads=24),
    )
    compare(
        "2 senders: alone, beside 16 logging in",
        found["alone"],
        found["beside"],
        "rate",
        "/s",
        ">= 0.45",
    )
    compare("2 senders: their p99", found["alone"], found["beside"], "p99", "ms")


def pushers(bench: Bench) -> None:
    """send_message with each kind of Pusher server."""
    found = bench.in_turn(
        none=lambda: bench.with_pusher("none"),
        slow=lambda: bench.with_pusher("80 ms"),
        hanging=lambda: bench.with_pusher("hanging"),
        down=lambda: bench.with_pusher("down"),
    )
    for name, kind in (("slow", "of 80 ms"), ("hanging", "hanging"), ("down", "down")):
        what = f"send, Pusher none -> {kind}"
        compare(f"{what}: p50", found["none"], found[name], "p50", "ms", "<= 1.2")
        compare(f"{what}: p99", found["none"], found[name], "p99", "ms")


def drain(bench: Bench) -> None:
    """Events a second from one process to a server that takes 80 ms."""
    waiting = 20_000
    rates = []
    for _ in range(bench.rounds):
        with copy(bench.small) as folder, pusher("80 ms") as settings:
            data.add_events(folder / "chat.db", waiting, CHATS)
            with Server(API, folder, processes=1, env=settings) as server:
                fetch(server, "/health")
                rates.append(drained(folder / "chat.db", bench.seconds))
    row("drained from a Pusher of 80 ms, 1 process", "", f"{median(rates):,.0f} /s", "", ">= 500")


def drained(path: Path, seconds: float) -> float:
    """Events a second that are delivered, once the first have gone."""
    database = sqlite3.connect(path)

    def left() -> int:
        count: int = database.execute("SELECT count(*) FROM events").fetchone()[0]
        return count

    before = left()
    for _ in range(1_000):
        if left() < before:
            break
        time.sleep(0.01)
    start, before = time.perf_counter(), left()
    time.sleep(seconds)
    rate = (before - left()) / (time.perf_counter() - start)
    database.close()
    return rate


def outbox_cost(bench: Bench) -> None:
    """The same send with recording switched off; nothing is delivered, the server is down."""
    found = bench.in_turn(
        off=lambda: bench.with_pusher("down", UNRECORDED), on=lambda: bench.with_pusher("down")
    )
    compare("send, recording off -> on: CPU", found["off"], found["on"], "cpu", "ms", "<= 1.35")
    compare("send, recording off -> on: p50", found["off"], found["on"], "p50", "ms", "<= 1.35")


def backlog(bench: Bench) -> None:
    """Memory while events wait."""

    def peak(waiting: int, kind: str) -> float:
        with copy(bench.small) as folder, pusher(kind) as settings:
            data.add_events(folder / "chat.db", waiting, CHATS)
            with Server(API, folder, processes=1, env=settings) as server:
                server.under([send(1)], bench.seconds)
                return server.peak_memory()

    for kind in ("down", "80 ms"):
        few, many = peak(1_000, kind), peak(100_000, kind)
        what = f"1,000 -> 100,000 events wait, {kind}: MiB"
        row(what, f"{few:.1f}", f"{many:.1f}", f"{many / few:.2f}", "flat")


def fetch(server: Server, path: str, token: str = "") -> int:
    """Get this path once. Returns how many bytes came."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    size = 0
    while part := answer.read(65_536):
        size += len(part)
    connection.close()
    return size


MEASURES = {
    each.__name__: each
    for each in (
        send_one,
        get_one,
        get_pictures,
        send_many,
        get_large,
        history,
        two_processes,
        login_one,
        login_storm,
        pushers,
        drain,
        outbox_cost,
        backlog,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.run")
    parser.add_argument("--seconds", type=float, default=3, help="of each load (3)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("names", nargs="*", metavar="names", help=", ".join(MEASURES))
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end, too
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), given.seconds, given.rounds)
        row("what", "base", "ours", "ratio", "goal")
        row("-" * 44, "-" * 14, "-" * 14, "-" * 6, "-" * 8)
        for name in given.names or MEASURES:
            MEASURES[name](bench)


if __name__ == "__main__":
    main()
