"""Starts pods of `examples/kubernetes` as processes: volumes as kubelet lays them out, the command line and environment
of the manifests, and of the file system only the volumes writable."""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import ControlAccess
from tests.unit.kubernetes.manifests import Pod, entrypoint

READ_ONLY_ROOT = Path(__file__).with_name("readonlyroot.py")
ROOT = Path(__file__).parents[2]
Contents = Mapping[str, Mapping[str, bytes]]
"""Of Secrets and ConfigMaps, by name and key."""


def show(folder: Path, source: dict[str, Any], contents: Mapping[str, bytes]) -> None:
    """A Secret or ConfigMap: a root that everybody may change, and links through `..data` to what it holds."""
    inside = folder / "..2026_01_01_00_00_00.123"
    inside.mkdir(parents=True)
    for item in source.get("items") or [{"key": key, "path": key} for key in contents]:
        path = inside / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[item["key"]])
        # In a cluster they are root's and the group reads them; here they are ours, and must be ours alone.
        path.chmod(source.get("defaultMode", 0o644) & ~0o077 if "defaultMode" in source else 0o644)
    for path in [inside, *inside.rglob("*")]:
        if path.is_dir():
            path.chmod(0o2755)
    (folder / "..data").symlink_to(inside.name)
    for entry in inside.iterdir():
        (folder / entry.name).symlink_to(Path("..data", entry.name))
    folder.chmod(0o2777)


class PodProcess(ControlAccess):
    """A pod's container without its container."""

    def __init__(self, pod: Pod, folder: Path, shared: Path, contents: Contents, **environ: str) -> None:
        """`shared` is the volume that pods share; `environ` goes before what the manifest says."""
        self.pod, self._folder = pod, folder
        self.address = "127." + ".".join(str(1 + secrets.randbelow(250)) for _ in range(3))
        self._authority = contents["qsec-ca"]["ca.pem"].decode()
        self._places: dict[str, Path] = {}
        self.process: subprocess.Popen[str] | None = None
        volumes = pod.volumes()
        for mount in pod.mounts():
            self._places[mount["mountPath"]] = self._volume(volumes[mount["name"]], shared, contents)
        self.environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        for entry in pod.container["env"]:
            self.environ[entry["name"]] = self._value(entry, contents)
        self.environ |= environ

    def _volume(self, volume: dict[str, Any], shared: Path, contents: Contents) -> Path:
        if "persistentVolumeClaim" in volume:
            return shared
        folder: Path = self._folder / volume["name"]
        source = volume.get("secret") or volume.get("configMap")
        if source is not None:
            show(folder, source, contents[source.get("secretName") or source["name"]])
        else:
            folder.mkdir(parents=True)
            folder.chmod(0o2777)
        return folder

    def _value(self, entry: dict[str, Any], contents: Contents) -> str:
        if "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            return contents[reference["name"]][reference["key"]].decode()
        return self._placed(entry["value"])

    def _placed(self, path: str) -> str:
        """The path on this machine."""
        mount = self.pod.mount_of(path) if path.startswith("/") else None
        return path if mount is None else f"{self._places[mount['mountPath']]}{path.removeprefix(mount['mountPath'])}"

    def command(self) -> list[str]:
        """The image's entry point with the manifest's arguments: only paths and the bound address are others."""
        interpreter, *rest = entrypoint()
        assert interpreter.endswith("/python")
        arguments = []
        for argument in self.pod.arguments:
            name, equals, value = argument.partition("=")
            value = self.address if name == "--bind" else self._placed(value)
            arguments.append(f"{name}{equals}{value}")
        writable = [self._places[mount["mountPath"]] for mount in self.pod.mounts() if not mount.get("readOnly")]
        assert self.pod.container["securityContext"]["readOnlyRootFilesystem"] is True
        confined = [sys.executable, str(READ_ONLY_ROOT), *map(str, writable), "--"]
        return [*confined, sys.executable, *rest, *arguments]

    def launch(self) -> PodProcess:
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd="/",
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def start(self) -> PodProcess:
        return self.launch().started()

    def started(self) -> PodProcess:
        """Wait as the startup probe does."""
        process = self.process
        assert process is not None

        def answers() -> bool:
            assert process.poll() is None, f"it ended with {process.returncode}: {self.log()}"
            return self.probe("startupProbe")

        probe = self.pod.container["startupProbe"]
        wait_for(answers, "the pod", probe["periodSeconds"] * probe["failureThreshold"])
        return self

    def probe(self, name: str) -> bool:
        """Ask as kubelet does: the pod's address, the probe's headers, any certificate."""
        asked = self.pod.container[name]["httpGet"]
        headers = {header["name"]: header["value"] for header in asked["httpHeaders"]}
        [port] = [port["containerPort"] for port in self.pod.container["ports"] if port["name"] == asked["port"]]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"{asked['scheme'].lower()}://{self.address}:{port}{asked['path']}"
        with suppress(httpx.TransportError):
            return 200 <= httpx.get(url, headers=headers, verify=context, trust_env=False).status_code < 400
        return False

    @property
    def url(self) -> str:  # type: ignore[override]  # of the manifest
        return self.pod.option("--url")

    @property
    def control_token(self) -> str:  # type: ignore[override]  # made by the gateway
        return Path(self._placed(self.pod.option("--home")), "control.token").read_text()

    def client(self, token: str | None = None) -> httpx.Client:
        """A client that finds the service's name at this pod, and trusts the authority alone."""
        token = self.control_token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = _Directed(self.address, ssl.create_default_context(cadata=self._authority))
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=30)

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def stop(self, number: int) -> int:
        """The exit code after that signal."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(self.pod.spec["terminationGracePeriodSeconds"])

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(20)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()


class _Directed(httpx.HTTPTransport):
    """Connects to one address, whatever the name; name, Host header and certificate stay those of the URL."""

    def __init__(self, address: str, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._address = address

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=self._address)
        return super().handle_request(request)
