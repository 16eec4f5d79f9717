"""Rate limits: how often an address may do what, counted in this process or in Redis.

Windows are fixed: one begins with the first use that is counted, and ends after the limit's time.
"""

import logging
import math
import threading
import time
from typing import Any

from flask import request
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from config import Settings
from contract.errors import RateLimited

#: For how long a storage that did not answer is not asked.
AWAY_SECONDS = 30
OWN = "memory://"  # the counts of this process alone

log = logging.getLogger(f"app.{__name__}")


class RateLimits:
    """The limits of the settings, by name: login, register and default; an empty one is none.

    While Redis does not answer, this process counts for itself. Redis is asked again after
    AWAY_SECONDS.
    """

    def __init__(self, settings: Settings) -> None:
        names = ("login", "register", "default") if settings.ratelimit_enabled else ()
        rules = {name: getattr(settings, f"ratelimit_{name}") for name in names}
        self._limits = {name: parse(rule) for name, rule in rules.items() if rule}
        self._uri = settings.ratelimit_storage_uri
        self._opening = threading.Lock()
        self._own: FixedWindowRateLimiter | None = None
        self._shared: FixedWindowRateLimiter | None = None
        self._away_until = 0.0

    def check(self, name: str, *key: str) -> None:
        """Raise RateLimited, with the seconds to wait, if the request's address has used up the
        limit (for each `key` it has one of its own)."""
        if name in self._limits and not self._ask("test", name, key):
            self._refuse(name, key)

    def hit(self, name: str, *key: str) -> None:
        """Count one use, and raise RateLimited if it is one too many."""
        if name in self._limits and not self._ask("hit", name, key):
            self._refuse(name, key)

    def count(self, name: str, *key: str) -> None:
        """Count one use that has happened, whether it was one too many or not."""
        if name in self._limits:
            self._ask("hit", name, key)

    def _refuse(self, name: str, key: tuple[str, ...]) -> None:
        left = self._ask("get_window_stats", name, key).reset_time - time.time()
        if self._uri != OWN:
            left += 0.5  # Redis rounds to whole seconds, and who waits as told must get in
        raise RateLimited(max(1, math.ceil(left)))

    def _ask(self, verb: str, name: str, key: tuple[str, ...]) -> Any:
        """What the library's limiter says, over Redis or, while that is away, over memory."""
        arguments = (self._limits[name], name, *key, request.remote_addr or "")
        now, away_until = time.monotonic(), self._away_until
        if self._uri != OWN and now >= away_until:
            if away_until:
                self._away_until = now + AWAY_SECONDS  # nobody else need wait to find out
            try:
                answer = getattr(self._over_redis(), verb)(*arguments)
            except StorageError:
                self._away_until = now + AWAY_SECONDS
                log.warning("The storage of the rate limits does not answer; each process counts.")
            else:
                if away_until:
                    self._away_until = 0
                    log.warning("The storage of the rate limits answers again.")
                return answer
        return getattr(self._over_memory(), verb)(*arguments)

    # Neither before the first request: the one starts a thread, the other imports and connects.

    def _over_memory(self) -> FixedWindowRateLimiter:
        with self._opening:
            self._own = self._own or FixedWindowRateLimiter(MemoryStorage())
            return self._own

    def _over_redis(self) -> FixedWindowRateLimiter:
        with self._opening:
            if self._shared is None:
                storage: Any = storage_from_string(self._uri, wrap_exceptions=True)
                self._shared = FixedWindowRateLimiter(storage)
            return self._shared
