"""`jupyter qsec leases`: who holds power at the gateway, and how to take it away."""

from __future__ import annotations

import click

from jupyter_qsec.cli.output import (
    age,
    by_prefix,
    emit_json,
    emit_table,
    format_option,
    gateway_client,
    require_tenant,
    short_id,
)
from jupyter_qsec.client.wire import LeaseRecord
from jupyter_qsec.domain.errors import ConflictError


@click.group(no_args_is_help=True)
def leases() -> None:
    """List leases, or revoke them at once.

    \b
    Examples:
      jupyter qsec leases list
      jupyter qsec leases revoke 9c1e
      jupyter qsec leases revoke --all --reason "laptop stolen"
    """


@leases.command("list")
@click.option("--tenant", default="", metavar="ID", help="Only this tenant's leases.")
@click.option("--all", "everything", is_flag=True, help="Also those that are revoked or expired.")
@format_option
def list_(tenant: str, everything: bool, output: str) -> None:
    """List leases, newest first.

    Says who holds them, for how long, and whether the holder is confined.

    \b
    Example:
      jupyter qsec leases list --all --format json
    """
    with gateway_client() as client:
        found = client.leases(tenant=tenant, state="" if everything else "active")
        if tenant and not found:
            require_tenant(client, tenant)
    _print(found, output, "No active leases.")


@leases.command()
@click.argument("lease", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every active lease (of --tenant, when given).")
@click.option("--tenant", default="", metavar="ID", help="With --all: only this tenant's leases.")
@click.option("--reason", default="revoked on the command line", show_default=True, help="Goes on record.")
@format_option
def revoke(lease: tuple[str, ...], everything: bool, tenant: str, reason: str, output: str) -> None:
    """Revoke leases: their holders' next call fails. LEASE is an id or the beginning of one.

    \b
    Examples:
      jupyter qsec leases revoke 9c1e 77b0
      jupyter qsec leases revoke --all --tenant research
    """
    if bool(lease) == everything:
        raise click.UsageError("Name the leases to revoke, or give --all.", click.get_current_context())
    revoked: list[LeaseRecord] = []
    with gateway_client() as client:
        active = client.leases(tenant=tenant, state="active")
        if tenant and not active:
            require_tenant(client, tenant)
        if everything:
            chosen = [record["id"] for record in active]
        else:
            known = client.leases(tenant=tenant)
            chosen = [by_prefix(wanted, (record["id"] for record in known), "lease") for wanted in lease]
        for lease_id in dict.fromkeys(chosen):
            try:
                revoked.append(client.revoke_lease(lease_id, reason=reason))
            except ConflictError:
                if not everything:  # with --all somebody else, or the revocation of its parent, was faster
                    raise
    _print(revoked, output, "No active leases: nothing was revoked.")


def _print(found: list[LeaseRecord], output: str, empty: str) -> None:
    if output == "json":
        emit_json({"leases": found})
        return
    emit_table(
        ("LEASE", "STATE", "TENANT", "PROJECT", "LABEL", "ISSUED", "EXPIRES", "CONFINEMENT"),
        (
            (
                short_id(record["id"]),
                record["state"],
                record["tenant"],
                record["project"],
                record["label"],
                age(record["issued_at"]),
                age(record["expires_at"]) if record["state"] == "active" else record["revoked_because"],
                record["confinement"],
            )
            for record in found
        ),
        empty=empty,
    )
