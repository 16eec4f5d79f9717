"""Delivery: what becomes of a batch of events at the Pusher server, over the official client."""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Event as Flag
from typing import Any

import requests
from pusher.errors import PusherBadRequest, PusherBadStatus, PusherError

from chat.events import notified_user
from database import AnyRow

BATCH = 10  # events: the most that a Pusher server takes in one call
TRIES = 4  # of an event that the server refuses, while it takes others
TRIES_IF_UNCLEAR = 8  # of one that fails in any other way, while the server takes others
PROBE = {"channel": "outbox-probe", "name": "probe", "data": "{}"}  # which any server takes
FIRST_DELAY, LAST_DELAY = 0.2, 5.0  # seconds; with the client's time-out, recovery is seen in 10

log = logging.getLogger(f"app.{__name__}")


class Failure(Exception):
    """The server has not taken what a call carried, as far as we know."""


class Refusal(Failure):
    """The server says that this is because of what the call carried."""


class Outage(Failure):
    """The server cannot be reached, does not want us, or does not say why: likely no event's
    fault."""


@dataclass
class Batch:
    """A batch on its way, and what came of it."""

    events: list[AnyRow]
    again: bool = False  # whether the last one failed
    started: float = 0.0
    taken: list[int] = field(default_factory=list)
    refused: list[AnyRow] = field(default_factory=list)
    set_aside: list[tuple[AnyRow, str]] = field(default_factory=list)
    outage: str = ""

    @property
    def arrived(self) -> bool:
        """Whether the server has answered for at least one event."""
        return bool(self.taken or self.refused or self.set_aside)


class ServerHealth:
    """Whether the server is there, as the deliveries show, and when to try it again."""

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.retry_at = 0.0

    def note(self, batch: Batch, now: float) -> None:
        """Learn from a batch. Of several that failed together only the first one counts."""
        if batch.arrived and self.failures:
            log.warning("The Pusher server is back.")
            self.failures = 0
        if batch.outage and (not self.failures or batch.started >= self.retry_at):
            if not self.failures:
                log.warning("The Pusher server is away; events wait: %s", batch.outage)
            self.retry_at = now + delay(self.failures)
            self.failures += 1


def batches(waiting: Sequence[AnyRow], most: int) -> list[list[AnyRow]]:
    """At most `most` batches of the oldest events; all of a channel's are in one of them.

    No more batches than needed, and the channels spread over them: each can be on its way once.
    """
    channels: dict[str, list[AnyRow]] = {}
    for each in waiting:
        channels.setdefault(each.channel, []).append(each)
    made: list[list[AnyRow]] = [[] for _ in range(min(most, math.ceil(len(waiting) / BATCH)))]
    for events in channels.values():
        emptiest = min(made, key=len)
        emptiest += events[: BATCH - len(emptiest)]
    return [batch for batch in made if batch]


def delay(failures: int) -> float:
    """Seconds until the next try; jitter keeps several processes from asking in step."""
    return min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311


class Courier:
    """Delivers batches over a client of its own, in a thread of its own."""

    def __init__(
        self,
        connect: Callable[[], Any],
        heed: Callable[[Any, AnyRow], Any],
        stopping: Flag,
        has_lease: Callable[[], bool],
    ) -> None:
        """`connect` makes an official Pusher client, and `heed` does what a notice asks for.
        `has_lease` is asked before each call, and without it nothing is sent: this process may have
        been frozen, and replaced, since the batch was read."""
        self._connect = connect
        self._heed = heed
        self._stopping = stopping
        self._has_lease = has_lease
        self._client: Any = None

    def run(self, outgoing: "SimpleQueue[Batch | None]", done: Callable[[Batch], None]) -> None:
        """Deliver what comes, until a None comes."""
        while batch := outgoing.get():
            self.deliver(batch)
            done(batch)

    def deliver(self, batch: Batch) -> None:
        """Try one batch, and note in it what came of it."""
        batch.started = time.monotonic()
        try:
            self._client = self._client or self._connect()
            self._deliver_batch(batch)
        except Outage as outage:
            batch.outage = str(outage)
        except Exception as error:  # ours, but the events must not be lost with the thread
            log.exception("A delivery failed.")
            batch.outage = type(error).__name__

    def _deliver_batch(self, batch: Batch) -> None:
        # One bad event has the whole batch refused: then they go singly, and only it fails.
        if not any(each.refusals or is_notice(each) for each in batch.events):
            if not self._has_lease():
                return
            try:
                publish(self._client, [wire(each) for each in batch.events])
            except Refusal:
                pass
            except Outage:
                if not batch.again:
                    raise
            else:
                batch.taken = [each.id for each in batch.events]
                return
        self._deliver_singly(batch)

    def _deliver_singly(self, batch: Batch) -> None:
        waiting = set()  # channels whose next event has failed
        for each in batch.events:
            if each.channel in waiting or self._stopping.is_set() or not self._has_lease():
                continue
            try:
                if is_notice(each):
                    ask(partial(self._heed, self._client, each))
                else:
                    publish(self._client, [wire(each)])
            except Failure as failure:
                # Only if the server takes another event now is it this one's fault.
                probe(self._client)
                tries = TRIES if isinstance(failure, Refusal) else TRIES_IF_UNCLEAR
                if each.refusals + 1 >= tries:
                    batch.set_aside.append((each, str(failure)))
                else:
                    batch.refused.append(each)
                    waiting.add(each.channel)
            else:
                batch.taken.append(each.id)


def is_notice(row: AnyRow) -> bool:
    """Whether it is for the owner of the connections, and not for subscribers."""
    return notified_user(row.channel) is not None


def wire(row: AnyRow) -> dict[str, str]:
    """An event as the official client takes it."""
    left_out = {"socket_id": row.socket_id} if row.socket_id else {}
    return {"channel": row.channel, "name": row.name, "data": row.data, **left_out}


def probe(client: Any) -> None:
    """Raise Outage unless the server takes an event that any server takes."""
    try:
        publish(client, [dict(PROBE)])
    except Refusal as refusal:
        raise Outage(f"it refuses every event: {refusal}") from None


def publish(client: Any, events: list[dict[str, str]]) -> None:
    """Have events published by one call. Raises Outage or Refusal.

    The client's own check of sizes measures memory, not bytes, so the data goes already encoded.
    """
    ask(partial(client.trigger_batch, events, already_encoded=True))


def ask(call: Callable[[], Any]) -> None:
    """One call of the official client. Raises Outage or Refusal."""
    try:
        answer = call()
    except PusherBadRequest as error:
        raise Refusal(f"400: {error}"[:300]) from None
    except PusherBadStatus as error:
        kind = Refusal if str(error)[:3] in ("413", "422") else Outage
        raise kind(str(error)[:300]) from None
    except PusherError as error:  # 401 and 403: wrong keys, or no quota left
        raise Outage(f"{type(error).__name__}: {error}"[:300]) from None
    except requests.RequestException as error:  # its text has the signed address
        raise Outage(type(error).__name__) from None
    except ValueError:
        raise Outage("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Outage("the answer is not a JSON object")
    if "error" in answer:  # some servers tell of errors with status 200
        kind = Refusal if answer.get("code") in (400, 413, 422) else Outage
        raise kind(f"{answer.get('code')}: {answer['error']}"[:300])
