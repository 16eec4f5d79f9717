"""What the README and the docs show was typed, and is typed again here."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from config import ROOT, Settings, load
from tests.support.people import ChatServer
from tests.support.servers import require

README = (ROOT / "README.md").read_text(encoding="utf-8")

#: What differs from run to run, by what stands for it.
VARYING = {
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+": "<token>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z": "<time>",
    r"[0-9a-f]{32}:[0-9a-f]{64}": "<signature>",
    r'"cursor":"c3luYy4[\w-]+"': "<cursor>",  # "sync." in base64
    r'"(waiting|oldest_seconds)":[\d.]+': "<lag>",
}


class Curl:
    @classmethod
    def lacks(cls) -> str | None:
        return None if shutil.which("curl") else "curl is missing (Debian: curl)"


def settled(text: str) -> str:
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text.strip()


@pytest.mark.slow
def test_the_walk_with_curl_answers_what_the_readme_shows(
    start: Callable[..., ChatServer], tmp_path: Path
) -> None:
    require(Curl)
    server = start()
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.M) if step]
    assert len(steps) > 15, "the walk is not where it was"
    commands = [step.partition("\n")[0] for step in steps]
    script = "\necho ----\n".join(commands).replace("localhost:5000", f"127.0.0.1:{server.port}")

    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    for step, got in zip(steps, run.stdout.split("----\n"), strict=True):
        command, _, shown = step.partition("\n")
        assert settled(got) == settled(shown), command


def test_every_setting_is_in_env_example_and_in_the_readme() -> None:
    names = {each.name.upper() for each in fields(Settings)}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert set(re.findall(r"^# ([A-Z_]+)=", example, re.M)) == names
    table = README.partition("## Settings")[2].partition("## The map")[0]
    assert set(re.findall(r"`([A-Z_]{4,})`", table)) == names


def test_env_example_shows_the_sentences_and_defaults_of_the_settings() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    for each in fields(Settings):
        assert f"# {each.metadata['sentence']}\n# {each.name.upper()}=" in example, each.name
    shown = load(dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.M)))
    assert shown.folder == Settings().folder
    assert replace(shown, instance_path=Settings().instance_path) == Settings()


def test_the_map_names_every_module() -> None:
    the_map = README.partition("## The map of the code")[2].partition("\n## ")[0]

    for module in ROOT.glob("*.py"):
        if module.name != "gunicorn.conf.py":
            assert f"`{module.name}`" in the_map, module.name
    for package in ("models", "gateway", "migrations", "tests", "bench", "docs"):
        assert f"`{package}/`" in the_map


DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("*/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^):]+)\)", document.read_text(encoding="utf-8"))

    for link in links:
        path, _, heading = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert heading in [each.lower().replace(" ", "-") for each in headings], link
