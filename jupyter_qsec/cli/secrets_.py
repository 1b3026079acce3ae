"""`jupyter qsec secrets`: secrets that must not pass whatever they look like."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from jupyter_qsec.cli.output import emit_json, emit_table, format_option, plain
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import SecretsFile, SharedSecretsFile
from jupyter_qsec.domain.errors import InvalidRequestError

_MAX_INPUT = 64 << 10


_file_option = click.option(
    "--file",
    "shared",
    metavar="PATH",
    help="A file that servers of many people read, as JUPYTER_QSEC_SHARED_SECRETS tells them; made when it is missing.",
)


@click.group(no_args_is_help=True)
def secrets() -> None:
    """Register secrets, so that they are found exactly, in every encoding that the relay knows.

    The file in the state directory holds keyed hashes and lengths, not the secrets. Kernels that run take up a change
    within some seconds; saves and scans at once.

    \b
    Examples:
      jupyter qsec secrets add lab-database
      pass show lab/database | jupyter qsec secrets add lab-database
      jupyter qsec secrets list
      jupyter qsec secrets remove lab-database
      jupyter qsec secrets add lab-database --file /etc/qsec/secrets.json
    """


@secrets.command()
@click.argument("name")
@_file_option
@format_option
def add(name: str, shared: str | None, output: str) -> None:
    """Register a secret under NAME, which reports show. It is asked for or read from standard input, never an argument.

    \b
    Example:
      jupyter qsec secrets add lab-database
    """
    _file(shared).add(name, _value())
    told = f"{name} is looked for from now on. Nobody can read it back; to change it, remove it and add it again."
    _tell(output, name, told)


@secrets.command("list")
@_file_option
@format_option
def list_(shared: str | None, output: str) -> None:
    """List the names of what is registered.

    \b
    Example:
      jupyter qsec secrets list --format json
    """
    known = _file(shared).names()
    if output == "json":
        emit_json({"secrets": [{"name": secret.name, "forms": len(secret.forms)} for secret in known]})
    else:
        rows = [(secret.name, len(secret.forms)) for secret in known]
        emit_table(("NAME", "FORMS"), rows, empty="No secrets are registered.")


@secrets.command()
@click.argument("name")
@_file_option
@format_option
def remove(name: str, shared: str | None, output: str) -> None:
    """Look for this one no longer.

    \b
    Example:
      jupyter qsec secrets remove lab-database
    """
    _file(shared).remove(name)
    _tell(output, name, f"{plain(name)} is not looked for any more.")


def _file(shared: str | None) -> SecretsFile:
    return SecretsFile(QsecHome.default()) if shared is None else SharedSecretsFile(Path(shared).absolute())


def _tell(output: str, name: str, text: str) -> None:
    if output == "json":
        emit_json({"secrets": [{"name": name}]})
    else:
        click.echo(text)


def _value() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Secret", hide_input=True, err=True)
        return asked
    raw = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(raw) > _MAX_INPUT:
        raise InvalidRequestError("Standard input is too large for a secret.")
    return raw.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
