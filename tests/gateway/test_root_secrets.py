"""Root secrets of real gateways: replaced while they run, read on record, kept where a package keeps them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.waiting import wait_for
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import ControlAccess, GatewayProcess, LiveGateway
from tests.gateway.manyprocesses import ProcessesGateway
from tests.gateway.signedcalls import SignedBraket

STORE = """
    from pathlib import Path

    class Vault:
        description = "the vault of a company"

        def __init__(self, home):
            self.folder = Path(os.environ["VAULT"])

        def read(self, name):
            path = self.folder / name
            if (self.folder / "sealed").exists():
                raise RuntimeError(f"sealed: {path.read_bytes()}")
            return path.read_bytes() if path.exists() else None

        def create(self, name, secret):
            path = self.folder / name
            if not path.exists():
                path.write_bytes(secret)
            return path.read_bytes()
"""


def rotate(gateway: ControlAccess, name: str = "leases", **body: Any) -> dict[str, Any]:
    answer = gateway.post(f"/api/v1/root-secrets/{name}/rotate", {"reason": "in a test", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["secret"]
    return made


def states(gateway: ControlAccess) -> list[tuple[str, int, str]]:
    told = gateway.get("/api/v1/root-secrets").json()["secrets"]
    return [(each["name"], each["generation"], each["state"]) for each in told]


def lookup(braket: SignedBraket) -> int:
    """How the gateway answers a question about a task that does not exist."""
    return braket.send("GET", "/quantum-task/x").status_code


def takes(braket: SignedBraket) -> bool:
    return lookup(braket) == 404


def test_nobody_notices_that_the_key_of_all_leases_was_replaced(live_gateway: LiveGateway) -> None:
    before = live_gateway.lease()
    with SignedBraket(live_gateway, before) as old:
        old.run_bell()
        made = rotate(live_gateway)
        assert (made["generation"], made["state"], made["because"]) == (2, "coming", "in a test")
        old.run_bell()
        with SignedBraket(live_gateway, live_gateway.lease()) as new:
            new.run_bell()
    assert states(live_gateway) == [("audit-log", 1, "present"), ("leases", 2, "coming"), ("leases", 1, "present")]


def test_at_once_every_lease_ends_and_new_ones_work(live_gateway: LiveGateway) -> None:
    before = live_gateway.lease()
    with SignedBraket(live_gateway, before) as old:
        old.run_bell()
        assert rotate(live_gateway, at_once=True)["state"] == "present"
        refused = old.send("GET", "/quantum-task/x")
        assert refused.status_code == 403 and "new lease" in refused.text.lower()
    told = live_gateway.get(f"/api/v1/leases/{before.id}").json()["lease"]
    assert (told["state"], told["revoked_because"]) == (
        "revoked",
        "the key behind all leases is being replaced: in a test",
    )
    with SignedBraket(live_gateway, live_gateway.lease()) as new:
        new.run_bell()
    assert states(live_gateway)[1:] == [("leases", 2, "present"), ("leases", 1, "replaced")]


def test_all_processes_take_up_the_new_key_and_so_does_the_next_start(postgres_url: str, tmp_path: Path) -> None:
    gateway = ProcessesGateway.on(postgres_url, tmp_path / "home").start()
    try:
        gateway.wait_until_full()
        with ExitStack() as open_clients:
            clients = [open_clients.enter_context(closing(client)) for client in gateway.clients()]
            lease = gateway.lease()
            old = [SignedBraket(gateway, lease, client) for client in clients]
            for braket in old:
                braket.run_bell()
            rotate(gateway, at_once=True)
            lease = gateway.lease()
            new = [SignedBraket(gateway, lease, client) for client in clients]
            for braket in new:
                # A process that has not heard of it refuses; all have after a second.
                wait_for(partial(takes, braket), "the new key", 5)
            assert [lookup(braket) for braket in old] == [403, 403]
    finally:
        gateway.close()


@pytest.mark.parametrize("name", ["audit-log", "leases"])
@pytest.mark.parametrize("damage", ["gone", "another"])
def test_a_lost_key_stops_the_start_and_is_not_made_anew(gateway_process: StartProcess, name: str, damage: str) -> None:
    gateway = gateway_process()
    gateway.stop()
    (key,) = (gateway.home / "keys").glob(f"{name}*.key")
    if damage == "gone":
        key.unlink()
    else:
        key.write_bytes(b"x" * 32)
    before = sorted(path.name for path in key.parent.iterdir())
    again = gateway_process(home=gateway.home, wait=False)
    assert again.process.wait(30) in (3, 5)
    line = again.errors().strip()
    assert "key store" in line and "\n" not in line
    assert sorted(path.name for path in key.parent.iterdir()) == before


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a gateway beside which a package is installed that brings the key store `vault`."""
    packages, folder = tmp_path / "packages", tmp_path / "vault"
    info = packages / "company_vault-1.0.dist-info"
    for made in (info, folder):
        made.mkdir(parents=True)
    (packages / "company_vault.py").write_text("import os\n" + textwrap.dedent(STORE))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: company-vault\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jupyter_qsec.key_stores]\nvault = company_vault:Vault\n")
    yield {**os.environ, "PYTHONPATH": str(packages), "VAULT": str(folder)}


def test_a_package_brings_the_store(gateway_process: StartProcess, vault: dict[str, str], tmp_path: Path) -> None:
    gateway: GatewayProcess = gateway_process("--keystore", "vault", environ=vault)
    with SignedBraket(gateway, gateway.lease()) as braket:
        braket.run_bell()
    rotate(gateway)
    assert gateway.get("/api/v1/status").json()["keystore"] == "vault: the vault of a company"
    kept = sorted(path.name[:8] for path in Path(vault["VAULT"]).iterdir())
    assert kept == ["audit-lo", "leases-1", "leases-2"] and not (gateway.home / "keys").exists()
    gateway.stop()
    assert gateway_process("--keystore", "vault", environ=vault).get("/health").status_code == 200


def test_a_store_that_does_not_answer_stops_the_start_and_its_words_are_not_repeated(
    gateway_process: StartProcess, vault: dict[str, str]
) -> None:
    gateway: GatewayProcess = gateway_process("--keystore", "vault", environ=vault)
    gateway.stop()
    folder = Path(vault["VAULT"])
    (folder / "sealed").touch()
    again: GatewayProcess = gateway_process("--keystore", "vault", environ=vault, wait=False)
    assert again.process.wait(30) != 0
    line = again.errors().strip()
    assert "The key store vault cannot be read (RuntimeError)" in line and "\n" not in line
    assert "sealed" not in line and repr((folder / "audit-log").read_bytes()) not in line


def test_a_store_that_nobody_brings_is_named_with_those_there_are(gateway_process: StartProcess) -> None:
    gateway: GatewayProcess = gateway_process("--keystore", "vualt", wait=False)
    assert gateway.process.wait(30) != 0
    line = gateway.errors().strip()
    assert "no key store 'vualt' (there are: auto, keyring, file)" in line and "\n" not in line


def test_a_lease_is_not_enough(live_gateway: LiveGateway) -> None:
    lease = live_gateway.lease()
    assert live_gateway.get("/api/v1/root-secrets", lease.token).status_code == 403
    assert live_gateway.post("/api/v1/root-secrets/leases/rotate", {"at_once": True}, lease.token).status_code == 403
    assert states(live_gateway) == [("audit-log", 1, "present"), ("leases", 1, "present")]


@pytest.mark.parametrize("name", ["audit-log", "another", "..%2fx"])
def test_what_cannot_be_replaced_says_so(live_gateway: LiveGateway, name: str) -> None:
    answer = live_gateway.post(f"/api/v1/root-secrets/{name}/rotate", {"reason": "in a test"})
    assert answer.status_code == 400 and answer.json()["code"] == "invalid-request"
