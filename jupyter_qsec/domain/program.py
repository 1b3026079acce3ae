"""What a Braket action contains, found by a bounded scan: the kind, qubits, statements. Never a parser.

Source of the formats: amazon-braket-schemas, `braket.ir.openqasm.program`, `braket.ir.openqasm.program_set` and
`braket.ir.jaqcd.program`, each in version 1. The scan is linear in the size of the action and only counts; whether a
program means anything is for the worker that runs it to say. What could reach beyond the program (`include`) is refused
here already.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError

MAX_ACTION_BYTES = 3 << 20
MAX_EXECUTABLES = 100
"""Braket's own bound of a program set."""
MAX_LOOP_ITERATIONS = 1_000_000
_MAX_QUBITS_COUNTED = 1 << 20
_MAX_EXPRESSION = 64


class ProgramKind(StrEnum):
    """Action kinds, by the name in the Braket schema header."""

    OPENQASM = "braket.ir.openqasm.program"
    PROGRAM_SET = "braket.ir.openqasm.program_set"
    JAQCD = "braket.ir.jaqcd.program"


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """What the scan counted."""

    kind: ProgramKind
    qubits: int
    """Declared qubits plus distinct physical ones; the largest program counts in a set."""
    statements: int
    """Statements and pragmas (instructions, in JAQCD) of all programs together; loops count once."""
    result_types: tuple[str, ...]
    """The requested result types, sorted, each once: `expectation`, `probability`, …"""
    executables: int
    """How many circuits run: 1, or the inputs of a program set together."""
    noisy: bool
    """Whether a noise channel is named: only density matrix simulators run those."""
    digest: str
    """SHA-256 (hex) of the action's bytes."""


@dataclass(frozen=True, slots=True)
class _Counted:
    qubits: int
    statements: int
    result_types: frozenset[str]
    noisy: bool


def inspect_action(action: str, *, max_bytes: int = MAX_ACTION_BYTES) -> ProgramFacts:
    """Count what an action contains.

    `action` is the JSON text that CreateQuantumTask carries. Raises `TooLargeError` above `max_bytes` of UTF-8 and
    `InvalidRequestError` for anything that is no program; messages about OpenQASM name line and column.
    """
    if len(action) > max_bytes:
        raise TooLargeError(f"The action has more than {max_bytes} bytes.")
    try:
        encoded = action.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError("The action is not valid Unicode text.") from None
    if len(encoded) > max_bytes:
        raise TooLargeError(f"The action has more than {max_bytes} bytes.")
    document = _parse(action)
    kind = _kind(document)
    digest = hashlib.sha256(encoded).hexdigest()
    if kind is ProgramKind.PROGRAM_SET:
        return _inspect_set(document, digest)
    counted = _count_jaqcd(document) if kind is ProgramKind.JAQCD else _count_program(document)
    return ProgramFacts(
        kind, counted.qubits, counted.statements, tuple(sorted(counted.result_types)), 1, counted.noisy, digest
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _parse(action: str) -> dict[str, Any]:
    try:
        document = json.loads(action, parse_constant=_refuse_constant)
    except json.JSONDecodeError as problem:
        raise InvalidRequestError(
            f"The action is not JSON: line {problem.lineno}, column {problem.colno}: {problem.msg}."
        ) from None
    except (ValueError, RecursionError):  # a number with thousands of digits, NaN, or nesting without end
        raise InvalidRequestError("The action is not JSON that can be read.") from None
    if not isinstance(document, dict):
        raise InvalidRequestError("The action must be a JSON object.")
    return document


def _kind(document: Mapping[str, Any]) -> ProgramKind:
    header = document.get("braketSchemaHeader")
    if not isinstance(header, dict):
        raise InvalidRequestError("The action has no braketSchemaHeader.")
    name, version = header.get("name"), header.get("version")
    try:
        kind = ProgramKind(str(name))
    except ValueError:
        supported = ", ".join(kind.value for kind in ProgramKind)
        raise InvalidRequestError(
            f"The action kind {str(name)[:80]!r} is not supported; these are: {supported}."
        ) from None
    if version not in ("1", "1.0"):
        raise InvalidRequestError(f"Version {str(version)[:20]!r} of {kind} is not supported; 1 is.")
    return kind


def _inspect_set(document: Mapping[str, Any], digest: str) -> ProgramFacts:
    programs = document.get("programs")
    if not isinstance(programs, list) or not programs:
        raise InvalidRequestError("The program set contains no programs.")
    if len(programs) > MAX_EXECUTABLES:
        raise TooLargeError(f"The program set has {len(programs)} programs; {MAX_EXECUTABLES} are allowed.")
    counts, executables = [], 0
    for number, program in enumerate(programs, start=1):
        if not isinstance(program, dict):
            raise InvalidRequestError(f"Program {number} of the set is not an object.")
        try:
            counts.append(_count_program(program))
        except InvalidRequestError as problem:
            raise type(problem)(f"Program {number} of the set: {problem.message}", remedy=problem.remedy) from None
        executables += _executables(program.get("inputs"))
    if executables > MAX_EXECUTABLES:
        raise TooLargeError(f"The program set has {executables} executables; {MAX_EXECUTABLES} are allowed.")
    return ProgramFacts(
        ProgramKind.PROGRAM_SET,
        max(counted.qubits for counted in counts),
        sum(counted.statements for counted in counts),
        tuple(sorted(frozenset().union(*(counted.result_types for counted in counts)))),
        executables,
        any(counted.noisy for counted in counts),
        digest,
    )


def _executables(inputs: object) -> int:
    if not isinstance(inputs, dict):
        return 1
    lengths = [len(values) for values in inputs.values() if isinstance(values, list)]
    return max(1, min(lengths)) if lengths else 1


# -- OpenQASM 3 -------------------------------------------------------------------------------------------------------

# Quantifiers are bounded or possessive (`*+`): no input can make a search go back over what it has read.
_HIDDEN = re.compile(r'//[^\n]*|/\*.*?(?:\*/|\Z)|"[^"\n]*(?:"|(?=\n)|\Z)', re.DOTALL)
_PRAGMA = re.compile(r"^[ \t]*#?pragma\b([^\n]*)", re.MULTILINE)
_ANNOTATION = re.compile(r"^[ \t]*@[^\n]*", re.MULTILINE)
_STRAY_PRAGMA = re.compile(r"#?\bpragma\b")
_VERSION = re.compile(r"\bOPENQASM\s+([0-9]+)(?:\.[0-9]+)?\s*;")
_INCLUDE = re.compile(r"\binclude\b")
_CONSTANT = re.compile(r"\bconst\s++u?int\s*+(?:\[[^\]]{0,64}\])?\s*+([A-Za-z_]\w*+)\s*+=\s*+([^;]{1,64});")
_QUBIT = re.compile(r"qubit\b\s*+(?:\[(?P<size>[^\];]{0,99})\])?\s*+(?P<name>[^\W\d]\w*+)\s*+(?P<end>.?)", re.DOTALL)
_QREG = re.compile(r"qreg\b\s*+(?P<name>[^\W\d]\w*+)\s*+(?:\[(?P<size>[^\];]{0,99})\])?\s*+(?P<end>.?)", re.DOTALL)
_PHYSICAL = re.compile(r"\$([0-9]+)")
_RANGE = re.compile(r"\bin\s*\[\s*(-?[0-9]{1,18})\s*:\s*(?:(-?[0-9]{1,18})\s*:\s*)?(-?[0-9]{1,18})\s*\]")
_RESULT = re.compile(r"\s*braket\s+result\s+(\w+)")
_NOISE = re.compile(r"\s*braket\s+noise\b")
_BRACKETS = re.compile(r"[()\[\]{}]")
_CLOSING = {")": "(", "]": "[", "}": "{"}


def _blank(match: re.Match[str]) -> str:
    """Spaces of the same length, so that positions stay true."""
    text = match.group()
    return "\n".join(" " * len(line) for line in text.split("\n")) if "\n" in text else " " * len(text)


def _at(source: str, position: int) -> str:
    line = source.count("\n", 0, position) + 1
    return f"line {line}, column {position - source.rfind(chr(10), 0, position)}"


def _hide(match: re.Match[str]) -> str:
    text = match.group()
    if text.startswith("/*") and (len(text) < 4 or not text.endswith("*/")):
        raise InvalidRequestError(f"OpenQASM {_at(match.string, match.start())}: the comment is never closed.")
    if text.startswith('"') and (len(text) < 2 or not text.endswith('"')):
        raise InvalidRequestError(f"OpenQASM {_at(match.string, match.start())}: the string is never closed.")
    return _blank(match)


def _count_program(program: Mapping[str, Any]) -> _Counted:
    source = program.get("source")
    if not isinstance(source, str):
        raise InvalidRequestError("The program has no OpenQASM source.")
    inputs = program.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        raise InvalidRequestError("The inputs of the program must be an object.")
    return _count_openqasm(source, inputs or {})


def _count_openqasm(source: str, inputs: Mapping[str, object]) -> _Counted:
    if "\0" in source:
        raise InvalidRequestError(f"OpenQASM {_at(source, source.index(chr(0)))}: the source contains a zero byte.")
    # The tests for a substring before each pattern are what keeps the scan fast: they cost a twentieth of a search.
    text = _HIDDEN.sub(_hide, source) if "/" in source or '"' in source else source
    pragmas: list[str] = []
    if "pragma" in text:
        pragmas = [match.group(1) for match in _PRAGMA.finditer(text)]
        text = _PRAGMA.sub(_blank, text)
    if "@" in text:
        text = _ANNOTATION.sub(_blank, text)
    _refuse_what_no_device_runs(text)
    _require_balance(text)
    results = frozenset(found.group(1) for pragma in pragmas if (found := _RESULT.match(pragma)))
    noisy = any(_NOISE.match(pragma) for pragma in pragmas)
    statements = text.count(";") + len(pragmas)
    if not statements:
        raise InvalidRequestError("The OpenQASM program is empty.")
    qubits = _count_declared(text, inputs)
    if "$" in text:
        qubits += len({match.group(1).lstrip("0") for match in _PHYSICAL.finditer(text)})
    return _Counted(qubits, statements, results, noisy)


def _refuse_what_no_device_runs(text: str) -> None:
    if "pragma" in text and (stray := _STRAY_PRAGMA.search(text)):
        raise InvalidRequestError(f"OpenQASM {_at(text, stray.start())}: a #pragma must stand on a line of its own.")
    if "include" in text and (include := _INCLUDE.search(text)):
        raise InvalidRequestError(
            f"OpenQASM {_at(text, include.start())}: 'include' is not supported.",
            remedy="Braket's gates need no include; standard names differ in places (cx is cnot, cp is cphaseshift).",
        )
    version = _VERSION.search(text) if "OPENQASM" in text else None
    if version and version.group(1) != "3":
        raise InvalidRequestError(
            f"OpenQASM {_at(text, version.start())}: version {version.group(1)[:8]} is not supported, version 3 is."
        )
    for match in _RANGE.finditer(text) if "for" in text else ():
        start, step, stop = int(match.group(1)), int(match.group(2) or 1), int(match.group(3))
        if step == 0 or (stop - start) // step > MAX_LOOP_ITERATIONS:
            raise InvalidRequestError(
                f"OpenQASM {_at(text, match.start())}: the loop has no end or more than {MAX_LOOP_ITERATIONS} rounds."
            )


def _require_balance(text: str) -> None:
    if all(text.count(closing) == text.count(opening) for closing, opening in _CLOSING.items()):
        return
    stack: list[re.Match[str]] = []
    for match in _BRACKETS.finditer(text):
        bracket = match.group()
        if bracket not in _CLOSING:
            stack.append(match)
        elif stack and stack[-1].group() == _CLOSING[bracket]:
            stack.pop()
        else:
            raise InvalidRequestError(f"OpenQASM {_at(text, match.start())}: '{bracket}' closes nothing.")
    raise InvalidRequestError(f"OpenQASM {_at(text, stack[-1].start())}: '{stack[-1].group()}' is never closed.")


def _constants(text: str, inputs: Mapping[str, object]) -> dict[str, int]:
    """Whole numbers that a register's size may name: inputs and constants."""
    constants = {name: value for name, value in inputs.items() if type(value) is int}
    for match in _CONSTANT.finditer(text) if "const" in text else ():
        value = _evaluate(match.group(2), constants)
        if value is not None:
            constants[match.group(1)] = value
    return constants


def _count_declared(text: str, inputs: Mapping[str, object]) -> int:
    total = 0
    constants: dict[str, int] | None = None
    for pattern in (_QUBIT, _QREG):
        for match in pattern.finditer(text):
            if not _begins_statement(text, match.start()):
                continue  # a parameter of a subroutine, or the end of a longer name
            name, size_text = match.group("name")[:40], match.group("size")
            if match.group("end") != ";":
                raise InvalidRequestError(f"OpenQASM {_at(text, match.end())}: expected ';' after the qubit '{name}'.")
            size: int | None = 1
            if size_text is not None:
                constants = _constants(text, inputs) if constants is None else constants
                size = _evaluate(size_text, constants)
            if size is None or size < 1:
                raise InvalidRequestError(
                    f"OpenQASM {_at(text, match.start())}: the size of '{name}' must be a positive whole number."
                )
            total += size
            if total > _MAX_QUBITS_COUNTED:
                raise InvalidRequestError(f"OpenQASM {_at(text, match.start())}: '{name}' declares too many qubits.")
    return total


def _begins_statement(text: str, position: int) -> bool:
    """Whether only white space lies between this position and the end of the last statement (or the beginning)."""
    while position and text[position - 1].isspace():
        position -= 1
    return not position or text[position - 1] in ";{}"


def _evaluate(expression: str, constants: Mapping[str, int]) -> int | None:
    """The value of a small whole-number expression with + - * and parentheses; `None` when it is anything else."""
    if len(expression) > _MAX_EXPRESSION:
        return None
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _value(tree.body, constants)


def _value(node: ast.expr, constants: Mapping[str, int]) -> int | None:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return constants.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _value(operand, constants)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as operator, right=right):
            first, second = _value(left, constants), _value(right, constants)
            if first is None or second is None:
                return None
            if isinstance(operator, ast.Add):
                return first + second
            return first - second if isinstance(operator, ast.Sub) else first * second
        case _:
            return None


# -- JAQCD ------------------------------------------------------------------------------------------------------------

_JAQCD_NOISE = frozenset(
    {
        "amplitude_damping",
        "bit_flip",
        "depolarizing",
        "generalized_amplitude_damping",
        "kraus",
        "pauli_channel",
        "phase_damping",
        "phase_flip",
        "two_qubit_dephasing",
        "two_qubit_depolarizing",
        "two_qubit_pauli_channel",
    }
)


def _count_jaqcd(document: Mapping[str, Any]) -> _Counted:
    instructions = document.get("instructions")
    if not isinstance(instructions, list) or not instructions:
        raise InvalidRequestError("The program has no instructions.")
    qubits: set[int] = set()
    noisy = False
    for number, instruction in enumerate(instructions, start=1):
        if not isinstance(instruction, dict) or not isinstance(instruction.get("type"), str):
            raise InvalidRequestError(f"Instruction {number} of the program has no type.")
        noisy = noisy or instruction["type"] in _JAQCD_NOISE
        for name in ("control", "target", "controls", "targets"):
            operands = instruction.get(name, ())
            for operand in operands if isinstance(operands, list | tuple) else (operands,):
                if not isinstance(operand, int) or isinstance(operand, bool) or operand < 0:
                    raise InvalidRequestError(f"Instruction {number} of the program has a qubit that is no number.")
                qubits.add(operand)
    results = document.get("results") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise InvalidRequestError("The results of the program must be a list of objects.")
    names = frozenset(str(result.get("type", ""))[:40] for result in results)
    return _Counted(len(qubits), len(instructions) + len(results), names, noisy)
