"""`audit verify` catches each way of tampering and names the right record."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.notes import checkpoint_text, format_note, split_notes
from tests.contract.auditing import SIGNER, cut, export_of, root_of, run, verify
from tests.contract.sqlitefiles import rewrite, sql


class TestVerify:
    def test_an_untouched_log_is_ok(self, audit_home: Path) -> None:
        result = run("verify", "--home", audit_home)
        assert result.exit_code == 0
        assert result.stdout.startswith("OK: 20 records, 2 checkpoints, root ")
        assert "the newest 8 records" in result.stdout

    def test_the_json_form_says_what_the_text_says(self, audit_home: Path) -> None:
        code, report = verify(audit_home)
        assert code == 0
        assert report["ok"] is True
        assert (report["size"], report["checkpoints"], report["signed_size"]) == (20, 2, 12)
        assert (report["first_bad"], report["problems"]) == (None, [])
        assert len(bytes.fromhex(report["root"])) == 32

    @pytest.mark.parametrize("index", [0, 7, 19])
    @pytest.mark.parametrize("column", ["leaf", "leaf_hash", "chain"])
    def test_a_flipped_byte(self, audit_home: Path, index: int, column: str) -> None:
        with sql(audit_home) as database:
            select = f"SELECT {column} FROM audit_records WHERE idx = ?"  # a column of this test
            (value,) = database.execute(select, (index,)).fetchone()
            flipped = bytes([value[0], value[1] ^ 1, *value[2:]])
            update = f"UPDATE audit_records SET {column} = ? WHERE idx = ?"  # a column of this test
            database.execute(update, (flipped, index))
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, index)
        assert f"Record {index} " in report["problems"][0]["message"]

    def test_a_byte_flipped_in_the_file_itself(self, audit_home: Path) -> None:
        data = (audit_home / "state.db").read_bytes()
        place = data.index(b"thing-9")
        (audit_home / "state.db").write_bytes(data[:place] + b"t" + bytes([data[place + 1] ^ 4]) + data[place + 2 :])
        result = run("verify", "--home", audit_home)
        assert result.exit_code == 1
        assert "BAD: Record 9 was changed" in result.stdout

    @pytest.mark.parametrize("index", [0, 8, 18])
    def test_a_deleted_row(self, audit_home: Path, index: int) -> None:
        with sql(audit_home) as database:
            database.execute("DELETE FROM audit_records WHERE idx = ?", (index,))
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, index)
        assert f"Record {index} is missing" in report["problems"][0]["message"]

    def test_a_deleted_row_with_the_later_ones_moved_up(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("DELETE FROM audit_records WHERE idx = 8")
            database.execute("UPDATE audit_records SET idx = -idx WHERE idx > 8")
            database.execute("UPDATE audit_records SET idx = -idx - 1 WHERE idx < 0")
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 8)

    def test_two_rows_that_changed_places(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("UPDATE audit_records SET idx = -1 WHERE idx = 6")
            database.execute("UPDATE audit_records SET idx = 6 WHERE idx = 14")
            database.execute("UPDATE audit_records SET idx = 14 WHERE idx = -1")
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 6)

    def test_a_cut_tail_with_the_old_head(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("DELETE FROM audit_records WHERE idx >= 15")
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 15)

    def test_a_tail_cut_below_a_checkpoint_with_everything_recomputed(self, audit_home: Path) -> None:
        cut(audit_home, 10)
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 10)
        assert "checkpoint 2 in checkpoints/log signed 12 records" in report["problems"][0]["message"]

    def test_a_rewritten_log_is_placed_between_two_checkpoints(self, audit_home: Path) -> None:
        rewrite(audit_home, 7, b'{"at":"2024-03-01T12:07:00Z","kind":"forged","v":1}')
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 5)
        assert report["problems"][0]["last_bad"] == 11
        assert "between 5 and 11" in report["problems"][0]["message"]

    def test_a_row_added_behind_the_head(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("UPDATE audit_head SET size = 19")
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 19)

    @pytest.mark.parametrize("column", ["root", "chain"])
    def test_a_changed_head(self, audit_home: Path, column: str) -> None:
        with sql(audit_home) as database:
            database.execute(f"UPDATE audit_head SET {column} = zeroblob(32)")  # a column of this test
        code, report = verify(audit_home)
        assert code == 1
        assert "head" in report["problems"][0]["message"]

    def test_a_lost_head(self, audit_home: Path) -> None:
        with sql(audit_home) as database:
            database.execute("DELETE FROM audit_head")
        assert verify(audit_home)[0] == 1

    def test_a_deleted_database_is_no_empty_log(self, audit_home: Path) -> None:
        (audit_home / "state.db").unlink()
        code, report = verify(audit_home)
        assert (code, report["first_bad"]) == (1, 0)

    def test_a_database_that_breaks_off(self, audit_home: Path) -> None:
        data = (audit_home / "state.db").read_bytes()
        (audit_home / "state.db").write_bytes(data[: len(data) // 2])
        code, report = verify(audit_home)
        assert code == 1
        assert report["first_bad"] is not None

    def test_a_forged_checkpoint(self, audit_home: Path) -> None:
        log = audit_home / "checkpoints" / "log"
        cut(audit_home, 10)
        text = checkpoint_text(SIGNER.origin, 10, root_of(audit_home))
        log.write_text(format_note(text, NoteSigner(b"forger" + bytes(26), instance="cli").sign(text)) + "\n")
        code, report = verify(audit_home)
        assert code == 1
        assert "not signed by the key" in report["problems"][0]["message"]

    def test_checkpoints_of_a_shrinking_log(self, audit_home: Path) -> None:
        log = audit_home / "checkpoints" / "log"
        first, second = split_notes(log.read_text())[0]
        log.write_text(f"{second}\n{first}\n")
        code, report = verify(audit_home)
        assert code == 1
        assert "smaller log than the one before" in report["problems"][0]["message"]

    def test_two_signed_heads_of_the_same_size_are_a_fork(self, audit_home: Path) -> None:
        text = checkpoint_text(SIGNER.origin, 12, merkle.leaf_hash(b"another history"))
        with (audit_home / "checkpoints" / "log").open("a") as log:
            log.write(format_note(text, SIGNER.sign(text)) + "\n")
        code, report = verify(audit_home)
        assert code == 1
        assert "contradicts" in report["problems"][0]["message"]

    def test_a_garbled_checkpoint_or_key(self, audit_home: Path) -> None:
        log = audit_home / "checkpoints" / "log"
        whole = log.read_text()
        log.write_text(whole.replace("\n5\n", "\nfive\n"))
        assert verify(audit_home)[0] == 1
        log.write_text(whole)
        (audit_home / "checkpoints" / "log.pub").write_text("garbage")
        code, report = verify(audit_home)
        assert code == 1
        assert "key cannot be read" in report["problems"][0]["message"]

    def test_a_checkpoint_whose_writing_was_interrupted_is_a_notice(self, audit_home: Path) -> None:
        log = audit_home / "checkpoints" / "log"
        whole = log.read_text()
        log.write_text(whole + whole[: len(whole) // 3])
        code, report = verify(audit_home)
        assert code == 0
        assert "incomplete checkpoint" in report["notices"][0]

    def test_a_checkpoint_kept_elsewhere_shows_a_rollback_of_everything(self, audit_home: Path, tmp_path: Path) -> None:
        log = audit_home / "checkpoints" / "log"
        witness = tmp_path / "mailbox.txt"
        witness.write_text(split_notes(log.read_text())[0][-1])
        assert verify(audit_home, "--checkpoint", witness)[0] == 0
        cut(audit_home, 10)
        log.unlink()
        assert verify(audit_home)[0] == 0  # the state directory alone cannot tell
        code, report = verify(audit_home, "--checkpoint", witness)
        assert (code, report["first_bad"]) == (1, 10)

    def test_a_key_kept_elsewhere_shows_a_log_that_was_made_anew(self, audit_home: Path, tmp_path: Path) -> None:
        key = tmp_path / "log.pub"
        shutil.copy(audit_home / "checkpoints" / "log.pub", key)
        forger = NoteSigner(b"forger" + bytes(26), instance="cli")
        text = checkpoint_text(forger.origin, 20, root_of(audit_home))
        (audit_home / "checkpoints" / "log").write_text(format_note(text, forger.sign(text)) + "\n")
        (audit_home / "checkpoints" / "log.pub").write_text(f"{forger.verifier_key}\n")
        assert verify(audit_home)[0] == 0  # the state directory alone cannot tell
        assert verify(audit_home, "--key", key)[0] == 1
        assert verify(audit_home, "--key", SIGNER.verifier_key)[0] == 1

    def test_a_log_without_checkpoints_is_ok_and_says_that_nobody_vouches(self, audit_home: Path) -> None:
        shutil.rmtree(audit_home / "checkpoints")
        code, report = verify(audit_home)
        assert (code, report["checkpoints"]) == (0, 0)
        assert "the newest 20 records" in report["notices"][0]

    def test_an_export_is_verified_without_the_state_directory(self, audit_home: Path, tmp_path: Path) -> None:
        export = export_of(audit_home, tmp_path)
        witness = Path(shutil.copy(audit_home / "checkpoints" / "log", tmp_path / "witness"))
        shutil.rmtree(audit_home)
        result = run("verify", "--file", export, "--checkpoint", witness)
        assert result.exit_code == 0
        assert "came with the export" in result.stdout
        export.write_text("".join(export.read_text().splitlines(keepends=True)[:-4]))
        result = run("verify", "--file", export, "--checkpoint", witness)
        assert result.exit_code == 1
        assert "cannot be read from record 17 on" in result.stdout

    def test_an_export_with_a_line_that_is_none(self, audit_home: Path, tmp_path: Path) -> None:
        export = export_of(audit_home, tmp_path)
        lines = export.read_text().splitlines()
        lines[4] = '{"index":3,"leaf":5}'
        export.write_text("\n".join(lines))
        result = run("verify", "--file", export)
        assert result.exit_code == 1
        assert "from record 3 on" in result.stdout

    def test_without_the_signature_library_it_says_what_to_install(
        self, audit_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
        result = run("verify", "--home", audit_home)
        assert result.exit_code == 2
        assert "pip install 'jupyter_qsec[gateway]'" in result.stderr

    def test_wrong_use(self, tmp_path: Path, audit_home: Path) -> None:
        (tmp_path / "other").write_text("{}")
        assert run("verify", "--home", tmp_path / "nothing").exit_code == 2
        assert run("verify", "--file", tmp_path / "nothing").exit_code == 2
        assert run("verify", "--file", tmp_path / "other").exit_code == 2
        assert run("verify", "--home", audit_home, "--checkpoint", tmp_path / "other").exit_code == 2
        assert run("verify", "--home", audit_home, "--key", tmp_path / "nothing").exit_code == 2

    def test_as_a_process_while_the_database_is_in_use(self, audit_home: Path) -> None:
        environment = {**os.environ, "JUPYTER_QSEC_HOME": str(audit_home)}
        command = [sys.executable, "-c", "from jupyter_qsec.cli.main import main; main()", "audit", "verify"]
        with closing(sqlite3.connect(audit_home / "state.db", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM audit_records")  # not committed, so nobody sees it
            good = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
            writer.execute("ROLLBACK")
            writer.execute("DELETE FROM audit_records WHERE idx = 3")
            bad = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (good.returncode, good.stdout[:15]) == (0, "OK: 20 records,")
        assert (bad.returncode, bad.stdout[:27]) == (1, "BAD: Record 3 is missing: t")
