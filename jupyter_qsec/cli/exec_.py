"""`jupyter qsec exec`: any command under a lease of its own, with no credential in its reach."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

import click

from jupyter_qsec.cli.output import Duration, in_units, require_tenant
from jupyter_qsec.domain.errors import InvalidRequestError, UnavailableError
from jupyter_qsec.domain.lease import MAX_TEXT

_START_SECONDS = 90.0
_DOCTOR = "See 'jupyter qsec doctor'."
_LEAST_TTL, _MOST_TTL = timedelta(seconds=10), timedelta(hours=12)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


@click.command("exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--tenant", default="", metavar="ID", help="The tenant to work for (default: the gateway's).")
@click.option("--project", default="", metavar="ID", help="The tenant's project (default: its first).")
@click.option(
    "--ttl",
    type=Duration(_LEAST_TTL, _MOST_TTL),
    default="5m",
    show_default=True,
    help="How long the lease outlives a killed 'exec' (10s to 12h); it is renewed while the command runs.",
)
@click.option(
    "--max-ttl",
    type=Duration(_LEAST_TTL, _MOST_TTL),
    default="12h",
    show_default=True,
    help="The lease ends after this at last (--ttl to 12h).",
)
@click.option("--label", default="", metavar="TEXT", help="What lists and records call it (default: the command).")
def exec_(command: tuple[str, ...], tenant: str, project: str, ttl: timedelta, max_ttl: timedelta, label: str) -> None:
    """Run COMMAND with a lease of its own instead of credentials.

    AWS SDKs below it reach the gateway and nothing else: cloud credentials, tokens and credential files of this shell
    are not passed on. A gateway is started when none runs. The lease is revoked when the command ends, and its exit
    code is this command's. Notebooks run below it (nbconvert, papermill) work on its lease, with the same protection.

    \b
    Examples:
      jupyter qsec exec -- python job.py
      jupyter qsec exec --tenant research --project qec -- jupyter execute run.ipynb
      jupyter qsec exec --ttl 1m -- bash
    """
    if max_ttl < ttl:
        text = f"{in_units(max_ttl)} is less than --ttl {in_units(ttl)}: give more, or a shorter --ttl."
        raise click.BadParameter(text, click.get_current_context(), param_hint="'--max-ttl'")
    click.get_current_context().exit(_execute(command, tenant, project, ttl, max_ttl, label))


def _execute(command: Sequence[str], tenant: str, project: str, ttl: timedelta, max_ttl: timedelta, label: str) -> int:
    from jupyter_qsec.client.gateways import client_of, gateway_of
    from jupyter_qsec.client.hardening import forbid_dumps
    from jupyter_qsec.client.home import QsecHome
    from jupyter_qsec.client.leases import LeaseKeeper
    from jupyter_qsec.client.supervision import GatewayState, full_stop
    from jupyter_qsec.client.wire import LeaseAsk
    from jupyter_qsec.kernels.environment import kernel_environment

    if os.environ.get("JUPYTER_QSEC_KERNEL"):
        raise InvalidRequestError(
            "This process runs under a lease already, and a lease cannot ask for another.",
            remedy="Run 'jupyter qsec exec' in a terminal of your own.",
        )
    forbid_dumps()  # this process holds the control token
    home = QsecHome.default().ensure()
    ask = LeaseAsk(
        tenant=tenant,
        project=project,
        label=(label or f"exec {shlex.join(command)}")[:MAX_TEXT],
        holder=f"exec:{os.getpid()}",
        ttl=ttl,
        max_ttl=max_ttl,
    )
    log = logging.getLogger(__name__)
    log.setLevel(logging.ERROR)  # why there is none is told once, below
    gateway = gateway_of(home, log=log)
    gateway.start()
    try:
        condition = gateway.wait_until((GatewayState.RUNNING, GatewayState.FAILED), _START_SECONDS)
        if condition.state is not GatewayState.RUNNING:
            what = "cannot be used" if condition.shared else "does not start"  # one that others run has its own reasons
            raise UnavailableError(
                full_stop(f"The gateway {what}: {condition.reason or 'it did not become ready in time'}"),
                remedy="" if _DOCTOR in condition.reason else _DOCTOR,
            )
        log.setLevel(logging.WARNING)
        with (
            client_of(gateway) as client,
            tempfile.TemporaryDirectory(prefix="jupyter-qsec-") as folder,  # mkdtemp makes it 0700
        ):
            keeper = LeaseKeeper(client)
            held = keeper.acquire(ask, Path(folder) / "token")
            try:
                if held.error is not None:
                    if isinstance(held.error, InvalidRequestError):
                        require_tenant(client, tenant, project)  # says which there are
                    raise held.error
                environment = kernel_environment(os.environ, endpoints=gateway.endpoints, token_file=held.token_file)
                environment["JUPYTER_DEFAULT_PROVISIONER_NAME"] = "qsec-provisioner"
                return run_command(command, environment)
            finally:
                keeper.close("the command ended")
    finally:
        gateway.stop()


def run_command(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run in the foreground and pass signals on; the exit code as a shell tells it (128 + signal)."""
    with _signals() as box:
        try:
            process = subprocess.Popen(list(command), env=environment)
        except FileNotFoundError:
            click.echo(f"jupyter-qsec: {command[0]}: no such command", err=True)
            return 127
        except OSError as error:
            click.echo(f"jupyter-qsec: {command[0]}: {error.strerror}", err=True)
            return 126
        box.append(process)
        code = process.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _signals() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Signals for us are for the command. Ctrl-C in a terminal reaches both by itself, so it is not sent twice."""
    box: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and _in_foreground():
            return
        for process in box:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (*_FORWARDED, signal.SIGINT)}
    try:
        yield box
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Whether this process group owns the terminal."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
