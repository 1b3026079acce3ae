"""`audit list`, the export that all audit commands read, and their help."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import pytest

from jupyter_qsec.cli import main
from jupyter_qsec.cli.audit import audit
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.gateway import auditexport
from tests.contract.auditing import NOON, SIGNER, export_of, run
from tests.contract.conftest import sqlite_store
from tests.contract.sqlitefiles import sql


class TestList:
    def indices(self, audit_home: Path, *arguments: object) -> list[int]:
        result = run("list", "--home", audit_home, "--format", "json", *arguments)
        assert result.exit_code == 0
        return [row["index"] for row in json.loads(result.stdout)]

    def test_the_newest_are_printed_oldest_first(self, audit_home: Path) -> None:
        assert self.indices(audit_home) == list(range(20))
        assert self.indices(audit_home, "--limit", 3) == [17, 18, 19]

    def test_filters(self, audit_home: Path) -> None:
        assert self.indices(audit_home, "--tenant", "research") == [15, 16, 17, 18, 19]
        assert self.indices(audit_home, "--kind", "task", "--limit", 2) == [17, 19]
        assert self.indices(audit_home, "--kind", "task.submitted", "--kind", "lease.issued") == list(range(20))
        assert self.indices(audit_home, "--kind", "tas") == []
        assert self.indices(audit_home, "--since", "2024-03-01T12:18:00Z") == [18, 19]
        assert self.indices(audit_home, "--since", "30s") == []

    def test_a_filter_that_matches_nothing_tells_what_occurs(self, audit_home: Path) -> None:
        result = run("list", "--home", audit_home, "--kind", "bogus", "--tenant", "nope")
        said = "Each kind in the log: lease.issued, task.submitted. Each tenant in the log: research, sandbox."
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"No record matches. {said}\n")
        assert run("list", "--home", audit_home, "--since", "30s").stderr == "No record matches.\n"

    def test_a_line_tells_the_record(self, audit_home: Path) -> None:
        lines = run("list", "--home", audit_home).stdout.splitlines()
        assert len(lines) == 20
        assert lines[3].split() == [
            "3",
            "2024-03-01",
            "12:03:00",
            "task.submitted",
            "allowed",
            "os:ada",
            "sandbox",
            "thing-3",
            "n=3",
        ]

    def test_nothing_in_a_record_steers_the_terminal(self, audit_home: Path) -> None:
        asyncio.run(self.hostile(audit_home))
        for output in ("text", "json"):
            shown = run("list", "--home", audit_home, "--limit", "1", "--format", output).stdout
            assert "hostile" in shown
            assert all(char.isprintable() or char == "\n" for char in shown)

    async def hostile(self, audit_home: Path) -> None:
        store = sqlite_store(audit_home, SIGNER)
        await store.open()
        subject = "hostile\x1b[2J\r\n\u202e\x9b31m\ud800"
        await store.record([AuditEvent(kind="request.rejected", at=NOON, subject=subject)])
        await store.close()

    def test_a_damaged_record_is_shown_and_not_hidden(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("UPDATE audit_records SET leaf = x'fffe' WHERE idx = 4")
        assert "unreadable" in run("list", "--home", audit_home, "--since", "2024-03-01T12:18:00Z").stdout

    @pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--limit", "0"], ["--format", "xml"]])
    def test_wrong_use(self, audit_home: Path, arguments: list[str]) -> None:
        assert run("list", "--home", audit_home, *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["list"], ["verify"], ["proof", "1"]])
@pytest.mark.parametrize(("mode", "said"), [(0o777, "is open to others (mode 0777)"), (0, "is not a directory")])
def test_a_state_directory_that_cannot_be_used_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: int,
    said: str,
    arguments: list[str],
) -> None:
    state = tmp_path / "qsec"
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(state))
    assert main.run(["audit", *arguments]) == 2
    assert "There is no audit log in" in capsys.readouterr().err
    if mode:
        state.mkdir()
        state.chmod(mode)
    else:
        state.touch()
    assert main.run(["audit", *arguments]) == 2
    assert said in capsys.readouterr().err


class TestExport:
    def test_the_first_line_names_the_log_and_the_last_its_head(self, audit_home: Path, tmp_path: Path) -> None:
        lines = [json.loads(line) for line in export_of(audit_home, tmp_path).read_text().splitlines()]
        assert lines[0] == {
            "kind": "jupyter-qsec-audit-export",
            "version": 1,
            "origin": "jupyter-qsec/cli",
            "public_key": SIGNER.verifier_key,
        }
        assert [line["index"] for line in lines[1:-1]] == list(range(20))
        assert all(merkle.leaf_hash(line["leaf"].encode()).hex() == line["leaf_hash"] for line in lines[1:-1])
        assert lines[-1]["head"]["size"] == 20

    def test_a_leaf_that_is_no_text_is_exported_too(self, audit_home: Path, tmp_path: Path) -> None:
        with sql(audit_home) as database:
            database.execute("UPDATE audit_records SET leaf = x'fffe' WHERE idx = 0")
            database.execute("UPDATE audit_records SET leaf = 7 WHERE idx = 1")
        lines = [json.loads(line) for line in export_of(audit_home, tmp_path).read_text().splitlines()]
        assert lines[1]["leaf_base64"] == "//4="
        assert lines[2]["leaf"] == "7"

    def test_nothing_to_export(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert auditexport.run(tmp_path) == 3
        assert "no state.db" in capsys.readouterr().err


def test_every_command_explains_itself() -> None:
    context = click.Context(audit)
    for name in audit.list_commands(context):
        result = run(name, "--help")
        assert result.exit_code == 0
        command = audit.get_command(context, name)
        assert command is not None
        assert all(option.help for option in command.params if isinstance(option, click.Option))
