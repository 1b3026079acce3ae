"""The rules: which words make a text worth a look, and what a secret beside them looks like.

Every pattern is RE2 syntax, so its cost is linear in the text whoever wrote that text. A rule is anchored at one of its
triggers: `lead` runs from the trigger to the secret and is no secret itself; an empty lead means the secret begins with
the trigger. Formats come from the providers' documentation and, where named, from detect-secrets' plugins.
"""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.plausible import Check

QUOTE = r"""(?:\\{0,4}["'`]|&quot;|&#39;|&#x27;|%22)"""
_CLOSE = rf"{QUOTE}?[\])]{{0,2}}"
_OPEN = rf"\(?(?:\n[ \t]{{0,24}})?[bBrRuU]{{0,2}}{QUOTE}{{0,3}}"
ASSIGN = rf"{_CLOSE}[ \t]{{0,8}}(?::[ \t]?[A-Za-z\[\]]{{1,20}}[ \t]?=|=>|:=|={{1,2}}|!=|:|,)[ \t]{{0,8}}{_OPEN}"
"""From a name to its value: `=`, `:`, `":`, `"] =`, `: str =`, `=>`, `", "`, also JSON- and HTML-escaped quotes."""
ASSIGN_OR_SPACE = rf"(?:{ASSIGN}|{_CLOSE}[ \t|]{{1,24}}{_OPEN})"
OPAQUE = "[A-Za-z0-9_.+/~-]"
_OPAQUE_GROWS = "A-Za-z0-9_.+/~=-"
_B64 = "A-Za-z0-9+/"
_B64URL = "A-Za-z0-9_-"


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape of secret."""

    kind: str
    triggers: tuple[str, ...]
    """Lower-case literals, matched without regard to case; `lead` or `body` begins with one of them."""
    body: str
    """The secret itself."""
    lead: str = ""
    tail: str = ""
    """What must follow the secret, without being part of it."""
    plugin: str = ""
    """The detect-secrets plugin that must confirm the finding."""
    probe: str = "{window}"
    """What the plugin is shown: the text from trigger to tail, or something made of `{identifier}` and `{value}`."""
    check: Check = plausible.anything
    not_after: str = ""
    """Character class body: none of these may stand before the trigger."""
    not_before: str = ""
    """Character class body: none of these may follow the secret."""
    grows: str = ""
    """Character class body with which the secret goes on past the shortest match; empty: its length is fixed."""
    span: int = 512
    """How far from the trigger a shortest match may end; what `grows` reaches further."""
    joins: bool = False
    """Distinctive enough to be recognised across line breaks (a key printed in pieces)."""


def _prefixed(kind: str, *triggers: str, body: str, not_after: str = "A-Za-z0-9", **more: object) -> Rule:
    return Rule(kind, tuple(t.lower() for t in triggers), body, not_after=not_after, joins=True, **more)  # type: ignore[arg-type]  # fields of Rule by name


def _named(kind: str, *names: str, body: str = rf"{OPAQUE}{{12,}}", grows: str = "A-Za-z0-9_.+/~=-") -> Rule:
    """A secret that only its documented variable gives away. Names are patterns whose `_?` may be left out."""
    triggers = tuple(n.lower() for n in names)
    lead = rf"(?i:{'|'.join(names)})\w{{0,12}}{ASSIGN_OR_SPACE}"
    return Rule(kind, triggers, body, lead=lead, check=plausible.provider_token, grows=grows)


_AWS_KEY_ID = r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}"
_AWS_SECRET_NAMES = (
    "secret_access_key",
    "secretaccesskey",
    "secret-access-key",
    "aws_secret",
    "secret_key",
    "secretkey",
)
_SESSION_TOKEN_NAMES = (
    "session_token",
    "sessiontoken",
    "session-token",
    "security-token",
    "security_token",
    "securitytoken",
)

OWN = (
    # What the gateway gives to kernels, shaped so that it can be told from anything else (application/tokens.py).
    _prefixed("aws-session-token", "qsec1.", body=rf"qsec1\.[{_B64URL}]{{88}}"),
    _prefixed("aws-secret-key", "qseckey/", body=rf"qsecKey/[{_B64}]{{32}}"),
    _prefixed("qsec-lease-token", "qsec-lease.", body=rf"qsec-lease\.[0-9a-f]{{32}}\.[{_B64URL}]{{43}}"),
)
CLOUD = (
    Rule("aws-access-key", ("a3t", "abia", "acca", "akia", "asia"), _AWS_KEY_ID, plugin="AWSKeyDetector", joins=True),
    Rule(
        "aws-secret-key",
        _AWS_SECRET_NAMES,
        rf"[{_B64}]{{40}}",
        lead=rf"(?i:{'|'.join(_AWS_SECRET_NAMES)})\w{{0,16}}{ASSIGN_OR_SPACE}",
        not_before=f"{_B64}=",
    ),
    Rule(
        "aws-secret-key",
        ("secret",),
        rf"[{_B64}]{{40}}",
        lead=rf"(?i:secret)\w{{0,16}}{ASSIGN}",
        check=plausible.aws_secret,
        not_before=f"{_B64}=",
    ),
    Rule(
        "aws-secret-key",
        ("aws",),
        rf"[{_B64}]{{40}}",
        lead=r"(?i:aws)[^\n]{0,20}?(?i:key|pwd|pw|password|pass|token)[^\n]{0,20}?[\"']",
        tail=r"[\"']",
        plugin="AWSKeyDetector",
    ),
    Rule(
        "aws-session-token",
        ("iqojb3jpz2lux2vj", "fwogzxivyxdz", "fqogzxivyxdz", "aqodyxdz"),
        r"(?:IQoJb3JpZ2luX2Vj|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz)[A-Za-z0-9+/=%_-]{60,}",
        grows="A-Za-z0-9+/=%_-",
        joins=True,
    ),
    Rule(
        "aws-session-token",
        _SESSION_TOKEN_NAMES,
        r"[A-Za-z0-9+/=%_.-]{16,}",
        lead=rf"(?i:{'|'.join(_SESSION_TOKEN_NAMES)}){ASSIGN_OR_SPACE}",
        check=plausible.opaque_token,
        grows="A-Za-z0-9+/=%_.-",
    ),
    Rule(
        "azure-storage-key",
        ("accountkey=",),
        r"[a-zA-Z0-9+/=]{88}",
        lead="AccountKey=",
        plugin="AzureStorageKeyDetector",
    ),
    Rule(
        "azure-quantum-key",
        (";apikey=",),
        r"[^\s;\"'<>\\]{12,}",
        lead=r"(?i:;apikey=)",
        check=plausible.not_placeholder,
        grows=r"^\s;\"'<>\\",
    ),
    Rule(
        "ibm-cloud-key",
        ("key", "pwd", "password", "token"),
        rf"[{_B64URL}]{{44}}",
        lead=rf"(?i:key|pwd|password|token){ASSIGN}",
        plugin="IbmCloudIamDetector",
        check=plausible.opaque_token,
        not_before=_B64URL,
    ),
    Rule(
        "ibm-cos-hmac",
        ("secret_access_key", "secret-access-key", "secretaccesskey", "secret_key", "secret-key", "secretkey"),
        r"[a-f0-9]{48}",
        lead=rf"(?i:secret[_-]?(?:access)?[_-]?key){ASSIGN}",
        plugin="IbmCosHmacDetector",
        not_before="a-f0-9",
    ),
    Rule(
        "cloudant-credentials",
        ("cloudant",),
        r"[0-9a-f]{64}|[a-z]{24}",
        lead=rf"(?i:cloudant)[_-]?(?i:api)?(?i:key|pwd|pw|password|pass|token){ASSIGN}",
        plugin="CloudantDetector",
    ),
    Rule(
        "softlayer-credentials",
        ("softlayer", "sl_"),
        r"[A-Za-z0-9]{64}",
        lead=rf"(?i:softlayer|sl)[_-]?(?i:api)?[_-]?(?i:key|pwd|password|pass|token){ASSIGN}",
        plugin="SoftlayerDetector",
    ),
)

QUANTUM = (
    _prefixed("dwave-token", "DEV-", body=r"DEV-[0-9A-Fa-f]{40,}", grows="0-9A-Fa-f"),
    _named("dwave-token", "DWAVE_API_TOKEN", "DWAVE_TOKEN", "DWAVE_API_KEY"),
    _named(
        "ibm-quantum-token",
        *("IQP_API_TOKEN", "QISKIT_IBM_TOKEN", "QISKIT_TOKEN", "IBM_QUANTUM_TOKEN", "IBM_QUANTUM_API", "IBMQ_TOKEN"),
        *("IBMQ_API", "IBM_CLOUD_API_KEY", "IBMCLOUD_API_KEY", "QE_TOKEN"),
    ),
    _named("azure-quantum-key", "AZURE_QUANTUM_API_KEY", "AZURE_QUANTUM_KEY", "AZURE_CLIENT_SECRET"),
    _prefixed("qbraid-token", "qbr_", body=r"qbr_[0-9A-Za-z]{16,}", grows="0-9A-Za-z"),
    _named("qbraid-token", "QBRAID_API_KEY", "QBRAID_TOKEN"),
    _named("rigetti-token", "QCS_SETTINGS_REFRESH_TOKEN", "QCS_REFRESH_TOKEN", "QCS_ACCESS_TOKEN", "RIGETTI_API_KEY"),
    _named("xanadu-token", "XANADU_CLOUD_REFRESH_TOKEN", "XANADU_CLOUD_TOKEN", "SF_API_AUTHENTICATION_TOKEN"),
    _named("ionq-api-key", "IONQ_API_KEY", "IONQ_API_TOKEN", "IONQ_KEY"),
    Rule(
        "ionq-api-key",
        ("apikey ",),
        rf"{OPAQUE}{{16,}}",
        lead=r"(?i:apikey) ",
        check=plausible.provider_token,
        grows=_OPAQUE_GROWS,
    ),
    _named("iqm-token", "IQM_TOKEN", "IQM_AUTH_TOKEN", "IQM_API_TOKEN"),
    _named("bluequbit-token", "BLUEQUBIT_API_TOKEN", "BLUEQUBIT_TOKEN"),
    _named("oqc-token", "OQC_API_TOKEN", "OQC_TOKEN", "OQC_AUTH_TOKEN", "QCAAS_TOKEN"),
    _named("strangeworks-key", "STRANGEWORKS_API_KEY", "STRANGEWORKS_KEY"),
    _named("quantinuum-token", "QUANTINUUM_TOKEN", "QUANTINUUM_PASSWORD", "HQS_TOKEN", "HQS_PASSWORD", "NEXUS_TOKEN"),
    _named("quantum-inspire-token", "QI_TOKEN", "QUANTUM_INSPIRE_TOKEN", "QUANTUMINSPIRE_TOKEN"),
    _named("pasqal-password", "PASQAL_PASSWORD", "PASQAL_TOKEN", "PASQAL_CLIENT_SECRET"),
    _named("alice-bob-key", "ALICE_BOB_API_KEY", "AB_API_KEY"),
)

HOSTING = (
    _prefixed(
        "github-token",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        body=r"gh[pousr]_[A-Za-z0-9_]{36,}",
        plugin="GitHubTokenDetector",
        grows="A-Za-z0-9_",
    ),
    _prefixed("github-token", "github_pat_", body=r"github_pat_[A-Za-z0-9_]{36,}", grows="A-Za-z0-9_"),
    _prefixed(
        "gitlab-token",
        *(
            "glpat-",
            "gldt-",
            "glft-",
            "glsoat-",
            "glrt-",
            "glcbt-",
            "glimt-",
            "glptt-",
            "glagent-",
            "gloas-",
            "gr1348941",
        ),
        body=r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20,}",
        grows="A-Za-z0-9_-",
    ),
    _prefixed(
        "slack-token",
        *(f"xox{c}-" for c in "abprsoe"),
        body=r"xox[abprsoe]-(?:\d+-)+[A-Za-z0-9-]{6,}",
        grows="A-Za-z0-9-",
    ),
    Rule(
        "slack-token",
        ("hooks.slack.com/services/",),
        r"T[a-zA-Z0-9_]+/B[a-zA-Z0-9_]+/[a-zA-Z0-9_]+",
        lead=r"(?i:hooks\.slack\.com/services/)",
        grows="a-zA-Z0-9_",
    ),
    _prefixed("npm-token", "npm_", body=r"npm_[A-Za-z0-9]{36,}", grows="A-Za-z0-9"),
    Rule("npm-token", (":_authtoken=",), r"[A-Za-z0-9_-]{16,}", lead=r"(?i::_authtoken=)\s{0,4}", grows="A-Za-z0-9_-"),
    _prefixed(
        "pypi-token",
        *("pypi-ageicHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZw"),
        body=r"pypi-(?:AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{70,}",
        plugin="PypiTokenDetector",
        grows="A-Za-z0-9_-",
    ),
    _prefixed("openai-token", "sk-", body=r"sk-[A-Za-z0-9_-]{0,128}?T3BlbkFJ[A-Za-z0-9_-]{20,}", grows="A-Za-z0-9_-"),
    _prefixed(
        "stripe-key",
        "sk_live_",
        "rk_live_",
        body=r"[rs]k_live_[0-9a-zA-Z]{24,}",
        plugin="StripeDetector",
        grows="0-9a-zA-Z",
    ),
    _prefixed("sendgrid-key", "sg.", body=r"SG\.[a-zA-Z0-9_-]{22}\.[a-zA-Z0-9_-]{43}", plugin="SendGridDetector"),
    _prefixed("square-oauth-secret", "sq0csp-", body=r"sq0csp-[0-9A-Za-z\\_-]{43}", plugin="SquareOAuthDetector"),
    _prefixed(
        "artifactory-credentials",
        "akc",
        body=r"AKC[a-zA-Z0-9]{10,}",
        plugin="ArtifactoryDetector",
        check=plausible.with_letter_and_digit,
        grows="a-zA-Z0-9",
    ),
    _prefixed("google-api-key", "aiza", body=r"AIza[0-9A-Za-z_-]{35}", not_before="0-9A-Za-z_-"),
    _prefixed("huggingface-token", "hf_", body=r"hf_[A-Za-z0-9]{34,}", grows="A-Za-z0-9"),
)

_HEADER_SCHEMES = "bearer|basic|token|apikey|digest"

WEB = (
    _prefixed(
        "jwt",
        "eyj",
        body=r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){4}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
        not_after="A-Za-z0-9_-",
        check=plausible.json_web_token,
        span=4096,
        grows="A-Za-z0-9_.-",
    ),
    Rule(
        "jupyter-token",
        ("?token=", "&token=", "&amp;token="),
        r"[A-Za-z0-9_.~-]{16,}",
        lead=r"(?i:[?&]|&amp;)token=",
        check=plausible.not_placeholder,
        grows="A-Za-z0-9_.~-",
    ),
    _named(
        "jupyter-token",
        *("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JUPYTERHUB_CRYPT_KEY"),
        *("IdentityProvider.token", "ServerApp.token", "NotebookApp.token"),
    ),
    Rule(
        "basic-auth",
        ("://",),
        r"[^:/?#\[\]@!$&'()*+,;=\s]{1,200}",
        lead=r"://[^:/?#\[\]@!$&'()*+,;=\s]{1,64}:",
        tail="@",
        plugin="BasicAuthDetector",
        check=plausible.not_placeholder,
    ),
    Rule(
        "authorization-header",
        ("authorization",),
        rf"{OPAQUE}{{16,}}",
        lead=rf"(?i:authorization){ASSIGN}(?i:{_HEADER_SCHEMES}) {{1,4}}",
        check=plausible.not_placeholder,
        grows=_OPAQUE_GROWS,
    ),
)

_PASSWORD_NAMES = (
    *("api_key", "apikey", "auth_key", "authkey", "service_key", "servicekey", "account_key", "accountkey", "db_key"),
    *(
        "dbkey",
        "database_key",
        "priv_key",
        "private_key",
        "client_key",
        "db_pass",
        "dbpass",
        "database_pass",
        "key_pass",
    ),
    *("password", "passwd", "pwd", "secret", "contraseña", "contrasena"),
)
_TOKEN_NAMES = ("token", "api_key", "apikey", "api-key", "access_key", "accesskey", "encryption_key", "signing_key")
_SHELL_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key", "credential")
_PHRASE = r"[^\s'\"`\\]{1,120}(?: [^\s'\"`\\]{1,60}){0,8}"

ASSIGNED = (
    Rule(
        "assigned-secret",
        tuple(name for name in _PASSWORD_NAMES if name.isascii()),
        _PHRASE,
        lead=rf"(?i:{'|'.join(name for name in _PASSWORD_NAMES if name.isascii())})\w{{0,40}}[\]'\"]{{0,2}}[ \t]{{0,8}}"
        r"(?::[ \t]?[A-Za-z]{1,12}[ \t]?=|=>|:=|={1,3}|!==?|:)[ \t]{0,8}[bru]?[\"'`]",
        tail=r"[\"'`]",
        plugin="KeywordDetector",
        probe='{identifier} = "{value}"',
        check=plausible.password_like,
    ),
    Rule(
        "assigned-token",
        _TOKEN_NAMES,
        rf"{OPAQUE}{{16,}}",
        lead=rf"(?i:{'|'.join(_TOKEN_NAMES)})\w{{0,24}}{ASSIGN}",
        check=plausible.opaque_token,
        grows=_OPAQUE_GROWS,
    ),
    Rule(
        "assigned-secret",
        _SHELL_NAMES,
        r"[^\s'\"`\\,;)(}{]{6,200}",
        lead=r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_KEY|CREDENTIAL)[A-Z0-9_]{0,24}=",
        check=plausible.password_like,
        not_after="a-z",
        grows=r"^\s'\"`\\,;)(}{",
    ),
)

RULES: tuple[Rule, ...] = (*OWN, *QUANTUM, *CLOUD, *HOSTING, *WEB, *ASSIGNED)
"""More specific rules first: where two meet, the earlier names the kind."""
