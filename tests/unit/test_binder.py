"""What `binder/` promises to repo2docker, as far as it needs no image: the lock, and the wrapper around the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"
SCRIPTS = [BINDER / "postBuild", BINDER / "start"]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/home/jovyan"}
SHOW = "import json, os, sys; print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)]))"


def start(*arguments: str, environment: dict[str, str] = ENVIRONMENT) -> tuple[int, int, list[str], dict[str, str]]:
    """Below `start`, from another folder: the pid of what was started, and its own pid, arguments and environment."""
    command = [str(BINDER / "start"), sys.executable, "-c", SHOW, *arguments]
    with subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    pid, seen, variables = json.loads(output)
    return process.pid, pid, seen, variables


def pins(path: Path) -> dict[str, set[str]]:
    """Each pinned requirement, marker included, and the hashes that it may have."""
    found: dict[str, set[str]] = {}
    for entry in path.read_text("utf-8").replace("\\\n", "").splitlines():
        if entry.strip() and not entry.lstrip().startswith("#"):
            pin, *hashes = re.split(r"\s+--hash=", entry.strip())
            found[pin.partition(";")[0].strip()] = set(hashes)
    return found


def test_arguments_pass_untouched() -> None:
    arguments = ["--ip=0.0.0.0", "two words", "", "*", "'\"$HOME`id`\\", "a\nb", "--"]
    assert start(*arguments)[2] == arguments


def test_the_server_takes_the_place_of_the_script() -> None:
    started, own, _, _ = start()
    assert own == started


def test_it_sets_the_sandbox_and_nothing_else() -> None:
    added = {name: value for name, value in start()[3].items() if name not in ENVIRONMENT}
    for of_the_shell in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"):
        added.pop(of_the_shell, None)
    assert added == {"JUPYTER_CONFIG_PATH": str(BINDER / "config"), "JUPYTER_QSEC_HOME": "/home/jovyan/.jupyter-qsec"}


def test_what_the_image_set_already_stays() -> None:
    chosen = {**ENVIRONMENT, "JUPYTER_CONFIG_PATH": "/etc/image", "JUPYTER_QSEC_HOME": "/data/qsec"}
    variables = start(environment=chosen)[3]
    assert variables["JUPYTER_QSEC_HOME"] == "/data/qsec"
    assert variables["JUPYTER_CONFIG_PATH"] == f"{BINDER / 'config'}:/etc/image"


def test_the_lock_is_a_part_of_the_projects_lock() -> None:
    ours, all_of_them = pins(BINDER / "requirements.txt"), pins(ROOT / "requirements.lock")
    assert ours and all(ours.values()), "each pin has hashes"
    assert {pin: hashes for pin, hashes in ours.items() if all_of_them.get(pin) != hashes} == {}


def test_the_lock_leaves_the_hubs_side_of_the_image_alone() -> None:
    """jupyterhub-singleuser must stay the one that the image's maker tested with its hub."""
    assert [pin for pin in pins(BINDER / "requirements.txt") if pin.startswith("jupyterhub")] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_executable_and_parse(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True, timeout=30)
    assert script.name != "start" or script.read_text("utf-8").rstrip().endswith('\nexec "$@"')


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    subprocess.run(["shellcheck", script], check=True, timeout=60)
