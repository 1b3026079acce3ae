"""Shared by the tests of the command line."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.contract.auditing import fill


@pytest.fixture(scope="session")
def audit_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("audit") / "home"
    home.mkdir(mode=0o700)
    asyncio.run(fill(home))
    return home


@pytest.fixture
def audit_home(audit_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with 20 records, of which checkpoints signed the first 5 and the first 12. It is not the
    default one: a command that forgets `--home` finds nothing."""
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "unset"))
    return Path(shutil.copytree(audit_template, tmp_path / "home"))
