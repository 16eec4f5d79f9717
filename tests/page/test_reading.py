"""Reading on the chat page: what is new, what texts look like, and where things are found."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import Windows
from tests.support.people import Person

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

# Texts ---------------------------------------------------------------------------------------

# A text, and what of it stands out: the element, and what is to be seen of it.
WRITTEN: list[tuple[str, list[str]]] = [
    ("Run `npm ci` now", ["code npm ci"]),
    ("```python\nx = 1\n\ny = 2\n```\nSo?", ["block x = 1\n\ny = 2"]),
    ("```\n<b>**a** www.example.com</b>```", ["block <b>**a** www.example.com</b>"]),
    ("```two words``` and `<script>`", ["block two words", "code <script>"]),
    ("**bold**, *slanted* and (_slanted_)!", ["strong bold", "em slanted", "em slanted"]),
    ("**bold *and* slanted**", ["strong bold and slanted", "em and"]),
    (
        "**use `*x*` and https://example.com**",
        ["strong use *x* and https://example.com", "code *x*"],
    ),
    ("https://example.com/_a_/*b* _c_", ["em c"]),
    ("这是**重要**的", ["strong 重要"]),
    ("2 * 3 * 4, 2*3*4 and snake_case_name", []),
    ("*.txt and *.md; *args, **kwargs; __init__ ***", []),
    ("* one\n* two* and f*ck off* /usr/_lib_/x", []),
    ("*not over\na line* ** ** `` ``` ``` `not\nhere`", []),
    ("<img src=x onerror=alert(1)> [a](javascript:alert(1)) # b", []),
]


def test_signs_become_formats_and_stay_text(window: Windows) -> None:
    reader = window()
    reader.visits()

    found = reader.page.evaluate(
        """async (texts) => {
          const { formatted, plain } = await import("/static/formatting.js");
          return texts.map((text) => {
            const p = document.createElement("p");
            p.append(...formatted(text));
            const whole = p.textContent;
            const tags = [...p.querySelectorAll("*")].map((each) => each.localName);
            for (const sign of p.querySelectorAll(".sign")) sign.remove();
            const all = [...p.querySelectorAll("code, strong, em")];
            const name = (each) => each.classList[0] ?? each.localName;
            const seen = all.map((each) => `${name(each)} ${each.textContent}`);
            return [whole, seen, tags, p.textContent.trim(), plain(text).trim()];
          });
        }""",
        [text for text, _ in WRITTEN],
    )

    for (text, formats), (whole, seen, tags, shown, plain) in zip(WRITTEN, found, strict=True):
        assert whole == text
        assert seen == formats, text
        assert set(tags) <= {"code", "strong", "em", "span", "a"}
        assert "".join(plain.split()) == "".join(shown.split())


def test_what_is_copied_or_edited_is_as_written(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    text = "See **this** or www.example.com:\n```js\na = `b`\n```\nand write to ada@example.com"
    ada.said(chat, text)
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    shown = writer.messages.locator(".bubble > p")
    expect(shown).to_have_text(text, use_inner_text=False)
    expect(shown.locator("strong")).to_be_visible()
    expect(shown.locator("a")).to_have_count(2)
    expect(writer.row(bob)).to_contain_text("See this or www")
    assert "monospace" in shown.locator("code").evaluate("(e) => getComputedStyle(e).fontFamily")

    copied = shown.evaluate("(p) => (getSelection().selectAllChildren(p), `${getSelection()}`)")
    writer.composer.press("ArrowUp")

    assert copied == text
    expect(writer.composer).to_have_value(text)
    assert not writer.offends()
