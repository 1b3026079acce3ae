"""`python -m jupyter_qsec.gateway`: `serve` runs a gateway, `migrate` brings its PostgreSQL database up, `certificates`
makes what it needs for TLS, `compile` prepares its simulators, `audit-export` writes the audit log as JSON lines."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.gateway.confidential import keep_confidential
from jupyter_qsec.gateway.exits import EXIT_MISSING


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; argparse itself ends with 2 on wrong use."""
    options = _parser().parse_args(arguments)
    if options.command == "certificates":
        return _certificates(Path(options.folder).expanduser().absolute(), options.names)
    if options.command == "migrate":
        from jupyter_qsec.gateway import migrating  # here: a migration needs neither simulator nor web server

        return migrating.run(os.environ)
    if options.command == "compile":
        return _compile()
    home = Path(options.home).expanduser().absolute()
    if options.command == "audit-export":
        from jupyter_qsec.gateway import auditexport  # here: an export needs neither simulator nor web server

        return auditexport.run(home)
    keep_confidential()  # before anything else is loaded: until then the environment can be read
    from jupyter_qsec.gateway.launching import ServeOptions
    from jupyter_qsec.gateway.listening import Place

    chosen = ServeOptions(
        home=home,
        place=Place(options.fd, options.port, options.bind, options.url, options.certificate, options.key),
        settings=options.config,
        shared=options.shared,
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
    run = commands.add_parser("serve", help="run a gateway", allow_abbrev=False)
    run.add_argument("--home", required=True, help="the state directory")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--fd", type=_descriptor, help="an inherited socket that listens on 127.0.0.1")
    where.add_argument("--port", type=_port, help="the port to bind; by default the last one, or a free one")
    run.add_argument("--bind", default="127.0.0.1", help="the address to bind; beyond loopback with a certificate only")
    run.add_argument("--url", default="", help="how clients elsewhere name it, such as https://qsec.example.org:8443")
    run.add_argument("--certificate", type=_path, help="PEM file with certificate and chain: every connection is TLS")
    run.add_argument("--key", type=_path, help="the certificate's key, closed to others")
    run.add_argument("--config", type=_path, help="where tenants.toml and policies/ lie (default: --home)")
    run.add_argument("--shared", type=_path, help="where keys, results and checkpoints that several gateways share lie")
    run.add_argument("--keystore", default="auto", help="where root secrets lie: auto, keyring, file, or a package's")
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
    commands.add_parser(
        "migrate", help="bring the database that JUPYTER_QSEC_DATABASE_URL names up", allow_abbrev=False
    )
    commands.add_parser(
        "compile", help="compile the simulators' kernels now and not at the first start", allow_abbrev=False
    )
    make = commands.add_parser("certificates", help="make an authority, and a certificate by it", allow_abbrev=False)
    make.add_argument("folder", help="where they go; an authority that lies there is used again")
    make.add_argument("names", nargs="+", help="host names and addresses that clients name the gateway by")
    export = commands.add_parser("audit-export", help="write the audit log as JSON lines", allow_abbrev=False)
    export.add_argument("--home", required=True, help="the state directory")
    return parser


def _certificates(folder: Path, names: Sequence[str]) -> int:
    from jupyter_qsec.gateway.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates

    try:
        make_certificates(folder, names)
    except QsecError as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - a command's one line for its user
        return 2
    print(f"{folder / CERTIFICATE} and {folder / KEY} are the gateway's, {folder / AUTHORITY} is for its clients.")  # noqa: T201 - as above
    return 0


def _compile() -> int:
    """The kernels lie beside the simulators' code, or below NUMBA_CACHE_DIR: with them a worker is ready in two seconds
    and not in twenty."""
    from jupyter_qsec.adapters.providers import simulation  # here: it takes two seconds to import

    simulation.warm_up()
    return 0


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


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


def _run() -> int:
    """As `main`; where this wing is not installed, its extra is named instead of a traceback."""
    try:
        return main()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "jupyter_qsec":
            raise
        text = f"{error.name} is not installed; pip install 'jupyter_qsec[gateway]' brings it"
        print(text, file=sys.stderr)  # noqa: T201 - a command's one line for its user
        return EXIT_MISSING


if __name__ == "__main__":
    sys.exit(_run())
