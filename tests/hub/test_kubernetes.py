"""The manifests of `examples/kubernetes` without containers: the migration and two gateways, with their command lines
and environments on one PostgreSQL and one shared volume, at a hub that is configured by the values for its chart."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from jupyter_qsec.kernels.confine import landlock, syscalls
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import Issued
from tests.gateway.signedcalls import REGION, SignedBraket
from tests.hub.kubelet import READ_ONLY_ROOT, ROOT, PodProcess
from tests.hub.realhub import RealHub
from tests.unit.kubernetes.manifests import GATEWAY, Pod, dockerfile, gateway_pod, migration_pod

pytestmark = [
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(600),
    pytest.mark.long,
    pytest.mark.skipif(
        sys.platform != "linux" or syscalls.landlock_abi() < landlock.FIRST_USABLE_ABI,
        reason="addresses of loopback and a read-only root need Linux with Landlock",
    ),
]
METRICS_TOKEN = "metrics-token-of-the-cluster-0123456789"


@dataclass
class Cluster:
    """What all pods are given."""

    folder: Path
    hub: RealHub
    contents: dict[str, dict[str, bytes]]
    pods: list[PodProcess]

    def pod(self, manifest: Pod, name: str) -> PodProcess:
        made = PodProcess(
            manifest,
            self.folder / name,
            self.folder / "shared",
            self.contents,
            **({"JUPYTERHUB_API_URL": self.hub.api_url} if manifest.labels == gateway_pod().labels else {}),
        )
        self.pods.append(made)
        return made


def certificates(folder: Path, name: str) -> dict[str, bytes]:
    command = [sys.executable, "-P", "-m", "jupyter_qsec.gateway", "certificates", str(folder), name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def cluster(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    compiled = pytestconfig.cache.mkdir("kubernetes-numba")  # of an earlier run: compiling takes most of a minute
    shutil.copytree(compiled, folder / "shared" / "numba")
    (folder / "shared").chmod(0o2775)
    (folder / "hub").mkdir()
    made = certificates(folder / "tls", gateway_pod().option("--url").removeprefix("https://").partition(":")[0])
    hub = RealHub(folder / "hub", "valuesconfig.py").start()
    database = postgres_server.new_database("template0")
    contents = {
        "qsec-tls": {"tls.crt": made["gateway.pem"], "tls.key": made["gateway.key"]},
        "qsec-ca": {"ca.pem": made["ca.pem"]},
        "qsec-database": {
            "url": postgres_server.url(database).encode(),
            "password": b"the-password-of-the-database\n",
            "ca.pem": b"",
        },
        "qsec-metrics": {"token": METRICS_TOKEN.encode()},
        "hub": {"hub.services.qsec.apiToken": hub.tokens["QSEC"].encode()},
        "qsec-config": {"tenants.toml": (GATEWAY.folder / "tenants.toml").read_bytes()},
    }
    cluster = Cluster(folder, hub, contents, [])
    yield cluster
    for pod in cluster.pods:
        pod.close()
    shutil.copytree(folder / "shared" / "numba", compiled, dirs_exist_ok=True)
    hub.close()
    postgres_server.drop_database(database)


@pytest.fixture(scope="module")
def migrated(cluster: Cluster) -> str:
    """What the migration said."""
    job = cluster.pod(migration_pod(), "migration").launch()
    assert job.process is not None
    assert job.process.stdout is not None
    assert job.process.wait(60) == 0, job.log()
    return job.process.stdout.read()


@pytest.fixture(scope="module")
def two(cluster: Cluster, migrated: str) -> tuple[PodProcess, PodProcess]:
    one = cluster.pod(gateway_pod(), "one").start()
    with SignedBraket(one, lease_of(one, cluster.hub.user_token("ada")[0])) as braket:
        braket.run_bell(seconds=120)  # what the first workers compile serves those of the other pods
    return one, cluster.pod(gateway_pod(), "other").start()


@pytest.fixture
def ada(cluster: Cluster) -> str:
    return cluster.hub.user_token("ada")[0]


def lease_of(pod: PodProcess, token: str) -> Issued:
    answer = pod.post("/api/v1/leases", {}, token=token)
    assert answer.status_code == 201, answer.text
    return Issued(**answer.json())


def state_at(pod: PodProcess, lease: Issued, task_id: str) -> tuple[int, dict[str, Any]]:
    with SignedBraket(pod, lease) as braket:
        arn = f"arn:aws:braket:{REGION}:{braket.bucket.rpartition('-')[2]}:quantum-task/{task_id}"
        answer = braket.send("GET", f"/quantum-task/{quote(arn, safe='')}")
        return answer.status_code, answer.json()


def result_at(pod: PodProcess, lease: Issued, bucket: str, folder: str) -> httpx.Response:
    made = pod.get("/credentials", lease.token).json()
    request = AWSRequest("GET", f"{pod.url}/aws/s3/{bucket}/{folder}/results.json")
    credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["Token"])
    S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
    with pod.client("") as client:
        return client.get(request.url, headers=dict(request.headers))


def test_the_migration_comes_first_and_finds_nothing(migrated: str) -> None:
    assert migrated.startswith("The state database went from schema none to ")


def test_a_lease_of_one_is_good_at_the_other_and_the_task_and_its_result_are_read_there(
    two: tuple[PodProcess, PodProcess], ada: str
) -> None:
    one, other = two
    lease = lease_of(one, ada)
    assert (lease.lease["principal"], lease.lease["tenant"]) == ("hub:ada", "research")
    with SignedBraket(one, lease) as braket:
        task_id = braket.run_bell()
    status, task = state_at(other, lease, task_id)
    assert (status, task["status"]) == (200, "COMPLETED")
    result = result_at(other, lease, task["outputS3Bucket"], task["outputS3Directory"])
    assert result.status_code == 200, result.text
    assert result.json()["taskMetadata"]["shots"] == 100
    with SignedBraket(other, lease) as braket:
        assert state_at(one, lease, braket.run_bell())[1]["status"] == "COMPLETED"


def test_another_group_sees_nothing_of_it_at_either(
    cluster: Cluster, two: tuple[PodProcess, PodProcess], ada: str
) -> None:
    one = two[0]
    with SignedBraket(one, lease_of(one, ada)) as braket:
        task_id = braket.run_bell()
    for pod in two:
        bob = lease_of(pod, cluster.hub.user_token("bob")[0])
        assert bob.lease["tenant"] == "classroom"
        assert pod.get(f"/api/v1/tasks/{task_id}", bob.token).status_code == 404
    assert one.post("/api/v1/leases", {}, token=cluster.hub.tokens["QSEC"]).status_code == 403


def test_probes_say_that_both_are_well_and_the_host_header_is_needed(two: tuple[PodProcess, PodProcess]) -> None:
    for pod in two:
        assert all(pod.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe"))
        with pod.client("") as client:
            for host in ("evil.example", "evil.example:8443", "127.0.0.9:8443", f"{pod.address}:80", pod.address):
                assert client.get("/health", headers={"Host": host}).json()["code"] == "host-refused", host


def test_each_is_watched_under_its_own_address_which_opens_nothing_else(two: tuple[PodProcess, PodProcess]) -> None:
    for pod, stranger in (two, two[::-1]):
        own = {"Host": f"{pod.address}:8443"}
        with pod.client(METRICS_TOKEN) as client:
            assert client.get("/health", headers=own).status_code == 200
            assert "jupyter_qsec_healthy 1.0" in client.get("/metrics", headers=own).text
            assert client.get("/metrics", headers={"Host": f"{stranger.address}:8443"}).status_code == 403
        with pod.client() as client:
            assert client.get("/api/v1/status").status_code == 200
            for path in ("/api/v1/status", "/credentials", "/aws/braket/quantum-tasks", "/health/"):
                assert client.get(path, headers=own).json()["code"] == "host-refused", path


def test_the_log_is_json_on_standard_error_and_tells_no_secret(
    cluster: Cluster, two: tuple[PodProcess, PodProcess], ada: str
) -> None:
    lease = lease_of(two[0], ada)
    for pod in two:
        lines = [json.loads(line) for line in pod.log().splitlines()]
        assert {"serving on " + pod.address + ", port 8443"} <= {line["message"] for line in lines}
        hidden = [ada, lease.token, METRICS_TOKEN, cluster.hub.tokens["QSEC"], "the-password-of-the-database"]
        assert not [secret for secret in hidden if secret in pod.log()]


def test_the_volume_holds_nothing_that_others_can_read(cluster: Cluster, two: tuple[PodProcess, PodProcess]) -> None:
    shared = cluster.folder / "shared" / "shared"
    assert {path.name for path in shared.iterdir()} == {"checkpoints", "keys", "results"}
    assert not [path for path in [shared, *shared.rglob("*")] if path.lstat().st_mode & 0o077]


def test_the_log_is_verified_from_the_shared_folder(
    cluster: Cluster, two: tuple[PodProcess, PodProcess], ada: str
) -> None:
    lease_of(two[0], ada)
    assert two[1].post("/api/v1/audit/checkpoint").status_code == 200
    command = [sys.executable, "-P", "-c", "from jupyter_qsec.cli.main import main; main()", "audit", "verify"]
    done = subprocess.run(
        [*command, "--format", "json", "--home", str(cluster.folder / "shared" / "shared")],
        check=False,
        env={**two[0].environ, "JUPYTER_QSEC_HOME": str(cluster.folder / "none")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["problems"]) == (0, True, []), done.stderr
    assert report["signed_size"] > 0


def test_one_is_replaced_by_another_pod_while_work_goes_on(
    cluster: Cluster, two: tuple[PodProcess, PodProcess], ada: str
) -> None:
    [name] = [rest for instruction, rest in dockerfile() if instruction == "STOPSIGNAL"]
    new = cluster.pod(gateway_pod(), "new").start()
    lease = lease_of(two[1], ada)
    with SignedBraket(new, lease) as braket:
        task_ids = [braket.create_bell() for _ in range(3)]
    leaving = cluster.pod(gateway_pod(), "leaving").start()
    with SignedBraket(leaving, lease) as braket:
        task_ids.append(braket.create_bell())
        assert leaving.stop(signal.Signals[name]) == 0
    assert new.stop(signal.SIGTERM) == 0
    with SignedBraket(two[0], lease) as braket:
        braket.run_bell()
    for task_id in task_ids:
        wait_for_end(two[0], lease, task_id)


def wait_for_end(pod: PodProcess, lease: Issued, task_id: str) -> None:
    wait_for(lambda: state_at(pod, lease, task_id)[1]["status"] == "COMPLETED", task_id, 60)


# -- what the manifests avoid


def refused(cluster: Cluster, manifest: Pod, name: str) -> tuple[int, str]:
    pod = cluster.pod(manifest, name).launch()
    assert pod.process is not None
    return pod.process.wait(60), pod.log().strip()


def changed(change: Callable[[list[str]], list[str]]) -> Pod:
    manifest = gateway_pod()
    manifest.container["args"] = change(manifest.arguments)
    return manifest


def test_the_root_of_a_config_map_is_refused(cluster: Cluster, migrated: str) -> None:
    manifest = changed(lambda arguments: [argument.removesuffix("/files") for argument in arguments])
    manifest.volumes()["config"]["configMap"]["items"][0]["path"] = "tenants.toml"
    code, said = refused(cluster, manifest, "config-root")
    assert (code, "Everybody may change" in said) == (2, True), said


def test_the_root_of_the_shared_volume_is_refused(cluster: Cluster, migrated: str) -> None:
    manifest = changed(lambda arguments: [argument.removesuffix("/shared") for argument in arguments])
    code, said = refused(cluster, manifest, "shared-root")
    assert code == 3
    assert "can be read by others" in said or "belongs to another user" in said


def test_nothing_beside_the_volumes_can_be_written(cluster: Cluster, migrated: str, tmp_path: Path) -> None:
    target = tmp_path / "written"
    command = [sys.executable, str(READ_ONLY_ROOT), str(cluster.folder), "--", "/bin/sh", "-c", f"echo > {target}"]
    tried = subprocess.run(command, check=False, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, timeout=30)
    assert tried.returncode != 0
    assert not target.exists()


def test_policies_of_ones_own_are_read_where_the_commented_line_puts_them(cluster: Cluster, migrated: str) -> None:
    manifest = gateway_pod(uncommented="policies.cedar")
    cluster.contents["qsec-config"]["policies.cedar"] = b"permit (principal, action, resource);"
    try:
        code, said = refused(cluster, manifest, "policies")
    finally:
        del cluster.contents["qsec-config"]["policies.cedar"]
    assert code == 2
    assert "files/policies/policies.cedar, line 1" in said


def test_a_hub_on_another_machine_without_https_is_refused(cluster: Cluster, migrated: str) -> None:
    pod = PodProcess(
        gateway_pod(),
        cluster.folder / "plain-hub",
        cluster.folder / "shared",
        cluster.contents,
        JUPYTERHUB_API_URL="http://hub:8081/hub/api",
    )
    cluster.pods.append(pod)
    process = pod.launch().process
    assert process is not None
    assert (process.wait(60), "neither on this machine nor https" in pod.log()) == (2, True)
