"""docs/several-processes.md is typed, from an empty machine to three processes."""

import json
import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.machine import Machine, Programs, blocks
from tests.support.people import OverHttp, Person
from tests.support.servers import HOST, PATIENCE, Postgres, Redis, require

pytestmark = pytest.mark.slow


class Site(OverHttp):
    """The site as browsers reach it, under its name."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.https)
        file = machine.root / "etc/ssl/chat.example/fullchain.pem"
        self.context = ssl.create_default_context(cafile=str(file))
        self.context.check_hostname = False  # it is that of chat.example

    def connection(self) -> HTTPConnection:
        return HTTPSConnection(HOST, self.port, timeout=120, context=self.context)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    require(Programs, Postgres, Redis)
    with Postgres() as postgres, Redis() as redis:
        machine = Machine(tmp_path_factory.mktemp("machine"), postgres, redis)
        with closing(machine):
            *commands, _ = blocks()
            if not shutil.which("systemd-analyze"):
                commands = [each.replace("systemd-analyze", "true") for each in commands]
            machine.type(*commands)
            yield machine


@pytest.fixture(scope="module")
def people(machine: Machine) -> list[Person]:
    site = Site(machine)
    return [site.sign_up(name) for name in ("ada", "bob")]


def test_the_page_is_there_under_its_name(machine: Machine) -> None:
    site = Site(machine)

    config = site.get("/api/config").json

    assert site.get("/").status == 200
    assert (config["wsHost"], config["wssPort"], config["forceTLS"]) == ("chat.example", 443, True)
    for port in machine.api_ports:
        assert OverHttp(port).get("/health").json["status"] == "ok"


def test_messages_reach_sockets_through_nginx(machine: Machine, people: list[Person]) -> None:
    ada, bob = people
    site = Site(machine)
    chat = ada.asks(bob).json
    key = site.get("/api/config").json["key"]
    url = f"wss://{HOST}:{machine.https}/app/{key}?protocol=7"
    with connect(url, ssl=site.context, proxy=None, open_timeout=PATIENCE) as socket:
        socket_id = heard(socket, "pusher:connection_established")["socket_id"]
        signed = bob.signs(chat["channel_name"], socket_id).json
        say(socket, "pusher:subscribe", {"channel": chat["channel_name"], **signed})
        heard(socket, "pusher_internal:subscription_succeeded")

        said = [ada.said(chat, f"through nginx {number}") for number in range(6)]

        assert [heard(socket, "new_message") for _ in said] == said


def say(socket: Any, event: str, data: Any) -> None:
    socket.send(json.dumps({"event": event, "data": data}))


def heard(socket: Any, event: str) -> Any:
    message = json.loads(socket.recv(PATIENCE))
    assert message["event"] == event, message
    return json.loads(message["data"]) if isinstance(message.get("data"), str) else message


def test_limits_are_counted_for_all_processes(machine: Machine) -> None:
    attempts = [
        OverHttp(port).login("nobody", "a wrong password").status for port in machine.api_ports * 5
    ]

    assert attempts.count(429) == 5


def test_restarts_in_turn_lose_no_request(machine: Machine, people: list[Person]) -> None:
    ada, bob = people
    chat = ada.asks(bob).json
    answers: list[int] = []
    done = threading.Event()

    def talk() -> None:
        while not done.is_set():
            answers.append(ada.says(chat, "still there?").status)
            done.wait(0.25)  # below the limit of messages

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        machine.type(blocks()[-1])
    finally:
        done.set()
        talking.join()

    assert len(answers) > 10
    assert set(answers) == {201}
