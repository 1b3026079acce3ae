"""Confine this process, probe what it can still reach, report, and become the kernel."""

from __future__ import annotations

import json
import os
import signal
import sys

# `-I -S` leaves only the standard library on the path; last, so that nothing beside this package can replace any of it.
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - importing pathlib costs a third of the start
sys.path.append(_ROOT)

from jupyter_qsec.kernels.confine import landlock, namespace, probe, syscalls  # noqa: E402 - needs the path above

sys.path.remove(_ROOT)

_NOT_CONFINED = 126
_NOT_FOUND = 127


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt meant for the kernel must not end its start
    spec_fd, report_fd, argv = int(arguments[0]), int(arguments[1]), arguments[3:]
    os.set_inheritable(report_fd, False)
    spec = json.loads(_read(spec_fd))
    problems: list[str] = confine(spec) if spec["mode"] != "off" else []
    if spec["mode"] != "off" and spec["listed"] is not None:
        _listed(spec["listed"], str(spec["own"]), problems)
    got = probe.attempts(spec)
    _report(report_fd, problems, got)
    if spec["mode"] == "required" and (problems or got or spec["problems"]):
        return _NOT_CONFINED
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # as they are for a kernel that nobody started through Python
    try:
        os.execvpe(argv[0], argv, os.environ)  # noqa: S606 - to become the kernel is the purpose
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be run: {error.strerror}\n")
    return _NOT_FOUND


def confine(spec: dict[str, object]) -> list[str]:
    """Confine as far as the system allows; what it did not allow, as sentences."""
    problems: list[str] = []
    abi = syscalls.landlock_abi()
    where = os.getcwd()  # noqa: PTH109 - see above
    covered = False
    try:
        namespace.enter()
        covered = True
    except OSError as error:
        blocked = f"user namespaces are not available here ({error.strerror or error})"
        if abi < landlock.FIRST_USABLE_ABI:
            problems.append(blocked)
        elif spec["mode"] != "required" and spec["cramped"]:
            problems.append(f"{blocked}, and {spec['cramped']}")
        else:
            covered = _allow_list(spec, abi, problems)
    else:
        problems += namespace.cover(spec)
        os.chdir(where)  # the same place, seen through the new mounts
        syscalls.new_session_keyring()
        syscalls.no_new_privileges()
        if abi >= landlock.FIRST_USABLE_ABI:
            _domain(abi, problems)
        syscalls.drop_capabilities()
    if not covered and abi >= landlock.FIRST_USABLE_ABI:
        syscalls.no_new_privileges()
        _domain(abi, problems)  # at least the server's memory and environment
    return problems


def _listed(listed: dict[str, list[str]], own: str, problems: list[str]) -> None:
    """Last, and around everything: each domain takes away, none gives back."""
    abi = syscalls.landlock_abi()
    if abi < landlock.FIRST_USABLE_ABI:
        problems.append("access to files cannot be limited to a list: there is no Landlock here")
        return
    try:
        syscalls.no_new_privileges()
        landlock.enter_list(abi, listed["readable"], [*listed["writable"], own])
    except OSError as error:
        problems.append(f"access to files cannot be limited to a list ({error.strerror or error})")


def _domain(abi: int, problems: list[str]) -> None:
    try:
        landlock.enter_domain(abi)
    except OSError as error:
        problems.append(f"Landlock refused ({error.strerror or error})")


def _allow_list(spec: dict[str, object], abi: int, problems: list[str]) -> bool:
    hidden, own = spec["hidden"], str(spec["own"])
    assert isinstance(hidden, list)  # noqa: S101 - the spec is the provisioner's own
    syscalls.new_session_keyring()
    syscalls.no_new_privileges()
    try:
        landlock.enter_allow_list(abi, [str(path) for path in hidden], own)
    except OSError as error:
        problems.append(f"Landlock refused ({error.strerror or error})")
        return False
    return True


def _report(descriptor: int, problems: list[str], got: list[str]) -> None:
    line = json.dumps({"problems": problems, "reached": got}).encode("ascii")
    while line:
        line = line[os.write(descriptor, line) :]
    os.close(descriptor)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
