"""docs/front-ends.md shows lines that the tests beside this one really run."""

import json
import re
from itertools import count
from pathlib import Path

import pytest

from config import load
from tests.support.people import ROOT
from tests.support.servers import NODE

PAGE = (ROOT / "docs/front-ends.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:js|python)\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = ("tutorial.mjs", "react.mjs", "worker.js", "echo.mjs")
SOURCES = [*(NODE / name for name in SCRIPTS), Path(__file__).with_name("test_pysher.py")]


def packed(text: str) -> str:
    """With no more than one space anywhere, as indents differ."""
    return " ".join(text.split())


def run_by(source: Path, block: str) -> bool:
    code = packed(source.read_text(encoding="utf-8"))
    return all(packed(line) in code for line in block.splitlines())


@pytest.mark.parametrize("block", BLOCKS, ids=count(1))
def test_shown_lines_are_those_of_one_front_end(block: str) -> None:
    assert block.strip()
    assert any(run_by(source, block) for source in SOURCES), block


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_front_end_has_lines_of_its_own(source: Path) -> None:
    own = [
        block for block in BLOCKS if [each for each in SOURCES if run_by(each, block)] == [source]
    ]

    assert own


def test_the_shown_extras_can_be_set() -> None:
    (shown,) = re.findall(r"`MESSAGE_EXTRAS=(.*?)`", PAGE)

    assert load({"MESSAGE_EXTRAS": shown}).extras == json.loads(shown)
