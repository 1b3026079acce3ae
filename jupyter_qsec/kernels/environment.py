"""The environment of a leased process: no credential goes in, the lease's endpoints do. Pure.

The variables set here are the contract of `docs/interfaces.md`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from jupyter_qsec.client.endpoints import Endpoints

_MIN_SECRET = 8
_DEFAULT_REGION = "us-east-1"

# Names that are dropped whatever they hold: the AWS SDKs read all of `AWS_*`, and any of them could undo the endpoints.
_DROPPED_PREFIXES = ("AWS_", "BOTO_", "S3_", "CLOUDSDK_", "GOOGLE_APPLICATION_", "AZURE_", "ARM_")
_DROPPED_NAMES = frozenset(
    {
        "DBUS_SESSION_BUS_ADDRESS",  # the way to the session's keyring
        "GNOME_KEYRING_CONTROL",
        "GNOME_KEYRING_PID",
        "JUPYTER_QSEC_DASK_SCHEDULER",
        "JUPYTER_QSEC_DASK_TLS_CA",
        "JUPYTER_QSEC_DASK_TLS_CERT",
        "JUPYTER_QSEC_DASK_TLS_KEY",
        "JUPYTER_QSEC_DATABASE_URL",
        "KUBECONFIG",
        "QISKIT_IBM_CHANNEL",
        "QISKIT_IBM_INSTANCE",
        "DWAVE_CONFIG_FILE",
        "QCS_SECRETS_FILE_PATH",
    }
)
# A word of a name that says "secret". `TOKENIZERS_PARALLELISM` goes on, `MY_TOKEN2` and `GITHUBTOKEN` do not.
_SECRET_WORDS = re.compile(
    r"(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|PASSCODE|CREDENTIALS?|CREDS|API_?KEYS?|ACCESS_?KEYS?|PRIVATE_?KEYS?|"
    r"SECRET_?KEYS?|ACCOUNT_?KEYS?|SIGNING_?KEYS?|CRYPT_?KEYS?|SUBSCRIPTION_?KEYS?|CONNECTION_?STRINGS?|COOKIE)(?![A-Z])",
    re.IGNORECASE,
)
# Settings whose values are no secrets, though their names sound like it: their values may appear elsewhere.
_PLAIN_SETTING = re.compile(
    r"(?:_FILE|_PATH|_DIR|_HOME|_URL|_URI|_PROFILE|_PAGER|_OUTPUT|_DISABLED|_ENABLED|_MODE|_ATTEMPTS|_ENV|_BUNDLE|"
    r"_ENDPOINTS?|_REGION|_CHANNEL|_INSTANCE|_ADDRESS|_CONTROL|_PID)$|^AWS_ENDPOINT_URL_|^JUPYTER_QSEC_DASK_|^KUBECONFIG$",
    re.IGNORECASE,
)
# Without these no program runs; their values are the system's own, so a coincidence must not remove them.
_ESSENTIAL = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})


def is_credential_name(name: str) -> bool:
    """Whether a variable of this name must not reach a leased process."""
    upper = name.upper()
    return upper.startswith(_DROPPED_PREFIXES) or upper in _DROPPED_NAMES or _SECRET_WORDS.search(name) is not None


def scrubbed(base: Mapping[str, str], *, keep: Collection[str] = ()) -> dict[str, str]:
    """`base` without credentials: by name, and by value wherever a dropped secret turns up under another name.

    `keep` names variables that stay whatever they are called; the user answers for them.
    """
    dropped = {name for name in base if name not in keep and is_credential_name(name)}
    secrets = {base[name] for name in dropped if len(base[name]) >= _MIN_SECRET and _PLAIN_SETTING.search(name) is None}
    return {
        name: value
        for name, value in base.items()
        if name not in dropped
        and (name in keep or name.upper() in _ESSENTIAL or not any(secret in value for secret in secrets))
    }


def kernel_environment(
    base: Mapping[str, str], *, endpoints: Endpoints, token_file: str | os.PathLike[str], keep: Collection[str] = ()
) -> dict[str, str]:
    """The environment for a process that holds the lease whose token is in `token_file`. The endpoints always win over
    `keep`."""
    gateway_url = endpoints.gateway_url
    region = base.get("AWS_REGION") or base.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION
    environment = scrubbed(base, keep=keep)
    for name in [name for name in environment if name.startswith(("AWS_ENDPOINT_URL", "AWS_CONTAINER_"))]:
        del environment[name]  # an endpoint for a service that we do not name would leave the gateway out
    environment.update(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoints.credentials_url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": os.fspath(token_file),
            "AWS_ENDPOINT_URL": f"{gateway_url}/aws/denied",
            "AWS_ENDPOINT_URL_BRAKET": f"{gateway_url}/aws/braket",
            "AWS_ENDPOINT_URL_S3": f"{gateway_url}/aws/s3",
            "AWS_ENDPOINT_URL_STS": f"{gateway_url}/aws/sts",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "JUPYTER_QSEC_GATEWAY": gateway_url,
            "JUPYTER_QSEC_KERNEL": "1",
        }
    )
    if endpoints.ca_file:
        environment["AWS_CA_BUNDLE"] = endpoints.ca_file
    no_proxy = _no_proxy(base, urlsplit(gateway_url).hostname or "")
    environment["NO_PROXY"] = environment["no_proxy"] = no_proxy
    return environment


def _no_proxy(base: Mapping[str, str], gateway: str) -> str:
    """The user's exceptions plus loopback and the gateway: libraries read either spelling, so both get the union."""
    hosts: list[str] = []
    for name in ("NO_PROXY", "no_proxy"):
        hosts += [host.strip() for host in base.get(name, "").split(",")]
    return ",".join(dict.fromkeys(host for host in (*hosts, "127.0.0.1", "localhost", gateway) if host))
