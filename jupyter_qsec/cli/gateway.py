"""`jupyter qsec gateway`: run a gateway in the foreground, or show the one that runs."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

import click

from jupyter_qsec.cli.output import emit_fields, emit_json, format_option, plain
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError, StateDirectoryError, UnavailableError

_START_SECONDS = 90.0


@click.group(invoke_without_command=True)
@click.option(
    "--keystore",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Where the gateway's root secrets lie: 'keyring' (the system's), 'file' (private files below the state "
    "directory), 'auto', or a store that a package brings.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Simulations that may run at once (default: by the cores).")
@format_option
@click.pass_context
def gateway(ctx: click.Context, keystore: str, workers: int | None, output: str) -> None:
    """Run the gateway in the foreground, or show its status.

    JupyterLab and 'jupyter qsec exec' start a gateway by themselves. Run one here to keep it alive between them, or to
    see why it does not start. Ctrl-C ends it. It is started again whenever it dies.

    \b
    Examples:
      jupyter qsec gateway
      jupyter qsec gateway --keystore file
      jupyter qsec gateway status --format json
    """
    if ctx.invoked_subcommand is None:
        options = ["--keystore", keystore, *(() if workers is None else ("--workers", str(workers)))]
        _run(options, output)


@gateway.command()
@format_option
def status(output: str) -> None:
    """Show the gateway that runs on this state directory.

    Exit 1 when none does, or when it is not healthy.

    \b
    Example:
      jupyter qsec gateway status
    """
    from jupyter_qsec.client.gateways import connect
    from jupyter_qsec.client.home import QsecHome

    require_own_gateway()
    home = QsecHome.default()
    info, problem, told = None, "", None
    try:
        home.check()
        info = home.running_gateway()
        if info is None:
            problem = "no gateway runs on this state directory"
        else:
            with connect(home, timeout=5) as client:
                told = client.status()
                problem = "" if client.healthy() else "it can neither record nor decide"
    except QsecError as error:
        problem = str(error)
    state = "running" if info is not None and not problem else "unhealthy" if info is not None else "stopped"
    if output == "json":
        emit_json(
            {
                "state": state,
                "problem": problem,
                "home": str(home.path),
                "pid": None if info is None else info.pid,
                "port": None if info is None else info.port,
                "status": told,
            }
        )
    else:
        tasks = {} if told is None else told["tasks"]
        emit_fields(
            (
                ("state", state),
                ("problem", problem),
                ("state directory", home.path),
                ("address", "" if info is None else f"http://127.0.0.1:{info.port}"),
                ("process", "" if info is None else info.pid),
                ("version", "" if told is None else told["version"]),
                ("started", "" if told is None else told["started_at"]),
                ("key store", "" if told is None else told["keystore"]),
                ("you are", "" if told is None else f"{told['principal']['name']} ({told['principal']['id']})"),
                ("tenants", "" if told is None else ", ".join(tenant["id"] for tenant in told["tenants"])),
                ("tasks", ", ".join(f"{count} {name}" for name, count in tasks.items())),
            )
        )
    click.get_current_context().exit(0 if state == "running" else 1)


def require_own_gateway() -> None:
    """`InvalidRequestError` where this account uses a gateway that somebody else runs."""
    if elsewhere := os.environ.get("JUPYTER_QSEC_GATEWAY_URL"):
        raise InvalidRequestError(
            f"This account uses the gateway at {plain(elsewhere)} and runs none of its own.",
            remedy="'jupyter qsec doctor' tells how that one is.",
        )


def _run(options: list[str], output: str) -> None:
    """Supervise a gateway until a signal comes."""
    from jupyter_qsec.client.hardening import forbid_dumps
    from jupyter_qsec.client.home import QsecHome
    from jupyter_qsec.client.supervision import GatewayCondition, GatewayState, GatewaySupervisor, full_stop

    forbid_dumps()
    require_own_gateway()
    home = QsecHome.default().ensure()
    running = home.running_gateway()
    if running is not None:
        raise StateDirectoryError(f"A gateway runs on {home.path} already (process {running.pid}).")

    served, ended = threading.Event(), threading.Event()

    def tell(condition: GatewayCondition) -> None:
        if output == "json":
            emit_json({"state": condition.state, "reason": condition.reason, "url": supervisor.gateway_url})
        elif condition.state is GatewayState.RUNNING:
            served.set()
            click.echo(f"The gateway serves {supervisor.gateway_url} from {home.path}. Ctrl-C ends it.")
        elif condition.reason and (served.is_set() or condition.state is not GatewayState.FAILED):
            # A failure before the first time it served is told below, once.
            click.echo(f"jupyter-qsec: the gateway is {condition.state}: {condition.reason}", err=True)

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    log = logging.getLogger(__name__)
    log.setLevel(logging.ERROR)  # `tell` says the rest
    supervisor = GatewaySupervisor(home, options=options, on_change=tell, log=log)
    supervisor.start()
    try:
        condition = supervisor.wait_until((GatewayState.RUNNING, GatewayState.FAILED), _START_SECONDS)
        if not ended.is_set() and condition.state is not GatewayState.RUNNING:
            raise UnavailableError(full_stop(f"The gateway does not start: {condition.reason or condition.state}"))
        ended.wait()
    finally:
        supervisor.stop()
