"""`--shared`: gateways with state directories of their own, and keys, results and checkpoints in one folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess, Issued
from tests.gateway.signedcalls import REGION, SignedBraket


@pytest.fixture
def started(gateway_process: StartProcess, postgres_url: str, tmp_path: Path) -> StartProcess:
    """Starts a gateway of that name on the database."""

    def start(name: str, *arguments: str, **options: Any) -> GatewayProcess:
        environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": postgres_url}
        return gateway_process(*arguments, home=tmp_path / name, environ=environ, **options)

    return start


def test_a_lease_a_task_and_a_checkpoint_of_one_are_the_others_too(started: StartProcess, tmp_path: Path) -> None:
    shared = tmp_path / "volume" / "shared"
    one, other = started("one", "--shared", str(shared)), started("other", "--shared", str(shared))
    lease = one.lease()
    with SignedBraket(other, lease) as braket:
        task_id = braket.run_bell()
    assert one.get(f"/api/v1/tasks/{task_id}").json()["task"]["state"] == "COMPLETED"
    sizes = [gateway.post("/api/v1/audit/checkpoint").json()["size"] for gateway in (one, other)]
    assert 0 < sizes[0] <= sizes[1]
    assert one.stop() == other.stop() == 0
    for path in [shared, *shared.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    assert {path.name for path in shared.iterdir()} == {"checkpoints", "keys", "results"}
    for name in ("one", "other"):
        assert {path.name for path in (tmp_path / name).iterdir()} == {"control.token", "gateway.lock", "logs", "port"}


def carried(one: GatewayProcess, other: GatewayProcess) -> int:
    """The status of a call to one gateway with credentials that the other gave."""
    made = one.get("/credentials", one.lease().token).json()
    request = AWSRequest("POST", f"{other.url}/aws/braket/quantum-tasks", data=b'{"filters":[]}')
    SigV4Auth(Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["Token"]), "braket", REGION).add_auth(
        request
    )
    with other.client("") as client:
        return client.post(request.url, content=request.data, headers=dict(request.headers)).status_code


def test_credentials_of_one_are_good_at_the_other(started: StartProcess, tmp_path: Path) -> None:
    assert carried(*[started(name, "--shared", str(tmp_path / "shared")) for name in ("one", "other")]) == 200


def test_without_it_each_has_keys_of_its_own_and_only_the_first_starts(started: StartProcess) -> None:
    one = started("one")
    code, said = refused(started("other", wait=False))
    assert code == 5
    assert "signed with a key that is not in the key store" in said and "--shared" in said and "\n" not in said
    assert one.lease().id
    assert one.stop() == 0
    assert started("one").stop() == 0


def test_processes_of_a_supervisor_use_it_too(started: StartProcess, tmp_path: Path) -> None:
    gateway = started("home", "--shared", str(tmp_path / "shared"), "--processes", "2")
    assert Issued(**gateway.post("/api/v1/leases", {}).json()).id
    assert list((tmp_path / "shared" / "keys").glob("leases-1-*.key"))
    assert not (tmp_path / "home" / "keys").exists()


def refused(process: GatewayProcess) -> tuple[int, str]:
    code = process.process.wait(60)
    return code, process.errors().strip()


def test_sqlite_cannot_be_shared(gateway_process: StartProcess, tmp_path: Path) -> None:
    code, said = refused(gateway_process("--shared", str(tmp_path / "shared"), wait=False))
    assert code == 2
    assert "JUPYTER_QSEC_DATABASE_URL" in said and "\n" not in said
    assert not (tmp_path / "shared").exists()


def test_a_keyring_cannot_be_shared(started: StartProcess, tmp_path: Path) -> None:
    code, said = refused(started("home", "--shared", str(tmp_path / "shared"), "--keystore", "keyring", wait=False))
    assert (code, "--keystore file" in said) == (2, True)


@pytest.mark.parametrize("kind", ["open", "link"])
def test_a_folder_that_is_not_private_is_refused(started: StartProcess, tmp_path: Path, kind: str) -> None:
    shared = tmp_path / "shared"
    if kind == "open":
        shared.mkdir()
        shared.chmod(0o2775)  # as kubelet leaves the root of a volume with an fsGroup
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        shared.symlink_to(tmp_path / "elsewhere")
    code, said = refused(started("home", "--shared", str(shared), wait=False))
    assert code == 3
    assert str(shared) in said and "\n" not in said


def test_keys_that_a_volume_was_opened_to_are_refused(started: StartProcess, tmp_path: Path) -> None:
    """What kubelet does to a volume again and again, unless told `fsGroupChangePolicy: OnRootMismatch`."""
    shared = tmp_path / "shared"
    assert started("one", "--shared", str(shared)).stop() == 0
    (key,) = (shared / "keys").glob("leases-1-*.key")
    key.chmod(0o660)
    code, said = refused(started("one", "--shared", str(shared), wait=False))
    assert code == 5
    assert key.name in said and "chmod go=" in said
