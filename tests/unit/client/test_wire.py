"""Answers of a gateway that make no sense are said so, and are no surprise to whoever asked."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_qsec.client import wire
from jupyter_qsec.domain.errors import UnavailableError


@pytest.mark.parametrize("value", [None, "text", 1, {}, ["text", None], [["text"]]])
def test_what_must_be_a_list_of_texts_and_is_not(value: Any) -> None:
    with pytest.raises(UnavailableError, match="no list of texts"):
        wire.texts({"secrets": value}, "secrets")


def test_what_is_missing() -> None:
    with pytest.raises(UnavailableError, match="has no 'secrets'"):
        wire.texts({}, "secrets")


def test_what_is_one() -> None:
    assert wire.texts({"secrets": ["a", "b"]}, "secrets") == ["a", "b"]
