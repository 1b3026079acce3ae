"""Kernels as a protected server starts them, with one planted home directory for a module; guarded saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.kernels import confinement, observer
from jupyter_qsec.kernels.leases import use_keeper
from jupyter_qsec.kernels.provisioner import install_default_provisioner
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.contents import SaveGuard
from tests.fakes.clock import FakeClock
from tests.fakes.kernel_driver import Kernel, RecordingObserver
from tests.fakes.kernel_home import KernelHome
from tests.fakes.lease_api import FakeLeaseApi
from tests.server.saves import Reports, ThreadNoting


@dataclass
class KernelWorld:
    """What the kernels of a module share."""

    home: KernelHome
    api: FakeLeaseApi
    keeper: LeaseKeeper
    seen: RecordingObserver
    started: list[Kernel]

    def start(self, name: str = "python3", **options: Any) -> Kernel:
        kernel = Kernel(name, **options)
        self.started.append(kernel)
        return kernel


@pytest.fixture(scope="module")
def kernel_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelWorld]:
    """The planted home in this process's environment, qsec as every kernel's provisioner, leases from memory."""
    home = KernelHome(tmp_path_factory.mktemp("kernels"))
    api = FakeLeaseApi(FakeClock())
    keeper = LeaseKeeper(api)
    world = KernelWorld(home, api, keeper, RecordingObserver(), [])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment.items():
            patch.setenv(name, value)
        patch.setattr(confinement, "_hidden_before", set())
        KernelProvisionerFactory.clear_instance()
        install_default_provisioner()
        use_keeper(keeper)
        observer.register(world.seen)
        try:
            yield world
        finally:
            for kernel in world.started:
                kernel.close()
            keeper.close("the tests ended")
            use_keeper(None)
            observer.register(None)
            KernelProvisionerFactory.clear_instance()
            home.close()


@pytest.fixture(scope="module")
def kernel(kernel_world: KernelWorld) -> Kernel:
    """One confined, leased kernel for the tests of a module that leave it usable."""
    return kernel_world.start()


@pytest.fixture
def qsec_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the extension of this test keeps its state."""
    home = tmp_path / "qsec"
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(home))
    return home


@pytest.fixture
def qsec_config(qsec_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Configuration of a server with the extension, for a module's `jp_server_config`; tests may add to it."""
    monkeypatch.delenv("JUPYTER_DEFAULT_PROVISIONER_NAME", raising=False)
    KernelProvisionerFactory.clear_instance()
    yield {"ServerApp": {"jpserver_extensions": {"jupyter_qsec": True}}, "QsecExtension": {"keystore": "file"}}
    use_keeper(None)
    observer.register(None)
    KernelProvisionerFactory.clear_instance()


Guard = Callable[..., None]


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def guarded(jp_serverapp: Any, reports: Reports) -> Guard:
    """Guards the contents manager of the running server."""

    def guard(mode: str = "redact", engine: Engine | None = None, report: Any = reports) -> None:
        save_guard = SaveGuard(Scanner(engine=engine), mode, report)
        save_guard.attach(jp_serverapp.contents_manager)

    return guard


@pytest.fixture
def noting() -> ThreadNoting:
    engine: ThreadNoting = object.__new__(ThreadNoting)
    engine.__dict__.update(Engine.default().__dict__, threads=set())
    return engine
