"""The JupyterLab extension's package files agree with the Python package and name nobody's registry."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jupyter_qsec

ROOT = Path(__file__).parents[3]


def package() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "package.json").read_text())
    return content


def test_both_packages_carry_one_version() -> None:
    assert package()["version"] == jupyter_qsec.__version__


def test_the_lock_names_no_host() -> None:
    # Resolutions look like "name@npm:1.2.3"; an address would tie the installation to one registry.
    lock = (ROOT / "yarn.lock").read_text()
    assert re.findall(r"^.*(?:https?:|archiveUrl|registry\.).*$", lock, re.MULTILINE) == []


def test_what_is_built_is_where_the_wheel_and_the_develop_command_look() -> None:
    built = Path(package()["jupyterlab"]["outputDir"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    (path,) = jupyter_qsec._jupyter_labextension_paths()
    assert shared[built.as_posix()] == f"share/jupyter/labextensions/{path['dest']}"
    assert Path("jupyter_qsec", path["src"]) == built


def test_the_settings_belong_to_a_plugin() -> None:
    sources = (ROOT / "labextension/src/index.ts").read_text()
    plugins = set(re.findall(r"\bid: '(jupyter_qsec:[a-z]+)'", sources))
    assert plugins == {f"jupyter_qsec:{name}" for name in ("model", "commands", "panel", "status")}
    for schema in (ROOT / package()["jupyterlab"]["schemaDir"]).glob("*.json"):
        assert f"jupyter_qsec:{schema.stem}" in plugins
