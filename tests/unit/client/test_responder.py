"""While no gateway runs, each protocol gets the reason in its own shape, with a status that no SDK retries."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.home import free_port
from jupyter_qsec.client.responder import Responder, responders_reason
from jupyter_qsec.client.supervision import listen
from jupyter_qsec.domain.errors import UnavailableError

REASON = "its key store cannot be used: <no keyring> & no file"


@pytest.fixture
def port() -> Iterator[int]:
    with listen(free_port()) as listener:
        responder = Responder(listener, REASON)
        yield listener.getsockname()[1]
        responder.close()
        listener.getsockname()  # still open: it belongs to the supervisor


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("braket", lambda client: client.get_quantum_task(quantumTaskArn="arn:aws:braket:us-east-1:1:quantum-task/1")),
        ("s3", lambda client: client.put_object(Bucket="amazon-braket-x", Key="k", Body=b"x" * 300_000)),
        ("s3", lambda client: client.list_objects_v2(Bucket="amazon-braket-x")),
        ("sts", lambda client: client.get_caller_identity()),
        ("ec2", lambda client: client.describe_regions()),
        ("sqs", lambda client: client.list_queues()),
    ],
)
def test_the_real_sdk_fails_at_once_and_shows_the_reason(port: int, service: str, call: object) -> None:
    path = service if service in ("braket", "s3", "sts") else "denied"
    client = boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}/aws/{path}",
        aws_access_key_id="ASIAEXAMPLE",
        aws_secret_access_key="x",
        config=Config(s3={"addressing_style": "path"}),
    )
    before = time.monotonic()
    with pytest.raises(ClientError) as caught:
        call(client)  # type: ignore[operator]  # a lambda over an untyped client
    assert time.monotonic() - before < 2, "it was retried"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert f"the qsec gateway is not running: {REASON}" in str(caught.value)
    client.close()


def test_the_control_api_gets_problem_details(port: int) -> None:
    with (
        ControlClient(f"http://127.0.0.1:{port}", "t" * 40) as client,
        pytest.raises(UnavailableError, match="key store cannot be used"),
    ):
        client.status()


def test_health_is_503_and_names_the_reason_for_other_supervisors(port: int) -> None:
    assert responders_reason(port) == REASON


def test_something_else_on_the_port_gives_no_reason() -> None:
    assert responders_reason(free_port()) == ""
    assert responders_reason(None) == ""


@pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999", "²"])
def test_odd_lengths_do_no_harm(port: int, length: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", "/aws/braket/quantum-task")
    connection.putheader("Content-Length", length.encode("latin-1"))
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()
