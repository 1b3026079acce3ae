"""Models that were scanned ahead of Jupyter's hook, and which ones need to be."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jupyter_qsec.scanning import plugins
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.beside import SMALL, Passed, is_large

MOST_CPU = 0.06
"""Seconds of CPU time on the event loop, some five times of what the worst takes alone on a machine."""


def test_what_was_scanned_counts_only_for_the_very_object() -> None:
    passed = Passed()
    model: dict[str, Any] = {"content": {"cells": []}}
    with passed.noted(model):
        assert passed.holds(model) and not passed.holds(dict(model))
        model["content"] = {"cells": []}
        assert not passed.holds(model)
    assert not passed.holds(model)
    assert not passed.holds({})


class Looked:
    """Counts what is taken out of lists and objects."""

    def __init__(self) -> None:
        self.values = 0

    def _counted(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.values += 1
            yield value

    def list(self, items: list[Any]) -> list[Any]:
        looked = self

        class Counting(list):  # type: ignore[type-arg]  # of anything
            def __iter__(self) -> Iterator[Any]:
                return looked._counted(super().__iter__())

        return Counting(items)

    def dict(self, items: dict[str, Any]) -> dict[str, Any]:
        looked = self

        class Counting(dict):  # type: ignore[type-arg]  # of anything
            def __iter__(self) -> Iterator[Any]:
                return looked._counted(super().__iter__())

            def items(self) -> Any:
                return looked._counted(iter(super().items()))

        return Counting(items)


def deep(looked: Looked) -> list[Any]:
    value: list[Any] = []
    for _ in range(10_000):
        value = looked.list([value])
    return value


HUGE: dict[str, Callable[[Looked], Any]] = {
    "numbers": lambda looked: looked.list([1] * 500_000),
    "keys": lambda looked: looked.dict({str(n): n for n in range(100_000)}),
    "cells": lambda looked: looked.list([looked.dict({"source": "", "outputs": looked.list([])})] * 5_000),
    "empty lists": lambda looked: looked.list([looked.list([])] * 500_000),
    "nulls in lists": lambda looked: looked.list([looked.list([None] * 30)] * 1_000),
    "depth": deep,
}


@pytest.mark.parametrize("kind", HUGE)
def test_of_a_huge_notebook_only_a_little_is_looked_at(kind: str) -> None:
    looked = Looked()
    notebook = looked.dict({"cells": [], "metadata": looked.dict({"a": HUGE[kind](looked)})})
    assert is_large(notebook)
    assert looked.values <= 2 * SMALL


def test_of_a_huge_key_or_text_nothing_is_looked_at() -> None:
    text = "a" * 20_000_000
    started = time.thread_time()
    assert is_large(text) and is_large({text: 1}) and is_large({"key": [{text: [1]}]})
    assert time.thread_time() - started < MOST_CPU


def test_what_is_empty_or_no_content_is_small() -> None:
    small: list[Any] = [None, "", {}, [], 1, {"cells": [], "metadata": {}}]
    assert not any(is_large(content) for content in small)


UNITS = ["pwd=", "key=", "api_key=", "密码=", "p\u200bwd=", "<b>pwd</b>=", "password: aB3$xY7!q\n", "password = \n"]


def notebook(**metadata: Any) -> dict[str, Any]:
    return {"cells": [], "metadata": metadata}


def cells(source: str, count: int) -> dict[str, Any]:
    cell = {"source": source, "outputs": [{"output_type": "stream", "text": source}]}
    return {"cells": [cell] * count}


FORMS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "source": lambda unit, n: {"cells": [{"source": (unit * n)[:n]}]},
    "telling name": lambda unit, n: notebook(key=(unit * n)[:n]),
    "list under a telling name": lambda unit, n: notebook(key=[(unit * n)[:n], unit]),
    "items": lambda unit, n: notebook(key=[unit] * n),
    "items below a long name": lambda unit, n: notebook(**{unit * 16: ["", 1] * n}),
    "keys": lambda unit, n: notebook(**{f"{unit}{i}": "" for i in range(n)}),
    "one key": lambda unit, n: notebook(**{(unit * n)[:n]: ""}),
    "cells": lambda unit, n: cells(unit[:4], n),
    "empty cells": lambda unit, n: {"cells": [{}] * n},
    "numbers": lambda unit, n: notebook(**{unit: [1] * n}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_slowest_that_is_small_is_quick(form: str) -> None:
    plugins.warm()
    scanner = Scanner()
    for unit in UNITS:
        most = bisect_left(range(1, SMALL + 2), True, key=lambda n: is_large(FORMS[form](unit, n)))
        content = FORMS[form](unit, most)
        assert not is_large(content) and is_large(FORMS[form](unit, most + 1))
        assert min(_cpu(lambda: scanner.redact_notebook(content)) for _ in range(3)) < MOST_CPU, unit  # noqa: B023


@pytest.mark.parametrize("unit", UNITS)
def test_the_slowest_file_that_is_small_is_quick(unit: str) -> None:
    plugins.warm()
    scanner, text = Scanner(), (unit * SMALL)[:SMALL]
    assert not is_large(text) and is_large(text + "a")
    assert min(_cpu(lambda: scanner.scan_text(text)) for _ in range(3)) < MOST_CPU


def _cpu(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
