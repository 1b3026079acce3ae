"""Headers are no way out, and those of a stock kernel cost next to nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyter_client.session import Session

from jupyter_qsec.kernels.relay.headers import Headers
from jupyter_qsec.kernels.relay.hygiene import Reporter
from jupyter_qsec.kernels.relay.wire import WireError, load_object
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Fingerprinter, Match
from jupyter_qsec.scanning.live import LiveSecrets

KEY = "AKIA" + "QSEC7PLANTED5Q2X"


class Counting:
    """An engine that counts its scans."""

    def __init__(self) -> None:
        self.scans = 0
        self.live = LiveSecrets()

    def scan(self, text: str) -> list[Match]:
        self.scans += 1
        return Engine.default(live=self.live).scan(text)

    def scan_markup(self, text: str, *, marks: bool = False) -> list[Match]:
        return self.scan(text)

    def scan_printed(self, text: str) -> list[Match]:
        return self.scan(text)

    def alive(self, data: bytes) -> bool:
        return Engine.default(live=self.live).alive(data)


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
def reporter() -> Reporter:
    return Reporter(Fingerprinter(b"k" * 32), lambda event: None)


@pytest.fixture
def headers(engine: Counting, reporter: Reporter) -> Headers:
    return Headers(engine, reporter)  # type: ignore[arg-type]  # they do what headers need of both


def written(kind: str = "status", **session: Any) -> bytes:
    """A header as a kernel writes it."""
    kernel = Session(key=b"k", **session)
    packed: bytes = kernel.pack(kernel.msg_header(kind))
    return packed


def test_the_second_header_of_a_kernel_passes_as_it_is_and_unscanned(headers: Headers, engine: Counting) -> None:
    kernel = Session(key=b"k")
    first = headers.cleaned(kernel.pack(kernel.msg_header("status")))
    assert engine.scans == 1
    raw = kernel.pack(kernel.msg_header("stream"))
    second = headers.cleaned(raw)
    assert engine.scans == 1
    assert (second.kind, second.session, second.encoded) == ("stream", kernel.session, raw)
    assert first.session == second.session


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    "changes",
    [{"username": KEY}, {"username": f"me {KEY}"}, {"session": f"{'a' * 8}-{KEY}"}],
    ids=["user", "in", "session"],
)
def test_a_secret_in_place_of_a_name_is_found_each_time(headers: Headers, times: int, changes: dict[str, str]) -> None:
    for _ in range(times):
        assert KEY.encode() not in headers.cleaned(written(**changes)).encoded


@pytest.mark.parametrize(
    "change",
    [
        {"msg_type": KEY},
        {"msg_type": "my_" + "s" * 20},
        {"extra": KEY},
        {"date": KEY},
        {"version": KEY},
        {"msg_id": KEY},
    ],
    ids=str,
)
def test_whatever_is_not_as_a_kernel_writes_it_is_scanned(
    headers: Headers, engine: Counting, change: dict[str, str]
) -> None:
    kernel = Session(key=b"k")
    headers.cleaned(kernel.pack(kernel.msg_header("status")))
    before = engine.scans
    changed = headers.cleaned(kernel.pack(json.loads(json.dumps(kernel.msg_header("status"), default=str)) | change))
    assert engine.scans > before
    assert KEY.encode() not in changed.encoded


def test_a_name_that_becomes_a_live_secret_passes_no_longer(headers: Headers, engine: Counting) -> None:
    kernel = Session(key=b"k", username="horse-battery-staple")
    for _ in range(2):
        assert b"horse-battery" in headers.cleaned(kernel.pack(kernel.msg_header("status"))).encoded
    headers.cleaned_parent(kernel.pack(kernel.msg_header("execute_request")))
    engine.live.add("horse-battery-staple", "lab-database")
    assert b"horse-battery" not in headers.cleaned(kernel.pack(kernel.msg_header("status"))).encoded
    assert b"horse-battery" not in headers.cleaned_parent(kernel.pack(kernel.msg_header("execute_request")))[0]


def test_nothing_hides_behind_a_repeated_key(headers: Headers) -> None:
    kernel = Session(key=b"k")
    raw = kernel.pack(kernel.msg_header("status"))
    headers.cleaned(raw)
    twice = raw.replace(b'{"msg_id"', b'{"username": "' + KEY.encode() + b'", "msg_id"')
    assert KEY.encode() not in headers.cleaned(twice).encoded


def test_a_parent_with_its_keys_in_another_order_is_the_same_parent(headers: Headers, engine: Counting) -> None:
    parent = written("execute_request")
    first = headers.cleaned_parent(parent)
    scans = engine.scans
    turned = Session(key=b"k").pack(dict(reversed(json.loads(parent).items())))
    assert turned != parent and [headers.cleaned_parent(turned), headers.cleaned_parent(parent)] == [first, first]
    assert engine.scans == scans
    other = turned.replace(b"username", b"userName", 1)
    assert headers.cleaned_parent(other)[0] == other.replace(b'": ', b'":').replace(b', "', b',"')
    assert engine.scans == scans + 1


def test_a_parent_is_read_once_for_all_messages_of_its_request(headers: Headers, engine: Counting) -> None:
    parent = written("execute_request")
    first = headers.cleaned_parent(parent)
    assert headers.cleaned_parent(parent) == first
    assert engine.scans == 1
    assert first[1] == load_object(parent)["msg_id"]


def lab(request: str, session: str = "11111111-2222-4333-8444-555555555555") -> bytes:
    """The header of a request as a kernel repeats what JupyterLab wrote."""
    header = {
        "date": "2026-11-28T09:00:00.123000Z",
        "msg_id": request,
        "msg_type": "execute_request",
        "session": session,
        "subshell_id": None,
        "username": "",
        "version": "5.2",
    }
    return json.dumps(header).encode()


def test_a_request_of_jupyterlab_is_known_by_its_id(headers: Headers, engine: Counting, reporter: Reporter) -> None:
    first, second, made_up = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
    reporter.request(first, {})
    reporter.request(second, {})
    headers.cleaned_parent(lab(first))
    scans = engine.scans
    assert headers.cleaned_parent(lab(second)) == (lab(second), second)
    assert engine.scans == scans
    headers.cleaned_parent(lab(made_up))
    assert engine.scans > scans, "a kernel could write in hexadecimal digits there"
    scans = engine.scans
    headers.cleaned(lab(second))
    assert engine.scans > scans, "no kernel writes its own headers so"


def test_a_header_that_is_no_object_is_refused(headers: Headers) -> None:
    with pytest.raises(WireError):
        headers.cleaned(b"[]")
