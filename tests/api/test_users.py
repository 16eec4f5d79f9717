from typing import Any

import pytest
from flask.ctx import AppContext
from sqlalchemy import insert

from chat import accounts
from config import Settings
from database import utcnow
from models import NameWord, User
from tests.support.people import Api, Person, looking_into, refused


@pytest.fixture
def crowd(settings: Settings, ada: Person) -> int:
    """More people than a page of the stream holds."""
    rows = [
        {
            "username": f"user{number}",
            "username_key": f"user{number}",
            "password_hash": "none",
            "created_at": utcnow(),
        }
        for number in range(1_234)
    ]
    with looking_into(settings) as connection:
        made = connection.execute(insert(User).returning(User.id, User.username), rows).all()
        words = [{"word": row.username, "user_id": row.id} for row in made]
        connection.execute(insert(NameWord), words)
        connection.commit()
    return len(rows) + 1


def names(answer: Any) -> list[str]:
    assert answer.status == 200, answer
    return [user["username"] for user in answer.json]


def walked(person: Person, path: str) -> list[Any]:
    """The elements of all pages, to the end of the links."""
    found = []
    next_path: str | None = path
    while next_path:
        page = person.get(next_path)
        assert page.status == 200, page
        found += page.json
        next_path = page.links.get("next", "").removeprefix("http://localhost")
    return found


def test_everybody_is_listed_by_id_with_both_names(ada: Person, bob: Person) -> None:
    answer = ada.get("/api/users")

    assert answer.json == [
        {**ada.shown, "userName": "ada"},
        {**bob.shown, "userName": "bob"},
    ]
    assert ada.id < bob.id
    assert "link" not in answer.headers


@pytest.mark.classic
def test_each_person_has_id_and_name(ada: Person, bob: Person) -> None:
    for user, person in zip(ada.get("/api/users").json, (ada, bob), strict=True):
        shown = {"id": person.id, "username": person.username, "userName": person.username}
        assert shown.items() <= user.items()


def test_pages_list_the_same_crowd_as_the_stream(ada: Person, crowd: int) -> None:
    everybody = ada.get("/api/users").json

    assert len(everybody) == crowd
    assert [user["id"] for user in everybody] == sorted({user["id"] for user in everybody})
    assert walked(ada, "/api/users?limit=200") == everybody
    assert walked(ada, "/api/users?after=0") == everybody


def test_a_prefix_of_last_characters_finds_its_names(
    ada: Person, api: Api, context: AppContext
) -> None:
    last = "\U0010ffff"
    api.sign_up(f"ad{last}b")  # as somebody could have before such names were refused

    for prefix in (f"ad{last}", f"ad{last}b"):
        assert len(ada.get("/api/users", q=prefix).json) == 1
    for prefix in (last, last * 2, last * 300, f"ad{last * 2}"):
        assert ada.get("/api/users", q=prefix).json == []
    assert accounts.page(last * 5_000, 0, 50) == []


def test_a_page_has_50_users_unless_asked_otherwise(ada: Person, crowd: int) -> None:
    assert len(ada.get("/api/users", after=0).json) == 50
    assert len(ada.get("/api/users", limit=1).json) == 1
    assert len(ada.get("/api/users", limit=200).json) == 200


def test_the_link_keeps_what_was_asked(ada: Person, crowd: int) -> None:
    page = ada.get("/api/users", q="USER1", limit=3)

    assert names(page) == ["user1", "user10", "user11"]
    following = page.links["next"].removeprefix("http://localhost")
    assert names(ada.get(following)) == ["user12", "user13", "user14"]
    assert len(walked(ada, "/api/users?q=user1&limit=7")) == 1 + 10 + 100 + 234


def test_the_last_page_has_no_link(ada: Person, bob: Person) -> None:
    assert "next" in ada.get("/api/users", limit=1).links
    assert "next" not in ada.get("/api/users", limit=2).links
    assert "next" not in ada.get("/api/users", limit=1, after=ada.id).links
    assert ada.get("/api/users", after=bob.id).json == []


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("a", ["ada", "Adam", "a_b", "a%b", "ａｄｉ"]),
        ("AD", ["ada", "Adam", "ａｄｉ"]),
        ("adam", ["Adam"]),
        ("ａｄ", ["ada", "Adam", "ａｄｉ"]),
        ("a_", ["a_b"]),
        ("a%", ["a%b"]),
        ("%", []),
        ("_", []),
        ("\\", ["\\o/"]),
        ("'", []),
        ("strass", ["Straße"]),
        ("STRASS", ["Straße"]),
        ("é", ["Éva"]),
        ("e\u0301", ["Éva"]),
        ("😀", ["😀😀"]),
        ("\U0010ffff", []),
        ("\ud7ff", []),
        ("da", []),
        ("adam ", []),
    ],
)
def test_a_search_finds_names_by_their_beginning(
    api: Api, ada: Person, q: str, found: list[str]
) -> None:
    for name in ("Adam", "a_b", "a%b", "Straße", "Éva", "😀😀", "\\o/", "ａｄｉ"):
        assert api.register(name).status == 201

    assert names(ada.get("/api/users", q=q)) == found


def test_an_empty_search_is_a_page_of_everybody(ada: Person, bob: Person) -> None:
    assert names(ada.get("/api/users", q="")) == ["ada", "bob"]


@pytest.mark.parametrize(
    ("query", "member"),
    [
        *((f"limit={limit}", "limit") for limit in ("0", "201", "-1", "", "1.5", "ten", "1e2")),
        *((f"limit={limit}", "limit") for limit in ("%EF%BC%91", "1_0", "%2B5", "%205", "0x5")),
        *((f"after={after}", "after") for after in ("-1", "", "abc", "9223372036854775808", "1.0")),
        *(("after=" + "9" * 5_000, "after"), ("after=%00", "after"), ("q=%00", "q")),
    ],
)
def test_an_impossible_query_is_refused(ada: Person, query: str, member: str) -> None:
    assert member in refused(ada.get(f"/api/users?{query}"), 400, "invalid")


@pytest.mark.parametrize("after", ["0", "00", "9223372036854775807"])
def test_after_may_be_any_number_of_64_bits(ada: Person, after: str) -> None:
    assert ada.get(f"/api/users?after={after}").status == 200


def test_unknown_parameters_leave_the_list_whole(ada: Person, crowd: int) -> None:
    assert len(ada.get("/api/users", sort="name").json) == crowd
