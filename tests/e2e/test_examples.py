"""The example notebooks, executed as a person would: `jupyter qsec exec -- jupyter nbconvert --execute`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.e2e.tutorials import bars, drawing

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
BIN = Path(sys.executable).parent


def notebook(path: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(path.read_text())
    return content


def cell(content: Mapping[str, Any], cell_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(entry for entry in content["cells"] if entry["id"] == cell_id)
    return found


def texts(executed: Mapping[str, Any]) -> str:
    """Everything that a cell printed or showed as plain text."""
    parts = []
    for output in executed["outputs"]:
        parts.append("".join(output.get("text", "")))
        parts.append("".join(output.get("data", {}).get("text/plain", "")))
    return "\n".join(parts)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_committed_without_outputs(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for entry in notebook(path)["cells"]:
        if entry["cell_type"] == "code":
            assert entry["outputs"] == []
            assert entry["execution_count"] is None


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The first example after a run in an empty home, with a root credential in the environment outside."""
    folder = tmp_path_factory.mktemp("examples")
    home = folder / "home"
    home.mkdir()
    environment = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "JUPYTER_QSEC_HOME": str(home / "qsec"),
        "AWS_ACCESS_KEY_ID": "AKIAPLANTEDQSEC00002",
        "AWS_SECRET_ACCESS_KEY": "pLaNtEdRoOt/K7MDENG+bPxRfiCYqsecPLANTED2",
    }
    command = [str(BIN / "jupyter-qsec"), "exec", "--", str(BIN / "jupyter"), "nbconvert", "--to", "notebook"]
    command += ["--execute", str(EXAMPLES[0]), "--output-dir", str(folder), "--output", "executed.ipynb"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=folder, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return notebook(folder / "executed.ipynb")


@pytest.mark.kernel
class TestFirstTask:
    def test_plain_sdk_code_runs_offline(self, executed: Mapping[str, Any]) -> None:
        printed = texts(cell(executed, "run"))
        assert printed.startswith("Counter({")
        assert "'00'" in printed and "'11'" in printed
        assert "'01'" not in printed and "'10'" not in printed

    def test_the_histogram_is_drawn(self, executed: Mapping[str, Any]) -> None:
        [output] = cell(executed, "plot")["outputs"]
        width, height = drawing(output["data"]["image/png"])
        assert 400 <= width <= 2000 and 150 <= height <= 1500

    def test_the_magic_needs_no_loading(self, executed: Mapping[str, Any]) -> None:
        shown = texts(cell(executed, "ghz"))
        assert "completed in" in shown
        assert "arn:aws:braket:us-east-1:" in shown
        html = "".join("".join(output["data"]["text/html"]) for output in cell(executed, "ghz")["outputs"])
        assert bars(html) >= 2, "one for each outcome"
        assert "Counter({" in texts(cell(executed, "ghz-counts"))

    def test_the_status_shows_the_lease_and_both_tasks(self, executed: Mapping[str, Any]) -> None:
        shown = texts(cell(executed, "status"))
        assert "Lease " in shown
        assert shown.count("COMPLETED") == 2

    def test_no_cell_fails_and_no_credential_gets_in(self, executed: Mapping[str, Any]) -> None:
        outputs = [output for entry in executed["cells"] for output in entry.get("outputs", ())]
        assert [output for output in outputs if output["output_type"] == "error"] == []
        assert [output for output in outputs if output.get("name") == "stderr"] == []
        assert "PLANTED" not in json.dumps(executed)
