"""`configure`: what a hub is told, whatever the file has said before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_qsec.client import endpoints
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.__main__ import _parser
from jupyter_qsec.hub import configure

WRITE = "custom:qsec:write"


def lazy(value: Any) -> Any:
    """What traitlets would merge into the trait's default."""
    return value if isinstance(value, (list, dict)) else value.to_dict()


def configured(c: Config | None = None, **options: Any) -> Config:
    c = c if c is not None else Config()
    configure(c, **options)
    return c


def service(c: Config) -> dict[str, Any]:
    services = c.JupyterHub.services
    found = services if isinstance(services, list) else services._extend
    [own] = [entry for entry in found if entry["name"] == "qsec"]
    return dict(own)


def test_the_command_of_the_service_is_one_that_the_gateway_takes(tmp_path: Path) -> None:
    c = configured(state=tmp_path / "state", config=tmp_path, url="http://127.0.0.1:9000")
    command = service(c)["command"]
    assert command[1:3] == ["-m", "jupyter_qsec.gateway"]
    options = _parser().parse_args(command[3:])
    assert (options.identity, options.port, options.bind) == ("hub", 9000, "127.0.0.1")
    assert (options.home, options.config, options.url) == (str(tmp_path / "state"), tmp_path, "http://127.0.0.1:9000")


def test_with_tls(tmp_path: Path) -> None:
    c = configured(
        url="https://qsec.example.org",
        bind="0.0.0.0",
        certificate=tmp_path / "c",
        key=tmp_path / "k",
        ca=tmp_path / "ca",
    )
    options = _parser().parse_args(service(c)["command"][3:])
    assert (options.port, options.bind, options.certificate, options.key) == (
        443,
        "0.0.0.0",
        tmp_path / "c",
        tmp_path / "k",
    )
    assert lazy(c.Spawner.environment)["update"]["JUPYTER_QSEC_GATEWAY_CA"] == str(tmp_path / "ca")


def test_servers_learn_where_the_gateway_is_under_the_names_that_they_read() -> None:
    environment = lazy(configured().Spawner.environment)["update"]
    assert environment[endpoints.URL_VARIABLE] == "http://127.0.0.1:8765"
    assert environment["JUPYTER_DEFAULT_PROVISIONER_NAME"] == "qsec-provisioner"


def test_a_gateway_elsewhere_gets_a_token_and_no_command() -> None:
    own = service(configured(url="https://qsec:8443", api_token="t" * 32))
    assert own["api_token"] == "t" * 32
    assert "command" not in own


def test_the_hubs_proxy_has_the_dashboard_where_it_can_reach_the_gateway(tmp_path: Path) -> None:
    """A hub ends itself when it does not reach a service with an address that it started."""
    own = service(configured())
    assert (own["url"], own["oauth_no_confirm"], own["display"]) == ("http://127.0.0.1:8765", True, True)
    assert own["oauth_client_allowed_scopes"] == [WRITE]
    assert service(configured(url="https://qsec:8443", api_token="t" * 32))["url"] == "https://qsec:8443"
    apart = configured(url="https://qsec:8443", certificate=tmp_path / "c", key=tmp_path / "k", ca=tmp_path / "ca")
    internal = Config()
    internal.JupyterHub.internal_ssl = True
    configured(internal, url="https://qsec:8443", certificate=tmp_path / "c", key=tmp_path / "k")
    for c in (apart, internal, configured(dashboard=False)):
        assert "url" not in service(c)
        assert "access:services" not in str(c.JupyterHub.load_roles)
    assert "url" in service(configured(url="https://qsec:8443", ca=tmp_path / "ca", dashboard=True))


def test_the_database_is_handed_on_and_stays_out_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_DATABASE_URL", "postgresql://qsec:secret@db/qsec")
    own = service(configured())
    assert own["environment"] == {"JUPYTER_QSEC_DATABASE_URL": "postgresql://qsec:secret@db/qsec"}
    assert "secret" not in " ".join(own["command"])


def test_what_the_file_said_before_stays() -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "ci"}]
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "read:users"]}, {"name": "other", "scopes": []}]
    c.JupyterHub.custom_scopes = {"custom:x:y": {"description": "z"}}
    c.Spawner.environment = {"A": "1"}
    c.Spawner.server_token_scopes = ["access:servers!server"]
    configured(c, services=["ci"], claims=True)
    assert [entry["name"] for entry in c.JupyterHub.services] == ["ci", "qsec"]
    roles = {role["name"]: role for role in c.JupyterHub.load_roles}
    assert roles["user"]["scopes"] == ["self", "read:users", WRITE, "access:services!service=qsec"]
    assert roles["qsec-gateway"]["scopes"] == ["read:users:name", "read:users:groups", "admin:auth_state"]
    assert roles["qsec-automation"] == {"name": "qsec-automation", "scopes": [WRITE], "services": ["ci"]}
    assert set(c.JupyterHub.custom_scopes) == {"custom:x:y", WRITE, "custom:qsec:read"}
    assert c.Spawner.environment["A"] == "1"
    assert c.Spawner.server_token_scopes == ["access:servers!server", WRITE]


def test_scopes_that_a_function_gives_are_extended() -> None:
    c = Config()
    c.Spawner.server_token_scopes = lambda spawner: [f"read:users!user={spawner}"]
    configured(c)
    assert c.Spawner.server_token_scopes("ada") == ["read:users!user=ada", WRITE]


@pytest.mark.parametrize("url", ["qsec:8443", "ftp://qsec", "https://qsec:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not an address"):
        configured(url=url)
