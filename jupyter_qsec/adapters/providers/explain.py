"""Says in one line why the simulator refused a program, for the task's owner: no path, no host, no traceback."""

from __future__ import annotations

import re

MAX_REASON = 400
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.+@-]+){2,}")
_UNDEFINED_GATE = re.compile(r"Gate (\w+) is not defined")
_UNDEFINED_NAME = re.compile(r"Undefined key: (\S+)")
_REGISTER = re.compile(r"qubit register index `(-?\d+)` out of range for qubit register of length (\d+) `(\w+)`")
_LEXER = re.compile(r"line (\d+):(\d+) token recognition error at: '(.+)'")
# What the OpenQASM standard library calls gates that Braket has under another name.
_BRAKET_NAMES = {
    "CX": "cnot",
    "ccx": "ccnot",
    "ch": "ctrl @ h",
    "cp": "cphaseshift",
    "crx": "ctrl @ rx",
    "cry": "ctrl @ ry",
    "crz": "ctrl @ rz",
    "cx": "cnot",
    "id": "i",
    "p": "phaseshift",
    "phase": "phaseshift",
    "rzz": "zz",
    "sdg": "si",
    "sx": "v",
    "sxdg": "vi",
    "tdg": "ti",
    "u": "U",
    "u3": "U",
}


def one_line(text: str) -> str:
    """The text without paths and line breaks, cut to a bounded length."""
    flat = " ".join(_PATH.sub("[path]", text).split())
    flat = "".join(character for character in flat if character.isprintable())
    return flat if len(flat) <= MAX_REASON else flat[: MAX_REASON - 1] + "…"


def explain(error: BaseException, source: str, complaints: str = "") -> str:
    """One line about an exception of the simulator; `source` is the OpenQASM text, `complaints` the parser's output."""
    match error:
        case MemoryError():
            return "The task needs more memory than a simulator may use."
        case RecursionError():
            return "The program is nested too deeply."
        case OSError():
            return "The program may not read files."
    message = _bare(error)
    if type(error).__name__ == "QASM3ParsingError":
        return one_line(_syntax(error, source, complaints))
    if found := _UNDEFINED_GATE.search(message):
        name = found.group(1)
        hint = f" Braket calls it '{_BRAKET_NAMES[name]}'." if name in _BRAKET_NAMES else ""
        return one_line(f"OpenQASM {_line_of(name, source)}gate '{name}' is not defined.{hint}")
    if found := _UNDEFINED_NAME.search(message):
        name = found.group(1).strip("'\"")
        return one_line(f"OpenQASM {_line_of(name, source)}'{name}' is not declared.")
    if found := _REGISTER.search(message):
        index, length, name = found.groups()
        where = _line_of(name, source, rf"\[\s*{re.escape(index)}\s*\]")
        return one_line(f"OpenQASM {where}'{name}[{index}]' is out of range, '{name}' has {length} qubits.")
    if isinstance(error, ZeroDivisionError):
        return "The program divides by zero."
    if "LocalSimulator" in message:
        return "Noise runs on the density matrix simulator alone: use device DM1."
    known = isinstance(error, ValueError | TypeError | NameError | IndexError | NotImplementedError | RuntimeError)
    return one_line(message if known and message else f"The simulator cannot run the program ({type(error).__name__}).")


def unreadable_token(complaints: str, source: str) -> str | None:
    """A reason when the lexer skipped something in the source, which it only mentions on standard error."""
    lines = source.split("\n")
    for found in _LEXER.finditer(complaints):
        line, column, text = int(found.group(1)), int(found.group(2)), found.group(3)
        if line <= len(lines) and lines[line - 1][column:].startswith(text[:1]):
            return one_line(f"OpenQASM line {line}, column {column + 1}: {text[:40]!r} has no meaning here.")
    return None


def _bare(error: BaseException) -> str:
    """The message; a `KeyError` wraps it in quotes."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)


def _syntax(error: BaseException, source: str, complaints: str) -> str:
    if token_problem := unreadable_token(complaints, source):
        return token_problem
    token = _offending_token(error)
    if token is None:
        return "The OpenQASM program has a syntax error."
    line, column, text = token
    if text == "<EOF>":
        return f"OpenQASM line {line}: the program ends in the middle of a statement; is a ';' missing?"
    hint = " Is a ';' missing before it?" if _follows_unended_line(source, line, column) else ""
    return f"OpenQASM line {line}, column {column + 1}: unexpected '{text[:40]}'.{hint}"


def _offending_token(error: BaseException) -> tuple[int, int, str] | None:
    cause = error.__cause__ or error.__context__
    for candidate in (cause, *getattr(cause, "args", ())):
        token = getattr(candidate, "offendingToken", None)
        if token is not None:
            return int(token.line), int(token.column), str(token.text)
    return None


def _follows_unended_line(source: str, line: int, column: int) -> bool:
    """Whether the place is the first on its line and the last line before it with anything on it has no end."""
    lines = source.split("\n")
    if line > len(lines) or lines[line - 1][:column].strip():
        return False
    before = next((text.rstrip() for text in reversed(lines[: line - 1]) if text.strip()), ";")
    return before[-1] not in ";{}"


def _line_of(name: str, source: str, suffix: str = "") -> str:
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w){suffix}", source)
    if found is None:
        return "program: "
    return f"line {source.count(chr(10), 0, found.start()) + 1}: "
