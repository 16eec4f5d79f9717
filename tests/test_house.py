"""The house: which module may import which, what stands where, and which routes are open."""

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from config import ROOT, Settings
from contract.endpoints import ENDPOINTS
from tests.support import source
from tests.support.people import Api, Person, python, refused, runtime_of
from tests.support.source import MODULES, TESTS
from web.runtime import Runtime

#: Folders beside the application, with code that it never imports.
BESIDE = {"bench", "docs", "tests"}


# Imports -----------------------------------------------------------------------------------------


def test_every_module_has_its_floor() -> None:
    python_files = ROOT.glob("*.py"), ROOT.glob("*/*.py")
    places = {path.relative_to(ROOT).parts[0] for files in python_files for path in files}

    floors = {place.removesuffix(".py") for place in places} - BESIDE - {"gunicorn.conf"}
    assert floors == {*source.FLOORS, *source.GROUND, "migrations"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_and_never_up(module: str) -> None:
    imported = source.imports(MODULES[module])

    assert [each for each in imported if not source.may_import(module, each)] == []


def test_no_modules_import_each_other_in_circles() -> None:
    graph = {module: source.imports(path) for module, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 100, "the imports are not where they were"

    TopologicalSorter(graph).prepare()  # this raises CycleError, and names the circle


FRESH = """
import os, signal, sys, threading, warnings
warnings.simplefilter("error")
sys.dont_write_bytecode = True

opened, made = [], []
def note(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & 0o103:
        opened.append(arguments[0])  # to be written
    elif event in ("socket.connect", "sqlite3.connect", "subprocess.Popen", "os.fork"):
        made.append(event)

def state():
    handlers = [signal.getsignal(each) for each in sorted(signal.valid_signals())]
    return handlers, threading.enumerate(), sorted(os.listdir("/dev/fd"))

before = state()
sys.addaudithook(note)
import app
assert state() == before, (before, state())
assert (opened, made) == ([], []), (opened, made)
print(app.app.name)
"""


def test_importing_the_application_starts_and_opens_nothing(tmp_path: Path) -> None:
    end, said = python("-c", FRESH, env={"INSTANCE_PATH": str(tmp_path / "instance")})

    assert (end, said) == (0, "app\n")
    assert not list(tmp_path.iterdir())


# Source ------------------------------------------------------------------------------------------


def test_only_config_reads_the_environment() -> None:
    def reads(node: ast.Attribute) -> bool:
        return ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")

    readers = source.found(ast.Attribute, reads)
    importers = source.found(ast.ImportFrom, lambda node: node.module == "os")

    assert {place.partition(":")[0] for place in readers} == {"config.py"}
    assert importers == []


def test_the_models_hold_no_statements() -> None:
    verbs = {"select", "insert", "update", "delete"}

    def names(node: ast.AST) -> set[str]:
        return {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", "")}

    models = ast.walk(source.parsed(MODULES["models"]))
    assert [ast.unparse(node) for node in models if names(node) & verbs] == []


def test_no_except_clause_is_bare() -> None:
    assert source.found(ast.ExceptHandler, lambda node: node.type is None) == []


#: The most lines that a file may have. All others may have 400.
ROOM = {"contract.endpoints": 1000, "app": 650, "models": 250, "database": 250}


@pytest.mark.parametrize("module", MODULES)
def test_every_file_is_of_readable_size(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")

    assert lines <= ROOM.get(module, 400)


def test_no_function_is_above_forty_lines() -> None:
    def is_long(node: ast.FunctionDef) -> bool:
        return int(node.end_lineno or 0) - node.lineno >= 40

    long = source.found(ast.FunctionDef | ast.AsyncFunctionDef, is_long)
    # Revisions are never changed again, and list one table after the other.
    assert [place for place in long if not place.startswith("migrations/versions/")] == []


def test_the_application_has_one_extension_of_ours(app: Flask) -> None:
    ours = {
        name: type(value)
        for name, value in app.extensions.items()
        if type(value).__module__.partition(".")[0] in source.OURS
    }

    assert ours == {"chat": Runtime}
    assert runtime_of(app) is app.extensions["chat"]


# Tests -------------------------------------------------------------------------------------------

#: Patches that are allowed all the same, by file.
PATCHES = {
    "tests/gateway/test_servers.py": {"selectors.DefaultSelector, 'select'"},  # of Python's own
    "tests/support/test_servers.py": {"session, 'request'"},  # the session of the library requests
}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_patch_no_insides_of_ours(path: Path) -> None:
    allowed = PATCHES.get(path.relative_to(ROOT).as_posix(), set())

    assert set(source.patches(path)) - allowed == set()
    assert "unittest.mock" not in path.read_text(encoding="utf-8") or path == Path(__file__)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_of_tests_are_short_sentences(path: Path) -> None:
    """They have four to nine words."""
    nodes = ast.walk(source.parsed(path))
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]

    tests = [name for name in names if name.startswith("test_")]
    assert [name for name in tests if not 4 <= name.count("_") <= 9] == []


# Routes ------------------------------------------------------------------------------------------

OPEN = {
    "/api/files/signed/<ticket>",
    *("/api/register", "/api/login", "/api/config", "/api/openapi.json", "/api/docs"),
    "/api/docs/assets/<path:filename>",
}


def our_views(app: Flask) -> dict[str, Any]:
    """The functions behind the routes, without those of libraries."""
    return {
        name: view
        for name, view in app.view_functions.items()
        if view.__module__.partition(".")[0] in source.OURS
    }


def test_every_route_has_a_docstring(app: Flask) -> None:
    views = our_views(app)
    assert len(views) >= len(ENDPOINTS)

    assert [name for name, view in views.items() if not inspect.getdoc(view)] == []


def test_a_route_without_description_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: entry for name, entry in ENDPOINTS.items() if name != "send_message"}
    monkeypatch.setattr("contract.openapi.ENDPOINTS", others)

    with pytest.raises(LookupError, match="send_message"):
        create_app(Settings(instance_path=str(tmp_path)))


def closed_routes(app: Flask) -> list[tuple[str, str]]:
    """Every method and path of the API that is not open, with something in its placeholders."""
    adapter = app.url_map.bind("localhost")
    return [
        (method, str(adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, 1), method)))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if rule.rule.startswith("/api/") and rule.rule not in OPEN
        if method not in ("OPTIONS",)
    ]


BAD_HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "no token": {"Authorization": "Bearer "},
    "nonsense": {"Authorization": "Bearer nonsense"},
    "of nobody": {
        "Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIiwiZXhwIjo5OTk5OTk5OTk5LCJqdGki"
        "OiJ4In0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    },
    "basic": {"Authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2U="},
}


@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_every_route_refuses_a_request_without_token(
    app: Flask, api: Api, ada: Person, kind: str
) -> None:
    routes = closed_routes(app)
    assert len(routes) >= 5, "need routes to ask"

    for method, path in routes:
        for body in (None, b"{", b"{}"):
            headers = {"Content-Type": "application/json", **BAD_HEADERS[kind]}
            answer = api.request(method, path, body=body, headers=headers)
            assert answer.headers["www-authenticate"] == "Bearer", (method, path)
            if method != "HEAD":
                refused(answer, 401, "unauthorized")


def test_every_route_asks_for_the_token_first(app: Flask, api: Api) -> None:
    for method, path in closed_routes(app):
        answer = api.request(method, f"{path}?limit=0&q=%00", body=b"x" * 70_000)
        assert answer.status == 401, (method, path)


def test_every_closed_route_takes_a_token(app: Flask, ada: Person) -> None:
    for method, path in closed_routes(app):
        if (method, path) not in {("POST", "/api/logout"), ("POST", "/api/refresh")}:
            assert ada.request(method, path).status != 401, (method, path)


@pytest.mark.parametrize("path", ["/api/config", "/health", "/api/openapi.json"])
def test_open_paths_need_no_token_whatever_is_sent(api: Api, path: str) -> None:
    assert api.get(path).status == 200
    assert api.get(path, headers={"Authorization": "Bearer nonsense"}).status == 200
