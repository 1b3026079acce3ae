"""The wrapper alone, around a small program: with namespaces, with Landlock alone, with neither, switched off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.kernels import confinement
from jupyter_qsec.kernels.confine import probe, syscalls
from jupyter_qsec.kernels.confinement import Confinement, Mode, confine_command, judge, plan
from jupyter_qsec.kernels.folders import KernelFolder, make_folder
from jupyter_qsec.kernels.listed import Listed, listed_folders

if sys.platform != "linux":
    pytest.skip("confinement is Linux's", allow_module_level=True)

# Without user namespaces, as most containers are: none may be made, and there is no capability to mount without one.
WITHOUT_NAMESPACES = [
    "unshare", "-Ur", "sh", "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"', "sh",
]  # fmt: skip


def works(command: list[str]) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run([*command, "true"], check=False).returncode == 0


namespaces = pytest.mark.skipif(not works(["unshare", "-Urm"]), reason="needs user namespaces")
without_namespaces = pytest.mark.skipif(not works(WITHOUT_NAMESPACES), reason="needs unshare and setpriv")
landlock = pytest.mark.skipif(syscalls.landlock_abi() < 2, reason="needs Landlock")


class Place:
    """A home with a secret beside ordinary work."""

    def __init__(self, root: Path, folder: KernelFolder) -> None:
        self.root = root
        self.home = root / "home"
        self.work = root / "work"
        self.secret = root / "vault" / "secret"
        self.runtime = root / "runtime"
        self.folder = folder
        for path in (self.home, self.work, self.secret.parent, self.runtime, root / "qsec"):
            path.mkdir(mode=0o700)
        self.secret.write_text("pLaNtEd")
        (self.work / "data").write_text("ordinary")

    def run(
        self,
        mode: Mode,
        code: str,
        *,
        prefix: list[str] | None = None,
        cwd: Path | None = None,
        listed: Listed | None = None,
    ) -> tuple[Confinement, str]:
        """Run Python code in the wrapper; the probe's verdict and what the code printed."""
        where = cwd or self.work
        environ = {"HOME": str(self.home), "JUPYTER_QSEC_HOME": str(self.root / "qsec")}
        spec = plan(
            mode, self.folder, environ=environ, needed=[str(where), str(self.home)], extra=[str(self.secret.parent)]
        )
        spec = replace(spec, processes=(os.getpid(),), listed=listed)
        launch = confine_command([sys.executable, "-c", code], spec)
        done = subprocess.run(
            [*(prefix or []), *launch.argv],
            pass_fds=launch.pass_fds,
            capture_output=True,
            text=True,
            cwd=where,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            check=False,
        )
        launch.started()
        with os.fdopen(launch.report_fd, "rb") as report:
            return judge(
                report.read(), launch.problems
            ), done.stdout.strip() or f"exit {done.returncode} {done.stderr[-300:]}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(confinement, "_hidden_before", set())
    folder = make_folder()
    yield Place(tmp_path, folder)
    shutil.rmtree(folder.path)


def reading(place: Place) -> str:
    return (
        f"try: print(open({str(place.secret)!r}).read())\n"
        "except OSError as error: print(type(error).__name__, open('data').read())"
    )


@namespaces
def test_with_namespaces_the_secret_is_not_there(place: Place) -> None:
    verdict, said = place.run("auto", reading(place))
    assert verdict == Confinement("confined", ())
    assert said == "FileNotFoundError ordinary"


def test_switched_off_the_secret_is_read_and_the_probe_says_so(place: Place) -> None:
    verdict, said = place.run("off", reading(place))
    assert said == "pLaNtEd"
    assert verdict.state == "unconfined"
    assert f"{place.secret} can be read" in verdict.reasons
    assert f"/proc/{os.getpid()}/environ of a guarded process can be read" in verdict.reasons


@without_namespaces
@landlock
def test_with_landlock_alone_the_secret_cannot_be_read_and_work_goes_on(place: Place) -> None:
    code = "open('made', 'w').write('x'); print(open('made').read(), end=' '); " + "\n" + reading(place)
    verdict, said = place.run("auto", code, prefix=WITHOUT_NAMESPACES)
    assert said == "x PermissionError ordinary"
    assert not [reason for reason in verdict.reasons if str(place.secret) in reason]


@without_namespaces
@landlock
def test_landlock_alone_is_not_used_where_it_would_hinder_work(place: Place) -> None:
    """Around a secret in the home directory nothing new could be read back: better unconfined, and said so."""
    inside = place.home / ".aws"
    inside.mkdir()
    verdict, said = place.run("auto", f"print(open({str(place.secret)!r}).read())", prefix=WITHOUT_NAMESPACES)
    assert said == "pLaNtEd"
    assert verdict.state == "unconfined"
    assert any(f"{inside} lies below your home" in reason for reason in verdict.reasons)


@without_namespaces
@landlock
def test_even_then_the_servers_memory_is_out_of_reach(place: Place) -> None:
    (place.home / ".aws").mkdir()
    code = f"try: open('/proc/{os.getpid()}/environ').read(); print('LEAK')\nexcept OSError: print('refused')"
    assert place.run("auto", code, prefix=WITHOUT_NAMESPACES)[1] == "refused"


@namespaces
def test_required_confinement_does_not_run_what_is_not_confined(place: Place) -> None:
    """The secret's directory is the working directory, so it cannot be hidden."""
    held = place.secret.parent
    verdict, said = place.run("required", "print('ran')", cwd=held)
    assert verdict == Confinement(
        "unconfined",
        (f"{held} cannot be hidden, because the kernel needs {held}",),
    )
    assert said.startswith("exit 126")


@namespaces
def test_what_the_wrapper_runs_is_as_if_it_was_started_directly(place: Place) -> None:
    code = (
        "import os, signal, sys, json\n"
        "handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "print(json.dumps([handled, os.getcwd(), os.environ['HOME'], sys.argv,"
        " sorted(int(n) for n in os.listdir('/proc/self/fd'))[:4]]))"
    )
    _, said = place.run("auto", code)
    assert json.loads(said) == [True, str(place.work), str(place.home), ["-c"], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    "report",
    [b"", b"{", b"[]", b"{}", b'{"problems": []}', b'{"problems": 3, "reached": []}', b"\xff"],
)
def test_a_report_that_makes_no_sense_is_no_confinement(report: bytes) -> None:
    assert judge(report).state == "unconfined"


def test_anything_known_against_it_is_no_confinement() -> None:
    clean = b'{"problems": [], "reached": []}'
    assert judge(clean) == Confinement("confined", ())
    assert judge(clean, ["a door is open"]) == Confinement("unconfined", ("a door is open",))
    assert judge(b'{"problems": ["p"], "reached": ["r"]}') == Confinement("unconfined", ("p", "r"))


# -- what is hidden from one kernel must not be found by the next one
RENAMING = (
    "import os\n"
    "try: os.rename({above!r}, {above!r} + '-moved'); os.mkdir({above!r}); print('renamed')\n"
    "except OSError as error: print(type(error).__name__)"
)


def nested(place: Place) -> Path:
    """A secret two directories below the home directory."""
    secret = place.home / ".config" / "dwave" / "dwave.conf"
    secret.parent.mkdir(parents=True)
    secret.write_text("pLaNtEd")
    return secret


@namespaces
def test_a_directory_above_a_hidden_one_cannot_be_renamed(place: Place) -> None:
    above = nested(place).parent.parent
    verdict, said = place.run("auto", RENAMING.format(above=str(above)))
    assert (verdict.state, said) == ("confined", "OSError")


@namespaces
def test_beside_a_hidden_directory_renaming_works(place: Place) -> None:
    above = nested(place).parent.parent
    (above / "other").mkdir()
    assert place.run("auto", RENAMING.format(above=str(above / "other")))[1] == "renamed"


def test_unconfined_the_same_renaming_works(place: Place) -> None:
    above = nested(place).parent.parent
    assert place.run("off", RENAMING.format(above=str(above)))[1] == "renamed"


@without_namespaces
@landlock
def test_with_landlock_alone_what_is_hidden_cannot_be_renamed(place: Place) -> None:
    assert place.run("auto", RENAMING.format(above=str(place.secret.parent)), prefix=WITHOUT_NAMESPACES)[1] in (
        "PermissionError",
        "OSError",
    )


@namespaces
def test_what_a_removed_link_pointed_to_stays_hidden(place: Place) -> None:
    real = place.root / "dotfiles" / "aws"
    real.mkdir(parents=True)
    (real / "credentials").write_text("pLaNtEd")
    link = place.home / ".aws"
    link.symlink_to(real)
    assert (
        place.run("auto", f"import os; os.rename({str(link)!r}, {str(place.home / 'x')!r}); print('gone')")[1] == "gone"
    )
    said = place.run("auto", f"import os; print(os.listdir({str(place.home / 'x')!r}))")[1]
    assert said == "[]"


LISTED_CODE = """
import os, sys
def tries(what):
    try:
        what()
        return 'yes'
    except OSError as error:
        return 'no' if error.errno in (13, 18) else repr(error).replace(' ', '')  # Landlock answers links with EXDEV
def writes(folder):
    with open(os.path.join(folder, 'made'), 'w') as file:
        file.write('x')
    os.unlink(os.path.join(folder, 'made'))
print(*(tries(what) for what in (
    lambda: writes('.'), lambda: writes(SHARED), lambda: writes(sys.prefix), lambda: writes(HOME),
    lambda: open('data').read(), lambda: os.listdir(READABLE), lambda: os.listdir(HOME), lambda: writes(READABLE),
    lambda: __import__('json'), lambda: os.rename('data', SHARED + '/data'), lambda: os.link(HOME + '/own', 'linked'),
)))
"""


def in_list(place: Place, **more: Any) -> tuple[Confinement, str]:
    """As a kernel whose working directory is `work`, with one folder more to read and one to write."""
    for name in ("shared", "readable"):
        (place.root / name).mkdir()
    (place.home / "own").write_text("x")
    listed = listed_folders(
        str(place.work),
        sys.executable,
        {"HOME": str(place.home)},
        [str(place.root / "readable")],
        ["../shared"],
    )
    # The place of the tests lies in a temporary folder, which would be open as a whole.
    writable = (*(path for path in listed.writable if not str(place.root).startswith(path)), str(place.work))
    listed = replace(listed, writable=writable, closed=(*listed.closed, str(place.home)))
    names = f"SHARED, READABLE, HOME = {str(place.root / 'shared')!r}, {str(place.root / 'readable')!r}, "
    return place.run("auto", names + f"{str(place.home)!r}\n" + LISTED_CODE, listed=listed, **more)


@landlock
@namespaces
def test_by_list_a_kernel_can_use_its_folders_and_no_others(place: Place) -> None:
    verdict, said = in_list(place)
    work, shared, prefix, home, data, readable, home_listed, readable_written, packages, moved, linked = said.split()
    assert (work, shared, data, readable, packages, moved) == ("yes",) * 6
    assert (prefix, home, home_listed, readable_written, linked) == ("no",) * 5
    assert verdict == Confinement("confined", ())


@landlock
@without_namespaces
def test_by_list_it_is_the_same_with_landlock_alone(place: Place) -> None:
    _, said = in_list(place, prefix=WITHOUT_NAMESPACES)
    assert said.split()[:4] == ["yes", "yes", "no", "no"]


def test_without_confinement_the_probe_says_what_is_not_on_the_list(place: Place) -> None:
    listed = listed_folders(str(place.work), sys.executable, {"HOME": str(place.home)}, [], [])
    listed = replace(listed, closed=(str(place.home),), writable=(str(place.work),))
    got = probe.attempts({"listed": listed.to_json()})
    assert {f"{place.home} can be listed", f"{place.home} can be written to"} <= set(got)
    assert list(place.home.iterdir()) == []


def test_the_list_has_the_working_directory_the_environment_and_what_was_asked_for(tmp_path: Path) -> None:
    for name in ("home/data", "work", "read"):
        (tmp_path / name).mkdir(parents=True)
    listed = listed_folders(
        str(tmp_path / "work"),
        sys.executable,
        {"HOME": str(tmp_path / "home")},
        [str(tmp_path / "read"), "/no/such"],
        ["~/data"],
    )
    assert {str(tmp_path / "work"), str(tmp_path / "home" / "data"), "/tmp"} <= set(listed.writable)
    assert {str(tmp_path / "read"), os.path.realpath(sys.prefix), "/usr"} <= set(listed.readable)
    assert "/no/such" not in listed.readable
    below_tmp = os.path.realpath(sys.prefix).startswith(("/tmp/", "/var/tmp/"))  # where every kernel may write
    assert (os.path.realpath(sys.prefix) in listed.closed) is not below_tmp
