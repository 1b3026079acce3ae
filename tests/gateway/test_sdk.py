"""The unmodified Braket SDK and boto3 against a real gateway, with nothing but a kernel's environment."""

from __future__ import annotations

import gc
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, CredentialRetrievalError
from braket.aws import AwsDevice, AwsQuantumTask, AwsSession
from braket.circuits import Circuit

from tests.gateway.inkernel import enter_kernel
from tests.gateway.livegateway import Issued, LiveGateway

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
JOB = "arn:aws:braket:us-east-1:000000000101:job/x"
BUCKET = "amazon-braket-us-east-1-000000000101"
# The SDK leaves event loops and boto3 its connections to the garbage collector, which `kernel` runs in time.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def kernel(
    shared_gateway: LiveGateway, issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Issued]:
    """This process has a kernel's environment and the lease that is yielded."""
    enter_kernel(shared_gateway, issued, tmp_path, monkeypatch)
    yield issued
    gc.collect()


def bell() -> Circuit:
    return Circuit().h(0).cnot(0, 1)


def long_circuit() -> Circuit:
    """Runs for some seconds: long enough to be cancelled."""
    circuit = Circuit()
    for layer in range(40):
        for qubit in range(22):
            circuit.ry(qubit, 0.1 * layer + qubit).cnot(qubit, (qubit + 1) % 22)
    return circuit


# -- Braket
def test_a_bell_program_runs_as_it_is(kernel: Issued) -> None:
    device = AwsDevice(SV1)
    task = device.run(bell(), shots=100)
    result = task.result()
    assert set(result.measurement_counts) <= {"00", "11"}
    assert sum(result.measurement_counts.values()) == 100
    assert result.task_metadata.id == task.id
    metadata = task.metadata()
    assert metadata["outputS3Bucket"] == BUCKET
    assert metadata["tags"]["qsec:lease"] == kernel.id
    assert metadata["numSuccessfulShots"] == 100


def test_exact_results_need_no_shots(kernel: Issued) -> None:
    result = AwsDevice(SV1).run(bell().state_vector(), shots=0).result()
    assert abs(result.values[0][3]) ** 2 == pytest.approx(0.5)


def test_noise_runs_on_the_density_matrix_simulator(kernel: Issued) -> None:
    result = AwsDevice(DM1).run(bell().bit_flip(0, 0.5).probability(), shots=0).result()
    assert sum(result.values[0]) == pytest.approx(1)


def test_a_batch_runs_from_ten_threads(kernel: Issued) -> None:
    batch = AwsDevice(SV1).run_batch([bell()] * 12, shots=10, poll_interval_seconds=0.05)
    results = batch.results()
    assert [sum(result.measurement_counts.values()) for result in results] == [10] * 12
    assert len({task.id for task in batch.tasks}) == 12


def test_a_device_tells_what_the_sdk_asks(kernel: Issued) -> None:
    device = AwsDevice(SV1)
    about = (device.name, device.provider_name, device.status, str(device.type))
    assert about == ("SV1", "Amazon Braket", "ONLINE", "SIMULATOR")
    assert device.properties.service.getTaskPollIntervalMillis > 0
    assert device.queue_depth().jobs == "0"
    assert {found.arn for found in AwsDevice.get_devices()} >= {SV1, DM1}
    assert [found.arn for found in AwsDevice.get_devices(names=["SV1"])] == [SV1]


def test_a_task_can_be_found_again_and_its_result_read_again(kernel: Issued) -> None:
    task = AwsDevice(SV1).run(bell(), shots=10)
    counts = task.result().measurement_counts
    again = AwsQuantumTask(task.id)
    assert (again.state(), again.result().measurement_counts) == ("COMPLETED", counts)


def test_a_long_task_can_be_cancelled_and_one_that_has_ended_cannot(kernel: Issued) -> None:
    task = AwsDevice(SV1).run(long_circuit(), shots=1, poll_interval_seconds=0.1)
    task.cancel()
    assert task.result() is None
    assert task.state() == "CANCELLED"
    with pytest.raises(ClientError, match="ConflictException"):
        task.cancel()


def test_tags_and_searches(kernel: Issued) -> None:
    braket = boto3.client("braket")
    task = AwsDevice(SV1).run(bell(), shots=1, tags={"stage": "draft"})
    braket.tag_resource(resourceArn=task.id, tags={"ü + &": "x/y"})
    braket.untag_resource(resourceArn=task.id, tagKeys=["stage"])
    tags = braket.list_tags_for_resource(resourceArn=task.id)["tags"]
    assert {name: value for name, value in tags.items() if not name.startswith("qsec:")} == {"ü + &": "x/y"}
    with pytest.raises(braket.exceptions.AccessDeniedException, match="qsec:tenant"):
        braket.tag_resource(resourceArn=task.id, tags={"qsec:tenant": "research"})
    pages = braket.get_paginator("search_quantum_tasks").paginate(filters=[], PaginationConfig={"PageSize": 2})
    found = [entry for page in pages for entry in page["quantumTasks"]]
    assert task.id in [entry["quantumTaskArn"] for entry in found]
    assert found == sorted(found, key=lambda entry: entry["createdAt"], reverse=True)


def test_a_task_carries_each_tag_of_the_gateway_and_no_other(kernel: Issued) -> None:
    task = AwsDevice(SV1).run(bell(), shots=1, tags={"stage": "draft"})
    tags = boto3.client("braket").list_tags_for_resource(resourceArn=task.id)["tags"]
    assert tags == {
        "stage": "draft",
        "qsec:tenant": "sandbox",
        "qsec:project": "first-steps",
        "qsec:principal": kernel.lease["principal"],
        "qsec:lane": "tutorial/sandbox/simulator",
        "qsec:cost-centre": "training",
        "qsec:purpose": "tutorial",
        "qsec:lease": kernel.id,
    }
    assert task.metadata()["tags"] == tags


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda braket: braket.get_quantum_task(quantumTaskArn="arn:nothing"), "ResourceNotFoundException"),
        (lambda braket: braket.get_device(deviceArn="arn:nothing"), "ResourceNotFoundException"),
        (lambda braket: braket.search_jobs(filters=[]), "AccessDeniedException"),
        (lambda braket: braket.search_spending_limits(), "AccessDeniedException"),
        (
            lambda braket: braket.cancel_job(jobArn="arn:aws:braket:us-east-1:000000000101:job/x"),
            "AccessDeniedException",
        ),
    ],
)
def test_errors_are_those_of_the_service(kernel: Issued, call: Callable[[Any], Any], error: str) -> None:
    with pytest.raises(ClientError) as refused:
        call(boto3.client("braket"))
    assert refused.value.response["Error"]["Code"] == error


# -- S3
@pytest.mark.parametrize(
    "key", ["a b/ü+ ~/..//x?y#z&=%41", "../../etc/passwd", "/lead//double", "k" * 1024, "+", "%2F", ".", "a\tb"]
)
def test_objects_of_any_key_come_back(kernel: Issued, key: str) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"content", ContentType="text/plain")
    got = s3.get_object(Bucket=BUCKET, Key=key)
    assert (got["Body"].read(), got["ContentType"]) == (b"content", "text/plain")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]
    assert (listed[0]["Key"], listed[0]["Size"], listed[0]["ETag"]) == (key, 7, got["ETag"])
    s3.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=BUCKET, Key=key)


def test_files_of_every_size_go_up_and_come_down(kernel: Issued, tmp_path: Path) -> None:
    s3 = boto3.client("s3")
    for size in (0, 1000, 17 << 20):
        content = os.urandom(size)
        (tmp_path / "up").write_bytes(content)
        s3.upload_file(str(tmp_path / "up"), BUCKET, f"file-{size}")
        s3.download_file(BUCKET, f"file-{size}", str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == content
        s3.copy({"Bucket": BUCKET, "Key": f"file-{size}"}, BUCKET, f"copy-{size}")
        assert s3.head_object(Bucket=BUCKET, Key=f"copy-{size}")["ContentLength"] == size
    s3.upload_fileobj(io.BytesIO(b"stream"), BUCKET, "stream", Config=TransferConfig(multipart_threshold=5 << 20))
    assert s3.get_object(Bucket=BUCKET, Key="stream", Range="bytes=2-")["Body"].read() == b"ream"


def test_listings_are_grouped_and_paged(kernel: Issued) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="listing-bucket")
    keys = ["a", "b/1", "b/2", "b-x", "c/1/x", "d", "ü/1"]
    for key in keys:
        s3.put_object(Bucket="listing-bucket", Key=key, Body=b"")
    for version in ("list_objects_v2", "list_objects"):
        for size in (1, 2, 3, 1000):
            pages = list(
                s3.get_paginator(version).paginate(
                    Bucket="listing-bucket", Delimiter="/", PaginationConfig={"PageSize": size}
                )
            )
            found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
            assert (found, prefixes) == (["a", "b-x", "d"], ["b/", "c/", "ü/"]), (version, size)
        pages = s3.get_paginator(version).paginate(Bucket="listing-bucket", PaginationConfig={"PageSize": 2})
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == sorted(keys)
    deleted = s3.delete_objects(Bucket="listing-bucket", Delete={"Objects": [{"Key": key} for key in [*keys, "never"]]})
    assert len(deleted["Deleted"]) == 8
    assert s3.list_objects_v2(Bucket="listing-bucket")["KeyCount"] == 0


def test_buckets_answer_as_s3_does(kernel: Issued) -> None:
    s3 = boto3.client("s3")
    with pytest.raises(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET)
    assert s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert (
        boto3.client("s3", region_name="eu-west-2").get_bucket_location(Bucket=BUCKET)["LocationConstraint"]
        == "eu-west-2"
    )
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="never-created")
    with pytest.raises(ClientError, match="InvalidBucketName"):
        s3.create_bucket(Bucket="Not_A_Name")
    etag = s3.put_object(Bucket=BUCKET, Key="conditional", Body=b"x")["ETag"]
    with pytest.raises(ClientError, match="304"):
        s3.get_object(Bucket=BUCKET, Key="conditional", IfNoneMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.get_object(Bucket=BUCKET, Key="conditional", IfMatch='"other"')
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket=BUCKET, Key="conditional", Range="bytes=5-")


# -- the session
def test_the_sdks_helpers_work(kernel: Issued, tmp_path: Path) -> None:
    session = AwsSession()
    assert session.default_bucket() == BUCKET
    assert session.account_id == "000000000101"
    (tmp_path / "helper.txt").write_text("content")
    uri = f"s3://{BUCKET}/helper/helper.txt"
    session.upload_to_s3(str(tmp_path / "helper.txt"), uri)
    assert session.list_keys(BUCKET, "helper/") == ["helper/helper.txt"]
    session.copy_s3_object(uri, f"s3://{BUCKET}/helper/copy.txt")
    session.copy_s3_directory(f"s3://{BUCKET}/helper", f"s3://{BUCKET}/helper2")
    session.download_from_s3(f"s3://{BUCKET}/helper2/copy.txt", str(tmp_path / "down.txt"))
    assert (tmp_path / "down.txt").read_text() == "content"


def test_the_key_is_synthetic(kernel: Issued) -> None:
    credentials = boto3.Session().get_credentials()
    assert credentials is not None
    assert credentials.access_key.startswith("ASIA")
    assert credentials.token.startswith("qsec1.")
    arn = boto3.client("sts").get_caller_identity()["Arn"]
    assert arn.startswith("arn:aws:sts::000000000101:assumed-role/qsec-first-steps/")


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("iam", "list_roles"),
        ("ec2", "describe_instances"),
        ("dynamodb", "list_tables"),
        ("lambda", "list_functions"),
        ("logs", "describe_log_groups"),
        ("cloudwatch", "list_metrics"),
        ("route53", "list_hosted_zones"),
        ("secretsmanager", "list_secrets"),
    ],
)
def test_every_other_service_is_refused_in_words_that_its_client_shows(kernel: Issued, service: str, call: str) -> None:
    with pytest.raises(ClientError, match="not offered by this gateway") as refused:
        getattr(boto3.client(service), call)()
    assert refused.value.response["Error"]["Code"].startswith("AccessDenied")


def test_a_revoked_lease_ends_old_and_new_sessions(
    kernel: Issued, shared_gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    braket = boto3.client("braket")
    braket.search_quantum_tasks(filters=[])
    shared_gateway.post(f"/api/v1/leases/{kernel.id}/revoke", {"reason": "in test"})
    with pytest.raises(braket.exceptions.AccessDeniedException, match=r"was revoked \(in test\).*New lease"):
        braket.search_quantum_tasks(filters=[])
    with pytest.raises(CredentialRetrievalError, match=r"was revoked \(in test\).*New lease"):
        boto3.Session().client("braket").search_quantum_tasks(filters=[])


def test_what_was_done_is_on_record_before_and_after(kernel: Issued, shared_gateway: LiveGateway) -> None:
    task = AwsDevice(SV1).run(bell(), shots=5)
    task.result()
    events = [event for event in shared_gateway.events() if task.id.rpartition("/")[2] in json.dumps(event)]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "task.submitted"
    assert "task.completed" in kinds
    assert kinds[-1] == "object.read"
