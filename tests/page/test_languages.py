"""The languages of the chat page: complete, in one place, and chosen by the browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from config import ROOT
from contract.endpoints import ERRORS
from tests.support.browser import Windows
from tests.support.people import PASSWORD, Person

STATIC = ROOT / "static"
SCRIPTS = sorted(
    path for path in STATIC.rglob("*.js") if path.parent.name not in ("texts", "bundle")
)
TEMPLATE = ROOT / "templates/chat.html"
LANGUAGES = sorted(path.stem for path in (STATIC / "texts").glob("*.js"))

# A key at the beginning of a line, and what follows until the next one.
ENTRY = re.compile(r'^  "([^"]+)":(.*?)(?=^  ["/]|^};)', re.MULTILINE | re.DOTALL)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def sentences(language: str) -> dict[str, list[str]]:
    """The sentences by their keys: several where a number decides which."""
    written = ENTRY.findall((STATIC / f"texts/{language}.js").read_text())
    return {key: STRING.findall(entry) for key, entry in written}


def places(entry: list[str]) -> set[str]:
    return {place for sentence in entry for place in re.findall(r"\{(\w+)\}", sentence)}


def source(path: Path) -> str:
    """A script without its comments."""
    return re.sub(r"/\*.*?\*/|(?:^|\s)//[^\n]*", "", path.read_text(), flags=re.DOTALL)


# In one place --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_sentences(language: str) -> None:
    english = {key: places(entry) for key, entry in sentences("en").items()}
    other = {key: places(entry) for key, entry in sentences(language).items()}
    of_codes = {key for key in other if key.startswith("code.")}

    assert len(english) > 100
    assert {key: found for key, found in other.items() if key not in of_codes} == english
    assert {re.split(r"[./]", key)[1] for key in of_codes} <= set(ERRORS)
    for key in of_codes:
        assert other[key] <= {"seconds"}


def test_the_page_uses_the_sentences_there_are() -> None:
    known = set(sentences("en"))
    groups = "|".join({key.partition(".")[0] for key in known})
    scripts = "\n".join(map(source, SCRIPTS))
    named = set(re.findall(r'data-text[a-z-]*="([^"]+)"', TEMPLATE.read_text()))
    named |= set(re.findall(rf'"((?:{groups})\.[\w-]+)"', scripts))
    named |= set(re.findall(r'\bt\(\s*"([^"]+)"', scripts))
    made = tuple(re.findall(r"\bt\(`([\w.-]+)\$\{", scripts))  # with an ending from elsewhere

    assert named - known == set()
    assert {key for key in known - named if not key.startswith(made)} == set()


def test_no_sentence_stands_in_a_script() -> None:
    sentence = re.compile(r"""["'`>]([A-Z][a-zäöü]+(?: [a-z]|[.!?…])[^"'`]*)["'`]""")
    thrown = re.compile(r'throw new Error\("[^"]*"\)')  # for the console
    found = [
        f"{path.relative_to(STATIC)}: {text}"
        for path in SCRIPTS
        for text in sentence.findall(thrown.sub("", source(path)))
    ]

    assert found == []


class Texts(HTMLParser):
    """What a document says by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.spoken = False  # says in which language it is

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.spoken = tag == "span" and "lang" in dict(attrs)
        spoken = ("aria-label", "title", "placeholder", "alt")
        self.found += [value for name, value in attrs if name in spoken and value]

    def handle_endtag(self, tag: str) -> None:
        self.spoken = False

    def handle_data(self, data: str) -> None:
        if re.search(r"\w", data) and not self.spoken:
            self.found.append(data.strip())


def test_no_sentence_stands_in_the_document() -> None:
    document = Texts()
    document.feed(re.sub(r"{[{%].*?[%}]}", "", TEMPLATE.read_text()))

    assert set(document.found) == {"Chitchat"}


# Chosen --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "language", "verb"),
    [("de-AT", "de", "Anmelden"), ("fr-FR", "en", "Log in"), ("en-US", "en", "Log in")],
)
def test_the_browser_chooses_the_language(
    locale: str, language: str, verb: str, window: Windows
) -> None:
    visitor = window(locale=locale)
    visitor.visits()

    expect(visitor.page.get_by_role("button", name=verb)).to_be_visible()
    expect(visitor.page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.slow
def test_a_chosen_language_shows_everywhere_at_once(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Hello")
    seen = window()
    seen.is_of(ada, f"#/{bob.id}")
    beside = window(beside=seen)
    beside.is_of(ada, f"#/{bob.id}")
    for each in (seen, beside):
        expect(each.page.locator(".rule.day")).to_have_text("Today")
    seen.composer.fill("A draft")

    seen.page.locator("#open-settings").click()
    seen.page.get_by_role("button", name="Language").click()
    seen.page.get_by_text("Deutsch").click()

    for each in (seen, beside):
        expect(each.page.locator("html")).to_have_attribute("lang", "de")
        expect(each.page.locator(".rule.day")).to_have_text("Heute")
        expect(each.page.locator("#lists h2").first).to_have_text("Chats")
        expect(each.page.locator("#send")).to_have_attribute("title", "Senden")
    expect(seen.page.get_by_role("dialog", name="Einstellungen")).to_be_visible()
    seen.page.reload()
    expect(seen.page.locator(".rule.day")).to_have_text("Heute")
    expect(seen.composer).to_have_value("A draft")


@pytest.mark.slow
def test_a_refusal_is_told_in_the_readers_language(window: Windows, ada: Person) -> None:
    visitor = window(expected="401", locale="de-DE")
    visitor.visits()
    visitor.page.get_by_label("Name").fill(ada.username)
    visitor.page.get_by_label("Passwort").fill("not this one")
    visitor.page.keyboard.press("Enter")

    expect(visitor.page.get_by_role("alert")).to_have_text("Name oder Passwort ist falsch.")


@pytest.mark.slow
def test_limits_are_told_in_the_readers_language(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    message = bob.said(chat, "Hallo")
    for emoji in "😀😁😂🤣😃😄😅😆😉😊":
        ada.request("PUT", f"/api/messages/{message['id']}/reactions/{quote(emoji)}")
    reader = window(expected="400|409", locale="de-DE")
    reader.is_of(ada, f"#/{bob.id}")
    reader.acts("Hallo", "Reagieren")
    reader.page.get_by_role("textbox", name="Ein anderes Emoji").fill("🦓")
    expect(reader.page.get_by_text("Du kannst höchstens 10 Mal")).to_be_visible()

    reader.page.get_by_role("button", name="Einstellungen", exact=True).click()
    panel = reader.page.get_by_role("dialog", name="Einstellungen")
    panel.get_by_role("button", name="Passwort").click()
    panel.get_by_label("Jetziges Passwort").fill(PASSWORD)
    panel.get_by_label("Neues Passwort").fill("ab" * 65)
    panel.get_by_role("button", name="Passwort ändern").click()
    expect(panel.get_by_text("Neues Passwort darf höchstens 128 Zeichen haben.")).to_be_visible()
