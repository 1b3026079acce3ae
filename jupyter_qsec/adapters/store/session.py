"""A driver connection with the compiled statements: what writer and readers run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table

from jupyter_qsec.adapters.store.compiled import Statement, Values
from jupyter_qsec.adapters.store.statements import Statements

_CHUNKS = (16, 4, 1)
"""Rows of one insert: few sizes, so that each statement is compiled once."""


class Session:
    """One driver connection in the hands of one thread."""

    def __init__(self, cursor: Any, statements: Statements) -> None:
        """`cursor` is on a connection in autocommit mode: transactions are begun and ended by `run`."""
        self._cursor = cursor
        self.statements = statements

    def run(self, sql: str) -> None:
        """A statement without parameters, such as BEGIN."""
        self._cursor.execute(sql)

    def execute(self, statement: Statement, values: Values) -> list[Any]:
        """Run one statement; the rows it returns."""
        self._cursor.execute(statement.sql, statement.parameters(values))
        return self._cursor.fetchall() if self._cursor.description else []

    def execute_many(self, statement: Statement, rows: Sequence[Values]) -> None:
        self._cursor.executemany(statement.sql, [statement.parameters(values) for values in rows])

    def insert_rows(self, table: Table, rows: Sequence[Values]) -> bool:
        """Insert all rows in few statements; false when one of them broke a uniqueness and was left out."""
        inserted, start = 0, 0
        for count in _CHUNKS:
            while len(rows) - start >= count:
                insert = self.statements.rows_insert(table, count)
                self._cursor.execute(insert.sql, insert.parameters(rows[start : start + count]))
                inserted += self._cursor.rowcount
                start += count
        return inserted == len(rows)

    def mappings(self, statement: Statement, values: Values) -> list[dict[str, Any]]:
        """Run one query; its rows by column name."""
        self._cursor.execute(statement.sql, statement.parameters(values))
        names = [column[0] for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in self._cursor.fetchall()]
