"""Roles of AWS, taken with STS AssumeRole through botocore."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.domain.provider import (
    CredentialSource,
    ProviderAccess,
    ProviderRole,
    ProviderSession,
    StaticCredential,
)

_THROTTLED = ("Throttling", "ThrottlingException", "RequestLimitExceeded")
_OWN_CREDENTIALS = (
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
LIFETIME_SECONDS = 3600
"""What AWS allows for any role, also where one role is taken from another."""
_SECONDS = {"connect_timeout": 5, "read_timeout": 10}


class AwsRoles:
    """Implements the `ProviderRoles` port."""

    def __init__(self, access: ProviderAccess, ambient: Mapping[str, str]) -> None:
        """`ambient` are the variables `AWS_*` that this process was started with. They come back into its environment
        where roles are taken with what is found there, but for endpoints of services."""
        try:
            import botocore.session
        except ImportError:
            raise InvalidRequestError(
                "The table [aws] of tenants.toml needs the package botocore.", remedy="Install jupyter_qsec[aws]."
            ) from None
        self._botocore: Any = botocore.session
        self._access = access
        if access.source is CredentialSource.AMBIENT:
            os.environ.update({name: value for name, value in ambient.items() if "ENDPOINT_URL" not in name})

    async def assume(
        self, role: ProviderRole, session: str, tags: Mapping[str, str], root: StaticCredential | None
    ) -> ProviderSession:
        """The trust policy of the role has to allow `sts:AssumeRole`, `sts:TagSession` and `sts:SetSourceIdentity`."""
        request: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": session,
            "SourceIdentity": session,
            "DurationSeconds": LIFETIME_SECONDS,
            "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
        }
        if role.external_id:
            request["ExternalId"] = role.external_id
        return await asyncio.to_thread(self._assume, request, root)

    def _assume(self, request: Mapping[str, Any], root: StaticCredential | None) -> ProviderSession:
        from botocore.exceptions import ClientError

        try:
            answer = self._client(root).assume_role(**request)
        except ClientError as error:
            raise _refusal(error, request["RoleArn"]) from None
        except Exception as error:  # noqa: BLE001 - no credentials, no network, a file that is gone: its kind suffices
            raise UnavailableError(f"AWS cannot be asked for the role ({type(error).__name__}).") from None
        return _session(answer)

    def _client(self, root: StaticCredential | None) -> Any:
        """Made anew each time: what is found where this runs may have changed meanwhile."""
        from botocore.config import Config

        keys = {}
        if root is not None:
            keys = {"aws_access_key_id": root.access_key_id, "aws_secret_access_key": root.secret_access_key}
        return self._botocore.Session().create_client(
            "sts",
            region_name=self._access.region,
            endpoint_url=self._access.endpoint or None,
            config=Config(
                **_SECONDS,
                ignore_configured_endpoint_urls=True,
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
            **keys,
        )


def _refusal(error: Any, role: str) -> QsecError:
    """What a refusal of AWS means; its text may name more than its code."""
    code = str(error.response.get("Error", {}).get("Code", ""))[:60]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or code in _THROTTLED:
        return UnavailableError(f"AWS does not give the role now ({code}).")
    if error.operation_name != "AssumeRole" or code in _OWN_CREDENTIALS:
        return DeniedError(
            f"AWS does not take the gateway's own credentials ({code}).",
            reasons=("provider",),
            remedy="Give it a key that AWS knows (jupyter qsec keys set-aws), or look at the role that it runs under.",
        )
    return DeniedError(
        f"AWS refuses the role {role} ({code}).",
        reasons=("provider",),
        remedy="Its trust policy has to allow sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity.",
    )


def _session(answer: Mapping[str, Any]) -> ProviderSession:
    try:
        made, user = answer["Credentials"], answer["AssumedRoleUser"]
        expires_at: datetime = made["Expiration"]
        return ProviderSession(
            arn=str(user["Arn"]),
            expires_at=expires_at.astimezone(UTC),
            access_key_id=str(made["AccessKeyId"]),
            secret_access_key=str(made["SecretAccessKey"]),
            session_token=str(made["SessionToken"]),
        )
    except (KeyError, AttributeError) as error:
        raise UnavailableError("AWS's answer about the role is not understood.") from error
