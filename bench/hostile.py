"""Attack the server as it is shipped, and print what somebody else notices of it.

    python -m bench.hostile [--seconds N] [--rounds N] [--postgresql URL] [names...]

While an attack goes on, somebody else asks GET /api/me and sends a message, in turns. A row has the
median and the slowest of each, before and meanwhile, and how the attack itself was answered: 0 is
a connection that was closed without an answer, or was not waited for. Each round has a new server;
the figures are medians of the rounds. The URL is that of an empty PostgreSQL database.

The limit on a user's messages is switched off, so that more is tried than a server as shipped lets
in. "rights" is no attack: the time from the answer to a logout in one process to the close of the
connection, which another process has.
"""

import argparse
import json
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import config
from bench.listeners import connect, frame, read_until
from bench.server import Server
from database import init_db

PASSWORD = "correct horse battery staple"
HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))
MARKS = "a" + "\u0f81" * 4_999
QUERY = quote(" ".join(f"a{number}" for number in range(65))[:200])
CHEAP = {"PASSWORD_HASH": "scrypt:1024:8:1"}  # where hashes are not what is measured
CLOSED = (4009).to_bytes(2)  # of the frame that closes a connection
PAUSE_SECONDS = 0.02  # of somebody else, between two requests


class Shipped(Server):
    """What `gunicorn app:app` runs, with gunicorn.conf.py."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        limits = {"RATELIMIT_REGISTER": "1000000 per hour"}
        super().__init__("app:app", folder, processes=1, env=limits | env)
        bind = f"127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "gunicorn", "app:app", "--bind", bind]
        self._command += ["--log-level", "critical"]


@dataclass
class Client:
    """Somebody at a port, who may be logged in."""

    port: int
    token: str = ""
    chat: int = 0  # theirs

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            return 0, None
        finally:
            connection.close()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else None

    def send_and_leave(self, path: str, body: Any = None) -> int:
        """Hang up once the request is sent."""
        text = "" if body is None else json.dumps(body)
        head = f"{'POST' if text else 'GET'} {path} HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 30) as connection,
        ):
            connection.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        return 0

    def sign_up(self, name: str) -> "Client":
        who = {"username": name, "password": PASSWORD}
        assert self.ask("POST", "/api/register", who)[0] == 201
        return Client(self.port, self.ask("POST", "/api/login", who)[1]["data"]["token"])

    def send(self, text: str) -> int:
        return self.ask("POST", "/api/send_message", {"channel": self.chat, "message": text})[0]


# Attacks: each makes one attempt, and is repeated by so many clients at once ------------------


def logins(eve: Client, number: int) -> int:
    who = {"username": f"nobody {number} {time.monotonic_ns()}", "password": PASSWORD}
    return Client(eve.port).ask("POST", "/api/login", who)[0]


def logins_left(eve: Client, number: int) -> int:
    who = {"username": f"nobody {number} {time.monotonic_ns()}", "password": PASSWORD}
    return Client(eve.port).send_and_leave("/api/login", who)


def searches(eve: Client, _number: int) -> int:
    return eve.ask("GET", f"/api/search?q={QUERY}")[0]


def searches_left(eve: Client, _number: int) -> int:
    return eve.send_and_leave(f"/api/search?q={QUERY}")


def han(eve: Client, _number: int) -> int:
    return eve.send(HAN)


def marks(eve: Client, _number: int) -> int:
    return eve.send(MARKS)


def one_chat(eve: Client, _number: int) -> int:
    return eve.send("Hello")


def reads(eve: Client, _number: int) -> int:
    return eve.ask("GET", f"/api/get_message/{eve.chat}?limit=50")[0]


def histories(eve: Client, _number: int) -> int:
    return eve.ask("GET", f"/api/get_message/{eve.chat}")[0]


def silence(eve: Client, _number: int) -> int:
    with suppress(OSError), socket.create_connection(("127.0.0.1", eve.port), 30) as connection:
        connection.recv(1)
    return 0


def sockets(eve: Client, number: int) -> int:
    """A thousand made-up channels; they count as answers if they are refused."""
    try:
        sock, _ = connect(eve.port, Client(eve.port).ask("GET", "/api/config")[1]["key"])
        data = [{"channel": f"made-up-{number}-{n}"} for n in range(1_000)]
        messages = (frame(json.dumps({"event": "pusher:subscribe", "data": d})) for d in data)
        with sock:
            sock.sendall(b"".join(messages))
            read_until(sock, f"made-up-{number}-999".encode())
    except (OSError, SystemExit):
        return 0
    return 403


ATTACKS: dict[str, tuple[int, Callable[[Client, int], int]]] = {
    "230 clients log in with made-up names": (230, logins),
    "230 clients log in and hang up": (230, logins_left),
    "26 clients search for 65 words": (26, searches),
    "26 clients search and hang up": (26, searches_left),
    "8 clients send 5,000 Han characters": (8, han),
    "8 clients send 5,000 marks": (8, marks),
    "40 clients send to one chat": (40, one_chat),
    "40 clients read one chat": (40, reads),
    "60 clients read a history of 500": (60, histories),
    "450 connections that say nothing": (450, silence),
    "50 sockets ask for 1,000 made-up channels": (50, sockets),
}


def crowd(attack: str, eve: Client, until: float, told: Any) -> None:
    """Repeat an attack, in a process of its own."""
    count, act = ATTACKS[attack]
    statuses: Counter[int] = Counter()

    def one(number: int) -> None:
        while time.monotonic() < until:
            statuses[act(eve, number)] += 1

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(max(0, until - time.monotonic()))
    told.put(dict(statuses))


# What is measured -----------------------------------------------------------------------------


@dataclass
class Town:
    """A server with people: eve has a chat with mallory, ada one with bob."""

    server: Shipped
    eve: Client
    ada: Client

    def notices(self, seconds: float) -> list[float]:
        """What ada sees: median and slowest of reading, and of sending, in milliseconds."""
        took: tuple[list[float], list[float]] = ([], [])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for times, method, path in (
                (took[0], "GET", "/api/me"),
                (took[1], "POST", "/api/send_message"),
            ):
                body = {"channel": self.ada.chat, "message": "Hello"} if method == "POST" else None
                began = time.monotonic()
                status, _ = self.ada.ask(method, path, body)
                assert status in (200, 201), (method, path, status)
                times.append(1000 * (time.monotonic() - began))
            time.sleep(PAUSE_SECONDS)
        return [figure for times in took for figure in (median(times), max(times))]

    def under(self, attack: str, seconds: float) -> tuple[list[float], Counter[int]]:
        told: Any = multiprocessing.Queue()
        until = time.monotonic() + seconds
        child = multiprocessing.Process(target=crowd, args=(attack, self.eve, until, told))
        child.start()
        noticed = self.notices(seconds)
        statuses = Counter(told.get(timeout=60))
        child.kill()
        child.join()
        return noticed, statuses


@contextmanager
def town(env: dict[str, str]) -> Iterator[Town]:
    with tempfile.TemporaryDirectory() as folder, Shipped(Path(folder), env) as server:
        nobody = Client(server.port)
        stamp = time.time_ns()  # PostgreSQL's database stays from round to round
        eve, mallory, ada, bob = (
            nobody.sign_up(f"{name} {stamp}") for name in ("eve", "mallory", "ada", "bob")
        )
        for one, other in ((eve, mallory), (ada, bob)):
            peer = other.ask("GET", "/api/me")[1]["id"]
            one.chat = one.ask("POST", "/api/request_chat", {"to_user": peer})[1]["channel_id"]
        yield Town(server, eve, ada)


def heavy(eve: Client) -> None:
    """300 messages whose words all begin as those of the search do."""
    for number in range(300):
        words = " ".join(f"a{word}x{number}" for word in range(0, 800, 2))
        assert eve.send(words[:5_000]) == 201


def rights(env: dict[str, str]) -> list[float]:
    """Seconds, in each of 20 trials."""
    took = []
    with tempfile.TemporaryDirectory() as folder, Shipped(Path(folder), env) as owner:
        nobody = Client(owner.port)
        key = nobody.ask("GET", "/api/config")[1]["key"]
        with Shipped(Path(folder), env) as other:
            for number in range(20):
                ada = nobody.sign_up(f"ada {number} {time.time_ns()}")
                sock, socket_id = connect(owner.port, key)
                asked = {"socket_id": socket_id, "channel_name": "presence-chitchat"}
                signed = {**ada.ask("POST", "/api/pusher/auth", asked)[1]}
                signed["channel"] = "presence-chitchat"
                sock.sendall(frame(json.dumps({"event": "pusher:subscribe", "data": signed})))
                read_until(sock, b"subscription_succeeded")
                assert Client(other.port, ada.token).ask("POST", "/api/logout")[0] == 204
                began = time.monotonic()
                read_until(sock, CLOSED)
                took.append(time.monotonic() - began)
                sock.close()
    return took


def table(attack: str, options: Any, env: dict[str, str]) -> str:
    rounds = []
    statuses: Counter[int] = Counter()
    for _ in range(options.rounds):
        with town(env if "log in" in attack else CHEAP | env) as here:
            if "search" in attack:
                heavy(here.eve)
            if "history" in attack:
                for _ in range(500):
                    here.eve.send("Hello" * 200)
            before = here.notices(1)
            meanwhile, found = here.under(attack, options.seconds)
            rounds.append((before, meanwhile))
            statuses += found
    cells = [
        f"{median(b[n] for b, _ in rounds):.0f}, {median(m[n] for _, m in rounds):.0f}"
        for n in range(4)
    ]
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return f"| {attack} | {' | '.join(cells)} | {answers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[*ATTACKS, "rights"])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgresql", metavar="URL")
    options = parser.parse_args()
    env = {"DATABASE_URL": options.postgresql} if options.postgresql else {}
    if env:
        init_db(config.load(env))
    print("| attack | /api/me: median | slowest | send: median | slowest | answers |")
    print("|---|---|---|---|---|---|")
    for attack in ATTACKS:
        if attack in options.names:
            print(table(attack, options, env), flush=True)
    if "rights" in options.names:
        took = rights(CHEAP | env)
        print(f"rights: median {median(took):.2f} s, slowest {max(took):.2f} s")


if __name__ == "__main__":
    main()
