"""Every rule finds what it says it finds, and nothing where it says it finds nothing."""

from __future__ import annotations

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
EXAMPLES = [pytest.param(rule, text, id=f"{rule.kind}-{n}") for n, rule in enumerate(RULES) for text in rule.examples]
NEVER = [pytest.param(one, text, id=f"{one.kind}-{n}") for n, one in enumerate(BOTH) for text in one.never]


@pytest.mark.parametrize(("rule", "template"), EXAMPLES)
def test_a_rule_finds_its_examples(rule: Rule, template: str) -> None:
    for seed in SEEDS:
        text = filled(template, seed)
        alone = Engine([rule], (), plugins=Engine.default().plugins)
        assert [match.kind for match in alone.scan(text)] == [rule.kind], text
        assert Engine.default().scan(text), text


@pytest.mark.parametrize(("one", "template"), NEVER)
def test_what_only_looks_alike_is_left_alone(one: Rule | Shape, template: str) -> None:
    for seed in SEEDS:
        text = filled(template, seed)
        assert Engine.default().scan(text) == [], text


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_a_shape_finds_its_example(shape: Shape) -> None:
    for seed in SEEDS:
        text = filled(shape.example, seed)
        alone = Engine((), [shape], plugins=Engine.default().plugins)
        assert [(match.kind, match.start, match.end) for match in alone.scan(text)] == [(shape.kind, 0, len(text))]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_rule_explains_itself(rule: Rule) -> None:
    assert rule.examples and rule.never and rule.description and rule.advice.endswith(".")
    assert all(trigger == trigger.lower() for trigger in rule.triggers)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_a_shape_explains_itself(shape: Shape) -> None:
    assert shape.example and shape.never and shape.description and shape.advice.endswith(".")


@pytest.mark.parametrize("one", [*EVERY_RULE, *EVERY_SHAPE])
def test_a_rule_or_shape_has_two_lookalikes_of_its_own(one: Rule | Shape) -> None:
    assert len(set(one.never)) >= 2
    assert not set(one.never) & {text for other in BOTH if other is not one for text in other.never}


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_what_looks_alike_is_looked_at(rule: Rule) -> None:
    for template in rule.never:
        assert any(trigger in template.lower() for trigger in rule.triggers), template


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_gate_lets_through_all_that_its_rule_matches(rule: Rule) -> None:
    names = re2.Options()
    names.case_sensitive = False
    gate = re2.compile(f"(?:{'|'.join(map(re2.escape, rule.triggers))})(?:{rule.gate})", names)
    for template in rule.examples:
        for seed in SEEDS:
            assert gate.search(filled(template, seed))


def test_no_rule_or_shape_matches_a_text_that_is_too_short_to_be_looked_at() -> None:
    bodies = [f"(?:{rule.lead})(?:{rule.body})(?:{rule.tail})" for rule in RULES] + [shape.body for shape in SHAPES]
    assert min(_parser.parse(body).getwidth()[0] for body in bodies) >= SHORTEST
