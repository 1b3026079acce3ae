"""What repo2docker does with `binder/`, without Docker: a clone, an environment of its own, an empty home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_FOR_FETCHING = ("PIP_", "SSL_CERT_", "NODE_EXTRA_CA_CERTS", "YARN_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class BinderImage:
    """The folders of one image."""

    clone: Path
    environment: Path
    home: Path

    @classmethod
    def at(cls, folder: Path) -> BinderImage:
        image = cls(folder / "clone", folder / "environment", folder / "jovyan")
        image.home.mkdir()
        return image

    @property
    def variables(self) -> dict[str, str]:
        path = f"{self.environment / 'bin'}{os.pathsep}{os.defpath}"
        return {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}

    def check_out(self) -> None:
        """The files that git knows, as they lie in the working tree."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, timeout=30)
        for name in filter(None, listed.stdout.decode().split("\0")):
            target = self.clone / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)

    def install(self) -> None:
        """With pip, as repo2docker does: fetches everything."""
        venv.create(self.environment, with_pip=True)
        command = ["python", "-m", "pip", "install", "--quiet", "--no-cache-dir", "-r", "binder/requirements.txt"]
        self._run(command, self.variables | _for_fetching())

    def install_from_here(self) -> None:
        """The same distributions in the same versions, and no others, from the environment that runs the tests."""
        venv.create(self.environment, with_pip=True)
        for line in (self.clone / "binder/requirements.txt").read_text("utf-8").splitlines():
            if line and not line.startswith((" ", "#")):
                wanted = Requirement(line.rstrip(" \\"))
                if wanted.marker is None or wanted.marker.evaluate():
                    self._take(wanted)

    def _take(self, wanted: Requirement) -> None:
        found = metadata.distribution(wanted.name)
        assert found.version in wanted.specifier, f"{wanted} is locked, {found.version} is installed: make install"
        for entry in found.files or ():
            source = Path(os.path.normpath(str(found.locate_file(entry))))
            target = self.environment / source.relative_to(sys.prefix)
            if entry.suffix == ".pyc" and not source.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent == self.environment / "bin":
                here, there = f"#!{sys.prefix}/".encode(), f"#!{self.environment}/".encode()
                target.write_bytes(source.read_bytes().replace(here, there, 1))
                target.chmod(0o755)
            elif not target.exists():
                _link(source, target)

    def compiled_kernels(self) -> None:
        """Give the environment the kernels of the simulators that `make install` compiled for this one."""
        for kernel in Path(sys.prefix).glob(
            "lib/python*/site-packages/braket/default_simulator/**/__pycache__/*.nb[ci]"
        ):
            _link(kernel, self.environment / kernel.relative_to(sys.prefix))

    def fetched_packages_of_the_sidebar(self) -> None:
        """Give the clone what `make install` fetched for this one."""
        for source in (ROOT / ".yarn/cache").glob("*"):
            target = self.clone / ".yarn/cache" / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)

    def post_build(self, *, fetch: bool) -> None:
        offline = {"PIP_NO_INDEX": "1", "YARN_ENABLE_NETWORK": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self._run(["./binder/postBuild"], self.variables | (_for_fetching() if fetch else offline))

    def _run(self, command: list[str], variables: dict[str, str]) -> None:
        done = subprocess.run(
            command, cwd=self.clone, env=variables, check=False, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"


def _for_fetching() -> dict[str, str]:
    """Where a machine's owner wants packages to come from."""
    return {name: value for name, value in os.environ.items() if name.upper().startswith(_FOR_FETCHING)}


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)
