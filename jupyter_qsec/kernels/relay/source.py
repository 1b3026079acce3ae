"""Python source with something in place of its secrets that raises when it is used."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_qsec.scanning.engine import replace
from jupyter_qsec.scanning.finding import Match, marker

_OF_A_SHELL = re.compile(r"\s*[%!?]|.*=\s*[%!]|.*\?\s*$")
"""Lines that IPython does not read as Python."""
_PLAIN_PREFIX = re.compile(r"(?i:r|u|b|br|rb)?['\"]")
_RAISING = (
    "str",
    "repr",
    "len",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "hash",
    "bool",
    "bytes",
    "iter",
    "next",
    "call",
    "getitem",
    "getattr",
    "contains",
    "format",
    "add",
    "radd",
    "mul",
    "rmul",
    "mod",
    "rmod",
    "fspath",
    "int",
    "float",
    "complex",
    "index",
    "enter",
    "await",
    "reduce_ex",
)
"""Everything that Python does with an object by its type."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Source in which every secret was replaced."""

    code: str
    """What the kernel runs."""
    shown: str
    """What clients are shown: the person's code with markers."""


def without_secrets(code: str, matches: Iterable[Match]) -> Replaced | None:
    """The source with each string literal that holds one of these secrets replaced by an expression, and comments with
    markers. `None` where that cannot be done surely: a magic, an f-string, a name, code that is no Python.

    The expression stands on the literal's own lines and names nothing, so lines and variables stay what they were; it
    makes an object that may be stored and passed on, and raises `RedactedSecret` when anything else is done with it.
    """
    matches = list(matches)
    if code.lstrip().startswith("%%"):
        return None
    plain = code if _parses(code) else _without_magics(code, matches)
    changes = _changes(plain, matches) if plain is not None else None
    if changes is None:
        return None
    new = _changed(code, changes)
    # Beside another literal, for instance, an expression is no Python.
    if not _parses(new if plain == code else _changed(plain or "", changes)):
        return None
    return Replaced(new, replace(code, matches).text)


_Change = tuple[int, int, str]
"""Start, end, what instead."""


def _changed(code: str, changes: list[_Change]) -> str:
    parts, at = [], 0
    for start, end, instead in changes:
        parts += [code[at:start], instead]
        at = end
    return "".join([*parts, code[at:]])


def _changes(code: str, matches: list[Match]) -> list[_Change] | None:
    """What to put in place of each token that holds a secret, in order; `None` when one of them is no literal."""
    tokens = _tokens(code)
    changes: list[_Change] = []
    for match in matches:
        holding = [token for token in tokens if token[0] <= match.start and match.end <= token[1]]
        if not holding:
            return None
        start, end, kind, text = holding[0]
        if kind == tokenize.COMMENT:
            change = (match.start, match.end, marker(match.kind))
        elif _PLAIN_PREFIX.match(text):
            change = (start, end, _expression(match.kind) + _same_lines(text))
        else:
            return None
        if not changes or changes[-1][:2] != change[:2]:
            changes.append(change)
    return changes


def _same_lines(literal: str) -> str:
    """Nothing for a literal of one line; for a longer one as many continued lines, so that errors keep their line."""
    breaks = literal.count("\n")
    return "\\\n" * breaks + " " if breaks else ""


def _tokens(code: str) -> list[tuple[int, int, int, str]]:
    """(start, end, type, text) of strings and comments, as offsets."""
    starts = [0]
    for line in _lines(code):
        starts.append(starts[-1] + len(line))
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT):
                start = starts[token.start[0] - 1] + token.start[1]
                end = starts[token.end[0] - 1] + token.end[1]
                found.append((start, end, token.type, token.string))
    except (tokenize.TokenError, SyntaxError, IndexError):
        return []
    return found


def _lines(code: str) -> list[str]:
    """With their ends, and ended by line feeds alone, as the tokenizer counts them."""
    return io.StringIO(code).readlines()


def _without_magics(code: str, matches: list[Match]) -> str | None:
    """The code with a `pass` of the same length for each line that only IPython reads; `None` when one of them holds a
    secret, or the rest is no Python."""
    parts, at = [], 0
    for line in _lines(code):
        body = line.rstrip("\r\n")
        if _OF_A_SHELL.match(body):
            if any(match.start < at + len(line) and at < match.end for match in matches):
                return None
            indent = len(body) - len(body.lstrip())
            body = body[:indent] + "pass".ljust(len(body) - indent)[: max(len(body) - indent, 0)]
        parts.append(body + line[len(line.rstrip("\r\n")) :])
        at += len(line)
    plain = "".join(parts)
    return plain if _parses(plain) else None


def _parses(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _expression(kind: str) -> str:
    reason = f"A secret ({kind}) was taken out of this cell before it ran; read it from where it is kept."
    names = ",".join(f"'__{name}__'" for name in _RAISING)
    error = f"type('RedactedSecret',(ValueError,),{{}})({reason!r})"
    raising = f"lambda *a,**k:(_ for _ in ()).throw({error})"
    return f"type('Redacted',(),dict.fromkeys(({names}),{raising}))()"
