"""The independent verifier of an audit log: it trusts neither the database nor the gateway, only the published key.

Every leaf is hashed anew; the running hash names the first record that was changed, removed or moved; the root is
compared at the size of every published checkpoint, whose signatures are checked too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jupyter_qsec.cli.auditexport import BrokenExportError, Export, ExportedRecord
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import CHAIN_START, Checkpoint, chain_next
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.notes import RawVerify, VerifierKey, parse_checkpoint, signed_by, split_notes


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not hold, and from which record on (inclusive, counted from 0) where that is known."""

    message: str
    first_bad: int | None = None
    last_bad: int | None = None
    """The first bad record lies between `first_bad` and this; absent when it is `first_bad` itself."""


@dataclass(slots=True)
class Report:
    """The outcome of a verification."""

    size: int = 0
    root: bytes = merkle.EMPTY_ROOT
    checkpoints: int = 0
    """How many checkpoints agree with the records."""
    signed_size: int = 0
    """Up to which size a checkpoint vouches for the log."""
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class PublishedNote:
    """A checkpoint and where it was read."""

    source: str
    checkpoint: Checkpoint


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read_checkpoints(text: str, source: str, report: Report) -> list[PublishedNote]:
    """The notes of a checkpoint log or of a file with one note. Malformed ones and sizes that shrink are problems; an
    interrupted write at the end is a notice, because it was never published."""
    if not text.endswith("\n\n"):
        text += "\n"  # a file with a single note does not end with an empty line
    notes, rest = split_notes(text)
    if rest.strip():
        report.notices.append(f"{source} ends with an incomplete checkpoint, which was ignored.")
    found: list[PublishedNote] = []
    for number, note in enumerate(notes, start=1):
        try:
            found.append(PublishedNote(f"checkpoint {number} in {source}", parse_checkpoint(note)))
        except InvalidRequestError as error:
            report.problems.append(Problem(f"Checkpoint {number} in {source} cannot be read: {error.message}"))
            continue
        if len(found) > 1 and found[-1].checkpoint.size < found[-2].checkpoint.size:
            report.problems.append(Problem(f"Checkpoint {number} in {source} is of a smaller log than the one before."))
    return found


def check_signatures(
    published: Sequence[PublishedNote], key: VerifierKey, verify: RawVerify, report: Report
) -> list[PublishedNote]:
    """Those that the key signed; the others are problems."""
    good = []
    for entry in published:
        if signed_by(entry.checkpoint.note, key, verify):
            good.append(entry)
        else:
            report.problems.append(Problem(f"The {entry.source} is not signed by the key {key.name}."))
    return good


def check_log(export: Export, published: Iterable[PublishedNote], report: Report) -> None:
    """Hold every record against the hashes beside it, the checkpoints and the stored head."""
    waiting = sorted(published, key=lambda entry: entry.checkpoint.size, reverse=True)
    tree, chain = merkle.CompactTree(), CHAIN_START
    _compare(tree, waiting, report)
    try:
        for record in export.records():
            problem = _record_problem(record, tree.size, chain)
            if problem is not None:
                report.problems.insert(0, problem)
                break
            tree.append(record.leaf_hash)
            chain = record.chain
            _compare(tree, waiting, report)
        else:
            _check_end(export, tree, chain, report)
    except BrokenExportError as error:
        report.problems.insert(0, Problem(f"The log cannot be read from record {tree.size} on: {error}.", tree.size))
    report.size, report.root = tree.size, tree.root()
    if waiting and not any(problem.first_bad is not None for problem in report.problems):
        entry = waiting[0]
        size = entry.checkpoint.size
        message = f"Record {tree.size} is missing: the {entry.source} signed {size} records, the log has {tree.size}."
        report.problems.insert(0, Problem(message, tree.size))
    if report.ok and tree.size > report.signed_size:
        unsigned = counted(tree.size - report.signed_size, "record")
        report.notices.append(f"No checkpoint vouches for the newest {unsigned} yet.")


def _record_problem(record: ExportedRecord, expected: int, chain: bytes) -> Problem | None:
    if record.index != expected:
        what = "is missing" if record.index > expected else "is there twice"
        return Problem(f"Record {expected} {what}: the next one has index {record.index}.", expected)
    if not merkle.same_hash(merkle.leaf_hash(record.leaf), record.leaf_hash):
        return Problem(f"Record {expected} was changed: its content does not have the hash beside it.", expected)
    if not merkle.same_hash(chain_next(chain, record.leaf_hash), record.chain):
        return Problem(
            f"Record {expected} is not the one that was written here: it does not continue the record before it.",
            expected,
        )
    return None


def _compare(tree: merkle.CompactTree, waiting: list[PublishedNote], report: Report) -> None:
    """Hold the tree against the checkpoints of exactly this size; `waiting` has the largest first."""
    here = []
    while waiting and waiting[-1].checkpoint.size == tree.size:
        here.append(waiting.pop())
    good = [entry for entry in here if merkle.same_hash(tree.root(), entry.checkpoint.root)]
    for entry in here:
        if entry in good:
            report.checkpoints += 1
        elif good:
            message = f"The {entry.source} contradicts another one of {tree.size} records: the log was forked."
            report.problems.append(Problem(message))
        elif not any(problem.first_bad is not None for problem in report.problems):
            report.problems.append(_rewritten(entry, report.signed_size))
    if good:
        report.signed_size = tree.size


def _rewritten(entry: PublishedNote, good: int) -> Problem:
    last = max(entry.checkpoint.size - 1, 0)
    where = f"Record {good}" if good >= last else f"A record between {good} and {last}"
    return Problem(
        f"{where} is not the one that was signed: the log was rewritten and no longer has the root of the "
        f"{entry.source}.",
        good,
        last if last > good else None,
    )


def _check_end(export: Export, tree: merkle.CompactTree, chain: bytes, report: Report) -> None:
    head = export.head
    if not export.complete:
        report.problems.insert(0, Problem(f"The log cannot be read from record {tree.size} on.", tree.size))
    elif head is None:
        report.problems.insert(0, Problem("The log has lost its head."))
    elif head.size > tree.size:
        message = f"Record {tree.size} is missing: the log's head says {head.size} records."
        report.problems.insert(0, Problem(message, tree.size))
    elif head.size < tree.size:
        message = f"Record {head.size} was not written by the gateway: the log's head says {head.size} records."
        report.problems.insert(0, Problem(message, head.size))
    elif not (merkle.same_hash(head.root, tree.root()) and merkle.same_hash(head.chain, chain)):
        report.problems.append(Problem("The log's head is not that of its records."))
