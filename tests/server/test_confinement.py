"""A confined kernel tries to get out; an unconfined one shows that each attempt would work."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.kernels.confine import syscalls
from tests.fakes.kernel_driver import Kernel, wait_for
from tests.fakes.kernel_home import ENVIRONMENT_CANARY, PLANTED_SECRET, SERVER_TOKEN
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel


def _namespaces_work() -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


if sys.platform != "linux" or not _namespaces_work():
    pytest.skip("needs Linux with user namespaces", allow_module_level=True)

LIBC = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
# Each prints LEAK when it reached what it should not.
ATTACKS = {
    "open": "for p in SECRETS:\n    try: open(p).read() and print('LEAK', p)\n    except OSError: pass",
    "list": "for p in SECRETS:\n    try: 'elsewhere' in p or os.path.basename(p) in os.listdir(os.path.dirname(p)) and print('LEAK')\n"
    "    except OSError: pass",
    "subprocess": "import subprocess\nfor p in SECRETS:\n    subprocess.run(['cat', p], capture_output=True).stdout and print('LEAK')",
    "real-path": "for p in SECRETS:\n    try: open(os.path.realpath(p)).read() and print('LEAK')\n    except OSError: pass",
    "server-root": "for p in SECRETS:\n    try: open(f'/proc/{SERVER}/root{p}').read() and print('LEAK')\n"
    "    except OSError: pass",
    "every-root": "import glob\nfor r in glob.glob('/proc/[0-9]*'):\n    try: open(f'{r}/root{SECRETS[0]}').read() and print('LEAK')\n"
    "    except OSError: pass",
    "server-cwd": "try: print('LEAK', os.listdir(f'/proc/{SERVER}/cwd/'))\nexcept OSError: pass",
    "server-environ": "try: CANARY in open(f'/proc/{SERVER}/environ').read() and print('LEAK')\nexcept OSError: pass",
    "server-memory": "try: open(f'/proc/{SERVER}/mem', 'rb').close(); print('LEAK')\nexcept OSError: pass",
    "server-descriptors": "try: [os.readlink(f'/proc/{SERVER}/fd/{n}') for n in os.listdir(f'/proc/{SERVER}/fd')][0] and print('LEAK')\n"
    "except OSError: pass",
    "ptrace": LIBC + "libc.ptrace(16, TRACED, 0, 0) == 0 and print('LEAK') or libc.ptrace(17, TRACED, 0, 0)",
    "keyring-bus": "import socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect(BUS); print('LEAK')\nexcept OSError: pass\ns.close()",
    "signal": "try: os.kill(TRACED, 0); print('LEAK')\nexcept OSError: pass",
    "abstract-socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect(ABSTRACT); print('LEAK')\nexcept OSError: pass\ns.close()",
    "other-kernels": "os.listdir(FOLDERS) != [OWN] and [n for n in os.listdir(FOLDERS) if n.startswith('k-') and n != OWN] and print('LEAK')",
}
# These need more than one step, and a kernel that is not confined has nothing to undo.
ESCAPES = {
    "unmount": LIBC + "for p in COVERED: libc.umount2(p.encode(), 2)\n",
    "unmount-in-a-new-namespace": "import subprocess\nout = subprocess.run(['unshare', '-Urm', 'sh', '-c', "
    '\'for p in "$@"; do umount -l "$p"; cat "$p"/* ; done\', \'sh\', *COVERED], capture_output=True).stdout\n'
    "b'pLaNtEd' in out and print('LEAK')",
    "bind-elsewhere": "import subprocess, tempfile\nd = tempfile.mkdtemp()\nout = subprocess.run(['unshare', '-Urm', 'sh', '-c', "
    "'mount --bind / \"$0\"; cat \"$0\"\"$1\"', d, SECRETS[0]], capture_output=True).stdout\nb'pLaNtEd' in out and print('LEAK')",
    "servers-namespace": LIBC + "import glob\nfor kind in ('mnt', 'user'):\n    for p in (1, SERVER):\n        try:\n"
    "            libc.setns(os.open(f'/proc/{p}/ns/{kind}', os.O_RDONLY), 0) == 0 and print('LEAK')\n"
    "        except OSError: pass",
    "rename-the-cover": "for p in COVERED:\n    try: os.rename(p, p + '-moved'); print('LEAK')\n    except OSError: pass",
    "write-into-the-cover": "for p in COVERED:\n    if p != RUNTIME:\n        try: open(p + '/x', 'w'); print('LEAK')\n        except OSError: pass",
    "hard-link": "for p in SECRETS:\n    try: os.link(p, os.path.expanduser('~/linked')); print('LEAK')\n    except OSError: pass",
    "disk": "import glob, stat\nfor p in glob.glob('/dev/*'):\n    try:\n        if stat.S_ISBLK(os.stat(p).st_mode): os.open(p, os.O_RDONLY); print('LEAK', p)\n"
    "    except OSError: pass\n",
    "kernel-switches": "try: open('/proc/sys/kernel/core_pattern', 'w'); print('LEAK')\nexcept OSError: pass",
    "lease-file": "p = os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']\ntry: os.rename(p, p + 'x'); print('LEAK')\nexcept OSError: pass",
    "capabilities": "[l for l in open('/proc/self/status') if l.startswith('Cap') and int(l.split()[1], 16)] and print('LEAK')",
}


@pytest.fixture(scope="module")
def outside() -> Iterator[subprocess.Popen[bytes]]:
    """A program of the same user, outside of every kernel."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.bind(chr(0) + sys.argv[1]); s.listen()\n"
         "print(flush=True); sys.stdin.read()", "qsec-test-" + str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"CANARY": ENVIRONMENT_CANARY},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate()


def facts(world: KernelWorld, kernel: Kernel, outside: int) -> str:
    """What an attacker knows: where everything is."""
    folder = kernel.provisioner._session.folder
    alone = world.home.path / "elsewhere" / "credentials"  # a single file that is covered, in a directory that is not
    covered = sorted({str(path.parent.resolve()) for path in world.home.secret_files if path != alone} | {str(alone)})
    return (
        f"import os\nSECRETS = {[str(path) for path in world.home.secret_files]!r}\nCOVERED = {covered!r}\n"
        f"SERVER = {os.getpid()}\nTRACED = {outside}\nBUS = {str(world.home.bus)!r}\nCANARY = 'PATH='\n"
        f"ABSTRACT = {chr(0) + 'qsec-test-' + str(os.getpid())!r}\nFOLDERS = {str(folder.parent)!r}\n"
        f"OWN = {folder.path.name!r}\nRUNTIME = {str(world.home.runtime)!r}"
    )


@pytest.fixture(scope="module")
def confined(kernel_world: KernelWorld, outside: subprocess.Popen[bytes]) -> Kernel:
    kernel_world.start()  # another one, whose folder must not be seen
    kernel = kernel_world.start()
    assert kernel.run(facts(kernel_world, kernel, outside.pid)).status == "ok"
    return kernel


@pytest.fixture(scope="module")
def unconfined(kernel_world: KernelWorld, outside: subprocess.Popen[bytes]) -> Kernel:
    from traitlets.config import Config

    kernel_world.start()
    kernel = kernel_world.start(config=Config(QsecProvisioner={"confinement": "off"}))
    assert kernel.run(facts(kernel_world, kernel, outside.pid)).status == "ok"
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
    if attack in ("signal", "abstract-socket") and syscalls.landlock_abi() < 6:
        pytest.skip("this kernel's Landlock does not scope signals and abstract sockets")
    result = confined.run(ATTACKS[attack])
    assert (result.status, result.text) == ("ok", "")


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_attack_works_from_an_unconfined_kernel(unconfined: Kernel, attack: str) -> None:
    assert "LEAK" in unconfined.run(ATTACKS[attack]).text


@pytest.mark.parametrize("escape", ESCAPES)
def test_there_is_no_way_back_out(confined: Kernel, escape: str) -> None:
    assert confined.run(ESCAPES[escape]).text == ""
    assert confined.run(ATTACKS["open"]).text == ""


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
    wheel = tmp_path / "qsec_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("qsec_tiny.py", "ANSWER = 42\n")
        archive.writestr("qsec_tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: qsec-tiny\nVersion: 1.0\n")
        archive.writestr(
            "qsec_tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("qsec_tiny-1.0.dist-info/RECORD", "")
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
