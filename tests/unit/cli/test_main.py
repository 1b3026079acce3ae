"""The command line as a whole: it explains itself, starts fast, and ends on errors with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from jupyter_qsec.cli import main as cli_main
from jupyter_qsec.cli.main import _COMMANDS, cli, run
from jupyter_qsec.domain import errors


def commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below, with its path."""
    yield path or "jupyter-qsec", command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}".strip())


EVERY = list(commands(cli))


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_command_and_option_explains_itself(path: str, command: click.Command) -> None:
    assert command.help and len(command.help) > 20, path
    if " " not in path:
        assert "Example" in command.help, f"{path} shows no example"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and len(parameter.help) > 8, f"{path} {parameter.opts}"


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_command_that_prints_offers_json(path: str, command: click.Command) -> None:
    if isinstance(command, click.Group) or path in {"exec", "baseline"}:
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--format" in options, path


def test_the_promised_commands_are_all_there() -> None:
    found = {path for path, _ in EVERY}
    assert found >= {
        "exec",
        "tasks list",
        "tasks show",
        "tasks cancel",
        "leases list",
        "leases revoke",
        "audit list",
        "audit verify",
        "audit proof",
        "scan",
        "doctor",
        "gateway",
        "gateway status",
    }


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_the_list_of_commands_says_what_the_commands_say(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert len(_COMMANDS[name][2]) < 75


@pytest.mark.parametrize("path", [path for path, command in EVERY if isinstance(command, click.Group)])
def test_nothing_in_a_list_of_commands_is_cut_short(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*path.removeprefix("jupyter-qsec").split(), "--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed.strip() and "..." not in listed


def loaded_by(code: str) -> set[str]:
    """Top-level packages in a fresh interpreter after some code."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(printed.stdout.split())


HEAVY = {"httpx", "tornado", "traitlets", "jupyter_server", "boto3", "sqlalchemy", "cryptography", "braket", "keyring"}


def test_help_imports_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("from jupyter_qsec.cli.main import run; run(['--help'])")


def test_a_scanner_needs_no_client() -> None:
    assert not HEAVY & loaded_by("import jupyter_qsec.cli.scan.command")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("There is no task x."), 1),
        (errors.DeniedError("No."), 1),
        (errors.ConflictError("Over."), 1),
        (errors.QuotaExceededError("Full."), 1),
        (errors.UnavailableError("Away."), 2),
        (errors.StateDirectoryError("Open."), 2),
        (errors.InvalidRequestError("Wrong."), 2),
        (FileNotFoundError(2, "No such file or directory", "x.ipynb"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    @click.command()
    def failing() -> None:
        """Fails."""
        raise error

    monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: failing)
    assert run(["tasks"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.strip().startswith("jupyter-qsec: ") and printed.err.strip().count("\n") == 0


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["tasks", "list", "--limit", "0"], ["tasks", "show"], ["exec"], ["--nonsense"]]
)
def test_wrong_use_is_one_line_that_names_the_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and printed.startswith("jupyter-qsec: ") and "--help" in printed


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in "".join(capsys.readouterr())


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from jupyter_qsec.cli.main import main; main(['--help'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b""), "as a shell tells it, and without a word"
