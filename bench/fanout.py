"""Measure the embedded Pusher server beside soketi, and print a table of medians.

    python -m bench.fanout [--rounds N] [names...]

Both are measured in turn, on a fresh server each time, with the same clients in a process of their
own. One server has up to 4,000 sockets open: `ulimit -n 8192`. Machines drift: only ratios count.
"""

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import data
from bench.listeners import connect, read_until, subscribe
from bench.run import Bench, copy, figure, row
from bench.server import ROOT, TICKS, Server, free_port, send, wait_for

APP_ID, KEY, SECRET = "1", "bench", "the secret of the bench"
EMBEDDED = {
    "EMBEDDED_APP_ID": APP_ID,
    "EMBEDDED_KEY": KEY,
    "EMBEDDED_SECRET": SECRET,
    "EMBEDDED_HTTP_API": "true",
}
THREADS = 24  # as gunicorn.conf.py has it
SENDS = 200
IDLE = 4_000


# The two servers -----------------------------------------------------------------------------


@dataclass
class Contender:
    """A running Pusher server, its processes, and what is published to it."""

    port: int
    processes: list[int]
    _http: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._http = HTTPConnection("127.0.0.1", self.port, timeout=30)

    def publish(self, *channels: str) -> None:
        """Publish an event on each of these channels, with the time of its publication."""
        text = f"sent={time.monotonic():.9f} {data.TEXT}"
        batch = [{"name": "news", "channel": channel, "data": text} for channel in channels]
        body = json.dumps({"batch": batch}).encode()
        path = f"/apps/{APP_ID}/batch_events"
        query = (
            f"auth_key={KEY}&auth_timestamp={int(time.time())}&auth_version=1.0"
            f"&body_md5={hashlib.md5(body).hexdigest()}"
        )
        signed = hmac.new(SECRET.encode(), f"POST\n{path}\n{query}".encode(), "sha256").hexdigest()
        headers = {"Content-Type": "application/json"}
        self._http.request("POST", f"{path}?{query}&auth_signature={signed}", body, headers)
        answer = self._http.getresponse()
        said = answer.read()
        if answer.status != 200 or b"error" in said:
            sys.exit(f"Publishing failed: {answer.status} {said!r}")

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.processes:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / TICKS

    def memory(self) -> float:
        """The resident memory, in KiB."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes]
        return sum(int(status.split("VmRSS:")[1].split()[0]) for status in statuses)


@contextlib.contextmanager
def embedded(bench: Bench) -> Iterator[Contender]:
    with (
        copy(bench.small) as folder,
        Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as server,
    ):
        yield Contender(server.port, server.workers)


@contextlib.contextmanager
def soketi(_: Bench) -> Iterator[Contender]:
    port = free_port()
    env = {
        "SOKETI_DEFAULT_APP_ID": APP_ID,
        "SOKETI_DEFAULT_APP_KEY": KEY,
        "SOKETI_DEFAULT_APP_SECRET": SECRET,
        "SOKETI_HOST": "127.0.0.1",
        "SOKETI_PORT": str(port),
        "SOKETI_METRICS_HOST": "127.0.0.1",
        "SOKETI_METRICS_SERVER_PORT": "0",
        "SOKETI_CLUSTER_UNICAST_ADDRESSES": "127.0.0.1",
        "SOKETI_CLUSTER_PORT": str(port),
    }
    program = ROOT / "tests/node/node_modules/@soketi/soketi/bin/server.js"
    # In a folder of its own: otherwise it would read the project's .env.
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            ["node", program, "start"], cwd=folder, env=os.environ | env, stdout=subprocess.DEVNULL
        ) as process,
    ):
        try:
            wait_for(port)
            yield Contender(port, [process.pid])
        finally:
            process.kill()


CONTENDERS = {"soketi": soketi, "embedded": embedded}


class Listeners:
    """Clients in a process of their own: bench/listeners.py."""

    def __init__(self, port: int, connections: int, channels: int) -> None:
        arguments = [str(port), KEY, str(connections), str(channels)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.listeners", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout

    def __enter__(self) -> "Listeners":
        if self._out.readline() != "ready\n":
            raise RuntimeError("The listeners failed.")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def during(self, events: int, act: Callable[[], None]) -> list[float]:
        """Do this act. Returns the seconds that each of the events took that it causes."""
        print(events, file=self._in, flush=True)
        act()
        took: list[float] = json.loads(self._out.readline())
        return took


# What is measured ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Fanout:
    rate: float  # events received a second, as fast as it goes
    p50: float  # ms from the POST to the event, at a pace that all keep up with
    p99: float
    cpu: float  # µs of the server for each event received
    memory: float  # KiB for each connection


def paced(act: Callable[[int], None], count: int, a_second: float) -> Callable[[], None]:
    def go() -> None:
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / a_second - time.monotonic()))
            act(number)

    return go


def measure(
    contender: Contender, connections: int, channels: int, *, posts: int, a_second: float
) -> Fanout:
    with Listeners(contender.port, 200, 0):
        pass  # what a server needs once is not counted for each connection
    before = contender.memory()
    with Listeners(contender.port, connections, channels) as listeners:
        memory = (contender.memory() - before) / connections
        each = connections // channels

        def one(number: int) -> None:
            contender.publish(f"bench-{number % channels}")

        def ten(number: int) -> None:
            names = (f"bench-{(10 * number + offset) % channels}" for offset in range(10))
            contender.publish(*names)

        cpu = contender.cpu_seconds()
        took = listeners.during(posts * each, paced(one, posts, a_second))
        cpu = contender.cpu_seconds() - cpu
        start = time.monotonic()
        burst = max(posts, 100) // 10
        listeners.during(burst * 10 * each, paced(ten, burst, float("inf")))
        rate = burst * 10 * each / (time.monotonic() - start)
    percent = quantiles(took, n=100)
    return Fanout(rate, percent[49] * 1e3, percent[98] * 1e3, cpu / len(took) * 1e6, memory)


def beside(bench: Bench, act: Callable[[Contender], Any]) -> tuple[list[Any], list[Any]]:
    """What `act` returned with soketi and with the embedded server, round by round."""

    def with_one(name: str) -> Any:
        with CONTENDERS[name](bench) as contender:
            return act(contender)

    found = bench.in_turn(soketi=lambda: with_one("soketi"), embedded=lambda: with_one("embedded"))
    return found["soketi"], found["embedded"]


def compare(what: str, base: list[float], ours: list[float], unit: str, goal: str = "") -> None:
    ratio = median(mine / theirs for mine, theirs in zip(ours, base, strict=True))
    row(what, figure(median(base), unit), figure(median(ours), unit), f"{ratio:.2f}", goal)


def fanout_rows(what: str, found: tuple[list[Fanout], list[Fanout]]) -> None:
    for value, unit in (("rate", "/s"), ("p50", "ms"), ("p99", "ms"), ("cpu", "µs")):
        name = {"rate": "events", "cpu": "CPU per event"}.get(value, value)
        base, ours = ([getattr(each, value) for each in those] for those in found)
        compare(f"{what}: {name}", base, ours, unit)


def one_channel(bench: Bench) -> None:
    """One channel, 1,000 subscribers."""
    found = beside(bench, lambda to: measure(to, 1_000, 1, posts=40, a_second=8))
    fanout_rows("1 channel of 1,000", found)


def many_channels(bench: Bench) -> None:
    """1,000 channels of 2 subscribers each."""
    found = beside(bench, lambda to: measure(to, 2_000, 1_000, posts=1_000, a_second=200))
    fanout_rows("1,000 channels of 2", found)
    base, ours = ([each.memory for each in those] for those in found)
    compare("memory per subscribed connection", base, ours, "KiB")


def idle(bench: Bench) -> None:
    """Memory of connections that do nothing."""

    def memory(contender: Contender) -> float:
        with Listeners(contender.port, 200, 0):
            pass
        before = contender.memory()
        with Listeners(contender.port, IDLE, 0):
            return (contender.memory() - before) / IDLE

    compare("memory per idle connection", *beside(bench, memory), "KiB", "<= 1, 10")


def send_to_event(bench: Bench) -> None:
    """From the start of POST send_message to the event in the other client."""

    def with_embedded() -> tuple[float, float, float]:
        with (
            copy(bench.small) as folder,
            Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as server,
        ):
            return conversation(server.port, server.port, server.port)

    def with_soketi() -> tuple[float, float, float]:
        with soketi(bench) as other, copy(bench.small) as folder:
            env = pusher_settings(other.port)
            with Server("app:app", folder, processes=1, threads=THREADS, env=env) as server:
                return conversation(server.port, server.port, other.port)

    found = bench.in_turn(soketi=with_soketi, embedded=with_embedded)
    names = ("POST to event: p50", "POST to event: p99", "POST to its answer: p50")
    for number, what in enumerate(names):
        base, ours = ([each[number] for each in found[name]] for name in CONTENDERS)
        compare(what, base, ours, "ms", "<= 1, 15" if number == 0 else "")


def other_process(bench: Bench) -> None:
    """The same, sent to the owner of the sockets or to another process on its database."""

    def through(other: bool) -> tuple[float, float]:
        with (
            copy(bench.small) as folder,
            Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as owner,
        ):
            HTTPConnection("127.0.0.1", owner.port).request("GET", "/health")
            with Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as second:
                to = second.port if other else owner.port
                event, _, answer = conversation(to, owner.port, owner.port)
                return event, event - answer

    found = bench.in_turn(owner=lambda: through(False), other=lambda: through(True))
    what = "POST to event, owner -> other process: p50"
    owner, other = ([event for event, _ in found[name]] for name in ("owner", "other"))
    compare(what, owner, other, "ms", "<= 10 ms")
    after = [figure(median(late for _, late in found[name]), "ms") for name in ("owner", "other")]
    row("the same, from the answer to the event", *after)


def pusher_settings(port: int) -> dict[str, str]:
    keys = {"PUSHER_APP_ID": APP_ID, "PUSHER_KEY": KEY, "PUSHER_SECRET": SECRET}
    return {**keys, "PUSHER_HOST": "127.0.0.1", "PUSHER_PORT": str(port), "PUSHER_SSL": "false"}


def conversation(api: int, signer: int, pusher: int) -> tuple[float, float, float]:
    """p50 and p99 to the event, and p50 to the answer, in ms: one message after the other."""
    channel = data.channel(1)
    sock, socket_id = connect(pusher, KEY)
    http = HTTPConnection("127.0.0.1", signer, timeout=30)
    body = json.dumps({"socket_id": socket_id, "channel_name": channel})
    headers = {"Authorization": f"Bearer {data.token(2)}", "Content-Type": "application/json"}
    http.request("POST", "/api/pusher/auth", body, headers)
    subscribe(sock, channel, json.load(http.getresponse())["auth"])

    request = send(1)
    headers = headers | {"Authorization": f"Bearer {request.token}"}
    http = HTTPConnection("127.0.0.1", api, timeout=30)
    answers, events = [], []
    for number in range(SENDS + 20):
        start = time.monotonic()
        http.request(request.method, request.path, request.body, headers)
        assert http.sock
        left = {http.sock, sock}
        while left:
            for ready in select.select(left, [], [])[0]:
                took = (time.monotonic() - start) * 1e3
                left.discard(ready)
                if ready is sock:
                    read_until(sock, b"new_message")
                    events.append(took)
                else:
                    answers.append(took)
                    answer = http.getresponse()
                    answer.read()
                    assert answer.status == 201
        if number == 19:  # until here it was warming up
            answers, events = [], []
        time.sleep(0.01)  # as people would, not as a flood
    percent = quantiles(events, n=100)
    return percent[49], percent[98], median(answers)


def http_beside_sockets(bench: Bench) -> None:
    """send_message, one client, with no socket open and with 1,000."""

    def cost(sockets: int) -> Any:
        with (
            copy(bench.small) as folder,
            Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as server,
            Listeners(server.port, sockets, 0),
        ):
            return server.under([send(1)], bench.seconds)

    found = bench.in_turn(alone=lambda: cost(0), beside=lambda: cost(1_000))
    for value in ("cpu", "p50"):
        base, ours = ([getattr(each, value) for each in found[name]] for name in found)
        compare(f"send, 0 -> 1,000 sockets open: {value}", base, ours, "ms", "<= 1.1")


def stop(bench: Bench) -> None:
    """SIGTERM with 1,000 sockets open: until the last client is told, and until the end."""
    told, ended = [], []
    for _ in range(bench.rounds):
        with (
            copy(bench.small) as folder,
            Server("app:app", folder, processes=1, threads=THREADS, env=EMBEDDED) as server,
        ):
            sockets = [connect(server.port, KEY)[0] for _ in range(1_000)]
            started = time.perf_counter()
            server.terminate()
            for sock in sockets:
                read_until(sock, (4200).to_bytes(2, "big"))
                sock.close()
            told.append(time.perf_counter() - started)
            server.wait()
            ended.append(time.perf_counter() - started)
    row("stop, 1,000 sockets open: all told", "", f"{median(told):.2f} s", "", "< 2 s")
    row("stop, 1,000 sockets open: ended", "", f"{median(ended):.2f} s", "", "< 2 s")


MEASURES = {
    each.__name__: each
    for each in (
        one_channel,
        many_channels,
        idle,
        send_to_event,
        other_process,
        http_beside_sockets,
        stop,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.fanout")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("names", nargs="*", metavar="names", help=", ".join(MEASURES))
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), 3, given.rounds)
        row("what", "soketi", "embedded", "ratio", "goal")
        row("-" * 44, "-" * 14, "-" * 14, "-" * 6, "-" * 8)
        for name in given.names or MEASURES:
            MEASURES[name](bench)


if __name__ == "__main__":
    main()
