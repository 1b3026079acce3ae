"""Providers of quantum computers, Jupyter, and what the gateway itself gives out."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.rules.rule import B64, B64URL, OPAQUE, Rule, named, token
from jupyter_qsec.scanning.severity import Severity

_LEASE = "End the lease (`jupyter qsec leases revoke`); the kernel gets a new one."
_URL_BODY = "[A-Za-z0-9_.~-]"

OWN = (
    # What the gateway gives to kernels, shaped so that it can be told from anything else (application/tokens.py).
    token(
        "aws-session-token",
        "session token of a kernel's lease",
        rf"qsec1\.[{B64URL}]{{88}}",
        "qsec1.",
        example="qsec1.{b88}",
        advice=_LEASE,
    ),
    token(
        "aws-secret-key",
        "secret key of a kernel's lease",
        rf"qsecKey/[{B64}]{{32}}",
        "qseckey/",
        example="qsecKey/{a32}",
        advice=_LEASE,
    ),
    token(
        "qsec-lease-token",
        "lease of a kernel",
        rf"qsec-lease\.[0-9a-f]{{32}}\.[{B64URL}]{{43}}",
        "qsec-lease.",
        example="qsec-lease.{h32}.{b43}",
        advice=_LEASE,
    ),
)

QUANTUM = (
    token(
        "dwave-token",
        "D-Wave token",
        r"DEV-[0-9A-Fa-f]{40,}",
        "dev-",
        example="DEV-{h40}",
        grows="0-9A-Fa-f",
        gate="[0-9A-Fa-f]{8}",
    ),
    named("dwave-token", "D-Wave token", "DWAVE_API_TOKEN", "DWAVE_TOKEN", "DWAVE_API_KEY"),
    named(
        "ibm-quantum-token",
        "IBM Quantum token",
        *("IQP_API_TOKEN", "QISKIT_IBM_TOKEN", "QISKIT_TOKEN", "IBM_QUANTUM_TOKEN", "IBM_QUANTUM_API", "IBMQ_TOKEN"),
        *("IBMQ_API", "IBM_CLOUD_API_KEY", "IBMCLOUD_API_KEY", "QE_TOKEN"),
    ),
    Rule(
        "azure-quantum-key",
        (";apikey=",),
        r"[^\s;\"'<>\\]{12,}",
        lead=r"(?i:;apikey=)",
        check=plausible.not_placeholder,
        grows=r"^\s;\"'<>\\",
        description="Azure Quantum key",
        examples=("WorkspaceName=w;ApiKey={a32};QuantumEndpoint=https://x",),
    ),
    named(
        "azure-quantum-key", "Azure Quantum key", "AZURE_QUANTUM_API_KEY", "AZURE_QUANTUM_KEY", "AZURE_CLIENT_SECRET"
    ),
    token(
        "qbraid-token",
        "qBraid API key",
        r"qbr_[0-9A-Za-z]{16,}",
        "qbr_",
        example="QbraidProvider(api_key='qbr_{h32}')",
        grows="0-9A-Za-z",
    ),
    named("qbraid-token", "qBraid API key", "QBRAID_API_KEY", "QBRAID_TOKEN"),
    named(
        "rigetti-token",
        "Rigetti QCS token",
        *("QCS_SETTINGS_REFRESH_TOKEN", "QCS_REFRESH_TOKEN", "QCS_ACCESS_TOKEN", "RIGETTI_API_KEY"),
    ),
    named(
        "xanadu-token",
        "Xanadu Cloud token",
        *("XANADU_CLOUD_REFRESH_TOKEN", "XANADU_CLOUD_TOKEN", "SF_API_AUTHENTICATION_TOKEN"),
    ),
    named("ionq-api-key", "IonQ API key", "IONQ_API_KEY", "IONQ_API_TOKEN", "IONQ_KEY"),
    Rule(
        "ionq-api-key",
        ("apikey ",),
        rf"{OPAQUE}{{16,}}",
        lead=r"(?i:apikey) ",
        check=plausible.provider_token,
        grows=OPAQUE[1:-1],
        description="IonQ API key",
        examples=("Authorization: apiKey {a32}",),
    ),
    named("iqm-token", "IQM token", "IQM_TOKEN", "IQM_AUTH_TOKEN", "IQM_API_TOKEN"),
    named("bluequbit-token", "BlueQubit token", "BLUEQUBIT_API_TOKEN", "BLUEQUBIT_TOKEN"),
    named("oqc-token", "OQC token", "OQC_API_TOKEN", "OQC_TOKEN", "OQC_AUTH_TOKEN", "QCAAS_TOKEN"),
    named("strangeworks-key", "Strangeworks API key", "STRANGEWORKS_API_KEY", "STRANGEWORKS_KEY"),
    named(
        "quantinuum-token",
        "Quantinuum password or token",
        *("QUANTINUUM_TOKEN", "QUANTINUUM_PASSWORD", "HQS_TOKEN", "HQS_PASSWORD", "NEXUS_TOKEN"),
    ),
    named(
        "quantum-inspire-token", "Quantum Inspire token", "QI_TOKEN", "QUANTUM_INSPIRE_TOKEN", "QUANTUMINSPIRE_TOKEN"
    ),
    named("pasqal-password", "Pasqal password or token", "PASQAL_PASSWORD", "PASQAL_TOKEN", "PASQAL_CLIENT_SECRET"),
    named("alice-bob-key", "Alice & Bob API key", "ALICE_BOB_API_KEY", "AB_API_KEY"),
)

JUPYTER = (
    Rule(
        "jupyter-token",
        ("?token=", "&token=", "&amp;token="),
        rf"{_URL_BODY}{{16,}}",
        lead=r"(?i:[?&]|&amp;)token=",
        check=plausible.not_placeholder,
        grows=_URL_BODY[1:-1],
        description="token of a Jupyter server or hub",
        examples=("http://127.0.0.1:8888/lab?token={h48}",),
    ),
    named(
        "jupyter-token",
        "token of a Jupyter server or hub",
        *("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JUPYTERHUB_CRYPT_KEY"),
        *("IdentityProvider.token", "ServerApp.token", "NotebookApp.token"),
        severity=Severity.HIGH,
    ),
)
