"""The lessons of docs/learn as a learner follows them: their commands, with the answers they show.

A block of the language `console` has commands behind "$ ", and what they answer below them. What
stands behind "**Terminal 2**" in the line before it goes on in another terminal: a command there
runs until "^C", and lines without a command are what it writes after all that came before.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from config import ROOT
from tests.support.servers import PATIENCE, eventually, free_port

LEARN = ROOT / "docs" / "learn"
LESSONS = sorted(LEARN.glob("[0-9][0-9]-*.md"))
FENCE = re.compile(r"^([^\n]*)\n+```(\w+)\n(.*?)^```$", re.M | re.S)

#: As learners have it, who have none of the plugins that the project's own tests need.
PLAIN_PYTEST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

#: Patterns of what differs from run to run, and what to compare in its place.
VARYING = {
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+": "<token>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z": "<time>",
    r"(?m)^Date: .*$": "Date: <date>",
    r"(?m)^Server: .*$": "Server: <server>",
    r"(?m)^X-Request-ID: .*$": "X-Request-ID: <id>",
    r"\b[0-9a-f]{64}\b": "<digest>",
    r"\b\d{1,9}\.\d{5,9}\b": "<socket>",
    r"\bin \d+\.\d+s": "in <seconds>",
}


@dataclass
class Block:
    """A block of code in a lesson."""

    language: str
    text: str
    terminal: int


class Lesson:
    """A page of the course, and the step of the code that it is about."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.step = LEARN / "steps" / path.name[:2]

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(language, text, int(number[1]) if (number := TERMINAL.match(before)) else 1)
            for before, language, text in FENCE.findall(self.text)
        ]


TERMINAL = re.compile(r"\*\*Terminal (\d)\*\*")


def entries(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block and what is shown below each. What stands before the first command
    has none."""
    first, *others = re.split(r"^\$ ", text, flags=re.M)
    if first:
        yield "", first
    for entry in others:
        command, _, shown = entry.partition("\n")
        yield command, shown


def settled(text: str) -> str:
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


class Desk:
    """Terminals in a copy of a step's folder, on ports that nobody else uses."""

    def __init__(self, step: Path, folder: Path) -> None:
        self.folder = copied(step, folder)
        (folder / ".curlrc").write_text("silent\n")  # as it is where one looks at its answer
        self.ports = {"5000": str(free_port()), "6001": str(free_port())}
        self.programs: dict[int, tuple[subprocess.Popen[bytes], Path, int]] = {}
        self.shell = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.environment,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """As after `. .venv/bin/activate`, with a cheap hash and ports of its own."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {
            "CURL_HOME": str(self.folder.parents[3]),
            "FLASK_RUN_PORT": self.ports["5000"],
            "FLASK_PUSHER_PORT": self.ports["6001"],
            "FLASK_PASSWORD_HASH": "scrypt:128:8:1",
            "PYTHONUNBUFFERED": "1",
        }
        return os.environ | PLAIN_PYTEST | {"PATH": path} | ours

    def _here(self, text: str) -> str:
        for port, ours in self.ports.items():
            text = re.sub(rf"(?<=[:= ]){port}\b", ours, text)
        return text

    def _shown(self, text: str) -> str:
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{ours}\b", port, text)
        return settled(text)

    def types(self, command: str) -> str:
        """What the command answers in the first terminal."""
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f"{self._here(command)}\necho; echo ---- done\n")
        self.shell.stdin.flush()
        lines = []
        for line in self.shell.stdout:
            if line == "---- done\n":
                break
            lines.append(line)
        return self._shown("".join(lines))

    def runs(self, terminal: int, command: str) -> None:
        """Start a program that goes on in another terminal."""
        log = self.folder / f"terminal-{terminal}-{len(list(self.folder.glob('terminal-*')))}"
        with log.open("wb") as output:
            program = subprocess.Popen(
                ["bash", "-c", f"exec env {self._here(command)}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
            )
        self.programs[terminal] = program, log, 0

    def sees(self, terminal: int, shown: str) -> None:
        """Wait until these lines have come in another terminal, in this order, after those of the
        blocks before. Lines that the lesson does not show may stand between them."""
        program, log, seen = self.programs[terminal]
        wanted = settled(shown).splitlines()

        def come() -> bool:
            nonlocal seen
            lines = self._shown(log.read_text()).splitlines()
            while wanted and wanted[0] in lines[seen:]:
                seen = lines.index(wanted.pop(0), seen) + 1
            return not wanted

        assert eventually(come), f"{wanted} is not in terminal {terminal}:\n{log.read_text()}"
        self.programs[terminal] = program, log, seen

    def ends(self, terminal: int, how: signal.Signals = signal.SIGINT) -> None:
        program, *_ = self.programs.pop(terminal)
        os.killpg(program.pid, how)
        try:
            program.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for terminal in list(self.programs):
            self.ends(terminal, signal.SIGKILL)
        self.shell.communicate()


def copied(step: Path, folder: Path) -> Path:
    """A copy of a step's folder, as far below the project's gateway as the original is."""
    (folder / "gateway").symlink_to(ROOT / "gateway")
    learn = folder / "docs" / "learn"
    copy = learn / "steps" / step.name
    shutil.copytree(step, copy, ignore=shutil.ignore_patterns("instance", "__pycache__"))
    shutil.copy(LEARN / "pytest.ini", learn)
    return copy
