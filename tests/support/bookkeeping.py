"""Chats whose every act is written down, to compare the inboxes with."""

from collections.abc import Callable
from typing import Any

from tests.support.conversations import (
    Message,
    delete,
    edit,
    inbox,
    mark,
    ok,
    react,
    unreact,
)
from tests.support.people import Answer, Api, Person
from tests.support.sync_client import quoted

EMOJIS = "\N{GRINNING FACE}\N{THUMBS UP SIGN}\N{PARTY POPPER}"


class Bookkeeping:
    """Acts in two chats of three people, and knows what their inboxes then have to say."""

    def __init__(self, api: Api, number: int) -> None:
        self.ada, bob, eve = (api.sign_up(f"{name} {number}") for name in ("ada", "bob", "eve"))
        self.chats = [self.ada.asks(bob).json, eve.asks(self.ada).json]
        self.pairs = [(self.ada, bob), (self.ada, eve)]
        self.said: list[list[Message]] = [[], []]
        self.marks = [{self.ada.id: 0, peer.id: 0} for _, peer in self.pairs]

    def send(self, which: int, who: int, _: int) -> None:
        self._sent(which, who, lambda each: each.says(self.chats[which], "Hello", **self._key()))

    def send_file(self, which: int, who: int, some: int) -> None:
        def send(sender: Person) -> Answer:
            content = b"x" * (some + 1)
            return sender.sends(self.chats[which], "a.txt", content, **self._key())

        self._sent(which, who, send)

    def reply(self, which: int, who: int, some: int) -> None:
        for message, _ in self._one(which, some):
            sender, key = self.pairs[which][who], self._key()
            answer = sender.says(self.chats[which], "Yes", reply_to=message["id"], **key)
            assert answer.status == (409 if message["deleted_at"] else 201)
            if answer.status == 201:
                self._note(which, sender, answer)

    def react(self, which: int, who: int, some: int) -> None:
        for message, _ in self._one(which, some):
            answer = react(self.pairs[which][who], message, EMOJIS[some % len(EMOJIS)])
            assert answer.status == (409 if message["deleted_at"] else 200)
            if answer.status == 200:
                self._put(message, self.pairs[which][who].id, EMOJIS[some % len(EMOJIS)])
                assert answer.json == self._as_it_stands(which, message)

    def unreact(self, which: int, who: int, some: int) -> None:
        for message, _ in self._one(which, some):
            emoji, user = EMOJIS[some % len(EMOJIS)], self.pairs[which][who]
            for each in message["reactions"]:
                if each["emoji"] == emoji and user.id in each["users"]:
                    each["users"].remove(user.id)
            message["reactions"] = [each for each in message["reactions"] if each["users"]]
            answer = ok(unreact(user, message, emoji))
            assert answer == self._as_it_stands(which, message)

    def retry(self, which: int, _: int, some: int) -> None:
        for message, sender in self._one(which, some):
            if message["type"] != "Text":
                continue  # the bytes would be needed again
            rest = {"reply_to": message["reply_to"]["id"]} if message["reply_to"] else {}
            text, key = "Yes" if rest else "Hello", message["client_message_id"]
            answer = sender.says(self.chats[which], text, client_message_id=key, **rest)
            assert (answer.status, answer.json) == (200, self._as_it_stands(which, message))

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

    def _key(self) -> dict[str, str]:
        return {"client_message_id": f"c{len(self.said[0]) + len(self.said[1])}"}

    def _sent(self, which: int, who: int, send: Callable[[Person], Answer]) -> None:
        sender = self.pairs[which][who]
        self._note(which, sender, send(sender))

    def _note(self, which: int, sender: Person, answer: Answer) -> None:
        assert answer.status == 201, answer
        self.said[which].append(answer.json)
        self.marks[which][sender.id] = answer.json["id"]

    def _put(self, message: Message, user_id: int, emoji: str) -> None:
        for each in message["reactions"]:
            if each["emoji"] == emoji:
                each["users"] += [user_id] * (user_id not in each["users"])
                return
        message["reactions"].append({"emoji": emoji, "users": [user_id]})

    def _as_it_stands(self, which: int, message: Message) -> Message:
        """A message with what it quotes as that now stands."""
        of = message["reply_to"]
        found = [each for each in self.said[which] if of and each["id"] == of["id"]]
        return {**message, "reply_to": quoted(found[0]) if found else None}

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
            "last_message": (
                self._as_it_stands(which, self.said[which][-1]) if self.said[which] else None
            ),
            "unread": self._unread(which, person),
            "last_read_message_id": self.marks[which][person.id] or None,
            "peer_last_read_message_id": self.marks[which][peer.id] or None,
            "blocked": False,
            "muted": False,
        }
