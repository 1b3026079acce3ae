"""What Kubernetes would refuse, or what would fail in a cluster, in words: nothing here can apply manifests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from jupyter_qsec.application.health import ASKER_SECONDS
from jupyter_qsec.application.ports import ExecutionLimits
from jupyter_qsec.gateway.__main__ import _parser
from jupyter_qsec.gateway.supervisor import END_SECONDS, READY_SECONDS
from tests.unit.kubernetes.manifests import MADE_ELSEWHERE, Pod, of_kind

_VERSIONS = {
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Service": "v1",
}
_GATEWAY_BYTES = 1 << 30


def problems(documents: list[dict[str, Any]], *, namespace: str, generated: dict[str, set[str]]) -> list[str]:
    """Everything that is wrong. `generated`: ConfigMaps with their keys."""
    return [*_of_all(documents, namespace, generated)]


def _of_all(documents: list[dict[str, Any]], namespace: str, generated: dict[str, set[str]]) -> Iterator[str]:
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["apiVersion"] != _VERSIONS.get(document["kind"]):
            yield f"{name}: apiVersion"
        if set(document) != {"apiVersion", "kind", "metadata", "spec"}:
            yield f"{name}: top level"
    claims = {claim["metadata"]["name"] for claim in of_kind(documents, "PersistentVolumeClaim")}
    for workload in [*of_kind(documents, "Deployment"), *of_kind(documents, "Job")]:
        pod, name = Pod(workload), workload["metadata"]["name"]
        for problem in (
            *_volumes(pod, claims, generated),
            *_references(pod),
            *_hardening(pod),
            *_policy(pod, documents),
        ):
            yield f"{name}: {problem}"
        try:
            _parser().parse_args(pod.arguments)
        except SystemExit:
            yield f"{name}: the gateway takes no such arguments"
    for deployment in of_kind(documents, "Deployment"):
        yield from _deployment(Pod(deployment), documents, namespace)


def _volumes(pod: Pod, claims: set[str], generated: dict[str, set[str]]) -> Iterator[str]:
    volumes, mounted = pod.volumes(), [mount["name"] for mount in pod.mounts()]
    if sorted(mounted) != sorted(volumes):
        yield "each volume is mounted once, and only volumes are"
        return
    places = [mount["mountPath"] for mount in pod.mounts()]
    if len(set(places)) != len(places):
        yield "two volumes have one place"
    for volume in volumes.values():
        source: dict[str, Any] = volume.get("secret") or volume.get("configMap") or {}
        known = {**MADE_ELSEWHERE, **generated}.get(source.get("secretName") or source.get("name", ""), set())
        missing = {item["key"] for item in source.get("items", [])} - known
        if (source and not known) or missing:
            yield f"volume {volume['name']}: nobody makes {sorted(missing) or 'what it shows'}"
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            yield f"volume {volume['name']}: no such claim"
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o440:
            yield f"volume {volume['name']}: others may read it"
    for path in pod.paths():
        mount = pod.mount_of(path)
        if mount is None:
            yield f"{path} lies in the image, which is read-only"
            continue
        files, below = pod.files(volumes[mount["name"]]), path.removeprefix(mount["mountPath"]).strip("/")
        if (files is None) == mount.get("readOnly", False):
            yield f"{mount['mountPath']}: what is shown is read-only, what is empty is not"
        if files is not None and not any(f"{file}/".startswith(f"{below}/") for file in files):
            yield f"{path} is in none of the volumes"
    for option in ("--home", "--shared"):
        for path in (argument.partition("=")[2] for argument in pod.arguments if argument.startswith(option)):
            if path in places:
                yield f"{option}: the root of a volume is never private"


def _references(pod: Pod) -> Iterator[str]:
    for entry in pod.container["env"]:
        if ("value" in entry) == ("valueFrom" in entry):
            yield f"{entry['name']}: one value"
        if "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            if reference["key"] not in MADE_ELSEWHERE.get(reference["name"], ()):
                yield f"{entry['name']}: nobody makes {reference['name']}/{reference['key']}"
        elif any(word in entry["name"] for word in ("TOKEN", "PASSWORD")) and not entry["name"].endswith("_FILE"):
            yield f"{entry['name']}: a secret in the clear"


def _hardening(pod: Pod) -> Iterator[str]:
    of_pod, of_container = pod.spec.get("securityContext", {}), pod.container.get("securityContext", {})
    if not of_pod.get("runAsNonRoot") or not of_pod.get("runAsUser") or not of_pod.get("fsGroup"):
        yield "runs as root"
    if of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if of_container != {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }:
        yield "more rights than it needs"
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "a token of the cluster"
    if any(pod.spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "namespaces of the host"
    if not pod.container.get("resources", {}).get("limits", {}).get("memory"):
        yield "no limit of memory"


def _policy(pod: Pod, documents: list[dict[str, Any]]) -> Iterator[str]:
    own = [
        policy["spec"]
        for policy in of_kind(documents, "NetworkPolicy")
        if policy["spec"]["podSelector"].get("matchLabels") == pod.labels
    ]
    if len(own) != 1 or sorted(own[0]["policyTypes"]) != ["Egress", "Ingress"]:
        yield "not one network policy for both ways"
        return
    for rule, peers in [*((r, "from") for r in own[0].get("ingress", [])), *((r, "to") for r in own[0]["egress"])]:
        if not rule.get("ports") or not rule.get(peers) or not all(rule[peers]):
            yield "a rule for everybody or for every port"
        for block in (peer["ipBlock"]["cidr"] for peer in rule.get(peers, []) if "ipBlock" in peer):
            if not block.endswith("/32"):
                yield f"a rule for all of {block}"


def _deployment(pod: Pod, documents: list[dict[str, Any]], namespace: str) -> Iterator[str]:
    spec = pod.workload["spec"]
    if spec["replicas"] < 2 or spec["strategy"]["rollingUpdate"] != {"maxSurge": 1, "maxUnavailable": 0}:
        yield "an update leaves too few gateways"
    [service], [budget] = of_kind(documents, "Service"), of_kind(documents, "PodDisruptionBudget")
    selectors = [
        spec["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ]
    selectors += [spread["labelSelector"]["matchLabels"] for spread in pod.spec["topologySpreadConstraints"]]
    if any(selector != pod.labels for selector in selectors):
        yield "a selector does not select the pods"
    yield from _addresses(pod, service, documents, namespace)
    yield from _probes(pod)
    wait = int(pod.container["lifecycle"]["preStop"]["exec"]["command"][1])
    if pod.spec["terminationGracePeriodSeconds"] < wait + END_SECONDS:
        yield "it is killed before it can end"
    least = int(pod.option("--workers")) * ExecutionLimits().max_memory_bytes + _GATEWAY_BYTES
    if int(pod.container["resources"]["limits"]["memory"].removesuffix("Gi")) << 30 < least:
        yield "its workers may use more memory than it has"
    if pod.spec["securityContext"].get("fsGroupChangePolicy") != "OnRootMismatch":
        yield "kubelet would open the keys to the group"


def _addresses(pod: Pod, service: dict[str, Any], documents: list[dict[str, Any]], namespace: str) -> Iterator[str]:
    url, [port], [offered] = urlsplit(pod.option("--url")), pod.container["ports"], service["spec"]["ports"]
    if url.scheme != "https" or url.hostname != f"{service['metadata']['name']}.{namespace}.svc":
        yield "--url is not the service's name"
    if (url.port, offered["targetPort"], pod.option("--port")) != (
        offered["port"],
        port["name"],
        str(port["containerPort"]),
    ):
        yield "ports do not fit"
    for policy in of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if [entry["port"] for entry in rule.get("ports", [])] != [port["name"]]:
                yield "the network policy opens another port"


def _probes(pod: Pod) -> Iterator[str]:
    wanted = {
        "path": "/health",
        "port": pod.container["ports"][0]["name"],
        "scheme": "HTTPS",
        "httpHeaders": [{"name": "Host", "value": urlsplit(pod.option("--url")).netloc}],
    }
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = pod.container.get(name, {})
        if probe.get("httpGet") != wanted:
            yield f"{name}: the gateway would not answer"
        elif probe["timeoutSeconds"] <= ASKER_SECONDS:
            yield f"{name}: it gives up before the gateway answers"
    if (
        pod.container["startupProbe"]["periodSeconds"] * pod.container["startupProbe"]["failureThreshold"]
        < READY_SECONDS
    ):
        yield "startupProbe: it gives up before the first start is done"
