"""The tenants' roles at AWS, taken by real gateways through botocore from an STS that checks what AWS checks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.sts import FakeSts
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import ControlAccess, GatewayProcess, LiveGateway
from tests.gateway.manyprocesses import ProcessesGateway
from tests.gateway.signedcalls import SignedBraket
from tests.gateway.test_openapi import check as as_documented

KEY = ("AKIAQSECEXAMPLEROOT1", "rootrootrootrootrootrootrootrootroot0001")
OTHER = ("AKIAQSECEXAMPLEROOT2", "rootrootrootrootrootrootrootrootroot0002")
ALPHA, BETA = (f"arn:aws:iam::123456789012:role/qsec-{name}" for name in ("alpha", "beta"))

TENANTS = """
[aws]
source = "{source}"
region = "eu-west-2"
sts = "{sts}"

[[tenant]]
id = "sandbox"
account = "000000000101"
purpose = "research"
environment = "dev"
aws_role = "{alpha}"
aws_external_id = "of-alpha"
[[tenant.project]]
id = "p"

[[tenant]]
id = "research"
account = "000000000202"
purpose = "benchmark"
environment = "test"
aws_role = "{beta}"
[[tenant.project]]
id = "p"
"""


@pytest.fixture
def sts() -> Iterator[FakeSts]:
    with FakeSts(dict([KEY]), {ALPHA: "of-alpha", BETA: ""}) as made:
        yield made


def settings(folder: Path, sts: FakeSts, source: str) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "tenants.toml").write_text(TENANTS.format(source=source, sts=sts.url, alpha=ALPHA, beta=BETA))
    return folder


@pytest.fixture
def stored(tmp_path: Path, sts: FakeSts) -> Iterator[LiveGateway]:
    """A gateway that takes roles with a key that an administrator gave it."""
    gateway = LiveGateway(settings(tmp_path / "home", sts, "stored")).start()
    yield gateway
    gateway.stop()


def give(gateway: ControlAccess, key: tuple[str, str]) -> Any:
    fields = {"access_key_id": key[0], "secret_access_key": key[1], "reason": "in a test"}
    answer = gateway.post("/api/v1/root-secrets/aws", fields)
    as_documented("POST", "/api/v1/root-secrets/aws", answer.status_code, answer.json())
    return answer


def check(gateway: ControlAccess) -> list[dict[str, Any]]:
    answer = gateway.post("/api/v1/provider/check")
    as_documented("POST", "/api/v1/provider/check", 200, answer.json())
    found: list[dict[str, Any]] = answer.json()["roles"]
    return found


def test_each_tenant_has_a_session_of_its_own_with_its_tags(stored: LiveGateway, sts: FakeSts) -> None:
    assert give(stored, KEY).status_code == 201
    alpha, beta = check(stored)
    assert (alpha["tenant"], alpha["role"], alpha["problem"]) == ("sandbox", ALPHA, "")
    assert alpha["session"] == "arn:aws:sts::123456789012:assumed-role/qsec-alpha/qsec-sandbox"
    assert beta["session"] == "arn:aws:sts::123456789012:assumed-role/qsec-beta/qsec-research"
    first, second = sorted(sts.asked, key=lambda asked: asked["RoleArn"])
    assert (first["SourceIdentity"], first["DurationSeconds"], first["ExternalId"]) == (
        "qsec-sandbox",
        "3600",
        "of-alpha",
    )
    tags = {first[f"Tags.member.{n}.Key"]: first[f"Tags.member.{n}.Value"] for n in (1, 2, 3)}
    assert tags == {"qsec:tenant": "sandbox", "qsec:purpose": "research", "qsec:environment": "dev"}
    assert "ExternalId" not in second


def test_each_session_is_on_record_and_no_secret_is(stored: LiveGateway, sts: FakeSts, tmp_path: Path) -> None:
    give(stored, KEY)
    check(stored)
    opened = [event for event in stored.events() if event["kind"] == "provider-session.opened"]
    assert {(event["tenant"], event["subject"]) for event in opened} == {("sandbox", ALPHA), ("research", BETA)}
    assert len(opened) == 2
    assert opened[0]["details"]["source"] == "stored"
    kinds = [(event["kind"], event["subject"]) for event in stored.events()]
    assert ("root-secret.rotated", "aws") in kinds and ("root-secret.read", "aws") in kinds
    secrets = (KEY[1], "s" * 40, "t" * 200, "of-alpha")
    assert not any(secret in json.dumps(stored.events()) for secret in secrets)
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.parent.name != "keys"]
    found = [path for path in kept if KEY[1].encode() in path.read_bytes()]
    assert kept and not found


def test_a_new_key_is_used_from_the_next_session_on_without_a_restart(stored: LiveGateway, sts: FakeSts) -> None:
    give(stored, KEY)
    sts.keys = dict([OTHER])  # AWS has ended the first one
    problems = {each["problem"].partition(" Give")[0] for each in check(stored)}
    assert problems == {"AWS does not take the gateway's own credentials (InvalidClientTokenId)."}
    made = give(stored, OTHER).json()["secret"]
    assert (made["name"], made["generation"], made["state"]) == ("aws", 2, "present")
    assert [each["problem"] for each in check(stored)] == ["", ""]
    listed = stored.get("/api/v1/root-secrets").json()["secrets"]
    assert [(each["name"], each["state"]) for each in listed[1:3]] == [("aws", "present"), ("aws", "replaced")]
    assert listed[1]["due_at"] is not None


def test_a_refusal_names_the_role_and_what_it_needs_and_the_others_go_on(stored: LiveGateway, sts: FakeSts) -> None:
    give(stored, KEY)
    del sts.trusts[ALPHA]
    alpha, beta = check(stored)
    assert ALPHA in alpha["problem"] and "AccessDenied" in alpha["problem"] and "sts:TagSession" in alpha["problem"]
    assert (alpha["session"], beta["problem"]) == (None, "")
    (refused,) = [event for event in stored.events() if event["kind"] == "provider-session.refused"]
    assert (refused["tenant"], refused["outcome"]) == ("sandbox", "failed")


def test_a_provider_that_is_away_is_asked_again_and_then_told_as_that(stored: LiveGateway, sts: FakeSts) -> None:
    give(stored, KEY)
    sts.broken = 1
    assert [each["problem"] for each in check(stored)] == ["", ""]
    sts.broken = 6
    assert {each["problem"] for each in check(stored)} == {"AWS does not give the role now (ServiceUnavailable)."}


def test_without_a_key_it_says_how_to_give_one(stored: LiveGateway) -> None:
    assert all("jupyter qsec keys set-aws" in each["problem"] for each in check(stored))


@pytest.mark.parametrize("key", [("AKIA", KEY[1]), (KEY[0].replace("AKIA", "ASIA"), KEY[1]), (KEY[0], "short")])
def test_what_is_no_long_term_key_is_refused_and_not_repeated(stored: LiveGateway, key: tuple[str, str]) -> None:
    answer = give(stored, key)
    assert answer.status_code == 400 and key[1] not in answer.text
    assert not [event for event in stored.events() if event["subject"] == "aws"]


def test_what_a_gateway_finds_where_it_runs_is_enough_and_no_child_has_it(
    gateway_process: StartProcess, sts: FakeSts, tmp_path: Path
) -> None:
    ambient = {"AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1]}
    environ = {**os.environ, **ambient, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    gateway: GatewayProcess = gateway_process(home=settings(tmp_path / "home", sts, "ambient"), environ=environ)
    assert [each["problem"] for each in check(gateway)] == ["", ""]
    answer = give(gateway, KEY)
    assert answer.status_code == 400 and 'source = "stored"' in answer.json()["remedy"]
    with SignedBraket(gateway, gateway.lease()) as braket:
        braket.run_bell()  # there is a simulator's process now
    children = psutil.Process(gateway.process.pid).children(recursive=True)
    assert children and not any(KEY[1] in child.environ().values() for child in children)


@pytest.mark.parametrize("source", ["ambient", "stored"])
def test_processes_below_a_supervisor_have_what_they_need_and_no_more(
    postgres_url: str, sts: FakeSts, tmp_path: Path, source: str
) -> None:
    gateway = ProcessesGateway.on(postgres_url, settings(tmp_path / "home", sts, source))
    gateway.environ = {**gateway.environ, "AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1]}
    gateway.start()
    try:
        gateway.wait_until_full()
        had = {KEY[1] in psutil.Process(pid).environ().values() for pid in gateway.pids()}
        assert had == {source == "ambient"}
        if source == "stored":
            assert give(gateway, KEY).status_code == 201
        for client in gateway.clients():
            roles = client.post("/api/v1/provider/check", json={}).json()["roles"]
            assert [each["problem"] for each in roles] == ["", ""]
            client.close()
    finally:
        gateway.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://elsewhere.example/credentials"),
        ("AWS_PROFILE", "no-such-profile"),
    ],
)
def test_ambient_credentials_that_cannot_be_used_are_told_and_on_record(
    gateway_process: StartProcess, sts: FakeSts, tmp_path: Path, name: str, value: str
) -> None:
    environ = {**os.environ, name: value, "AWS_ROLE_ARN": ALPHA, "AWS_EC2_METADATA_DISABLED": "true"}
    gateway: GatewayProcess = gateway_process(home=settings(tmp_path / "home", sts, "ambient"), environ=environ)
    problems = [each["problem"] for each in check(gateway)]
    assert len(problems) == 2 and all("AWS cannot be asked for the role" in problem for problem in problems)
    records = gateway.get("/api/v1/audit/records?start=0&limit=100").json()["records"]
    refused = [record["event"] for record in records if record["event"]["kind"] == "provider-session.refused"]
    assert {event["tenant"] for event in refused} == {"sandbox", "research"} and value not in json.dumps(records)


def test_below_a_kernel_nothing_is_found(gateway_process: StartProcess, sts: FakeSts, tmp_path: Path) -> None:
    """What a kernel has leads to its own gateway."""
    ambient = {"AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1], "AWS_EC2_METADATA_DISABLED": "true"}
    environ = {**os.environ, **ambient, "JUPYTER_QSEC_KERNEL": "1", "HOME": str(tmp_path)}
    gateway: GatewayProcess = gateway_process(home=settings(tmp_path / "home", sts, "ambient"), environ=environ)
    assert all(each["problem"] for each in check(gateway)) and not sts.asked


def test_a_role_that_is_none_stops_the_start(gateway_process: StartProcess, sts: FakeSts, tmp_path: Path) -> None:
    home = settings(tmp_path / "home", sts, "stored")
    file = home / "tenants.toml"
    file.write_text(file.read_text().replace(ALPHA, "arn:aws:iam::12:user/ada"))
    gateway: GatewayProcess = gateway_process(home=home, wait=False)
    assert gateway.process.wait(30) == 2
    assert "aws_role of tenant sandbox is no ARN of a role" in gateway.errors()
