"""The command `scan`: what is looked at, what is printed, and how it exits."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from jupyter_qsec.cli.output import plain
from jupyter_qsec.cli.scan import files
from jupyter_qsec.cli.scan.examine import Examiner, Item, Outcome
from jupyter_qsec.cli.scan.git import Repository
from jupyter_qsec.cli.scan.redact import Redacted, Redactor
from jupyter_qsec.cli.scan.work import outcomes
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import Registry, shared_sets
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.scanning.baseline import Baseline
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.registered import SecretSet
from jupyter_qsec.scanning.report import as_json, as_text
from jupyter_qsec.scanning.sarif import as_sarif
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

STANDARD_INPUT = "-"
_UNNAMED = "<stdin>"
_CLEAN, _FOUND, _FAILED = 0, 1, 2
_NAMED = 10
"""So many skipped files are named; the others are counted unless --verbose is given."""
_WORTH_A_BAR = 20


@dataclass
class Result:
    """All that a scan has met."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason)"""
    failed: list[tuple[str, str]] = field(default_factory=list)
    failed_folders: int = 0
    fixed: list[Redacted] = field(default_factory=list)
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def take(self, outcome: Outcome) -> None:
        """Of a secret that many commits hold, only the first is told."""
        path = outcome.item.path
        for finding in outcome.findings:
            identity = (finding.path, finding.kind, finding.fingerprint)
            if not finding.commit or identity not in self._seen:
                self.findings.append(finding)
            self._seen.add(identity)
        if outcome.failed:
            self.fail(path, outcome.failed)
        elif outcome.skipped:
            self.skipped.append((path, outcome.skipped))
        else:
            self.files += 1  # here: one that could not be scanned to its end is not one without secrets

    def fail(self, path: str, reason: str) -> None:
        """Something could not be looked at; told at once."""
        self.failed.append((path, reason))
        tell(path, reason)

    def unreadable(self, error: OSError) -> None:
        """A folder could not be read."""
        self.failed_folders += 1
        tell(str(error.filename), error.strerror or "cannot be read")

    @property
    def code(self) -> int:
        """How the command exits."""
        if self.failed or self.failed_folders:
            return _FAILED
        return _FOUND if self.findings else _CLEAN


def files_in(paths: Iterable[str], result: Result) -> Iterator[Item]:
    """The files of files and folders."""
    for path in paths:
        for file in files.walk(Path(path), result.unreadable):
            yield Item(str(file))


def with_progress(items: list[Item], take: Callable[[Outcome], None], done: Iterable[Outcome], verb: str) -> None:
    """Hand on every outcome, beside a bar on a terminal when there is much to do."""
    hidden = len(items) < _WORTH_A_BAR or not sys.stderr.isatty()
    with click.progressbar(length=len(items), label=verb, file=sys.stderr, hidden=hidden, show_pos=True) as bar:
        for outcome in done:
            take(outcome)
            bar.update(1)


def tell(path: str, reason: str) -> None:
    """One line about one file on standard error."""
    click.echo(f"jupyter-qsec: {shown(path)}: {reason}", err=True)


def shown(path: str) -> str:
    """A path that steers no terminal."""
    return plain(click.format_filename(path))


def baseline_at(path: str | None) -> Baseline | None:
    """The baseline in this file. Raises `InvalidRequestError` that names it."""
    if path is None:
        return None
    try:
        return Baseline.parse(files.read(Path(path)).decode("utf-8", "replace"))
    except OSError as error:
        raise InvalidRequestError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}: {error.message}") from None


def _state() -> tuple[bytes, tuple[SecretSet, ...]]:
    """The state directory's key, and what is registered there; a key of this run alone where there can be no such
    directory (CI, a read-only home). Raises `InvalidRequestError` when nobody can tell what is registered."""
    try:
        home = QsecHome.default().ensure()
        key = home.fingerprint_key()
    except (QsecError, OSError, RuntimeError) as error:
        reason = error.message if isinstance(error, QsecError) else str(error)
        text = f"fingerprints of this run cannot be compared with others, and no secret is registered here: {reason}"
        click.echo(f"jupyter-qsec: {plain(text)}", err=True)
        return secrets.token_bytes(32), shared_sets()
    return key, Registry(home).sets()


def _scan_git(paths: tuple[str, ...], config: ScannerConfig, result: Result, *, history: bool) -> None:
    repository = Repository(Path.cwd())
    found = repository.history(paths) if history else repository.staged(paths)
    items = list(found)
    with_progress(items, result.take, outcomes(items, config, repository.folder), "Scanning history")


def _scan_files(paths: tuple[str, ...], config: ScannerConfig, result: Result, stdin_name: str) -> None:
    if STANDARD_INPUT in paths:
        if len(paths) > 1:
            raise InvalidRequestError("Standard input (-) cannot be scanned together with files.")
        result.take(_standard_input(config, stdin_name))
        return
    items = list(files_in(paths, result))
    with_progress(items, result.take, outcomes(items, config), "Scanning")


def _standard_input(config: ScannerConfig, name: str) -> Outcome:
    """Scanned under a name, which says whether it is a notebook; without one a notebook says so itself."""
    item = Item(name or _UNNAMED)
    try:
        raw = files.read_standard_input()
    except InvalidRequestError as error:
        return Outcome(item, failed=error.message)
    examiner = Examiner(Scanner(config))
    if not name and raw.lstrip()[:1] == b"{" and b'"nbformat"' in raw:
        item = Item(f"{_UNNAMED}.ipynb")
    return examiner.content(item, raw)


def _fix(config: ScannerConfig, result: Result) -> None:
    """Redact every file that holds something; what is printed afterwards is what was found before."""
    redactor = Redactor(Scanner(config), QsecHome.default().ensure().backups)
    for path in dict.fromkeys(finding.path for finding in result.findings):
        try:
            done = redactor.redact(path)
        except QsecError as error:
            result.fail(path, f"not redacted: {error.message}")
        except OSError as error:
            result.fail(path, f"not redacted: {error.strerror or type(error).__name__}")
        else:
            if done is None:
                result.fail(path, "not redacted: it changed after it was scanned; scan it again")
            else:
                result.fixed.append(done)


def _print(result: Result, output: str, *, verbose: bool) -> None:
    if output == "json":
        click.echo(as_json(result.findings))
    elif output == "sarif":
        problems = [*result.failed, *((path, f"skipped: {reason}") for path, reason in result.skipped)]
        click.echo(as_sarif(result.findings, problems, complete=result.code != _FAILED))
    elif result.findings:
        for line in as_text(result.findings).split("\n"):
            click.echo(plain(line))
    for done in result.fixed:
        count = counted(done.secrets, "secret")
        click.echo(f"{shown(done.path)}: {count} redacted; kept as it was in {shown(str(done.backup))}", err=True)
    if output == "text" or verbose:
        _print_skipped(result, verbose=verbose)
    if output == "text":
        click.echo(_summary(result), err=True)


def _print_skipped(result: Result, *, verbose: bool) -> None:
    named = result.skipped if verbose else result.skipped[:_NAMED]
    for path, reason in named:
        click.echo(f"skipped: {shown(path)} ({reason})", err=True)
    if len(named) < len(result.skipped):
        click.echo(f"skipped: {len(result.skipped) - len(named)} more (--verbose names them)", err=True)


def _summary(result: Result) -> str:
    parts = []
    if result.files or result.code != _FAILED:
        found = "No secrets" if not result.findings else counted(len(result.findings), "secret")
        parts.append(f"{found} found in {counted(result.files, 'file')}")
    if result.skipped:
        parts.append(f"{counted(len(result.skipped), 'file')} skipped")
    if result.code == _FAILED:
        counts = ((len(result.failed), "file"), (result.failed_folders, "folder"))
        failed = " and ".join(counted(*count) for count in counts if count[0])
        parts.append(f"{failed} could not be scanned{' or redacted' if result.fixed else ''}")
    return f"{'; '.join(parts)}."


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check(paths: tuple[str, ...], *, staged: bool, history: bool, fix: bool, stdin_name: str) -> None:
    """Options that cannot be meant together."""
    if staged and history:
        raise InvalidRequestError("--staged and --history exclude one another.")
    if not paths and not (staged or history):
        raise click.UsageError("Missing argument 'PATH...', or --staged or --history.")
    if fix and (staged or history or STANDARD_INPUT in paths):
        raise InvalidRequestError(
            "--fix changes files in place, so it takes files and folders.",
            remedy="What is staged can be staged again after that; what is committed must be revoked.",
        )
    if stdin_name and STANDARD_INPUT not in paths:
        raise InvalidRequestError("--stdin-name names standard input, so it needs the path '-'.")


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path())
@click.option("--staged", is_flag=True, help="Scan what is staged in Git for the next commit.")
@click.option("--history", is_flag=True, help="Scan every version of every file in Git, on all branches and tags.")
@click.option("--stdin-name", metavar="NAME", default="", help="What standard input ('-') is called; .ipynb counts.")
@click.option("--baseline", metavar="FILE", help="Leave out what this baseline lists ('jupyter qsec baseline').")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Leave out these files; '*' also matches '/'.")
@click.option("--allow", metavar="FINGERPRINT", multiple=True, help="Leave out the secret with this fingerprint.")
@click.option("--fix", is_flag=True, help="Redact in place; each file is kept as it was in the state directory.")
@click.option("--verbose", is_flag=True, help="Name every file that was skipped.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="Readable text, JSON for scripts, or SARIF for code hosts.",
)
@click.pass_context
def scan(
    ctx: click.Context,
    paths: tuple[str, ...],
    staged: bool,
    history: bool,
    stdin_name: str,
    baseline: str | None,
    exclude: tuple[str, ...],
    allow: tuple[str, ...],
    fix: bool,
    verbose: bool,
    output: str,
) -> None:
    """Find secrets in notebooks, other files, standard input and Git.

    Notebooks are scanned cell by cell, with their outputs, attachments and metadata. Directories are searched, except
    .git, node_modules and virtual environments; binary files are skipped. A line that ends in the comment
    "pragma: allowlist secret" is left out, and so is a cell with the tag "qsec-allow". Needs no gateway; without a
    state directory that can be used, fingerprints hold for one run only.

    Exit codes: 0 nothing found, 1 something found, 2 a file could not be scanned.

    \b
    Examples:
      jupyter qsec scan notebooks/
      jupyter qsec scan --staged
      jupyter qsec scan --history --baseline .secrets.baseline
      jupyter qsec scan --format sarif . > qsec.sarif
      jupyter qsec scan --fix analysis.ipynb
      git diff | jupyter qsec scan -
    """
    _check(paths, staged=staged, history=history, fix=fix, stdin_name=stdin_name)
    known = baseline_at(baseline)
    key, registered = _state()
    config = ScannerConfig(key, known, exclude, frozenset(word.lower() for word in allow), registered)
    result = Result()
    if staged or history:
        _scan_git(paths, config, result, history=history)
    else:
        _scan_files(paths, config, result, stdin_name)
    if fix:
        _fix(config, result)
    _print(result, output, verbose=verbose)
    ctx.exit(result.code)
