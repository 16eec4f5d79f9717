"""Statements of the hot paths: compiled once for each database, then run by its driver.

SQLAlchemy takes some 50 us to run a statement that SQLite answers in 4. In a request of a
millisecond or two with half a dozen of them, that is what most of the time would go to
(bench/README.md).
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from operator import attrgetter, methodcaller
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect
from sqlalchemy.exc import DBAPIError

Values = Mapping[str, Any]

_ALL_ROWS = methodcaller("fetchall")
_COUNT = attrgetter("rowcount")


class Prepared:
    """A statement of SQLAlchemy's whose values are all given by name.

    It knows columns with a constant or an SQL expression for a default; it knows no in_() and
    tells no event listeners. Rows are named tuples. Raises SQLAlchemy's DBAPIErrors.
    """

    def __init__(self, statement: Any, *columns: str) -> None:
        """`columns` are those that an INSERT is given, as its parameters."""
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def row(self, connection: Connection, values: Values) -> Any:
        """The only row, or None if there is none."""
        found = self.rows(connection, values)
        return found[0] if found else None

    def rows(self, connection: Connection, values: Values) -> list[Any]:
        compiled = self._for(connection)
        return compiled.rows(compiled.run(connection, values, _ALL_ROWS))

    def count(self, connection: Connection, values: Values) -> int:
        """How many rows it has changed."""
        count: int = self._for(connection).run(connection, values, _COUNT)
        return count

    def each(self, connection: Connection, many: Sequence[Values]) -> None:
        """Run it once for each."""
        if len(many) == 1:
            self.count(connection, many[0])
        else:
            self._for(connection).run(connection, many, _COUNT, many=True)

    def _for(self, connection: Connection) -> "_Compiled":
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _Compiled(self._statement, self._columns, dialect)
            self._compiled[dialect.name] = compiled
        return compiled


class _Compiled:
    """What one database's driver needs to know of a statement."""

    def __init__(self, statement: Any, columns: Sequence[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns) or None)
        self.sql = str(compiled)
        self.errors: Any = dialect.loaded_dbapi.Error
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._by_place = compiled.positiontup is not None
        self._names = compiled.positiontup or list(binds)
        self._given = {name: bind.value for name, bind in binds.items() if not bind.required}
        for column in compiled.insert_prefetch:
            self._given[column.key] = column.default.arg
        types = {name: bind.type for name, bind in binds.items()}
        self._to_driver = _converters(types, "bind_processor", dialect)
        shown = list(statement.exported_columns)
        row: Any = namedtuple("Row", [column.key for column in shown], rename=True)  # type: ignore[misc]
        self._row = partial(tuple.__new__, row)  # as row._make, but for a call of Python's each
        types = {place: column.type for place, column in enumerate(shown)}
        self._from_driver = _converters(types, "result_processor", dialect, None)

    def run(
        self, connection: Connection, values: Any, take: Callable[[Any], Any], *, many: bool = False
    ) -> Any:
        """What `take` takes of the driver's cursor."""
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            if many:
                cursor.executemany(self.sql, [self.parameters(each) for each in values])
            else:
                cursor.execute(self.sql, self.parameters(values))
            return take(cursor)
        except self.errors as error:
            dialect = connection.dialect
            lost = dialect.is_disconnect(error, driver, cursor)
            if lost:
                connection.invalidate(error)  # it must not go back to the pool
            raise DBAPIError.instance(
                self.sql,
                None,
                error,
                self.errors,
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=dialect,
            ) from error
        finally:
            cursor.close()

    def parameters(self, values: Values) -> Any:
        given = {**self._given, **values}
        for name, convert in self._to_driver:
            given[name] = convert(given[name])
        in_order = map(given.__getitem__, self._names)
        return tuple(in_order) if self._by_place else dict(zip(self._names, in_order, strict=True))

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        if self._from_driver and found:
            columns: list[Any] = list(zip(*found, strict=True))
            for place, convert in self._from_driver:
                columns[place] = map(convert, columns[place])
            found = list(zip(*columns, strict=True))
        return list(map(self._row, found))


def _converters(
    types: Mapping[Any, Any], way: str, dialect: Dialect, *more: Any
) -> list[tuple[Any, Callable[[Any], Any]]]:
    """Between Python's values and the driver's, where these differ (times, on SQLite)."""
    found = {
        key: getattr(type_.dialect_impl(dialect), way)(dialect, *more)
        for key, type_ in types.items()
    }
    if dialect.name == "sqlite" and way == "bind_processor":
        found |= {key: _text for key, type_ in types.items() if isinstance(type_, DateTime)}
    return [(key, convert) for key, convert in found.items() if convert]


@lru_cache(maxsize=64)
def _text(time: datetime | None) -> str | None:
    """A time as SQLAlchemy stores it on SQLite; the same one is bound several times."""
    return None if time is None else time.isoformat(" ", "microseconds")
