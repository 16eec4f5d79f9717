"""The course does what it says: its commands answer what it shows, its exercises can be solved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lessons import (
    LESSONS,
    PLAIN_PYTEST,
    Desk,
    Lesson,
    copied,
    entries,
    settled,
)
from tests.support.servers import eventually

pytestmark = pytest.mark.slow
lessons = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)

EXERCISE = "python -m pytest exercise"


@lessons
def test_the_commands_of_a_lesson_answer_as_shown(path: Path, tmp_path: Path) -> None:
    lesson = Lesson(path)
    with Desk(lesson.step, tmp_path) as desk:
        for block in lesson.blocks:
            if block.language != "console":
                continue
            for command, shown in entries(block.text):
                if command == EXERCISE:  # it has a test of its own
                    continue
                if block.terminal == 1:
                    hold(desk, command, settled(shown))
                    continue
                if command == "^C":
                    desk.ends(block.terminal)
                elif command:
                    desk.runs(block.terminal, command)
                if shown:
                    desk.sees(block.terminal, shown)


def hold(desk: Desk, command: str, shown: str) -> None:
    """Hold what a command answers to what the lesson shows. One that looks into the database is
    repeated, because the programs that write there may not be done."""
    answer = desk.types(command)
    if answer != shown and command.startswith("python -c"):
        eventually(lambda: desk.types(command) == shown)
        answer = desk.types(command)
    assert answer == shown, command


def exercise(step: Path) -> tuple[int, str]:
    """How the tests of the exercise end, and what pytest says."""
    command = [sys.executable, *EXERCISE.split()[1:]]
    env = os.environ | PLAIN_PYTEST
    run = subprocess.run(command, cwd=step, env=env, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


@lessons
def test_an_exercise_fails_until_it_is_solved(path: Path, tmp_path: Path) -> None:
    lesson = Lesson(path)
    assert EXERCISE in lesson.text
    step = copied(lesson.step, tmp_path)

    status, said = exercise(step)
    assert (status, " failed" in said, "error" in said.lower().splitlines()[-1]) == (1, True, False)

    patch = step / "exercise" / "solution.patch"
    subprocess.run(["git", "apply", patch], cwd=step, check=True)
    status, said = exercise(step)
    assert status == 0, said
