"""The chat page in every state that it has: nobody is kept out, and nothing is left in English."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize

from tests.page.test_languages import sentences
from tests.support.browser import Window, Windows, address
from tests.support.people import ChatServer
from tests.support.tour import Cast, alone, tour

pytestmark = pytest.mark.slow

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "light", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "active"},
]

# What the page says, to the eye or to a screen reader.
SAID = """() => {
  const OF_PEOPLE = "bdi, script, kbd, .bubble > p:not(.deleted), .quote .said, #peer, #viewed";
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const { parentElement: place, data } = walk.currentNode;
    if (place.closest("[lang]") === document.documentElement && !place.closest(OF_PEOPLE))
      found.add(data.trim());
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"])
    for (const each of document.querySelectorAll(`[${name}]`)) found.add(each.getAttribute(name));
  return [...found];
}"""

# What a finger may press, and is smaller than 44 pixels a side. Links within a text are exempt.
SMALL = """() => [...document.querySelectorAll("button, input, textarea, a, label:has(input)")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }))
  .filter((each) => !each.closest("p, .unseen"))
  .filter((each) => !each.matches(".skip, [type=file], label input"))
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, { width, height }]) => width && (width < 43.5 || height < 43.5))
  .map(([each, { width, height }]) =>
    `${each.id || each.className || each.outerHTML.slice(0, 80)}: ${width} x ${height}`)"""


@pytest.fixture
def cast(chromium: Browser) -> Iterator[Cast]:
    with ChatServer(RATELIMIT_ENABLED="false") as server:
        yield Cast(server, many=120)


@pytest.fixture
def windows(chromium: Browser, cast: Cast) -> Iterator[Windows]:
    opened = Windows(chromium, address(cast.server))
    yield opened
    opened.close()


def states(windows: Windows, cast: Cast, **options: Any) -> Iterator[tuple[str, Window]]:
    yield from alone(windows, cast, **options)
    cast.join()
    yield from tour(windows, cast, **options)


def test_every_state_is_for_everybody(windows: Windows, cast: Cast) -> None:
    """For who reads German, has forced colours, uses a screen reader, or a finger on a phone."""
    found: dict[str, Any] = {}
    for state, window in states(windows, cast, locale="de-DE", has_touch=True):
        for look in LOOKS:
            window.page.emulate_media(**look)
            # What is not of colours is the same in all of them.
            rules = [] if look is LOOKS[0] else ["color-contrast"]
            found[f"{state}, {look}"] = window.offends(*rules)
        window.page.emulate_media(color_scheme="light", forced_colors="none")
        found[f"{state}, not in German"] = strays(window, cast)
        window.page.set_viewport_size(PHONE)
        found[f"{state}, too small for a finger"] = window.page.evaluate(SMALL)
        found[f"{state}, too wide for a phone"] = window.overflows()
        window.page.set_viewport_size(DESKTOP)

    assert {what: which for what, which in found.items() if which} == {}
    assert len(found) > 100


def strays(window: Window, cast: Cast) -> list[str]:
    """What the page says that is no sentence of de.js, and none of the people's."""
    texts = [text for each in sentences("de").values() for text in each]
    spoken = [re.sub(r"\\{\w+\\}", ".*", re.escape(text)) for text in texts]
    person = "|".join(map(re.escape, ["Du", "Gelöschtes Konto", *cast.people]))
    dates = r"(Heute|Gestern|\w+tag|Mittwoch)?,? ?(\d+\. \w+\.?( \d{4})?)?( um [\d:]+)?"
    people = rf"((Gelesen|Gesendet|Wartet), )?({person})((, | · )({person}))*:?"
    others = ["Chitchat", "English", "Deutsch", dates, people]
    known = re.compile("|".join([*spoken, *others, r"[\d.,]+ (Byte|kB|MB)"]), re.DOTALL)
    said = [each for each in window.page.evaluate(SAID) if re.search(r"[^\W\d_]{2}", each)]
    return [each for each in said if not known.fullmatch(each)]
