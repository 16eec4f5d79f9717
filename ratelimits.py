"""Rate limits: how often an address may do what, counted in this process or in Redis."""

import logging
import math
import threading
import time
from typing import Any

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
        """Raises TooManyRequests, with the seconds to wait, if `key` has used up the limit."""
        limit = self._limits.get(name)
        if limit and not self._ask("test", limit, key):
            self._refuse(limit, key)

    def add(self, name: str, *key: str) -> None:
        if limit := self._limits.get(name):
            self._ask("hit", limit, key)

    def spend(self, name: str, *key: str) -> None:
        """Both at once: for what counts whether it succeeds or not."""
        limit = self._limits.get(name)
        if limit and not self._ask("hit", limit, key):
            self._refuse(limit, key)

    def _refuse(self, limit: RateLimitItem, key: tuple[str, ...]) -> None:
        end = self._ask("get_window_stats", limit, key).reset_time
        wait = max(1, math.ceil(end - time.time()))
        raise TooManyRequests(f"Too many tries. Wait {wait} seconds.", retry_after=wait)

    def _ask(self, verb: str, limit: RateLimitItem, key: tuple[str, ...]) -> Any:
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
