"""A client that keeps up by /api/sync and dies by chance, and those who write meanwhile."""

import json
from collections import Counter
from pathlib import Path
from random import Random

from tests.support.conversations import Chat, Message, changes, delete, edit, now, ok
from tests.support.people import Person


class Client:
    """It keeps what it was told, with its cursor, in a file, and dies by chance."""

    def __init__(self, person: Person, path: Path, random: Random) -> None:
        self.person = person
        self.path = path
        self.random = random
        self.applied: Counter[str] = Counter()
        path.write_text(json.dumps({"cursor": now(person), "messages": {}}))

    @property
    def messages(self) -> dict[str, Message]:
        kept: dict[str, Message] = json.loads(self.path.read_text())["messages"]
        return kept

    def step(self) -> bool:
        """Ask once, and say whether there is more."""
        kept = json.loads(self.path.read_text())
        page = changes(self.person, kept["cursor"], limit=self.random.randint(1, 5))
        if self.random.random() < 0.3:
            return True  # killed: what it was told is forgotten, and asked for again
        for message in page["messages"]:
            kept["messages"][str(message["id"])] = message
            self.applied[json.dumps(message)] += 1
        ids = [message["id"] for message in page["messages"]]
        assert len(set(ids)) == len(ids), "each message once"
        self.path.write_text(json.dumps({**kept, "cursor": page["cursor"]}))
        more: bool = page["more"]
        return more


class Writer:
    """It sends, edits and deletes in the chats of one person."""

    def __init__(self, person: Person, chats: list[Chat], random: Random) -> None:
        self.person = person
        self.chats = chats
        self.random = random
        self.said: list[Message] = []

    def act(self, number: int) -> None:
        kind = self.random.choice(["send", "send", "edit", "delete"])
        if kind == "send" or not self.said:
            chat = self.random.choice(self.chats)
            self.said.append(self.person.said(chat, f"{self.person.username} {number}"))
            return
        message = self.random.choice(self.said)
        if kind == "edit":
            assert edit(self.person, message, f"edited {number}").status in (200, 409)
        else:
            ok(delete(self.person, message))
