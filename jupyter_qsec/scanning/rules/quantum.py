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
        never=("SESSION = f'qsec1.{payload}.{mac}'", "qsec1.{b60}"),
        advice=_LEASE,
    ),
    token(
        "aws-secret-key",
        "secret key of a kernel's lease",
        rf"qsecKey/[{B64}]{{32}}",
        "qseckey/",
        example="qsecKey/{a32}",
        never=("qsecKey/{a20}", "secret = 'qsecKey/' + encoded(digest)"),
        advice=_LEASE,
    ),
    token(
        "qsec-lease-token",
        "lease of a kernel",
        rf"qsec-lease\.[0-9a-f]{{32}}\.[{B64URL}]{{43}}",
        "qsec-lease.",
        example="qsec-lease.{h32}.{b43}",
        never=("qsec-lease.{h32} has ended", "qsec-lease.<id of the lease>.<secret>"),
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
        never=("DEV-2041: qubits drift", "docker pull example.org/solver:dev-{h40}", "DEV-{h32}"),
        grows="0-9A-Fa-f",
        gate="[0-9A-Fa-f]{8}",
    ),
    named(
        "dwave-token",
        "D-Wave token",
        "DWAVE_API_TOKEN",
        "DWAVE_TOKEN",
        "DWAVE_API_KEY",
        never=("DWAVE_API_TOKEN = os.environ['DWAVE_API_TOKEN']", "DWAVE_TOKEN=<your token>"),
    ),
    named(
        "ibm-quantum-token",
        "IBM Quantum token",
        *("IQP_API_TOKEN", "QISKIT_IBM_TOKEN", "QISKIT_TOKEN", "IBM_QUANTUM_TOKEN", "IBM_QUANTUM_API", "IBMQ_TOKEN"),
        *("IBMQ_API", "IBM_CLOUD_API_KEY", "IBMCLOUD_API_KEY", "QE_TOKEN"),
        never=("QISKIT_IBM_TOKEN = getpass('IBM Quantum token: ')", "IBMQ_TOKEN=IBM_QUANTUM_TOKEN_2024"),
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
        never=(
            "Workspace.from_connection_string(f'WorkspaceName={name};ApiKey={api_key};Location=westus')",
            "WorkspaceName=w;ApiKey=<your-api-key>;QuantumEndpoint=https://x",
        ),
    ),
    named(
        "azure-quantum-key",
        "Azure Quantum key",
        "AZURE_QUANTUM_API_KEY",
        "AZURE_QUANTUM_KEY",
        "AZURE_CLIENT_SECRET",
        never=('AZURE_CLIENT_SECRET="${AZURE_CLIENT_SECRET}"', "azure_quantum_key = client.list_keys().primary_key1"),
    ),
    token(
        "qbraid-token",
        "qBraid API key",
        r"qbr_[0-9A-Za-z]{16,}",
        "qbr_",
        example="QbraidProvider(api_key='qbr_{h32}')",
        never=("qbr_{a12}", "qbr_transpiled_circuit_depth_2"),
        grows="0-9A-Za-z",
    ),
    named(
        "qbraid-token",
        "qBraid API key",
        "QBRAID_API_KEY",
        "QBRAID_TOKEN",
        never=("QBRAID_API_KEY=your_qbraid_api_key_123", "if 'QBRAID_API_KEY' not in os.environ:"),
    ),
    named(
        "rigetti-token",
        "Rigetti QCS token",
        *("QCS_SETTINGS_REFRESH_TOKEN", "QCS_REFRESH_TOKEN", "QCS_ACCESS_TOKEN", "RIGETTI_API_KEY"),
        never=(
            "QCS_SETTINGS_REFRESH_TOKEN = load('~/.qcs/secrets.toml')['refresh_token']",
            "QCS_ACCESS_TOKEN=~/.qcs/access_token_1",
        ),
    ),
    named(
        "xanadu-token",
        "Xanadu Cloud token",
        *("XANADU_CLOUD_REFRESH_TOKEN", "XANADU_CLOUD_TOKEN", "SF_API_AUTHENTICATION_TOKEN"),
        never=(
            "XANADU_CLOUD_TOKEN: ${{ secrets.XANADU_CLOUD_TOKEN_2 }}",
            "XANADU_CLOUD_REFRESH_TOKEN is read from xc/config.toml",
        ),
    ),
    named(
        "ionq-api-key",
        "IonQ API key",
        "IONQ_API_KEY",
        "IONQ_API_TOKEN",
        "IONQ_KEY",
        never=("ionq_api_key = vault.read('quantum/ionq2')", "IONQ_API_KEY: https://cloud.ionq.com/settings/keys1"),
    ),
    Rule(
        "ionq-api-key",
        ("apikey ",),
        rf"{OPAQUE}{{16,}}",
        lead=r"(?i:apikey) ",
        check=plausible.provider_token,
        grows=OPAQUE[1:-1],
        description="IonQ API key",
        examples=("Authorization: apiKey {a32}",),
        never=(
            "headers = {'Authorization': f'apiKey {self.ionq_api_key_2}'}",
            "IonQ knows the apiKey authentication_scheme only",
        ),
    ),
    named(
        "iqm-token",
        "IQM token",
        "IQM_TOKEN",
        "IQM_AUTH_TOKEN",
        "IQM_API_TOKEN",
        never=("IQM_TOKEN=xxxxxxxxxxxxxxxx1234", "iqm_token = refreshed(tokens_file_2)"),
    ),
    named(
        "bluequbit-token",
        "BlueQubit token",
        "BLUEQUBIT_API_TOKEN",
        "BLUEQUBIT_TOKEN",
        never=("bluequbit_token = os.getenv('BLUEQUBIT_API_TOKEN')", "BLUEQUBIT_API_TOKEN=<from app.bluequbit.io>"),
    ),
    named(
        "oqc-token",
        "OQC token",
        "OQC_API_TOKEN",
        "OQC_TOKEN",
        "OQC_AUTH_TOKEN",
        "QCAAS_TOKEN",
        never=("OQC_AUTH_TOKEN=$OQC_TOKEN_2", "oqc_token = client.authenticate(user_2, url)"),
    ),
    named(
        "strangeworks-key",
        "Strangeworks API key",
        "STRANGEWORKS_API_KEY",
        "STRANGEWORKS_KEY",
        never=('STRANGEWORKS_API_KEY: "{{ vault_strangeworks_key_2024 }}"', "strangeworks_key = args.strangeworks_key"),
    ),
    named(
        "quantinuum-token",
        "Quantinuum password or token",
        *("QUANTINUUM_TOKEN", "QUANTINUUM_PASSWORD", "HQS_TOKEN", "HQS_PASSWORD", "NEXUS_TOKEN"),
        never=("QUANTINUUM_PASSWORD=****************", "NEXUS_TOKEN = auth.login_with_credentials(2)"),
    ),
    named(
        "quantum-inspire-token",
        "Quantum Inspire token",
        "QI_TOKEN",
        "QUANTUM_INSPIRE_TOKEN",
        "QUANTUMINSPIRE_TOKEN",
        never=("QI_TOKEN=<paste it here>", "qi_token = token_from_file_2()"),
    ),
    named(
        "pasqal-password",
        "Pasqal password or token",
        "PASQAL_PASSWORD",
        "PASQAL_TOKEN",
        "PASQAL_CLIENT_SECRET",
        never=("PASQAL_PASSWORD = getpass.getpass()", "PASQAL_CLIENT_SECRET: ${PASQAL_CLIENT_SECRET:?not set}"),
    ),
    named(
        "alice-bob-key",
        "Alice & Bob API key",
        "ALICE_BOB_API_KEY",
        "AB_API_KEY",
        never=("ALICE_BOB_API_KEY=changeme-please-2024", "ab_api_key = keyring.get_password('alice-bob', 'felis2')"),
    ),
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
        never=(
            "302 GET /tree?token=[secret] (127.0.0.1) 0.98ms",
            "http://127.0.0.1:8888/lab?token=...",
            "f'{url}api/kernels?token={self.token}'",
        ),
    ),
    named(
        "jupyter-token",
        "token of a Jupyter server or hub",
        *("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JUPYTERHUB_CRYPT_KEY"),
        *("IdentityProvider.token", "ServerApp.token", "NotebookApp.token"),
        severity=Severity.HIGH,
        never=(
            "c.ServerApp.token = ''",
            "c.IdentityProvider.token = os.environ['LAB_TOKEN_2']",
            "JUPYTERHUB_API_TOKEN is given to every server by the hub",
        ),
    ),
)
