"""Checks of Jupyter: is the extension on, do kernels start through qsec, what could a confined kernel still reach?"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_core.application import JupyterApp
from jupyter_core.paths import jupyter_config_path
from traitlets import Unicode

from jupyter_qsec.cli.checks_machine import Check
from jupyter_qsec.client.endpoints import Endpoints

_GROUP = "jupyter_client.kernel_provisioners"
_NAME = "qsec-provisioner"
_PROBE_SECONDS = 20.0


def check(*, probe: bool) -> Iterator[Check]:
    if find_spec("jupyter_client") is None:
        text = "no notebook server and no kernels are installed here; scans need none"
        yield Check("Jupyter", "warning", text, "For notebooks with leases: pip install 'jupyter_qsec[lab]'")
        return
    yield extension_enabled([Path(folder) for folder in jupyter_config_path()])
    yield extension_importable()
    yield provisioner()
    yield from kernelspecs()
    if probe:
        yield confinement()


def extension_enabled(config_path: list[Path]) -> Check:
    """Whether Jupyter Server would load the extension; the first folder that says something decides."""
    name = "server extension"
    for folder in config_path:
        files = [folder / "jupyter_server_config.json", *sorted((folder / "jupyter_server_config.d").glob("*.json"))]
        for file in files:
            said = _enabled_in(file)
            if said is False:
                return Check(
                    name, "wrong", f"switched off in {file}", "Run: jupyter server extension enable jupyter_qsec"
                )
            if said is True:
                return Check(name, "ok", f"enabled in {file}")
    return Check(name, "wrong", "not enabled for Jupyter Server", "Run: jupyter server extension enable jupyter_qsec")


def _enabled_in(file: Path) -> bool | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        said = value["ServerApp"]["jpserver_extensions"]["jupyter_qsec"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, bool) else None


def extension_importable() -> Check:
    try:
        importlib.import_module("jupyter_qsec.server.extension")  # by name: the command line needs no server
    except Exception as error:  # noqa: BLE001 - whatever an import can raise is what the person must hear about
        return Check(
            "server extension",
            "wrong",
            f"it cannot be imported ({type(error).__name__}: {error})",
            "Run: pip install 'jupyter_qsec[lab]'",
        )
    return Check("server extension", "ok", "can be imported")


def provisioner() -> Check:
    """Jupyter says 'No such kernel named python3' when this entry point is broken."""
    name, remedy = "kernel provisioner", "Reinstall: pip install --force-reinstall 'jupyter_qsec[lab]'"
    entries = [entry for entry in metadata.entry_points(group=_GROUP) if entry.name == _NAME]
    if not entries:
        return Check(name, "wrong", f"the entry point {_NAME} is not installed: 'exec' starts no kernels", remedy)
    try:
        entries[0].load()
    except Exception as error:  # noqa: BLE001 - as above
        reason = f"{entries[0].value} cannot be imported ({type(error).__name__}: {error})"
        text = f"{reason}; Jupyter calls that 'No such kernel'"
        return Check(name, "wrong", text, remedy)
    return Check(name, "ok", f"{_NAME} is installed and can be imported")


def _exists(program: str) -> bool:
    """Whether Jupyter could start this; a bare `python` it takes for the one that it runs on itself."""
    major, minor = sys.version_info[:2]
    if program in ("python", f"python{major}", f"python{major}.{minor}"):
        return True
    return shutil.which(program) is not None or Path(program).is_file()


def kernelspecs() -> Iterator[Check]:
    from jupyter_client.kernelspec import KernelSpecManager

    try:
        found = KernelSpecManager().get_all_specs()
    except Exception as error:  # noqa: BLE001 - a broken provisioner or kernel.json must not end the examination
        yield Check(
            "kernels",
            "wrong",
            f"Jupyter cannot list its kernels ({type(error).__name__})",
            "Run: jupyter kernelspec list",
        )
        return
    broken = [name for name, entry in found.items() if not _exists((entry["spec"].get("argv") or [""])[0])]
    pinned = [
        name
        for name, entry in found.items()
        if (entry["spec"].get("metadata") or {}).get("kernel_provisioner", {}).get("provisioner_name", _NAME) != _NAME
    ]
    if not found:
        yield Check("kernels", "wrong", "Jupyter knows no kernel", "Run: python -m ipykernel install --sys-prefix")
    elif broken:
        text = f"the programs of these kernels do not exist: {', '.join(sorted(broken))}"
        yield Check("kernels", "warning", text, "Remove them: jupyter kernelspec remove NAME")
    else:
        yield Check("kernels", "ok", ", ".join(sorted(found)))
    if pinned:
        text = f"these kernels name a provisioner of their own: {', '.join(sorted(pinned))}"
        yield Check("kernels", "warning", text, "JupyterLab starts them through qsec all the same; nbconvert does not.")


class _ServerConfiguration(JupyterApp):
    """Reads the files that a Jupyter Server here would read."""

    name = "jupyter-server"
    config_file_name = Unicode("jupyter_server_config")


def _settings() -> Any:
    """What these files say about kernels. Raises whatever a broken one makes traitlets raise."""
    from jupyter_qsec.kernels.provisioner import QsecProvisioner

    server = _ServerConfiguration(raise_config_file_errors=True)
    server.load_config_file(suppress_errors=False)
    return QsecProvisioner(kernel_id="doctor", kernel_spec=None, parent=server)


def confinement() -> Check:
    """Start a process as kernels are started here, and let the probe inside try all that must be out of reach."""
    from jupyter_qsec.kernels import confinement as confining

    name = "confinement"
    if not confining.supported():
        return Check(name, "warning", f"kernels run unconfined: {confining.OTHER_SYSTEM}", "See the threat model.")
    try:
        settings = _settings()
    except Exception as error:  # noqa: BLE001 - as above
        text = f"the configuration of Jupyter Server cannot be read ({type(error).__name__}: {error})"
        return Check(name, "wrong", text, "Correct it: servers start with their defaults, or not at all.")
    if settings.confinement == "off":
        text = "kernels run unconfined: QsecProvisioner.confinement is 'off'"
        return Check(name, "warning", text, "See the threat model.")
    verdict = _verdict(settings)
    if verdict.state == "confined":
        files = "and no file but those listed" if settings.file_access == "listed" else "that were tried"
        text = f"a kernel could reach none of the credential files, keyrings and tokens {files}"
        return Check(name, "ok", text)
    reasons = "; ".join(verdict.reasons)
    if settings.confinement == "required":
        return Check(
            name, "wrong", f"kernels do not start, as they cannot be confined: {reasons}", "See the threat model."
        )
    return Check(
        name,
        "warning",
        f"kernels run unconfined: {reasons}",
        "Treat notebooks from others as you would treat programs from others; see the threat model.",
    )


def _verdict(settings: Any) -> Any:
    from jupyter_qsec.kernels import confinement as confining
    from jupyter_qsec.kernels.environment import kernel_environment
    from jupyter_qsec.kernels.folders import make_folder

    folder = make_folder()
    try:
        spec = confining.plan(
            settings.confinement,
            folder,
            environ=os.environ,
            needed=[str(Path.home()), sys.prefix, sys.base_prefix, sys.executable],
            extra=settings.hidden_paths,
            listed=settings.listed(str(Path.home()), sys.executable, os.environ),
        )
        launch = confining.confine_command([sys.executable, "-c", "pass"], spec)
        environment = kernel_environment(
            os.environ, endpoints=Endpoints.on_loopback("http://127.0.0.1:9"), token_file=folder.token_file
        )
        process = subprocess.Popen(
            launch.argv,
            pass_fds=launch.pass_fds,
            env=environment,
            cwd=Path.home(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        launch.started()
        try:
            return asyncio.run(launch.verdict(_PROBE_SECONDS))
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
