"""`jupyter qsec tasks`: what ran, what runs, what waits and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jupyter_qsec.cli.output import (
    age,
    by_prefix,
    emit_fields,
    emit_json,
    emit_table,
    format_option,
    gateway_client,
    require_tenant,
    short_id,
    there_are,
)
from jupyter_qsec.domain.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from jupyter_qsec.client.api import ControlClient

_LOOKED_THROUGH = 1000
_STATES = ("CREATED", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLING", "CANCELLED")


@click.group(no_args_is_help=True)
def tasks() -> None:
    """List, show and cancel quantum tasks.

    \b
    Examples:
      jupyter qsec tasks list --state RUNNING
      jupyter qsec tasks show 3f2a
      jupyter qsec tasks cancel 3f2a
    """


@tasks.command("list")
@click.option("--tenant", default="", metavar="ID", help="Only this tenant's tasks.")
@click.option(
    "--lease", default="", metavar="ID", help="Only tasks submitted under this lease (its id or the beginning)."
)
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only tasks in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@format_option
def list_(tenant: str, lease: str, state: str | None, limit: int, output: str) -> None:
    """List tasks, newest first.

    \b
    Example:
      jupyter qsec tasks list --tenant research --limit 50
    """
    with gateway_client() as client:
        lease_id = _lease(client, lease) if lease else ""
        found = client.tasks(tenant=tenant, lease=lease_id, state=(state or "").upper(), limit=limit)
        if tenant and not found:
            require_tenant(client, tenant)
    if output == "json":
        emit_json({"tasks": found})
        return
    emit_table(
        ("TASK", "STATE", "DEVICE", "SHOTS", "COST USD", "TENANT", "AGE", "WAITS FOR"),
        (
            (
                short_id(task["id"]),
                task["state"],
                task["device_name"],
                task["shots"],
                task["cost_usd"] or f"~{task['estimate_usd']}",
                task["tenant"],
                age(task["created_at"]),
                "; ".join(reason["text"] for reason in task["waiting"]),
            )
            for task in found
        ),
        empty="No tasks.",
    )


@tasks.command()
@click.argument("task")
@format_option
def show(task: str, output: str) -> None:
    """Show one task. TASK is its ARN, its id, or the beginning of its id.

    \b
    Example:
      jupyter qsec tasks show 3f2a
    """
    with gateway_client() as client:
        _print(client.task(_resolve(client, task)), output)


@tasks.command()
@click.argument("task")
@format_option
def cancel(task: str, output: str) -> None:
    """Cancel one task that has not ended. TASK is its ARN, its id, or the beginning of its id.

    \b
    Example:
      jupyter qsec tasks cancel 3f2a
    """
    with gateway_client() as client:
        _print(client.cancel_task(_resolve(client, task)), output)


def _resolve(client: ControlClient, wanted: str) -> str:
    identifier = wanted.rpartition("/")[2]
    if len(identifier) == 36:
        return identifier
    return by_prefix(wanted, (task["id"] for task in client.tasks(limit=_LOOKED_THROUGH)), "task")


def _lease(client: ControlClient, wanted: str) -> str:
    """A filter that names no lease is wrong use: an empty list would say that the lease ran nothing."""
    known = [record["id"] for record in client.leases()]
    try:
        return by_prefix(wanted, known, "lease")
    except NotFoundError as error:
        raise InvalidRequestError(error.message, remedy=there_are(map(short_id, known))) from None


def _print(task: Any, output: str) -> None:
    if output == "json":
        emit_json({"task": task})
        return
    emit_fields(
        (
            ("task", task["id"]),
            ("arn", task["arn"]),
            ("state", task["state"]),
            ("waits for", "; ".join(reason["text"] for reason in task["waiting"])),
            ("failure", task["failure_reason"]),
            ("device", f"{task['device_name']} ({task['device_arn']})"),
            ("shots", task["shots"]),
            ("qubits", task["qubits"]),
            ("estimate", f"{task['estimate_usd']} USD"),
            ("cost", f"{task['cost_usd']} USD" if task["cost_usd"] is not None else ""),
            ("ran for", f"{task['duration_ms']} ms" if task["duration_ms"] is not None else ""),
            ("tenant", f"{task['tenant']} / {task['project']}"),
            ("principal", task["principal"]),
            ("lease", task["lease_id"]),
            ("created", task["created_at"]),
            ("started", task["started_at"]),
            ("ended", task["ended_at"]),
            ("results", task["output_s3_uri"]),
            ("tags", ", ".join(f"{name}={value}" for name, value in sorted(task["tags"].items()))),
        )
    )
