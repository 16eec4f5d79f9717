"""The numbers of transactions, by which changes and events are ordered.

SQLite has one writer at a time, so the order of commits is that of the ids. On PostgreSQL writers
run at once, and the number of a transaction says what may become visible before what.
"""

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

MAX_NUMBER = 2**63 - 1


class current_transaction(FunctionElement[int]):
    """This transaction's number on PostgreSQL; 0 on SQLite, whose writers come one by one."""

    inherit_cache = True
    type = BigInteger()


class next_change(FunctionElement[int]):
    """What orders the changes of all messages: this transaction's number on PostgreSQL, and on
    SQLite one more than any message has."""

    inherit_cache = True
    type = BigInteger()


@compiles(current_transaction)
def _zero(_element: object, _compiler: object, **_: Any) -> str:
    return "0"


@compiles(next_change)
def _one_more(_element: object, _compiler: object, **_: Any) -> str:
    return "(SELECT coalesce(max(transaction_id), 0) + 1 FROM messages)"


@compiles(current_transaction, "postgresql")
@compiles(next_change, "postgresql")
def _number(_element: object, _compiler: object, **_: Any) -> str:
    # Writers who queue for a row may have been numbered before their turn. Raised to the last
    # number completed, theirs is never below that of those who went before them.
    return (
        "GREATEST(CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT),"
        " CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT) - 1)"
    )


class horizon(FunctionElement[int]):
    """The number of the oldest transaction that still writes to this database, or of the next one;
    on SQLite there is none to wait for.

    On PostgreSQL a higher number may become visible before a lower one. What is below the horizon
    is complete, so a reader may go on from the last number it has seen there. Ask it once in a
    transaction: PostgreSQL shows the activity of others as it was when first asked.
    """

    inherit_cache = True
    type = BigInteger()


@compiles(horizon)
def _none(_element: object, _compiler: object, **_: Any) -> str:
    return str(MAX_NUMBER)


# The snapshot has all transactions of the server. One that is known to be another database's cannot
# write to ours; one that has ended since the snapshot is not known, and counts.
_HORIZON = """(SELECT coalesce(
  (SELECT min(CAST(CAST(running AS TEXT) AS BIGINT))
     FROM pg_snapshot_xip(pg_current_snapshot()) AS running
    WHERE CAST(running AS xid) NOT IN (
      SELECT backend_xid FROM pg_stat_activity
       WHERE datname <> current_database() AND backend_xid IS NOT NULL
      UNION ALL
      SELECT transaction FROM pg_prepared_xacts WHERE database <> current_database())),
  CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)))"""


@compiles(horizon, "postgresql")
def _oldest(_element: object, _compiler: object, **_: Any) -> str:
    return _HORIZON
