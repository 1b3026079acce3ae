"""Which database URLs are taken, how their servers are verified, and that no password leaves them."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import PostgresDatabase, SqlStore, with_password
from jupyter_qsec.bootstrap import GatewayConfig
from jupyter_qsec.domain.errors import InvalidRequestError, StateDirectoryError
from tests.contract.conftest import SIGNER
from tests.fakes.clock import FakeClock

PASSWORD = "correct horse battery"
ENCODED = "correct%20horse%20battery"


def context(url: str) -> ssl.SSLContext | bool:
    made: ssl.SSLContext | bool = PostgresDatabase(url)._arguments["ssl_context"]
    return made


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "[::1]"])
def test_loopback_may_be_plain(host: str) -> None:
    assert context(f"postgresql://ada@{host}/qsec") is False
    assert context(f"postgresql://ada@{host}/qsec?sslmode=disable") is False


@pytest.mark.parametrize("host", ["db.example", "10.0.0.7", "localhost.example", "127.0.0.1.example"])
@pytest.mark.parametrize("options", ["", "?sslmode=verify-full"])
def test_any_other_server_proves_who_it_is(host: str, options: str) -> None:
    made = context(f"postgresql://ada@{host}/qsec{options}")
    assert isinstance(made, ssl.SSLContext)
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "VERIFY-FULL"])
def test_less_than_a_proof_is_refused(mode: str) -> None:
    with pytest.raises(InvalidRequestError, match="does not prove"):
        PostgresDatabase(f"postgresql://ada@db.example/qsec?sslmode={mode}")


def test_the_host_that_is_judged_is_the_host_that_is_called() -> None:
    made = PostgresDatabase("postgresql://ada@db.example/qsec?host=localhost")
    assert made._url.host == "db.example"
    assert made._arguments["ssl_context"] is not False


def test_a_socket_is_local() -> None:
    made = PostgresDatabase("postgresql://ada@/qsec?host=/run/postgresql")
    assert made._arguments["unix_sock"] == "/run/postgresql/.s.PGSQL.5432"
    assert made._url.host is None


@pytest.mark.parametrize(
    "url",
    [
        f"not a url {PASSWORD}",
        f"mysql://ada:{ENCODED}@localhost/qsec",
        f"postgresql+psycopg://ada:{ENCODED}@localhost/qsec",
        f"postgresql://ada:{ENCODED}@localhost",
        f"postgresql://:{ENCODED}@localhost/qsec",
        f"postgresql://ada:{ENCODED}@localhost:port/qsec",
        f"postgresql://ada:{ENCODED}@localhost/qsec?options=-cfsync%3Doff",
        f"postgresql://ada:{ENCODED}@db.example/qsec?sslmode=disable",
        f"postgresql://ada:{ENCODED}@db.example/qsec?sslrootcert=/nowhere",
    ],
)
def test_what_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        PostgresDatabase(url)
    told = "".join(traceback.format_exception(refused.value))
    assert PASSWORD not in told
    assert ENCODED not in told


async def test_no_error_or_log_holds_the_password(
    tmp_path: Path, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    database = PostgresDatabase(f"postgresql://ada:{ENCODED}@127.0.0.1:{closed_port}/qsec")
    store = SqlStore(database, signer=SIGNER, clock=FakeClock(), checkpoint_dir=tmp_path / "checkpoints", patience=0)
    with pytest.raises(StateDirectoryError, match="cannot be read") as failed:
        await store.open()
    told = "".join(traceback.format_exception(failed.value)) + caplog.text + repr(database.engine())
    assert PASSWORD not in told
    assert ENCODED not in told
    await store.close()


def test_an_error_that_quotes_the_password_is_scrubbed() -> None:
    database = PostgresDatabase(f"postgresql://ada:{ENCODED}@localhost/qsec")
    assert database.reason(ValueError(f"bad {PASSWORD}!")) == "bad ***!"


def test_the_configuration_does_not_show_it(tmp_path: Path) -> None:
    assert PASSWORD not in repr(GatewayConfig(tmp_path, database=f"postgresql://ada:{PASSWORD}@localhost/qsec"))


def test_a_password_from_elsewhere_is_put_in_whole() -> None:
    odd = "p@ss:/?#%20wörd"
    assert PostgresDatabase(with_password("postgresql://ada@localhost/qsec", odd))._password == odd


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
