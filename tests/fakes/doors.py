"""A front door on a gateway of fakes, and a client that signs for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jupyter_qsec.application.leasing import LeaseRequest
from jupyter_qsec.gateway.braket import BraketService
from jupyter_qsec.gateway.frontdoor import Arrival, FrontDoor, Service
from jupyter_qsec.gateway.s3 import S3Service
from jupyter_qsec.gateway.sts import StsService
from jupyter_qsec.gateway.wire import WireResponse
from tests.fakes.signer import Headers, Signer
from tests.fakes.world import ADA, BELL, SV1, World


@dataclass
class Client:
    """Signs with a lease's credential and knocks at one door."""

    world: World
    door: FrontDoor
    signer: Signer
    lease_id: str

    @property
    def prefix(self) -> str:
        return self.door.service.prefix

    def sign(self, method: str, path: str, body: bytes = b"", **options: Any) -> Headers:
        return self.signer.headers(method, self.prefix + path, body, **{"at": self.world.clock.now(), **options})

    async def send(self, method: str, path: str, body: Any = b"", headers: Headers | None = None) -> WireResponse:
        """Send a JSON value or bytes, signed unless headers are given."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.sign(method, path, raw) if headers is None else headers
        return await self.door.serve(Arrival(method, self.prefix + path, headers, "127.0.0.1"), raw)


def service_of(world: World, name: str) -> Service:
    if name == "braket":
        return BraketService(world)
    return S3Service(world) if name == "s3" else StsService()


async def client(
    world: World,
    name: str = "braket",
    *,
    tenant: str = "alpha",
    door: FrontDoor | None = None,
    region: str = "us-east-1",
) -> Client:
    """A lease in the tenant, its credential, and a door (a new one unless given)."""
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant=tenant))
    credentials = await world.leasing.credentials(issued.token)
    signer = Signer.of(credentials, service=name, region=region)
    return Client(world, door or FrontDoor(world, service_of(world, name)), signer, issued.lease.id)


def bell(account: str = "000000000111", **changes: Any) -> dict[str, Any]:
    """The body of CreateQuantumTask for a Bell program; `None` removes a member."""
    body = {
        "deviceArn": SV1,
        "shots": 100,
        "outputS3Bucket": f"amazon-braket-us-east-1-{account}",
        "outputS3KeyPrefix": "tasks",
        "action": BELL,
        "clientToken": "token",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def message(response: WireResponse) -> str:
    return str(json.loads(response.body)["message"])


def rejections(world: World) -> list[tuple[str, str]]:
    """Where and why requests were refused, as recorded."""
    events = [event for event in world.store.events if event.kind == "request.rejected"]
    return [(str(event.details["at"]), str(event.details["code"])) for event in events]
