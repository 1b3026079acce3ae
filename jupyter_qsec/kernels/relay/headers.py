"""Headers on their way out: scanned as one text, with a short way for those that stock kernels write."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jupyter_qsec.domain.errors import TooLargeError
from jupyter_qsec.kernels.relay.hygiene import Reporter
from jupyter_qsec.kernels.relay.wire import Json, WireError, dump_object, load_object
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.mimebundle import redact_json

_GLUE = "\0"
"""Between the values of a header when they are scanned at once; no secret goes on over it."""
_DATE = rb'"date": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}(?:Z|\+00:00)"'
_USER = rb'"username": "(?P<username>[^"\\\x00-\x1f]{0,64})"'
_KIND = rb'"msg_type": "(?P<kind>[a-z_]{1,32})"'
_VERSION = rb'"version": "5\.\d{1,2}"'
_STOCK = re.compile(
    rb'\{"msg_id": "(?P<id>(?P<session>[0-9a-f]{8}-[0-9a-f]{24,32})_\d{1,10}_\d{1,12})", '
    + _KIND
    + rb", "
    + _USER
    + rb', "session": "(?P=session)", '
    + _DATE
    + rb", "
    + _VERSION
    + rb"\}"
)
"""As `jupyter_client.session` writes it: nothing but session and user leaves a kernel a choice of more than digits."""
_UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_LAB = re.compile(
    rb"\{"
    + _DATE
    + rb', "msg_id": "(?P<id>'
    + _UUID
    + rb')", '
    + _KIND
    + rb', "session": "(?P<session>'
    + _UUID
    + rb')", (?:"subshell_id": null, )?'
    + _USER
    + rb', (?:"subshell_id": null, )?'
    + _VERSION
    + rb"\}"
)
"""As JupyterLab writes the header of a request. Only as a parent, and only with the id of a request that was made: its
digits are free to choose."""
_KINDS = frozenset(
    (
        *(b"execute_request", b"kernel_info_request", b"complete_request", b"is_complete_request", b"inspect_request"),
        *(b"status", b"stream", b"execute_input", b"execute_result", b"display_data", b"update_display_data", b"error"),
        *(b"execute_reply", b"complete_reply", b"is_complete_reply", b"inspect_reply", b"history_reply"),
        *(b"kernel_info_reply", b"comm_open", b"comm_msg", b"comm_close", b"clear_output"),
    )
)
_MOST_KNOWN = 64


@dataclass(frozen=True, slots=True)
class Header:
    """A header without secrets, encoded, and what of it the relay goes by."""

    kind: str
    session: str
    encoded: bytes


class Headers:
    """The headers of one kernel's messages."""

    def __init__(self, engine: Engine, reporter: Reporter) -> None:
        self._engine = engine
        self._reporter = reporter
        self._known: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()
        """Sessions and users in which nothing was found."""
        self._parent: tuple[bytes, bytes, str] = (b"{}", b"{}", "")
        self._reordered = b"{}"
        """The last parent with its keys in another order: ipykernel writes the parents of printed text so."""

    def cleaned(self, part: bytes) -> Header:
        """Raises `WireError` when it cannot be read or scanned: no client could read such a message either."""
        stock = _STOCK.fullmatch(part)
        if stock is not None and self._is_known(stock):
            return Header(stock["kind"].decode("ascii"), stock["session"].decode("ascii"), part)
        clean = self._read(part, stock)
        return Header(str(clean.get("msg_type", "")), str(clean.get("session", "")), dump_object(clean))

    def cleaned_parent(self, part: bytes) -> tuple[bytes, str]:
        """The parent header and its request's id; the last one is kept, because most messages repeat it."""
        if part == self._parent[0] or part == self._reordered:
            return self._parent[1], self._parent[2]
        # Whatever is put together of the same fields, what goes out is the parent that was looked at.
        if len(part) == len(self._parent[0]) and _fields(part) == _fields(self._parent[0]):
            self._reordered = part
            return self._parent[1], self._parent[2]
        form = _STOCK.fullmatch(part) or _LAB.fullmatch(part)
        request = "" if form is None else form["id"].decode("ascii")
        if form is not None and self._is_known(form) and (form.re is _STOCK or self._reporter.knows(request)):
            self._parent = (part, part, request)
        else:
            header = self._read(part, form)
            named = header.get("msg_id")
            self._parent = (part, dump_object(header), named if isinstance(named, str) else "")
        self._reordered = part
        return self._parent[1], self._parent[2]

    def _is_known(self, form: re.Match[bytes]) -> bool:
        """Whether rules found nothing in its session and user before. What is alive may have become so since then."""
        return (
            form["kind"] in _KINDS
            and (form["session"], form["username"]) in self._known
            and not self._engine.alive(form[0])
        )

    def _read(self, part: bytes, form: re.Match[bytes] | None) -> Json:
        """The header without secrets. One that has a form and holds none makes its session and user known."""
        header = load_object(part)
        clean = self._without_secrets(header)
        if form is not None and clean is header:
            self._known[form["session"], form["username"]] = None
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return clean

    def _without_secrets(self, header: Json) -> Json:
        """The same object when there are none."""
        if not self._engine.scan(_GLUE.join(_strings(header))):
            return header
        try:
            value, _, secrets = redact_json(header, self._engine)
        except TooLargeError as error:
            raise WireError("A header cannot be scanned.") from error
        found = [(kind, secret, 1) for kind, secret in secrets]
        self._reporter.found(found, place="output", action="redacted", message_id="")
        # What only the joined text showed is not worth telling apart: nothing of such a header goes on.
        clean: Json = value if not self._engine.scan(_GLUE.join(_strings(value))) else {"msg_type": "", "msg_id": ""}
        return clean


def _fields(part: bytes) -> list[bytes]:
    return sorted(part[1:-1].split(b", "))


def _strings(value: Any) -> Iterator[str]:
    """Keys and strings of a header, however deep within what JSON allowed."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending += [*item.values(), *item.keys()]
        elif isinstance(item, list):
            pending += item
