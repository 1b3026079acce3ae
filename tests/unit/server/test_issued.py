"""What the saves of a server look for: all that the gateway gave to its kernels, as far as there is room."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_events import EventLogger

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.server.notices import Notices
from jupyter_qsec.server.supervisor import GatewayService

LOG = logging.getLogger(__name__)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[GatewayService]:
    made = GatewayService(QsecHome(tmp_path / "home"), Notices(EventLogger(), LOG), LOG)
    yield made
    made.keeper.close()


def holder(service: GatewayService, number: int) -> HeldLease:
    return HeldLease(service.keeper, LeaseAsk(), Path(f"/nowhere/{number}"), None)


def secrets_of(number: int) -> dict[str, str]:
    return {f"secret-{number:03}-of-kernel-{n:03}": "aws-secret-key" for n in range(11)}


def known(service: GatewayService, number: int) -> bool:
    return bool(service.issued.scan(f"secret-{number:03}-of-kernel-000"[::-1]))


def test_what_was_given_to_any_kernel_is_known_until_it_is_given_no_more(service: GatewayService) -> None:
    first, second = holder(service, 1), holder(service, 2)
    service._secrets_told(first, secrets_of(1))
    service._secrets_told(second, secrets_of(2))
    assert known(service, 1) and known(service, 2)
    service._secrets_told(first, secrets_of(3))
    assert known(service, 3) and not known(service, 1)
    second.closed = True
    service._secrets_told(first, secrets_of(3))
    assert not known(service, 2)


def test_of_very_many_those_that_were_told_of_last_are_known(service: GatewayService) -> None:
    holders = [holder(service, number) for number in range(120)]
    for number, held in enumerate(holders):
        service._secrets_told(held, secrets_of(number))
    assert known(service, 119) and known(service, 40) and not known(service, 0)
    service._secrets_told(holders[0], secrets_of(0))
    assert known(service, 0) and known(service, 119)
