"""Every kind that is found can be explained."""

from __future__ import annotations

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.finding import Fingerprinter
from jupyter_qsec.scanning.kinds import KINDS, kind_of
from jupyter_qsec.scanning.rules import RULES
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.scanning.severity import Severity
from jupyter_qsec.scanning.shapes import SHAPES
from tests.unit.scanning.planted import AWS_KEY

PRINTER = Fingerprinter(b"k" * 32)


def test_every_rule_has_a_kind_with_a_description_and_advice() -> None:
    found = {rule.kind for rule in RULES} | {shape.kind for shape in SHAPES} | {pem.KIND, "lease-token"}
    assert found == set(KINDS)
    assert all(name == kind.name and kind.description and kind.advice.endswith(".") for name, kind in KINDS.items())


def test_severities_are_ordered_and_have_labels() -> None:
    assert Severity.LOW < Severity.MEDIUM < Severity.HIGH < Severity.CRITICAL
    assert [Severity.labelled(severity.label) for severity in Severity] == list(Severity)


def test_a_kind_that_no_rule_has_is_a_live_secret() -> None:
    assert kind_of("payroll-database").severity is Severity.CRITICAL


def test_a_finding_tells_line_and_column() -> None:
    text = f"one\n  key = '{AWS_KEY}'\n"
    (in_file,) = Scanner().scan_text(text)
    cell = {"cell_type": "code", "source": text, "outputs": [], "metadata": {}}
    (in_cell,) = Scanner().scan_notebook({"cells": [cell]})
    for finding in (in_file, in_cell):
        assert (finding.line, finding.column, finding.severity) == (2, 10, Severity.CRITICAL)
