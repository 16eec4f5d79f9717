"""The site that `make docs` builds from docs/."""

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from subprocess import PIPE, STDOUT
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from config import ROOT
from tests.support.browser import Chromium, launched
from tests.support.servers import require

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # In a process of its own: warnings of Python, which are errors here, are not those of Sphinx.
    command = [sys.executable, str(ROOT / "docs" / "build.py"), str(folder)]
    done = subprocess.run(command, stdout=PIPE, stderr=STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return folder


class Links(HTMLParser):
    """Where a page leads, what it loads, and which of its places can be led to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.leads: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.places |= {named["id"]} if "id" in named else set()
        if tag == "a":
            self.leads |= {named["href"]} if named.get("href") else set()
        elif tag == "link" and named.get("rel") in ("index", "search", "next", "prev"):
            self.leads |= {named["href"]}
        else:
            self.loads |= {named[name] for name in ("src", "href") if named.get(name)}


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html")}
    assert len(pages) > 40, "need pages to look at"

    for page, links in pages.items():
        for link in links.leads | links.loads:
            if link.startswith(("http:", "https:", "data:")):
                assert link in links.leads, f"{page} loads {link} from elsewhere"
                continue
            path, _, place = unquote(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            assert target.is_file(), f"{page} leads to {link}"
            if place and target in pages and place != "furo-main-content":
                assert place in pages[target].places, f"{page} leads to {link}"


@pytest.fixture
def page() -> Iterator[Page]:
    require(Chromium)
    with launched() as browser:
        yield browser.new_page()


def test_the_site_is_read_and_searched_on_a_phone(site: Path, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    grounds = []
    for name in ("README", "api", "architecture", "glossary", "project/README", "learn/README"):
        page.goto(f"file://{site}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.goto(f"file://{site}/search.html?q=outbox")

    expect(page.get_by_role("link", name="0001: The outbox")).to_be_visible()
    assert grounds[0] != grounds[1]
