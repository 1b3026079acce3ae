"""Checks of the machine: versions, state directory, gateway, keys, credentials that lie around."""

from __future__ import annotations

import configparser
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from jupyter_qsec._version import __version__
from jupyter_qsec.client import wire
from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.endpoints import URL_VARIABLE
from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.responder import responders_reason
from jupyter_qsec.client.wire import is_overdue
from jupyter_qsec.domain.errors import QsecError

_MAX_FILE = 1 << 20
_STATE = "state directory"
_PACKAGES = (
    "jupyter_server",
    "jupyter_client",
    "ipykernel",
    "jupyterlab",
    "amazon-braket-sdk",
    "boto3",
    "cryptography",
)
# Files in which other quantum and cloud services keep static keys, below the home directory.
_OTHER_KEYS = (
    ".boto",
    ".qiskit/qiskit-ibm.json",
    ".config/dwave/dwave.conf",
    ".qcs/secrets.toml",
    ".azure/accessTokens.json",
    ".config/gcloud/application_default_credentials.json",
)
_KEY_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "QISKIT_IBM_TOKEN", "DWAVE_API_TOKEN", "IONQ_API_KEY")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `doctor`."""

    name: str
    status: Literal["ok", "warning", "wrong"]
    text: str
    remedy: str = ""


def check(home: QsecHome, environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """All checks that need neither Jupyter's configuration nor a new process."""
    yield versions()
    yield from state_directory(home)
    yield from gateway(home)
    yield from static_keys(Path.home(), environ)


def versions() -> Check:
    found = [f"jupyter_qsec {__version__}", f"Python {sys.version_info.major}.{sys.version_info.minor}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"{package} missing")
    missing = [entry for entry in found if entry.endswith("missing")]
    if missing:
        return Check(
            "versions", "warning", ", ".join(found), "Install what you use: pip install 'jupyter_qsec[lab,gateway]'"
        )
    return Check("versions", "ok", ", ".join(found))


def state_directory(home: QsecHome) -> Iterator[Check]:
    """The directory, and every file in it that carries power: all that is wrong with it."""
    if not os.path.lexists(home.path):
        yield Check(_STATE, "ok", f"{home.path} is made, mode 0700, when the first gateway starts")
        return
    problems = [*_full_disk(home.path), *_unusable(home)]
    yield from problems or [Check(_STATE, "ok", f"{home.path}, private to this user")]


def _full_disk(path: Path) -> Iterator[Check]:
    try:
        free = os.statvfs(path)
    except OSError:
        return  # told by `QsecHome.check`
    megabytes = free.f_bavail * free.f_frsize >> 20
    if megabytes < 100:
        text = f"only {megabytes} MB are free for {path}"
        yield Check(_STATE, "wrong", text, "Free some space: nothing is done without its record.")


def _unusable(home: QsecHome) -> Iterator[Check]:
    try:
        home.check()
    except QsecError as error:
        yield Check(_STATE, "wrong", error.message, error.remedy)
        status = home.path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or not os.access(home.path, os.R_OK):
            return
    try:
        open_to_others = sorted(path for path in _entries(home.path) if _is_open(path))
    except OSError as error:
        yield Check(_STATE, "wrong", f"{error.filename} cannot be read: {error.strerror}", "See its owner and mode.")
        return
    if open_to_others:
        names = ", ".join(str(path.relative_to(home.path)) for path in open_to_others[:5])
        text = f"open to others below {home.path}: {names}"
        yield Check(_STATE, "wrong", text, f"Run: chmod -R go-rwx {home.path}")
    for problem in _broken(home, open_to_others):
        yield Check(_STATE, "wrong", problem.message, problem.remedy)


def _broken(home: QsecHome, told: Sequence[Path]) -> Iterator[QsecError]:
    """Small files that exist and cannot be used, but for those that were told already."""
    for path, read in ((home.port_file, home.port), (home.control_token_file, home.control_token)):
        if path not in told and os.path.lexists(path):
            try:
                read()
            except QsecError as error:
                yield error


def _entries(folder: Path) -> Iterator[Path]:
    """The directory's own entries and the key files; results are private by their parent's mode."""
    yield from folder.iterdir()
    keys = folder / "keys"
    if keys.is_dir() and not keys.is_symlink():
        yield from keys.iterdir()


def _is_open(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & 0o077)


def gateway(home: QsecHome) -> Iterator[Check]:
    """The gateway's health, and where its keys lie."""
    if os.environ.get(URL_VARIABLE):
        yield remote_gateway(home)
        return
    try:
        running = home.running_gateway()
        port = home.port()
    except QsecError:
        return  # told by `state_directory`
    if running is None:
        reason = responders_reason(port)
        if reason:
            yield Check(
                "gateway", "wrong", f"it cannot run: {reason}", "Mend this; it is tried again every few seconds."
            )
        else:
            yield Check(
                "gateway", "ok", "none runs; JupyterLab, 'jupyter qsec exec' and 'jupyter qsec gateway' start one"
            )
        yield keyring_backend(home)
        return
    try:
        with connect(home, timeout=5) as client:
            if not client.healthy():
                yield Check("gateway", "wrong", "it can neither record nor decide", f"See its log in {home.logs}.")
            status = client.status()
            keys = root_secrets(client)
    except QsecError as error:
        yield Check("gateway", "wrong", error.message, error.remedy or f"See its log in {home.logs}.")
        return
    if status["version"] != __version__:
        yield Check(
            "gateway",
            "warning",
            f"version {status['version']} runs, {__version__} is installed",
            "Restart what started it (JupyterLab, or 'jupyter qsec gateway').",
        )
    else:
        yield Check("gateway", "ok", f"process {running.pid} on port {running.port}, version {status['version']}")
    yield Check("key store", "ok", status["keystore"])
    yield keys


def root_secrets(client: ControlClient) -> Check:
    """Whether a root secret should be replaced by now."""
    try:
        due = [record["name"] for record in client.root_secrets()["secrets"] if is_overdue(record)]
    except QsecError as error:  # an older gateway, or policies that do not let one look
        return Check("root keys", "warning", f"their age is not told: {error.message}")
    if not due:
        return Check("root keys", "ok", "none is due to be replaced")
    command = "set-aws" if due[0] == "aws" else f"rotate {due[0]}"
    remedy = f"Run: jupyter qsec keys {command} --reason 'it was due'"
    return Check("root keys", "warning", f"due to be replaced: {', '.join(due)}", remedy)


def remote_gateway(home: QsecHome) -> Check:
    """One that somebody else runs, and what it takes us for."""
    try:
        with connect(home, timeout=5) as client:
            client.send(wire.get("/health"))
            status = client.status()
    except QsecError as error:
        return Check("gateway", "wrong", error.message, error.remedy)
    tenants = ", ".join(tenant["id"] for tenant in status["tenants"]) or "none"
    text = f"{os.environ[URL_VARIABLE]}, version {status['version']}; you are {status['principal']['id']} in {tenants}"
    if status["version"].split(".")[:2] != __version__.split(".")[:2]:
        return Check("gateway", "warning", f"{text}; {__version__} is installed here", "Bring both to one version.")
    return Check("gateway", "ok", text)


def keyring_backend(home: QsecHome) -> Check:
    """Where a gateway would keep its keys. Asks no keyring for anything."""
    name = "key store"
    if any(home.keys.glob("*.key")):
        return Check(name, "ok", f"key files below {home.keys} (mode 0600)")
    try:
        import keyring
    except ImportError:
        return Check(name, "wrong", "the package keyring is missing", "Run: pip install 'jupyter_qsec[gateway]'")
    backend = keyring.get_keyring()
    label = f"{type(backend).__module__}.{type(backend).__name__}"
    if getattr(backend, "priority", 0) <= 0 or type(backend).__module__ == "keyring.backends.fail":
        return Check(
            name,
            "ok",
            f"this system offers no keyring ({label}); keys will lie in files below {home.keys} (mode 0600)",
        )
    return Check(name, "ok", f"the system's keyring ({label})")


def static_keys(user_home: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """Long-lived keys that any program of this user can read. Values are looked at, never shown."""
    found = []
    for path in (user_home / ".aws" / "credentials", user_home / ".aws" / "config"):
        profiles = _profiles_with_keys(path)
        if profiles:
            found.append(f"{path} (profiles {', '.join(profiles)})")
    found += [str(user_home / name) for name in _OTHER_KEYS if (user_home / name).is_file()]
    found += [f"the variable {name}" for name in _KEY_VARIABLES if environ.get(name)]
    if not found:
        yield Check("static keys", "ok", "no long-lived cloud credentials in the usual places")
    else:
        yield Check(
            "static keys",
            "warning",
            f"long-lived credentials lie in {'; '.join(found)}",
            "Confined kernels cannot read them; unconfined ones and programs below 'exec' are not led to them, but can."
            " Revoke them, or use a short-lived login.",
        )


def _profiles_with_keys(path: Path) -> list[str]:
    """Profiles with a static secret key; keys of temporary sessions (they have a session token) do not count."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        if path.stat().st_size > _MAX_FILE:
            return []
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return []
    return [
        section.removeprefix("profile ")
        for section in parser.sections()
        if parser.has_option(section, "aws_secret_access_key") and not parser.has_option(section, "aws_session_token")
    ]
