"""Every rule finds what it says it finds, and nothing where it says it finds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from re import _parser  # type: ignore[attr-defined]  # the only thing that tells how long a match is at least

import pytest
import re2

from jupyter_qsec.scanning.engine import SHORTEST, Engine
from jupyter_qsec.scanning.rules import RULES, Rule
from jupyter_qsec.scanning.shapes import SHAPES, Shape
from tests.unit.scanning.examples import filled

SEEDS = range(20)
BOTH: tuple[Rule | Shape, ...] = (*RULES, *SHAPES)
EVERY_RULE = [pytest.param(rule, id=f"{rule.kind}-{n}") for n, rule in enumerate(RULES)]
EVERY_SHAPE = [pytest.param(shape, id=f"{shape.kind}-{n}-shape") for n, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_rule_finds_its_examples(rule: Rule) -> None:
    alone = Engine([rule], (), plugins=Engine.default().plugins)
    for text in _instances(rule.examples):
        assert [match.kind for match in alone.scan(text)] == [rule.kind], text
        assert Engine.default().scan(text), text


@pytest.mark.parametrize("one", [*EVERY_RULE, *EVERY_SHAPE])
def test_what_only_looks_alike_is_left_alone(one: Rule | Shape) -> None:
    for text in _instances(one.never):
        assert Engine.default().scan(text) == [], text


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_a_shape_finds_its_example(shape: Shape) -> None:
    alone = Engine((), [shape], plugins=Engine.default().plugins)
    for text in _instances([shape.example]):
        assert [(match.kind, match.start, match.end) for match in alone.scan(text)] == [(shape.kind, 0, len(text))]


def test_each_rule_explains_itself() -> None:
    for rule in RULES:
        assert rule.examples and rule.never and rule.description and rule.advice.endswith("."), rule.kind
        assert all(trigger == trigger.lower() for trigger in rule.triggers), rule.kind


def test_each_shape_explains_itself() -> None:
    for shape in SHAPES:
        assert shape.example and shape.never and shape.description and shape.advice.endswith("."), shape.kind


def test_each_rule_and_shape_has_two_lookalikes_of_its_own() -> None:
    for one in BOTH:
        assert len(set(one.never)) >= 2, one.kind
        assert not set(one.never) & {text for other in BOTH if other is not one for text in other.never}, one.kind


def test_what_looks_alike_is_looked_at() -> None:
    for rule in RULES:
        for template in rule.never:
            assert any(trigger in template.lower() for trigger in rule.triggers), template


def test_a_gate_lets_through_all_that_its_rule_matches() -> None:
    names = re2.Options()
    names.case_sensitive = False
    for rule in RULES:
        gate = re2.compile(f"(?:{'|'.join(map(re2.escape, rule.triggers))})(?:{rule.gate})", names)
        assert all(map(gate.search, _instances(rule.examples))), rule.kind


def _instances(templates: Iterable[str]) -> list[str]:
    return [filled(template, seed) for template in templates for seed in SEEDS]


def test_no_rule_or_shape_matches_a_text_that_is_too_short_to_be_looked_at() -> None:
    bodies = [f"(?:{rule.lead})(?:{rule.body})(?:{rule.tail})" for rule in RULES] + [shape.body for shape in SHAPES]
    assert min(_parser.parse(body).getwidth()[0] for body in bodies) >= SHORTEST
