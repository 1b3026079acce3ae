"""Reads the export of an audit log: from the gateway's `audit-export` run as a process, or from a file."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jupyter_qsec.domain.audit import MAX_LEAF_BYTES

EXPORT_KIND = "jupyter-qsec-audit-export"
_MAX_LINE = 8 * MAX_LEAF_BYTES
_NEAR_THE_END = 2000


class NoExportError(Exception):
    """There is nothing to read: no log, no gateway part installed, or a file that is no export."""


class BrokenExportError(Exception):
    """The export breaks off or cannot be read from some line on: the log itself may be damaged."""


@dataclass(frozen=True, slots=True)
class Header:
    origin: str
    public_key: str


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """A record as exported; nothing about it is checked yet."""

    index: int
    leaf: bytes
    leaf_hash: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class ExportedHead:
    size: int
    root: bytes
    chain: bytes


class Export:
    """An export while it is read: the header first, then the records, then the head."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.header = self._read_header()
        self.head: ExportedHead | None = None
        """The stored head; known when the records have been read to their end."""
        self.complete = False
        """Whether the line with the head was there."""

    def records(self) -> Iterator[ExportedRecord]:
        """`BrokenExportError` at the first line that is not what it should be."""
        number = 1
        while True:
            number += 1
            line = self._stream.readline(_MAX_LINE)
            if not line:
                return
            try:
                value = json.loads(line)
                if "head" in value:
                    self.complete, self.head = True, _head(value["head"])
                    return
                yield _record(value)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise BrokenExportError(f"line {number} of the export cannot be read") from error

    def _read_header(self) -> Header:
        try:
            value = json.loads(self._stream.readline(_MAX_LINE))
            if value["kind"] != EXPORT_KIND or value["version"] != 1:
                raise NoExportError("This is no audit export of version 1.")
            return Header(origin=str(value["origin"]), public_key=str(value["public_key"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoExportError("This is no audit export.") from error


def _record(value: Any) -> ExportedRecord:
    if "leaf" in value:
        leaf = _string(value["leaf"]).encode("utf-8")
    else:
        leaf = base64.b64decode(_string(value["leaf_base64"]), validate=True)
    return ExportedRecord(
        index=_integer(value["index"]),
        leaf=leaf,
        leaf_hash=bytes.fromhex(_string(value["leaf_hash"])),
        chain=bytes.fromhex(_string(value["chain"])),
    )


def _head(value: Any) -> ExportedHead | None:
    if value is None:
        return None
    return ExportedHead(
        size=_integer(value["size"]),
        root=bytes.fromhex(_string(value["root"])),
        chain=bytes.fromhex(_string(value["chain"])),
    )


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("whole number expected")
    return value


@contextmanager
def export_from_file(path: Path) -> Iterator[Export]:
    """`NoExportError` when the file cannot be opened or is no export."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise NoExportError(f"{path} cannot be read: {error.strerror}.") from error
    with stream:
        yield Export(stream)


@contextmanager
def export_from_home(home: Path) -> Iterator[Export]:
    """Run the gateway's `audit-export`; it opens the database read-only, also while a gateway runs.

    `NoExportError` when it gives no export at all; a database that breaks off in the middle shows as an export that is
    not `complete`. The process is ended when the block is left.
    """
    # -P: a file in the directory where the user happens to be must not be imported in the place of a library.
    command = [sys.executable, "-P", "-m", "jupyter_qsec.gateway", "audit-export", "--home", str(home)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        stream = process.stdout
        assert stream is not None  # noqa: S101  # narrows: stdout is a pipe
        try:
            try:
                export = Export(stream)
            except NoExportError as error:
                process.wait()
                raise NoExportError(_reason(errors, process.returncode)) from error
            yield export
        finally:
            stream.close()
            process.terminate()
            process.wait()


def _reason(errors: IO[bytes], code: int) -> str:
    """The last line that the process wrote on standard error."""
    size = errors.seek(0, 2)
    errors.seek(max(0, size - _NEAR_THE_END))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"The export ended with code {code} and wrote nothing."
