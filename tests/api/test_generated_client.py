"""A client that openapi-python-client makes of the document works as it stands."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.endpoints import ENDPOINTS
from tests.support.people import PASSWORD, ChatServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture(scope="module")
def generated(server: ChatServer, folder: Path) -> Iterator[Callable[[str], Any]]:
    """Imports a module of the client."""
    (folder / "settings.yml").write_text("post_hooks: []\n")
    (folder / "openapi.json").write_bytes(server.api.get("/api/openapi.json").body)
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", "openapi.json", "--config", "settings.yml"),
            *("--output-path", "generated_client"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # It knows no JSON lines; nothing else may be beyond it.
    warnings = [line for line in made.stderr.splitlines() if line.startswith("WARNING")]
    assert warnings == ["WARNING parsing GET /api/me/export within account."], made.stderr

    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"generated_client.{name}")
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each.startswith("generated_client")]:
        del sys.modules[name]


def test_every_module_of_a_generated_client_can_be_imported(
    server: ChatServer, generated: Callable[[str], Any], folder: Path
) -> None:
    modules = sorted((folder / "generated_client/api").glob("*/*.py"))
    names = [f"api.{path.parent.name}.{path.stem}" for path in modules if path.stem != "__init__"]
    # Wherever a body may be of two kinds, this generator forgets an import.
    for name in ("pusher_auth", "pusher_user_auth"):
        names.remove(f"api.chatting.{name}")

    found = [generated(name) for name in names]

    assert len(found) == len(ENDPOINTS) - 2


def test_a_generated_client_registers_chats_and_leaves(
    server: ChatServer, generated: Callable[[str], Any]
) -> None:
    models = generated("models")
    address = f"http://127.0.0.1:{server.port}"

    def ask(name: str, client: Any, *path: Any, **parameters: Any) -> Any:
        return generated(f"api.{name}").sync(*path, client=client, **parameters)

    with generated("client").Client(base_url=address) as nobody:
        registered = {
            name: ask(
                "start.register",
                nobody,
                body=models.Registration(username=name, password=PASSWORD),
            )
            for name in ("ada", "bob")
        }
        login = ask("start.login", nobody, body=models.Login(username="ada", password=PASSWORD))
        refused = ask("start.login", nobody, body=models.Login(username="ada", password="wrong"))
    assert isinstance(refused, models.Error)
    assert refused.code == models.ErrorCode.UNAUTHORIZED
    bob = registered["bob"].data

    with generated("client").AuthenticatedClient(base_url=address, token=login.data.token) as ada:
        users = ask("chatting.users", ada, limit=10)
        assert [user.username for user in users] == ["ada", "bob"]
        chat = ask("chatting.request_chat", ada, body=models.ChatRequest(to_user=bob.id))
        assert isinstance(chat, models.Chat)
        message = models.NewMessage(channel=chat.channel_id, message="Hello, Bob!")
        sent = ask("chatting.send_message", ada, body=message)
        assert ask("chatting.get_message", ada, chat.channel_name, limit=5) == [sent]
        (summary,) = ask("conversations.chats", ada)
        assert summary.last_message == sent
        edited = ask("conversations.edit_message", ada, sent.id, body=models.Edit(message="Hi!"))
        assert (edited.message, edited.deleted_at) == ("Hi!", None)
        deleted = ask("conversations.delete_message", ada, sent.id)
        assert deleted.message == ""
        changes = ask("conversations.sync", ada)
        assert (changes.messages, changes.more) == ([], False)
        lines = generated("api.account.export").sync_detailed(client=ada).content.splitlines()
        assert len(lines) == 3
        left = generated("api.account.logout").sync_detailed(client=ada)
        assert left.status_code == 204
        again = ask("account.me", ada)
        assert (again.status, again.code) == ("error", models.ErrorCode.UNAUTHORIZED)
