"""Long lists, read page by page."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from database import db

T = TypeVar("T")


def pages(
    statement: Any,
    values: Mapping[str, Any],
    shape: Callable[[Any], T],
    *,
    size: int = 500,
) -> Iterator[list[T]]:
    """The shaped rows of a statement that asks for `size` rows with ids `after` one, in order.

    Each page has a connection of its own, given back before the page is handed out. So a client
    who reads slowly holds no transaction, and memory does not grow with the number of rows.
    """
    after = 0
    while True:
        with db.engine.connect() as connection:
            rows = connection.execute(statement, {**values, "after": after, "size": size}).all()
        if rows:
            yield [shape(row) for row in rows]
        if len(rows) < size:
            return
        after = rows[-1].id
