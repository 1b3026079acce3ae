"""Where the audit commands read: exports, checkpoints and the log's public key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

import click

from jupyter_qsec.cli.auditexport import BrokenExportError, Export, NoExportError, export_from_file, export_from_home
from jupyter_qsec.cli.auditverify import (
    Problem,
    PublishedNote,
    Report,
    check_log,
    check_signatures,
    read_checkpoints,
)
from jupyter_qsec.cli.output import plain
from jupyter_qsec.client.endpoints import URL_VARIABLE
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.notes import RawVerify, VerifierKey

_MAX_CHECKPOINT_BYTES = 256 << 20


class CannotRunError(click.ClickException):
    """There is nothing to work on, or the command was used wrongly."""

    exit_code = 2


def fail(message: str) -> NoReturn:
    """End with one line and exit code 1: the log or the object was refused."""
    click.echo(plain(message), err=True)
    raise click.exceptions.Exit(1)


def home_of(home: Path | None) -> QsecHome:
    """The state directory to read. The default one is held to what all commands want of it; `--home` may be a copy."""
    if home is not None:
        return QsecHome(home.absolute())
    state = QsecHome.default()
    if os.path.lexists(state.path):
        state.check()
    return state


@contextmanager
def open_export(home: Path | None, file: Path | None) -> Iterator[Export]:
    """The export to read; wrong use when there is none."""
    if file is not None:
        source: AbstractContextManager[Export] = export_from_file(file)
    else:
        state = home_of(home)
        if not state.has_state and (elsewhere := os.environ.get(URL_VARIABLE)):
            raise CannotRunError(
                f"The audit log lies with the gateway at {plain(elsewhere)}: run this there, or on a copy (--file)."
            )
        if not state.has_state:
            raise CannotRunError(f"There is no audit log in {state.path}: no gateway has run there.")
        source = export_from_home(state.path)
    try:
        with source as export:
            yield export
    except NoExportError as error:
        raise CannotRunError(plain(str(error))) from error


@contextmanager
def broken_is_an_error() -> Iterator[None]:
    try:
        yield
    except BrokenExportError as error:
        fail(f"The log is damaged ({error}). Run 'audit verify'.")


def read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CHECKPOINT_BYTES + 1)
    except OSError as error:
        raise CannotRunError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > _MAX_CHECKPOINT_BYTES:
        raise CannotRunError(f"{path} is too large.")
    return data.decode("utf-8", "replace")


def known_key(key: str | None, state: QsecHome | None) -> str:
    """The public key as the user or the state directory gives it; empty when neither does."""
    if key is not None:
        return key if "+" in key and not Path(key).exists() else read_text(Path(key)).strip()
    public = None if state is None else state.checkpoints / "log.pub"
    return read_text(public).strip() if public is not None and public.exists() else ""


def parse_key(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except InvalidRequestError as error:
        raise CannotRunError(f"The log's public key cannot be read: {error.message}") from error


def signed(published: list[PublishedNote], key: str, report: Report) -> list[PublishedNote]:
    if not published:
        return []
    if not key:
        report.problems.append(Problem("There are checkpoints, but the log's public key is not known."))
        return []
    try:
        parsed = VerifierKey.parse(key)
    except InvalidRequestError as error:  # a damaged log.pub is a finding, not wrong use
        report.problems.append(Problem(f"The log's public key cannot be read: {error.message}"))
        return []
    return check_signatures(published, parsed, ed25519_verifier(), report)


def ed25519_verifier() -> RawVerify:
    """Ed25519; the library is needed here alone, so that all else works without it."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise CannotRunError(
            "Checking signatures needs the cryptography package: pip install 'jupyter_qsec[gateway]'."
        ) from error

    def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify_signature


def verify_log(
    home: Path | None, file: Path | None = None, witnesses: Sequence[Path] = (), key: str | None = None
) -> Report:
    """Verify the whole log of a state directory or an export; `CannotRunError` when there is nothing to verify."""
    report = Report()
    state = None if file is not None and home is None else home_of(home)
    published: list[PublishedNote] = []
    if state is not None:
        log = state.checkpoints / "log"
        published += read_checkpoints(read_text(log), "checkpoints/log", report) if log.exists() else []
    for witness in witnesses:
        notes = read_checkpoints(read_text(witness), witness.name, report)
        if not notes:
            raise CannotRunError(f"{witness} holds no checkpoint.")
        published += notes
    if state is not None and file is None and not state.has_state and published:
        size = max(entry.checkpoint.size for entry in published)
        report.problems.append(Problem(f"The log is gone: a published checkpoint signed {size} records.", 0))
        return report
    with open_export(home, file) as export:
        known = known_key(key, state)
        if published and not known:
            known = export.header.public_key
            report.notices.append(f"The public key {known} came with the export: compare it with the one you know.")
        check_log(export, signed(published, known, report), report)
    return report
