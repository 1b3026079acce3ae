"""`make hub` itself, as somebody uses it who tries the product: what it says, who gets in, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.offline import FORBIDDEN
from tests.hub.madehub import PARTS, MadeHub, visit
from tests.hub.realhub import ROOT, free_hub_port, free_ports

pytestmark = pytest.mark.xdist_group("make-hub")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MadeHub]:
    [gateway] = free_ports(1)
    hub = MadeHub(
        tmp_path,
        QSEC_HUB_URL=f"http://127.0.0.1:{free_hub_port()}",
        QSEC_GATEWAY_URL=f"http://127.0.0.1:{gateway}",
        QSEC_HUB_PASSWORD="the-password-of-this-test",
    )
    yield hub.start()
    hub.close()


def test_it_says_where_to_click_lets_people_in_and_ctrl_c_leaves_nothing_behind(made: MadeHub) -> None:
    before = {path.name for path in (ROOT / "examples" / "hub").iterdir()}
    assert (made.url, made.password) == (made.variables["QSEC_HUB_URL"], "the-password-of-this-test")
    ada = visit(made, "ada", made.password)
    assert (ada["login"], ada["tenants"]) == (200, ["research"])
    assert ada["cells"] > 3, "the first notebook is there"
    assert "Pause Research" in ada["text"], "the dashboard, as an administrator of the tenant has it"
    assert visit(made, "bob", made.password)["tenants"] == ["classroom"]
    for name, password in (("ada", "another password"), ("eve", made.password)):
        refused = visit(made, name, password)
        assert (refused["login"], "Invalid username or password" in refused["text"]) == (403, True)

    assert {words: bool(made.part(words)) for words in PARTS} == dict.fromkeys(PARTS, True)
    assert not [path for path in [made.data, *made.data.rglob("*")] if path.lstat().st_mode & 0o077]
    assert made.interrupt() == {}
    for url in (made.url, made.variables["QSEC_GATEWAY_URL"]):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
    assert not (made.data / "qsec" / "gateway.json").exists(), "the gateway has ended in order"
    assert not (made.data / "proxy.pid").exists()
    assert {path.name for path in (ROOT / "examples" / "hub").iterdir()} == before, "nothing was left here"


def test_with_a_mistake_in_the_tenants_it_does_not_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    example = tmp_path / "hub"
    shutil.copytree(ROOT / "examples" / "hub", example, ignore=shutil.ignore_patterns("data"))
    tenants = example / "tenants.toml"
    tenants.write_text(tenants.read_text().replace('tenant = "research"', 'tenant = "reserch"', 1))
    url = f"http://127.0.0.1:{free_hub_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "jupyterhub", "-f", str(example / "jupyterhub_config.py")],
        cwd=example,
        env={**os.environ, "QSEC_HUB_DATA": str(tmp_path / "data"), "QSEC_HUB_URL": url, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "tenants.toml: Member 'physics' names the tenant 'reserch', which does not exist." in last
    assert not (tmp_path / "data" / "proxy.pid").exists() and not (tmp_path / "data" / "qsec").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program leave the network")
def test_where_there_is_no_network_it_is_the_same_on_its_usual_ports_with_a_password_of_its_own(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "tests.hub.madehub", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    if done.returncode == FORBIDDEN:
        pytest.skip(f"this system lets no program make a network namespace of its own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["interfaces"], told["url"], told["left"]) == (["lo"], "http://127.0.0.1:8000", [])
    assert (told["ada"]["login"], told["ada"]["tenants"]) == (200, ["research"])
