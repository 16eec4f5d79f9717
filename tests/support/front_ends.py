"""Front ends of the family: what they show, and what is done in them."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Self

from tests.support.people import PASSWORD, ChatServer
from tests.support.servers import HOST, NODE, NODE_MODULES, PATIENCE, require
from web.page import PUSHER_JS

NAMES = ["pusher-js-4", "laravel-echo-1", "laravel-echo-2", "ws", "xmlhttprequest"]
LIBRARIES = [PUSHER_JS, *(NODE_MODULES / name for name in NAMES)]


class Libraries:
    """What the front ends are made with."""

    @classmethod
    def lacks(cls) -> str | None:
        if not shutil.which("node"):
            return "Node.js is missing (Debian: nodejs npm)"
        missing = [path.name for path in LIBRARIES if not path.exists()]
        return f"{' and '.join(missing)} missing (make node)" if missing else None


class FrontEnd:
    """Somebody's front end, in a Node process of its own; the script is one of tests/node.

    with FrontEnd("react.mjs", server, "node") as adas:
        adas.does("logIn", username="ada", password=PASSWORD)
        adas.shows(lines=["bob: Hello!"])
    """

    def __init__(self, script: str, server: ChatServer, *options: str) -> None:
        require(Libraries)
        self.screen: dict[str, Any] = {}
        self._said: list[str] = []  # on the console
        self._numbers = count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._gone = False
        self._changed = threading.Condition()  # guards all of these
        self._node = subprocess.Popen(
            ["node", NODE / script, f"http://{HOST}:{server.port}", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def logs_in(self, username: str) -> None:
        self.does("logIn", username=username, password=PASSWORD)

    def does(self, verb: str, **wish: Any) -> Any:
        """What comes of it."""
        assert self._node.stdin is not None
        number = next(self._numbers)
        print(json.dumps({"id": number, "verb": verb} | wish), file=self._node.stdin, flush=True)
        self._wait(lambda: number in self._answers, f"an answer to {verb}")
        answer = self._answers[number]
        assert "error" not in answer, f"{verb}: {answer['error']}"
        return answer["result"]

    def shows(self, **parts: Any) -> None:
        """Wait until these parts of the screen are so."""
        self._wait(
            lambda: all(self.screen.get(name) == value for name, value in parts.items()),
            f"a screen with {parts}",
        )

    def close(self) -> None:
        assert self._node.stdin is not None
        with suppress(BrokenPipeError):
            self._node.stdin.close()  # upon which it exits
        try:
            self._node.wait(5)
        except subprocess.TimeoutExpired:
            self._node.kill()
            self._node.wait()
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not true():
                left = deadline - time.monotonic()
                assert left > 0, f"{what} did not come; {self._so_far()}"
                assert not self._gone, f"it ended before {what}; {self._so_far()}"
                self._changed.wait(left)

    def _so_far(self) -> str:
        return f"the screen: {self.screen}, the console: {self._said}"

    def _read(self) -> None:
        assert self._node.stdout is not None
        with self._node.stdout as lines:
            for line in lines:
                with self._changed:
                    self._hear(line)
                    self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _hear(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:  # Node's own, in its last moments
            said = {"log": line.rstrip()}
        if "id" in said:
            self._answers[said["id"]] = said
        elif "screen" in said:
            self.screen = said["screen"]
        else:
            self._said.append(said["log"])


def they_open_a_chat(adas: FrontEnd, bobs: FrontEnd) -> None:
    """Both log in, ada asks bob for a chat, and both hear it."""
    adas.logs_in("ada")
    bobs.logs_in("bob")
    adas.shows(people=["ada", "bob"])
    bobs.shows(ready=True)
    adas.does("chatWith", name="bob")
    for each in (adas, bobs):
        each.shows(chats=["private-chat_1_2"])
