"""What a confined kernel must not see: credential files, keyrings, the gateway's state, the server's runtime files.

Directories rather than files where there is a choice: a file that a program outside replaces loses its cover.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# Below the home directory.
_IN_HOME = (
    ".aws",
    ".awsvault",
    ".azure",
    ".azure-quantum",
    ".bluemix",
    ".bluequbit",
    ".boto",
    ".config/azure-quantum",
    ".config/dwave",
    ".config/gcloud",
    ".config/keyring",
    ".config/kwalletrc",
    ".config/pennylane",
    ".config/qcs",
    ".config/quantinuum",
    ".config/rclone",
    ".config/strangeworks",
    ".config/xanadu-cloud",
    ".config/iqm",
    ".gnome2/keyrings",
    ".ionq",
    ".iqm",
    ".kde/share/apps/kwallet",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".local/share/python_keyring",
    ".oci",
    ".pasqal",
    ".passwd-s3fs",
    ".password-store",
    ".qbraid",
    ".qcs",
    ".qiskit",
    ".quantinuum",
    ".quantuminspire",
    ".s3cfg",
    ".saml2aws",
    ".strangeworks",
    ".tokens",
)
# Where programs were told to look instead.
_NAMED_BY = (
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AZURE_CONFIG_DIR",
    "AZURE_FEDERATED_TOKEN_FILE",
    "CLOUDSDK_CONFIG",
    "DWAVE_CONFIG_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "JUPYTERHUB_SSL_KEYFILE",
    "JUPYTER_QSEC_SHARED_SECRETS",
    "JUPYTER_QSEC_TOKEN_FILE",
    "PASSWORD_STORE_DIR",
    "QCS_SECRETS_FILE_PATH",
    "QCS_SETTINGS_FILE_PATH",
)
# Ways to have something done by a program that is not confined, or to secrets of the machine.
_OF_THE_MACHINE = (
    "/run/secrets",
    "/var/run/secrets",
    "/run/docker.sock",
    "/run/podman",
    "/run/containerd",
    "/run/crio",
    "/run/screen",
    "/run/libvirt",
    "/run/incus",
    "/var/lib/incus/unix.socket",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
)
_OF_ROOT = ("/run/dbus", "/run/systemd/private", "/etc/shadow", "/etc/ssh", "/etc/krb5.keytab", "/var/spool/cron")
_MAX_TARGETS = 200


def hidden_paths(environ: Mapping[str, str], extra: Iterable[str] = ()) -> list[str]:
    """Real paths of what exists now and must be hidden, outer ones first and none inside another.

    `environ` is the server's environment; `extra` names further paths, `~` is understood.
    """
    uid = os.getuid()
    homes = dict.fromkeys((environ.get("HOME") or "", _home_of(uid)))
    wanted: list[str] = [f"{home}/{name}" for home in homes if home for name in _IN_HOME]
    wanted += [environ[name] for name in _NAMED_BY if environ.get(name)]
    wanted += [f"/run/user/{uid}", environ.get("XDG_RUNTIME_DIR", ""), environ.get("GNOME_KEYRING_CONTROL", "")]
    wanted += [f"{environ.get('TMUX_TMPDIR', '/tmp')}/tmux-{uid}", *_OF_THE_MACHINE]  # noqa: S108 - tmux's own place
    wanted += _OF_ROOT if uid == 0 else ()
    wanted += [path for address in bus_sockets(environ) if not (path := address).startswith("@")]
    return outermost([*wanted, *extra])


def outermost(paths: Iterable[str]) -> list[str]:
    """The real paths of those that exist, without devices, without what lies inside another."""
    real: set[str] = set()
    for path in paths:
        with suppress(OSError, ValueError, RuntimeError):
            if path:
                resolved = str(Path(path).expanduser().absolute().resolve(strict=True))
                mode = Path(resolved).stat().st_mode
                if not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode):
                    real.add(resolved)
    kept: list[str] = []
    for path in sorted(real):
        if path != "/" and not any(path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept


def bus_sockets(environ: Mapping[str, str]) -> list[str]:
    """Sockets through which a keyring or an unconfined program answers; abstract ones begin with `@`."""
    found = []
    for address in environ.get("DBUS_SESSION_BUS_ADDRESS", "").split(";"):
        kind, _, rest = address.partition(":")
        for item in rest.split(","):
            name, _, value = item.partition("=")
            if kind == "unix" and name in ("path", "abstract") and value:
                found.append(value if name == "path" else f"@{value}")
    control = environ.get("GNOME_KEYRING_CONTROL", "")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    candidates = [
        f"{runtime}/bus",
        f"{runtime}/keyring/control",
        f"{runtime}/keyring/ssh",
        f"{runtime}/systemd/private",
    ]
    candidates += [f"{control}/control"] if control else []
    candidates += ["/run/docker.sock", "/run/podman/podman.sock"]
    found += [path for path in candidates if _is_socket(path)]
    return list(dict.fromkeys(found))


def probe_targets(paths: Iterable[str]) -> list[tuple[str, int, int]]:
    """Each path and some files in it as `(path, device, inode)`: what the probe tries to open."""
    targets = []
    for path in _walk(paths):
        with suppress(OSError):
            status = Path(path).stat()
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                targets.append((path, status.st_dev, status.st_ino))
        if len(targets) >= _MAX_TARGETS:
            break
    return targets


def _walk(paths: Iterable[str]) -> Iterator[str]:
    """The paths themselves, then their entries, then the entries' entries, so that a bound cuts off the deepest."""
    level = list(paths)
    for _ in range(3):
        yield from level
        deeper: list[str] = []
        for path in level:
            with suppress(OSError):
                deeper += [entry.path for entry in os.scandir(path) if not entry.is_symlink()][:20]
        level = deeper


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""
