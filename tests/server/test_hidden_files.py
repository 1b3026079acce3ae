"""Every place where credentials are known to lie: a real kernel tries each, confined and not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from traitlets.config import Config

from jupyter_qsec.client.registry import SharedSecretsFile
from jupyter_qsec.kernels import hidden
from tests.fakes.kernel_driver import Kernel
from tests.fakes.kernel_home import PLANTED_SECRET
from tests.fakes.namespaces import namespaces_work
from tests.server.conftest import KernelWorld

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not namespaces_work(), reason="needs Linux with user namespaces"),
]

FILES = {".boto", ".config/kwalletrc", ".passwd-s3fs", ".s3cfg", ".saml2aws"}
"""What is a file by itself; the others are folders with files in them."""
FOLDERS = {"AZURE_CONFIG_DIR", "CLOUDSDK_CONFIG", "PASSWORD_STORE_DIR"}
SHARED = "JUPYTER_QSEC_SHARED_SECRETS"
"""The server itself reads this one, so it is of the right form."""

TRIES = """
import json
def tried(path):
    try:
        return bool(open(path, 'rb').read())
    except OSError:
        return False
print(json.dumps([path for path in PATHS if tried(path)]))
"""


@pytest.fixture(scope="module")
def planted(kernel_world: KernelWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A secret in each of these places, those that variables name included."""
    elsewhere = tmp_path_factory.mktemp("named")
    paths = [plant(kernel_world.home.path / name, name in FILES) for name in hidden._IN_HOME]
    with pytest.MonkeyPatch.context() as patch:
        for name in hidden._NAMED_BY:
            if name == SHARED:
                SharedSecretsFile(elsewhere / name).add("lab-database", "correct-horse-battery")
                paths.append(elsewhere / name)
            else:
                paths.append(plant(elsewhere / name, name not in FOLDERS))
            patch.setenv(name, str(elsewhere / name))
        yield [str(path) for path in paths]


def plant(place: Path, is_file: bool) -> Path:
    path = place if is_file else place / "planted" / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLANTED_SECRET)
    return path


def reached(kernel: Kernel, paths: list[str]) -> list[str]:
    kernel.run(f"PATHS = {paths!r}")
    return list(json.loads(kernel.run(TRIES).text))


def test_a_confined_kernel_reaches_none_of_them(kernel_world: KernelWorld, planted: list[str]) -> None:
    kernel = kernel_world.start()
    assert kernel_world.seen.reports[kernel.id].confinement_reasons == ()
    assert reached(kernel, planted) == []


def test_an_unconfined_kernel_reaches_all_of_them(kernel_world: KernelWorld, planted: list[str]) -> None:
    kernel = kernel_world.start(config=Config(QsecProvisioner={"confinement": "off"}))
    assert reached(kernel, planted) == planted
