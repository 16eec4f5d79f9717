"""The source code of the application and of its tests, for the tests of the house."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from config import ROOT

#: From the top down. Each floor may import those below it.
FLOORS = ("app", "auth", "web", "realtime", "chat", "models", "database", "config")
#: These import nothing of ours but themselves, and every floor may import them.
GROUND = ("contract", "gateway", "settings", "dialects")
OURS = (*FLOORS, *GROUND, "migrations", "tests")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: The modules of the application, by name.
MODULES = {
    _module(path): path
    for path in (
        *(path for path in ROOT.glob("*.py") if path.name != "gunicorn.conf.py"),
        *(
            path
            for each in (*FLOORS, *GROUND, "migrations")
            for path in ROOT.glob(f"{each}/**/*.py")
        ),
    )
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def found(kind: Any, is_sort: Callable[[Any], bool]) -> list[str]:
    """The places in the application's source that have a node of this kind, and of this sort."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES.values()
        for node in ast.walk(parsed(path))
        if isinstance(node, kind) and is_sort(node)
    ]


def imports(path: Path) -> set[str]:
    """Our modules that a file imports, anywhere in it. A relative import is named with its dots."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whence = "." * node.level + (node.module or "")
            inside = {f"{whence}.{alias.name}" for alias in node.names}
            modules = inside & MODULES.keys()
            names |= modules if modules == inside else modules | {whence}
    return {name for name in names if name.partition(".")[0] in ("", *OURS)}


def may_import(module: str, other: str) -> bool:
    """Whether this import goes down, or stays within one floor."""
    floor, lower = module.partition(".")[0], other.partition(".")[0]
    if module == "migrations.env":
        return lower in ("models", "database")
    if module.startswith("migrations.versions."):
        return other in ("migrations.words", "contract.characters")
    if floor in FLOORS and lower in FLOORS:
        return FLOORS.index(floor) < FLOORS.index(lower) or (floor == lower and "." in module)
    return floor == lower or (floor in FLOORS and lower in (*GROUND, "migrations"))


# Tests -------------------------------------------------------------------------------------------

TESTS = sorted(ROOT.glob("tests/**/*.py"))


def patches(path: Path) -> Iterator[str]:
    """The patches of our insides in a file of tests, as they stand there.

    Not among them: constants in upper case, what is not ours, and objects of tests/support.
    """
    meaning = _meanings(parsed(path))
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("setattr", "delattr") and _reaches_in(node.args, meaning):
                yield ", ".join(map(ast.unparse, node.args[:2]))
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            attributes = [each for each in targets if isinstance(each, ast.Attribute)]
            known = [each for each in attributes if ast.unparse(each.value) in meaning]
            if any(_reaches_in([each.value, ast.Constant(each.attr)], meaning) for each in known):
                yield ast.unparse(node)


def _reaches_in(arguments: list[ast.expr], meaning: dict[str, str]) -> bool:
    """Whether these first arguments of setattr() name something that we have made."""
    target = ast.unparse(arguments[0])
    if isinstance(arguments[0], ast.Constant):
        whence, _, name = str(arguments[0].value).rpartition(".")
    else:
        whence, name = meaning.get(target, ""), str(ast.literal_eval(arguments[1]))
    if name.isupper():
        return False
    if not whence:
        return True  # we cannot tell what it is
    owner = _reached(whence)
    value = getattr(owner, name, None)
    has_home = isinstance(value, ModuleType) or hasattr(value, "__name__")
    return _is_ours(owner) and (not has_home or _is_ours(value))


def _is_ours(thing: Any) -> bool:
    """Whether a module, class or function is ours, and no tool of the tests."""
    home = str(thing.__name__ if isinstance(thing, ModuleType) else thing.__module__)
    return home.partition(".")[0] in OURS and not home.startswith("tests.support")


def _meanings(tree: ast.Module) -> dict[str, str]:
    """What names of a file stand for: what it imports, and the types of its parameters."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whence = f"{node.module}."
            names |= {alias.asname or alias.name: whence + alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation and node.arg not in names:
            kind = ast.unparse(node.annotation)
            names |= {node.arg: names[kind]} if kind in names else {}
    return names


def _reached(path: str) -> Any:
    """The module, class or function of that dotted name."""
    first, *rest = path.split(".")
    reached: Any = import_module(first)
    for count, name in enumerate(rest, 1):
        if not hasattr(reached, name):
            import_module(".".join([first, *rest[:count]]))
        reached = getattr(reached, name)
    return reached
