"""`make lab` itself: what its recipe opens, with which panel, and how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.realserver import RealServer

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make, and so nobody types it here")


class MadeLab(RealServer):
    """The recipe as it stands, but for a port that is free and no browser. What it depends on is installed already."""

    def command(self) -> list[str]:
        options = "--no-browser --ServerApp.port=0 --ServerApp.allow_root=True"
        return ["make", "-C", str(ROOT), "--old-file=install", "lab", f"LAB_OPTIONS={options}"]

    def stop(self) -> None:
        """End the server, as its own menu does; the shell and make end with it."""
        assert self.process is not None
        below = psutil.Process(self.process.pid).children(recursive=True)
        for process in below:
            if "jupyter-lab" in " ".join(process.cmdline()) and process.name() not in ("sh", "dash", "bash"):
                process.terminate()
        _, alive = psutil.wait_procs(below, timeout=30)
        self.process.wait(10)
        self.http.close()
        assert not alive, "nothing is left behind"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeLab]:
    lab = MadeLab(tmp_path_factory.mktemp("lab") / "home")
    lab.start()
    yield lab
    lab.stop()


def test_it_opens_the_first_notebook(lab: MadeLab) -> None:
    pages = [page.read_text() for page in lab.runtime.glob("*.html")]
    assert any("/lab/tree/01-first-task.ipynb?token=" in page for page in pages), pages
    page_of_lab = lab.http.get("lab/tree/01-first-task.ipynb")
    assert page_of_lab.status_code == 200
    configuration = page_of_lab.text.partition('id="jupyter-config-data"')[2].partition("</script>")[0]
    settings = json.loads(configuration.partition(">")[2])
    assert [found["name"] for found in settings["federated_extensions"] if found["name"] == "jupyter_qsec"]


def test_the_panels_server_answers(lab: MadeLab) -> None:
    lab.wait_for_gateway()
    assert [tenant["id"] for tenant in lab.qsec("status")["tenants"]] == ["sandbox", "research"]
