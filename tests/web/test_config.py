"""Settings: which are refused, what they mean, and what a front end is told of them."""

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Settings, SettingsError, load
from tests.support.people import CHEAP_HASH, ROOT, ChatServer, InProcess, at_once, python
from tests.support.servers import HOST, require

KEYS = {"PUSHER_APP_ID": "7", "PUSHER_KEY": "key", "PUSHER_SECRET": "a-secret-of-the-tests"}
HOSTED = {**KEYS, "PUSHER_CLUSTER": "eu"}
SELF_HOSTED = {**KEYS, "PUSHER_HOST": "pusher.internal"}
LONG_KEY = "0123456789abcdef" * 2


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key != name}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        *((without(HOSTED, name), name) for name in KEYS),
        *((without(SELF_HOSTED, name), name) for name in KEYS),
        ({"PUSHER_SECRET": "a-secret-of-the-tests"}, "PUSHER_APP_ID"),
        ({"PUSHER_KEY": "key", "PUSHER_CLUSTER": "eu"}, "PUSHER_SECRET"),
        (HOSTED | {"PUSHER_SECRET": ""}, "PUSHER_SECRET"),
        (KEYS, "PUSHER_CLUSTER"),
        (KEYS | {"PUSHER_CLUSTER": ""}, "PUSHER_HOST"),
        (HOSTED | {"PUSHER_APP_ID": "app_id"}, "PUSHER_APP_ID"),
        (HOSTED | {"PUSHER_APP_ID": "１２"}, "PUSHER_APP_ID"),
        (SELF_HOSTED | {"PUSHER_PORT": "http"}, "PUSHER_PORT"),
        (SELF_HOSTED | {"PUSHER_PORT": "65536"}, "PUSHER_PORT"),
        (SELF_HOSTED | {"PUSHER_PORT": "-1"}, "PUSHER_PORT"),
        (SELF_HOSTED | {"PUSHER_SSL": "maybe"}, "PUSHER_SSL"),
        (SELF_HOSTED | {"PUSHER_PUBLIC_PORT": "70000"}, "PUSHER_PUBLIC_PORT"),
        (SELF_HOSTED | {"PUSHER_PUBLIC_SSL": "2"}, "PUSHER_PUBLIC_SSL"),
        (SELF_HOSTED | {"PUSHER_HOST": "http://pusher.internal"}, "PUSHER_HOST"),
        (SELF_HOSTED | {"PUSHER_HOST": "pusher.internal:6001"}, "PUSHER_HOST"),
        (SELF_HOSTED | {"PUSHER_PUBLIC_HOST": "wss://ws.example/"}, "PUSHER_PUBLIC_HOST"),
        (SELF_HOSTED | {"PUSHER_KEY": "a key"}, "PUSHER_KEY"),
        (HOSTED | {"PUSHER_CLUSTER": "api-eu.pusher.com"}, "PUSHER_CLUSTER"),
        ({"EMBEDDED_APP_ID": "app"}, "EMBEDDED_APP_ID"),
        ({"EMBEDDED_KEY": "a:b"}, "EMBEDDED_KEY"),
        ({"EMBEDDED_KEY": "a/b"}, "EMBEDDED_KEY"),
        *(
            ({name: origins}, name)
            for name in ("CORS_ORIGINS", "EMBEDDED_ORIGINS")
            for origins in (
                *("https://*.example.com", "https://a.example/", "a.example", "[", ","),
                *("https://(a|b).example", "https://a.example,", "https://a.example, *"),
            )
        ),
        ({"JWT_SECRET_KEY": "too-short-a-secret"}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": "change-me-" * 5}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": os.fsdecode(b"\xe9" * 32)}, "JWT_SECRET_KEY"),
        ({"EMBEDDED_SECRET": os.fsdecode(b"\xe9t\xe9")}, "EMBEDDED_SECRET"),
        ({"JWT_EXPIRES_SECONDS": "0"}, "JWT_EXPIRES_SECONDS"),
        ({"JWT_EXPIRES_SECONDS": "-5"}, "JWT_EXPIRES_SECONDS"),
        ({"JWT_EXPIRES_SECONDS": "one day"}, "JWT_EXPIRES_SECONDS"),
        *(
            ({name: "9" * 12}, name)
            for name in ("JWT_EXPIRES_SECONDS", "REMEMBER_SECONDS", "SESSION_MAX_SECONDS")
        ),
        ({"PASSWORD_HASH": "md5"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "scrypt:a:b:c"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "scrypt:32767:8:3"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "scrypt:2:8:1"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "scrypt:1099511627776:8:1"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "pbkdf2:sha256:0"}, "PASSWORD_HASH"),
        ({"PASSWORD_HASH": "pbkdf2:sha256:99999999999999999999"}, "PASSWORD_HASH"),
        ({"VAPID_PRIVATE_KEY": "A" * 43}, "VAPID_PRIVATE_KEY"),
        ({"VAPID_PRIVATE_KEY": "_" * 43}, "VAPID_PRIVATE_KEY"),
        ({"INSTANCE_PATH": __file__}, "INSTANCE_PATH"),
        ({"INSTANCE_PATH": f"{__file__}/instance"}, "INSTANCE_PATH"),
        ({"DATABASE_URL": "chat.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "://a-secret-of-the-tests"}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://root:a-secret-of-the-tests@localhost/chat"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:a-secret-of-the-tests@h:port/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///:memory:"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///file:chat?mode=memory&uri=true"}, "DATABASE_URL"),
        ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE"),
        ({"TRUSTED_PROXIES": "yes"}, "TRUSTED_PROXIES"),
        ({"RATELIMIT_ENABLED": "off and on"}, "RATELIMIT_ENABLED"),
        ({"RATELIMIT_LOGIN": "ten"}, "RATELIMIT_LOGIN"),
        ({"RATELIMIT_REGISTER": "300 per"}, "RATELIMIT_REGISTER"),
        ({"RATELIMIT_DEFAULT": "100/fortnight"}, "RATELIMIT_DEFAULT"),
        ({"RATELIMIT_LOGIN": "0 per minute"}, "RATELIMIT_LOGIN"),
        ({"RATELIMIT_LOGIN": "1 per minute; 100 per hour"}, "RATELIMIT_LOGIN"),
        *(
            ({"RATELIMIT_STORAGE_URI": uri}, "RATELIMIT_STORAGE_URI")
            for uri in (
                *("a-secret-of-the-tests", "redis", "memory", "memory://host"),
                *("redis://:a-secret-of-the-tests@host:port", "redis://host:70000"),
                *("redis://a..b", "redis://host?no=1", "redis://host?socket_timeout=long"),
                "rediss://host?ssl_cert_reqs=maybe",
            )
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(environ)

    assert named in refusal.value.message
    assert refusal.value.message.endswith(".")
    for secret in ("a-secret-of-the-tests", "too-short-a-secret"):
        assert secret not in refusal.value.message


@pytest.mark.parametrize(
    "environ",
    [
        *({}, HOSTED, SELF_HOSTED, SELF_HOSTED | {"PUSHER_CLUSTER": "eu"}),
        dict.fromkeys(KEYS, ""),
        dict.fromkeys(KEYS, "  "),
        {"JWT_SECRET_KEY": LONG_KEY},
        {"PUSHER_CLUSTER": "eu"},
        {"RATELIMIT_STORAGE_URI": "redis://localhost:6379/0"},
        {"RATELIMIT_STORAGE_URI": "redis+unix:///run/redis/socket?db=1"},
        {"RATELIMIT_STORAGE_URI": "rediss://:word@redis.example:6380/1?ssl_cert_reqs=none"},
        {"RATELIMIT_LOGIN": "5/minute"},
        {"PASSWORD_HASH": "pbkdf2:sha512:1000"},
        {"VAPID_PRIVATE_KEY": "B" * 43},
        {"CORS_ORIGINS": "https://a.example, http://localhost:3000,null"},
        {"EMBEDDED_ORIGINS": "capacitor://localhost"},
        SELF_HOSTED | {"PUSHER_HOST": "10.0.0.7", "PUSHER_PUBLIC_HOST": "[::1]"},
    ],
)
def test_settings_that_can_work_are_taken(environ: dict[str, str]) -> None:
    assert load(environ).embedded == (
        "PUSHER_KEY" not in environ or not environ["PUSHER_KEY"].strip()
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_name_of_postgresql_will_do(scheme: str) -> None:
    url = load({"DATABASE_URL": f"{scheme}://user:word@db.internal:5433/chat"}).url

    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host) == ("user", "word", "db.internal")
    assert (url.port, url.database) == (5433, "chat")


@pytest.mark.parametrize(
    ("url", "file"),
    [("sqlite:///chat.db", "instance/chat.db"), ("sqlite:////data/chat.db", "/data/chat.db")],
)
def test_an_sqlite_path_is_relative_to_the_instance_folder(
    url: str, file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert load({"DATABASE_URL": url}).url.database == str(ROOT / file)


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes"])
def test_every_word_for_yes_is_understood(word: str) -> None:
    assert load({"EMBEDDED_HTTP_API": word}).embedded_http_api is True


def test_settings_never_show_their_secrets() -> None:
    settings = load({**HOSTED, "JWT_SECRET_KEY": LONG_KEY, "DATABASE_URL": "postgres://u:pass@h/d"})

    shown = f"{settings!r} {settings}"

    for secret in (KEYS["PUSHER_SECRET"], LONG_KEY, "pass@"):
        assert secret not in shown
    assert "'eu'" in shown


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("JWT_EXPIRES_SECONDS=11\nCORS_ORIGINS=https://a.example\n")
    monkeypatch.setattr("config.ROOT", tmp_path)
    monkeypatch.delenv("FLASK_SKIP_DOTENV", raising=False)
    monkeypatch.setenv("JWT_EXPIRES_SECONDS", "22")

    settings = load()

    assert settings.jwt_expires_seconds == 22
    assert settings.cors_origins == "https://a.example"


@pytest.mark.parametrize("command", [["-m", "flask", "run"], ["-c", "from app import app"]])
def test_a_wrong_setting_stops_the_start_with_a_sentence(
    command: list[str], tmp_path: Path
) -> None:
    keys = without(HOSTED, "PUSHER_APP_ID")

    end, said = python(*command, env=keys | {"INSTANCE_PATH": str(tmp_path)})

    assert end != 0
    assert "PUSHER_APP_ID missing" in said
    assert KEYS["PUSHER_SECRET"] not in said
    if "flask" in command:
        assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    def key(_: int) -> str:
        return Settings(instance_path=str(tmp_path / "instance")).jwt_key

    keys = at_once(16, key)

    file = tmp_path / "instance" / "jwt_secret_key"
    assert set(keys) == {file.read_text()}
    assert len(keys[0]) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.slow
def test_a_folder_without_hard_links_serves_too(tmp_path: Path) -> None:
    """As exFAT and some network mounts are."""
    require(Strace)
    make = "import config; print(config.load().jwt_key)"
    refuse = ("-e", "inject=link,linkat:error=EPERM", "-e", "trace=link,linkat", "-f", "-qq")
    command = ["strace", *refuse, "-o", str(tmp_path / "trace"), sys.executable, "-c", make]
    env = os.environ | {"INSTANCE_PATH": str(tmp_path / "instance")}

    def key(_: int) -> str:
        return subprocess.run(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True, text=True
        ).stdout

    keys = at_once(3, key)

    file = tmp_path / "instance" / "jwt_secret_key"
    assert set(keys) == {f"{file.read_text()}\n"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "INJECTED" in (tmp_path / "trace").read_text()


class Strace:
    @classmethod
    def lacks(cls) -> str | None:
        return None if shutil.which("strace") else "strace is missing (Debian: strace)"


# GET /api/config --------------------------------------------------------------------------------


def shown(make_api: Any, **changes: Any) -> dict[str, Any]:
    api: InProcess = make_api(**changes)
    answer = api.get("/api/config")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    assert found.pop("enabledTransports") == ["ws", "wss"]
    return found


OF_A_SERVER = {"pusher_app_id": "7", "pusher_key": "key", "pusher_secret": "hush"}


def test_a_front_end_of_hosted_channels_learns_the_cluster(make_api: Any) -> None:
    assert shown(make_api, **OF_A_SERVER, pusher_cluster="eu") == {
        "key": "key",
        "cluster": "eu",
        "wsHost": None,
        "wsPort": None,
        "wssPort": None,
        "forceTLS": True,
    }


@pytest.mark.parametrize(
    ("given", "host", "port", "tls"),
    [
        ({}, "pusher.internal", 443, True),
        ({"pusher_ssl": False}, "pusher.internal", 80, False),
        ({"pusher_port": 6001, "pusher_ssl": False}, "pusher.internal", 6001, False),
        ({"pusher_port": 6001, "pusher_public_host": "ws.example"}, "ws.example", 6001, True),
        ({"pusher_port": 6001, "pusher_public_port": 444}, "pusher.internal", 444, True),
        (
            {"pusher_ssl": False, "pusher_public_ssl": True, "pusher_public_port": 443},
            *("pusher.internal", 443, True),
        ),
        ({"pusher_cluster": "eu"}, "pusher.internal", 443, True),
    ],
)
def test_a_front_end_learns_the_self_hosted_address(
    make_api: Any, given: dict[str, Any], host: str, port: int, tls: bool
) -> None:
    found = shown(make_api, **OF_A_SERVER, pusher_host="pusher.internal", **given)

    assert (found["wsHost"], found["wsPort"], found["wssPort"]) == (host, port, port)
    assert found["forceTLS"] is tls
    assert isinstance(found["cluster"], str)


def test_the_embedded_server_is_where_the_request_went(tmp_path: Path) -> None:
    with ChatServer(INSTANCE_PATH=str(tmp_path)) as server:
        found = server.api.get("/api/config").json
        elsewhere = server.api.get("/api/config", headers={"Host": "chat.example"}).json

    assert found["key"] == (tmp_path / "embedded_key").read_text()
    assert (found["wsHost"], found["wsPort"], found["forceTLS"]) == (HOST, server.port, False)
    assert (elsewhere["wsHost"], elsewhere["wsPort"]) == ("chat.example", 80)


@pytest.mark.parametrize(("given", "word"), [("hosted", "hush"), ("embedded", "embedded_secret")])
def test_no_secret_is_ever_told(make_api: Any, settings: Settings, given: str, word: str) -> None:
    changes = {**OF_A_SERVER, "pusher_cluster": "eu"} if given == "hosted" else {}
    api: InProcess = make_api(**changes)

    body = api.get("/api/config").body.decode()

    secret = word if given == "hosted" else (settings.folder / word).read_text()
    assert secret not in body
    assert "app_id" not in body


def test_the_tests_run_with_the_shipped_settings(settings: Settings) -> None:
    """Only the place of the data and the cost of a hash differ."""
    shipped = load({})

    assert settings.password_hash == CHEAP_HASH
    assert (
        replace(
            settings,
            instance_path=shipped.instance_path,
            database_url=shipped.database_url,
            password_hash=shipped.password_hash,
        )
        == shipped
    )
