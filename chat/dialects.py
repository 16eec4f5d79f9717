"""SQL expressions that SQLite and PostgreSQL spell differently.

They are functions, because SQLAlchemy compiles a statement with other elements of our own anew
each time.
"""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String, and_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from contract.names import MAX_ID


def starts_with(column: Any, prefix: str) -> ColumnElement[bool]:
    """Whether a text begins with a prefix: as a range, which both databases find in the index."""
    head = prefix.rstrip("\U0010ffff")  # nothing comes after it but what has another head
    if not head:
        return and_(column >= prefix)
    last = ord(head[-1])
    after = 0xE000 if last == 0xD7FF else last + 1  # surrogates are no characters
    return and_(column >= prefix, column < head[:-1] + chr(after))


class json_strings(FunctionElement[str]):
    """The strings of a JSON array as rows, for table_valued("value")."""

    inherit_cache = True
    type = String()


class iso(FunctionElement[str]):
    """A time as answers show it: ISO 8601 in UTC with microseconds and Z.

    The databases make it, because reading times and writing them in Python takes most of the time
    of a page of messages.
    """

    inherit_cache = True
    type = String()


class horizon(FunctionElement[int]):
    """The number of the oldest transaction that still writes to this database, or of the next one;
    on SQLite there is none to wait for.

    On PostgreSQL a higher number may become visible before a lower one. What is below the horizon
    is complete, so a reader may go on from the last number it has seen there. Ask it once in a
    transaction: PostgreSQL shows the activity of others as it was when first asked.
    """

    inherit_cache = True
    type = BigInteger()


@compiles(json_strings)
def _json_each(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **how)})"


@compiles(json_strings, "postgresql")
def _json_array_elements(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **how)} AS JSON))"


@compiles(iso)
def _text(element: Any, compiler: Any, **how: Any) -> str:
    # SQLite has stored it as text, with all six digits.
    return f"(replace({compiler.process(element.clauses, **how)}, ' ', 'T') || 'Z')"


@compiles(iso, "postgresql")
def _to_char(element: Any, compiler: Any, **how: Any) -> str:
    stored = compiler.process(element.clauses, **how)
    return f"""to_char({stored}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@compiles(horizon)
def _none(_element: object, _compiler: object, **_: Any) -> str:
    return str(MAX_ID)


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
