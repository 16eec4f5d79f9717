"""Rights: by what the application has signed for a connection, and what closes when that ends.

A right is a name that the application chooses, such as that of a login. The loop's thread is the
only one that calls this, and what it knows leaves with the connection. So nothing is ever forgotten
of a connection that is open.
"""

from gateway.connections import NEVER, Connection
from gateway.limits import Limits

TOO_MANY = "Too many connections by one right"
TOO_MANY_RIGHTS = "Too many rights of one connection"


class Rights:
    """The connections of each right, oldest first."""

    def __init__(self, limits: Limits) -> None:
        self._holders: dict[str, dict[Connection, None]] = {}  # a set that knows its oldest
        self._limits = limits

    @property
    def count(self) -> int:
        """How many rights have connections."""
        return len(self._holders)

    def give(self, connection: Connection, right: str, until: float) -> None:
        """Note that a connection was signed for by a right, which expires at a time of the
        monotonic clock. Where there are too many, the oldest connection is closed (4200)."""
        holders = self._holders.setdefault(right, {})
        holders.pop(connection, None)
        holders[connection] = None
        connection.rights[right] = until
        connection.expires = min(connection.rights.values())
        connection.touch()
        if len(holders) > self._limits.connections_per_right:
            oldest = next(iter(holders))
            self._take(oldest, right)
            oldest.close(4200, TOO_MANY)
        if len(connection.rights) > self._limits.rights:
            connection.close(4200, TOO_MANY_RIGHTS)

    def end(self, right: str, code: int, reason: str) -> None:
        """Close the connections of a right."""
        for connection in list(self._holders.get(right, ())):
            self._take(connection, right)
            connection.close(code, reason)

    def renew(self, right: str, heir: str, until: float) -> None:
        """Let a right's connections belong to another one, which follows it."""
        for connection in list(self._holders.get(right, ())):
            self._take(connection, right)
            self.give(connection, heir, until)

    def leave(self, connection: Connection) -> None:
        """Know nothing more of a connection."""
        for right in list(connection.rights):
            self._take(connection, right)

    def _take(self, connection: Connection, right: str) -> None:
        if connection.rights.pop(right) != NEVER:
            connection.expires = min(connection.rights.values(), default=NEVER)
        del self._holders[right][connection]
        if not self._holders[right]:
            del self._holders[right]
