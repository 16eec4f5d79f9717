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


def saying_no() -> Picture:
    picture = Picture(
        "A request passes four gates, and each of them refuses with the same shape.", 940, 250
    )
    gates = [
        ("not too long,\nand JSON?", "413, 415, 400"),
        ("every member\nas it must be?", "400"),
        ("is it there,\nand yours?", "401, 403, 404"),
        ("does the database\nagree?", "409"),
    ]
    picture.box(12, 30, 90, "request", "calm")
    for number, (question, codes) in enumerate(gates):
        x = 140 + 170 * number
        picture.arrow(x - 38 if number == 0 else x - 30, 57, x, 57)
        picture.box(x, 29, 140, question)
        picture.arrow(x + 70, 85, x + 70, 172)
        picture.text(x + 78, 132, codes, "start", "#b3261e")
    picture.arrow(790, 57, 822, 57)
    picture.box(822, 30, 106, "200 or 201", "good")
    picture.box(140, 172, 650, '{"status": "error", "code": "...", "message": "..."}', "bad")
    picture.text(465, 232, "Whatever is refused leaves nothing behind.", colour=QUIET)
    return picture


def token() -> Picture:
    picture = Picture(
        "A token has three parts; anybody reads two, and only the server makes the third.", 820, 230
    )
    parts = [
        ("eyJhbGciOi...", "plain", '{"alg": "HS256"}', "how it is signed"),
        ("eyJzdWIiOi...", "plain", '{"sub": "1", "exp": ...}', "the claims"),
        ("c2lnbmF0dX...", "good", "HMAC(part 1 . part 2, secret)", "the signature"),
    ]
    for number, (shown, kind, meaning, name) in enumerate(parts):
        x = 20 + 265 * number
        picture.text(x + 120, 34, name, colour=QUIET)
        picture.box(x, 46, 240, shown, kind)
        picture.arrow(x + 120, 84, x + 120, 112)
        picture.box(x, 114, 240, meaning, kind)
        if number:
            picture.text(x - 12, 70, ".")
    picture.text(277, 190, "anybody can read these: base64 is no secret", colour="#b3261e")
    picture.text(670, 190, "only who has the secret can make this", colour="#1a7f37")
    return picture


def chat_of_two() -> Picture:
    picture = Picture(
        "Three tables; a look-up begins with the channels of the one who asks.", 900, 330
    )
    picture.text(110, 30, "users", colour=QUIET)
    for number, name in enumerate(("1 | ada", "2 | bob", "3 | eve")):
        picture.box(30, 42 + 44 * number, 160, name)
    picture.text(390, 30, "channels (low_id, high_id)", colour=QUIET)
    picture.box(300, 42, 180, "1 | 1 | 2", "good")
    picture.arrow(298, 54, 192, 58)
    picture.arrow(298, 66, 192, 98)
    picture.text(390, 108, "one row for a pair: UNIQUE", colour=QUIET)
    picture.text(390, 128, "low_id < high_id: CHECK", colour=QUIET)
    picture.text(740, 30, "messages", colour=QUIET)
    picture.box(600, 42, 280, "1 | channel 1 | from 1 | Hello")
    picture.arrow(598, 60, 482, 60)
    picture.line(20, 184, 880, 184, dashed=True)
    picture.box(30, 202, 330, "ada: my channels, and of these number 1", "calm")
    picture.arrow(362, 220, 470, 220)
    picture.box(472, 202, 120, "the chat", "good")
    picture.box(30, 246, 330, "eve: my channels, and of these number 1", "calm")
    picture.arrow(362, 264, 470, 264)
    picture.box(472, 246, 120, "404", "bad")
    picture.box(30, 290, 330, "eve: my channels, and of these number 9", "calm")
    picture.arrow(362, 308, 470, 308)
    picture.box(472, 290, 120, "404", "bad")
    picture.text(612, 290, "She cannot tell these two apart.", "start")
    picture.height = 345
    return picture


def sending_once() -> Picture:
    return sequence(
        "Two requests look at the same moment and find nothing; only the constraint stops one.",
        ["request A", "the database", "request B"],
        [
            ("request A", "->", "the database", "is there a key a1?"),
            ("request B", "->", "the database", "is there a key a1?"),
            ("the database", "-->", "request A", "no"),
            ("the database", "-->", "request B", "no"),
            ("request A", "->", "the database", "INSERT a1"),
            ("the database", "1 | a1 | Hello", "good"),
            ("request B", "->", "the database", "INSERT a1"),
            ("the database", "without UNIQUE: twice", "bad"),
            ("the database", "-->", "request B", "with UNIQUE: IntegrityError"),
            ("request B", "answers with row 1", "good"),
        ],
    )


def pages() -> Picture:
    picture = Picture(
        "When a message arrives between two pages, OFFSET shows one twice; before does not.",
        900,
        330,
    )
    picture.text(16, 34, "Page 1, the newest three:", "start")
    for number in range(9):
        kind = "calm" if number < 3 else "plain"
        picture.box(250 + 66 * number, 14, 56, str(9 - number), kind)
    picture.text(16, 98, "Now number 10 is sent.", "start")
    picture.box(250, 78, 56, "10", "good")
    picture.line(16, 134, 884, 134, dashed=True)
    picture.text(16, 180, "LIMIT 3 OFFSET 3", "start")
    for number in range(10):
        kind = "bad" if number == 3 else "calm" if number in (4, 5) else "plain"
        picture.box(250 + 62 * number, 158, 54, str(10 - number), kind)
    picture.text(
        250, 216, "skips 10, 9, 8, and shows 7 again; it reads all that it skips", "start", QUIET
    )
    picture.text(16, 262, "id < 7 LIMIT 3", "start")
    for number in range(10):
        kind = "good" if number in (4, 5, 6) else "plain"
        picture.box(250 + 62 * number, 240, 54, str(10 - number), kind)
    picture.text(
        250, 298, "goes on after 7, whatever was added; it reads three rows", "start", QUIET
    )
    return picture


def live() -> Picture:
    return sequence(
        "Bob connects, has his channel signed, subscribes, and is told what Ada sends.",
        ["ada", "the API", "the Pusher server", "bob"],
        [
            ("bob", "->", "the Pusher server", "WebSocket: /app/key"),
            ("the Pusher server", "-->", "bob", "socket_id 12.34"),
            ("bob", "asks POST /pusher/auth"),
            ("the API", "signs 12.34:private-chat_1_2", "good"),
            ("bob", "->", "the Pusher server", "subscribe, auth"),
            ("the Pusher server", "checks the signature", "good"),
            ("ada", "->", "the API", "POST /send_message"),
            ("the API", "stores it"),
            ("the API", "->", "the Pusher server", "trigger new_message"),
            ("the Pusher server", "->", "bob", "new_message"),
        ],
    )


def when_things_fail() -> Picture:
    return sequence(
        "The event is a row of the same transaction; it is deleted when the Pusher server has it.",
        ["the API", "the database", "flask deliver", "the Pusher server"],
        [
            ("the API", "->", "the database", "message + event, one COMMIT"),
            ("the API", "201, at once", "good"),
            ("the database", "-->", "flask deliver", "the oldest event"),
            ("flask deliver", "-x", "the Pusher server", "trigger"),
            ("flask deliver", "it is away: wait a second", "bad"),
            ("flask deliver", "->", "the Pusher server", "trigger, again"),
            ("the Pusher server", "-->", "flask deliver", "200"),
            ("flask deliver", "killed here? It comes twice"),
            ("flask deliver", "->", "the database", "DELETE the event"),
        ],
    )


def proving_it() -> Picture:
    return sequence(
        "The server is killed; what was answered is there, and what was not is sent again.",
        ["ada's client", "the server", "the database"],
        [
            ("ada's client", "->", "the server", "number 1, key 1"),
            ("the server", "->", "the database", "COMMIT"),
            ("the server", "-->", "ada's client", "201"),
            ("ada's client", "->", "the server", "number 2, key 2"),
            ("the server", "->", "the database", "COMMIT"),
            ("the server", "kill -9", "bad"),
            ("ada's client", "no answer: was it stored?"),
            ("the server", "starts again"),
            ("ada's client", "->", "the server", "number 2, key 2"),
            ("the server", "-->", "ada's client", "200: it was"),
            ("the database", "number 1 and 2, once each", "good"),
        ],
    )


PICTURES = {
    "01-rest": rest,
    "02-one-table": one_table,
    "03-saying-no": saying_no,
    "04-token": token,
    "05-chat-of-two": chat_of_two,
    "06-sending-once": sending_once,
    "07-pages": pages,
    "08-live": live,
    "09-when-things-fail": when_things_fail,
    "10-proving-it": proving_it,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
