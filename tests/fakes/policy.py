"""A policy that answers as it is told and remembers what it was asked."""

from __future__ import annotations

from jupyter_qsec.domain.access import AccessRequest, Action, Decision, Deny, Permit


class FakePolicy:
    """Implements the `Policy` port: permits everything but the actions in `denied`."""

    def __init__(self, *denied: Action) -> None:
        self.denied = set(denied)
        self.asked: list[AccessRequest] = []
        self.fails = False

    def decide(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        if request.action in self.denied:
            return Deny(("forbid-in-test",), f"{request.action} is refused in this test.")
        return Permit(("permit-in-test",))

    def probe(self) -> bool:
        return not self.fails
