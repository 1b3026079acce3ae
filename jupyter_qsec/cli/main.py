"""The entry point: one group whose commands are imported only when they are used, and one place that ends on errors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from jupyter_qsec._version import __version__
from jupyter_qsec.domain.errors import ConflictError, DeniedError, NotFoundError, QsecError, QuotaExceededError

PROGRAM = "jupyter-qsec"

# Name: module, attribute, and the short help, so that listing the commands imports none of them.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "audit": ("jupyter_qsec.cli.audit", "audit", "List and verify the audit log; prove that an entry is in it."),
    "baseline": (
        "jupyter_qsec.cli.scan.baseline",
        "baseline",
        "Write down the secrets that a project knows of, for 'scan --baseline'.",
    ),
    "doctor": ("jupyter_qsec.cli.doctor", "doctor", "Check this machine's set-up; each finding says what to mend."),
    "exec": ("jupyter_qsec.cli.exec_", "exec_", "Run a command with a lease of its own instead of credentials."),
    "gateway": ("jupyter_qsec.cli.gateway", "gateway", "Run the gateway in the foreground, or show its status."),
    "keys": ("jupyter_qsec.cli.keys", "keys", "List the gateway's root secrets with their age, or replace them."),
    "leases": ("jupyter_qsec.cli.leases", "leases", "List leases, or revoke them at once."),
    "scan": ("jupyter_qsec.cli.scan.command", "scan", "Find secrets in files, notebooks, standard input and Git."),
    "secrets": (
        "jupyter_qsec.cli.secrets_",
        "secrets",
        "Register secrets that must not pass in any form.",
    ),
    "tasks": ("jupyter_qsec.cli.tasks", "tasks", "List, show and cancel quantum tasks."),
}

# The gateway understood the request and said no; everything else is wrong use or nobody to ask.
_REFUSALS = (DeniedError, NotFoundError, ConflictError, QuotaExceededError)


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in sorted(_COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Leases instead of credentials for quantum programs in Jupyter.

    State lies in JUPYTER_QSEC_HOME (default: 'qsec' below the Jupyter data directory). Every command tells more with
    --help, and all but exec and baseline print JSON with --format json. Lists need a running gateway: JupyterLab, or
    'jupyter qsec gateway'.

    \b
    Examples:
      jupyter qsec exec -- python job.py     a lease for a script
      jupyter qsec tasks list                what ran, what waits and why
      jupyter qsec leases revoke --all       stop everything at once
      jupyter qsec audit verify              has the record been altered?
      jupyter qsec scan notebooks/           secrets in files
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: 0 done, 1 the check failed or the object was refused, 2 wrong use or no gateway."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code. Errors become one line on standard error."""
    try:
        code = cli.main(args=None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.exceptions.NoArgsIsHelpError as help_:
        help_.show()
        return 2
    except click.ClickException as error:
        return _fail(_usage(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except _REFUSALS as error:
        return _fail(str(error), 1)
    except QsecError as error:
        return _fail(str(error), 2)
    except SystemExit:
        return 141  # click's answer to a reader (`| head`) that went away; as a shell tells it: 128 + SIGPIPE
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), 2)
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> str:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{text} See '{context.command_path} --help'." if context is not None else text


def _fail(text: str, code: int) -> int:
    click.echo(f"{PROGRAM}: {' '.join(text.split())}", err=True)
    return code
