"""pusher-js as the tests drive it: the real client, in a Node process of its own."""

import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, Self, TypeVar

from tests.support.servers import NODE, NODE_MODULES, PATIENCE, require
from web.page import PUSHER_JS

T = TypeVar("T")

CLIENT = NODE / "client.mjs"


class SubscriptionRefused(Exception):
    def __init__(self, channel: str, status: int | str | None, message: str) -> None:
        super().__init__(f"{channel}: {status} {message}")
        self.channel, self.status, self.message = channel, status, message


@dataclass(frozen=True)
class Event:
    channel: str
    name: str
    data: Any
    time: float  # when Node had it, in seconds since 1970
    user_id: str | None  # who sent it: client events on presence channels only


class PusherJs:
    """One browser, as it were.

    with PusherJs() as ada:
        ada.connect(config, token, auth_url)
        ada.subscribe("private-chat-1")
        ada.wait_for("new_message")
    """

    def __init__(self, version: Literal[8, 4] = 8) -> None:
        require(type(self))
        self.state = "initialized"
        self.socket_id: str | None = None
        self.states: list[str] = []
        self.faults: list[Any] = []  # what pusher-js calls errors of the connection
        self.log: list[str] = []
        self._events: list[Event] = []
        self._numbers = count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()  # guards all of these
        self._node = subprocess.Popen(
            ["node", CLIENT, str(version)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def lacks(cls) -> str | None:
        if not shutil.which("node"):
            return "Node.js is missing (Debian: nodejs npm)"
        found = PUSHER_JS.exists() and (NODE_MODULES / "pusher-js-4").exists()
        return None if found else "pusher-js is missing (make node)"

    def connect(
        self,
        config: Mapping[str, Any],
        token: str | None = None,
        auth_url: str | None = None,
        timeout: float = PATIENCE,
        until: str = "connected",
        user_auth_url: str | None = None,
    ) -> None:
        """Connect with what GET /api/config says, and wait until that has led to this state."""
        urls = {"authUrl": auth_url, "userAuthUrl": user_auth_url}
        self._call("connect", config=dict(config), token=token, **urls)
        self.wait_for_state(until, timeout)

    def sign_in(self) -> dict[str, Any] | None:
        """Sign the user in at the server; what it knows of the user, if it has let them in."""
        user: dict[str, Any] | None = self._call("signIn")
        return user

    def disconnect(self) -> None:
        self._call("disconnect")

    def reconnect(self, timeout: float = PATIENCE) -> None:
        """Disconnect and connect at once, as on a new page: the events before are forgotten.

        Left to itself, pusher-js may take 15 seconds to find a server that was away. It may also
        have found it already, and the events of that connection say nothing of the new one.
        """
        socket_id = self.socket_id
        self._call("disconnect")
        self.clear()
        self._call("reconnect")
        self.wait_for_socket(socket_id, timeout)

    def subscribe(self, channel: str, timeout: float = PATIENCE) -> None:
        """Subscribe, and wait until the server has confirmed it."""
        answer = self._ask("subscribe", timeout, channel=channel)
        if error := answer.get("error"):
            raise SubscriptionRefused(channel, error.get("status"), error["message"])

    def unsubscribe(self, channel: str) -> None:
        self._call("unsubscribe", channel=channel)

    def trigger(self, channel: str, name: str, data: Any) -> bool:
        """Send a client event; false if it could not be sent."""
        return bool(self._call("trigger", channel=channel, name=name, data=data))

    def members(self, channel: str) -> dict[str, Any]:
        """`count`, `me` and `members` of a presence channel."""
        members: dict[str, Any] = self._call("members", channel=channel)
        return members

    @property
    def events(self) -> list[Event]:
        """All events so far, pusher-js's own ("pusher:subscription_succeeded") among them."""
        with self._changed:
            return list(self._events)

    def clear(self) -> None:
        """Forget the events so far."""
        with self._changed:
            self._events.clear()

    def wait_for(
        self,
        name: str,
        channel: str | None = None,
        predicate: Callable[[Event], bool] = lambda event: True,
        timeout: float = PATIENCE,
    ) -> Event:
        """The first such event, be it there already or yet to come."""

        def found() -> Event | None:
            candidates = (
                event
                for event in self._events
                if event.name == name and channel in (None, event.channel) and predicate(event)
            )
            return next(candidates, None)

        return self._wait(found, timeout, f"{name} on {channel or 'any channel'}")

    def wait_for_state(self, state: str, timeout: float = PATIENCE) -> None:
        self._wait(lambda: self.state == state, timeout, f"the state {state!r}")

    def wait_for_socket(self, other_than: str | None, timeout: float = PATIENCE) -> None:
        """Wait for the connection after the one that had this socket id, and was lost.

        Its state cannot tell: that stays "connected" for a second after the loss.
        """

        def found() -> bool:
            return self.state == "connected" and self.socket_id != other_than

        self._wait(found, timeout, f"a socket other than {other_than}")

    def close(self) -> None:
        assert self._node.stdin is not None
        with contextlib.suppress(BrokenPipeError):
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

    def _call(self, verb: str, **options: Any) -> Any:
        answer = self._ask(verb, PATIENCE, **options)
        assert "error" not in answer, f"{verb}: {answer['error']['message']}"
        return answer["result"]

    def _ask(self, verb: str, timeout: float, **options: Any) -> dict[str, Any]:
        assert self._node.stdin is not None
        with self._changed:
            number = next(self._numbers)
            print(
                json.dumps({"id": number, "verb": verb} | options),
                file=self._node.stdin,
                flush=True,
            )
        return self._wait(
            lambda: self._answers.pop(number, None), timeout, f"an answer to {verb} {options}"
        )

    def _wait(self, found: Callable[[], T | None], timeout: float, what: str) -> T:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (value := found()):
                left = deadline - time.monotonic()
                if left <= 0 or self.state == "gone":
                    raise AssertionError(
                        f"{what} did not come in {timeout} s; states: {self.states}, "
                        f"faults: {self.faults}, log: {self.log}, last: {self._events[-5:]}"
                    )
                self._changed.wait(left)
            return value

    def _read(self) -> None:
        assert self._node.stdout is not None
        with self._node.stdout as lines:
            for line in lines:
                with self._changed:
                    self._hear(line)
                    self._changed.notify_all()
        with self._changed:
            self.state = "gone"
            self._changed.notify_all()

    def _hear(self, line: str) -> None:
        said = _parsed(line)
        if "id" in said:
            self._answers[said["id"]] = said
        elif "event" in said:
            self._events.append(Event(**said["event"]))
        elif "state" in said:
            self.state, self.socket_id = said["state"], said["socketId"]
            self.states.append(self.state)
        elif "fault" in said:
            self.faults.append(said["fault"])
        else:
            self.log.append(said["log"])


def _parsed(line: str) -> dict[str, Any]:
    """What the line says; one that is not JSON is Node's own, in its last moments."""
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"log": line.rstrip()}
    return said
