"""The last version and this one, side by side on one database, as in an upgrade without a stop."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from database import init_db
from migrations import revision
from tests.support.conversations import (
    block,
    changes,
    delete,
    edit,
    entry,
    found,
    mark,
    now,
    ok,
    sqlite_only,
    unblock,
)
from tests.support.deliveries import heard
from tests.support.last_version import REVISION, LastVersion
from tests.support.people import (
    PASSWORD,
    Api,
    ChatServer,
    Person,
    looking_into,
    refused,
    stored,
)
from tests.support.servers import Postgres, eventually
from tests.support.stub_pusher import StubPusher

pytestmark = pytest.mark.slow

Chat = dict[str, Any]


@dataclass
class Sides:
    """Both versions on one database, the old one at first alone."""

    old: LastVersion
    new: ChatServer
    settings: Settings
    stub: StubPusher

    def upgrade(self) -> None:
        init_db(self.settings)
        self.new.start()

    @property
    def both(self) -> list[Api]:
        return [self.old.api, self.new.api]


@pytest.fixture
def sides(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sides]:
    url, postgres = "sqlite:///chat.db", None
    if backend == "postgresql":
        postgres = request.getfixturevalue("postgres")
        assert isinstance(postgres, Postgres)
        url = postgres.create_database()
    settings = Settings(instance_path=str(tmp_path), database_url=url)
    env = {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": url}
    with StubPusher() as stub, LastVersion(**env, **stub.env) as old:
        new = ChatServer(**env, **stub.env)
        try:
            yield Sides(old, new, settings, stub)
        finally:
            new.close()
    if postgres:
        postgres.drop_database(url)


@pytest.fixture
def people(sides: Sides) -> tuple[Person, Person, Chat]:
    """Ada and bob, who have met in the old version; then the new one came beside it."""
    ada, bob = sides.old.api.sign_up("ada"), sides.old.api.sign_up("bob")
    with looking_into(sides.settings) as connection:
        assert revision(connection) == REVISION
    chat: Chat = ada.asks(bob).json
    ada.said(chat, "before the upgrade")
    sides.upgrade()
    return ada, bob, chat


def everywhere(sides: Sides, person: Person) -> list[Person]:
    """The same person with the same token, at both."""
    return [replace(person, api=api) for api in sides.both]


def test_what_one_version_does_the_other_shows(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    ada, bob, chat = people
    since = now(bob)
    told = 0

    for writer, reader in (everywhere(sides, ada), everywhere(sides, ada)[::-1]):
        peer = replace(bob, api=reader.api)
        for name in ("alpha", "beta", "gamma"):
            told += 1
            sent = writer.said(chat, f"{name} {told}", client_message_id=f"{told}")
            # The other version answers a retry, and everything else about it.
            again = reader.says(chat, f"{name} {told}", client_message_id=f"{told}")
            assert (again.status, again.json["id"]) == (200, sent["id"])
            assert reader.reads(chat).json[-1]["message"] == sent["message"]
            assert found(peer, f"{name} {told}") == [sent["message"]]
            assert entry(peer, chat)["unread"] >= 1
            ok(mark(replace(bob, api=writer.api), chat))
            assert entry(peer, chat)["unread"] == 0
        edited = ok(edit(writer, sent, f"edited {told}"))
        assert found(peer, f"edited {told}") == [edited["message"]]
        assert found(peer, f"gamma {told}") == []
        ok(delete(reader, edited))
        assert found(writer, f"edited {told}") == []
        for one, other in zip(reader.reads(chat).json, writer.reads(chat).json, strict=True):
            both = one.keys() & other.keys()  # this version has more members
            assert {name: one[name] for name in both} == {name: other[name] for name in both}

    expected = ada.reads(chat).json[1:]
    for each in everywhere(sides, bob):
        seen = changes(each, since)["messages"]
        assert sorted(message["id"] for message in seen) == [message["id"] for message in expected]


def test_a_login_of_one_version_counts_in_the_other(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    old, new = sides.both
    carol, dan = old.sign_up("Carol"), new.sign_up("Dan")

    for api in sides.both:
        refused(api.register("carol"), 409, "taken")
        refused(api.register("DAN"), 409, "taken")
        assert api.login("CAROL").json["data"]["id"] == carol.id
        assert api.login("dan").json["data"]["id"] == dan.id
    for ends, asks in ((carol, new), (dan, old)):
        assert replace(ends, api=asks).get("/api/me").status == 200
        assert ends.post("/api/logout").status == 204
        refused(replace(ends, api=asks).get("/api/me"), 401, "unauthorized")


def test_blocks_and_departures_count_in_both(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    ada, bob, chat = people
    for one, other in (sides.both, sides.both[::-1]):
        block(replace(bob, api=one), ada)
        refused(replace(ada, api=other).says(chat, "Hello?"), 403, "blocked")
        unblock(replace(bob, api=other), ada)
        replace(ada, api=one).said(chat, "Hello!")
    for name, (one, other) in {"eve": sides.both, "dan": sides.both[::-1]}.items():
        leaver = one.sign_up(name)
        with_ada = leaver.asks(ada).json
        leaver.said(with_ada, f"a secret of {name}")

        gone = leaver.request("DELETE", "/api/me", {"password": PASSWORD, "erase": True})

        assert gone.status == 204
        peer = replace(ada, api=other)
        assert [each["message"] for each in peer.reads(with_ada).json] == [""]
        assert found(peer, "secret") == []
        assert other.register(name).status == 201


@sqlite_only
def test_a_long_message_is_found_by_the_new(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    """It has a marker in the index, which the old version does not know."""
    ada, _, chat = people
    text = " ".join(f"w{number}" for number in range(600))
    old, new = everywhere(sides, ada)

    for writer in (old, new):
        writer.said(chat, f"{text} end")
        for number in range(3):  # what comes after has it indexed by that version
            writer.said(chat, f"{number} {'x' * 1_000}")

    assert found(new, "w599 end") == [f"{text} end"] * 2
    assert [each["message"] for each in old.reads(chat).json].count(f"{text} end") == 2


def test_events_of_both_are_told_whoever_delivers(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    ada, bob, chat = people
    for number in range(10):
        for each in everywhere(sides, ada):
            each.said(chat, f"number {number}")
    sides.old.kill()
    last = replace(bob, api=sides.new.api).said(chat, "the last one")

    sides.stub.wait_for(lambda events: last in heard(events, chat["channel_name"]))

    sent = replace(ada, api=sides.new.api).reads(chat).json
    told = heard(sides.stub.events, chat["channel_name"], "new_message")
    assert [each["id"] for each in told] == [each["id"] for each in sent]
    assert len(sent) == 22


def test_rights_ended_beside_the_old_version_end(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    """The old one delivers, and does not know what to do with the notice."""
    _, bob, _chat = people
    assert replace(bob, api=sides.new.api).post("/api/logout").status == 204
    assert eventually(lambda: aside(sides) == 1)
    assert sides.stub.terminated == []

    sides.old.stop()

    assert eventually(lambda: sides.stub.terminated == [str(bob.id)])
    assert eventually(lambda: stored(sides.settings, "events")["events"] == [])


def aside(sides: Sides) -> int:
    events: int = sides.new.api.get("/health").json["events"]["set_aside"]
    return events


@sqlite_only
def test_an_old_process_started_late_touches_nothing(
    sides: Sides, people: tuple[Person, Person, Chat]
) -> None:
    ada, _, chat = people
    sides.old.restart()
    before = stored(sides.settings)

    refused(ada.says(chat, "too late"), 503, "unavailable")

    assert stored(sides.settings) == before
    assert replace(ada, api=sides.new.api).says(chat, "in time").status == 201
