"""Expressions find the same with and without the inside of google-re2's wrapper."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.scanning import expressions
from jupyter_qsec.scanning.expressions import Expression

PATTERNS = [rb"(?:key\s*=\s*)([a-z]{2,4})(?:;?)", rb"a|ab(c)?", rb"[ab]*", rb"(?:^|[^a])(b+)"]


def options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return options


@pytest.fixture(scope="module", params=["inner", "outer"])
def compiled(request: pytest.FixtureRequest) -> list[Expression]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "outer":
            patch.setattr(expressions, "_inner", lambda compiled: None)
        return [Expression(pattern, options()) for pattern in PATTERNS]


@given(data=st.text("abckey =;", max_size=30), start=st.integers(0, 30), end=st.integers(0, 40))
def test_they_find_what_pythons_own_find(compiled: list[Expression], data: str, start: int, end: int) -> None:
    text, start = data.encode(), min(start, len(data))
    for pattern, expression in zip(PATTERNS, compiled, strict=True):
        if pattern.startswith(rb"(?:^"):  # re2 takes the place where it starts for the beginning, Python does not
            continue
        found, wanted = expression.search(text, start), re.compile(pattern).search(text, start)
        assert found == (None if wanted is None else [wanted.span(n) for n in range(wanted.re.groups + 1)])
        if end >= start:
            found, wanted = expression.match(text, start, end), re.compile(pattern).match(text, start, end)
            assert found == (None if wanted is None else [wanted.span(n) for n in range(wanted.re.groups + 1)])


def test_the_inside_is_used_where_there_is_one() -> None:
    assert expressions._inner(re2.compile(rb"a", options())) is not None
    assert expressions._inner(object()) is None
