"""Which Dask schedulers are acceptable."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_qsec.adapters.providers.daskaddress import Certificates, DaskCluster
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.domain.errors import InvalidRequestError

with logging_kept():
    from distributed import Security

SCHEDULER = "JUPYTER_QSEC_DASK_SCHEDULER"


def test_nothing_is_named_by_default() -> None:
    assert DaskCluster.from_environment({}) is None
    assert DaskCluster.from_environment({SCHEDULER: ""}) is None


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tcp://127.8.9.1:1", "tcp://[::1]:8786", "tcp://localhost:1"]
)
def test_plain_connections_stay_on_this_machine(address: str) -> None:
    assert DaskCluster.from_environment({SCHEDULER: address}) == DaskCluster(address)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.7:8786",
        "tcp://dask.example:8786",
        "tcp://0.0.0.0:8786",
        "tcp://localhost.example:8786",
        "tcp://127.0.0.1.example:8786",
        "tcp://[::ffff:10.0.0.7]:8786",
        "tcp://2130706433.example:1",
    ],
)
def test_a_plain_connection_to_anywhere_else_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"neither encrypted nor authenticated.*JUPYTER_QSEC_DASK_TLS_CA"):
        DaskCluster.from_environment({SCHEDULER: address})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8786",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "tcp://:8786",
        "ws://127.0.0.1:8786",
        "ucx://127.0.0.1:8786",
        "inproc://127.0.0.1:8786",
        "tcp://10.0.0.7:1@127.0.0.1:8786",
        "tcp://127.0.0.1:8786/path",
        "tcp://127.0.0.1:8786?x=1",
        "tcp://127.0.0.1:8786#x",
        "tcp://[::1:8786",
        "tcp://127.0.0.1\n:8786",
        " ",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="not valid"):
        DaskCluster.from_environment({SCHEDULER: address})


def test_tls_needs_certificates() -> None:
    with pytest.raises(InvalidRequestError, match=r"needs certificates.*JUPYTER_QSEC_DASK_TLS_CA"):
        DaskCluster.from_environment({SCHEDULER: "tls://dask.example:8786"})


class TestCertificates:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        made = Security.temporary()
        files = {"CA": made.tls_ca_file, "CERT": made.tls_client_cert, "KEY": made.tls_client_key}
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        names = {f"JUPYTER_QSEC_DASK_TLS_{name}": str(tmp_path / name) for name in files}
        return {SCHEDULER: "tls://dask.example:8786", **names}

    def test_three_files_are_taken(self, environ: dict[str, str], tmp_path: Path) -> None:
        found = DaskCluster.from_environment(environ)
        certificates = Certificates(tmp_path / "CA", tmp_path / "CERT", tmp_path / "KEY")
        assert found == DaskCluster("tls://dask.example:8786", certificates)

    def test_they_do_not_make_a_plain_connection_acceptable(self, environ: dict[str, str]) -> None:
        with pytest.raises(InvalidRequestError, match="must have a tls:// address"):
            DaskCluster.from_environment(environ | {SCHEDULER: "tcp://dask.example:8786"})

    @pytest.mark.parametrize("name", ["CA", "CERT", "KEY"])
    @pytest.mark.parametrize("value", ["", "relative.pem", "/no/such/file"])
    def test_a_file_that_is_missing_is_named(self, environ: dict[str, str], name: str, value: str) -> None:
        with pytest.raises(InvalidRequestError, match=f"JUPYTER_QSEC_DASK_TLS_{name} must name an existing file"):
            DaskCluster.from_environment(environ | {f"JUPYTER_QSEC_DASK_TLS_{name}": value})

    @pytest.mark.parametrize("name", ["CA", "CERT", "KEY"])
    def test_a_file_that_is_no_certificate_is_refused(self, environ: dict[str, str], name: str) -> None:
        Path(environ[f"JUPYTER_QSEC_DASK_TLS_{name}"]).write_text("planted")
        with pytest.raises(InvalidRequestError, match="cannot be used") as refusal:
            DaskCluster.from_environment(environ)
        assert "planted" not in str(refusal.value)

    def test_a_key_of_another_certificate_is_refused(self, environ: dict[str, str]) -> None:
        Path(environ["JUPYTER_QSEC_DASK_TLS_KEY"]).write_text(Security.temporary().tls_client_key)
        with pytest.raises(InvalidRequestError, match="cannot be used"):
            DaskCluster.from_environment(environ)
