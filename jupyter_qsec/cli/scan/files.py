"""Which files are looked at, and what is in them: any encoding, but nothing that is no file and nothing too large."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from jupyter_qsec.domain.errors import InvalidRequestError

MAX_BYTES = 256 << 20
_SKIPPED_DIRECTORIES = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox"})
_SNIFFED = 8192


def walk(path: Path, unreadable: Callable[[OSError], None]) -> Iterator[Path]:
    """The file itself, also when it is missing: reading it tells. Of a folder all files but those of tools."""
    if not path.is_dir():
        yield path
        return
    for directory, names, files in os.walk(path, onerror=unreadable):
        names[:] = sorted(name for name in names if name not in _SKIPPED_DIRECTORIES)
        for name in sorted(files):
            file = Path(directory, name)
            if not file.is_symlink() and file.is_file():
                yield file


def read(file: Path) -> bytes:
    """Raises `OSError`, or `InvalidRequestError` for what is no regular file or too large."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not make the scan wait for a writer
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise InvalidRequestError("not a regular file")
        return bounded(stream.read(MAX_BYTES + 1))


def read_standard_input() -> bytes:
    """Everything on standard input, within the same bound."""
    return bounded(sys.stdin.buffer.read(MAX_BYTES + 1))


def bounded(raw: bytes) -> bytes:
    """The bytes, if they are not too many."""
    if len(raw) > MAX_BYTES:
        raise InvalidRequestError(f"larger than {MAX_BYTES >> 20} MB, not scanned")
    return raw


def encoding_of(raw: bytes) -> str | None:
    """The name of the encoding of a text; None for a binary file."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in raw[:_SNIFFED]:
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig" if raw.startswith(codecs.BOM_UTF8) else "utf-8"


def decoded(raw: bytes, encoding: str) -> str:
    """The text, whatever is wrong with it: a broken character must hide nothing."""
    return raw.decode(encoding, "replace")
