"""A confined kernel tries to get out; an unconfined one shows that each attempt would work."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.kernels.confine import syscalls
from tests.fakes import attacks
from tests.fakes.kernel_driver import Kernel
from tests.fakes.kernel_home import PLANTED_SECRET, SERVER_TOKEN
from tests.fakes.namespaces import namespaces_work
from tests.fakes.waiting import wait_for
from tests.fakes.wheels import tiny_wheel
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel


if not namespaces_work():
    pytest.skip("needs Linux with user namespaces", allow_module_level=True)

ATTACKS = sorted(name for name in vars(attacks) if name.startswith("attack_"))
ESCAPES = sorted(name for name in vars(attacks) if name.startswith("escape_"))


@pytest.fixture(scope="module")
def outside() -> Iterator[subprocess.Popen[bytes]]:
    """A program of the same user, outside of every kernel."""
    process = subprocess.Popen(
        [sys.executable, "-c",
         "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.bind(chr(0) + sys.argv[1]); s.listen()\n"
         "print(flush=True); sys.stdin.read()", "qsec-test-" + str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate()


def arm(world: KernelWorld, kernel: Kernel, outside: int) -> None:
    """Put the attacks into a kernel, with what an attacker knows: where everything is."""
    folder = kernel.provisioner._session.folder
    alone = world.home.path / "elsewhere" / "credentials"  # a single file that is hidden, in a directory that is not
    covered = {str(path.parent.resolve()) for path in world.home.secret_files if path != alone} | {str(alone)}
    known = {
        "SECRETS": [str(path) for path in world.home.secret_files],
        "COVERED": sorted(covered),
        "RUNTIME": str(world.home.runtime),
        "BUS": str(world.home.bus),
        "ABSTRACT": f"qsec-test-{os.getpid()}",
        "FOLDERS": str(folder.parent),
        "OWN": folder.path.name,
        "SERVER": os.getpid(),
        "OUTSIDE": outside,
    }
    source = inspect.getsource(attacks).replace("from __future__ import annotations\n", "")
    assert kernel.run(source + "".join(f"\n{name} = {value!r}" for name, value in known.items())).status == "ok"


@pytest.fixture(scope="module")
def confined(kernel_world: KernelWorld, outside: subprocess.Popen[bytes]) -> Kernel:
    kernel_world.start()  # another one, whose folder must not be seen
    kernel = kernel_world.start()
    arm(kernel_world, kernel, outside.pid)
    return kernel


@pytest.fixture(scope="module")
def unconfined(kernel_world: KernelWorld, outside: subprocess.Popen[bytes]) -> Kernel:
    from traitlets.config import Config

    kernel_world.start()
    kernel = kernel_world.start(config=Config(QsecProvisioner={"confinement": "off"}))
    arm(kernel_world, kernel, outside.pid)
    return kernel


def test_the_state_says_confined(confined: Kernel, kernel_world: KernelWorld) -> None:
    report = kernel_world.seen.reports[confined.id]
    assert (report.confinement_state, report.confinement_reasons) == ("confined", ())


def test_the_probe_of_an_unconfined_kernel_names_what_it_reached(unconfined: Kernel, kernel_world: KernelWorld) -> None:
    report = kernel_world.seen.reports[unconfined.id]
    assert report.confinement_state == "unconfined"
    assert report.confinement_reasons[0] == "confinement is switched off"
    assert f"{kernel_world.home.path / '.aws'} can be read" in report.confinement_reasons


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_fails_from_a_confined_kernel(confined: Kernel, attack: str) -> None:
    if attack in ("attack_signal", "attack_abstract_socket") and syscalls.landlock_abi() < 6:
        pytest.skip("this kernel's Landlock does not scope signals and abstract sockets")
    assert outcome(confined, attack) == "nothing"


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_attack_works_from_an_unconfined_kernel(unconfined: Kernel, attack: str) -> None:
    assert outcome(unconfined, attack) == "something"


@pytest.mark.parametrize("escape", ESCAPES)
def test_there_is_no_way_back_out(confined: Kernel, escape: str) -> None:
    assert outcome(confined, escape) == "nothing"
    assert outcome(confined, "attack_open") == "nothing"


def outcome(kernel: Kernel, attack: str) -> str:
    return kernel.run(f"print('something' if {attack}() else 'nothing')").text.strip()


def test_the_secrets_are_still_there_for_everybody_else(confined: Kernel, kernel_world: KernelWorld) -> None:
    assert confined.run("1").status == "ok"
    for path in kernel_world.home.secret_files:
        assert PLANTED_SECRET in path.read_text() or SERVER_TOKEN in path.read_text()


# -- ordinary work
def test_files_can_be_written_where_the_user_may_write(confined: Kernel, kernel_world: KernelWorld) -> None:
    result = confined.run(
        "import os, pathlib, tempfile\n"
        "home = pathlib.Path.home()\n"
        "(home / 'new.txt').write_text('x'); (home / 'deep' / 'er').mkdir(parents=True)\n"
        "(home / 'new.txt').rename(home / 'deep' / 'er' / 'moved.txt')\n"
        "pathlib.Path('relative.txt').write_text('y')\n"
        "(home / '.config' / 'other').mkdir(); tempfile.NamedTemporaryFile().close()\n"
        "print(sorted(p.name for p in home.iterdir() if not p.name.startswith('.')))"
    )
    assert result.status == "ok", result.messages
    assert (kernel_world.home.path / "deep" / "er" / "moved.txt").read_text() == "x"
    assert (kernel_world.home.path / "relative.txt").read_text() == "y"


def test_packages_can_be_installed(confined: Kernel, tmp_path: Path) -> None:
    wheel = tiny_wheel(tmp_path)
    target = tmp_path / "site"
    result = confined.run(f"%pip install --no-index --no-deps --quiet --target {target} {wheel}")
    assert (target / "qsec_tiny.py").exists(), result.text
    assert (
        confined.run(f"import sys; sys.path.append({str(target)!r}); import qsec_tiny; print(qsec_tiny.ANSWER)").text
        == "42\n"
    )


def test_plots_subprocesses_threads_and_pools_work(confined: Kernel) -> None:
    result = confined.run(
        "%matplotlib inline\n"
        "import matplotlib.pyplot as plt, subprocess, sqlite3, multiprocessing, os\n"
        "plt.plot([1, 2, 3]); plt.show()\n"
        "print(subprocess.check_output(['sh', '-c', 'echo from a shell'], text=True), end='')\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool: print(pool.apply(abs, (-3,)))\n"
        "os.kill(subprocess.Popen(['sleep', '60']).pid, 9); print('killed')"
    )
    assert result.text.splitlines()[-3:] == ["from a shell", "3", "killed"]
    assert "image/png" in result.of("display_data")[0]["content"]["data"]


def test_the_cache_of_fonts_is_made_in_the_users_home(kernel_world: KernelWorld) -> None:
    """A home where nothing was ever plotted: matplotlib looks for fonts with `fc-list` and keeps what it found."""
    kernel = kernel_world.start()
    kernel.run(
        "import os; [os.environ.pop(name, None) for name in ('MPLCONFIGDIR', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME')]"
    )
    kernel.run("import matplotlib, pathlib; import matplotlib.font_manager")
    kept = kernel.run("print(*pathlib.Path(matplotlib.get_cachedir()).glob('fontlist-*.json'))").text.split()
    assert [Path(path).is_relative_to(kernel_world.home.path) for path in kept] == [True]
    assert all(Path(path).stat().st_size > 1000 for path in kept), "it can be read outside, too"


def test_history_is_kept(confined: Kernel, kernel_world: KernelWorld) -> None:
    confined.run("remembered_line = 1")
    confined.run("get_ipython().history_manager.writeout_cache()")
    history = kernel_world.home.path / ".ipython" / "profile_default" / "history.sqlite"
    assert history.exists()


def test_a_kernel_can_start_kernels(confined: Kernel) -> None:
    """As papermill and nbclient do from a notebook: they write to the runtime directory, which is an empty one here."""
    result = confined.run(
        "from jupyter_core.paths import jupyter_runtime_dir\n"
        "import pathlib; (pathlib.Path(jupyter_runtime_dir()) / 'kernel-x.json').write_text('{}'); print('ok')"
    )
    assert result.text == "ok\n"


def test_what_appears_later_is_noticed(kernel_world: KernelWorld) -> None:
    kernel = kernel_world.start()
    assert kernel_world.seen.reports[kernel.id].confinement_state == "confined"
    late = kernel_world.home.path / ".qbraid"
    late.mkdir()
    try:
        kernel.provisioner._looked = 0.0
        assert kernel.manager.is_alive()
        report = kernel_world.seen.reports[kernel.id]
        assert report.confinement_state == "unconfined"
        assert str(late) in report.confinement_reasons[0]
    finally:
        late.rmdir()


def test_required_confinement_refuses_what_it_cannot_hide(kernel_world: KernelWorld) -> None:
    """The working directory is hidden at the user's own wish: that cannot work, so the kernel must not start."""
    from traitlets.config import Config

    config = Config(QsecProvisioner={"confinement": "required", "hidden_paths": [str(kernel_world.home.path)]})
    before = set(kernel_world.api.active())
    with pytest.raises(RuntimeError, match="cannot be confined"):
        Kernel(config=config)
    wait_for(lambda: set(kernel_world.api.active()) <= before, "the refused kernel's lease to end")


def test_a_kernelspec_cannot_switch_the_confinement_off(kernel_world: KernelWorld, tmp_path: Path) -> None:
    from jupyter_client.kernelspec import KernelSpec

    from jupyter_qsec.kernels.factory import QsecProvisionerFactory

    spec = KernelSpec(
        argv=["python"],
        metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner", "config": {"confinement": "off"}}},
    )
    provisioner = QsecProvisionerFactory.instance().create_provisioner_instance("id", spec, parent=None)
    assert type(provisioner).__name__ == "QsecProvisioner"
    assert provisioner.confinement == "auto"  # type: ignore[attr-defined]  # the type just asserted


def test_by_list_a_real_kernel_works_in_its_folder_and_nowhere_else(
    kernel_world: KernelWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from traitlets.config import Config

    if syscalls.landlock_abi() < 2:
        pytest.skip("needs Landlock")
    work, shared = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("shared")
    config = Config(QsecProvisioner={"file_access": "listed", "readable_folders": [str(shared)]})
    kernel = kernel_world.start(config=config, cwd=str(work))
    assert kernel_world.seen.reports[kernel.id].confinement_reasons == ()
    done = kernel.run(
        "open('made', 'w').write('x'); import json, sqlite3, tempfile; tempfile.mkstemp()\n"
        "import subprocess; print(subprocess.run(['ls'], capture_output=True, text=True).stdout)"
    )
    assert done.status == "ok" and done.text.split() == ["made"], done.messages
    below_tmp = os.path.realpath(sys.prefix).startswith(("/tmp/", "/var/tmp/"))  # where every kernel may write
    into_environment = [] if below_tmp else ["open(sys.prefix + '/made', 'w')"]
    for attempt in (*into_environment, "os.listdir('/var')", "os.listdir('/')"):
        assert kernel.run(f"import os, sys; {attempt}").reply.get("ename") == "PermissionError", attempt
