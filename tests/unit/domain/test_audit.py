from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.domain.audit import (
    CHAIN_START,
    MAX_LEAF_BYTES,
    AuditEvent,
    AuditRecord,
    canonical_leaf,
    chain_next,
    event_from_leaf,
)
from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError
from jupyter_qsec.domain.merkle import leaf_hash

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Surrogates included: a hostile request can carry any text.
any_text = st.text(st.characters(codec=None), max_size=30)
events = st.builds(
    AuditEvent,
    kind=any_text,
    at=st.builds(
        lambda micros, zone: (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).astimezone(zone),
        st.integers(0, 1 << 52),
        st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    ),
    principal=any_text,
    tenant=any_text,
    subject=any_text,
    outcome=any_text,
    rules=st.lists(any_text, max_size=3).map(tuple),
    details=st.dictionaries(any_text, any_text | st.integers() | st.booleans(), max_size=4),
)


def test_a_leaf_is_json_with_sorted_keys_without_spaces_and_empty_fields() -> None:
    event = AuditEvent(kind="task.submitted", at=NOON, tenant="sandbox", rules=("r1",), details={"b": 1, "a": "ü"})
    expected = (
        '{"at":"2026-03-01T12:00:00.000000Z","details":{"a":"ü","b":1},"kind":"task.submitted",'
        '"rules":["r1"],"tenant":"sandbox","v":1}'
    )
    assert canonical_leaf(event).decode() == expected


@given(events)
def test_an_event_comes_back_from_its_leaf_and_has_one_leaf(event: AuditEvent) -> None:
    leaf = canonical_leaf(event)
    again = event_from_leaf(leaf)
    assert again == event
    assert canonical_leaf(again) == leaf
    assert AuditRecord(0, leaf, leaf_hash(leaf)).event == event


def test_a_truth_value_stays_one() -> None:
    leaf = canonical_leaf(AuditEvent(kind="k", at=NOON, details={"yes": True, "one": 1}))
    assert event_from_leaf(leaf).details == {"yes": True, "one": 1}
    assert b'"yes":true' in leaf


@pytest.mark.parametrize("value", [1.5, None, ["x"], {"a": 1}, b"bytes"])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        canonical_leaf(AuditEvent(kind="k", at=NOON, details={"x": value}))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        canonical_leaf(AuditEvent(kind="k", at=NOON.replace(tzinfo=None)))


def test_an_event_has_a_bound() -> None:
    with pytest.raises(TooLargeError):
        canonical_leaf(AuditEvent(kind="k", at=NOON, subject="x" * MAX_LEAF_BYTES))
    with pytest.raises(TooLargeError):
        event_from_leaf(b" " * (MAX_LEAF_BYTES + 1))


def test_fields_of_later_versions_are_ignored() -> None:
    leaf = json.loads(canonical_leaf(AuditEvent(kind="k", at=NOON)))
    assert event_from_leaf(json.dumps(leaf | {"new": [1]}).encode()) == AuditEvent(kind="k", at=NOON)


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"v":1}',
        b'{"v":1,"at":"yesterday"}',
        b'{"v":1,"at":"2026-03-01T12:00:00"}',
        b'{"v":1,"at":"2026-03-01T12:00:00Z","kind":3}',
        b'{"v":1,"at":"2026-03-01T12:00:00Z","rules":3}',
        b'{"v":1,"at":"2026-03-01T12:00:00Z","rules":[3]}',
        b'{"v":1,"at":"2026-03-01T12:00:00Z","details":[]}',
        b'{"v":1,"at":"2026-03-01T12:00:00Z","details":{"x":1.5}}',
        b'{"v":1,"at":' + b"[" * 30_000,
        b'{"v":' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_leaf_is_a_domain_error(leaf: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        event_from_leaf(leaf)


def test_the_running_hash_depends_on_every_record_and_their_order() -> None:
    one, two = leaf_hash(b"1"), leaf_hash(b"2")
    forward = chain_next(chain_next(CHAIN_START, one), two)
    assert forward != chain_next(chain_next(CHAIN_START, two), one)
    assert forward != chain_next(CHAIN_START, two)
