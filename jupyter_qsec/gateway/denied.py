"""Where every other AWS service ends up: a refusal in that service's own protocol, and on record.

A kernel's global endpoint variable points here, so a call to IAM, DynamoDB or Lambda gets an answer that its SDK can
show instead of reaching the real service with a credential that means nothing there.
"""

from __future__ import annotations

import re

from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.gateway.errors import NotOfferedError, elements, query_error
from jupyter_qsec.gateway.exchange import current, request_id, served_id
from jupyter_qsec.gateway.frontdoor import Arrival, Gateway
from jupyter_qsec.gateway.wire import WireResponse, json_response

PREFIX = "/aws/denied"
_SCOPE = re.compile(r"Credential=([A-Za-z0-9]{8,128})/[0-9]{8}/[a-z0-9-]{1,32}/([a-z0-9-]{1,40})/aws4_request")
_XML_SERVICES = frozenset({"s3", "s3-control", "s3express", "route53", "cloudfront"})


class DeniedDoor:
    """Answers any method and path. Nothing is executed, so no signature is needed to be refused."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def serve(self, arrival: Arrival) -> WireResponse:
        """The refusal. Never raises."""
        scope = _SCOPE.search(arrival.header("authorization"))
        service = scope[2] if scope else "unknown"
        error = NotOfferedError(
            f"The AWS service {service!r} is not offered by this gateway. "
            "Only Amazon Braket, S3 for its results, and STS GetCallerIdentity go through."
        )
        current().code = error.code
        await self._record(arrival, scope[1] if scope else "", service, error)
        return self._refusal(arrival, service, error)

    async def _record(self, arrival: Arrival, access_key_id: str, service: str, error: QsecError) -> None:
        """In the name of the lease, when its session token is genuine."""
        recorder = self._gateway.recorder
        try:
            token = arrival.header("x-amz-security-token")
            lease_id = self._gateway.leasing.signing_credential(access_key_id, token).lease_id
            caller = await self._gateway.leasing.caller(
                lease_id,
                user_agent=arrival.header("user-agent"),
                source=arrival.source,
                request_id=served_id(),
            )
        except QsecError:
            await recorder.rejected(
                "denied", arrival.source, error.code, error.message, subject=service, request_id=served_id()
            )
            return
        exchange = current()
        exchange.principal, exchange.tenant = caller.principal.id, caller.tenant.id
        await recorder.refused(caller, "service.refused", error, subject=service)

    def _refusal(self, arrival: Arrival, service: str, error: QsecError) -> WireResponse:
        identifier = request_id()
        if arrival.header("smithy-protocol") == "rpc-v2-cbor":
            body = _cbor_map({"__type": "AccessDeniedException", "message": str(error)})
            return WireResponse(403, body, "application/cbor", {"smithy-protocol": "rpc-v2-cbor"})
        if service == "ec2":
            inner = elements({"Code": "AccessDenied", "Message": str(error)})
            text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{identifier}</RequestID></Response>"
            return WireResponse(403, text.encode("utf-8"), "text/xml")
        if service in ("s3", "s3-control", "s3express"):
            about = {"Code": "AccessDenied", "Message": str(error), "RequestId": identifier}
            return WireResponse(403, f"<Error>{elements(about)}</Error>".encode(), "application/xml")
        form = arrival.header("content-type").startswith("application/x-www-form-urlencoded")
        if form or service in _XML_SERVICES:
            return query_error(error, identifier, namespace="")
        headers = {"x-amzn-ErrorType": "AccessDeniedException", "x-amzn-RequestId": identifier}
        return json_response({"__type": "AccessDeniedException", "message": str(error)}, 403, headers)


def _cbor_map(values: dict[str, str]) -> bytes:
    """A CBOR map of text strings (RFC 8949), with fewer than 24 members of less than 64 KB."""
    parts = [bytes([0xA0 | len(values)])]
    for text in (text for item in values.items() for text in item):
        raw = text.encode("utf-8")
        parts += [b"\x79", len(raw).to_bytes(2, "big"), raw]
    return b"".join(parts)
