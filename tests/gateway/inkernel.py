"""Makes the test process what a kernel is: an environment and a lease."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
import pytest

from tests.gateway.livegateway import ControlAccess, Issued

FOREIGN = ("AWS_", "BRAKET_", "AMZN_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


def enter_kernel(gateway: ControlAccess, lease: Issued, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token_file = folder / "lease-token"
    token_file.write_text(lease.token)
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    for name, value in gateway.environment(token_file).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # a kernel is a new process
