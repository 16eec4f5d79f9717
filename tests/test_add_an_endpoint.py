"""docs/add-an-endpoint.md is done with a copy of the code, and what comes out works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import ROOT

PAGE = (ROOT / "docs" / "add-an-endpoint.md").read_text(encoding="utf-8")
STEP = re.compile(
    r"^\*\*In `(?P<file>[^`]+)`, (?P<place>[^\n]+)\*\*\n\n```\w+\n(?P<text>.*?)^```", re.M | re.S
)
LEFT_OUT = shutil.ignore_patterns(
    ".*", "node_modules", "instance", "__pycache__", "docs.bak", "site", "screenshot.png"
)
MIGRATIONS = "migrations/versions"


def put(file: Path, place: str, text: str) -> None:
    """Write the text of a step into a file, where the step says."""
    if place == "a new file":
        assert not file.exists(), f"{file} is there already"
        file.write_text(text, encoding="utf-8")
        return
    where, marker = re.fullmatch(r"([^`\"]+)[`\"](.+)[`\"]", place).groups()  # type: ignore[union-attr]
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    begins = "beginning" in where
    found = [
        number
        for number, line in enumerate(lines)
        if (line.startswith(marker) if begins else line.rstrip("\n") == marker)
    ]
    assert len(found) == 1, f"{file.name} has {len(found)} lines {marker!r}"
    first = found[0] + where.startswith("after")
    lines[first : found[0] + (not where.startswith("before"))] = [text]
    file.write_text("".join(lines), encoding="utf-8")


def as_the_newest(file: str, text: str) -> tuple[str, str]:
    """The page's revision, with the numbers that it would have today."""
    newest = max(path.name[:4] for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    number = f"{int(newest) + 1:04}"
    for name, value in (("revision", number), ("down_revision", newest)):
        text = re.sub(rf'^{name} = "\d+"', f'{name} = "{value}"', text, flags=re.M)
    return re.sub(r"/\d{4}_", f"/{number}_", file), text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project after all steps of the page."""
    there = tmp_path / "copy"
    shutil.copytree(ROOT, there, ignore=LEFT_OUT)
    steps = list(STEP.finditer(PAGE))
    assert len(steps) > 10, "the steps are not where they were"
    for step in steps:
        file, text = step["file"], step["text"]
        if file.startswith(MIGRATIONS):
            file, text = as_the_newest(file, text)
        put(there / file, step["place"], text)
    return there


def run(folder: Path, *command: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    env |= {"INSTANCE_PATH": str(folder.parent / "instance"), "FLASK_SKIP_DOTENV": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_endpoint_of_the_page_works(copy: Path) -> None:
    tests = ("tests/api/test_notes.py", "tests/api/test_openapi.py")
    maps = "tests/test_readme.py::test_the_maps_name_every_file"

    run(copy, "-m", "ruff", "format", ".")
    run(copy, "-m", "ruff", "check", ".")
    # Of the examples in the OpenAPI document, those of the new endpoints; and what holds for all.
    run(copy, "-m", "pytest", "-n", "0", *tests, maps, "-k", "note or every")
    run(copy, "-c", "from database import init_db; init_db()")
    run(copy, "-m", "flask", "db", "check")
    run(copy, "-m", "flask", "db", "downgrade")
