"""A client that keeps up by /api/sync and dies by chance, and those who write meanwhile."""

import json
from collections import Counter
from pathlib import Path
from random import Random

from tests.support.conversations import (
    Chat,
    Message,
    changes,
    delete,
    edit,
    now,
    ok,
    react,
    unreact,
)
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

    @property
    def shown(self) -> dict[str, Message]:
        """The messages as it shows them: a quote is taken from the message that it is of."""
        kept = self.messages
        return {
            key: {
                **message,
                "reply_to": quoted(kept.get(str((message["reply_to"] or {}).get("id")))),
            }
            for key, message in kept.items()
        }

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


def quoted(message: Message | None) -> Message | None:
    """What a reply to a message quotes."""
    if message is None:
        return None
    members = ("id", "from_user", "type", "message", "deleted_at")
    return {name: message[name] for name in members} | {"message": message["message"][:200]}


class Writer:
    """It sends texts, files and replies, edits, deletes and reacts in the chats of one person."""

    def __init__(self, person: Person, chats: list[Chat], random: Random) -> None:
        self.person = person
        self.chats = chats
        self.random = random
        self.said: list[Message] = []
        #: Messages that may have come to look again as they did before.
        self.unreacted: set[int] = set()

    def act(self, number: int) -> None:
        acts = [self.send, self.send, self.send_file, self.reply, self.edit, self.delete]
        self.random.choice([*acts, self.react, self.react, self.unreact])(number)

    def send(self, number: int) -> None:
        chat = self.random.choice(self.chats)
        self.said.append(self.person.said(chat, f"{self.person.username} {number}"))

    def send_file(self, number: int) -> None:
        chat = self.random.choice(self.chats)
        answer = self.person.sends(chat, f"{number}.txt", b"Bytes", message=f"caption {number}")
        assert answer.status == 201, answer
        self.said.append(answer.json)

    def reply(self, number: int) -> None:
        chat, message = self._any()
        if message:
            answer = self.person.says(chat, f"reply {number}", reply_to=message["id"])
            assert answer.status in (201, 409), answer
            self.said += [answer.json] * (answer.status == 201)

    def edit(self, number: int) -> None:
        if self.said:
            message = self.random.choice(self.said)
            assert edit(self.person, message, f"edited {number}").status in (200, 409)

    def delete(self, _: int) -> None:
        if self.said:
            ok(delete(self.person, self.random.choice(self.said)))

    def react(self, _number: int) -> None:
        _, message = self._any()
        if message:
            emoji = self.random.choice("\N{GRINNING FACE}\N{THUMBS UP SIGN}\N{PARTY POPPER}")
            assert react(self.person, message, emoji).status in (200, 409)

    def unreact(self, _number: int) -> None:
        _, message = self._any()
        if message and message["reactions"]:
            self.unreacted.add(message["id"])
            ok(unreact(self.person, message, message["reactions"][0]["emoji"]))

    def _any(self) -> tuple[Chat, Message | None]:
        """One of the last messages of a chat, of either of the two."""
        chat = self.random.choice(self.chats)
        some = self.person.reads(chat, limit=5).json
        return chat, self.random.choice(some) if some else None
