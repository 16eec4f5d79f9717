"""The running server does what its OpenAPI document says, for data made by a machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.people import ROOT, ChatServer
from tests.support.servers import IN_CI

pytestmark = pytest.mark.slow

HOOKS = "tests.support.schemathesis_hooks"
SETTINGS = """
[generation]
database = "none"
max-examples = {examples}

[phases.coverage]
enabled = {coverage}

[phases.stateful]
max-steps = 10

[phases.stateful.generation]
max-examples = {conversations}
"""


DATABASES = ["sqlite", "postgresql"] if IN_CI else ["sqlite"]


@pytest.mark.parametrize("backend", DATABASES, indirect=True, scope="session")
def test_schemathesis_finds_no_fault(start: Callable[..., ChatServer], tmp_path: Path) -> None:
    """It sends examples, good and bad data, and conversations that follow the links."""
    examples, conversations = (50, 100) if IN_CI else (3, 5)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(
        SETTINGS.format(examples=examples, conversations=conversations, coverage=str(IN_CI).lower())
    )
    server = start("gunicorn", RATELIMIT_ENABLED="false")

    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", settings),
            *("--no-color", "run", "--continue-on-failure"),
            f"http://127.0.0.1:{server.port}/api/openapi.json",
        ],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    for phase in ("Examples", "Fuzzing", "Stateful", *(["Coverage"] if IN_CI else [])):
        assert f"✅ {phase}" in run.stdout, run.stdout
