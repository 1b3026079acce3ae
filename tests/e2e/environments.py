"""Python environments beside that of the server, made without a network: they see some of its packages by links."""

from __future__ import annotations

import json
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement


@dataclass(frozen=True)
class OtherEnvironment:
    """One of them. Its pip installs into it, and jupyter_qsec is not in it."""

    prefix: Path

    @classmethod
    def make(cls, prefix: Path, *packages: str) -> OtherEnvironment:
        """With these packages, what they need, and a pip of its own; with conda's marks, so that tools take it for one
        of conda's."""
        venv.create(prefix, with_pip=True, symlinks=True)
        (prefix / "conda-meta").mkdir()
        (prefix / "conda-meta" / "history").write_text("==> 2026-01-01 00:00:00 <==\n")
        made = cls(prefix)
        for path in top_level(packages):
            link = made.site_packages / path.name
            if not link.exists():
                link.symlink_to(path)
        return made

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def add_kernelspec(self, folder: Path, name: str, *before: str) -> None:
        """Below one of Jupyter's data folders; `before` is what its command begins with."""
        spec: dict[str, Any] = {
            "argv": [*before, str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": f"Python [{name}]",
            "language": "python",
            "env": {"CONDA_PREFIX": str(self.prefix), "CONDA_DEFAULT_ENV": self.prefix.name},
        }
        (folder / "kernels" / name).mkdir(parents=True)
        (folder / "kernels" / name / "kernel.json").write_text(json.dumps(spec))

    def add_runner(self) -> Path:
        """A program that activates an environment and becomes the kernel, as `conda run` and nb_conda_kernels do."""
        runner = self.prefix / "bin" / "run-in-environment"
        runner.write_text('#!/bin/sh\nexport CONDA_PREFIX="$1" PATH="$1/bin:$PATH" ACTIVATED=yes\nshift\nexec "$@"\n')
        runner.chmod(0o755)
        return runner


def top_level(packages: tuple[str, ...]) -> set[Path]:
    """What the packages and all that they need have put into site-packages."""
    found: dict[str, Distribution] = {}
    wanted = list(packages)
    while wanted:
        name = wanted.pop().lower()
        if name not in found:
            found[name] = distribution(name)
            needed = map(Requirement, found[name].requires or ())
            wanted += [item.name for item in needed if item.marker is None or item.marker.evaluate({"extra": ""})]
    tops = {(held.locate_file(""), file.parts[0]) for held in found.values() for file in held.files or ()}
    return {Path(str(folder)) / top for folder, top in tops if top not in ("..", "__pycache__")}
