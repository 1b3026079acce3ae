"""What a hostile notebook tries. Runs inside kernels: `define` puts these functions there with what an attacker knows.

Each function gives something true when it reached what it should not.
"""

# What runs in the kernel is as plain as an attacker writes it.
# ruff: noqa: PTH104, PTH111, PTH115, PTH116, PTH119, PTH123, PTH207, PTH208

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial

SECRETS: list[str] = []
"""Files with credentials and tokens."""
COVERED: list[str] = []
"""The directories (and one file) that are hidden as a whole."""
RUNTIME = BUS = ABSTRACT = FOLDERS = OWN = ""
SERVER = OUTSIDE = 0
"""Process ids: the server's, and another program's of the same user."""

libc = ctypes.CDLL(None, use_errno=True)


def reached(attempt: Callable[[], object]) -> bool:
    """For what gives something true when it reached anything."""
    try:
        return bool(attempt())
    except OSError:
        return False


def allowed(attempt: Callable[[], object]) -> bool:
    """For what gives nothing, and fails unless it is allowed."""
    try:
        attempt()
    except OSError:
        return False
    return True


def any_secret(read: Callable[[str], object]) -> list[str]:
    return [path for path in SECRETS if reached(partial(read, path))]


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def found(*words: str) -> list[int]:
    """The processes that have all of these on their command line, by what everybody may read."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    lines = dict.fromkeys(pids, b"")
    for pid in pids:
        with contextlib.suppress(OSError):
            lines[pid] = content(f"/proc/{pid}/cmdline")
    return [pid for pid, line in lines.items() if all(word.encode() in line for word in words)]


def server_stack() -> bytes:
    """Where a program's environment lies from its start, whatever it removes from it later."""
    lines = content(f"/proc/{SERVER}/maps").decode().splitlines()
    (span,) = [line.split()[0] for line in lines if line.endswith("[stack]")]
    start, end = (int(address, 16) for address in span.split("-"))
    with open(f"/proc/{SERVER}/mem", "rb", 0) as memory:
        memory.seek(start)
        return memory.read(end - start)


# -- what works unless the kernel is confined
def attack_open() -> object:
    return any_secret(content)


def attack_list() -> object:
    return [path for path in COVERED if reached(partial(os.listdir, path)) and path != RUNTIME] or any_secret(
        lambda path: RUNTIME in path and os.path.basename(path) in os.listdir(RUNTIME)
    )


def attack_subprocess() -> object:
    return any_secret(lambda path: subprocess.run(["cat", path], capture_output=True, check=False).stdout)


def attack_real_path() -> object:
    return any_secret(lambda path: content(os.path.realpath(path)))


def attack_server_root() -> object:
    return any_secret(lambda path: content(f"/proc/{SERVER}/root{path}"))


def attack_every_root() -> object:
    return [root for root in glob.glob("/proc/[0-9]*/root") if reached(partial(content, root + SECRETS[0]))]


def attack_server_cwd() -> object:
    return reached(lambda: os.stat(f"/proc/{SERVER}/cwd/."))


def attack_server_environ() -> object:
    return reached(lambda: content(f"/proc/{SERVER}/environ"))


def attack_server_memory() -> object:
    return allowed(lambda: open(f"/proc/{SERVER}/mem", "rb").close())


def attack_server_descriptors() -> object:
    return reached(lambda: [os.readlink(f"/proc/{SERVER}/fd/{n}") for n in os.listdir(f"/proc/{SERVER}/fd")[:1]])


def attack_server_maps() -> object:
    return reached(lambda: content(f"/proc/{SERVER}/maps"))


def attack_server_stack() -> object:
    return reached(server_stack)


def attack_server_open_files() -> object:
    def opened(number: int) -> None:
        os.close(os.open(f"/proc/{SERVER}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK))

    return [number for number in range(64) if allowed(partial(opened, number))]


def attack_server_stolen_descriptor() -> object:
    process = os.pidfd_open(SERVER)
    stolen = [libc.syscall(438, process, number, 0) for number in range(64)]  # pidfd_getfd
    for descriptor in (process, *stolen):
        if descriptor >= 0:
            os.close(descriptor)
    return max(stolen) >= 0


def attack_ptrace() -> object:
    if libc.ptrace(16, OUTSIDE, 0, 0) != 0:  # PTRACE_ATTACH
        return False
    os.waitpid(OUTSIDE, 0x40000000)  # __WALL
    return libc.ptrace(17, OUTSIDE, 0, 0) == 0  # PTRACE_DETACH


def attack_signal() -> object:
    return allowed(lambda: os.kill(OUTSIDE, 0))


def attack_keyring_bus() -> object:
    with socket.socket(socket.AF_UNIX) as attempt:
        return allowed(lambda: attempt.connect(BUS))


def attack_abstract_socket() -> object:
    with socket.socket(socket.AF_UNIX) as attempt:
        return allowed(lambda: attempt.connect("\0" + ABSTRACT))


def attack_other_kernels() -> object:
    return [name for name in os.listdir(FOLDERS) if name.startswith("k-") and name != OWN]


# -- ways back out, which only a confined kernel needs
def escape_unmount() -> object:
    return [path for path in COVERED if libc.umount2(path.encode(), 2) == 0]  # MNT_DETACH


def escape_unmount_in_a_new_namespace() -> object:
    script = 'for p in "$@"; do umount -l "$p"; cat "$p"/* "$p"; done'
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script, "sh", *COVERED], capture_output=True, check=False)
    return b"pLaNtEd" in done.stdout


def escape_bind_elsewhere() -> object:
    script = 'mount --bind / "$0"; cat "$0$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, tempfile.mkdtemp(), SECRETS[0]]
    return b"pLaNtEd" in subprocess.run(command, capture_output=True, check=False).stdout


def escape_into_the_servers_namespaces() -> object:
    def enter(path: str) -> bool:
        return bool(libc.setns(os.open(path, os.O_RDONLY), 0) == 0)

    paths = [f"/proc/{pid}/ns/{kind}" for pid in (1, SERVER) for kind in ("user", "mnt")]
    return [path for path in paths if reached(partial(enter, path))]


def escape_rename_the_cover() -> object:
    return [path for path in COVERED if allowed(partial(os.rename, path, path + "-moved"))]


def escape_write_into_the_cover() -> object:
    return [path for path in COVERED if path != RUNTIME and allowed(partial(os.mkdir, path + "/x"))]


def escape_hard_link() -> object:
    return [path for path in SECRETS if allowed(partial(os.link, path, os.path.expanduser("~/linked")))]


def escape_disk() -> object:
    disks = [path for path in glob.glob("/dev/*") if stat.S_ISBLK(os.stat(path).st_mode)]
    return [path for path in disks if allowed(partial(os.open, path, os.O_RDONLY))]


def escape_kernel_switches() -> object:
    return reached(lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY) >= 0)


def escape_replace_the_lease() -> object:
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    return allowed(lambda: os.rename(token, token + "x")) or reached(lambda: os.open(token, os.O_WRONLY) >= 0)


def escape_by_capabilities() -> object:
    with open("/proc/self/status") as file:
        return [line for line in file if line.startswith("Cap") and int(line.split()[1], 16)]
