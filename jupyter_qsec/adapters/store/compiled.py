"""Compiled statements: written with SQLAlchemy, run on the driver's cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Table, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Values = Mapping[str, Any]


class Statement:
    """One compiled statement and the order of its parameters."""

    def __init__(self, statement: Executable, dialect: Dialect, columns: list[str] | None = None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined]  # every Core statement compiles
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  # narrows for the type checker
        self.sql = str(compiled)
        self.positions = compiled.positiontup
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def parameters(self, values: Values) -> tuple[Any, ...] | dict[str, Any]:
        """The values in the form that the driver wants; a missing one is a `KeyError`."""
        if self.positions is None:
            return {**self._constants, **values}
        constants = self._constants
        return tuple([values[name] if name in values else constants[name] for name in self.positions])


class RowsInsert:
    """Inserts a fixed number of rows with one statement: the writer gives up the interpreter's lock once for all of
    them, and gets it back late when the event loop is busy."""

    def __init__(self, table: Table, count: int, dialect: Dialect, insert_into: Any) -> None:
        names = [column.name for column in table.columns]
        slots = [(name, number) for number in range(count) for name in names]
        rows: list[dict[str, Any]] = [
            {name: bindparam(f"{name}_{number}") for name in names} for number in range(count)
        ]
        statement = Statement(insert_into(table).values(rows).on_conflict_do_nothing(), dialect)
        self.sql = statement.sql
        self._slots = slots
        self._positional = statement.positions == [f"{name}_{number}" for name, number in slots]

    def parameters(self, rows: Sequence[Values]) -> tuple[Any, ...] | dict[str, Any]:
        if self._positional:
            return tuple([rows[number][name] for name, number in self._slots])
        return {f"{name}_{number}": rows[number][name] for name, number in self._slots}
