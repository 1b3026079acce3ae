"""Verifying signatures as the front door does (canonical form, digest of the body, replay record), beside botocore
making them. Real credentials from the gateway's own forge: a session token is opened once for each credential."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from datetime import datetime

from benchmarks.table import Row
from jupyter_qsec.adapters.clock import SystemClock
from jupyter_qsec.application.tokens import AwsCredentials, CredentialForge, SigningCredential
from jupyter_qsec.gateway.replay import ReplayGuard
from jupyter_qsec.gateway.sigv4 import SignatureVerifier, SignedRequest, SigningRules

REQUESTS, ROUNDS = 5_000, 3
CREDENTIALS = 20
_WANTED = 15_000
BODY = b'{"deviceArn":"arn:aws:braket:::device/quantum-simulator/amazon/sv1","action":"' + b"x" * 800 + b'"}'
TARGET = "/aws/braket/quantum-task"
HOST = "127.0.0.1:8000"


def rows() -> list[Row]:
    clock = SystemClock()
    forge = CredentialForge(lambda _: b"k" * 32)
    credentials = [forge.issue(f"{number:032x}", clock.now()) for number in range(CREDENTIALS)]
    arrived = _signed(credentials)
    verify, sign = [], []
    for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine falls on both
        verify.append(_verifications(forge, clock, arrived))
        sign.append(_signatures(credentials))
    mine, peer = statistics.median(verify), statistics.median(sign)
    return [
        Row(
            "signature verification",
            mine,
            "/s",
            peer=f"botocore add_auth {peer:,.0f} /s",
            ratio=mine / peer,
            target=f"{_WANTED:,} /s or more on one core",
            ok=mine >= _WANTED,
        )
    ]


def _requests(count: int) -> list[tuple[str, bytes]]:
    """Different targets and bodies, so that no two signatures are the same."""
    return [(f"{TARGET}?n={number}", BODY + b"%d" % number) for number in range(count)]


def _signed(credentials: list[AwsCredentials]) -> list[tuple[str, tuple[tuple[str, str], ...], bytes]]:
    """What a server reads: target, header lines, body."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    found = []
    for number, (target, body) in enumerate(_requests(REQUESTS)):
        given = credentials[number % CREDENTIALS]
        request = AWSRequest("POST", f"http://{HOST}{target}", headers={"Content-Type": "application/json"}, data=body)
        keys = Credentials(given.access_key_id, given.secret_access_key, given.session_token)
        SigV4Auth(keys, "braket", "us-east-1").add_auth(request)
        more = {"Host": HOST, "User-Agent": "Boto3/1.44 BraketSdk/1.127", "Content-Length": str(len(body))}
        found.append((target, (*more.items(), *request.headers.items()), body))
    return found


def _verifications(
    forge: CredentialForge, clock: SystemClock, arrived: list[tuple[str, tuple[tuple[str, str], ...], bytes]]
) -> float:
    def credential_for(access_key_id: str, token: str) -> SigningCredential:
        return forge.open(access_key_id, token, clock.now())

    verifier = SignatureVerifier(credential_for, clock, SigningRules("braket"))
    replays = ReplayGuard(datetime.fromtimestamp(0, clock.now().tzinfo))

    def work() -> None:
        for target, headers, body in arrived:
            request = SignedRequest("POST", target, headers, hashlib.sha256(body).hexdigest())
            verified = verifier.verify(request)
            replays.check(verified.signature, verified.signed_at, clock.now(), repeatable=False)

    return len(arrived) / _seconds(work)


def _signatures(credentials: list[AwsCredentials]) -> float:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    headers = {"Content-Type": "application/json"}
    requests = [
        AWSRequest("POST", f"http://{HOST}{target}", headers=dict(headers), data=body)
        for target, body in _requests(REQUESTS)
    ]
    signers = [
        SigV4Auth(Credentials(given.access_key_id, given.secret_access_key, given.session_token), "braket", "us-east-1")
        for given in credentials
    ]

    def work() -> None:
        for number, request in enumerate(requests):
            signers[number % CREDENTIALS].add_auth(request)

    return len(requests) / _seconds(work)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
