"""Draw docs/pictures/ anew, from the code itself: `make reference`.

Tables come from the models, modules and their imports from the files, and the two walks from the
calls between functions. A step that nothing in the code takes any more is an error here, so the
pictures cannot go on to show it.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models import User  # noqa: E402
from tests.support import source  # noqa: E402

WIDTH = 760
# A light ground of its own, so that it can be read on a dark page too.
INK, QUIET, GROUND, CARD, HEAD = "#1f2328", "#59636e", "#fcfcfa", "#ffffff", "#d9ece4"
STYLE = f"""
  text {{ font: 14px system-ui, sans-serif; fill: {INK}; }}
  .name {{ font-family: ui-monospace, monospace; font-size: 13px; }}
  .quiet {{ fill: {QUIET}; font-size: 13px; }}
  .title {{ font-weight: 600; }}
"""


class Picture:
    """Cards, words and arrows on a ground, from the top down."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts: list[str] = []
        self.height = 0

    def words(self, x: float, y: float, text: str, kind: str = "") -> None:
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>')
        self.height = max(self.height, int(y) + 12)

    def card(self, x: float, y: float, width: float, height: float, fill: str = CARD) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{fill}" stroke="{QUIET}"/>'
        )
        self.height = max(self.height, int(y + height) + 12)

    def arrow(self, x: float, y: float, to_y: float) -> None:
        """Downwards."""
        self.parts.append(
            f'<path d="M{x:g} {y:g}V{to_y:g}m-5 -7l5 7l5 -7" stroke="{INK}" fill="none"/>'
        )

    def lines(self, x: float, y: float, text: str, letters: int, kind: str = "") -> float:
        """A text of several lines; where the next one would stand."""
        for line in wrap(text, letters, break_long_words=False, break_on_hyphens=False):
            self.words(x, y, line, kind)
            y += 19
        return y

    def svg(self) -> str:
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
                f'width="{WIDTH}" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{STYLE}</style>",
                f'<rect width="{WIDTH}" height="{self.height}" fill="{GROUND}"/>',
                *self.parts,
                "</svg>\n",
            )
        )


def hold(is_so: object, otherwise: str) -> None:
    """End with a sentence where the code is not as a picture says."""
    if not is_so:
        raise SystemExit(f"docs/draw.py: {otherwise}")


# What the code says --------------------------------------------------------------------------


@cache
def functions() -> dict[str, ast.FunctionDef]:
    """The definition of every function and method, by its module and name."""
    found: dict[str, ast.FunctionDef] = {}
    for module, path in source.MODULES.items():
        for node in source.parsed(path).body:
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            whose = f"{module}.{node.name}" if isinstance(node, ast.ClassDef) else module
            found |= {f"{whose}.{e.name}": e for e in inside if isinstance(e, ast.FunctionDef)}
    return found


def imported(module: str) -> dict[str, str]:
    """What the names that a module imports mean."""
    names: dict[str, str] = {}
    for node in ast.walk(source.parsed(source.MODULES[module])):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            names |= {each.asname or each.name: each.name for each in node.names}
    return names


@cache
def called(function: str) -> set[str]:
    """The functions of ours that one names: itself or by way of `self`, a module or an import."""
    module = max((each for each in source.MODULES if function.startswith(f"{each}.")), key=len)
    names, mine = imported(module), function.rpartition(".")[0]
    found = set()
    for node in ast.walk(functions()[function]):
        if isinstance(node, ast.Name):
            found |= {names.get(node.id, f"{module}.{node.id}")}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            whose = mine if node.value.id == "self" else names.get(node.value.id, "?")
            found |= {f"{whose}.{node.attr}"}
    return found & functions().keys()


def reaches(function: str, target: str) -> bool:
    """Whether one function calls another, directly or not."""
    seen, waiting = {function}, [function]
    while waiting:
        new = called(waiting.pop()) - seen
        if target in new:
            return True
        seen |= new
        waiting += new
    return False


def entries() -> Iterator[tuple[str, str]]:
    """Each route, as "POST /login", and each command, as "flask users logout": and its function."""
    for name, node in functions().items():
        for each in node.decorator_list:
            if not isinstance(each, ast.Call):
                continue
            whose, _, verb = ast.unparse(each.func).partition(".")
            words = [str(arg.value) for arg in each.args if isinstance(arg, ast.Constant)]
            # With spaces at which no line is broken.
            if whose == "api":
                yield (
                    f"{verb.upper()} {words[0].replace('id:', '')}".replace(" ", "\xa0"),
                    name,
                )
            elif verb == "command" and words and whose != "click":
                yield f"flask {whose} {words[0]}".replace(" ", "\xa0"), name


def leading_to(target: str) -> list[str]:
    return [entry for entry, function in entries() if reaches(function, target)]


def sentence(function: str) -> str:
    """The first sentence of what a function says of itself."""
    words = " ".join((ast.get_docstring(functions()[function]) or "").split())
    hold(words, f"{function} says nothing of itself")
    return words.partition(". ")[0].rstrip(".") + "."


# Pictures ------------------------------------------------------------------------------------


def tables() -> str:
    """Every table with its columns, in the order of models.py."""
    picture = Picture("The tables, their columns, and which row a column names")
    places, column_width = [0.0] * 3, WIDTH / 3
    for table in User.metadata.tables.values():
        x = min(range(3), key=lambda each: places[each])
        left, top = x * column_width + 8, places[x] + 12
        rows = [(column, next(iter(column.foreign_keys), None)) for column in table.columns]
        picture.card(left, top, column_width - 16, 36 + 18 * len(rows))
        picture.card(left, top, column_width - 16, 26, HEAD)
        picture.words(left + 10, top + 18, str(table.name), "name title")
        for number, (column, key) in enumerate(rows):
            y = top + 46 + 18 * number
            picture.words(left + 10, y, column.name, "name title" if column.primary_key else "name")
            if key is not None:
                target = f"→ {key.target_fullname.removesuffix('.id')}"
                picture.words(left + 12 + 8 * len(column.name), y, target, "quiet")
        places[x] = top + 36 + 18 * len(rows)
    return picture.svg()


def floors() -> str:
    """The modules of each floor, and which floors they import."""
    picture = Picture("The floors of the house, from the top down, and what each imports")
    top = 12
    for floor in (*source.FLOORS, *source.GROUND):
        inside = {n: p for n, p in source.MODULES.items() if n.partition(".")[0] == floor}
        below = {i.partition(".")[0] for path in inside.values() for i in source.imports(path)}
        order = [each for each in (*source.FLOORS, *source.GROUND) if each in below - {floor}]
        names = (
            ", ".join(name.partition(".")[2] for name in sorted(inside) if "." in name)
            or "one file"
        )
        if floor == source.GROUND[0]:
            picture.words(12, top + 12, "On the ground, importing none of the others:", "quiet")
            top += 24
        rows = len(wrap(names, 92)) + bool(order)
        picture.card(8, top, WIDTH - 16, 34 + 19 * rows)
        picture.words(20, top + 23, floor, "name title")
        y = picture.lines(20, top + 44, names, 92, "name" if names != "one file" else "quiet")
        if order:
            picture.words(20, y, f"imports {', '.join(order)}", "quiet")
        top += 42 + 19 * rows
    return picture.svg()


#: What the verbs of chat/logins.py do to the row of a login, and who calls them beside requests.
LIFE = {
    "begin": ("There is a row, and its token is good.", ""),
    "renew": ("The row stays, and another token stands for it.", ""),
    "end": ("The row is gone, and the token is void.", ""),
    "end_with_id": ("The row is gone, and the token is void.", ""),
    "end_all": ("All rows of the user are gone, or all but one.", ""),
    "sweep": ("Rows that have expired are gone.", "the dispatcher, once a second"),
}
CHANGES = ("insert", "delete", "_end", "db.session.flush")


def session() -> str:
    """A login's life: each verb of chat/logins.py that changes its row, and what leads there."""
    verbs = {
        name.rpartition(".")[2]
        for name, node in functions().items()
        if name.startswith("chat.logins.") and not name.startswith("chat.logins._")
        if any(isinstance(n, ast.Call) and ast.unparse(n.func) in CHANGES for n in ast.walk(node))
    }
    hold(verbs == LIFE.keys(), f"logins are changed by {verbs}")
    picture = Picture("The life of a login's row, and what changes it")
    top = 12.0
    for verb, (becomes, others) in LIFE.items():
        who = ", ".join(leading_to(f"chat.logins.{verb}")) or others
        hold(who, f"nothing leads to {verb}")
        if verb in ("renew", "end"):
            picture.arrow(40, top - 8, top + 18)
            again = "any number of times, or never" if verb == "renew" else "until one of these"
            picture.words(56, top + 10, again, "quiet")
            top += 20
        does, by = sentence(f"chat.logins.{verb}"), wrap(who, 58)
        high = 34 + 19 * max(len(wrap(does, 28)), len(by))
        picture.card(8, top, WIDTH - 16, high, HEAD if verb == "begin" else CARD)
        picture.words(20, top + 23, verb, "name title")
        picture.lines(20, top + 42, does, 28, "quiet")
        picture.words(250, top + 23, becomes, "title")
        picture.lines(250, top + 42, who, 58, "name")
        top += high + 8
    return picture.svg()


#: The walk of an event. What leads to a function is a call by the one before it, or else the words
#: that are said here; then another function has to have the code that stands beside them.
WALK: list[tuple[str, str, str, str]] = [
    ("app.send_message", "", "", ""),
    ("chat.messages.post", "", "", ""),
    ("chat.events.record", "", "", ""),
    ("chat.commits.tell", "", "", ""),
    (
        "realtime.outbox.Outbox.wake",
        "the route commits: message and events are on the disk, and the signal is sent",
        "realtime.outbox.Outbox.start",
        "recorded.connect(self.wake)",
    ),
    (
        "realtime.outbox.Dispatcher._send_out",
        "the thread of the dispatcher wakes",
        "realtime.outbox.Dispatcher._dispatch",
        "self._send_out(",
    ),
    ("realtime.backlog.waiting", "", "", ""),
    (
        "realtime.delivery.Courier.deliver",
        "by a queue, to the thread of a courier",
        "realtime.outbox.Dispatcher._send_out",
        "self._outgoing.put(",
    ),
    ("realtime.delivery.publish", "", "", ""),
    (
        "realtime.outbox.Dispatcher._book",
        "the Pusher server has taken them; by another queue, back to the dispatcher",
        "realtime.outbox.Dispatcher._receive",
        "self._unbooked.append(",
    ),
    ("realtime.backlog.remove", "", "", ""),
]


def event() -> str:
    """The walk of an event, from the route to the day on which its row goes."""
    picture = Picture("The walk of an event, function by function")
    y = picture.lines(20, 28, "Events are recorded by these routes and commands:", 92, "quiet")
    top = picture.lines(20, y, ", ".join(leading_to("chat.events.record")), 88, "name") + 4
    before = ""
    for function, by, where, code in WALK:
        if where:
            hold(code in ast.unparse(functions()[where]), f"{where} has no {code}")
        elif before:
            hold(reaches(before, function), f"{before} does not lead to {function}")
        if before:
            picture.arrow(40, top, top + 26)
            picture.words(56, top + 18, by or "calls", "quiet")
            top += 28
        says = wrap(sentence(function), 94)
        high = 36 + 19 * len(says)
        picture.card(8, top, WIDTH - 16, high, HEAD if not before else CARD)
        picture.words(20, top + 22, function, "name title")
        picture.lines(20, top + 42, sentence(function), 94)
        top += high
        before = function
    return picture.svg()


#: By the names of their files.
DRAWN = {draw.__name__: draw for draw in (tables, floors, session, event)}


def file(name: str) -> Path:
    return ROOT / "docs" / "pictures" / f"{name}.svg"


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        file(name).write_text(draw(), encoding="utf-8")
