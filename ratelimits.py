"""Rate limits: how often an address may do what, counted in this process or in Redis."""

import logging
import math
import threading
import time
from collections import deque
from typing import Any

from flask import request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from config import Settings

#: For how long a storage that did not answer is not asked.
AWAY_SECONDS = 30
OWN = "memory://"  # the counts of this process alone

log = logging.getLogger(f"app.{__name__}")


class Counts:
    """Those of this process for one limit: when each key was used within its window.

    limits has a storage in memory too, but that one never forgets a key, and goes through all of
    them at each use: whoever makes up names would slow down every login.
    """

    def __init__(self, limit: RateLimitItem) -> None:
        self._amount = limit.amount
        self._seconds = limit.get_expiry()
        self._lock = threading.Lock()
        self._used: dict[tuple[str, ...], deque[float]] = {}  # those used last are the last

    def test(self, key: tuple[str, ...]) -> bool:
        """Whether the key may be used now."""
        with self._lock:
            return len(self._recent(key)) < self._amount

    def hit(self, key: tuple[str, ...]) -> bool:
        """Use it, if it may be used."""
        with self._lock:
            recent = self._recent(key)
            if len(recent) >= self._amount:
                return False
            recent.append(time.monotonic())
            self._used.pop(key, None)
            self._used[key] = recent
            return True

    def wait(self, key: tuple[str, ...]) -> float:
        """Seconds until the oldest use is forgotten."""
        with self._lock:
            recent = self._recent(key)
            return recent[0] + self._seconds - time.monotonic() if recent else 0.0

    def _recent(self, key: tuple[str, ...]) -> deque[float]:
        since = time.monotonic() - self._seconds
        while self._used and self._used[oldest := next(iter(self._used))][-1] <= since:
            del self._used[oldest]
        recent = self._used.get(key, deque())
        while recent and recent[0] <= since:
            recent.popleft()
        return recent


class SharedCounts:
    """Those that all processes have in Redis. Raises limits.errors.StorageError."""

    def __init__(self, limiter: MovingWindowRateLimiter, limit: RateLimitItem) -> None:
        self._limiter = limiter
        self._limit = limit

    def test(self, key: tuple[str, ...]) -> bool:
        return self._limiter.test(self._limit, *key)

    def hit(self, key: tuple[str, ...]) -> bool:
        return self._limiter.hit(self._limit, *key)

    def wait(self, key: tuple[str, ...]) -> float:
        return self._limiter.get_window_stats(self._limit, *key).reset_time - time.time()


class RateLimits:
    """The limits of the settings, by name: login, register and default; an empty one is none.

    While Redis does not answer, this process counts for itself; it is asked again after
    AWAY_SECONDS.
    """

    def __init__(self, given: Settings) -> None:
        names = ("login", "register", "default") if given.ratelimit_enabled else ()
        rules = {name: getattr(given, f"ratelimit_{name}") for name in names}
        self._limits = {name: parse(rule) for name, rule in rules.items() if rule}
        self._own = {name: Counts(limit) for name, limit in self._limits.items()}
        self._uri = given.ratelimit_storage_uri
        self._opening = threading.Lock()
        self._opened: dict[str, SharedCounts] = {}
        self._away_until = 0.0

    def refuse_over(self, name: str, *key: str) -> None:
        """Raises TooManyRequests, with the seconds to wait, if the request's address has used up
        the limit (for each `key` it has one of its own)."""
        if name in self._limits and not self._ask("test", name, key):
            self._refuse(name, key)

    def add(self, name: str, *key: str) -> None:
        if name in self._limits:
            self._ask("hit", name, key)

    def spend(self, name: str, *key: str) -> None:
        """Both at once: for what counts whether it succeeds or not."""
        if name in self._limits and not self._ask("hit", name, key):
            self._refuse(name, key)

    def _refuse(self, name: str, key: tuple[str, ...]) -> None:
        wait = max(1, math.ceil(self._ask("wait", name, key)))
        raise TooManyRequests(f"Too many attempts. Try again in {wait} seconds.", retry_after=wait)

    def _ask(self, verb: str, name: str, key: tuple[str, ...]) -> Any:
        key = (name, *key, request.remote_addr or "")
        now, away_until = time.monotonic(), self._away_until
        if self._uri != OWN and now >= away_until:
            if away_until:
                self._away_until = now + AWAY_SECONDS  # nobody else need wait to find out
            try:
                answer = getattr(self._shared(name), verb)(key)
            except StorageError:
                self._away_until = now + AWAY_SECONDS
                log.warning("The storage of the rate limits does not answer; each process counts.")
            else:
                if away_until:
                    self._away_until = 0
                    log.warning("The storage of the rate limits answers again.")
                return answer
        return getattr(self._own[name], verb)(key)

    def _shared(self, name: str) -> SharedCounts:
        with self._opening:  # not before the first request: it imports and connects
            if not self._opened:
                storage: Any = storage_from_string(self._uri, wrap_exceptions=True)
                limiter = MovingWindowRateLimiter(storage)
                self._opened = {
                    each: SharedCounts(limiter, limit) for each, limit in self._limits.items()
                }
            return self._opened[name]
