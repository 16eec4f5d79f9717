"""Of several processes on one database one has the sockets; it may be stopped, killed, cut off."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pusher.errors import PusherBadStatus
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config import load
from tests.support.gateway_client import Client, make_gateway, read_to_end
from tests.support.gateway_client import Server as Sockets
from tests.support.people import ChatServer, Person, events
from tests.support.servers import HOST, IN_CI, Postgres, eventually
from tests.support.tabs import KEYS, Tab, join

pytestmark = pytest.mark.slow

CROWD = 1_000 if IN_CI else 150
numbers = count(1)


def owns(server: ChatServer) -> bool:
    """Whether it has the sockets."""
    owner: bool = server.api.get("/health").json["sockets"]["owner"]
    return owner


def sockets_of(server: ChatServer) -> Sockets:
    return Sockets(server.port, make_gateway())


@contextlib.contextmanager
def two_servers(database: str, folder: Path) -> Iterator[tuple[ChatServer, ChatServer]]:
    """On one database: the owner of the sockets, and another one."""
    settings = {"DATABASE_URL": database, "INSTANCE_PATH": str(folder), **KEYS}
    with ChatServer(EMBEDDED_HTTP_API="true", **settings) as owner:
        assert eventually(lambda: owns(owner))
        with ChatServer("gunicorn", **owner.settings) as other:
            assert not owns(other)
            yield owner, other


@pytest.fixture(scope="module")
def servers(
    new_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ChatServer, ChatServer]]:
    folder = tmp_path_factory.mktemp("instance")
    with two_servers(new_database(folder), folder) as servers:
        yield servers


@pytest.fixture
def owner(servers: tuple[ChatServer, ChatServer]) -> ChatServer:
    owner, other = servers
    if owner.process is None:  # a test has killed it
        other.stop()
        owner.start()
        assert eventually(lambda: owns(owner))
        other.start()
    return owner


@pytest.fixture
def other(servers: tuple[ChatServer, ChatServer], owner: ChatServer) -> ChatServer:
    return servers[1]


@pytest.fixture
def people(other: ChatServer) -> list[Person]:
    """Ada and bob of this test alone, who know only the other server."""
    number = next(numbers)
    return [other.api.sign_up(f"{name} {number}") for name in ("ada", "bob")]


@pytest.fixture
def their_chat(people: list[Person]) -> dict[str, Any]:
    chat: dict[str, Any] = people[0].asks(people[1]).json
    return chat


@pytest.fixture
def bob(owner: ChatServer, people: list[Person], their_chat: dict[str, Any]) -> Iterator[Client]:
    """His connection with the owner, subscribed to the chat."""
    sockets = sockets_of(owner)
    with sockets.people:
        yield join(sockets, people[1], their_chat["channel_name"])


def test_the_other_process_says_who_has_the_sockets(other: ChatServer) -> None:
    sockets = other.api.get("/health").json["sockets"]

    assert not sockets["owner"]
    assert "PUSHER_" in sockets["message"]


def test_the_other_process_hands_its_clients_on(
    owner: ChatServer, other: ChatServer, people: list[Person], their_chat: dict[str, Any]
) -> None:
    sockets = sockets_of(other)
    before = connections(owner)
    with sockets.people:
        bob = join(sockets, people[1], their_chat["channel_name"])

        said = people[0].said(their_chat, "from one process to the other")

        assert bob.expect("new_message")["data"] == said
        assert connections(owner) == before + 1


def connections(server: ChatServer) -> int:
    count: int = server.api.get("/health").json["sockets"]["connections"]
    return count


def test_a_client_handed_on_ends_with_its_login(
    other: ChatServer, people: list[Person], their_chat: dict[str, Any]
) -> None:
    sockets = sockets_of(other)
    with sockets.people:
        bob = join(sockets, people[1], their_chat["channel_name"])

        assert people[1].post("/api/logout").status == 204

        assert bob.expect_close() == 4009


def test_events_of_the_other_process_reach_all_clients(
    other: ChatServer, people: list[Person], their_chat: dict[str, Any], bob: Client
) -> None:
    said = [people[0].said(their_chat, f"number {number}") for number in range(20)]

    assert [bob.expect("new_message")["data"] for _ in said] == said


def test_the_other_process_takes_nothing_from_publishers(other: ChatServer) -> None:
    sockets = sockets_of(other)

    with sockets.people, pytest.raises(PusherBadStatus, match="503"):
        sockets.publisher().trigger("news", "headline", 1)


def test_events_wait_for_a_suspended_owner(
    owner: ChatServer,
    other: ChatServer,
    people: list[Person],
    their_chat: dict[str, Any],
    bob: Client,
) -> None:
    assert owner.process
    assert eventually(lambda: waiting(other) == 0)
    owner.process.send_signal(signal.SIGSTOP)  # it keeps its right to deliver
    try:
        said = [people[0].said(their_chat, f"number {number}") for number in range(3)]

        assert waiting(other) == 6, "a new_message and a new_chat each"
        assert not owns(other)
    finally:
        owner.process.send_signal(signal.SIGCONT)

    assert [bob.expect("new_message")["data"] for _ in said] == said


def waiting(server: ChatServer) -> int:
    count: int = server.api.get("/health").json["events"]["waiting"]
    return count


def test_another_process_takes_over_from_a_killed_one(
    owner: ChatServer,
    other: ChatServer,
    people: list[Person],
    their_chat: dict[str, Any],
    bob: Client,
) -> None:
    ada, _ = people
    heard = ada.said(their_chat, "heard")
    assert bob.expect("new_message")["data"] == heard

    owner.kill()
    missed = ada.said(their_chat, "missed")

    assert eventually(lambda: owns(other))
    sockets = sockets_of(other)
    with sockets.people:
        again = join(sockets, people[1], their_chat["channel_name"])
        assert people[1].reads(their_chat, after=heard["id"]).json == [missed]
        live = ada.said(their_chat, "live")
        while (message := again.expect("new_message")["data"]) != live:
            assert message == missed, "it may come once more"


def test_pusher_js_comes_back_after_its_worker_is_killed() -> None:
    with ChatServer("gunicorn") as server, Tab(server, server.api.sign_up("ada")) as ada:
        bob = server.api.sign_up("bob")
        socket_id = ada.socket_id
        ada.clear()

        os.kill(holder(server), signal.SIGKILL)

        ada.wait_for_socket(socket_id)
        ada.wait_for("pusher:subscription_succeeded", ada.notifications)
        assert bob.asks(ada.person).status == 201
        ada.wait_for("new_chat")


def test_two_workers_let_everybody_in_at_once() -> None:
    with ChatServer("gunicorn --workers 2", **KEYS) as server:
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        sockets = sockets_of(server)
        assert eventually(lambda: owners(server) == {True, False})
        with sockets.people:
            crowd = [join(sockets, bob, chat["channel_name"]) for _ in range(20)]

            said = [ada.said(chat, f"through either worker {number}") for number in range(10)]

            for client in crowd:
                assert [client.expect("new_message")["data"] for _ in said] == said


def owners(server: ChatServer) -> set[bool]:
    """What the workers say of it, in ten answers."""
    return {owns(server) for _ in range(10)}


def test_one_of_two_workers_takes_over_from_the_other() -> None:
    with ChatServer("gunicorn --workers 2", **KEYS) as server:
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        sockets = sockets_of(server)
        with sockets.people:
            assert eventually(lambda: owners(server) == {True, False})
            crowd = [sockets.join() for _ in range(10)]
            killed = holder(server)

            os.kill(killed, signal.SIGKILL)

            for client in crowd:
                with pytest.raises(ConnectionClosed):
                    client.socket.recv(20)
            client = let_in(sockets)
            assert holder(server) != killed
            signed = bob.signs(chat["channel_name"], client.socket_id).json
            client.say("pusher:subscribe", {"channel": chat["channel_name"], **signed})
            client.expect("pusher_internal:subscription_succeeded")
            said = [ada.said(chat, f"after the kill {number}") for number in range(10)]
            assert [client.expect("new_message")["data"] for _ in said] == said


def let_in(sockets: Sockets) -> Client:
    """A connection, once there is an owner again."""
    joined: list[Client] = []

    def tries() -> bool:
        with contextlib.suppress(InvalidStatus, ConnectionClosed, OSError):
            joined.append(sockets.join())
        return bool(joined)

    assert eventually(tries)
    return joined[0]


def holder(server: ChatServer) -> int:
    """The process that has the right to deliver."""
    lease = server.directory / "instance/chat.db.lease"
    locks = Path("/proc/locks")
    if not locks.exists():
        pytest.skip("/proc/locks is missing (Linux has it)")
    lines = [line.split() for line in locks.read_text().splitlines() if "FLOCK" in line]
    inode = f":{lease.stat().st_ino}"
    return next(int(line[4]) for line in lines if line[5].endswith(inode))


def test_an_owner_without_database_sends_its_clients_away(postgres: Postgres) -> None:
    url = postgres.create_database()
    with ChatServer(DATABASE_URL=url, **KEYS) as server:
        sockets = sockets_of(server)
        with sockets.people:
            ada = sockets.join()

            with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [url.rpartition("/")[2]],
                )

            assert ada.expect_close() == 4200
            assert eventually(lambda: owns(server))
            sockets.join().expect_silence()


@pytest.mark.abuse
@pytest.mark.parametrize("program", ["flask", "gunicorn"])
def test_a_stop_tells_all_clients_and_loses_no_event(program: str) -> None:
    with ChatServer(program, **KEYS) as server:
        sockets = sockets_of(server)
        ada, bob = (server.api.sign_up(name) for name in ("ada", "bob"))
        chat = ada.asks(bob).json
        said: list[int] = []
        talking = threading.Thread(target=talk, args=(ada, chat, said))
        with sockets.people:
            crowd = [sockets.shook_hands() for _ in range(CROWD)]
            listener = join(sockets, bob, chat["channel_name"])
            talking.start()
            heard = [listener.expect("new_message")["data"]["id"] for _ in range(5)]

            process = server.process
            server.stop()

            assert process
            assert process.returncode == 0, "it ended by itself"
            for sock in crowd:
                assert (4200).to_bytes(2, "big") in read_to_end(sock)
            heard += ids_until_closed(listener)
            assert listener.socket.close_code == 4200
        talking.join()
        settings = load(server.environment())
        kept = {event["data"]["id"] for event in events(settings) if event["name"] == "new_message"}
        assert set(said) <= set(heard) | kept


def test_clients_hear_of_a_stop_before_idle_connections_end() -> None:
    with ChatServer("gunicorn --keep-alive 60", **KEYS) as server:
        sockets = sockets_of(server)
        with sockets.people:
            listener = sockets.join()
            with contextlib.closing(HTTPConnection(HOST, server.port, timeout=20)) as idle:
                idle.request("GET", "/health")
                idle.getresponse().read()

                assert server.process
                server.process.terminate()

                assert listener.expect_close() == 4200
                idle.sock.setblocking(False)
                with pytest.raises(BlockingIOError):  # it is still there
                    idle.sock.recv(1)


def ids_until_closed(client: Client) -> list[int]:
    ids = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = client.hear()
            if message["event"] == "new_message":
                ids.append(message["data"]["id"])
    return ids


def talk(person: Person, chat: dict[str, Any], said: list[int]) -> None:
    """Until the server is gone."""
    try:
        while (answer := person.says(chat, "Are you there?")).status == 201:
            said.append(answer.json["id"])
    except (OSError, HTTPException):
        pass
