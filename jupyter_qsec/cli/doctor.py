"""`jupyter qsec doctor`: what is wrong with this machine's set-up, and what mends it."""

from __future__ import annotations

from dataclasses import asdict

import click

from jupyter_qsec.cli.output import emit_json, format_option, plain

_MARKS = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


@click.command()
@format_option
@click.option(
    "--quick", is_flag=True, help="Leave out what takes time: the confinement probe, and verifying the audit log."
)
def doctor(output: str, quick: bool) -> None:
    """Check this machine's set-up; each finding says what to mend.

    Looks at the state directory and its modes, the gateway and its keys, Jupyter's configuration, what a confined
    kernel could still reach, the audit log, and credentials that lie around. Exit 1 when something is
    wrong; warnings alone exit 0.

    \b
    Examples:
      jupyter qsec doctor
      jupyter qsec doctor --format json
    """
    from jupyter_qsec.cli import checks_audit, checks_jupyter, checks_machine
    from jupyter_qsec.client.hardening import forbid_dumps
    from jupyter_qsec.client.home import QsecHome

    forbid_dumps()  # as the server does: otherwise the probe would find this very process open
    home = QsecHome.default()
    findings = [*checks_machine.check(home), *checks_jupyter.check(probe=not quick)]
    if not quick:
        findings += checks_audit.audit_log(home)
    wrong = sum(finding.status == "wrong" for finding in findings)
    if output == "json":
        emit_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.status]}  {finding.name}: {plain(finding.text)}")
            if finding.remedy:
                click.echo(f"         -> {plain(finding.remedy)}")
        warnings = sum(finding.status == "warning" for finding in findings)
        click.echo(f"{len(findings)} checks, {warnings} warnings, {wrong} wrong.")
    click.get_current_context().exit(1 if wrong else 0)
