"""What a kernel's environment holds, and what it cannot hold."""

from __future__ import annotations

import os
from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.kernels.environment import is_credential_name, kernel_environment, scrubbed

URL = "http://127.0.0.1:4321"
SECRET = "pLaNtEdRoOt/K7MDENG+bPxRfiCYqsecPLANTED0"


def environment(**variables: str) -> dict[str, str]:
    return kernel_environment(variables, endpoints=Endpoints.on_loopback(URL), token_file="/private/token")


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_BEARER_TOKEN_BEDROCK",
        "JUPYTER_TOKEN",
        "JPY_API_TOKEN",
        "JUPYTERHUB_API_TOKEN",
        "JUPYTERHUB_COOKIE_SECRET",
        "CONFIGPROXY_AUTH_TOKEN",
        "QISKIT_IBM_TOKEN",
        "IQP_API_TOKEN",
        "IBMCLOUD_API_KEY",
        "DWAVE_API_TOKEN",
        "IONQ_API_KEY",
        "IQM_TOKEN",
        "QBRAID_API_KEY",
        "BLUEQUBIT_API_TOKEN",
        "XANADU_CLOUD_REFRESH_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_QUANTUM_CONNECTION_STRING",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GITHUB_TOKEN",
        "GITHUBTOKEN",
        "my_password",
        "PGPASSWORD",
        "JUPYTER_QSEC_DASK_SCHEDULER",
        "JUPYTER_QSEC_DASK_TLS_CA",
        "JUPYTER_QSEC_DASK_TLS_CERT",
        "JUPYTER_QSEC_DASK_TLS_KEY",
        "JUPYTER_QSEC_DATABASE_URL",
        "OPENAI_API_KEY",
        "DBUS_SESSION_BUS_ADDRESS",
    ],
)
def test_a_credential_is_dropped_by_its_name(name: str) -> None:
    assert is_credential_name(name)
    assert SECRET not in environment(**{name: SECRET}).values()


@pytest.mark.parametrize(
    "name",
    [
        "TOKENIZERS_PARALLELISM",
        "SECRETARY",
        "PATH",
        "HOME",
        "LANG",
        "CONDA_PREFIX",
        "JUPYTERHUB_USER",
        "JUPYTERHUB_SERVICE_PREFIX",
        "SSH_AUTH_SOCK",
        "XDG_RUNTIME_DIR",
        "KEYBOARD",
        "MONKEY",
        "HTTPS_PROXY",
        "JPY_SESSION_NAME",
        "JPY_PARENT_PID",
    ],
)
def test_an_ordinary_variable_stays(name: str) -> None:
    assert environment(**{name: "some ordinary value"})[name] == "some ordinary value"


def test_a_secret_does_not_come_back_under_another_name() -> None:
    """A kernelspec's `env: {"X": "${AWS_SECRET_ACCESS_KEY}"}` is substituted before the provisioner sees it."""
    base = {
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "X": Template("${AWS_SECRET_ACCESS_KEY}").substitute(AWS_SECRET_ACCESS_KEY=SECRET),
    }
    base["URL"] = f"https://user:{SECRET}@example.org/"
    cleaned = kernel_environment(base, endpoints=Endpoints.on_loopback(URL), token_file="/private/token")
    assert "X" not in cleaned
    assert "URL" not in cleaned


def test_scrubbing_by_name_alone_would_leak() -> None:
    """Shows that the rule by value matters: the innocent name passes when nothing secret has its value."""
    assert scrubbed({"X": SECRET}) == {"X": SECRET}
    assert scrubbed({"X": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}) == {}


def test_a_setting_is_not_taken_for_a_secret() -> None:
    cleaned = environment(
        AWS_REGION="eu-west-2",
        MY_REGION="eu-west-2",
        AWS_CONFIG_FILE="/home/someone",
        HOME="/home/someone",
        DATA="/home/someone/x",
    )
    assert cleaned["MY_REGION"] == "eu-west-2"
    assert cleaned["HOME"] == "/home/someone"
    assert cleaned["DATA"] == "/home/someone/x"


def test_a_secret_that_equals_a_part_of_the_path_does_not_remove_the_path() -> None:
    assert environment(MY_PASSWORD="username1", HOME="/home/username1", USER="username1")["HOME"] == "/home/username1"


def test_what_is_kept_is_kept_by_name_and_value() -> None:
    base = {"MY_TOKEN": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
    cleaned = kernel_environment(base, endpoints=Endpoints.on_loopback(URL), token_file="/t", keep=("MY_TOKEN",))
    assert cleaned["MY_TOKEN"] == SECRET
    assert "AWS_SECRET_ACCESS_KEY" not in cleaned


def test_keeping_cannot_redirect_an_endpoint() -> None:
    base = {"AWS_ENDPOINT_URL_S3": "https://elsewhere", "AWS_ENDPOINT_URL_LAMBDA": "https://elsewhere"}
    cleaned = kernel_environment(base, endpoints=Endpoints.on_loopback(URL), token_file="/t", keep=tuple(base))
    assert "https://elsewhere" not in cleaned.values()


def test_the_contract() -> None:
    assert environment() == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{URL}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/private/token",
        "AWS_ENDPOINT_URL": f"{URL}/aws/denied",
        "AWS_ENDPOINT_URL_BRAKET": f"{URL}/aws/braket",
        "AWS_ENDPOINT_URL_S3": f"{URL}/aws/s3",
        "AWS_ENDPOINT_URL_STS": f"{URL}/aws/sts",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "JUPYTER_QSEC_GATEWAY": URL,
        "JUPYTER_QSEC_KERNEL": "1",
    }


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_users_region_stays(name: str) -> None:
    cleaned = environment(**{name: "eu-west-2"})
    assert cleaned["AWS_REGION"] == cleaned["AWS_DEFAULT_REGION"] == "eu-west-2"


def test_proxy_exceptions_are_extended_in_both_spellings() -> None:
    cleaned = environment(NO_PROXY="example.org", no_proxy="10.0.0.1, localhost")
    assert cleaned["NO_PROXY"] == cleaned["no_proxy"] == "example.org,10.0.0.1,localhost,127.0.0.1"


def test_doing_it_twice_changes_nothing() -> None:
    once = environment(PATH="/bin", AWS_SESSION_TOKEN=SECRET, X=SECRET)
    assert kernel_environment(once, endpoints=Endpoints.on_loopback(URL), token_file="/private/token") == once


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C", "PYTHONPATH"]), st.text(max_size=30)),
    st.text("abcXYZ/+", min_size=8),
)
def test_no_value_of_a_scrubbed_secret_survives_anywhere(others: dict[str, str], secret: str) -> None:
    base = {name: value + secret + value for name, value in others.items()} | {"AWS_SECRET_ACCESS_KEY": secret}
    assert not [value for value in scrubbed(base).values() if secret in value]
