"""What a real kernel runs of a source with a secret, by the tenant's policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_qsec.domain.errors import InvalidRequestError
from tests.fakes.kernel_driver import Kernel
from tests.fakes.waiting import wait_for
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
MARK = "[REDACTED:aws-access-key]"


def settings(**more: Any) -> Config:
    return Config(QsecProvisioner={"source_policy": {"critical": "redact"}, **more})


@pytest.fixture(scope="module")
def redacting(kernel_world: KernelWorld) -> Iterator[Kernel]:
    yield kernel_world.start(config=settings())


def test_a_redacted_cell_runs_until_the_secret_is_used(redacting: Kernel) -> None:
    result = redacting.run(f"key = '{KEY}'\nprint('before')\nprint(len(key))")
    assert result.status == "error" and result.reply["ename"] == "RedactedSecret"
    assert result.text == "before\n" and KEY not in result
    assert "line 3" in "\n".join(result.reply["traceback"]) or "3 print" in "\n".join(result.reply["traceback"])


def test_clients_see_the_source_with_a_marker(redacting: Kernel) -> None:
    result = redacting.run(f"another = '{KEY}'")
    (echo,) = result.of("execute_input")
    assert result.status == "ok" and echo["content"]["code"] == f"another = '{MARK}'"


def test_nothing_in_the_kernel_has_seen_the_secret(redacting: Kernel) -> None:
    redacting.run(f"x = '{KEY}'  # {KEY}")
    looked = redacting.run("print(any('QSEC7' + 'PLANTED' in line for line in In))")
    assert looked.text == "False\n"


def test_showing_it_says_what_happened(redacting: Kernel) -> None:
    result = redacting.run(f"shown = '{KEY}'\nshown")
    assert "was taken out of this cell before it ran" in repr(result.messages)


def test_what_cannot_be_redacted_stops_the_cell(redacting: Kernel) -> None:
    result = redacting.run(f"%env KEY={KEY}")
    assert result.reply["ename"] == "CellBlocked" and KEY not in result
    (echo,) = result.of("execute_input")
    assert echo["content"]["code"] == f"%env KEY={MARK}"


def test_a_new_lease_of_another_tenant_brings_its_policy(kernel_world: KernelWorld) -> None:
    own = {"strict-tenant": {"critical": "block"}}
    redacting = kernel_world.start(config=settings(tenant_source_policy=own))
    assert redacting.run(f"key = '{KEY}'").status == "ok"
    redacting.provisioner._session.held.new("strict-tenant", "any")
    redacting.manager.is_alive()  # as the server's restarter asks, every three seconds
    wait_for(lambda: redacting.run(f"key = '{KEY}'").reply.get("ename") == "CellBlocked", "the other tenant's policy")


def test_with_a_policy_that_nobody_understands_no_kernel_starts(kernel_world: KernelWorld) -> None:
    with pytest.raises(InvalidRequestError, match="'severe' is neither a severity nor a kind"):
        kernel_world.start(config=Config(QsecProvisioner={"source_policy": {"severe": "block"}}))
