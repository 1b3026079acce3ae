"""What a user may hand to `%qsubmit`: circuits, OpenQASM programs, or a list of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from jupyter_qsec.magics.problems import QsubmitError, did_you_mean, one_line

MAX_BATCH = 1000


def of_source(source: str) -> Any:
    """An OpenQASM 3 program from the text of a cell."""
    from braket.ir.openqasm import Program

    if not source.strip():
        raise QsubmitError("The cell holds no program: write OpenQASM 3 below %%qsubmit, or use %qsubmit VARIABLE.")
    return Program(source=source)


def of_expression(expression: str, namespace: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """The programs that an expression over the user's variables gives, and whether it was a list."""
    if not expression:
        raise QsubmitError("Say what to run: %qsubmit VARIABLE, where VARIABLE is a Circuit or a list of them.")
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError):
        raise QsubmitError(f"{expression!r} is no Python expression. Write %qsubmit VARIABLE [--shots N].") from None
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not (node.id in namespace or node.id in bound or _is_builtin(node.id)):
            visible = [name for name, value in namespace.items() if not name.startswith("_") and _is_program(value)]
            raise QsubmitError(f"There is no variable '{node.id}'.{did_you_mean(node.id, visible)}")
    try:
        # The expression comes from the cell that the user runs: it has the powers of any other line of that cell.
        value = eval(compile(tree, "<qsubmit>", "eval"), dict(namespace))  # noqa: S307  # see above
    except Exception as error:  # noqa: BLE001  # whatever the user's own expression raises becomes the one line
        raise QsubmitError(f"{expression} raises {type(error).__name__}: {one_line(str(error))}") from None
    if isinstance(value, list | tuple):
        if not value:
            raise QsubmitError(f"{expression} is empty.")
        if len(value) > MAX_BATCH:
            raise QsubmitError(f"{expression} has {len(value)} entries; at most {MAX_BATCH} go at once.")
        return [_program(entry, f"{expression}[{number}]") for number, entry in enumerate(value)], True
    return [_program(value, expression)], False


def openqasm_of(program: Any) -> str:
    """The OpenQASM text of a program for the estimate; empty when it has none of its own."""
    source = getattr(program, "source", None)
    if isinstance(source, str):
        return source
    try:
        from braket.circuits.serialization import IRType

        return str(program.to_ir(ir_type=IRType.OPENQASM).source)
    except (AttributeError, TypeError, ValueError):
        return ""


def _is_builtin(name: str) -> bool:
    import builtins

    return hasattr(builtins, name)


def _is_program(value: Any) -> bool:
    return any(
        f"{kind.__module__}.{kind.__name__}"
        in ("braket.circuits.circuit.Circuit", "braket.ir.openqasm.program_v1.Program")
        for kind in type(value).__mro__
    ) or (isinstance(value, list) and bool(value) and _is_program(value[0]))


def _program(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return of_source(value)
    if not _is_program(value) or isinstance(value, list):
        kind = type(value).__name__
        raise QsubmitError(f"{name} is of type {kind}: not a Circuit, not an OpenQASM program.")
    if unbound := getattr(value, "parameters", None):
        names = ", ".join(sorted(str(parameter) for parameter in unbound))
        raise QsubmitError(f"{name} has free parameters ({names}): bind them first, {name}.make_bound_circuit({{…}}).")
    return value
