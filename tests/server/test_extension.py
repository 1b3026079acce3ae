"""The extension in a real Jupyter Server: it loads, protects first, and fails closed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

import jupyter_qsec
from jupyter_qsec.kernels.factory import QsecProvisionerFactory
from jupyter_qsec.server import extension as extension_module
from jupyter_qsec.server.extension import QsecExtension
from jupyter_qsec.server.notices import SCHEMAS
from tests.server.saves import KEY, a_notebook, put, refused

SERVER = """
import ctypes, sys
from jupyter_server.serverapp import ServerApp
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
before = dumpable()
ServerApp().initialize([
    f"--ServerApp.jpserver_extensions=jupyter_qsec={sys.argv[1]}",
    "--ServerApp.allow_root=True",
    "--ServerApp.open_browser=False",
    "--ServerApp.port=0",
    "--QsecExtension.gateway=False",
])
print(before, dumpable())
"""


@pytest.fixture
def settings() -> dict[str, Any]:
    """Traits of the extension that a test sets."""
    return {}


@pytest.fixture
def jp_server_config(qsec_config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    qsec_config["QsecExtension"] |= {"gateway": False, **settings}
    return qsec_config


def test_it_is_a_server_extension_of_the_package() -> None:
    assert jupyter_qsec._jupyter_server_extension_points() == [
        {"module": "jupyter_qsec.server.extension", "app": QsecExtension}
    ]


def test_the_shipped_configuration_switches_it_on() -> None:
    root = Path(__file__).parents[2]
    shipped = json.loads((root / "jupyter-config/jupyter_server_config.d/jupyter_qsec.json").read_text())
    assert shipped == {"ServerApp": {"jpserver_extensions": {"jupyter_qsec": True}}}
    assert '"jupyter-config" = "etc/jupyter"' in (root / "pyproject.toml").read_text()


def test_every_trait_explains_itself() -> None:
    own = {name for name in vars(QsecExtension) if name in QsecExtension.class_traits(config=True)}
    assert own >= {"tenant", "project", "idle_minutes", "absolute_hours", "warn_minutes", "on_save", "keystore", "home"}
    assert not {name for name in own if len(QsecExtension.class_traits()[name].help) < 30}


async def test_the_qsec_provisioner_is_the_default_for_every_kernelspec(jp_serverapp: Any) -> None:
    factory = KernelProvisionerFactory.instance(parent=jp_serverapp)
    assert type(factory) is QsecProvisionerFactory
    assert factory.default_provisioner_name == "qsec-provisioner"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_the_server_process_is_not_dumpable(tmp_path: Path) -> None:
    """A process of its own, with the extension and without: in that of the tests others may have switched it off."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JUPYTER_QSEC_HOME": str(tmp_path / "qsec")}
    told = [
        subprocess.run(
            [sys.executable, "-c", SERVER, str(protected)],
            env=environment | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout.split()
        for protected in (True, False)
    ]
    assert told == [["1", "0"], ["1", "1"]]


async def test_event_schemas_are_registered_and_emitted(jp_serverapp: Any, jp_fetch: Any) -> None:
    seen: list[dict[str, Any]] = []
    events = jp_serverapp.event_logger
    names = ("session", "finding", "lease", "kernel", "gateway")

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append({"schema": schema_id, **data})

    for name in names:
        events.add_listener(schema_id=f"https://schema.jupyter-qsec.org/{name}/v1", listener=listen)
    assert len(SCHEMAS) == len(names)
    await jp_fetch("jupyter-qsec", "findings")  # the loop has turned: the extension has begun
    parts = jp_serverapp.extension_manager.extension_points["jupyter_qsec"].app._parts
    parts.notices.session("warned", "k", "a.ipynb", "idle", "2026-03-01T12:00:00Z")
    parts.notices.finding("k", "a.ipynb", "jwt", "output", "redacted")
    parts.notices.lease("k", "l", "revoked")
    parts.notices.relay_ended("k", "a.ipynb")
    parts.notices.gateway("failed", "why")
    await jp_fetch("jupyter-qsec", "findings")
    assert [event["schema"].split("/")[-2] for event in seen] == list(names)


async def test_an_event_that_cannot_be_emitted_stops_nothing(
    jp_serverapp: Any, jp_fetch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        """Somebody must listen: events that nobody wants are not even checked."""

    logging.getLogger("QsecExtension").addHandler(caplog.handler)
    jp_serverapp.event_logger.add_listener(schema_id="https://schema.jupyter-qsec.org/session/v1", listener=listen)
    await jp_fetch("jupyter-qsec", "findings")
    parts = jp_serverapp.extension_manager.extension_points["jupyter_qsec"].app._parts
    parts.notices.session("no such kind", "k", "a.ipynb", "idle", "")
    assert (await jp_fetch("jupyter-qsec", "findings")).code == 200
    logging.getLogger("QsecExtension").removeHandler(caplog.handler)
    assert "the event session could not be emitted" in caplog.text


async def test_configuration_reaches_the_parts(
    qsec_config: dict[str, Any], jp_configurable_serverapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qsec_config["QsecExtension"] |= {
        "gateway": False,
        "home": str(tmp_path / "elsewhere"),
        "tenant": "research",
        "idle_minutes": 7.5,
        "absolute_hours": 2.0,
        "on_save": "refuse",
        "confinement": "required",
    }
    app = jp_configurable_serverapp(config=qsec_config)
    state = app.web_app.settings["jupyter_qsec_state"]
    assert os.environ["JUPYTER_QSEC_HOME"] == str(tmp_path / "elsewhere")
    assert state.gateway.home.path == tmp_path / "elsewhere"
    assert state.sessions.limits.common.idle.total_seconds() == 450
    assert state.on_save == "refuse"
    assert app.config["QsecProvisioner"]["confinement"] == "required"
    await app._cleanup()


@pytest.mark.parametrize("settings", [{"on_save": "refuse"}], ids=["refuse"])
async def test_where_the_trait_says_so_a_save_with_a_secret_is_refused_and_the_file_stays(
    jp_fetch: Any, jp_root_dir: Path
) -> None:
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook("1"))
    before = (jp_root_dir / "a.ipynb").read_bytes()
    message = await refused(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert "cell 1, source, line 1: aws-access-key" in message and KEY not in message
    assert (jp_root_dir / "a.ipynb").read_bytes() == before


async def test_where_it_says_nothing_the_same_save_is_redacted(jp_fetch: Any, jp_root_dir: Path) -> None:
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    saved = (jp_root_dir / "a.ipynb").read_text("utf-8")
    assert "[REDACTED:aws-access-key]" in saved and KEY not in saved


def test_when_the_extension_cannot_be_imported_kernels_do_not_run_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter Server logs a failed extension and goes on: its kernels must then be ours or none."""
    # Set before it is deleted, so that what the code sets is taken back: the deletion of nothing is not remembered.
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "none yet")
    monkeypatch.delenv("JUPYTER_DEFAULT_PROVISIONER_NAME")
    monkeypatch.setitem(sys.modules, "jupyter_qsec.server.extension", None)
    with pytest.raises(ImportError):
        jupyter_qsec._jupyter_server_extension_points()
    KernelProvisionerFactory.clear_instance()
    try:
        assert KernelProvisionerFactory.instance().default_provisioner_name == "qsec-provisioner"
    finally:
        KernelProvisionerFactory.clear_instance()


@pytest.mark.parametrize("broken", ["assemble", "guard_saves", "forbid_dumps"])
async def test_whatever_fails_while_loading_is_loud_and_leaves_kernels_protected(
    jp_configurable_serverapp: Any,
    jp_server_config: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("planted failure")

    monkeypatch.setattr(extension_module, broken, fail)
    app = jp_configurable_serverapp(config=jp_server_config)
    said = capfd.readouterr().err
    assert "jupyter_qsec could not be set up: kernels run without leases, or do not start" in said
    assert "planted failure" in said
    assert "jupyter_qsec_state" not in app.web_app.settings
    assert type(KernelProvisionerFactory.instance(parent=app)) is QsecProvisionerFactory
    await app._cleanup()
