"""Chats whose every act is written down, to compare the inboxes with."""

from typing import Any

from tests.support.conversations import Message, delete, edit, inbox, mark, ok
from tests.support.people import Api, Person


class Bookkeeping:
    """Acts in two chats of three people, and knows what their inboxes then have to say."""

    def __init__(self, api: Api, number: int) -> None:
        self.ada, bob, eve = (api.sign_up(f"{name} {number}") for name in ("ada", "bob", "eve"))
        self.chats = [self.ada.asks(bob).json, eve.asks(self.ada).json]
        self.pairs = [(self.ada, bob), (self.ada, eve)]
        self.said: list[list[Message]] = [[], []]
        self.marks = [{self.ada.id: 0, peer.id: 0} for _, peer in self.pairs]

    def send(self, which: int, who: int, _: int) -> None:
        number = len(self.said[0]) + len(self.said[1])
        sender = self.pairs[which][who]
        message = sender.said(self.chats[which], "Hello", client_message_id=f"c{number}")
        self.said[which].append(message)
        self.marks[which][sender.id] = message["id"]

    def retry(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            key = message["client_message_id"]
            answer = sender.says(self.chats[which], "Hello", client_message_id=key)
            assert (answer.status, answer.json) == (200, message)

    def edit(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            answer = edit(sender, message, f"edited {some}")
            assert answer.status == (409 if message["deleted_at"] else 200)
            if answer.status == 200:
                message.update(answer.json)

    def delete(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            message.update(ok(delete(sender, message)))

    def read(self, which: int, who: int, some: int) -> None:
        reader = self.pairs[which][who]
        for message, _ in self._one(which, some):
            self.marks[which][reader.id] = max(self.marks[which][reader.id], message["id"])
            answer = ok(mark(reader, self.chats[which], message))
            assert answer["unread"] == self._unread(which, reader)
            assert answer["last_read_message_id"] == self.marks[which][reader.id]

    def check(self) -> None:
        for which, (_, peer) in enumerate(self.pairs):
            assert inbox(peer) == [self._entry(which, peer)]
        entries = [self._entry(which, self.ada) for which in (0, 1)]
        latest = [said[-1]["id"] if said else which - 1 for which, said in enumerate(self.said)]
        assert inbox(self.ada) == (entries if latest[0] > latest[1] else entries[::-1])

    def _one(self, which: int, some: int) -> list[tuple[Message, Person]]:
        """One message of the chat with its sender; an empty list if there is none."""
        said = self.said[which]
        chosen = said[-1 - some % len(said) :][:1] if said else []
        people = {person.id: person for person in self.pairs[which]}
        return [(message, people[message["from_user"]]) for message in chosen]

    def _unread(self, which: int, person: Person) -> int:
        return sum(
            message["id"] > self.marks[which][person.id]
            and message["from_user"] != person.id
            and not message["deleted_at"]
            for message in self.said[which]
        )

    def _entry(self, which: int, person: Person) -> dict[str, Any]:
        (peer,) = (each for each in self.pairs[which] if each is not person)
        return {
            "channel_id": self.chats[which]["channel_id"],
            "channel_name": self.chats[which]["channel_name"],
            "user": peer.shown,
            "last_message": self.said[which][-1] if self.said[which] else None,
            "unread": self._unread(which, person),
            "last_read_message_id": self.marks[which][person.id] or None,
            "peer_last_read_message_id": self.marks[which][peer.id] or None,
            "blocked": False,
        }
