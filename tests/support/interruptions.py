"""Things that happen in the middle of a request, next to a statement that it makes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import Connection, event

from database import db


@contextmanager
def interrupting(
    app: Flask, part: str, act: Callable[[Connection], object], *, when: str = "after"
) -> Iterator[None]:
    """Act each time the application makes a statement with that part in it, before or after."""

    def interrupt(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if part in statement:
            act(connection)

    with app.app_context():
        engine = db.engine
    event.listen(engine, f"{when}_cursor_execute", interrupt)
    try:
        yield
    finally:
        event.remove(engine, f"{when}_cursor_execute", interrupt)


@contextmanager
def turns(app: Flask, part: str) -> Iterator[list[int]]:
    """How many statements with that part in them each transaction commits meanwhile."""
    committed: list[int] = []
    made: list[Connection] = []

    def commit(connection: Connection) -> None:
        if mine := made.count(connection):
            committed.append(mine)
            made[:] = [other for other in made if other is not connection]

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", commit)
    try:
        with interrupting(app, part, made.append):
            yield committed
    finally:
        event.remove(engine, "commit", commit)
