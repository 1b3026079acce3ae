"""`python -m jupyter_qsec.gateway`: `serve` runs a gateway, `audit-export` writes the audit log as JSON lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; argparse itself ends with 2 on wrong use."""
    options = _parser().parse_args(arguments)
    home = Path(options.home).expanduser().absolute()
    if options.command == "audit-export":
        from jupyter_qsec.gateway import auditexport  # here: an export needs neither simulator nor web server

        return auditexport.run(home)
    from jupyter_qsec.gateway.launching import ServeOptions

    chosen = ServeOptions(
        home=home,
        listen_fd=options.fd,
        port=options.port,
        keystore=options.keystore,
        parent_fd=options.parent_fd,
        with_parent=options.with_parent,
        workers=options.workers,
        identity=options.identity,
        seat=options.seat,
    )
    if options.processes > 1:
        from jupyter_qsec.gateway.supervisor import supervise  # here: a supervisor needs nothing of what it supervises

        return supervise(chosen, options.processes)
    from jupyter_qsec.gateway.process import serve

    return serve(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jupyter_qsec.gateway", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("serve", help="run a gateway on loopback", allow_abbrev=False)
    run.add_argument("--home", required=True, help="the state directory")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--fd", type=_descriptor, help="an inherited socket that listens on 127.0.0.1")
    where.add_argument("--port", type=_port, help="the port to bind; by default the last one, or a free one")
    run.add_argument("--keystore", choices=("auto", "keyring", "file"), default="auto", help="where root keys lie")
    run.add_argument("--parent-fd", type=_descriptor, help="a pipe; the gateway ends when its other end closes")
    run.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    run.add_argument("--processes", type=_processes, default=1, help="gateway processes; several need PostgreSQL")
    run.add_argument("--seat", type=_processes, help=argparse.SUPPRESS)  # given by the supervisor
    run.add_argument("--workers", type=_workers, default=0, help="simulator processes of each; 0: by the machine")
    run.add_argument(
        "--identity",
        choices=("local", "hub"),
        default="local",
        help="who may call: this account, or also people and services of the hub whose service this is",
    )
    export = commands.add_parser("audit-export", help="write the audit log as JSON lines", allow_abbrev=False)
    export.add_argument("--home", required=True, help="the state directory")
    return parser


def _descriptor(text: str) -> int:
    return _number(text, 0, 1 << 20)


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _workers(text: str) -> int:
    return _number(text, 0, 64)


def _processes(text: str) -> int:
    return _number(text, 1, 64)


def _number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
