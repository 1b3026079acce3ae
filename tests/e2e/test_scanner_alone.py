"""The base install: a scanner and a command line. Braket, JupyterLab and servers are not there, and are not missed
until somebody asks for what needs them; then one line says what to install."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

import jupyter_qsec
from tests.contract.auditing import fill
from tests.e2e.environments import OtherEnvironment, top_level

ROOT = Path(__file__).parents[2]
KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
OTHER_WINGS = {
    *("IPython", "alembic", "boto3", "braket", "cedarpy", "cryptography", "distributed", "ipykernel", "jupyter_client"),
    *("jupyter_events", "jupyter_server", "jupyterhub", "jupyterlab", "keyring", "sqlalchemy", "tornado", "zmq"),
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> OtherEnvironment:
    """What `pip install jupyter_qsec` makes, by links instead of a network: the package, its scripts, and what its base
    dependencies and theirs have put into site-packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    made = OtherEnvironment(tmp_path_factory.mktemp("alone") / "venv")
    venv.create(made.prefix, with_pip=False, symlinks=True)
    base = [Requirement(text).name for text in project["dependencies"]]
    for path in top_level(tuple(base)):
        (made.site_packages / path.name).symlink_to(path)
    (made.site_packages / "jupyter_qsec").symlink_to(Path(jupyter_qsec.__file__).parent)
    for name, target in {**project["scripts"], "jupyter": "jupyter_core.command:main"}.items():
        module, function = target.split(":")
        script = made.prefix / "bin" / name
        script.write_text(f"#!{made.python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        script.chmod(0o755)
    return made


@pytest.fixture
def run(alone: OtherEnvironment, tmp_path: Path) -> Run:
    """In a folder with one notebook, and with nothing of this environment but Git and a shell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"key = '{KEY}'")])
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    nbformat.write(notebook, tmp_path / "work" / "a.ipynb")
    environment = {"PATH": f"{alone.prefix / 'bin'}{os.pathsep}/usr/bin:/bin", "HOME": str(tmp_path / "home")}

    def done(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return done


def test_nothing_of_the_other_wings_is_there(run: Run) -> None:
    assert all(importlib.util.find_spec(name) for name in OTHER_WINGS), "here it would be, if anybody imported it"
    code = f"import importlib.util as u; print([name for name in {sorted(OTHER_WINGS)} if u.find_spec(name)])"
    assert run("python", "-c", code).stdout == "[]\n"


@pytest.mark.parametrize("command", [["jupyter-qsec"], ["jupyter", "qsec"]], ids=" ".join)
def test_files_are_scanned(run: Run, command: list[str]) -> None:
    text = run(*command, "scan", ".")
    assert (text.returncode, text.stderr) == (1, "1 secret found in 1 file.\n")
    assert text.stdout == "a.ipynb: cell 1, source, line 1: aws-access-key AKIA****\n"
    sarif = run(*command, "scan", "--format", "sarif", ".")
    assert sarif.returncode == 1 and len(json.loads(sarif.stdout)["runs"][0]["results"]) == 1


def test_a_baseline_is_written_and_honoured_and_a_notebook_is_redacted(run: Run, tmp_path: Path) -> None:
    assert run("jupyter-qsec", "baseline", ".").returncode == 0
    assert run("jupyter-qsec", "scan", "--baseline", ".secrets.baseline", "a.ipynb").returncode == 0
    assert run("jupyter-qsec", "scan", "--fix", "a.ipynb").returncode == 1
    assert KEY not in (tmp_path / "work" / "a.ipynb").read_text("utf-8")


def test_every_command_explains_itself(run: Run) -> None:
    listed = run("jupyter-qsec", "--help")
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.partition("Commands:\n")[2].splitlines() if line[2:3] != " "]
    assert {"scan", "baseline", "exec", "gateway"} <= set(names)
    for name in names:
        shown = run("jupyter-qsec", name, "--help")
        assert (shown.returncode, shown.stderr) == (0, "") and shown.stdout.startswith(f"Usage: jupyter-qsec {name}")


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("jupyter-qsec: ")
    return done.stderr


@pytest.mark.parametrize("arguments", [["gateway"], ["exec", "--", "true"]], ids=" ".join)
def test_what_starts_a_gateway_names_the_extra(run: Run, arguments: list[str]) -> None:
    assert "pip install 'jupyter_qsec[gateway]'" in one_line(run("jupyter-qsec", *arguments))


@pytest.mark.parametrize("arguments", [["tasks", "list"], ["leases", "list"]], ids=" ".join)
def test_what_asks_a_gateway_says_that_there_is_none(run: Run, arguments: list[str]) -> None:
    assert "'jupyter qsec gateway'" in one_line(run("jupyter-qsec", *arguments))


def test_an_audit_log_that_was_brought_here_is_read_and_only_signatures_need_the_extra(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.mkdir(mode=0o700)
    asyncio.run(fill(log))
    listed = run("jupyter-qsec", "audit", "list", "--home", str(log))
    assert (listed.returncode, listed.stderr) == (0, "") and listed.stdout
    verified = run("jupyter-qsec", "audit", "verify", "--home", str(log))
    assert "pip install 'jupyter_qsec[gateway]'" in one_line(verified)


def test_the_doctor_names_both_extras(run: Run) -> None:
    done = run("jupyter-qsec", "doctor", "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["Jupyter"]["status"] == "warning" and "jupyter_qsec[lab]" in findings["Jupyter"]["remedy"]
    assert findings["key store"]["status"] == "wrong" and "jupyter_qsec[gateway]" in findings["key store"]["remedy"]


def test_the_scanner_imports_nothing_of_the_other_wings_where_they_are() -> None:
    """Every module of it, in the environment of this test, which has them all."""
    code = (
        "import importlib, pkgutil, sys, jupyter_qsec.scanning as scanning\n"
        "for module in pkgutil.walk_packages(scanning.__path__, 'jupyter_qsec.scanning.'):\n"
        "    importlib.import_module(module.name)\n"
        "from jupyter_qsec.scanning.scanner import Scanner\n"
        f"assert Scanner().scan_text('key = {KEY}')\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not (OTHER_WINGS | {"httpx", "traitlets", "jupyter_core"}) & set(done.stdout.split())
