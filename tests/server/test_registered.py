"""A secret that somebody registered never leaves a kernel, in whatever form, from the moment it is registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import SHARED, RegisteredHere, SecretsFile, SharedSecretsFile
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.contents import SaveGuard
from tests.fakes.waiting import wait_for
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel

VALUE = "correct/horse+Battery=staple"
SPLIT = "'correct/horse+' + 'Battery=staple'"
MARK = "[REDACTED:lab-database]"


def test_a_running_kernel_takes_up_what_is_registered(kernel_world: KernelWorld) -> None:
    file = SecretsFile(QsecHome.default())
    kernel = kernel_world.start()
    print_it = f"s = {SPLIT}; print(s, s[::-1], s.encode().hex(), '-'.join(s))"
    assert VALUE in kernel.run(print_it).text
    file.add("lab-database", VALUE)

    def redacted() -> bool:
        kernel.manager.is_alive()  # as the server's restarter asks, every three seconds
        return kernel.run(print_it).text == f"{MARK} {MARK} {MARK} {MARK}\n"

    try:
        wait_for(redacted, "the relay to know the registered secret")
        another = kernel_world.start()
        assert another.run(print_it).text == f"{MARK} {MARK} {MARK} {MARK}\n"
    finally:
        file.remove("lab-database")


def test_a_kernel_knows_what_its_server_was_told_is_shared(
    kernel_world: KernelWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedSecretsFile(tmp_path / "shared.json")
    shared.add("lab-database", VALUE)
    monkeypatch.setenv(SHARED, str(shared.path))
    kernel = kernel_world.start()
    assert kernel.run(f"print({SPLIT})").text == f"{MARK}\n"
    look = f"try:\n    print(open({str(shared.path)!r}).read())\nexcept OSError as error:\n    print(type(error))"
    report = kernel_world.seen.reports[kernel.id]
    if report.confinement_state == "confined":
        assert "hint" not in kernel.run(look).text and '"key"' not in kernel.run(look).text


def test_no_kernel_starts_while_nobody_can_tell_what_is_registered(kernel_world: KernelWorld) -> None:
    file = SecretsFile(QsecHome.default())
    file.add("lab-database", VALUE)
    file.path.write_text("{")
    leases = len(kernel_world.api.active())
    try:
        with pytest.raises(Exception, match=r"registered-secrets\.json"):
            kernel_world.start()
        wait_for(lambda: len(kernel_world.api.active()) == leases, "the lease of the kernel that did not start to end")
    finally:
        file.path.unlink()


async def test_a_save_takes_it_out_and_fails_closed(jp_serverapp: Any, jp_root_dir: Path, tmp_path: Path) -> None:
    home = QsecHome(tmp_path / "state")
    manager = jp_serverapp.contents_manager
    engine = Engine.default(live=RegisteredHere(home))
    SaveGuard(Scanner(engine=engine), "redact", lambda findings, action: None).attach(manager)
    SecretsFile(home).add("lab-database", VALUE)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"x = {VALUE[::-1]!r}")])
    await manager.save({"type": "notebook", "content": json.loads(nbformat.writes(notebook))}, "a.ipynb")
    assert MARK in (jp_root_dir / "a.ipynb").read_text()
    SecretsFile(home).path.write_text("{")
    with pytest.raises(Exception, match="delete it and register"):
        await manager.save({"type": "notebook", "content": json.loads(nbformat.writes(notebook))}, "b.ipynb")
    assert not (jp_root_dir / "b.ipynb").exists()
