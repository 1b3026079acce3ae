"""Reads OpenQASM with Braket's own parser, but each plain statement only once.

The parser takes most of a small task's time, and programs repeat most of their statements: a loop over parameters
changes some rotations, a batch runs one circuit many times. A program is taken apart only where every line is a
statement of its own whatever stands around it: a declaration, a gate, a measurement, a noise or result pragma.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from typing import Any

from braket.default_simulator.openqasm.parser.openqasm_ast import Program
from braket.default_simulator.openqasm.parser.openqasm_parser import parse

MOST = 2_048
"""Statements that are remembered."""
_LARGEST = 2_048
"""Bytes of one that is, with its text; most have half a thousand."""
MOST_TENANTS = 8
_MOST_LINES = 20_000

_NAME = "[a-z][a-z0-9_]{0,31}"
_OPERAND = rf"{_NAME}(?:\[[0-9]{{1,5}}\])?"
_OPERANDS = rf"{_OPERAND}(?:, ?{_OPERAND}){{0,31}}"
# Words with which other statements begin or go on, such as the `else` of the line before.
_OTHER = "box|break|cal|const|continue|def|defcal|else|end|extern|for|gate|if|in|include|input|let|output|return|while"
_PLAIN = re.compile(
    rf"(?:qubit|bit)(?:\[[0-9]{{1,5}}\])? {_NAME};"
    rf"|(?!(?:{_OTHER})\b){_NAME}(?:\([0-9a-zA-Z_+*.\-, ]{{1,128}}\))? {_OPERANDS};"
    rf"|{_OPERAND} = measure {_OPERAND};"
    r"|#pragma braket (?:result|noise) [ -~]{1,256}"
)
_VERSION = re.compile(r"OPENQASM 3(?:\.0)?;")


class Statements:
    """The statements that one tenant's programs are made of. Not shared: how long a program takes tells what is known.

    What it gives is the caller's own: the interpreter changes the nodes that it visits.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def parse(self, source: str) -> Program:
        """As Braket's `parse` gives it, but for the line numbers of its nodes. Raises what that raises."""
        version, *lines = source.rstrip("\n").split("\n", _MOST_LINES)
        if not _VERSION.fullmatch(version) or not all(map(_PLAIN.fullmatch, lines)):
            return parse(source)
        unseen = list(dict.fromkeys(line for line in (version, *lines) if line not in self._known))
        fresh = self._read(unseen, version) if unseen else {}
        if fresh is None:
            return parse(source)
        statements = [self._statement(line, fresh) for line in lines]
        program: Program = self._statement(version, fresh)
        program.statements = statements
        self._remember(fresh)
        return program

    @staticmethod
    def _read(unseen: list[str], version: str) -> dict[str, bytes] | None:
        """The lines' statements; `None` when they are no program together, or not one statement each."""
        lines = [line for line in unseen if line != version]
        try:
            program = parse("\n".join((version, *lines, "")))
        except Exception:  # noqa: BLE001  # read again as it stands, the program gives the error with its own places
            return None
        if len(program.statements) != len(lines):
            return None
        fresh = {line: _packed(node) for line, node in zip(lines, program.statements, strict=True)}
        program.statements = []
        return fresh | {version: _packed(program)}

    def _statement(self, line: str, fresh: dict[str, bytes]) -> Any:
        packed = fresh.get(line)
        if packed is None:
            packed = self._known[line]
            self._known.move_to_end(line)
        return pickle.loads(packed)  # noqa: S301  # packed by this object; the quickest copy there is

    def _remember(self, fresh: dict[str, bytes]) -> None:
        self._known |= {line: packed for line, packed in fresh.items() if len(line) + len(packed) <= _LARGEST}
        while len(self._known) > MOST:
            self._known.popitem(last=False)


class StatementsByTenant:
    """The statements of the tenants that ran something lately."""

    def __init__(self) -> None:
        self._by_account: OrderedDict[str, Statements] = OrderedDict()

    def of(self, task_arn: str) -> Statements:
        """Those of the tenant whose account is in the task's ARN."""
        account = "".join(task_arn.split(":")[4:5])
        statements = self._by_account.pop(account, None) or Statements()
        self._by_account[account] = statements
        while len(self._by_account) > MOST_TENANTS:
            self._by_account.popitem(last=False)
        return statements


def _packed(node: Any) -> bytes:
    return pickle.dumps(node, pickle.HIGHEST_PROTOCOL)
