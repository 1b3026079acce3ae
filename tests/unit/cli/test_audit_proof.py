"""`audit proof` proves the truth and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.adapters.keys import NoteSigner
from tests.contract.auditing import SIGNER, run
from tests.contract.sqlitefiles import rewrite


class TestProof:
    def test_a_record_is_proved_to_somebody_who_has_the_key_alone(self, audit_home: Path, tmp_path: Path) -> None:
        for output in ("text", "json"):
            made = run("proof", 7, "--home", audit_home, "--format", output)
            assert made.exit_code == 0
            proof = tmp_path / f"7.{output}"
            proof.write_text(made.stdout)
            checked = run("proof", "--check", proof, "--home", tmp_path / "nothing", "--key", SIGNER.verifier_key)
            assert checked.exit_code == 0
            assert checked.stdout.startswith("OK: record 7 is in the log of 12 records signed by jupyter-qsec/cli+")
            assert "thing-7" in checked.stdout

    def test_the_text_form_is_the_published_one(self, audit_home: Path) -> None:
        lines = run("proof", 0, "--home", audit_home).stdout.split("\n")
        assert lines[0] == "c2sp.org/tlog-proof@v1"
        assert lines[1].startswith("extra ")
        assert lines[2] == "index 0"
        blank = lines.index("")
        assert lines[blank + 1 : blank + 3] == ["jupyter-qsec/cli", "12"]

    @pytest.mark.parametrize("place", range(0, 900, 41))
    def test_a_changed_proof_does_not_hold(self, audit_home: Path, tmp_path: Path, place: int) -> None:
        text = run("proof", 7, "--home", audit_home).stdout
        place %= len(text) - 1
        other = "B" if text[place] == "A" else "A"
        (tmp_path / "forged").write_text(text[:place] + other + text[place + 1 :])
        assert run("proof", "--check", tmp_path / "forged", "--key", SIGNER.verifier_key).exit_code in (1, 2)

    def test_a_proof_of_another_record_does_not_hold(self, audit_home: Path, tmp_path: Path) -> None:
        made = json.loads(run("proof", 7, "--home", audit_home, "--format", "json").stdout)
        changes: list[dict[str, Any]] = [{"index": 6}, {"leaf_base64": "Zm9yZ2Vk"}, {"path": []}]
        for change in [*changes, {"path": made["path"][::-1]}]:
            (tmp_path / "forged").write_text(json.dumps(made | change))
            result = run("proof", "--check", tmp_path / "forged", "--key", SIGNER.verifier_key, "--format", "json")
            assert result.exit_code == 1
            assert json.loads(result.stdout)["ok"] is False

    def test_a_proof_by_another_key_does_not_hold(self, audit_home: Path, tmp_path: Path) -> None:
        (tmp_path / "proof").write_text(run("proof", 7, "--home", audit_home).stdout)
        other = NoteSigner(b"other" + bytes(27), instance="cli").verifier_key
        assert run("proof", "--check", tmp_path / "proof", "--key", other).exit_code == 1

    def test_the_key_in_a_proof_is_named_as_such(self, audit_home: Path, tmp_path: Path) -> None:
        nowhere = tmp_path / "nothing"
        (tmp_path / "json").write_text(run("proof", 7, "--home", audit_home, "--format", "json").stdout)
        (tmp_path / "text").write_text(run("proof", 7, "--home", audit_home).stdout)
        checked = run("proof", "--check", tmp_path / "json", "--home", nowhere)
        assert (checked.exit_code, "came with the proof" in checked.stderr) == (0, True)
        assert run("proof", "--check", tmp_path / "text", "--home", nowhere).exit_code == 2

    def test_a_record_that_no_checkpoint_covers_needs_the_gateway(self, audit_home: Path) -> None:
        result = run("proof", 19, "--home", audit_home)
        assert result.exit_code == 2
        assert "No checkpoint vouches for record 19 yet" in result.stderr

    def test_a_tampered_log_gives_no_proof(self, audit_home: Path) -> None:
        rewrite(audit_home, 7, b'{"kind":"forged","v":1}')
        result = run("proof", 7, "--home", audit_home)
        assert result.exit_code == 1
        assert "audit verify" in result.stderr

    def test_wrong_use(self, audit_home: Path, tmp_path: Path) -> None:
        (tmp_path / "junk").write_text("junk")
        (tmp_path / "huge").write_bytes(b" " * (2 << 20))
        assert run("proof").exit_code == 2
        assert run("proof", 1, "--check", tmp_path / "junk").exit_code == 2
        assert run("proof", "--check", tmp_path / "junk").exit_code == 2
        assert run("proof", "--check", tmp_path / "huge").exit_code == 2
        assert run("proof", "--check", tmp_path / "nothing").exit_code == 2
        assert run("proof", 20, "--home", audit_home).exit_code == 1
