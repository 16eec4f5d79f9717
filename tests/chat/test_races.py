"""Many requests at once, over real HTTP."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import pytest

from config import Settings, load
from database import writing_on
from tests.support.conversations import meanwhile
from tests.support.people import Answer, Api, ChatServer, Person, at_once, looking_into, stored
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow

Chat = dict[str, Any]


@pytest.fixture(scope="module")
def pusher() -> Iterator[StubPusher]:
    with StubPusher() as stub:
        yield stub


@pytest.fixture(scope="module")
def server(
    backend: str,
    new_database: Callable[[Any], str],
    tmp_path_factory: pytest.TempPathFactory,
    pusher: StubPusher,
) -> Iterator[ChatServer]:
    folder = tmp_path_factory.mktemp("races")
    settings = {"INSTANCE_PATH": str(folder), "DATABASE_URL": new_database(folder), **pusher.env}
    with ChatServer("gunicorn" if backend == "sqlite" else "flask", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: ChatServer) -> Settings:
    return load(server.settings)


@pytest.fixture(scope="module")
def api(server: ChatServer) -> Api:
    return server.api


@pytest.fixture(scope="module")
def ada(api: Api) -> Person:
    return api.sign_up("ada")


@pytest.fixture(scope="module")
def bob(api: Api) -> Person:
    return api.sign_up("bob")


@pytest.fixture
def chat(ada: Person, bob: Person) -> Chat:
    chat: Chat = ada.asks(bob).json
    return chat


def test_64_requests_of_one_pair_make_one_chat(api: Api, settings: Settings) -> None:
    carol, dave = api.sign_up("carol"), api.sign_up("dave")

    answers = at_once(64, lambda n: carol.asks(dave) if n % 2 else dave.asks(carol))

    assert Counter(answer.status for answer in answers) == {201: 1, 200: 63}
    assert len({answer.json["channel_id"] for answer in answers}) == 1
    pairs = [row[1:3] for row in stored(settings, "channels")["channels"]]
    assert pairs.count((carol.id, dave.id)) == 1


def test_200_registrations_of_one_name_make_one_user(api: Api, settings: Settings) -> None:
    spellings = ["Frank", "frank", "FRANK", "ｆｒａｎｋ"]

    def registers(number: int) -> Answer:
        """Once the server is not busy."""
        while True:
            answer = api.register(spellings[number % 4])
            if answer.status != 503:
                return answer
            assert answer.json["code"] == "busy"
            time.sleep(0.1)

    answers = at_once(200, registers)

    assert Counter(answer.status for answer in answers) == {201: 1, 409: 199}
    assert [row[2] for row in stored(settings, "users")["users"]].count("frank") == 1


def test_32_sends_store_and_tell_one_message_once(
    ada: Person, chat: Chat, settings: Settings, pusher: StubPusher
) -> None:
    answers = at_once(32, lambda _: ada.says(chat, "Hello", client_message_id="once"))

    assert Counter(answer.status for answer in answers) == {201: 1, 200: 31}
    assert len({answer.body for answer in answers}) == 1
    assert [row[3] for row in stored(settings, "messages")["messages"]].count("Hello") == 1

    # Events arrive in order: before this one a second event of the first message would come.
    after = ada.said(chat, "After it")
    told = pusher.wait_for(lambda events: sum(after in carried(event) for event in events) == 2)
    names = [event["name"] for event in told if answers[0].json in carried(event)]
    assert sorted(names) == ["new_chat", "new_message"]


def carried(event: Any) -> list[Any]:
    """The message objects in an event."""
    return [event["data"], event["data"].get("message")]


def test_different_texts_under_one_id_make_one_message(ada: Person, chat: Chat) -> None:
    answers = at_once(16, lambda n: ada.says(chat, f"text {n}", client_message_id="many"))

    assert Counter(answer.status for answer in answers) == {201: 1, 409: 15}


def test_a_reader_misses_nothing_of_16_writers(ada: Person, bob: Person, chat: Chat) -> None:
    start = ada.said(chat, "Ready?")["id"]
    seen: list[dict[str, Any]] = []
    written = threading.Event()

    def read() -> None:
        last = start
        while True:
            done = written.is_set()
            page = bob.reads(chat, after=last, limit=200).json
            seen.extend(page)
            last = page[-1]["id"] if page else last
            if done and not page:
                return

    def write(number: int) -> list[int]:
        person = ada if number % 2 else bob
        return [person.said(chat, f"{number} {n}")["id"] for n in range(12)]

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read)
        try:
            acknowledged = [each for ids in at_once(16, write) for each in ids]
        finally:
            written.set()
        reading.result(120)

    assert len(acknowledged) == 16 * 12
    assert [message["id"] for message in seen] == sorted(acknowledged)
    assert [m for m in bob.reads(chat).json if m["id"] > start] == seen


def test_writers_of_different_chats_do_not_starve_each_other(
    api: Api, ada: Person, settings: Settings
) -> None:
    peers = [api.sign_up(f"peer{n}") for n in range(8)]
    chats = at_once(8, lambda n: ada.asks(peers[n]).json)

    answers = at_once(16, lambda n: [ada.says(chats[n % 8], f"{n}").status for _ in range(5)])

    assert answers == [[201] * 5] * 16


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_writer_gets_its_turn_beside_another_process(
    ada: Person, chat: Chat, settings: Settings
) -> None:
    turns = 0
    done = threading.Event()

    def write_again_and_again() -> None:
        nonlocal turns
        with looking_into(settings) as connection:
            while not done.is_set():
                with writing_on(connection):
                    turns += 1
                    time.sleep(0.05)
                time.sleep(0.002)

    waited = []
    with meanwhile(write_again_and_again):
        try:
            for number in range(9):
                before = turns
                ada.said(chat, f"number {number}")
                waited.append(turns - before)
        finally:
            done.set()

    assert median(waited) <= 5, waited
