"""The last step of the course is a chat API: it passes tests of the real one."""

import os
import subprocess
import sys

import pytest

from config import ROOT
from tests.support.lessons import LEARN

LAST = LEARN / "steps" / "10"


@pytest.mark.slow
def test_the_last_step_passes_the_classic_tests() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "classic", "tests/api"]
    command += ["-rs", "-p", "no:cacheprovider"]
    env = os.environ | {"CLASSIC_APP": str(LAST)}

    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout
    assert run.stdout.count(".") > 150, run.stdout
    assert "SKIPPED" not in run.stdout
