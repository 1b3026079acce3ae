"""`doctor`: each planted fault is found, named, and comes with what mends it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli import checks_audit, checks_jupyter, checks_machine
from jupyter_qsec.cli.checks_machine import Check
from jupyter_qsec.cli.main import run
from jupyter_qsec.client.home import QsecHome, free_port
from jupyter_qsec.client.responder import Responder
from jupyter_qsec.client.supervision import listen
from tests.contract.sqlitefiles import sql
from tests.fakes.control_server import ControlServer

SECRET = "pLaNtEdSeCrEt/K7MDENG/bPxRfiCYqsecPLANT0"


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "qsec")


@pytest.fixture
def server(home: QsecHome) -> Iterator[ControlServer]:
    server = ControlServer(home)
    yield server
    server.close()


def one(checks: Iterator[Check]) -> Check:
    (found,) = checks
    return found


def test_no_directory_yet_is_fine(home: QsecHome) -> None:
    assert one(checks_machine.state_directory(home)).status == "ok"


def test_a_healthy_directory_is_fine(home: QsecHome) -> None:
    home.choose_port(), home.control_token()
    assert one(checks_machine.state_directory(home)).status == "ok"


@pytest.mark.parametrize("name", ["control.token", "state.db", "keys/gateway", "."])
def test_anything_open_to_others_is_wrong_and_the_remedy_mends_it(home: QsecHome, name: str) -> None:
    home.ensure()
    home.keys.mkdir(mode=0o700)
    for file in ("state.db", "keys/gateway"):
        (home.path / file).touch(0o600)
    home.control_token()
    planted = home.path / name
    planted.chmod(planted.stat().st_mode | 0o044)
    found = one(checks_machine.state_directory(home))
    assert found.status == "wrong"
    command = found.remedy.removeprefix("Run: ")
    assert os.system(command) == 0  # exactly what the person is told to type
    assert one(checks_machine.state_directory(home)).status == "ok"


@pytest.mark.parametrize("name", ["port", "control.token"])
def test_a_damaged_file_is_wrong(home: QsecHome, name: str) -> None:
    home.ensure()
    (home.path / name).touch(0o600)
    found = one(checks_machine.state_directory(home))
    assert found.status == "wrong" and name in found.text and "Delete" in found.remedy


def test_a_full_disk_is_wrong(home: QsecHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.ensure()
    real = os.statvfs(home.path)

    class Full:
        f_bavail, f_frsize = 10, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    assert "MB are free" in one(checks_machine.state_directory(home)).text


def test_everything_that_is_wrong_is_told_a_full_disk_first(home: QsecHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.ensure()
    home.port_file.touch(0o600)
    home.control_token()
    home.control_token_file.chmod(0o644)
    home.path.chmod(0o755)
    monkeypatch.setattr(os, "statvfs", lambda path: type("Full", (), {"f_bavail": 1, "f_frsize": 4096}))
    full, opened, inside, damaged = checks_machine.state_directory(home)
    assert "MB are free" in full.text and "mode 0755" in opened.text
    assert inside.text.endswith(": control.token") and "holds no port" in damaged.text


def test_without_a_log_nothing_is_verified(home: QsecHome) -> None:
    assert list(checks_audit.audit_log(home)) == []
    home.ensure()
    assert list(checks_audit.audit_log(home)) == []


def test_the_audit_log_is_verified(audit_home: Path) -> None:
    found = one(checks_audit.audit_log(QsecHome(audit_home)))
    assert (found.status, found.text) == ("ok", "every record is as it was written (20 records, 2 checkpoints)")


def test_the_first_bad_record_of_the_audit_log_is_named(
    audit_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sql(audit_home) as database:
        database.execute("UPDATE audit_records SET leaf = x'fffe' WHERE idx = 4")
    found = one(checks_audit.audit_log(QsecHome(audit_home)))
    assert found.status == "wrong" and found.text.startswith("Record 4 was changed") and "verify" in found.remedy
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(audit_home))
    monkeypatch.setattr(checks_jupyter, "check", lambda *, probe: iter(()))
    assert run(["doctor"]) == 1
    assert "WRONG    audit log: Record 4 was changed" in capsys.readouterr().out
    run(["doctor", "--quick"])
    assert "audit log" not in capsys.readouterr().out


@pytest.mark.parametrize(("removed", "said"), [("state.db", "The log is gone"), ("", "cannot be read")])
def test_an_audit_log_that_is_gone_or_none_is_wrong(audit_home: Path, removed: str, said: str) -> None:
    if removed:
        (audit_home / removed).unlink()
    else:
        (audit_home / "state.db").write_bytes(b"no database")
    found = one(checks_audit.audit_log(QsecHome(audit_home)))
    assert found.status == "wrong" and said in found.text


def test_no_gateway_is_fine_and_tells_where_keys_would_lie(home: QsecHome) -> None:
    home.ensure()
    gateway, keys = checks_machine.gateway(home)
    assert (gateway.status, keys.name) == ("ok", "key store")


def test_a_gateway_that_cannot_start_is_wrong_with_its_reason(home: QsecHome) -> None:
    port = home.choose_port()
    with listen(port) as listener:
        responder = Responder(listener, "its key store cannot be used")
        try:
            found = next(checks_machine.gateway(home))
        finally:
            responder.close()
    assert found.status == "wrong" and "key store cannot be used" in found.text


def test_a_gateway_that_runs_tells_its_key_store(home: QsecHome, server: ControlServer) -> None:
    server.routes["GET /api/v1/status"] = (200, {"version": "0.0.0", "keystore": "key files below keys"})
    server.routes["GET /api/v1/root-secrets"] = (200, {"place": "", "secrets": []})
    gateway, keys, root_keys = checks_machine.gateway(home)
    assert root_keys.status == "ok"
    assert gateway.status == "warning" and "0.0.0 runs" in gateway.text and "Restart" in gateway.remedy
    assert keys.text == "key files below keys"


def test_a_gateway_that_cannot_record_is_wrong(home: QsecHome, server: ControlServer) -> None:
    server.routes["GET /health"] = (503, {"code": "unavailable", "detail": "disk full"})
    assert next(checks_machine.gateway(home)).status == "wrong"


def test_static_keys_are_found_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIAX\naws_secret_access_key = {SECRET}\n"
        f"[sso]\naws_secret_access_key = {SECRET}\naws_session_token = t\n"
    )
    (tmp_path / ".aws" / "config").write_text(
        f"[profile old]\naws_secret_access_key = {SECRET}\n[profile new]\nregion=x\n"
    )
    (tmp_path / ".boto").write_text(SECRET)
    found = one(checks_machine.static_keys(tmp_path, {"DWAVE_API_TOKEN": SECRET}))
    assert found.status == "warning"
    assert "(profiles default)" in found.text and "(profiles old)" in found.text
    assert ".boto" in found.text and "DWAVE_API_TOKEN" in found.text
    assert SECRET not in found.text + found.remedy and "sso" not in found.text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no section", b"[a]\n[a]\n" * 10, b"x" * 2_000_000])
def test_odd_credential_files_do_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_bytes(content)
    assert one(checks_machine.static_keys(tmp_path, {})).status == "ok"


def config(folder: Path, value: Any, name: str = "jupyter_server_config.d/jupyter_qsec.json") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"jupyter_qsec": value}}}))


def test_an_extension_nobody_enabled_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "jupyter_server_config.json").write_text("{")
    found = checks_jupyter.extension_enabled([tmp_path])
    assert found.status == "wrong" and "jupyter server extension enable jupyter_qsec" in found.remedy


def test_the_first_folder_decides_whether_the_extension_is_on(tmp_path: Path) -> None:
    config(tmp_path / "system", True)
    assert checks_jupyter.extension_enabled([tmp_path / "user", tmp_path / "system"]).status == "ok"
    config(tmp_path / "user", False, "jupyter_server_config.json")
    found = checks_jupyter.extension_enabled([tmp_path / "user", tmp_path / "system"])
    assert found.status == "wrong" and "switched off" in found.text


def test_the_provisioner_is_found_and_loaded() -> None:
    assert checks_jupyter.provisioner().status == "ok"


def test_a_provisioner_that_cannot_be_imported_is_named_with_jupyters_words(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = metadata.EntryPoint(
        "qsec-provisioner", "jupyter_qsec.no_such_module:X", "jupyter_client.kernel_provisioners"
    )
    monkeypatch.setattr(metadata, "entry_points", lambda group: [broken])
    found = checks_jupyter.provisioner()
    assert found.status == "wrong" and "No such kernel" in found.text and "no_such_module" in found.text
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    assert "not installed" in checks_jupyter.provisioner().text


def test_kernelspecs_that_cannot_start_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec: dict[str, Any] = {"argv": ["/no/such/program", "{connection_file}"], "display_name": "Gone", "language": "x"}
    spec["metadata"] = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}
    folder = tmp_path / "kernels" / "gone"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    first, second = checks_jupyter.kernelspecs()
    assert first.status == "warning" and "gone" in first.text
    assert "a provisioner of their own: gone" in second.text


def test_a_kernel_that_names_python_alone_starts_without_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kernels" / "plain"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        json.dumps({"argv": ["python3"], "display_name": "Plain", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    [found] = checks_jupyter.kernelspecs()
    assert found.status == "ok", found


def test_confinement_is_probed_for_real() -> None:
    found = checks_jupyter.confinement()
    assert found.name == "confinement"
    assert found.status == "ok" or found.text.startswith("kernels run unconfined: "), found


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Check]:
    """What the check of confinement says with these lines in the configuration of Jupyter Server."""

    def check(lines: str) -> Check:
        (tmp_path / "jupyter_server_config.py").write_text(lines)
        monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
        return checks_jupyter.confinement()

    return check


@pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")
def test_confinement_is_probed_as_the_server_is_configured(configured: Callable[[str], Check], tmp_path: Path) -> None:
    plain = configured("")
    listed = configured("c.QsecProvisioner.file_access = 'listed'")
    if plain.status == listed.status == "ok":
        assert "no file but those listed" in listed.text
        assert "no file but those listed" not in plain.text
    else:
        assert listed.text.startswith("kernels run unconfined: ")
    off = configured("c.QsecProvisioner.confinement = 'off'")
    assert (off.status, "'off'" in off.text) == ("warning", True)
    home = configured(f"c.QsecProvisioner.hidden_paths = [{str(Path.home())!r}]")
    assert (home.status, "cannot be hidden" in home.text) == ("warning", True)
    home = configured(
        f"c.QsecProvisioner.hidden_paths = [{str(Path.home())!r}]\nc.QsecProvisioner.confinement = 'required'"
    )
    assert (home.status, "do not start" in home.text) == ("wrong", True)


@pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")
@pytest.mark.parametrize("lines", ["c.QsecProvisioner.confinement = 'strict'", "this is no Python"])
def test_a_configuration_that_nobody_understands_is_wrong(configured: Callable[[str], Check], lines: str) -> None:
    found = configured(lines)
    assert (found.status, "cannot be read" in found.text) == ("wrong", True)


def test_the_command_exits_1_when_something_is_wrong_and_prints_what_mends_it(
    home: QsecHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(home.path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(checks_jupyter, "jupyter_config_path", lambda: [str(tmp_path / "etc")])
    config(tmp_path / "etc", True)
    assert run(["doctor", "--quick"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" 0 wrong.")
    home.path.mkdir(mode=0o755)
    home.path.chmod(0o755)
    assert run(["doctor", "--quick"]) == 1
    printed = capsys.readouterr().out
    assert f"-> Run: chmod 700 {home.path}" in printed
    assert run(["doctor", "--quick", "--format", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"name", "status", "text", "remedy"} == set(findings[0])
    assert [finding["name"] for finding in findings if finding["status"] == "wrong"] == ["state directory"]


def test_a_foreign_port_gives_no_reason(home: QsecHome) -> None:
    home.ensure()
    home.port_file.touch(0o600)
    home.port_file.write_text(str(free_port()))
    assert next(checks_machine.gateway(home)).status == "ok"
