"""Streams: how many long answers are on their way at once."""

import threading
from collections import Counter

from flask import Response

from contract.errors import Busy

#: Long answers that a process sends at once, and those of them to one user.
MOST, MOST_OF_USER = 20, 10
RETRY_SECONDS = 5


class Streams:
    """Counts the answers that are read from the database while they are sent.

    Each holds a thread for as long as its client takes to read, and competes for the interpreter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_user: Counter[int] = Counter()

    def begin(self, user_id: int, response: Response) -> None:
        """Count an answer until it is sent or given up. Raises Busy."""
        with self._lock:
            if self._of_user.total() >= MOST or self._of_user[user_id] >= MOST_OF_USER:
                raise Busy("Too many long lists are being sent.", RETRY_SECONDS)
            self._of_user[user_id] += 1
        response.call_on_close(lambda: self._end(user_id))

    def _end(self, user_id: int) -> None:
        with self._lock:
            self._of_user[user_id] -= 1
            if not self._of_user[user_id]:
                del self._of_user[user_id]
