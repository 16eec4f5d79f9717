"""Dockerfile and compose.yaml, as far as they can be tried without a container engine."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from config import ROOT, Settings, load
from tests.support.people import OverHttp
from tests.support.servers import (
    HOST,
    NODE_MODULES,
    Postgres,
    Redis,
    Server,
    Soketi,
    require,
)

SECRETS = {
    "POSTGRES_PASSWORD": "of-postgres",
    "JWT_SECRET_KEY": "0123456789abcdef" * 4,
    "PUSHER_KEY": "key0123456789",
    "PUSHER_SECRET": "secret0123456789",
}
LINTER = NODE_MODULES / "dockerfile-utils/bin/dockerfile-utils"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


class Linter:
    @classmethod
    def lacks(cls) -> str | None:
        found = shutil.which("node") and LINTER.exists()
        return None if found else "dockerfile-utils is missing (make node)"


class Compose:
    @classmethod
    def lacks(cls) -> str | None:
        found = shutil.which("docker-compose")
        return None if found else "docker-compose is missing (Debian: docker-compose)"


def compose_config(**environment: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of compose.yaml."""
    command = ["docker-compose", "--file", str(ROOT / "compose.yaml"), "config"]
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    require(Linter)

    run = subprocess.run(
        ["node", LINTER, "lint", ROOT / "Dockerfile"], capture_output=True, text=True
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("missing", SECRETS)
def test_compose_asks_for_each_missing_secret(missing: str) -> None:
    require(Compose)

    run = compose_config(**{name: value for name, value in SECRETS.items() if name != missing})

    assert run.returncode != 0
    assert missing in run.stderr


def ignored() -> list[str]:
    """What .dockerignore keeps out of the image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_secrets_and_data_stay_out_of_the_image() -> None:
    assert {".env", "*.env", "instance", ".git"} <= set(ignored())


class Api(Server):
    """The API as compose.yaml runs it: in a folder with what the image has, and nothing else."""

    def __init__(self, services: dict[str, Any]) -> None:
        super().__init__()
        self.services = services
        for each in ROOT.iterdir():
            if each.name not in ignored():
                (self.directory / each.name).symlink_to(each)

    @classmethod
    def lacks(cls) -> str | None:
        return None

    def environment(self) -> dict[str, str]:
        said = {name: str(value) for name, value in self.services["api"]["environment"].items()}
        where = {"INSTANCE_PATH": str(self.directory / "data"), "FLASK_SKIP_DOTENV": "1"}
        return said | where | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}

    def command(self) -> list[str | Path]:
        return [*shlex.split(self.of("api").replace("0.0.0.0:5000", f"{HOST}:{self.port}"))]

    def of(self, service: str) -> str:
        command: str | list[str] = self.services[service]["command"]
        return command if isinstance(command, str) else shlex.join(command)

    def run(self, command: list[str]) -> None:
        env = os.environ | self.environment()
        subprocess.run(command, cwd=self.directory, env=env, check=True)


@pytest.fixture
def services(postgres: Postgres) -> Iterator[dict[str, Any]]:
    """Those of compose.yaml, with the addresses that they have here."""
    require(Compose, Soketi, Redis)
    run = compose_config(**SECRETS)
    assert run.returncode == 0, run.stderr
    config: dict[str, Any] = yaml.safe_load(run.stdout)
    soketi = SoketiOf(config["services"]["soketi"])
    with soketi, Redis() as redis:
        text = run.stdout
        for old, new in {
            "postgresql://chat:of-postgres@postgres/chat": postgres.create_database(),
            "redis://redis:6379/0": redis.url,
            "PUSHER_HOST: soketi": f"PUSHER_HOST: {HOST}",
            "PUSHER_PORT: '6001'": f"PUSHER_PORT: '{soketi.port}'",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        yield yaml.safe_load(text)["services"]


class SoketiOf(Soketi):
    """soketi with the settings of compose.yaml."""

    def __init__(self, service: dict[str, Any]) -> None:
        super().__init__()
        self.settings: dict[str, str] = service["environment"]

    def environment(self) -> dict[str, str]:
        return super().environment() | self.settings


@pytest.mark.slow
def test_the_commands_of_compose_serve_the_api(services: dict[str, Any]) -> None:
    api = Api(services)
    api.run(shlex.split(api.of("database")))
    with api:
        site = OverHttp(api.port)
        ada, bob = site.sign_up("ada"), site.sign_up("bob")

        assert ada.says(ada.asks(bob).json, "Hello from a container!").status == 201

        (check,) = re.findall(r'^    CMD \["python", "-c", "(.*)"\]$', DOCKERFILE, re.M)
        api.run(["python", "-c", check.replace(":5000", f":{api.port}")])
        assert not (ROOT / "data").exists()


@pytest.mark.slow
def test_the_settings_of_compose_are_those_of_the_api(services: dict[str, Any]) -> None:
    given = {name: str(value) for name, value in services["api"]["environment"].items()}

    settings = load(given)

    assert not settings.embedded
    assert settings.url.drivername == "postgresql+psycopg"
    assert {name.lower() for name in given} <= set(Settings.__dataclass_fields__)
