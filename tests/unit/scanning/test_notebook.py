"""Notebooks cell by cell."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import nbformat
import pytest

from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError
from jupyter_qsec.scanning.baseline import Baseline
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig
from tests.unit.scanning.planted import AWS_KEY, AWS_SECRET, BENIGN, PLANTED, RSA_KEY

SCANNER = Scanner(ScannerConfig(b"0123456789abcdef"))


def cell(source: Any = "", *outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"cell_type": "code", "execution_count": None, "id": "c-1", "outputs": list(outputs)}
    return {**base, "metadata": {}, "source": source, **more}


def notebook(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}


def redacted(value: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str, int, str]]]:
    before = copy.deepcopy(value)
    new, findings = SCANNER.redact_notebook(value, filename="a.ipynb")
    assert value == before
    assert SCANNER.scan_notebook(value, filename="a.ipynb") == findings
    return new, [(f.cell, f.place, f.line, f.kind) for f in findings]


@pytest.mark.parametrize(
    ("kind", "secret", "text"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _, _) in enumerate(PLANTED)]
)
def test_a_secret_in_a_source_is_found_and_removed(kind: str, secret: str, text: str) -> None:
    new, found = redacted(notebook(cell("x = 1"), cell(f"# first\n{text}")))
    assert found == [("2", "source", text.count("\n", 0, text.index(secret)) + 2, kind)]
    assert json.dumps(secret)[1:-1] not in json.dumps(new)


def test_every_place_is_looked_at() -> None:
    data = {"text/plain": AWS_KEY, "image/png": base64.b64encode(b"png").decode()}
    new, found = redacted(
        notebook(
            cell(
                [f"a = '{AWS_KEY}'\n", "b = 2"],
                {"output_type": "stream", "name": "stdout", "text": ["one\n", f"{AWS_KEY}\n"]},
                {"output_type": "execute_result", "data": data, "metadata": {"k": AWS_KEY}, "execution_count": 1},
                {"output_type": "error", "ename": "E", "evalue": AWS_KEY, "traceback": ["x", AWS_KEY]},
                metadata={"tags": [AWS_KEY]},
            ),
            {
                "cell_type": "markdown",
                "id": "m",
                "metadata": {},
                "source": "",
                "attachments": {"f": {"text/plain": AWS_KEY}},
            },
            metadata={"author": AWS_KEY},
        )
    )
    assert AWS_KEY not in json.dumps(new)
    places = [("1", "metadata"), ("1", "source"), *[("1", "output")] * 5, ("2", "attachment"), ("", "metadata")]
    assert sorted((where, place) for where, place, _, _ in found) == sorted(places)
    assert new["cells"][0]["source"] == ["a = '[REDACTED:aws-access-key]'\n", "b = 2"]
    nbformat.validate(nbformat.from_dict(new))


def test_prints_that_follow_one_another_are_one_text() -> None:
    parts = [
        {"output_type": "stream", "name": "stdout", "text": part} for part in (AWS_KEY[:5], AWS_KEY[5:11], AWS_KEY[11:])
    ]
    new, found = redacted(notebook(cell("", *parts)))
    assert [output["text"] for output in new["cells"][0]["outputs"]] == ["[REDACTED:aws-access-key]", "", ""]
    assert found == [("1", "output", 1, "aws-access-key")]


def test_a_key_that_was_printed_over_is_seen_as_viewers_show_it() -> None:
    """As nbclient and Git keep it; JupyterLab saves what can be seen."""
    texts = (f"     {AWS_KEY[4:]}\r ", f"{AWS_KEY[:3]}x\b{AWS_KEY[3]}\n")
    outputs = [{"output_type": "stream", "name": "stdout", "text": text} for text in texts]
    new, found = redacted(notebook(cell("", *outputs)))
    assert [output["text"] for output in new["cells"][0]["outputs"]] == ["     [REDACTED:aws-access-key]", "\n"]
    assert found == [("1", "output", 1, "aws-access-key")]


def test_prints_on_different_streams_are_not_mixed() -> None:
    parts = [
        {"output_type": "stream", "name": name, "text": text} for name, text in (("stdout", "AKIA\n"), ("stderr", "ok"))
    ]
    assert redacted(notebook(cell("", *parts)))[1] == []


def test_a_clean_notebook_comes_back_equal() -> None:
    outputs = [{"output_type": "display_data", "metadata": {}, "data": {"text/plain": text}} for _, text in BENIGN]
    value = notebook(*(cell(text.splitlines(keepends=True)) for _, text in BENIGN), cell("", *outputs))
    assert redacted(value) == (value, [])


def test_a_notebook_of_format_three_is_scanned_in_its_worksheets() -> None:
    old = {
        "nbformat": 3,
        "metadata": {},
        "worksheets": [{"cells": [{"cell_type": "code", "input": [f"k='{AWS_KEY}'"]}]}],
    }
    new, found = redacted(old)
    assert found == [("1", "source", 1, "aws-access-key")] and AWS_KEY not in json.dumps(new)


def test_an_allowed_secret_stays_where_a_person_wrote_it_and_nowhere_else() -> None:
    line = f"k = '{AWS_KEY}'  # pragma: allowlist secret"
    new, found = redacted(notebook(cell(line, {"output_type": "stream", "name": "stdout", "text": line})))
    assert new["cells"][0]["source"] == line
    assert found == [("1", "output", 1, "aws-access-key")]


@pytest.mark.parametrize(
    "value", [{}, {"cells": {}}, {"cells": [1]}, {"cells": [{"outputs": 3}]}, {"worksheets": 1}, [], "x", None], ids=str
)
def test_what_is_no_notebook_is_an_invalid_request(value: Any) -> None:
    for function in (SCANNER.redact_notebook, SCANNER.scan_notebook):
        with pytest.raises(InvalidRequestError):
            function(value, filename="a.ipynb")


def test_unusual_parts_are_scanned_rather_than_skipped() -> None:
    odd = notebook(
        cell({"nested": AWS_KEY}, {"output_type": "stream", "name": "stdout", "text": {"x": AWS_KEY}}), extra=[AWS_KEY]
    )
    assert AWS_KEY not in json.dumps(redacted(odd)[0])


def test_a_notebook_too_deep_to_scan_is_refused() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(TooLargeError):
        SCANNER.redact_notebook(notebook(metadata=deep), filename="a.ipynb")


def test_findings_hold_no_secret_but_name_equal_ones_alike() -> None:
    value = notebook(cell(f"s = '{AWS_KEY}'"), cell(f"aws_secret_access_key = '{AWS_SECRET}'\nagain = '{AWS_KEY}'"))
    findings = SCANNER.scan_notebook(value, filename="a.ipynb")
    assert AWS_KEY not in repr(findings) and AWS_SECRET not in repr(findings)
    first, _, again = findings
    assert first.fingerprint == again.fingerprint and first.cell_id == "c-1"
    other = Scanner(ScannerConfig(b"another-key-of-16")).scan_notebook(value)
    assert first.fingerprint != other[0].fingerprint


def test_a_baseline_leaves_out_what_it_lists_in_that_file_only() -> None:
    known = Baseline.parse(
        json.dumps(
            {
                "version": "1.5.0",
                "results": {
                    "./nb/a.ipynb": [
                        {"type": "AWS Access Key", "hashed_secret": "ab160d11ffaab54ae1827fec57c7b473de2f20ea"},
                        {"type": "Private Key", "hashed_secret": "be4fc4886bd949b369d5e092eb87494f12e57e5b"},
                    ]
                },
            }
        )
    )
    value = notebook(cell(f"a = '{AWS_KEY}'"), cell(f"k = '''{RSA_KEY}'''"), cell("password = 'hunter2'"))
    scanner = Scanner(ScannerConfig(baseline=known))
    listed = scanner.scan_notebook(value, filename="nb/a.ipynb")
    other = scanner.scan_notebook(value, filename="nb/b.ipynb")
    assert [f.kind for f in listed] == ["assigned-secret"] and len(other) == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 3}', '{"results": {"a": [{}]}}', "[" * 100_000])
def test_what_is_no_baseline_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Baseline.parse(text)


def test_a_finding_says_which_part_and_points_to_it() -> None:
    data = {"text/html": [f"<b>{AWS_KEY}</b>"], "image/png": "aaaa"}
    value = notebook(
        cell([f"a = '{AWS_KEY}'"]),
        cell(
            "x",
            {"output_type": "stream", "name": "stderr", "text": ["one\n", AWS_KEY]},
            {"output_type": "display_data", "data": data, "metadata": {}},
            {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x", AWS_KEY]},
            attachments={"a.txt": {"text/plain": AWS_KEY}},
        ),
        metadata={"deep": {"er/er": AWS_KEY}},
    )
    assert [(f.cell, f.place, f.part, f.line, f.pointer) for f in SCANNER.scan_notebook(value)] == [
        ("1", "source", "", 1, "/cells/0/source"),
        ("2", "output", "stderr", 2, "/cells/1/outputs/0/text"),
        ("2", "output", "text/html", 1, "/cells/1/outputs/1/data/text~1html/0"),
        ("2", "output", "traceback", 2, "/cells/1/outputs/2/traceback"),
        ("2", "attachment", "a.txt", 1, "/cells/1/attachments/a.txt/text~1plain"),
        ("", "metadata", "er/er", 1, "/metadata/deep/er~1er"),
    ]


def test_a_pointer_holds_no_secret() -> None:
    found = SCANNER.scan_notebook(notebook(metadata={AWS_KEY: {"x": AWS_KEY}}))
    assert [f.pointer for f in found] == ["/metadata", "/metadata/[REDACTED:aws-access-key]/x"]


TAGGED = {"tags": ["qsec-allow"]}


def test_a_tagged_cell_is_left_out_of_reports() -> None:
    shown = {"output_type": "stream", "name": "stdout", "text": AWS_KEY}
    value = notebook(cell(f"a = '{AWS_KEY}'", shown, metadata=TAGGED), cell(f"b = '{AWS_KEY}'"))
    assert [f.cell for f in SCANNER.scan_notebook(value)] == ["2"]


def test_a_tagged_cell_keeps_its_source_but_not_what_its_outputs_show() -> None:
    shown = {"output_type": "stream", "name": "stdout", "text": AWS_KEY}
    new, found = SCANNER.redact_notebook(notebook(cell(f"a = '{AWS_KEY}'", shown, metadata=TAGGED)))
    assert new["cells"][0]["source"] == f"a = '{AWS_KEY}'"
    assert new["cells"][0]["outputs"][0]["text"] == "[REDACTED:aws-access-key]"
    assert [f.place for f in found] == ["output"]


@pytest.mark.parametrize("tags", [None, "qsec-allow", {"qsec-allow": 1}, ["QSEC-ALLOW"], [["qsec-allow"]]], ids=str)
def test_only_the_very_tag_counts(tags: Any) -> None:
    assert SCANNER.scan_notebook(notebook(cell(AWS_KEY, metadata={"tags": tags})))


def test_neither_tag_nor_comment_lets_a_live_secret_pass() -> None:
    live = LiveSecrets()
    live.add("correct horse battery", "lab-token")
    scanner = Scanner(engine=Engine.default(live=live))
    source = "x = 'correct horse battery'  # pragma: allowlist secret"
    new, found = scanner.redact_notebook(notebook(cell(source, metadata=TAGGED)))
    assert [f.kind for f in found] == ["lab-token"] and "horse" not in json.dumps(new)
    assert [f.kind for f in scanner.scan_notebook(notebook(cell(source, metadata=TAGGED)))] == ["lab-token"]
    assert [f.kind for f in scanner.scan_text(source)] == ["lab-token"]
