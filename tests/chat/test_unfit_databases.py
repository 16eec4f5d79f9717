"""What cannot work is refused at the start, in a sentence that says what to do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from app import create_app
from config import ROOT, Settings
from database import db, init_db
from migrations import DatabaseError
from tests.support.people import python
from tests.support.servers import Postgres, free_port

INIT = "from database import init_db; init_db()"


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    """Somebody who may do nothing."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
        yield "guest"
        connection.execute("DROP OWNED BY guest")
        connection.execute("DROP ROLE guest")


def of_role(role: str, url: str) -> str:
    return url.replace("//postgres@", f"//{role}@")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_lacks_characters_is_refused(
    postgres: Postgres, tmp_path: Path, encoding: str
) -> None:
    make = "CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        name = sql.Identifier(encoding.lower())
        connection.execute(sql.SQL(make).format(name, sql.Literal(encoding)))
    url = postgres.url(encoding.lower())
    settings = Settings(instance_path=str(tmp_path), database_url=url)

    with pytest.raises(DatabaseError, match=f"{encoding}.*ENCODING 'UTF8'"):
        init_db(settings)
    app = create_app(settings)
    answer = app.test_client().get("/health")
    with app.app_context():
        db.engine.dispose()

    assert answer.status_code == 503
    assert "ENCODING 'UTF8'" in answer.get_data(as_text=True)
    postgres.drop_database(url)


def test_a_role_without_rights_is_refused(postgres: Postgres, role: str, tmp_path: Path) -> None:
    url = postgres.create_database()
    for right in ("CREATE", "ALL"):
        with psycopg.connect(url) as connection:
            connection.execute(f"REVOKE {right} ON SCHEMA public FROM PUBLIC")
        settings = Settings(instance_path=str(tmp_path), database_url=of_role(role, url))

        with pytest.raises(DatabaseError, match="GRANT"):
            init_db(settings)
    postgres.drop_database(url)


def test_the_defaults_of_a_role_change_nothing(
    postgres: Postgres, role: str, tmp_path: Path
) -> None:
    url = postgres.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(urlsplit(url).path[1:])
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO guest").format(name))
        connection.execute("GRANT ALL ON SCHEMA public TO guest")
        connection.execute("ALTER ROLE guest SET default_transaction_isolation = serializable")
        connection.execute("ALTER ROLE guest SET client_encoding = latin1")
    settings = Settings(instance_path=str(tmp_path), database_url=of_role(role, url))
    init_db(settings)

    with create_app(settings).app_context():
        isolation = db.session.scalar(text("SHOW transaction_isolation"))
        echoed = db.session.scalar(text("SELECT :text"), {"text": "東京 🦓"})
        db.session.remove()
        db.engine.dispose()

    assert isolation == "read committed"
    assert echoed == "東京 🦓"
    postgres.drop_database(url)


@pytest.mark.slow
def test_init_db_says_what_is_wrong_without_traceback(tmp_path: Path) -> None:
    away = f"postgresql://nobody:secret@127.0.0.1:{free_port()}/chat"
    nowhere = tmp_path / "folder"
    nowhere.mkdir()
    (nowhere / "chat.db").mkdir()
    for env in (
        {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": away},
        {"INSTANCE_PATH": str(nowhere)},
        {"INSTANCE_PATH": "/proc/chat"},  # where nobody can make a folder
        {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": "sqlite:////proc/chat.db"},
        {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": f"sqlite:///{'x' * 300}"},
        {"INSTANCE_PATH": str(tmp_path), "JWT_SECRET_KEY": "short"},
    ):
        end, said = python("-c", INIT, env=env)

        assert end == 1
        assert said.startswith("Error: ")
        assert said.count("\n") == 1
        assert "secret" not in said.replace("JWT_SECRET_KEY", "")


# The project's folder ---------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The project in a folder whose name has a % in it."""
    folder = tmp_path / "50%d of %(all)s"
    ours = shutil.ignore_patterns(".*", "node_modules", "tests", "bench", "docs", "instance")
    shutil.copytree(ROOT, folder, ignore=ours)
    return folder


def run(copied: Path, *arguments: str) -> tuple[int, str]:
    """How `python ...` ends in the folder, and all that it writes."""
    kept = {name: value for name, value in os.environ.items() if name != "FLASK_SKIP_DOTENV"}
    env = kept | {"PYTHONPATH": str(copied)}
    command = [sys.executable, *arguments]
    end = subprocess.run(command, cwd=copied, env=env, stdout=PIPE, stderr=STDOUT, text=True)
    return end.returncode, end.stdout


@pytest.mark.slow
def test_a_percent_sign_in_the_path_is_no_trouble(copied: Path) -> None:
    for arguments in (("-c", INIT), ("-m", "flask", "db", "check")):
        end, said = run(copied, *arguments)

        assert end == 0, said
    assert (copied / "instance" / "chat.db").exists()


@pytest.mark.slow
def test_an_env_file_of_windows_is_understood(copied: Path) -> None:
    env = copied / ".env"

    env.write_text("INSTANCE_PATH=elsewhere\n", encoding="utf-16")
    end, said = run(copied, "-c", INIT)
    assert end == 1
    assert said.startswith("Error: .env is not in UTF-8")
    assert said.count("\n") == 1

    env.write_text("INSTANCE_PATH=elsewhere\n", encoding="utf-8-sig")
    assert run(copied, "-c", INIT) == (0, "")
    assert (copied / "elsewhere" / "chat.db").exists()
