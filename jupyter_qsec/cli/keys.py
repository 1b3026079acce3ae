"""`jupyter qsec keys`: the gateway's root secrets, their age, and how to replace them."""

from __future__ import annotations

import json
import sys

import click

from jupyter_qsec.cli.output import age, emit_fields, emit_json, emit_table, format_option, gateway_client
from jupyter_qsec.client.wire import RootSecretRecord, is_overdue

_PATIENT_SECONDS = 120.0
_MAX_INPUT = 1 << 16


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
    with gateway_client(timeout=_PATIENT_SECONDS) as client:  # all leases may have to end
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


@keys.command("set-aws")
@click.option("--reason", required=True, help="Why; goes on record.")
@click.option("--stdin", is_flag=True, help="Read what 'aws iam create-access-key' printed, instead of asking.")
@format_option
def set_aws(reason: str, stdin: bool, output: str) -> None:
    """Give the gateway the AWS key that it takes tenants' roles with.

    For one machine that has no role of its own ('source = "stored"' in tenants.toml). The key lies in the gateway's key
    store, and is never shown again. It needs to be allowed sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity on
    those roles, and nothing else.

    \b
    Examples:
      jupyter qsec keys set-aws --reason "first key"
      aws iam create-access-key --user-name qsec | jupyter qsec keys set-aws --stdin --reason "every 90 days"
    """
    key_id, secret = _created(sys.stdin.buffer.read(_MAX_INPUT)) if stdin else _asked()
    with gateway_client() as client:
        made = client.set_aws_credential(key_id, secret, reason=reason)
    if output == "json":
        emit_json({"secret": made})
    else:
        emit_fields([("root secret", f"{made['name']}, generation {made['generation']}"), ("due", age(made["due_at"]))])
        if made["generation"] > 1:
            click.echo("It is used from now on. End the one before at AWS, when 'jupyter qsec keys check' is content.")


@keys.command()
@format_option
def check(output: str) -> None:
    """Try the tenants' roles at AWS, and say what came of it.

    Each is taken once, for real, and that is on record. Exit 1 when one is refused or AWS cannot be asked.

    \b
    Example:
      jupyter qsec keys check
    """
    with gateway_client(timeout=_PATIENT_SECONDS) as client:
        found = client.check_provider()
    if output == "json":
        emit_json({"roles": found})
    else:
        emit_table(
            ("TENANT", "ROLE", "SESSION", "EXPIRES", "PROBLEM"),
            (
                (each["tenant"], each["role"], each["session"] or "", age(each["expires_at"]), each["problem"])
                for each in found
            ),
            empty="No roles.",
        )
    click.get_current_context().exit(1 if any(each["problem"] for each in found) else 0)


def _asked() -> tuple[str, str]:
    """Never on the command line, where other programs read it."""
    key_id = click.prompt("Access key id")
    return str(key_id).strip(), str(click.prompt("Secret access key", hide_input=True)).strip()


def _created(content: bytes) -> tuple[str, str]:
    """The two parts of the JSON that the AWS command line prints."""
    try:
        told = json.loads(content)
        key = told.get("AccessKey", told)
        return str(key["AccessKeyId"]), str(key["SecretAccessKey"])
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise click.UsageError(
            "Standard input is not what 'aws iam create-access-key' prints.", click.get_current_context()
        ) from None


def _due(record: RootSecretRecord) -> str:
    if record["due_at"] is None:
        return "stays"
    return "now" if is_overdue(record) else ("" if record["state"] == "replaced" else age(record["due_at"]))
