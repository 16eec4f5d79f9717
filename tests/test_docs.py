"""What the pages in docs/ explain is so, and their words are explained."""

import re
from pathlib import Path

import pytest
from flask import Flask

from config import ROOT
from docs import draw, reference
from tests.support.conversations import sqlite_only
from tests.support.people import Person

DOCS = ROOT / "docs"
#: Code, headings and the texts of links are not where a word can be made a link.
NOT_PROSE = re.compile(r"^```.*?^```|`[^`]*`|^#[^\n]*|\[[^\]]*\]\([^)]*\)|\]\([^)]*\)", re.M | re.S)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# The glossary --------------------------------------------------------------------------------

GLOSSARY = text(DOCS / "glossary.md")
TERMS = re.findall(r"^## (.+)$", GLOSSARY, re.M)


def anchor(term: str) -> str:
    return "glossary.md#" + term.lower().replace(" ", "-")


#: What is looked up, and not read from the beginning to the end.
APART = ("glossary.md", "api.md")


def reading_order() -> list[Path]:
    """The pages, as docs/README.md names them."""
    named = re.findall(r"\]\(([\w/-]+\.md)\)", text(DOCS / "README.md"))
    return [DOCS / name for name in dict.fromkeys(named) if name not in APART]


def first_use(term: str, page: Path) -> int | None:
    """Where the page first uses the term in prose, without a link."""
    words = r"\s+".join(map(re.escape, term.split()))
    case = re.NOFLAG if term.isupper() else re.I
    prose = NOT_PROSE.sub(lambda rest: " " * len(rest[0]), text(page))
    found = re.search(rf"(?<![\w-]){words}(e?s)?(?![\w-])", prose, case)
    return found and found.start()


def test_the_glossary_is_in_order() -> None:
    assert len(TERMS) > 30, "the terms are not where they were"
    assert sorted(TERMS, key=str.lower) == TERMS


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_linked_where_it_first_occurs(term: str) -> None:
    for page in reading_order():
        unlinked, linked = first_use(term, page), text(page).find(f"{anchor(term)})")
        if unlinked is not None or linked != -1:
            assert linked != -1, f"{page} comes first"
            assert unlinked is None or linked < unlinked, f"{page} has it before the link"
            return
    pytest.fail("no page uses it")


def test_links_to_the_glossary_name_its_terms() -> None:
    known = {anchor(term) for term in TERMS}

    for page in DOCS.rglob("*.md"):
        assert set(re.findall(r"glossary\.md#[\w-]+", text(page))) <= known, page


# What they name ------------------------------------------------------------------------------

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "bench" / "README.md"])
SUFFIXES = "py|js|mjs|css|html|yml|yaml|toml|md|svg|png"
FILE = re.compile(rf"(?<!\[)`((?:[\w.-]+/)*[\w-]+\.(?:{SUFFIXES}))`")
NAME_IN = re.compile(r"`([A-Za-z_]\w+)`\s+in\s+`([\w/-]+\.py)`")
REQUEST = re.compile(r"`(GET|PUT|POST|PATCH|DELETE) (/(?:api|health|metrics)[^\s`]*)`")
#: Files of others, and those that are made.
NOT_OURS = {"package.html", "index.html", "static/bundle/app.js"}
#: It makes files and routes that are not there yet, and has a test of its own.
ADDS = DOCS / "add-an-endpoint.md"
LESSONS = DOCS / "learn"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = set() if page.name == "CHANGELOG.md" else set(FILE.findall(text(page))) - NOT_OURS
    if page == ADDS:
        named -= set(re.findall(r"`([^`]+)`, a new file", text(page))) | {"chat/notes.py"}

    for name in named:
        folders = (ROOT, DOCS, page.parent, ROOT / "static")
        in_a_step = page.parent == LESSONS and any(LESSONS.rglob(name))
        assert in_a_step or any((folder / name).exists() for folder in folders), name
    for name, file in NAME_IN.findall(text(page)):
        assert re.search(rf"\b{name}\b", text(ROOT / file)), f"{name} in {file}"


@sqlite_only
def test_requests_that_pages_name_have_a_route(app: Flask) -> None:
    routes = app.url_map.bind("localhost")
    pages = [page for page in PAGES if page != ADDS and page.parent != LESSONS]
    named = {each for page in pages for each in REQUEST.findall(text(page))}
    assert len(named) > 30, "the requests are not where they were"

    for verb, path in named:
        routes.match(re.sub("<[^>]+>", "1", path.partition("?")[0]), verb)  # or it raises


# From the code -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", draw.DRAWN)
def test_a_picture_shows_the_code_as_it_is(name: str) -> None:
    assert draw.DRAWN[name]() == text(draw.file(name)), "make reference"


def test_the_reference_tells_the_contract_as_it_is() -> None:
    assert reference.written() == text(reference.PAGE), "make reference"


# What REST is --------------------------------------------------------------------------------


def test_repeated_requests_answer_as_the_page_says(ada: Person, bob: Person) -> None:
    """The list below "Idempotent means that twice is the same as once"."""
    chat = ada.asks(bob).json
    first, second = ada.said(chat, "Hello!"), ada.said(chat, "Bob?")
    read = f"/api/chats/{chat['channel_name']}/read"
    ada.api.login("ada")
    login = ada.get("/api/me/sessions").json[1]["id"]

    def twice(path: str) -> list[int]:
        return [ada.request("DELETE", path).status for _ in range(2)]

    blocked = [ada.request("PUT", f"/api/blocks/{bob.id}").status for _ in range(2)]
    marks = [bob.request("PUT", read, {"message_id": each["id"]}) for each in (second, first)]

    assert blocked == [204, 204]
    assert [each["id"] for each in ada.get("/api/blocks").json] == [bob.id]
    assert [each.status for each in marks] == [200, 200]
    assert marks[1].json["last_read_message_id"] == second["id"]
    assert twice(f"/api/messages/{first['id']}") == [200, 200]
    assert twice(f"/api/me/sessions/{login}") == [204, 404]


def test_the_exercises_end_as_a_reader_would_expect(ada: Person, bob: Person) -> None:
    """Those below "Try it"."""
    chat = ada.asks(bob).json

    for _ in range(3):
        ada.request("PUT", f"/api/blocks/{bob.id}")
    assert ada.get("/api/blocks").json == [bob.shown]
    ada.request("DELETE", f"/api/blocks/{bob.id}")

    sent = [ada.says(chat, text, client_message_id="a1") for text in ("Hello", "Hello", "Bye")]
    assert [each.status for each in sent] == [201, 200, 409]

    theirs = "/api/get_message/private-chat_2_3"
    assert [each.get(theirs).status for each in (ada, ada.api)] == [404, 401]
