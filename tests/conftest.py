"""Shared by all tests: the async test runner and real Jupyter Server fixtures, a fence around loopback, and the order
in which parallel runs take the modules."""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server", "tests.contract.postgresfixtures", "tests.contract.daskfixtures"]

# How long an example takes is the machine's; the first one imports, too.
hypothesis.settings.register_profile("qsec", deadline=None)
hypothesis.settings.load_profile("qsec")

_TESTS = Path(__file__).parent
_LONGEST = ("hub", "binder", "tutorials", "browser")
"""Groups of tests that take a minute or more: one that began last would leave the other processes idle."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Keep what shares servers on one process, and hand out the longest groups first and single unit tests last.

    Within a group, and within the other groups, the order stays random."""
    for item in items:
        module = item.path.relative_to(_TESTS)
        if module.parts[0] != "unit" and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(module.with_suffix(""))))
    yield
    if getattr(config.option, "loadgroup", False) and not any("@" in item.nodeid for item in items):
        raise pytest.UsageError("pytest-xdist does not keep groups together with this pytest: see pyproject.toml")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    if group is None:
        return len(_LONGEST) + 1
    return _LONGEST.index(group.args[0]) if group.args[0] in _LONGEST else len(_LONGEST)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse whatever the test process would connect to or send beyond this machine."""
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    yield


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    """A method of sockets whose last argument is an address."""

    @functools.wraps(call)
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = arguments[-1][0]
            if not ipaddress.ip_address(host).is_loopback:
                raise AssertionError(f"a test tried to reach {host}")
        return call(self, *arguments)

    return guarded
