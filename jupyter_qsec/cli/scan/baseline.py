"""The command `baseline`: what a project knows of, written so that only a change of the secrets changes the file."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from jupyter_qsec.cli.scan import files
from jupyter_qsec.cli.scan.command import Result, baseline_at, counted, files_in, shown, tell, with_progress
from jupyter_qsec.cli.scan.examine import Examiner
from jupyter_qsec.client import drafts
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.baseline import Recorder
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

_DEFAULT = ".secrets.baseline"


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--output", metavar="FILE", default=_DEFAULT, show_default=True, help="Where it is written.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Leave out these files; '*' also matches '/'.")
@click.pass_context
def baseline(ctx: click.Context, paths: tuple[str, ...], output: str, exclude: tuple[str, ...]) -> None:
    """Write down the secrets that files hold now, so that scans tell only of new ones.

    The file is a slim baseline of detect-secrets 1.x: paths and SHA-1 digests, without line numbers and times, so it
    changes only when secrets come or go. What people said about a secret of a former baseline (is_secret) is kept. A
    digest of a short password can be guessed: revoke what was real, and keep the baseline for what is not.

    \b
    Examples:
      jupyter qsec baseline .
      jupyter qsec baseline --output notebooks.baseline notebooks/
    """
    target = Path(output)
    before = files.read(target).decode("utf-8", "replace") if target.exists() else None
    if before is not None:
        baseline_at(output)  # never over a file that is something else
    recorder = Recorder()
    result = Result()
    examiner = Examiner(Scanner(ScannerConfig(secrets.token_bytes(32), recorder, exclude)))
    items = [item for item in files_in(paths, result) if Path(item.path).resolve() != target.resolve()]
    with_progress(items, result.take, map(examiner.examine, items), "Scanning")
    if result.failed or result.failed_folders:
        raise InvalidRequestError(f"{shown(output)} was not written, as not everything could be scanned.")
    drafts.replace(target, recorder.text(before).encode(), 0o644)
    click.echo(f"{counted(recorder.count, 'secret')} in {counted(result.files, 'file')} written to {shown(output)}.")
    if recorder.count:
        tell(output, "what is real among them is still known to whoever has these files; revoke it")
    ctx.exit(0)
