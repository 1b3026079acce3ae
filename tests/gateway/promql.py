"""What a PromQL expression uses, by a parser that knows Prometheus' functions and their types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

_VARIABLES = {"$__rate_interval": "5m"}
"""What Grafana puts in before it asks; variables within texts are texts."""


@dataclass
class Used:
    """What an expression uses."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    """Labels that are matched, by metric."""
    groups: set[str] = field(default_factory=set)
    """Labels that are grouped or joined by."""
    around: dict[str, set[str]] = field(default_factory=dict)
    """The functions and aggregations whose arguments are these metrics themselves; empty for a bare one."""


def used(expression: str) -> Used:
    """`AssertionError` for what is no expression, or asks for no metric."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    try:
        parsed = promql_parser.parse(expression)
    except ValueError as error:
        raise AssertionError(f"{expression}: {error}") from None
    found = Used()
    _note(parsed, "", found)
    assert found.metrics, f"{expression}: no metric"
    return found


def _note(node: Expr, around: str, found: Used) -> None:
    match node:
        case VectorSelector():
            assert node.name, "a metric without a name"
            found.metrics.setdefault(node.name, set()).update(matcher.name for matcher in node.matchers.matchers)
            found.around.setdefault(node.name, set()).update({around} - {""})
        case AggregateExpr() if node.modifier is not None:
            found.groups.update(node.modifier.labels)
        case BinaryExpr() if node.modifier is not None:
            joined = node.modifier.matching.labels if node.modifier.matching is not None else ()
            found.groups.update(joined, node.modifier.group_labels or ())
    for inner, name in _inner(node, around):
        _note(inner, name, found)


def _inner(node: Expr, around: str) -> Iterator[tuple[Expr, str]]:
    """The parts of an expression, each with the function or aggregation that it is an argument of."""
    match node:
        case AggregateExpr():
            yield node.expr, node.prettify().partition("(")[0].split()[0]
            if isinstance(node.param, Expr):
                yield node.param, ""
        case Call():
            yield from ((argument, node.func.name) for argument in node.args)
        case BinaryExpr():
            yield from ((node.lhs, ""), (node.rhs, ""))
        case MatrixSelector():
            yield node.vector_selector, around
        case ParenExpr():
            yield node.expr, around
        case UnaryExpr() | SubqueryExpr():
            yield node.expr, ""
