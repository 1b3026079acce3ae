"""`jupyter qsec audit`: look into the audit log, verify it, prove that a record is in it."""

from __future__ import annotations

import json
import re
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from jupyter_qsec.cli.auditexport import ExportedRecord
from jupyter_qsec.cli.auditproof import MAX_PROOF_BYTES, ProofFile, parse_proof
from jupyter_qsec.cli.auditsource import (
    CannotRunError,
    broken_is_an_error,
    ed25519_verifier,
    fail,
    home_of,
    known_key,
    open_export,
    parse_key,
    read_text,
    signed,
    verify_log,
)
from jupyter_qsec.cli.auditverify import PublishedNote, Report, counted, read_checkpoints
from jupyter_qsec.cli.output import emit_json, format_option, plain
from jupyter_qsec.client import wire
from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The state directory; by default JUPYTER_QSEC_HOME, else 'qsec' below the Jupyter data directory.",
)
_file_option = click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read this export (of 'python -m jupyter_qsec.gateway audit-export') instead of the state directory.",
)
_key_option = click.option(
    "--key",
    help="The log's public key, or a file that holds it. Keep a copy of checkpoints/log.pub elsewhere and give it "
    "here: who could rewrite the state directory could replace the key in it, too.",
)


@click.group()
def audit() -> None:
    """The audit log: what was done, asked and refused, in an order that cannot be changed unnoticed.

    The gateway appends every decision to a Merkle tree and publishes signed checkpoints of it in
    checkpoints/log of the state directory. These commands read the log without a running gateway and change nothing.

    \b
    Examples:
      jupyter qsec audit list --kind task --since 12h
      jupyter qsec audit verify
    """


@audit.command("list")
@click.option("--kind", "kinds", multiple=True, help="Only this kind: 'task.submitted', or 'task' for all of tasks.")
@click.option("--tenant", default="", help="Only this tenant.")
@click.option("--since", default="", help="Only what is newer: 30m, 12h, 7d, or a time such as 2026-03-01T12:00Z.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@_home_option
@_file_option
@format_option
def list_records(
    kinds: tuple[str, ...], tenant: str, since: str, limit: int, home: Path | None, file: Path | None, output: str
) -> None:
    """Print records, oldest first.

    This does not verify them: see 'audit verify'.
    """
    earliest = _moment(since) if since else None
    chosen: deque[tuple[ExportedRecord, dict[str, Any]]] = deque(maxlen=limit)
    seen: dict[str, set[str]] = {"kind": set(), "tenant": set()}
    with open_export(home, file) as export, broken_is_an_error():
        for record in export.records():
            event = _event(record)
            for name, values in seen.items():
                values.add(str(event.get(name, "")))
            if _wanted(event, kinds, tenant, earliest):
                chosen.append((record, event))
        complete = export.complete
    if output == "json":
        rows = [
            {"index": record.index, "leaf_hash": record.leaf_hash.hex(), "event": event} for record, event in chosen
        ]
        emit_json(rows)
    else:
        for record, event in chosen:
            click.echo(_line(record.index, event))
        if not chosen:
            click.echo(plain(" ".join(["No record matches.", *_occurring(seen, kinds, tenant)])), err=True)
    if not complete:
        fail("The log cannot be read to its end. Run 'audit verify'.")


@audit.command()
@_home_option
@_file_option
@click.option(
    "--checkpoint",
    "witnesses",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A checkpoint, or a log of them, that was kept elsewhere. Only such a copy shows that the whole state "
    "directory was rolled back. May be given several times.",
)
@_key_option
@format_option
def verify(home: Path | None, file: Path | None, witnesses: tuple[Path, ...], key: str | None, output: str) -> None:
    """Verify the whole log.

    That is every record, their order, the stored head and all published checkpoints. Names the first record that was
    changed, removed, moved or is missing. Exit code 0 when everything holds, 1 when something does not, 2 when there is
    nothing to verify.
    """
    report = verify_log(home, file, witnesses, key)
    _print_report(report, output)
    if not report.ok:
        raise click.exceptions.Exit(1)


@audit.command()
@click.argument("index", type=click.IntRange(0), required=False)
@click.option(
    "--check",
    "proof_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Check this proof instead of making one; needs neither the log nor a gateway.",
)
@_home_option
@_file_option
@_key_option
@format_option
def proof(
    index: int | None, proof_file: Path | None, home: Path | None, file: Path | None, key: str | None, output: str
) -> None:
    """Print a proof that record INDEX is in the log.

    The log is the one that the newest checkpoint signed. The text form is c2sp.org/tlog-proof@v1 and carries the
    record. Give it to whoever asks, with the public key from checkpoints/log.pub; 'audit proof --check FILE' checks it
    anywhere.
    """
    if (index is None) == (proof_file is None):
        raise click.UsageError("Give either the INDEX of a record or --check FILE.")
    if proof_file is not None:
        _check_proof(proof_file, key, home, output)
        return
    assert index is not None  # noqa: S101  # narrows: one of the two is given
    made = _make_proof(index, home, file, key)
    if output == "json":
        emit_json(made.as_json())
    else:
        click.echo(made.as_text(), nl=False)


# -- proofs


def _make_proof(index: int, home: Path | None, file: Path | None, key: str | None) -> ProofFile:
    state = home_of(home)
    report = Report()
    with open_export(home, file) as export, broken_is_an_error():
        known = known_key(key, state) or export.header.public_key
        leaf, hashes = b"", []
        for record in export.records():
            if record.index == index:
                leaf = record.leaf
            hashes.append(merkle.leaf_hash(record.leaf))
    if index >= len(hashes):
        fail(f"There is no record {index}: the log has {len(hashes)}.")
    checkpoint = _covering(index, state, known, report)
    if checkpoint is None:
        _ask_for_checkpoint(index, state)
        checkpoint = _covering(index, state, known, report)
    if checkpoint is None:
        fail(f"No checkpoint vouches for record {index} yet.")
    if checkpoint.checkpoint.size > len(hashes):
        hashes = _hashes_again(home, file)
    source = merkle.nodes_from_leaves(hashes)
    size = checkpoint.checkpoint.size
    if size > len(hashes):
        fail(f"The log is shorter than the {checkpoint.source}. Run 'audit verify'.")
    made = ProofFile(index, leaf, merkle.inclusion_path(index, size, source), checkpoint.checkpoint, known)
    problem = made.problem(parse_key(known), ed25519_verifier())
    if problem:
        fail(f"{problem} Run 'audit verify'.")
    return made


def _ask_for_checkpoint(index: int, state: QsecHome) -> None:
    """Have the running gateway sign the present head: it alone has the key."""
    try:
        with connect(state) as client:
            client.send(wire.post("/api/v1/audit/checkpoint"))
    except QsecError as error:
        raise CannotRunError(f"No checkpoint vouches for record {index} yet, and none can be made: {error}") from error


def _hashes_again(home: Path | None, file: Path | None) -> list[bytes]:
    with open_export(home, file) as export, broken_is_an_error():
        return [merkle.leaf_hash(record.leaf) for record in export.records()]


def _covering(index: int, state: QsecHome, key: str, report: Report) -> PublishedNote | None:
    """The newest well-signed checkpoint of a log that has this record."""
    log = state.checkpoints / "log"
    published = read_checkpoints(read_text(log), "checkpoints/log", report) if log.exists() else []
    covering = [entry for entry in published if entry.checkpoint.size > index]
    newest = sorted(covering, key=lambda entry: entry.checkpoint.size)[-1:]
    good = signed(newest, key, report)
    if newest and not good:
        fail(f"The {newest[0].source} is not signed by the log's key. Run 'audit verify'.")
    return good[0] if good else None


def _check_proof(path: Path, key: str | None, home: Path | None, output: str) -> None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROOF_BYTES + 1)
    except OSError as error:
        raise CannotRunError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_PROOF_BYTES:
        raise CannotRunError(f"{path} is too large for a proof.")
    try:
        given = parse_proof(data)
    except InvalidRequestError as error:
        raise CannotRunError(f"{path} is no proof: {error.message}") from error
    known = known_key(key, home_of(home) if key is None else None)
    from_proof = not known
    known = known or given.public_key
    if not known:
        raise CannotRunError("The log's public key is not known here. Give it with --key.")
    problem = given.problem(parse_key(known), ed25519_verifier())
    if output == "json":
        result = {"ok": not problem, "index": given.index, "size": given.checkpoint.size, "problem": problem}
        emit_json(result | {"key": known, "key_came_with_proof": from_proof})
    elif problem:
        click.echo(problem)
    else:
        click.echo(f"OK: record {given.index} is in the log of {given.checkpoint.size} records signed by {known}.")
        click.echo(plain(given.leaf.decode("utf-8", "replace")))
        if from_proof:
            click.echo("The key came with the proof: compare it with the one that you know.", err=True)
    if problem:
        raise click.exceptions.Exit(1)


# -- records


def _event(record: ExportedRecord) -> dict[str, Any]:
    """The leaf's JSON as it is; a damaged leaf is shown, not hidden."""
    try:
        value = json.loads(record.leaf)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"kind": "unreadable"}


def _wanted(event: dict[str, Any], kinds: tuple[str, ...], tenant: str, earliest: datetime | None) -> bool:
    kind = str(event.get("kind", ""))
    if kinds and not any(kind == wanted or kind.startswith(f"{wanted}.") for wanted in kinds):
        return False
    if tenant and event.get("tenant", "") != tenant:
        return False
    if earliest is None:
        return True
    try:
        return datetime.fromisoformat(str(event.get("at"))) >= earliest
    except (ValueError, TypeError):
        return True  # a record whose time cannot be read is not hidden by a filter on time


def _occurring(seen: dict[str, set[str]], kinds: tuple[str, ...], tenant: str) -> list[str]:
    """For the filters that were given: what they could have named."""
    asked = [name for name, given in (("kind", kinds), ("tenant", tenant)) if given]
    return [f"Each {name} in the log: {', '.join(sorted(seen[name] - {''})) or 'none'}." for name in asked]


def _moment(text: str) -> datetime:
    match = _DURATION.match(text)
    if match:
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--since: {text!r} is neither 30m, 12h, 7d nor an ISO time.") from error
    return moment if moment.tzinfo else moment.astimezone()


# -- printing


def _line(index: int, event: dict[str, Any]) -> str:
    names = ("kind", "outcome", "principal", "tenant", "project", "subject")
    words = [str(event[name]) for name in names if event.get(name)]
    rules, details = event.get("rules"), event.get("details")
    words += [f"rules={','.join(map(str, rules))}"] if isinstance(rules, list) else []
    words += [f"{name}={value}" for name, value in details.items()] if isinstance(details, dict) else []
    at = str(event.get("at", ""))[:19].replace("T", " ")
    return plain(f"{index:>7}  {at:19}  " + "  ".join(words))


def _print_report(report: Report, output: str) -> None:
    if output == "json":
        problems = [
            {"message": problem.message, "first_bad": problem.first_bad, "last_bad": problem.last_bad}
            for problem in report.problems
        ]
        first = next((problem.first_bad for problem in report.problems if problem.first_bad is not None), None)
        result = {
            "ok": report.ok,
            "size": report.size,
            "root": report.root.hex(),
            "checkpoints": report.checkpoints,
            "signed_size": report.signed_size,
            "first_bad": first,
            "problems": problems,
            "notices": report.notices,
        }
        emit_json(result)
        return
    for problem in report.problems:
        click.echo(plain(f"BAD: {problem.message}"))
    if report.ok:
        counts = f"{counted(report.size, 'record')}, {counted(report.checkpoints, 'checkpoint')}"
        click.echo(f"OK: {counts}, root {report.root.hex()}.")
    for notice in report.notices:
        click.echo(plain(f"Note: {notice}"))
