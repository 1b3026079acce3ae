"""Confinement from the outside: what to hide, how to start a kernel inside, and what its probe reported."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_core.paths import jupyter_runtime_dir

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.kernels.folders import KernelFolder
from jupyter_qsec.kernels.hidden import bus_sockets, hidden_paths, outermost, probe_targets
from jupyter_qsec.kernels.listed import Listed

Mode = Literal["auto", "off", "required"]
State = Literal["confined", "unconfined"]

_WRAPPER = Path(__file__).parent / "confine" / "__main__.py"
_MAX_REPORT = 1_000_000
_MAX_REASONS = 12
# Real paths that kernels of this process were kept from. A kernel may replace a symbolic link on the way to one of them
# (`~/.aws` itself is often one); what it pointed to stays hidden from the next kernel all the same.
_hidden_before: set[str] = set()
OTHER_SYSTEM = "this operating system offers no confinement that a program can put on itself (Linux does)"


@dataclass(frozen=True, slots=True)
class ConfinementSpec:
    """What one kernel is confined by."""

    mode: Mode
    folder: KernelFolder
    hidden: tuple[str, ...]
    writable: tuple[str, ...]
    """Hidden directories that are replaced by an empty writable one, because programs expect to write there."""
    sockets: tuple[str, ...]
    processes: tuple[int, ...]
    """Processes outside whose memory and environment the probe tries to read."""
    targets: tuple[tuple[str, int, int], ...]
    cramped: str
    """Why Landlock alone would hinder ordinary work; empty when it would not."""
    problems: tuple[str, ...]
    """What is known before the start to stand in the way."""
    given_up: tuple[str, ...]
    """What cannot be hidden, because the kernel needs something in it."""
    environ: Mapping[str, str]
    extra: tuple[str, ...]
    listed: Listed | None = None
    """The only folders that can be used, when access to files is by list."""

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "parent": str(self.folder.parent),
            "own": str(self.folder.path),
            "read_only": str(self.folder.lease),
            "hidden": list(self.hidden),
            "writable": list(self.writable),
            "sockets": list(self.sockets),
            "processes": list(self.processes),
            "targets": [list(target) for target in self.targets],
            "cramped": self.cramped,
            "problems": list(self.problems),
            "listed": None if self.listed is None else self.listed.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Confinement:
    """The probe's verdict."""

    state: State
    reasons: tuple[str, ...]


def plan(
    mode: Mode,
    folder: KernelFolder,
    *,
    environ: Mapping[str, str],
    needed: Iterable[str],
    extra: Iterable[str] = (),
    listed: Listed | None = None,
) -> ConfinementSpec:
    """Look around and decide what to hide. `needed` are paths that the kernel cannot do without: first the working
    directory and the home directory."""
    extra = tuple(extra)
    runtime = jupyter_runtime_dir()
    with suppress(OSError):
        Path(runtime).mkdir(mode=0o700, parents=True, exist_ok=True)  # a path that does not exist cannot be covered
    wanted = outermost([*_wanted(environ, extra, folder), *_hidden_before])
    needed = [os.path.realpath(path or "/nonexistent") for path in needed]
    problems, hidden, given_up = [], [], []
    for path in wanted:
        held = next((item for item in needed if item == path or item.startswith(path + "/")), None)
        if held is None:
            hidden.append(path)
        else:
            given_up.append(path)
            problems.append(f"{path} cannot be hidden, because the kernel needs {held}")
    _hidden_before.update(hidden)
    roots = tuple(path.rstrip("/") + "/" for path in needed[:2])
    cramped = next(
        (f"{path} lies below your home or working directory" for path in hidden if path.startswith(roots)), ""
    )
    return ConfinementSpec(
        mode=mode,
        folder=folder,
        hidden=tuple(hidden),
        writable=tuple(outermost([runtime])),
        sockets=tuple(bus_sockets(environ)),
        processes=_guarded(environ),
        targets=tuple(probe_targets(path for path in hidden if path != str(folder.parent))),
        cramped=cramped,
        problems=tuple(problems),
        given_up=tuple(given_up),
        environ=environ,
        extra=extra,
        listed=listed,
    )


def appeared(spec: ConfinementSpec) -> list[str]:
    """What should be hidden, and came into being after the kernel had started."""
    known = (*spec.hidden, *spec.given_up)
    return [
        path
        for path in _wanted(spec.environ, spec.extra, spec.folder)
        if not any(path == item or path.startswith(item + "/") for item in known)
    ]


def _wanted(environ: Mapping[str, str], extra: Iterable[str], folder: KernelFolder) -> list[str]:
    own = [jupyter_runtime_dir(), str(QsecHome.default(environ).path), str(folder.parent)]
    return outermost([*hidden_paths(environ, extra), *own])


@dataclass(slots=True)
class Launch:
    """A command that confines itself before it becomes the kernel, and the pipe on which it reports."""

    argv: list[str]
    pass_fds: tuple[int, ...]
    report_fd: int
    problems: tuple[str, ...]

    def started(self) -> None:
        """Close what only the new process needs."""
        for descriptor in self.pass_fds:
            os.close(descriptor)
        self.pass_fds = ()

    def abandon(self) -> None:
        """The command will not be started."""
        self.started()
        os.close(self.report_fd)

    async def verdict(self, seconds: float) -> Confinement:
        """What the probe found; `unconfined` when it says nothing in time."""
        reading = asyncio.get_running_loop().run_in_executor(None, _read_report, self.report_fd)
        try:
            report = await asyncio.wait_for(asyncio.shield(reading), seconds)
        except TimeoutError:
            return Confinement("unconfined", ("the confinement did not report in time",))
        return judge(report, self.problems)


def confine_command(argv: Sequence[str], spec: ConfinementSpec) -> Launch:
    """Wrap a kernel's command. Raises `OSError` when no pipe can be made."""
    report_read, report_write = os.pipe()
    # A file without a name, not a pipe: pipes may hold as little as one page.
    spec_read = os.memfd_create("qsec-spec")
    os.write(spec_read, json.dumps(spec.to_json()).encode("ascii"))
    os.lseek(spec_read, 0, os.SEEK_SET)
    wrapped = [sys.executable, "-I", "-S", str(_WRAPPER), str(spec_read), str(report_write), "--", *argv]
    return Launch(wrapped, (spec_read, report_write), report_read, spec.problems)


def judge(report: bytes, known: Sequence[str] = ()) -> Confinement:
    """Confined only when a well-formed report says that every attempt failed and nothing else is known against it."""
    try:
        value = json.loads(report)
        problems, reached = [str(item) for item in value["problems"]], [str(item) for item in value["reached"]]
    except (ValueError, TypeError, KeyError):
        return Confinement("unconfined", ("the confinement ended without a report",))
    reasons = [*known, *problems, *reached]
    if not reasons:
        return Confinement("confined", ())
    if len(reasons) > _MAX_REASONS:
        reasons = [*reasons[:_MAX_REASONS], f"and {len(reasons) - _MAX_REASONS} more"]
    return Confinement("unconfined", tuple(reasons))


def _guarded(environ: Mapping[str, str]) -> tuple[int, ...]:
    """This process, which knows tokens and keys, and the gateway, which knows everything."""
    try:
        gateway = QsecHome.default(environ).running_gateway()
    except QsecError:
        gateway = None
    return (os.getpid(),) if gateway is None else (os.getpid(), gateway.pid)


def supported() -> bool:
    return sys.platform == "linux"


def _read_report(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_REPORT)
