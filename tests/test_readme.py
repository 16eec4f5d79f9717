"""The README and the docs show what really happens."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from sqlalchemy import inspect

from config import ROOT, Settings, load
from database import init_db
from tests.support.people import ChatServer, looking_into
from tests.support.servers import require
from web.assets import BUNDLE

README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    """One of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


#: Patterns of what differs from run to run, and what to write in its place.
VARYING = {
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+": "<token>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z": "<time>",
    r"[0-9a-f]{32}:[0-9a-f]{64}": "<signature>",
    r'"cursor":"c3luYy4[\w-]+"': "<cursor>",  # "sync." in base64
    r'"(waiting|oldest_seconds)":[\d.]+': "<lag>",
    r"^(Date|Server|X-Request-ID): .*$": r"\1",
    r"localhost:\d+|127\.0\.0\.1:\d+": "<host>",
}


class Curl:
    @classmethod
    def lacks(cls) -> str | None:
        return None if shutil.which("curl") else "curl is missing (Debian: curl)"


def settled(text: str) -> str:
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text, flags=re.M)
    return text.strip()


def shows(shown: str, got: str) -> bool:
    """Whether an answer is as shown, where a line of three dots stands for any number of lines."""
    shown = settled(shown)
    lines = [r"(.+\n)*" if line == "..." else re.escape(f"{line}\n") for line in shown.split("\n")]
    return re.fullmatch("".join(lines), f"{settled(got)}\n") is not None


@pytest.mark.slow
def test_the_walk_with_curl_answers_what_is_shown(
    start: Callable[..., ChatServer], tmp_path: Path
) -> None:
    require(Curl)
    server = start()
    blocks = re.findall(r"```console\n(.*?)```", README + page("tour.md"), re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.M) if step]
    assert len(steps) > 15, "the walk is not where it was"
    commands = [step.partition("\n")[0] for step in steps]
    script = "\necho ----\n".join(commands).replace("localhost:5000", f"127.0.0.1:{server.port}")

    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    for step, got in zip(steps, run.stdout.split("----\n"), strict=True):
        command, _, shown = step.partition("\n")
        assert shows(shown, got), f"{command}\n{got}"


def test_every_setting_is_in_env_example_and_docs() -> None:
    names = {each.name.upper() for each in fields(Settings)}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert set(re.findall(r"^# ([A-Z_]+)=", example, re.M)) == names
    by_purpose, _, each_of_them = page("settings.md").partition("## Each of them")
    assert set(re.findall(r"`([A-Z_]{4,})`", by_purpose)) == names
    shown = re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? \| (.*) \|$", each_of_them, re.M)
    said = re.findall(r"^# (.+)\n# ([A-Z_]+)=(.*)$", example, re.M)
    assert [(name, value, re.sub(r"([<*])", r"\\\1", text)) for text, name, value in said] == shown


@pytest.mark.slow
def test_the_documented_backup_is_restored(tmp_path: Path) -> None:
    settings = Settings(instance_path=str(tmp_path / "instance"))
    init_db(settings)
    secret = settings.jwt_key
    (commands,) = re.findall(
        r"^```sh\n(.venv/bin/flask backup.*?)^```", page("growing.md"), re.M | re.DOTALL
    )
    backup, restore = [
        command.strip().replace(
            ".venv/bin/flask", f"{sys.executable} -m flask --app {ROOT / 'app.py'}"
        )
        for command in commands.splitlines()
    ]
    other = tmp_path / "other"

    for command, folder in ((backup, settings.folder), (f"{restore} --yes", other)):
        env = os.environ | {"INSTANCE_PATH": str(folder)}
        subprocess.run(command.split(), cwd=tmp_path, env=env, check=True)

    restored = Settings(instance_path=str(other))
    assert restored.jwt_key == secret
    with looking_into(restored) as connection:
        assert "messages" in inspect(connection).get_table_names()


def test_env_example_shows_each_sentence_and_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    for each in fields(Settings):
        assert f"# {each.metadata['sentence']}\n# {each.name.upper()}=" in example, each.name
    shown = load(dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.M)))
    assert shown.folder == Settings().folder
    assert replace(shown, instance_path=Settings().instance_path) == Settings()


def mapped() -> set[str]:
    """The files and folders that the two maps name, as paths."""
    maps = page("architecture.md").partition("## The map of the code")[2]
    maps += page("../static/README.md").partition("## The map")[2]
    named: set[str] = set()
    above: list[str] = []
    for tree in re.findall(r"^```\n(.*?)^```", maps, re.M | re.DOTALL):
        for indent, name in re.findall(r"^( *)([\w.]+/?)", tree, re.M):
            above[len(indent) // 2 :] = [name]
            named.add("".join(above))
    return named


def test_the_maps_name_every_file() -> None:
    files = [*ROOT.glob("*.py"), ROOT / "Dockerfile", ROOT / "compose.yaml"]
    files += (
        path
        for name in ("chat", "realtime", "web", "contract", "settings", "dialects")
        for path in ROOT.glob(f"{name}/*.py")
    )
    files += (path for path in ROOT.glob("static/**/*") if path.suffix in (".js", ".css"))
    files = [path for path in files if path.parent != BUNDLE]
    there = {str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py"}
    assert len(there) > 50, "need files to look for"

    named = mapped()

    assert {each for each in named if not each.endswith("/")} == there
    assert all((ROOT / each).exists() for each in named)


def test_the_walk_shows_the_route_as_it_is() -> None:
    (shown,) = re.findall(r"^```python\n(.*?)^```", page("message.md"), re.M | re.DOTALL)

    assert shown in (ROOT / "app.py").read_text(encoding="utf-8")


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^):]+)\)", document.read_text(encoding="utf-8"))

    for link in links:
        path, _, heading = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert heading in [each.lower().replace(" ", "-") for each in headings], link
