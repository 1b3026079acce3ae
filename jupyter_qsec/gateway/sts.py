"""STS's front door: GetCallerIdentity, which the Braket SDK asks to name its default bucket. Nothing else."""

from __future__ import annotations

import re

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, QsecError
from jupyter_qsec.gateway.errors import NotOfferedError, UnknownOperationError, elements, query_error
from jupyter_qsec.gateway.exchange import request_id
from jupyter_qsec.gateway.sigv4 import SigningRules
from jupyter_qsec.gateway.wire import WireRequest, WireResponse, decode_query

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_NOT_IN_ARN = re.compile(r"[^A-Za-z0-9_=,.@-]")


class StsService:
    """Implements `frontdoor.Service`."""

    name = "sts"
    request_id_header = "x-amzn-RequestId"
    rules = SigningRules("sts")
    max_body = 64 << 10

    def __init__(self, prefix: str = "/aws/sts") -> None:
        self.prefix = prefix

    def repeatable(self, method: str, path: str) -> bool:
        return True

    def operation(self, method: str, path: str) -> str:
        return "GetCallerIdentity"

    def recorded(self, method: str, path: str, error: DeniedError) -> bool:
        return False

    def refusal(self, error: QsecError, path: str, request_id: str) -> WireResponse:
        return query_error(error, request_id)

    async def answer(self, caller: Caller, request: WireRequest) -> WireResponse:
        if request.method != "POST" or request.path not in ("", "/") or request.query:
            raise UnknownOperationError("Send STS actions as a form to the service's root.")
        fields = _form(request.body)
        action = fields.get("Action", "")
        if action != "GetCallerIdentity":
            raise NotOfferedError(
                f"STS {action[:60]} is not offered by this gateway: leases stand in for roles. "
                "Only GetCallerIdentity works."
            )
        tenant, principal = caller.tenant, caller.principal
        name = _NOT_IN_ARN.sub("-", principal.name)[:64] or "principal"
        arn = f"arn:aws:sts::{tenant.account}:assumed-role/qsec-{caller.project.id}/{name}"
        identity = elements({"Arn": arn, "UserId": f"{caller.lease.id}:{name}", "Account": tenant.account})
        result = f"<GetCallerIdentityResult>{identity}</GetCallerIdentityResult>"
        body = (
            f'<GetCallerIdentityResponse xmlns="{NAMESPACE}">{result}'
            f"<ResponseMetadata><RequestId>{request_id()}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return WireResponse(200, body.encode("utf-8"), "text/xml")


def _form(body: bytes) -> dict[str, str]:
    """The form's fields. In a form `+` is a space; a name that comes twice is refused."""
    try:
        pairs = decode_query(body.decode("ascii").replace("+", "%20"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError("The form is not ASCII.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequestError("A form field comes twice.")
    return fields
