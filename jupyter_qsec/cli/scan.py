"""`jupyter qsec scan`: secrets in files, notebooks cell by cell."""

from __future__ import annotations

import codecs
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from jupyter_qsec.cli.output import format_option, plain
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.scanning.baseline import Baseline
from jupyter_qsec.scanning.finding import Fingerprinter, SecretFinding
from jupyter_qsec.scanning.notebook import scan_notebook
from jupyter_qsec.scanning.report import as_json, as_text
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.scanning.textfile import scan_text

MAX_BYTES = 64 << 20
_SKIPPED_DIRECTORIES = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox"})
_SNIFFED = 8192
_CLEAN, _FOUND, _FAILED = 0, 1, 2


@dataclass
class _Scan:
    scanner: Scanner
    fingerprinter: Fingerprinter
    baseline: Baseline | None
    findings: list[SecretFinding] = field(default_factory=list)
    files: int = 0
    failed_files: int = 0
    failed_folders: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.failed_files or self.failed_folders)

    def run(self, paths: Iterable[str]) -> None:
        for path in paths:
            for file in self._files(Path(path)):
                try:
                    self.findings += self._file(file)
                except QsecError as error:
                    self._fail(file, error.message)
                except OSError as error:
                    self._fail(file, error.strerror or type(error).__name__)

    def _files(self, path: Path) -> Iterator[Path]:
        if not path.is_dir():
            yield path  # also when it is missing: reading it tells
            return
        for directory, names, files in os.walk(path, onerror=self._unreadable):
            names[:] = sorted(name for name in names if name not in _SKIPPED_DIRECTORIES)
            for name in sorted(files):
                file = Path(directory, name)
                if not file.is_symlink() and file.is_file():
                    yield file

    def _file(self, file: Path) -> list[SecretFinding]:
        raw = _read(file)
        name = str(file)
        if file.suffix.lower() == ".ipynb":
            found = scan_notebook(_notebook(raw), self.scanner, self.fingerprinter, name, baseline=self.baseline)
        else:
            text = _text(raw)
            if text is None:
                return []
            found = scan_text(text, self.scanner, self.fingerprinter, name, baseline=self.baseline)
        self.files += 1  # here: one that could not be scanned to its end is not one without secrets
        return found

    def _unreadable(self, error: OSError) -> None:
        self.failed_folders += 1
        _tell(Path(error.filename), error.strerror or "cannot be read")

    def _fail(self, path: Path, reason: str) -> None:
        self.failed_files += 1
        _tell(path, reason)


def _read(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not make the scan wait for a writer
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise InvalidRequestError("not a regular file")
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InvalidRequestError(f"larger than {MAX_BYTES >> 20} MB, not scanned")
    return raw


def _notebook(raw: bytes) -> dict[str, object]:
    try:
        notebook = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidRequestError("not a notebook: it is not JSON") from None
    if not isinstance(notebook, dict):
        raise InvalidRequestError("not a notebook: it is not a JSON object")
    return notebook


def _text(raw: bytes) -> str | None:
    """The text of a file in whatever encoding; None for a binary file."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    if b"\0" in raw[:_SNIFFED]:
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _tell(path: Path, reason: str) -> None:
    click.echo(f"jupyter-qsec: {_shown(path)}: {reason}", err=True)


def _shown(path: Path) -> str:
    return plain(click.format_filename(str(path)))


def _baseline(path: str | None) -> Baseline | None:
    if path is None:
        return None
    try:
        return Baseline.parse(_read(Path(path)).decode("utf-8", "replace"))
    except OSError as error:
        raise InvalidRequestError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}: {error.message}") from None


def _fingerprint_key() -> bytes:
    """The state directory's key; one of this run alone where there can be none (CI, a read-only home)."""
    try:
        return QsecHome.default().ensure().fingerprint_key()
    except (QsecError, OSError, RuntimeError) as error:
        reason = error.message if isinstance(error, QsecError) else str(error)
        text = f"fingerprints of this run cannot be compared with others: {reason}"
        click.echo(f"jupyter-qsec: {plain(text)}", err=True)
        return secrets.token_bytes(32)


def _print_text(scan: _Scan) -> None:
    if scan.findings:
        for line in as_text(scan.findings).split("\n"):
            click.echo(plain(line))
    parts = []
    if scan.files or not scan.failed:
        found = "No secrets" if not scan.findings else _counted(len(scan.findings), "secret")
        parts.append(f"{found} found in {_counted(scan.files, 'file')}")
    if scan.failed:
        counts = ((scan.failed_files, "file"), (scan.failed_folders, "folder"))
        parts.append(f"{' and '.join(_counted(*count) for count in counts if count[0])} could not be scanned")
    click.echo(f"{'; '.join(parts)}.", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--baseline", metavar="FILE", help="Leave out what this detect-secrets baseline already lists.")
@format_option
@click.pass_context
def scan(ctx: click.Context, paths: tuple[str, ...], baseline: str | None, output: str) -> None:
    """Find secrets in notebooks and other files.

    Notebooks are scanned cell by cell, with their outputs, attachments and metadata. Directories are searched, except
    .git, node_modules and virtual environments; binary files are skipped. A line that ends in the comment
    "pragma: allowlist secret" is left out. Needs no gateway; without a state directory that can be used, fingerprints
    hold for one run only.

    Exit codes: 0 nothing found, 1 something found, 2 a file could not be scanned.

    \b
    Examples:
      jupyter qsec scan notebooks/
      jupyter qsec scan --format json analysis.ipynb
      jupyter qsec scan --baseline .secrets.baseline .
    """
    known = _baseline(baseline)
    work = _Scan(Scanner.default(), Fingerprinter(_fingerprint_key()), known)
    work.run(paths)
    if output == "json":
        click.echo(as_json(work.findings))
    else:
        _print_text(work)
    ctx.exit(_FAILED if work.failed else _FOUND if work.findings else _CLEAN)
