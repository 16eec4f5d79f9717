"""The house: who imports whom, and that every route is closed unless it is opened by name."""

import ast
from pathlib import Path

import pytest
from flask import Flask

from config import ROOT
from tests.support.people import Api, Person, refused

#: Modules from the top down, each with those of ours that it may import.
MAY_IMPORT = {
    "app": {"*"},
    "page": {"realtime", "schemas", "config"},
    "openapi": {"endpoints", "answers", "schemas"},
    "endpoints": {"answers", "schemas"},
    "outbox": {"models", "database", "lease"},
    "auth": {"models", "database", "ratelimits", "places", "config"},
    "models": {"models", "database", "answers", "statements", "words"},
    "database": {"config", "statements"},
    "realtime": {"config", "answers"},
    "ratelimits": {"config"},
    "gateway": {"gateway"},
    **{
        name: set()
        for name in ("answers", "config", "lease", "places", "schemas", "statements", "words")
    },
}


def modules() -> dict[str, list[Path]]:
    """Our own, with their files."""
    found = {path.stem: [path] for path in ROOT.glob("*.py") if path.stem != "gunicorn.conf"}
    packages = {path.parent for path in ROOT.glob("*/__init__.py")}
    ours = packages - {ROOT / "bench", ROOT / "tests"}
    return found | {path.name: sorted(path.glob("*.py")) for path in ours}


def imported(path: Path) -> set[str]:
    """The modules named at the top level of the file, by their first name."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names.add(str(node.module).partition(".")[0])
    return names


def test_the_directory_is_the_one_described_here() -> None:
    assert set(modules()) == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_imports_run_downwards_only(module: str) -> None:
    ours = set(MAY_IMPORT)
    files = modules()[module]
    assert files, "need something to look at"

    for path in files:
        wanted = imported(path) & ours - {module}
        assert "app" not in wanted
        if "*" not in MAY_IMPORT[module]:
            assert wanted <= MAY_IMPORT[module], path.name


def test_only_config_reads_the_environment() -> None:
    readers = {
        name
        for name, files in modules().items()
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    }

    assert readers == {"config"}


def test_no_except_is_bare() -> None:
    bare = [
        f"{path.name}:{node.lineno}"
        for files in modules().values()
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]

    assert bare == []


# Routes ------------------------------------------------------------------------------------------

OPEN = {
    *("/api/register", "/api/login", "/api/config", "/api/openapi.json", "/api/docs"),
    "/api/docs/assets/<path:filename>",
}


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
def test_every_route_refuses_who_has_no_token(app: Flask, api: Api, ada: Person, kind: str) -> None:
    routes = closed_routes(app)
    assert len(routes) >= 5, "need routes to ask"

    for method, path in routes:
        for body in (None, b"{", b"{}"):
            headers = {"Content-Type": "application/json", **BAD_HEADERS[kind]}
            answer = api.request(method, path, body=body, headers=headers)
            assert answer.headers["www-authenticate"] == "Bearer", (method, path)
            if method != "HEAD":
                refused(answer, 401, "unauthorized")


def test_every_route_asks_for_the_token_before_it_looks_at_the_rest(app: Flask, api: Api) -> None:
    for method, path in closed_routes(app):
        answer = api.request(method, f"{path}?limit=0&q=%00", body=b"x" * 70_000)
        assert answer.status == 401, (method, path)


def test_every_closed_route_takes_a_token(app: Flask, ada: Person) -> None:
    for method, path in closed_routes(app):
        if (method, path) not in {("POST", "/api/logout"), ("POST", "/api/refresh")}:
            assert ada.request(method, path).status != 401, (method, path)


@pytest.mark.parametrize("path", ["/api/config", "/health", "/api/openapi.json"])
def test_what_is_open_needs_no_token_and_minds_no_bad_one(api: Api, path: str) -> None:
    assert api.get(path).status == 200
    assert api.get(path, headers={"Authorization": "Bearer nonsense"}).status == 200
