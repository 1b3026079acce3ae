"""As much of PromQL as it takes to hold an expression against a scrape."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FUNCTIONS = frozenset({"rate", "increase", "histogram_quantile", "sum", "max", "min"})
_LISTS = frozenset({"by", "on"})
_OPERATORS = frozenset({"and", "or", "unless"})
_TOKEN = re.compile(
    r'\s*(?:(?P<string>"[^"]*")|(?P<range>\[[^\]]*\])|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<number>[0-9.]+)'
    r"|(?P<sign>=~|!~|!=|==|[-+*/<>=(){},]))"
)


@dataclass(frozen=True)
class Used:
    """What an expression uses."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    """Labels that are matched, by metric."""
    groups: set[str] = field(default_factory=set)
    """Labels that are grouped or joined by."""


def used(expression: str) -> Used:
    """`AssertionError` for what this does not understand."""
    tokens = _tokens(expression)
    found = Used()
    _check_brackets(tokens)
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if token in _LISTS:
            assert following == "(", f"{token} without labels"
            end = tokens.index(")", at)
            found.groups.update(name for name in tokens[at + 2 : end] if name != ",")
            at = end
        elif token in FUNCTIONS:
            assert following in ("(", "by"), f"{token} without arguments"
        elif re.match(r"[A-Za-z_:]", token) and token not in _OPERATORS:
            assert following != "(", f"{token} is no function that is known here"
            labels = found.metrics.setdefault(token, set())
            if following == "{":
                end = tokens.index("}", at)
                labels.update(tokens[at + 2 : end : 4])  # name, operator, text, comma
                at = end
        at += 1
    assert found.metrics, "no metric"
    return found


def _check_brackets(tokens: list[str]) -> None:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        assert depth >= 0, "a bracket too many"
    assert depth == 0, "a bracket is missing"


def _tokens(expression: str) -> list[str]:
    tokens, at = [], 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        assert match, f"what is {expression[at:]!r}?"
        if match["range"] is None:
            tokens.append(match[0].strip())
        at = match.end()
    return tokens
