"""The manifests and the hub's values fit each other, the gateway's command line and `configure`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from traitlets.config import Config

from jupyter_qsec.adapters.catalogue import catalogue_of
from jupyter_qsec.hub import configure
from tests.unit.kubernetes.checks import problems
from tests.unit.kubernetes.manifests import (
    FOLDER,
    GATEWAY,
    MADE_ELSEWHERE,
    ROOT,
    SETUP,
    Kustomization,
    Pod,
    as_the_chart_does,
    dockerfile,
    everything,
    gateway_pod,
    migration_pod,
    of_kind,
    values,
)

GENERATED = {
    entry["name"]: {Path(file).name for file in entry["files"]} for entry in GATEWAY.settings["configMapGenerator"]
}


def found(documents: list[dict[str, Any]]) -> list[str]:
    return problems(documents, namespace=GATEWAY.settings["namespace"], generated=GENERATED)


def test_they_fit_together() -> None:
    assert found(everything()) == []


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return Pod(of_kind(documents, "Deployment")[0]).container


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return Pod(of_kind(documents, "Deployment")[0]).spec


def policy(documents: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(documents, "NetworkPolicy")[-1]["spec"]
    return spec


def replaced(of: list[str], old: str, new: str) -> None:
    of[of.index(old)] = new


MISTAKES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a selector does not select": lambda d: of_kind(d, "Service")[0]["spec"]["selector"].update(tier="x"),
    "ports do not fit": lambda d: of_kind(d, "Service")[0]["spec"]["ports"][0].update(port=443),
    "--url is not the service's name": lambda d: of_kind(d, "Service")[0]["metadata"].update(name="gateway"),
    "the gateway takes no such arguments": lambda d: container(d)["args"].append("--no-such-thing"),
    "is in none of the volumes": lambda d: pod(d)["volumes"][3]["configMap"]["items"][0].update(path="tenants.toml"),
    "the root of a volume is never private": lambda d: replaced(
        container(d)["args"], "--home=/var/lib/qsec/state", "--home=/var/lib/qsec"
    ),
    "lies in the image": lambda d: container(d)["env"][1].update(value="/opt/cache"),
    "what is shown is read-only": lambda d: container(d)["volumeMounts"][4].pop("readOnly"),
    "each volume is mounted once": lambda d: container(d)["volumeMounts"].pop(),
    "nobody makes qsec-database/uri": lambda d: container(d)["env"][6]["valueFrom"]["secretKeyRef"].update(key="uri"),
    "no such claim": lambda d: pod(d)["volumes"][2]["persistentVolumeClaim"].update(claimName="other"),
    "others may read it": lambda d: pod(d)["volumes"][4]["secret"].update(defaultMode=0o444),
    "a secret in the clear": lambda d: container(d)["env"].append({"name": "X_TOKEN", "value": "abc"}),
    "runs as root": lambda d: pod(d)["securityContext"].update(runAsNonRoot=False),
    "more rights than it needs": lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False),
    "a token of the cluster": lambda d: pod(d).pop("automountServiceAccountToken"),
    "kubelet would open the keys": lambda d: pod(d)["securityContext"].pop("fsGroupChangePolicy"),
    "readinessProbe: the gateway would not answer": lambda d: container(d)["readinessProbe"].update(
        httpGet={"path": "/health", "port": "https", "scheme": "HTTPS"}
    ),
    "livenessProbe: it gives up": lambda d: container(d)["livenessProbe"].update(timeoutSeconds=1),
    "startupProbe: it gives up": lambda d: container(d)["startupProbe"].update(failureThreshold=3),
    "it is killed before it can end": lambda d: pod(d).update(terminationGracePeriodSeconds=30),
    "more memory than it has": lambda d: container(d)["resources"]["limits"].update(memory="8Gi"),
    "leaves too few gateways": lambda d: of_kind(d, "Deployment")[0]["spec"].update(replicas=1),
    "a rule for everybody": lambda d: policy(d)["ingress"][0].pop("from"),
    "a rule for all of": lambda d: policy(d)["egress"][-1]["to"][0]["ipBlock"].update(cidr="0.0.0.0/0"),
    "opens another port": lambda d: policy(d)["ingress"][0]["ports"].append({"port": 22}),
    "not one network policy": lambda d: policy(d)["podSelector"]["matchLabels"].update({"app": "x"}),
    "top level": lambda d: of_kind(d, "Service")[0].update(status={}),
}


@pytest.mark.parametrize("said", list(MISTAKES))
def test_a_mistake_is_found(said: str) -> None:
    documents = copy.deepcopy(everything())
    MISTAKES[said](documents)
    assert [problem for problem in found(documents) if said in problem], found(documents)


@pytest.mark.parametrize("folder", [GATEWAY, SETUP], ids=lambda folder: folder.folder.name)
def test_every_manifest_is_in_its_kustomization(folder: Kustomization) -> None:
    files = {path.name for path in folder.folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(folder.settings["resources"])
    images = {document.container["image"] for document in (gateway_pod(), migration_pod())}
    assert {image["name"] for image in folder.settings["images"]} == images
    assert folder.settings["images"] == GATEWAY.settings["images"]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_they_fit_the_schemas_of_kubernetes(version: str) -> None:
    assert [kubernetes_validate.validate(document, version, strict=True) for document in everything()] == [
        version for _ in everything()
    ]


@pytest.mark.parametrize(
    "mistake",
    [
        lambda d: container(d).update(imagePullPolice="Always"),
        lambda d: container(d)["ports"][0].update(containerPort="8443"),
        lambda d: container(d)["env"].append({"value": "a variable without a name"}),
    ],
    ids=["a word misspelt", "a number as text", "something missing"],
)
def test_the_schemas_find_a_mistake(mistake: Callable[..., None]) -> None:
    documents = copy.deepcopy(everything())
    mistake(documents)
    [deployment] = of_kind(documents, "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.37", strict=True)


def test_the_tenants_of_the_config_map_can_be_loaded() -> None:
    assert [tenant.id for tenant in catalogue_of(GATEWAY.folder).tenants()] == ["research", "classroom"]


def test_the_image_runs_as_the_account_of_the_manifests() -> None:
    [user] = [rest for name, rest in dockerfile() if name == "USER"]
    for manifest in (gateway_pod(), migration_pod()):
        context = manifest.spec["securityContext"]
        assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_the_page_says_how_every_secret_is_made() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    for name, keys in MADE_ELSEWHERE.items():
        assert f"`{name}`" in page or f" {name} " in page
        assert [key for key in keys if key not in page and not key.startswith("tls.")] == []


# -- the hub's values


def test_the_values_say_what_configure_would() -> None:
    settings = values()
    url, ca = (settings["singleuser"]["extraEnv"][f"JUPYTER_QSEC_GATEWAY_{name}"] for name in ("URL", "CA"))
    ours, theirs = Config(), Config()
    as_the_chart_does(ours, settings, "token")
    theirs.JupyterHub.services, theirs.JupyterHub.load_roles = [], []
    theirs.JupyterHub.custom_scopes, theirs.Spawner.environment = {}, {}
    configure(theirs, url=url, ca=ca, api_token="token")

    def in_order(config: Config, name: str) -> list[dict[str, Any]]:
        return sorted(config.JupyterHub[name], key=lambda entry: entry["name"])

    assert in_order(ours, "services") == in_order(theirs, "services")
    assert in_order(ours, "load_roles") == in_order(theirs, "load_roles")
    assert ours.JupyterHub.custom_scopes == theirs.JupyterHub.custom_scopes
    assert ours.Spawner.server_token_scopes == theirs.Spawner.server_token_scopes
    assert ours.KubeSpawner.environment == theirs.Spawner.environment


def test_servers_know_the_gateway_by_its_name_and_can_reach_it() -> None:
    manifest, singleuser = gateway_pod(), values()["singleuser"]
    assert singleuser["extraEnv"]["JUPYTER_QSEC_GATEWAY_URL"] == manifest.option("--url")
    [rule] = singleuser["networkPolicy"]["egress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["to"]] == [manifest.labels]
    assert [port["port"] for port in rule["ports"]] == [int(manifest.option("--port"))]


def test_servers_can_read_the_authority() -> None:
    singleuser = values()["singleuser"]
    mounts = {mount["name"]: mount for mount in singleuser["storage"]["extraVolumeMounts"]}
    [volume] = [found for found in singleuser["storage"]["extraVolumes"] if "configMap" in found]
    folder, name = singleuser["extraEnv"]["JUPYTER_QSEC_GATEWAY_CA"].rsplit("/", 1)
    assert (folder, name) == (mounts[volume["name"]]["mountPath"], "ca.pem")
    assert set(mounts) == {found["name"] for found in singleuser["storage"]["extraVolumes"]}


def test_servers_reach_no_cloud_metadata_and_no_private_address() -> None:
    allowed = values()["singleuser"]["networkPolicy"]
    assert allowed["enabled"] is True
    assert not any(allowed["egressAllowRules"].values())


def test_servers_have_no_rights_that_they_do_not_need() -> None:
    context = values()["hub"]["config"]["KubeSpawner"]["container_security_context"]
    gateway = gateway_pod()
    assert context == {
        **gateway.container["securityContext"],
        "runAsNonRoot": True,
        "seccompProfile": gateway.spec["securityContext"]["seccompProfile"],
    }


def test_the_gateway_asks_the_hub_by_the_name_that_the_proxy_has_a_certificate_for() -> None:
    [url] = [entry["value"] for entry in gateway_pod().container["env"] if entry["name"] == "JUPYTERHUB_API_URL"]
    https = values()["proxy"]["https"]
    assert https["enabled"] is True
    assert [f"https://{host}/hub/api" for host in https["hosts"]] == [url]


def test_no_digest_is_made_up() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix != ".txt":
            assert not re.search(r"sha256:[0-9a-f]{8}", path.read_text("utf-8")), path
