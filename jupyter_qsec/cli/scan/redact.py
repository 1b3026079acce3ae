"""`scan --fix`: secrets replaced in the files themselves, each file kept as it was in the state directory first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jupyter_qsec.cli.scan import files
from jupyter_qsec.cli.scan.examine import NOTEBOOK_SUFFIX, notebook_of
from jupyter_qsec.client import drafts
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError
from jupyter_qsec.scanning.scanner import Scanner

_INDENT = re.compile(r"\s*[{\[]\r?\n( +|\t+)")


@dataclass(frozen=True, slots=True)
class Redacted:
    """A file that holds no secret any more."""

    path: str
    secrets: int
    backup: Path


class Redactor:
    """Redacts files in place; one folder of backups a run."""

    def __init__(self, scanner: Scanner, backups: Path) -> None:
        """`backups`: a folder of mode 0700 that no repository holds."""
        self._scanner = scanner
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._folder = backups / f"{stamp}-{secrets.token_hex(4)}"

    def redact(self, path: str) -> Redacted | None:
        """Replace the secrets of one file; None when there is nothing that may be replaced.

        A crash leaves the file as it was or redacted, never in between, and its backup is on disk before.
        """
        file = Path(path).resolve()
        raw = files.read(file)
        encoding = files.encoding_of(raw)
        if encoding is None:
            return None
        text = files.decoded(raw, encoding)
        if text.encode(encoding, "replace") != raw:
            raise InvalidRequestError("not changed, as its encoding could not be kept")
        new, count = self._redacted(path, text)
        if not count:
            return None
        backup = self._keep(file, raw)
        _replace(file, raw, new.encode(encoding))
        return Redacted(path, count, backup)

    def _redacted(self, path: str, text: str) -> tuple[str, int]:
        if not path.lower().endswith(NOTEBOOK_SUFFIX):
            new, found = self._scanner.redact_text(text, filename=path)
            return new, len(found)
        notebook, found = self._scanner.redact_notebook(notebook_of(text), filename=path)
        return _as_before(notebook, text), len(found)

    def _keep(self, file: Path, raw: bytes) -> Path:
        """A copy under the file's own name, in a folder of its own."""
        folder = self._folder / hashlib.sha256(os.fsencode(file)).hexdigest()[:16]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        backup = folder / file.name
        drafts.create(backup, raw)
        for made in (folder, self._folder, self._folder.parent):
            drafts.sync_folder(made)
        return backup


def _as_before(notebook: object, text: str) -> str:
    """The notebook as JSON, indented as it was."""
    match = _INDENT.match(text)
    indent = match[1] if match else None
    end = "\n" if text.endswith("\n") else ""
    return json.dumps(notebook, ensure_ascii=text.isascii() and "\\u" in text, indent=indent) + end


def _replace(file: Path, before: bytes, after: bytes) -> None:
    status = file.stat()
    with drafts.drafted(file, after, stat.S_IMODE(status.st_mode)) as draft:
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(draft, status.st_uid, status.st_gid)  # refused: then the file stays with its owner, as it is
        if files.read(file) != before:
            raise ConflictError("changed while it was being redacted; scan it again")
        draft.replace(file)
