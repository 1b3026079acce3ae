"""The check of the audit log: the same verification as `audit verify`."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_qsec.cli.auditsource import CannotRunError, verify_log
from jupyter_qsec.cli.auditverify import counted
from jupyter_qsec.cli.checks_machine import Check
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import QsecError

_NAME = "audit log"
_REMEDY = "Run: jupyter qsec audit verify"


def audit_log(home: QsecHome) -> Iterator[Check]:
    """Nothing where there is no log, or where the state directory cannot be used (told by `state_directory`)."""
    try:
        home.check()
    except QsecError:
        return
    if not home.has_state and not (home.checkpoints / "log").exists():
        return
    try:
        report = verify_log(home.path)
    except CannotRunError as error:
        yield Check(_NAME, "wrong", f"it cannot be verified: {error.message}", _REMEDY)
        return
    if report.ok:
        counts = f"{counted(report.size, 'record')}, {counted(report.checkpoints, 'checkpoint')}"
        yield Check(_NAME, "ok", f"every record is as it was written ({counts})")
        return
    # The first bad record first: problems of checkpoints alone name none.
    worst = min(report.problems, key=lambda problem: (problem.first_bad is None, problem.first_bad or 0))
    more = len(report.problems) - 1
    yield Check(_NAME, "wrong", worst.message + (f" And {counted(more, 'problem')} more." if more else ""), _REMEDY)
