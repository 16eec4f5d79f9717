"""SQL expressions that SQLite and PostgreSQL spell differently.

They are functions, because SQLAlchemy compiles a statement with other elements of our own anew
each time.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from sqlalchemy import JSON, ColumnElement, String, and_, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


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


def json_object(**members: Any) -> ColumnElement[Any]:
    """A JSON object of these columns, read as a dictionary."""
    names: Iterable[Any] = (literal_column(f"'{name}'") for name in members)
    return _json_object(*chain.from_iterable(zip(names, members.values(), strict=True)))


class _json_object(FunctionElement[Any]):
    inherit_cache = True
    type = JSON()


class iso(FunctionElement[str]):
    """A time as answers show it: ISO 8601 in UTC with microseconds and Z.

    The databases make it, because reading times and writing them in Python takes most of the time
    of a page of messages.
    """

    inherit_cache = True
    type = String()


@compiles(json_strings)
def _json_each(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **how)})"


@compiles(json_strings, "postgresql")
def _json_array_elements(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **how)} AS JSON))"


@compiles(_json_object)
def _object(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_object({compiler.process(element.clauses, **how)})"


@compiles(_json_object, "postgresql")
def _build_object(element: Any, compiler: Any, **how: Any) -> str:
    return f"json_build_object({compiler.process(element.clauses, **how)})"


@compiles(iso)
def _text(element: Any, compiler: Any, **how: Any) -> str:
    # SQLite has stored it as text, with all six digits.
    return f"(replace({compiler.process(element.clauses, **how)}, ' ', 'T') || 'Z')"


@compiles(iso, "postgresql")
def _to_char(element: Any, compiler: Any, **how: Any) -> str:
    stored = compiler.process(element.clauses, **how)
    return f"""to_char({stored}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
