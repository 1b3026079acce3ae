"""Clouds and what runs in them: whole accounts are at stake."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.rules.rule import ASSIGN, ASSIGN_OR_SPACE, B64, B64URL, TAGGED, Rule, token
from jupyter_qsec.scanning.severity import Severity

_IAM = "Deactivate it in IAM; a kernel with a lease needs none."
_SECRET_NAMES = "secret_access_key", "secretaccesskey", "secret-access-key", "aws_secret", "secret_key", "secretkey"
_SESSION_NAMES = (
    *("session_token", "sessiontoken", "session-token", "security-token", "security_token", "securitytoken"),
)
_LEAKED = Severity.CRITICAL


def _aws(
    kind: str,
    description: str,
    triggers: tuple[str, ...],
    body: str,
    example: str,
    never: tuple[str, ...],
    **more: object,
) -> Rule:
    more.setdefault("check", plausible.no_published_example)
    return Rule(
        kind,
        triggers,
        body,
        severity=_LEAKED,
        description=description,
        advice=_IAM,
        examples=(example,),
        never=never,
        **more,  # type: ignore[arg-type]  # fields of Rule by name
    )


AWS = (
    _aws(
        "aws-access-key",
        "AWS access key id",
        ("a3t", "abia", "acca", "akia", "asia"),
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
        "AKIA{u16}",
        gate="[0-9A-Z]{8}",
        plugin="AWSKeyDetector",
        check=plausible.access_key_id,
        joins=True,
        never=(
            "AKIA{u8}",
            "ASIA-PACIFIC-SOUTHEAST-1",
            "AKIAXXXXXXXXXXXXXXXX",
            "AFRICA\nASIA\nEUROPE\nNORTHAMERICA\nSOUTHAMERICA",
            "TTGACGGACCATCTCTACCGGTTCGCTTTCACTGGA",
            "IDASAECAKIAAQAAAAAABAAHAM0AAQAAAAAA",
        ),
    ),
    _aws(
        "aws-secret-key",
        "AWS secret access key",
        _SECRET_NAMES,
        rf"[{B64}]{{40}}",
        "aws_secret_access_key = '{a40}'",
        lead=rf"(?i:{'|'.join(_SECRET_NAMES)})\w{{0,16}}(?:{ASSIGN_OR_SPACE}|{TAGGED})",
        not_before=f"{B64}=",
        never=(
            "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "Session(aws_secret_access_key=settings.AWS_SECRET_ACCESS_KEY)",
        ),
    ),
    _aws(
        "aws-secret-key",
        "AWS secret access key",
        ("secret",),
        rf"[{B64}]{{40}}",
        "SECRET = '{a40}'",
        lead=rf"(?i:secret)\w{{0,16}}{ASSIGN}",
        gate=r"\w{0,16}[\W]{1,24}[A-Za-z0-9+/]{8}",
        check=plausible.aws_secret,
        not_before=f"{B64}=",
        never=("secret_sha1 = '{h40}'", "SECRET = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:lab'"),
    ),
    _aws(
        "aws-secret-key",
        "AWS secret access key",
        ("aws",),
        rf"[{B64}]{{40}}",
        "aws_key = '{a40}'",
        lead=r"(?i:aws)[^\n]{0,20}?(?i:key|pwd|pw|password|pass|token)[^\n]{0,20}?[\"']",
        tail=r"[\"']",
        gate=r"[^\n]{0,20}?(?:key|pw|pass|token)",
        plugin="AWSKeyDetector",
        never=("aws_key_alias = 'alias/lab-results-2024'", "aws kms describe-key --key-id '{h8}-{h4}-{h4}-{h4}-{h12}'"),
    ),
    _aws(
        "aws-session-token",
        "AWS session token",
        ("iqojb3jpz2lux2vj", "fwogzxivyxdz", "fqogzxivyxdz", "aqodyxdz"),
        r"(?:IQoJb3JpZ2luX2Vj|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz)[A-Za-z0-9+/=%_-]{60,}",
        "IQoJb3JpZ2luX2Vj{a200}",
        grows="A-Za-z0-9+/=%_-",
        joins=True,
        never=(
            "token.startswith('IQoJb3JpZ2luX2Vj')",
            "FwoGZXIvYXdz{a20}",
            "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI",
        ),
    ),
    _aws(
        "aws-session-token",
        "AWS session token",
        _SESSION_NAMES,
        r"[A-Za-z0-9+/=%_.-]{16,}",
        '"SessionToken": "{a32}"',
        lead=rf"(?i:{'|'.join(_SESSION_NAMES)})(?:{ASSIGN_OR_SPACE}|{TAGGED})",
        check=plausible.opaque_token,
        grows="A-Za-z0-9+/=%_.-",
        never=("session_token=credentials.token", "session_token_ttl = 3600", "AWS_SESSION_TOKEN=<session token>"),
    ),
    token(
        "aws-bedrock-key",
        "Amazon Bedrock API key",
        r"ABSK[A-Za-z0-9+/]{109,269}={0,2}|bedrock-api-key-[A-Za-z0-9+/=_-]{16,}",
        *("ABSK", "bedrock-api-key-"),
        example="ABSK{a128}",
        never=("ABSK{a40}", "bedrock-api-key-rotation-schedule"),
        gate="[A-Za-z0-9+/=_-]{16}",
        severity=_LEAKED,
        grows="A-Za-z0-9+/=_-",
    ),
    token(
        "aws-mws-key",
        "Amazon MWS key",
        r"amzn\.mws\.[0-9a-z]{8}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{12}",
        "amzn.mws.",
        example="amzn.mws.{h8}-{h4}-{h4}-{h4}-{h12}",
        never=("from amzn.mws.orders_client import ReportRequest", "amzn.mws.{h8}-{h4}"),
    ),
)

AZURE = (
    Rule(
        "azure-storage-key",
        ("accountkey=",),
        r"[a-zA-Z0-9+/=]{88}",
        lead="AccountKey=",
        plugin="AzureStorageKeyDetector",
        severity=_LEAKED,
        description="Azure storage account key",
        examples=("AccountName=x;AccountKey={a86}==;",),
        never=(
            "f'AccountName={name};AccountKey={account_key};EndpointSuffix=core.windows.net'",
            "AccountKey=<base64 of 64 bytes>;",
        ),
    ),
    Rule(
        "azure-connection-string",
        ("sharedaccesskey=", "sharedaccesssignature="),
        r"[A-Za-z0-9+/=%]{20,}",
        lead=r"(?i:sharedaccesskey|sharedaccesssignature)=",
        check=plausible.not_placeholder,
        grows="A-Za-z0-9+/=%&:._-",
        severity=_LEAKED,
        description="Azure connection string",
        examples=("Endpoint=sb://x;SharedAccessKey={a43}=",),
        never=(
            "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=<SharedAccessKey>",
            "SharedAccessKey=${SERVICE_BUS_KEY}",
        ),
    ),
    Rule(
        "azure-sas-token",
        ("&sig=", "?sig=", "&amp;sig="),
        r"[A-Za-z0-9%+/_-]{40,}(?:=|%3[dD]){0,2}",
        lead=r"(?i:[?&]|&amp;)sig=",
        description="Azure shared access signature",
        examples=("https://x.blob.core.windows.net/c?sv=2024&sig={a43}%3D",),
        never=("https://x.example.org/verify?sig={h32}", "f'{url}?sv=2024-05-04&sr=c&sig={signature}'"),
    ),
)

GOOGLE = (
    token(
        "google-api-key",
        "Google API key",
        r"AIza[0-9A-Za-z_-]{35}",
        "aiza",
        example="AIza{b35}",
        never=("AIza{b20}", "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"),
        gate="[0-9A-Za-z_-]{16}",
        not_before="0-9A-Za-z_-",
    ),
    token(
        "google-oauth-secret",
        "Google OAuth client secret",
        r"GOCSPX-[0-9A-Za-z_-]{24,}",
        "gocspx-",
        example="GOCSPX-{b28}",
        never=("GOCSPX-<client secret>", "GOCSPX-{b10}"),
        grows=B64URL,
    ),
    token(
        "google-oauth-token",
        "Google OAuth access token",
        r"ya29\.[0-9A-Za-z_-]{16,}",
        "ya29.",
        example="ya29.{b120}",
        never=("photos/ya29.jpeg", "ya29.{b10}"),
        grows=B64URL,
    ),
    token(
        "google-oauth-token",
        "Google OAuth refresh token",
        r"1//0[0-9A-Za-z_-]{40,}",
        "1//0",
        example="1//0{b99}",
        never=("with pytest.raises(ZeroDivisionError): 1//0", "1//0{b20}"),
        grows=B64URL,
        not_after="A-Za-z0-9/",
    ),
)

RULES: tuple[Rule, ...] = (*AWS, *AZURE, *GOOGLE)
