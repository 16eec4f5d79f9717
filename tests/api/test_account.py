import json
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask
from sqlalchemy import text

from config import Settings
from realtime import backlog
from tests.support.conversations import (
    OFTEN,
    Chat,
    Message,
    News,
    block,
    delete,
    edit,
    entry,
    found,
    holding,
    inbox,
    mark,
    meanwhile,
    now,
    ok,
    postgresql_only,
    react,
    statements,
    wait_for_waiting,
)
from tests.support.interruptions import interrupting, turns
from tests.support.people import (
    PASSWORD,
    Answer,
    Api,
    ChatServer,
    InProcess,
    Person,
    at_once,
    events,
    fill,
    looking_into,
    refused,
    stored,
)

NEW = "battery staple"


def lives(person: Person) -> bool:
    answer = person.get("/api/me")
    if answer.status == 200:
        return True
    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    return False


def again(person: Person, password: str = PASSWORD) -> Person:
    """The same person on another device."""
    answer = person.api.login(person.username, password)
    assert answer.status == 200, answer
    return Person(person.api, **answer.json["data"])


def refresh(person: Person) -> Person:
    data = ok(person.post("/api/refresh"))["data"]
    return Person(person.api, **data)


def logout(person: Person, body: Any = None) -> int:
    return person.post("/api/logout", body).status


def change(person: Person, old: str = PASSWORD, new: str = NEW) -> Any:
    body = {"current_password": old, "new_password": new}
    return person.request("PUT", "/api/me/password", body)


def leave(person: Person, password: str = PASSWORD, **rest: Any) -> Any:
    return person.request("DELETE", "/api/me", {"password": password, **rest})


@pytest.fixture
def devices(ada: Person) -> list[Person]:
    """Three devices of ada's."""
    return [ada, again(ada), again(ada)]


# Who am I ---------------------------------------------------------------------------------------


def test_me_answers_with_the_caller(ada: Person, bob: Person) -> None:
    assert ok(ada.get("/api/me")) == {**ada.shown, "about": None}
    assert ok(bob.get("/api/me")) == {**bob.shown, "about": None}


def test_the_check_of_a_login_costs_one_statement(app: Flask, ada: Person) -> None:
    with statements(app) as made:
        ada.get("/api/me")

    assert len(made) == 1


# Logout and refresh -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}, {"all": False}, {"all": None}, {"other": True}])
def test_logout_ends_this_token_and_no_other(devices: list[Person], bob: Person, body: Any) -> None:
    assert logout(devices[1], body) == 204

    assert [lives(each) for each in (*devices, bob)] == [True, False, True, True]


def test_logout_everywhere_ends_the_callers_logins_only(devices: list[Person], bob: Person) -> None:
    assert logout(devices[1], {"all": True}) == 204

    assert [lives(each) for each in (*devices, bob)] == [False, False, False, True]
    assert lives(again(devices[0]))


def test_all_is_true_or_false(devices: list[Person]) -> None:
    values: list[Any] = ["true", 1, 0, "", []]
    for value in values:
        assert "all" in refused(devices[0].post("/api/logout", {"all": value}), 400, "invalid")
    assert all(lives(each) for each in devices)


def test_refresh_trades_the_token_for_another(devices: list[Person], bob: Person) -> None:
    login = devices[0].api.login("ada")

    answer = devices[1].post("/api/refresh")

    assert answer.status == 200
    assert set(answer.json) == set(login.json)
    assert answer.json["status"] == "success"
    assert {**answer.json["data"], "token": ""} == {**login.json["data"], "token": ""}
    assert lives(Person(bob.api, **answer.json["data"]))
    assert [lives(each) for each in (*devices, bob)] == [True, False, True, True]


def test_an_ended_login_can_do_nothing(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    message = ada.said(chat, "Hello")
    assert ada.signs(chat["channel_name"]).status == 200
    logout(ada)
    before = stored(settings)

    for channel in (
        chat["channel_name"],
        "presence-chitchat",
        f"private-notification_user_{ada.id}",
    ):
        refused(ada.signs(channel), 401, "unauthorized")
    for answer in (
        *(ada.says(chat, "Hello"), ada.reads(chat), edit(ada, message, "x"), delete(ada, message)),
        *(ada.asks(bob), mark(ada, chat), block(ada, bob), change(ada), leave(ada)),
        *(ada.post("/api/refresh"), ada.post("/api/logout"), ada.get("/api/me/export")),
    ):
        refused(answer, 401, "unauthorized")
    assert stored(settings) == before


def test_of_two_refreshes_at_once_one_wins(ada: Person, settings: Settings) -> None:
    for _ in range(2 * OFTEN):
        answers = at_once(4, lambda _, ada=ada: ada.post("/api/refresh"))  # type: ignore[misc]

        assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]
        (won,) = (answer for answer in answers if answer.status == 200)
        assert len(stored(settings, "sessions")["sessions"]) == 1
        ada = Person(ada.api, **won.json["data"])
        assert lives(ada)


def test_expired_logins_go_with_the_next_one(ada: Person, bob: Person, settings: Settings) -> None:
    with looking_into(settings) as connection:
        connection.execute(text("UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000'"))
        connection.commit()

    again(ada)

    owners = [row[2] for row in stored(settings, "sessions")["sessions"]]
    assert sorted(owners) == [ada.id, bob.id]


# Change of password -----------------------------------------------------------------------------


def test_a_new_password_ends_all_other_tokens(devices: list[Person], bob: Person) -> None:
    api = bob.api

    answer = change(devices[1])

    assert answer.status == 200
    assert set(answer.json["data"]) == {*bob.shown, "token", "expires_in"}
    assert [lives(each) for each in (*devices, bob)] == [False, False, False, True]
    assert lives(Person(api, **answer.json["data"]))
    refused(api.login("ada"), 401, "unauthorized")
    assert api.login("ada", NEW).status == 200


IMPOSSIBLE = [
    ({"current_password": PASSWORD}, "new_password"),
    ({"new_password": NEW}, "current_password"),
    ({"current_password": PASSWORD, "new_password": "short"}, "new_password"),
    ({"current_password": PASSWORD, "new_password": "x" * 129}, "new_password"),
    ({"current_password": PASSWORD, "new_password": "with \0 in it"}, "new_password"),
    ({"current_password": PASSWORD, "new_password": 12345678}, "new_password"),
    ({"current_password": None, "new_password": NEW}, "current_password"),
]


def test_an_impossible_password_is_refused(ada: Person, settings: Settings) -> None:
    before = stored(settings)

    for body, member in IMPOSSIBLE:
        assert member in refused(ada.request("PUT", "/api/me/password", body), 400, "invalid")

    assert stored(settings) == before


@pytest.mark.parametrize(
    "verb", [lambda ada: change(ada, "wrong"), lambda ada: leave(ada, "wrong")]
)
def test_a_wrong_password_counts_as_a_failed_login(
    app: Flask, ada: Person, settings: Settings, verb: Callable[[Person], Any]
) -> None:
    before = stored(settings)

    for _ in range(10):
        refused(verb(ada), 403, "forbidden")

    assert int(verb(ada).headers["retry-after"]) >= 1
    for answer in (verb(ada), change(ada), leave(ada), ada.api.login("ada")):
        refused(answer, 429, "rate_limited")
    assert lives(ada)
    assert stored(settings) == before
    assert InProcess(app, "127.0.0.2").login("ada").status == 200, "from elsewhere"


def test_failed_logins_count_for_password_changes_too(ada: Person) -> None:
    for _ in range(10):
        refused(ada.api.login("ADA", "wrong"), 401, "unauthorized")

    refused(change(ada), 429, "rate_limited")


def test_of_two_changes_at_once_one_wins(ada: Person) -> None:
    other = again(ada)

    first, second = at_once(2, lambda number: change((ada, other)[number], new=f"{NEW} {number}"))

    assert sorted((first.status, second.status)) in ([200, 401], [200, 403])
    winner = 0 if first.status == 200 else 1
    assert ada.api.login("ada", f"{NEW} {winner}").status == 200
    refused(ada.api.login("ada", f"{NEW} {1 - winner}"), 401, "unauthorized")
    assert lives(Person(ada.api, **(first, second)[winner].json["data"]))


def test_no_login_outlives_the_old_password(ada: Person) -> None:
    password = PASSWORD
    for number in range(2 * OFTEN):

        def act(one: int, ada: Person = ada, old: str = password, number: int = number) -> Any:
            return change(ada, old, f"{NEW} {number}") if one == 0 else ada.api.login("ada", old)

        changed, *logins = at_once(4, act)

        password = f"{NEW} {number}"
        assert changed.status == 200
        for answer in logins:
            assert answer.status in (200, 401)
            if answer.status == 200:
                assert not lives(Person(ada.api, **answer.json["data"]))
        ada = Person(ada.api, **changed.json["data"])
        assert lives(ada)


@pytest.fixture
def other(ada: Person) -> Person:
    """Ada on another device."""
    return again(ada)


@pytest.fixture
def expired(settings: Settings, ada: Person, other: Person) -> str:
    """A statement that locks an expired login of ada's. To log in or to end all logins removes
    that row, and so waits for the lock."""
    with looking_into(settings) as connection:
        row = {"jti": "expired", "user": ada.id}
        connection.execute(
            text(
                "INSERT INTO sessions (jti, user_id, expires_at) VALUES (:jti, :user, '2020-01-01')"
            ),
            row,
        )
        connection.commit()
    return "SELECT jti FROM sessions WHERE jti = 'expired' FOR UPDATE"


OPENINGS: dict[str, Callable[[Person], Answer]] = {
    "login": lambda ada: ada.api.login("ada"),
    "refresh": lambda ada: ada.post("/api/refresh"),
}
ENDINGS: dict[str, Callable[[Person], Answer]] = {
    "change": lambda ada: change(ada),
    "logout": lambda ada: ada.post("/api/logout", {"all": True}),
}


def jti_of(person: Person) -> str:
    claims: dict[str, str] = jwt.decode(person.token, options={"verify_signature": False})
    return claims["jti"]


def one_behind_the_other(
    settings: Settings, expired: str, first: Callable[[], Answer], second: Callable[[], Answer]
) -> tuple[Answer, Answer]:
    """Both wait for the row of the expired login, in this order, and then go on."""
    with holding(settings, expired) as let_go, meanwhile(first) as one:
        wait_for_waiting(settings)
        with meanwhile(second) as other:
            wait_for_waiting(settings, 2)
            let_go()
            return one.result(), other.result()


@postgresql_only
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("opening", OPENINGS)
def test_a_login_just_beginning_ends_with_the_others(
    ada: Person, other: Person, settings: Settings, expired: str, opening: str, ending: str
) -> None:
    # A login sweeps the expired ones away; a refresh changes its own.
    own = f"SELECT 1 FROM sessions WHERE jti = '{jti_of(other)}' FOR UPDATE"
    awaited = expired if opening == "login" else own
    opened, ended = one_behind_the_other(
        settings, awaited, lambda: OPENINGS[opening](other), lambda: ENDINGS[ending](ada)
    )

    assert ended.status in (200, 204)
    assert not lives(Person(ada.api, **ok(opened)["data"]))
    assert len(stored(settings, "sessions")["sessions"]) == (1 if ending == "change" else 0)


@postgresql_only
@pytest.mark.parametrize(
    ("opening", "ending"), [("login", "change"), ("refresh", "change"), ("refresh", "logout")]
)
def test_no_login_begins_while_all_are_ending(
    ada: Person, other: Person, settings: Settings, expired: str, opening: str, ending: str
) -> None:
    ended, opened = one_behind_the_other(
        settings, expired, lambda: ENDINGS[ending](ada), lambda: OPENINGS[opening](other)
    )

    refused(opened, 401, "unauthorized")
    assert ended.status in (200, 204)
    assert len(stored(settings, "sessions")["sessions"]) == (1 if ending == "change" else 0)


# Deletion ---------------------------------------------------------------------------------------


@pytest.fixture
def said(ada: Person, bob: Person, chat: Chat) -> list[Message]:
    return [ada.said(chat, "My Secret"), bob.said(chat, "Hello, Ada"), ada.said(chat, "Goodbye")]


def test_a_deleted_account_is_gone(devices: list[Person], bob: Person, settings: Settings) -> None:
    ada, api = devices[0], bob.api

    answer = leave(ada)

    assert (answer.status, answer.body) == (204, b"")
    assert not any(lives(each) for each in devices)
    assert lives(bob)
    refused(api.login("ada"), 401, "unauthorized")
    refused(api.login(f"\x01{ada.id}", ""), 401, "unauthorized")
    assert [user["username"] for user in bob.get("/api/users").json] == ["bob"]
    assert bob.get("/api/users", limit=200).json == bob.get("/api/users").json
    assert bob.get("/api/users", q="a").json == []
    assert bob.get("/api/users", q="\x01").json == []
    refused(bob.asks(ada), 404, "not_found")
    refused(block(bob, ada), 404, "not_found")


def test_nothing_remains_of_the_password(ada: Person, settings: Settings) -> None:
    ((_, _, _, password_hash, *_),) = stored(settings, "users")["users"]
    assert password_hash.startswith("scrypt:")

    leave(ada)

    assert "scrypt:" not in str(stored(settings))
    assert password_hash.rpartition("$")[2] not in str(stored(settings))


def test_the_name_is_free_but_the_id_taken(ada: Person, bob: Person) -> None:
    chat = ada.asks(bob).json
    ada.said(chat, "Hello", client_message_id="c1")
    leave(ada)

    another = ada.api.sign_up("Ada")

    assert another.id > bob.id > ada.id
    assert inbox(another) == []
    refused(another.reads(chat), 404, "not_found")
    assert another.asks(bob).json["channel_id"] != chat["channel_id"]
    assert another.said(another.asks(bob).json, "Hello, too", client_message_id="c1")
    leave(another)
    assert ada.api.sign_up("ADA").id > another.id, "the last id is not used again either"


def test_the_other_one_keeps_a_readable_chat(
    ada: Person, bob: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    before = bob.reads(chat).json
    news = News(settings)
    leave(ada)

    assert bob.reads(chat).json == before == said
    assert found(bob, "secret") == ["My Secret"]
    assert entry(bob, chat)["user"] == {**ada.shown, "username": None}
    assert entry(bob, chat)["last_message"] == said[2]
    assert news() == []
    assert ok(mark(bob, chat))["unread"] == 0
    assert ok(delete(bob, said[1]))["message"] == ""


def test_nobody_can_write_to_a_deleted_account(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    bob.said(chat, "Hello", client_message_id="c1")
    leave(ada)
    before = stored(settings)

    refused(bob.says(chat, "Ada?"), 404, "not_found")

    assert bob.says(chat, "Hello", client_message_id="c1").status == 200
    assert stored(settings) == before


def test_messages_are_erased_on_request(
    ada: Person, bob: Person, eve: Person, chat: Chat, said: list[Message], settings: Settings
) -> None:
    with_eve = eve.asks(ada).json
    ada.said(with_eve, "My Secret")
    since, news = now(bob), News(settings)

    headers = {"X-Socket-ID": "123.456"}
    body = {"password": PASSWORD, "erase": True}
    assert ada.request("DELETE", "/api/me", body, headers=headers).status == 204

    texts = [message["message"] for message in bob.reads(chat).json]
    assert texts == ["", "Hello, Ada", ""]
    assert [message["message"] for message in eve.reads(with_eve).json] == [""]
    assert found(bob, "secret") == found(eve, "secret") == []
    assert "secret" not in str(stored(settings)).lower()
    events = [event for event in news.rows() if event["name"] == "message_deleted"]
    assert {event["socket_id"] for event in events} == {"123.456"}
    told = [(event["channel"], event["data"]["id"]) for event in events]
    assert (chat["channel_name"], said[0]["id"]) in told
    assert (f"private-notification_user_{bob.id}", said[2]["id"]) in told
    assert len(told) == 3 * 3
    missed = ok(bob.get("/api/sync", since=since))["messages"]
    assert missed == [m for m in bob.reads(chat).json if m["from_user"] == ada.id]


def test_many_messages_are_erased_in_full(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    fill(settings, ada, chat, 120)

    assert leave(ada, erase=True).status == 204

    assert {message["message"] for message in bob.reads(chat).json} == {""}
    assert len(bob.reads(chat).json) == 120


def test_long_messages_are_erased_few_at_a_time(
    app: Flask, ada: Person, chat: Chat, settings: Settings
) -> None:
    fill(settings, ada, chat, 30, "x" * 4_900)

    with turns(app, "UPDATE messages") as erased:
        assert leave(ada, erase=True).status == 204

    assert len(erased) >= 6, "others get to write in between"
    assert sum(erased) == 30


def test_a_password_is_needed_to_leave(ada: Person) -> None:
    for body in ({}, {"password": None}, {"password": 7}, {"password": "a\0"}):
        assert "password" in refused(ada.request("DELETE", "/api/me", body), 400, "invalid")
    assert lives(ada)


def test_erase_is_true_or_false(ada: Person) -> None:
    values: list[Any] = ["true", 1, "yes", []]
    for erase in values:
        assert "erase" in refused(leave(ada, erase=erase), 400, "invalid")
    assert lives(ada)


def test_blocks_go_with_the_account(
    ada: Person, bob: Person, eve: Person, settings: Settings
) -> None:
    block(ada, bob)
    block(bob, ada)
    block(bob, eve)

    leave(ada)

    assert bob.get("/api/blocks").json == [eve.shown]
    assert stored(settings, "blocks")["blocks"] == [(bob.id, eve.id)]


def test_of_two_deletions_at_once_one_wins(ada: Person) -> None:
    other = again(ada)

    statuses = at_once(2, lambda number: leave((ada, other)[number]).status)

    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 401, 403}
    assert not lives(ada)


def test_a_refreshed_token_does_not_outlive_the_account(api: Api) -> None:
    for number in range(2 * OFTEN):
        ada = api.sign_up(f"ada{number}")

        def act(one: int, ada: Person = ada) -> Answer:
            return leave(ada) if one == 0 else ada.post("/api/refresh")

        left, refreshed = at_once(2, act)

        if left.status == 204:
            assert refreshed.status in (200, 401)
        else:
            refused(left, 401, "unauthorized")  # its token had ended
            continue
        if refreshed.status == 200:
            assert not lives(Person(api, **refreshed.json["data"]))


def test_messages_sent_meanwhile_are_erased_or_refused(
    api: Api, bob: Person, settings: Settings
) -> None:
    for number in range(2 * OFTEN):
        ada = api.sign_up(f"ada{number}")
        chat = ada.asks(bob).json

        def act(one: int, ada: Person = ada, chat: Chat = chat) -> list[int]:
            if one == 0:
                return [leave(ada, erase=True).status]
            return [ada.says(chat, f"My Secret {each}").status for each in range(5)]

        (left,), *sent = at_once(4, act)

        assert left == 204
        assert {status for each in sent for status in each} <= {201, 401, 404}
        assert {message["message"] for message in bob.reads(chat).json} <= {""}
    assert "Secret" not in str(stored(settings))


@postgresql_only
def test_a_deletion_waits_for_an_earlier_message(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    with (
        holding(settings, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE") as let_go,
        meanwhile(lambda: ada.says(chat, "My Secret")) as sending,
    ):
        wait_for_waiting(settings)
        with meanwhile(lambda: leave(ada, erase=True)) as leaving:
            wait_for_waiting(settings, 2)
            let_go()
            assert leaving.result().status == 204
        assert sending.result().status == 201

    assert [message["message"] for message in bob.reads(chat).json] == [""]
    assert "secret" not in str(stored(settings)).lower()


@postgresql_only
def test_a_message_waiting_for_its_turn_sees_the_deletion(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    with (
        holding(settings, "SELECT id FROM channels FOR UPDATE") as let_go,
        meanwhile(lambda: ada.says(chat, "Too late")) as sending,
    ):
        wait_for_waiting(settings)
        assert leave(ada).status == 204
        let_go()

        refused(sending.result(), 401, "unauthorized")
    assert bob.reads(chat).json == []


@postgresql_only
def test_an_erasure_and_the_dispatcher_do_not_deadlock(
    app: Flask, ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    """The events of a message that was edited stand on both sides of those of the next one."""
    first, _ = ada.said(chat, "One"), ada.said(chat, "Two")
    ok(edit(ada, first, "One more"))

    def remove() -> None:
        with looking_into(settings) as connection:
            backlog.remove(connection, [each["id"] for each in events(settings)][3:])
            connection.commit()

    with ThreadPoolExecutor(1) as pool:
        removing: list[Future[None]] = []

        def begin(_: object) -> None:
            if not removing:
                removing.append(pool.submit(remove))
                wait(removing, 0.5)

        with interrupting(app, "UPDATE messages", begin):
            assert leave(ada, erase=True).status == 204
        removing[0].result()

    assert [message["message"] for message in bob.reads(chat).json] == ["", ""]


def test_a_login_ended_during_the_check_is_a_401(
    app: Flask, api: Api, ada: Person, settings: Settings
) -> None:
    """The same request, sent twice, ends like this; it must not count as a failed login."""

    def end_logins(_: object) -> None:
        with looking_into(settings) as connection:
            connection.execute(text("DELETE FROM sessions"))
            connection.commit()

    for _ in range(12):
        device = again(ada)
        with interrupting(app, "users.id = ", end_logins):
            refused(leave(device, "the former password"), 401, "unauthorized")

    assert api.login("ada").status == 200


# Export -----------------------------------------------------------------------------------------


def exported(person: Person) -> list[dict[str, Any]]:
    answer = person.get("/api/me/export")
    assert answer.status == 200, answer
    assert answer.headers["content-type"].split(";")[0] == "application/x-ndjson"
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.decode().split("\n")[:-1]]


def test_the_export_has_the_callers_own_data_only(
    ada: Person, bob: Person, eve: Person, chat: Chat, said: list[Message]
) -> None:
    with_eve = eve.asks(ada).json
    eve.said(with_eve, 'line\nbreak\u2028and "quotes"')
    bob.said(bob.asks(eve).json, "Nothing of Ada's")
    ok(edit(ada, said[0], "My Secret!"))
    ok(delete(ada, said[2]))

    user, *lines = exported(ada)

    assert {**user, "created_at": ""} == {
        "type": "user",
        **ada.shown,
        "about": None,
        "created_at": "",
    }
    channels = [line for line in lines if line["type"] == "channel"]
    assert [(line["id"], line["name"], line["users"]) for line in channels] == [
        (chat["channel_id"], chat["channel_name"], [ada.id, bob.id]),
        (with_eve["channel_id"], with_eve["channel_name"], [ada.id, eve.id]),
    ]
    for each in (chat, with_eve):
        of_chat = [line for line in lines if line.get("channel_id") == each["channel_id"]]
        types = {"type": "message", "message_type": "Text"}
        assert of_chat == [{**message, **types} for message in ada.reads(each).json]
    assert len(lines) == 2 + 4


def test_the_export_has_blocks_marks_and_reactions(
    ada: Person, bob: Person, eve: Person, chat: Chat, said: list[Message]
) -> None:
    react(ada, said[1], "\N{PARTY POPPER}")
    mark(ada, chat)
    block(ada, eve)
    assert ada.request("PUT", f"/api/chats/{chat['channel_name']}/mute").status == 204

    _, blocked, channel, *messages = exported(ada)

    assert blocked == {"type": "block", **eve.shown}
    assert channel["last_read_message_id"] == said[-1]["id"]
    assert channel["muted"]
    assert messages[1]["reactions"] == [{"emoji": "\N{PARTY POPPER}", "users": [ada.id]}]
    his, of_him, *_ = exported(bob)
    assert (his["type"], of_him["type"], of_him["muted"]) == ("user", "channel", False)


def test_an_export_without_chats_has_the_user(ada: Person) -> None:
    assert [line["type"] for line in exported(ada)] == ["user"]


def test_a_long_export_takes_no_more_memory(
    app: Flask, ada: Person, bob: Person, chat: Chat, settings: Settings, backend: str
) -> None:
    def peak() -> tuple[int, int]:
        """The most memory taken meanwhile, and the size of the export."""
        bearer = {"Authorization": f"Bearer {ada.token}"}
        size = 0
        with app.test_client() as client:
            response = client.get("/api/me/export", headers=bearer, buffered=False)
            tracemalloc.start()
            for part in response.response:
                assert len(part) < 500_000
                size += len(part)
                assert size == 0 or not in_transaction(settings, backend)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            response.close()
        return most, size

    fill(settings, ada, chat, 1_000)
    peak()  # what is made once is not counted
    short, short_size = peak()
    fill(settings, bob, chat, 4_000)
    long, long_size = peak()

    assert long_size > 700_000
    assert long - short < (long_size - short_size) / 4


def in_transaction(settings: Settings, backend: str) -> bool:
    if backend == "sqlite":
        return False
    question = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'idle in transaction'"
    )
    with looking_into(settings) as connection:
        return bool(connection.execute(question).scalar())


# In every process -------------------------------------------------------------------------------


@pytest.fixture
def processes(
    start: Callable[..., ChatServer], new_database: Callable[[Path], str], tmp_path: Path
) -> list[Api]:
    """Two servers on one database."""
    url = new_database(tmp_path)
    return [start(DATABASE_URL=url).api for _ in range(2)]


@pytest.mark.slow
def test_logins_ended_in_one_process_end_everywhere(processes: list[Api]) -> None:
    here, there = processes
    here.sign_up("bob")
    ada = here.sign_up("ada")

    def over_there(person: Person) -> Person:
        return replace(person, api=there)

    def device(password: str = PASSWORD) -> Person:
        return again(ada, password)

    one, other = device(), device()
    assert lives(over_there(one))
    assert logout(one) == 204
    assert not lives(over_there(one))
    assert lives(over_there(other))

    fresh = refresh(other)
    assert not lives(over_there(other))
    assert lives(over_there(fresh))

    assert logout(over_there(fresh), {"all": True}) == 204
    assert not lives(fresh)
    assert not lives(ada)

    ada, other = device(), device()
    data = change(over_there(ada)).json["data"]
    assert not lives(ada)
    assert not lives(other)
    assert lives(Person(here, **data))

    ada = device(NEW)
    assert leave(ada, NEW).status == 204
    assert not lives(over_there(ada))
    refused(over_there(ada).signs("presence-chitchat"), 401, "unauthorized")
    refused(there.login("ada", NEW), 401, "unauthorized")
