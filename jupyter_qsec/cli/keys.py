"""`jupyter qsec keys`: the gateway's root secrets, their age, and how to replace them."""

from __future__ import annotations

import click

from jupyter_qsec.cli.output import age, emit_fields, emit_json, emit_table, format_option, gateway_client
from jupyter_qsec.client.wire import RootSecretRecord, is_overdue


@click.group(no_args_is_help=True)
def keys() -> None:
    """List the gateway's root secrets with their age, or replace them.

    'leases' is the key behind the credentials of all leases, 'audit-log' signs the audit log's checkpoints. What they
    are is shown to nobody; each time a gateway reads one is on record.

    \b
    Examples:
      jupyter qsec keys list
      jupyter qsec keys rotate leases --reason "every 90 days"
    """


@keys.command("list")
@format_option
def list_(output: str) -> None:
    """List root secrets: every generation, with age and state.

    Exit 1 when one is due to be replaced.

    \b
    Example:
      jupyter qsec keys list --format json
    """
    with gateway_client() as client:
        told = client.root_secrets()
    found = told["secrets"]
    overdue = [record for record in found if is_overdue(record)]
    if output == "json":
        emit_json({**told, "overdue": [record["name"] for record in overdue]})
    else:
        emit_table(
            ("NAME", "GENERATION", "STATE", "AGE", "DUE", "MADE BY", "BECAUSE"),
            (
                (
                    record["name"],
                    record["generation"],
                    record["state"],
                    age(record["created_at"]),
                    _due(record),
                    record["principal"],
                    record["because"],
                )
                for record in found
            ),
            empty="No root secrets.",
        )
        emit_fields([("kept in", told["place"])])
    click.get_current_context().exit(1 if overdue else 0)


@keys.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; goes on record.")
@click.option(
    "--at-once",
    is_flag=True,
    help="The present key may be known to others: end every lease, and take nothing that is under an earlier key.",
)
@format_option
def rotate(name: str, reason: str, at_once: bool, output: str) -> None:
    """Replace the root key NAME while the gateway runs.

    Without --at-once nobody notices: credentials that were given out stay good until they expire, later ones are under
    the new key. With --at-once all leases end, and notebooks need new ones.

    \b
    Examples:
      jupyter qsec keys rotate leases --reason "every 90 days"
      jupyter qsec keys rotate leases --at-once --reason "a backup was stolen"
    """
    with gateway_client() as client:
        made = client.rotate_root_secret(name, reason=reason, at_once=at_once)
    if output == "json":
        emit_json({"secret": made})
        return
    emit_fields(
        [
            ("root key", f"{made['name']}, generation {made['generation']}"),
            ("used", "at once" if made["state"] == "present" else f"for what expires after {made['starts_at']}"),
            ("due", age(made["due_at"])),
        ]
    )


def _due(record: RootSecretRecord) -> str:
    if record["due_at"] is None:
        return "stays"
    return "now" if is_overdue(record) else ("" if record["state"] == "replaced" else age(record["due_at"]))
