"""Column types and SQL expressions that SQLite and PostgreSQL spell differently."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, String, and_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

MAX_ID = 2**63 - 1

BigId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
Key = String().with_variant(String(collation="C"), "postgresql")  # compared by code point


def starts_with(column: Any, prefix: str) -> ColumnElement[bool]:
    """A range rather than LIKE: both databases find it in the index."""
    head = prefix.rstrip("\U0010ffff")  # nothing comes after it but what has another head
    if not head:
        return and_(column >= prefix)
    last = ord(head[-1])
    after = 0xE000 if last == 0xD7FF else last + 1  # surrogates are no characters
    return and_(column >= prefix, column < head[:-1] + chr(after))


# Functions, since SQLAlchemy compiles statements with other elements of our own anew each time.


class current_transaction(FunctionElement[int]):
    """This transaction's number on PostgreSQL; 0 on SQLite, whose writers come one by one."""

    inherit_cache = True
    type = BigInteger()


class next_change(FunctionElement[int]):
    """What orders the changes of messages: this transaction's number on PostgreSQL, on SQLite
    one more than any message has."""

    inherit_cache = True
    type = BigInteger()


class json_strings(FunctionElement[str]):
    """The strings of a JSON array as rows, for table_valued("value")."""

    inherit_cache = True
    type = String()


class iso(FunctionElement[str]):
    """A time as in answers: ISO 8601 in UTC with microseconds and Z. The databases make it, or
    Python would take most of the time of a page of messages to read times and to write them."""

    inherit_cache = True
    type = String()


class horizon(FunctionElement[int]):
    """The number of the oldest transaction that still runs (on SQLite none is in the way).

    On PostgreSQL a higher number may become visible before a lower one; but what is below the
    horizon is complete, and a reader may go on from the last number it has seen there.
    """

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
    # number completed, theirs is never below that of whoever went before them.
    return (
        "GREATEST(CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT),"
        " CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT) - 1)"
    )


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


@compiles(horizon, "postgresql")
def _oldest(_element: object, _compiler: object, **_: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"
