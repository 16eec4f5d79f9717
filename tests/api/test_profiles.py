"""Profiles: names, a text and a picture, which people change and others see."""

import errno
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import delete, update

from chat import files, name_words
from config import Settings
from models import NameWord, User
from tests.support.conversations import Chat, block, entry, inbox, ok, statements
from tests.support.interruptions import interrupting
from tests.support.people import (
    PASSWORD,
    Answer,
    Api,
    InProcess,
    Person,
    at_once,
    looking_into,
    refused,
    runtime_of,
    stored,
)
from tests.support.servers import eventually


def picture(kind: str = "PNG", size: tuple[int, int] = (400, 300), colour: str = "red") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, kind)
    return made.getvalue()


def change(person: Person, **members: Any) -> Answer:
    return person.request("PATCH", "/api/me", members)


def changed(person: Person, **members: Any) -> dict[str, Any]:
    answer = change(person, **members)
    assert answer.status == 200, answer
    profile: dict[str, Any] = answer.json
    return profile


def shows(person: Person, content: bytes, kind: str = "image/png") -> Answer:
    headers = {"Content-Type": kind}
    return person.request("PUT", "/api/me/avatar", body=content, headers=headers)


def shown(person: Person, content: bytes) -> str:
    """The path of the picture that a person then has."""
    answer = shows(person, content)
    assert answer.status == 200, answer
    path: str = answer.json["avatar"]
    return path


def found(person: Person, q: str) -> list[str]:
    answer = person.get("/api/users", q=q)
    assert answer.status == 200, answer
    return [user["username"] for user in answer.json]


def kept(settings: Settings) -> list[Path]:
    places = (Path(settings.instance_path, name) for name in ("files", "arriving"))
    return [path for place in places for path in place.rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def _empty_storage(settings: Settings) -> None:
    shutil.rmtree(Path(settings.instance_path, "files"), ignore_errors=True)


# Names and texts ---------------------------------------------------------------------------------


def test_a_new_person_shows_nothing_but_the_name(ada: Person, bob: Person) -> None:
    me = ada.get("/api/me").json

    assert me == {**ada.shown, "about": None}
    assert bob.get(f"/api/users/{ada.id}").json == me
    assert ada.get("/api/users/me").json["data"] == {"id": ada.id, "username": "ada"}


def test_what_people_show_is_seen_wherever_they_are(ada: Person, bob: Person, chat: Chat) -> None:
    profile = changed(ada, display_name="Ada Lovelace", about="Countess.\nProgrammer.")
    profile["avatar"] = shown(ada, picture())
    block(bob, ada)

    person = {name: value for name, value in profile.items() if name != "about"}
    assert profile["display_name"] == "Ada Lovelace"
    assert bob.get(f"/api/users/{ada.id}").json == ada.get("/api/me").json == profile
    assert bob.get("/api/users").json[0] == {**person, "userName": "ada"}
    assert bob.get("/api/users", q="love").json == [{**person, "userName": "ada"}]
    assert bob.get("/api/blocks").json == [person]
    assert entry(bob, chat)["user"] == person
    login = ada.login("ada").json["data"]
    assert {name: login[name] for name in person} == person


def test_a_null_member_stays_and_an_empty_one_clears(ada: Person) -> None:
    changed(ada, display_name="Ada", about="Countess")

    assert changed(ada, display_name=None)["display_name"] == "Ada"
    assert changed(ada) == ada.get("/api/me").json
    cleared = changed(ada, display_name="", about="")
    assert (cleared["display_name"], cleared["about"]) == (None, None)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(
            ("display_name", value)
            for value in ("x" * 51, "  ", "\u200b", "a\nb", "\u202eab", "аda")
        ),
        *(("display_name", value) for value in ("\0", "\ud800", 7, True, ["Ada"], "\ue000")),
        *(("about", value) for value in ("x" * 201, "\0", "\ud800", 7, True)),
        *(("username", value) for value in ("", "x" * 51, " ada", "\u200b", "аda", 7)),
    ],
)
def test_what_cannot_be_shown_is_refused(ada: Person, member: str, value: Any) -> None:
    others = {"display_name": "Ada", "about": "Countess", "username": "lovelace"}

    answer = change(ada, **{**others, member: value})

    assert member in refused(answer, 400, "invalid")
    assert ada.get("/api/me").json == {**ada.shown, "about": None}


def test_the_longest_texts_are_kept_as_they_are(ada: Person) -> None:
    longest = {"display_name": "é" * 50, "about": "😀" * 200, "username": "ß" * 50}

    assert changed(ada, **longest).items() >= longest.items()


def test_somebody_who_is_not_there_has_no_profile(ada: Person, bob: Person) -> None:
    bob.request("DELETE", "/api/me", {"password": PASSWORD})

    for user_id in (bob.id, 10**18, 0):
        refused(ada.get(f"/api/users/{user_id}"), 404, "not_found")
        refused(ada.get(f"/api/users/{user_id}/avatar"), 404, "not_found")


# Another user name -------------------------------------------------------------------------------


def test_a_new_name_frees_the_old_one(api: Api, ada: Person) -> None:
    changed(ada, username="Grace Hopper")

    assert ada.get("/api/me").json["username"] == "Grace Hopper"
    refused(api.login("ada"), 401, "unauthorized")
    assert api.login("GRACE hopper").json["data"]["id"] == ada.id
    assert api.register("ada").status == 201


def test_a_name_may_change_its_spelling_only(ada: Person) -> None:
    assert changed(ada, username="ＡＤＡ")["username"] == "ＡＤＡ"


@pytest.mark.parametrize("name", ["bob", "BOB", "ｂｏｂ", "b\u00adob"])
def test_a_name_in_use_is_not_taken_twice(ada: Person, bob: Person, name: str) -> None:
    answer = change(ada, username=name, about="Countess")

    refused(answer, 409, "taken")
    assert ada.get("/api/me").json == {**ada.shown, "about": None}
    assert (found(bob, "ada"), found(bob, "bob")) == (["ada"], ["bob"])


def test_one_of_many_who_want_a_name_gets_it(api: Api, settings: Settings) -> None:
    people = [api.sign_up(f"person {number}") for number in range(6)]

    def want(number: int) -> int:
        if number == 0:
            return api.register("the name").status
        return change(people[number], username="The Name").status

    statuses = at_once(6, want)

    assert sorted(statuses)[1:] == [409] * 5, statuses
    assert sorted(statuses)[0] in (200, 201)
    assert len(found(people[0], "the name")) == 1


# Finding by words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("hop", ["grace"]),
        ("HOP", ["grace"]),
        ("grace h", ["grace"]),
        ("gra", ["grace"]),
        ("opper", []),
        ("ostergaard", ["soren"]),
        ("ostergard", ["soren"]),
        ("oestergaard", ["soren"]),
        ("Østergård", ["soren"]),
        ("øster", ["soren"]),
        ("ostergaardo", []),
        ("muller", ["jurgen"]),
        ("mueller", ["jurgen"]),
        ("luc", ["jurgen"]),
        ("eva", ["anna"]),
        ("łodz", ["anna"]),
        ("ｌｏｄｚ", ["anna"]),
        ("kaś", ["anna"]),
        ("joe", ["joe"]),
        ("su", []),
        ("%", []),
        ("_", []),
    ],
)
def test_people_are_found_by_any_word_without_marks(
    api: Api, ada: Person, q: str, names: list[str]
) -> None:
    for name, display_name in (
        ("grace", "Grace Hopper"),
        ("soren", "Søren Østergård"),
        ("jurgen", "Jean-Luc Müller"),
        ("anna", "Éva (Kasia) z Łodzi"),
        ("joe", "Joe"),
        ("john", "John"),
    ):
        changed(api.sign_up(name), display_name=display_name)

    assert found(ada, q) == names


def test_words_follow_the_names(ada: Person, bob: Person, settings: Settings) -> None:
    changed(ada, display_name="Grace Hopper")
    changed(ada, about="Rear admiral")
    changed(ada, username="lovelace", display_name="Countess")

    assert [found(bob, q) for q in ("ada", "grace", "hop", "rear")] == [[]] * 4
    assert found(bob, "love") == found(bob, "count") == ["lovelace"]
    words = {
        word for word, user_id in stored(settings, "name_words")["name_words"] if user_id == ada.id
    }
    assert words == {"lovelace", "countess"}


def test_a_search_makes_the_same_statements_always(app: Flask, api: Api, ada: Person) -> None:
    def cost() -> int:
        with statements(app) as made:
            assert ada.get("/api/users", q="per", limit=5).status == 200
        return len(made)

    few = cost()
    for number in range(20):
        api.sign_up(f"person {number}")

    assert cost() == few


def test_what_an_older_version_left_out_is_mended(
    app: Flask, ada: Person, bob: Person, settings: Settings
) -> None:
    with looking_into(settings) as connection:
        connection.execute(delete(NameWord).where(NameWord.user_id == ada.id))
        connection.execute(update(User).where(User.id == ada.id).values(has_words=False))
        ended = {"deleted_at": User.created_at, "username": "", "name_key": None}
        connection.execute(update(User).where(User.id == bob.id).values(ended))
        connection.commit()

    with app.app_context():
        while name_words.mend():
            pass

    assert stored(settings, "name_words")["name_words"] == [("ada", ada.id)]


# Pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("size", [(400, 300), (10, 2_000), (1, 1)])
def test_a_picture_becomes_a_square_for_everybody(
    ada: Person, eve: Person, kind: str, size: tuple[int, int]
) -> None:
    path = shown(ada, picture(kind, size))

    answer = eve.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (256, 256)
    again = eve.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_another_picture_has_another_path_and_etag(ada: Person, settings: Settings) -> None:
    first = shown(ada, picture())
    before = ada.get(first)
    second = shown(ada, picture(colour="blue"))
    after = ada.get(second)

    assert first != second
    assert before.headers["etag"] != after.headers["etag"]
    assert before.body != after.body
    eventually(lambda: len(kept(settings)) == 1)


def test_a_picture_that_is_taken_back_leaves_nothing(ada: Person, settings: Settings) -> None:
    path = shown(ada, picture())

    answer = ada.request("DELETE", "/api/me/avatar")

    assert answer.json == {**ada.shown, "about": None}
    refused(ada.get(path), 404, "not_found")
    eventually(lambda: not kept(settings))
    assert ada.request("DELETE", "/api/me/avatar").status == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"Hello", b"\x89PNG\r\n\x1a\n", picture()[:-100], b"<svg></svg>", picture("BMP")],
)
def test_what_is_no_picture_is_refused_by_its_bytes(
    ada: Person, settings: Settings, content: bytes
) -> None:
    path = shown(ada, picture())

    refused(shows(ada, content), 415, "unsupported_media_type")

    assert ada.get("/api/me").json["avatar"] == path
    assert len(kept(settings)) == 1


def test_what_a_picture_is_called_does_not_matter(ada: Person) -> None:
    for kind in (
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "image/gif",
    ):
        assert shows(ada, picture(), kind).status == 200


def test_a_picture_of_more_than_five_mebibytes_is_refused(ada: Person) -> None:
    most = 5 * 1024 * 1024

    refused(shows(ada, picture() + b"\0" * most), 413, "too_large")
    assert shows(ada, picture() + b"\0" * (most - len(picture()))).status == 200


def test_a_full_disk_takes_no_picture(
    ada: Person, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    refused(shows(ada, picture()), 503, "unavailable")

    assert ok(ada.get(f"/api/users/{ada.id}"))["avatar"] is None
    assert not list((settings.folder / "arriving").iterdir())


def test_a_picture_needs_a_token(api: Api, ada: Person) -> None:
    path = shown(ada, picture())

    refused(api.get(path), 401, "unauthorized")
    refused(api.request("PUT", "/api/me/avatar", body=picture()), 401, "unauthorized")


def test_pictures_of_people_are_not_pruned(
    app: Flask, ada: Person, bob: Person, settings: Settings
) -> None:
    path = shown(ada, picture())
    with app.app_context():
        storage = runtime_of(app).storage
        lost = files.keep_avatar(storage, Path(settings.instance_path), picture())

        assert files.prune(storage, -1) == 1

    assert ada.get(path).status == 200
    assert lost not in [path.name for path in kept(settings)]


def test_one_picture_is_left_of_many_at_once(ada: Person, settings: Settings) -> None:
    statuses = at_once(5, lambda _: shows(ada, picture()).status)

    assert statuses == [200] * 5
    assert ada.get(ada.get("/api/me").json["avatar"]).status == 200
    eventually(lambda: len(kept(settings)) == 1)


def test_the_path_of_a_picture_has_the_prefix(make_api: Any, ada: Person) -> None:
    there: InProcess = make_api(script_name="/chat")
    shown(ada, picture())

    headers = {"Authorization": f"Bearer {ada.token}"}
    path = there.get("/chat/api/me", headers=headers).json["avatar"]

    assert path.startswith(f"/chat/api/users/{ada.id}/avatar?v=")
    assert there.get(path, headers=headers).status == 200


# The end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("erase", [False, True])
def test_an_account_that_ended_leaves_nothing_shown(
    ada: Person, bob: Person, chat: Chat, settings: Settings, erase: bool
) -> None:
    changed(ada, username="zanzibar", display_name="Zanzibar Lovelace", about="Of Zanzibar")
    shown(ada, picture())

    assert ada.request("DELETE", "/api/me", {"password": PASSWORD, "erase": erase}).status == 204

    assert inbox(bob)[0]["user"] == {**ada.shown, "username": None}
    assert found(bob, "zan") == []
    everything = stored(settings, "users", "name_words")
    assert "zanzibar" not in str(everything).lower()
    assert ada.id not in [row[1] for row in everything["name_words"]]
    eventually(lambda: not kept(settings))


def test_what_is_shown_during_the_deletion_goes(
    app: Flask, ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    """The password takes a while to check. What came meanwhile goes with the account."""
    before = len(kept(settings))
    turns = iter([True])

    def show(_: object) -> None:
        if next(turns, False):
            at_once(1, lambda _: changed(ada, display_name="Zanzibar", about="Of Zanzibar"))
            at_once(1, lambda _: shown(ada, picture()))

    with interrupting(app, "users.id = ", show):
        assert ada.request("DELETE", "/api/me", {"password": PASSWORD}).status == 204

    assert inbox(bob)[0]["user"] == {**ada.shown, "username": None}
    assert "Zanzibar" not in str(stored(settings, "users"))
    assert eventually(lambda: len(kept(settings)) == before)


def test_the_export_has_what_is_shown(ada: Person) -> None:
    profile = changed(ada, display_name="Ada Lovelace", about="Countess")

    line = ada.get("/api/me/export").body.decode().splitlines()[0]

    assert '"display_name":"Ada Lovelace"' in line
    assert '"about":"Countess"' in line
    assert profile["id"] == ada.id
