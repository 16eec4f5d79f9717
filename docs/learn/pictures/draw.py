"""Draws the pictures of the lessons: `python docs/learn/pictures/draw.py` writes all of them anew.

Each has a light ground of its own, so that it can be read on a dark page, too.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
INK, GROUND, QUIET = "#1f2328", "#fcfcfa", "#59636e"
FILLS = {"plain": "#ffffff", "good": "#d9f2e0", "bad": "#fde0dc", "calm": "#e3ecfa"}
#: Wide enough for a letter of the font, whatever the reader's system takes for sans-serif.
LETTER = 7.6


class Picture:
    """Boxes, arrows and words on a ground."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self.title, self.width, self.height = title, width, height
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, anchor: str = "middle", colour: str = INK
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>"
        )

    def box(self, x: float, y: float, width: float, lines: str, kind: str = "plain") -> None:
        """A box with its lines; it is as high as they need."""
        rows = lines.split("\n")
        height = 16 + 20 * len(rows)
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="5" '
            f'fill="{FILLS[kind]}" stroke="{QUIET}"/>'
        )
        for number, row in enumerate(rows):
            self.text(x + width / 2, y + 23 + 20 * number, row)

    def line(self, x: float, y: float, to_x: float, to_y: float, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.parts.append(
            f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{QUIET}" fill="none"{dash}/>'
        )

    def arrow(
        self,
        x: float,
        y: float,
        to_x: float,
        to_y: float,
        words: str = "",
        *,
        dashed: bool = False,
        lost: bool = False,
    ) -> None:
        """An arrow with words above it. A lost one ends in a cross half way."""
        if lost:
            to_x, to_y = (x + to_x) / 2, (y + to_y) / 2
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        end = "" if lost else ' marker-end="url(#head)"'
        self.parts.append(
            f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{INK}" fill="none"{dash}{end}/>'
        )
        if lost:
            self.parts.append(
                f'<path d="M{to_x - 6:g} {to_y - 6:g}l12 12m0 -12l-12 12" stroke="#b3261e" '
                'stroke-width="2.5" fill="none"/>'
            )
        if words:
            self.text((x + to_x) / 2, min(y, to_y) - 7, words)

    def svg(self) -> str:
        body = "\n".join(self.parts)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" \
width="{self.width}" role="img" font-family="system-ui, sans-serif" font-size="14">
<title>{escape(self.title)}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>
<rect x=".5" y=".5" width="{self.width - 1}" height="{self.height - 1}" rx="8" fill="{GROUND}" \
stroke="#c9ced4"/>
{body}
</svg>
"""


def sequence(title: str, actors: list[str], steps: Iterable[tuple[str, ...]]) -> Picture:
    """Who says what to whom, from the top down.

    A step is ("a", "->", "b", words), with "-->" for an answer and "-x" for what is lost on the
    way, or ("a", words) or ("a", words, kind) for what happens there.
    """
    steps = list(steps)
    gap = 240
    picture = Picture(title, gap * len(actors) + 20, 74 + 44 * len(steps))
    middle = {actor: 10 + gap * (number + 0.5) for number, actor in enumerate(actors)}
    for actor, x in middle.items():
        picture.box(x - 75, 14, 150, actor, "calm")
        picture.line(x, 50, x, picture.height - 14, dashed=True)
    for number, step in enumerate(steps):
        y = 90 + 44 * number
        match step:
            case (one, "->" | "-->" | "-x" as how, other, words):
                dashed = how == "-->"
                picture.arrow(
                    middle[one], y, middle[other], y, words, dashed=dashed, lost=how == "-x"
                )
            case (one, words, *kind):
                width = min(LETTER * len(words) + 24, gap - 14)
                picture.box(middle[one] - width / 2, y - 24, width, words, *kind)
    return picture


def rest() -> Picture:
    return sequence(
        "Two GETs change nothing, two equal PUTs leave what one leaves, two POSTs make two people.",
        ["client", "server", "what is there"],
        [
            ("client", "->", "server", "POST /people  ada"),
            ("what is there", "1 ada"),
            ("client", "->", "server", "GET /people, twice"),
            ("what is there", "1 ada", "good"),
            ("client", "->", "server", "PUT /people/1  Ada, twice"),
            ("what is there", "1 Ada", "good"),
            ("client", "->", "server", "POST /people  bob, twice"),
            ("what is there", "1 Ada, 2 bob, 3 bob", "bad"),
        ],
    )


def one_table() -> Picture:
    return sequence(
        "A request becomes a function call, the function a row, the row an answer.",
        ["client", "Flask", "SQLAlchemy", "the file chat.db"],
        [
            ("client", "->", "Flask", "POST /api/register"),
            ("Flask", "register() is called"),
            ("Flask", "->", "SQLAlchemy", "add(User(...)), commit()"),
            ("SQLAlchemy", "->", "the file chat.db", "INSERT INTO users, COMMIT"),
            ("the file chat.db", "1 | ada", "good"),
            ("the file chat.db", "-->", "SQLAlchemy", "on the disk; the id is 1"),
            ("SQLAlchemy", "-->", "Flask", "user.id == 1"),
            ("Flask", "-->", "client", "201 and JSON"),
        ],
    )


PICTURES = {
    "01-rest": rest,
    "02-one-table": one_table,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
