"""Signatures from before a gateway was started again: honest ones are taken after an orderly end, replays never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.gateway.livegateway import GatewayProcess, Issued


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    started = GatewayProcess(tmp_path / "home")
    started.home.mkdir(mode=0o700)
    yield started.start()
    started.close()


def signed(gateway: GatewayProcess, lease: Issued, name: str) -> AWSRequest:
    """A request that may be sent at any time, signed now; each name makes another."""
    made = gateway.get("/credentials", lease.token).json()
    credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["Token"])
    body = b'{"filters":[],"maxResults":%d}' % (len(name) + 1)
    request = AWSRequest("POST", f"{gateway.url}/aws/braket/devices", data=body)
    request.headers["Content-Type"] = "application/json"
    SigV4Auth(credentials, "braket", "us-east-1").add_auth(request)
    return request


def send(request: AWSRequest) -> tuple[int, str]:
    with httpx.Client(trust_env=False) as client:
        answer = client.request("POST", request.url, content=request.data, headers=dict(request.headers))
    return answer.status_code, answer.text


def again(gateway: GatewayProcess) -> None:
    """Start it once more, where it was."""
    for stream in (gateway.process.stdout, gateway.process.stderr):
        assert stream is not None
        stream.close()
    port = gateway.port
    gateway.start()
    assert gateway.port == port


def test_after_an_orderly_end_what_was_signed_before_is_taken_once(gateway: GatewayProcess) -> None:
    lease = gateway.lease()
    used, unused = signed(gateway, lease, "a"), signed(gateway, lease, "bc")
    assert send(used)[0] == 200
    assert gateway.stop() == 0
    again(gateway)
    assert not (gateway.home / "signatures").exists()
    assert send(unused)[0] == 200
    for replayed in (used, unused):
        status, text = 200, ""
        while status == 200:  # within two seconds of the first sight a read may repeat
            status, text = send(replayed)
        assert (status, "was received before" in text) == (403, True)


def test_after_a_kill_nothing_from_before_is_taken_not_even_on_the_word_of_an_end_before_that(
    gateway: GatewayProcess,
) -> None:
    lease = gateway.lease()
    assert gateway.stop() == 0
    again(gateway)
    used, unused = signed(gateway, lease, "a"), signed(gateway, lease, "bc")
    assert send(used)[0] == 200
    gateway.kill()
    again(gateway)
    for request in (used, unused):
        status, text = send(request)
        assert status != 200 and "before the gateway can rule out a replay" in text
    assert send(signed(gateway, lease, "d"))[0] == 200


def test_what_an_end_before_the_last_one_kept_is_not_believed(gateway: GatewayProcess) -> None:
    lease = gateway.lease()
    kept = gateway.home / "signatures"
    assert gateway.stop() == 0
    stale = kept.read_bytes()
    again(gateway)
    used = signed(gateway, lease, "a")
    assert send(used)[0] == 200
    assert gateway.stop() == 0
    kept.write_bytes(stale)
    again(gateway)
    status, text = send(used)
    assert status != 200 and "before the gateway can rule out a replay" in text
