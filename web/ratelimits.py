"""Rate limits: how often an address or a user may do what, counted in this process or in Redis.

Windows are fixed: one begins with the first use that is counted, and ends after the limit's time.
"""

import logging
import math
import threading
import time
from typing import Any

from flask import g
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from config import Settings
from contract.errors import RateLimited
from settings.checks import RATE_LIMITS
from web import addresses

#: For how long a storage that did not answer is not asked.
AWAY_SECONDS = 30
#: By how much the clock steps back before counting begins anew.
STEP_SECONDS = 1
OWN = "memory://"  # the counts of this process alone
#: Limits that each address has for itself; the others are those of their key alone.
OF_ADDRESS = {"login", "register", "default"}
#: Attempts at a name that has used up its limit "name".
ATTEMPTS = "1 per minute"

log = logging.getLogger(f"app.{__name__}")


class RateLimits:
    """The limits of the settings, by name, and "attempts"; an empty one is none.

    While Redis does not answer, this process counts for itself. Redis is asked again after
    AWAY_SECONDS. A process that counts for itself begins anew if its clock has stepped back.
    """

    def __init__(self, settings: Settings) -> None:
        rules = {name: getattr(settings, f"ratelimit_{name}") for name in RATE_LIMITS}
        rules["attempts"] = ATTEMPTS
        given = rules if settings.ratelimit_enabled else {}
        self._limits = {name: parse(rule) for name, rule in given.items() if rule}
        self._uri = settings.ratelimit_storage_uri
        self._opening = threading.Lock()
        self._own: FixedWindowRateLimiter | None = None
        self._shared: FixedWindowRateLimiter | None = None
        self._away_until = 0.0
        self._last_asked = 0.0

    def check(self, name: str, *key: str) -> None:
        """Raise RateLimited, with the seconds to wait, if the limit is used up. Each `key` has one
        of its own."""
        if self.is_used_up(name, *key):
            self._refuse(name, key)

    def is_used_up(self, name: str, *key: str) -> bool:
        """Whether one more use would be too many."""
        return name in self._limits and not self._ask("test", name, key)

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
        log.warning(
            "The limit '%s' refuses a request: address %s, user %s.",
            name,
            addresses.of_client(),
            g.get("user_id", "unknown"),
        )
        raise RateLimited(max(1, math.ceil(left)))

    def _ask(self, verb: str, name: str, key: tuple[str, ...]) -> Any:
        """What the library's limiter says, over Redis or, while that is away, over memory."""
        if name in OF_ADDRESS:
            key = (*key, addresses.of_client())
        arguments = (self._limits[name], name, *key)
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
            before, self._last_asked = self._last_asked, time.time()
            # Windows end by this clock. If it has stepped back, they would go on for as long.
            stepped_back = self._last_asked < before - STEP_SECONDS
            if self._own is None or stepped_back:
                self._own = FixedWindowRateLimiter(MemoryStorage())
            return self._own

    def _over_redis(self) -> FixedWindowRateLimiter:
        with self._opening:
            if self._shared is None:
                storage: Any = storage_from_string(self._uri, wrap_exceptions=True)
                self._shared = FixedWindowRateLimiter(storage)
            return self._shared
