"""`examples/kubernetes` as data: what is there, and what a pod of it is told and given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from traitlets.config import Config

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "kubernetes"

MADE_ELSEWHERE = {
    "qsec-database": {"url", "password", "ca.pem"},
    "qsec-tls": {"tls.crt", "tls.key"},
    "qsec-metrics": {"token"},
    "hub": {"hub.services.qsec.apiToken"},
}
"""Secrets with their keys that docs/kubernetes.md has people make; the last one is made by the hub's chart."""


@dataclass(frozen=True)
class Kustomization:
    """One folder of manifests."""

    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load((self.folder / "kustomization.yaml").read_text("utf-8"))
        return loaded

    def documents(self, *, uncommented: str = "") -> list[dict[str, Any]]:
        """Its resources; with `uncommented`, with the commented lines that hold this."""
        found: list[dict[str, Any]] = []
        for name in self.settings["resources"]:
            text = (self.folder / name).read_text("utf-8")
            if uncommented:
                text = re.sub(rf"^( *)# (- .*{re.escape(uncommented)}.*)$", r"\1\2", text, flags=re.MULTILINE)
            found += yaml.safe_load_all(text)
        return found


GATEWAY, SETUP = Kustomization(FOLDER / "gateway"), Kustomization(FOLDER / "setup")


def everything() -> list[dict[str, Any]]:
    return [*SETUP.documents(), *GATEWAY.documents()]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text("utf-8"))
    return loaded


class Pod:
    """The pod template of a workload; each has one container."""

    def __init__(self, workload: dict[str, Any]) -> None:
        self.workload = workload
        self.labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
        self.spec: dict[str, Any] = workload["spec"]["template"]["spec"]
        self.container: dict[str, Any]
        [self.container] = self.spec["containers"]

    @property
    def arguments(self) -> list[str]:
        return list(self.container["args"])

    def option(self, name: str) -> str:
        [found] = [argument for argument in self.arguments if argument.startswith(f"{name}=")]
        return found.partition("=")[2]

    def volumes(self) -> dict[str, dict[str, Any]]:
        return {volume["name"]: volume for volume in self.spec["volumes"]}

    def mounts(self) -> list[dict[str, Any]]:
        return list(self.container["volumeMounts"])

    def paths(self) -> Iterator[str]:
        """Every path that arguments and variables name."""
        for argument in self.arguments:
            if (value := argument.partition("=")[2]).startswith("/"):
                yield value
        for entry in self.container["env"]:
            if entry.get("value", "").startswith("/"):
                yield entry["value"]

    def mount_of(self, path: str) -> dict[str, Any] | None:
        under = [mount for mount in self.mounts() if f"{path}/".startswith(f"{mount['mountPath']}/")]
        return max(under, key=lambda mount: len(mount["mountPath"]), default=None)

    def files(self, volume: dict[str, Any]) -> set[str] | None:
        """The files of a Secret or ConfigMap volume below its root; `None` for what is empty at first."""
        source = volume.get("secret") or volume.get("configMap")
        if source is None:
            return None
        if "items" in source:
            return {item["path"] for item in source["items"]}
        return set(MADE_ELSEWHERE.get(source.get("secretName", ""), ()))


def gateway_pod(**how: str) -> Pod:
    [deployment] = of_kind(GATEWAY.documents(**how), "Deployment")
    return Pod(deployment)


def migration_pod() -> Pod:
    [job] = of_kind(SETUP.documents(), "Job")
    return Pod(job)


def dockerfile() -> list[tuple[str, str]]:
    """Instruction and arguments, in order."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def entrypoint() -> list[str]:
    [command] = [json.loads(rest) for name, rest in dockerfile() if name == "ENTRYPOINT"]
    return list(command)


def as_the_chart_does(c: Config, settings: dict[str, Any], api_token: str) -> None:
    """What the hub of the chart makes of its values: the parts of them that concern the hub itself."""
    hub, singleuser = settings["hub"], settings["singleuser"]
    c.KubeSpawner.environment = singleuser["extraEnv"]
    c.JupyterHub.services = [
        {"name": name, "api_token": api_token, **service} for name, service in hub["services"].items()
    ]
    c.JupyterHub.load_roles = [{"name": name, **role} for name, role in hub["loadRoles"].items()]
    for section, traits in hub["config"].items():
        c[section].update(traits)
