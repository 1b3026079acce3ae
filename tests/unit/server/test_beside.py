"""Models that were scanned ahead of Jupyter's hook."""

from __future__ import annotations

from jupyter_qsec.server.beside import Passed


def test_what_was_scanned_counts_only_for_the_very_object() -> None:
    passed, model = Passed(), {"content": {"cells": []}}
    with passed.noted(model):
        assert passed.holds(model) and not passed.holds(dict(model))
        model["content"] = {"cells": []}
        assert not passed.holds(model)
    assert not passed.holds(model)
    assert not passed.holds({})
