"""The doors' small tools: JSON and XML bodies, pages, ranges, conditions, checksums, filters, errors."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.domain import errors as domain_errors
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.gateway import errors
from jupyter_qsec.gateway.errors import (
    ChecksumError,
    InvalidRangeError,
    NotOfferedError,
    PreconditionFailedError,
    braket_error,
    query_error,
    s3_error,
    xml_text,
)
from jupyter_qsec.gateway.fields import JsonBody
from jupyter_qsec.gateway.pages import PageTokens
from jupyter_qsec.gateway.s3content import check_body, http_date, ranged
from jupyter_qsec.gateway.search import read_filters
from jupyter_qsec.gateway.wire import decode, decode_query
from jupyter_qsec.gateway.xmlbody import MAX_BYTES, parse_xml

MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


# -- JSON
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"a":1,"a":2}',
        b'{"shots":NaN}',
        b'{"shots":Infinity}',
        b"\xff{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"shots":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="body"):
        JsonBody(body)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "missing"),
        ("1", "whole number"),
        (True, "whole number"),
        (1.0, "whole number"),
        (-1, "between"),
        (11, "between"),
        ([], "whole number"),
    ],
)
def test_a_number_is_typed_and_bounded_and_the_field_named(value: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"shots .*{complaint}"):
        JsonBody(json.dumps({"shots": value}).encode()).whole("shots", 0, 10)


@pytest.mark.parametrize("value", [None, 1, [], "", "x" * 11, "\ud800"])
def test_a_text_is_typed_and_bounded_and_the_field_named(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="deviceArn"):
        JsonBody(json.dumps({"deviceArn": value}).encode()).text("deviceArn", 1, 10)


@pytest.mark.parametrize("value", [[], "x", {"a": 1}, {"a": None}, {str(n): "" for n in range(51)}])
def test_tags_are_a_bounded_object_of_texts(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="tags"):
        JsonBody(json.dumps({"tags": value}).encode()).mapping("tags", 50)


# -- XML
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Other/>",
        b"<Delete>",
        b'<!DOCTYPE Delete [<!ENTITY x "y">]><Delete>&x;</Delete>',
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete/>',
        b"<Delete>&undefined;</Delete>",
        b"<Delete>" + b"<a>" * 9 + b"</a>" * 9 + b"</Delete>",
        b"<Delete>" + b"<a/>" * 12_001 + b"</Delete>",
        b"<Delete>" + b" " * MAX_BYTES + b"</Delete>",
    ],
)
def test_hostile_xml_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_xml(body, "Delete")


def test_xml_is_read_without_its_namespace() -> None:
    root = parse_xml(b'<Delete xmlns="urn:x"><Object><Key>a &amp; b</Key></Object></Delete>', "Delete")
    assert [child.child("Key") for child in root.children] == ["a & b"]


def test_text_that_xml_cannot_hold_is_replaced() -> None:
    assert ElementTree.fromstring(f"<a>{xml_text('x<&>' + chr(0) + chr(0xFFFE))}</a>").text == "x<&>\ufffd\ufffd"


# -- wire
def test_percent_encoding_is_undone_once() -> None:
    assert decode("a%2525%20%C3%BC", "path") == "a%25 ü"
    assert decode_query("a=1&b=%2B&c&a=2") == (("a", "1"), ("b", "+"), ("c", ""), ("a", "2"))
    with pytest.raises(InvalidRequestError):
        decode("%ff", "path")


# -- pages
def test_a_page_token_goes_on_where_it_was_made() -> None:
    pages = PageTokens(lambda: b"k" * 32)
    assert pages.open("alpha", "tasks", pages.seal("alpha", "tasks", "2026 ü")) == "2026 ü"


@pytest.mark.parametrize(("tenant", "listing"), [("beta", "tasks"), ("alpha", "devices"), ("alphat", "asks")])
def test_a_page_token_is_bound_to_tenant_and_listing(tenant: str, listing: str) -> None:
    pages = PageTokens(lambda: b"k" * 32)
    with pytest.raises(InvalidRequestError, match="page token"):
        pages.open(tenant, listing, pages.seal("alpha", "tasks", "10"))


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 5000, base64.urlsafe_b64encode(b"0" * 16 + b"99").decode()])
def test_a_made_up_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError, match="page token"):
        PageTokens(lambda: b"k" * 32).open("alpha", "tasks", token)


# -- checksums
BODY = b"results"
CHECKSUMS = {
    "content-md5": hashlib.md5(BODY).digest(),
    "x-amz-checksum-crc32": zlib.crc32(BODY).to_bytes(4, "big"),
    "x-amz-checksum-sha1": hashlib.sha1(BODY).digest(),
    "x-amz-checksum-sha256": hashlib.sha256(BODY).digest(),
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_is_checked(name: str) -> None:
    headers = {name: base64.b64encode(CHECKSUMS[name]).decode()}
    check_body(headers, BODY)
    with pytest.raises(ChecksumError, match=name):
        check_body(headers, BODY + b"!")


@pytest.mark.parametrize("name", ["x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-new"])
def test_a_checksum_that_cannot_be_checked_is_refused(name: str) -> None:
    with pytest.raises(NotOfferedError):
        check_body({name: "AAAA"}, BODY)


def test_chunked_uploads_are_refused() -> None:
    with pytest.raises(NotOfferedError):
        check_body({"content-encoding": "aws-chunked"}, BODY)


# -- ranges and conditions
STORED = StoredObject("k", 10, "abc", MOMENT, "text/plain")
CONTENT = b"0123456789"


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("", 200, CONTENT),
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-99", 200, CONTENT),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=0-1,3-4", 200, CONTENT),
        ("bytes=4-2", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
        ("bytes=-", 200, CONTENT),
    ],
)
def test_a_range_is_answered_as_s3_does(header: str, status: int, content: bytes) -> None:
    response = ranged({"range": header}, STORED, CONTENT)
    assert (response.status, response.body) == (status, content)
    head = ranged({"range": header}, STORED, None)
    assert (head.status, head.headers["Content-Length"]) == (status, str(len(content)))


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(InvalidRangeError):
        ranged({"range": header}, STORED, CONTENT)


EARLIER, LATER = http_date(MOMENT - timedelta(hours=1)), http_date(MOMENT + timedelta(hours=1))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": '"abc"'}, 200),
        ({"if-match": '"x", "abc"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-none-match": '"abc"'}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-modified-since": LATER}, 304),
        ({"if-modified-since": EARLIER}, 200),
        ({"if-unmodified-since": LATER}, 200),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, 200),
        ({"if-match": '"abc"', "if-unmodified-since": EARLIER}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-unmodified-since": EARLIER}, 412),
    ],
)
def test_conditions_are_answered_as_http_says(headers: dict[str, str], status: int) -> None:
    if status == 412:
        with pytest.raises(PreconditionFailedError):
            ranged(headers, STORED, CONTENT)
    else:
        assert ranged(headers, STORED, CONTENT).status == status


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        ranged({"if-modified-since": "yesterday"}, STORED, CONTENT)


# -- filters
@pytest.mark.parametrize(
    "entry",
    [
        "x",
        {},
        {"name": "status", "values": ["RUNNING"]},
        {"name": "status", "operator": "LIKE", "values": ["RUNNING"]},
        {"name": "status", "operator": "EQUAL", "values": []},
        {"name": "status", "operator": "EQUAL", "values": ["ASLEEP"]},
        {"name": "status", "operator": "LT", "values": ["RUNNING"]},
        {"name": "createdAt", "operator": "BETWEEN", "values": ["2026-01-01T00:00:00Z"]},
        {"name": "createdAt", "operator": "GT", "values": ["soon"]},
        {"name": "createdAt", "operator": "GT", "values": ["1e400"]},
        {"name": "tenant", "operator": "EQUAL", "values": ["beta"]},
        {"name": "status", "operator": "EQUAL", "values": [1]},
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(entry: Any) -> None:
    with pytest.raises(InvalidRequestError, match="filters"):
        read_filters([entry])


# -- errors
def _subclasses(kind: type[QsecError]) -> set[type[QsecError]]:
    return {kind}.union(*(_subclasses(sub) for sub in kind.__subclasses__()))


def test_every_error_of_the_domain_has_its_spelling() -> None:
    here = {kind for kind in _subclasses(QsecError) if kind.__module__ in (domain_errors.__name__, errors.__name__)}
    assert {kind.code for kind in here} <= set(errors.SPELLINGS)


@pytest.mark.parametrize("code", sorted(errors.SPELLINGS))
def test_no_error_answers_as_a_success(code: str) -> None:
    error = type("Coded", (QsecError,), {"code": code})("No <such> thing.", remedy="Try & again.")
    braket, s3, query = braket_error(error, "id"), s3_error(error, "/b/k", "id"), query_error(error, "id")
    assert min(braket.status, s3.status, query.status) >= 400
    assert json.loads(braket.body)["message"] == "No <such> thing. Try & again."
    assert ElementTree.fromstring(s3.body).findtext("Message") == "No <such> thing. Try & again."
    namespace = "{https://sts.amazonaws.com/doc/2011-06-15/}"
    assert ElementTree.fromstring(query.body).findtext(f"{namespace}Error/{namespace}Code")
