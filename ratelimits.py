"""Rate limits: how often an address may do what, counted in this process or in Redis."""

import logging
import math
import threading
import time
from typing import Any

from flask import request
from limits import parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from config import Settings

#: For how long a storage that did not answer is not asked.
AWAY_SECONDS = 30
OWN = "memory://"  # the counts of this process alone

log = logging.getLogger(f"app.{__name__}")


class RateLimits:
    """The limits of the settings, by name: login, register and default; an empty one is none.

    While Redis does not answer, this process counts for itself; it is asked again after
    AWAY_SECONDS.
    """

    def __init__(self, given: Settings) -> None:
        names = ("login", "register", "default") if given.ratelimit_enabled else ()
        rules = {name: getattr(given, f"ratelimit_{name}") for name in names}
        self._limits = {name: parse(rule) for name, rule in rules.items() if rule}
        self._uri = given.ratelimit_storage_uri
        self._opening = threading.Lock()
        self._opened: dict[str, MovingWindowRateLimiter] = {}
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
        end = self._ask("get_window_stats", name, key).reset_time
        wait = max(1, math.ceil(end - time.time()))
        raise TooManyRequests(f"Too many attempts. Try again in {wait} seconds.", retry_after=wait)

    def _ask(self, verb: str, name: str, key: tuple[str, ...]) -> Any:
        limit, key = self._limits[name], (name, *key, request.remote_addr or "")
        now, away_until = time.monotonic(), self._away_until
        if now >= away_until:
            if away_until:
                self._away_until = now + AWAY_SECONDS  # nobody else need wait to find out
            try:
                answer = getattr(self._counts(self._uri), verb)(limit, *key)
            except StorageError:
                self._away_until = now + AWAY_SECONDS
                log.warning("The storage of the rate limits does not answer; each process counts.")
            else:
                if away_until:
                    self._away_until = 0
                    log.warning("The storage of the rate limits answers again.")
                return answer
        return getattr(self._counts(OWN), verb)(limit, *key)

    def _counts(self, uri: str) -> MovingWindowRateLimiter:
        with self._opening:  # not before the first request: a storage starts a thread
            if uri not in self._opened:
                storage: Any = storage_from_string(uri, wrap_exceptions=True)
                self._opened[uri] = MovingWindowRateLimiter(storage)
            return self._opened[uri]
