"""The dashboard for the roles that are not in `test_dashboard.py`: which pages and buttons each has, and that nothing
else works for it, by whatever door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.gateway.livegateway import GatewayProcess
from tests.hub.conftest import MORE_ROLES, PREFIX, Work
from tests.hub.realhub import RealHub
from tests.hub.visitor import Form, Visitor

pytestmark = pytest.mark.xdist_group("hub")

LogIn = Callable[[str], Visitor]


@dataclass(frozen=True)
class Sight:
    """What somebody with one role has on the dashboard, besides the overview and the tasks, which everybody has."""

    leases: bool = False
    findings: bool = False
    audit: bool = False
    cancels: bool = False
    """Tasks of everybody in the tenant."""
    takes_leases: bool = False
    """Without it there is none of one's own to revoke."""


ROLES = {
    "viewer": Sight(),
    "circuit-author": Sight(),
    "benchmark-operator": Sight(leases=True, cancels=True, takes_leases=True),
    "backend-operator": Sight(cancels=True),
    "approver": Sight(),
    "billing": Sight(),
    "service": Sight(leases=True, cancels=True),
}
"""Nobody of them sees others' leases, pauses a queue, reads the log or has its head signed."""


@pytest.fixture(scope="module")
def logged_in(hub: RealHub, hub_gateway: GatewayProcess) -> Iterator[LogIn]:
    """One browser each."""
    visitors: dict[str, Visitor] = {}

    def log_in(name: str) -> Visitor:
        if name not in visitors:
            visitors[name] = Visitor(hub, name)
            assert visitors[name].log_in().url.path == PREFIX
        return visitors[name]

    yield log_in
    for visitor in visitors.values():
        visitor.close()


def test_every_other_role_is_here() -> None:
    assert ROLES.keys() == set(MORE_ROLES)


def seen(sight: Sight) -> dict[str, bool]:
    return {"": True, "tasks": True, "leases": sight.leases, "findings": sight.findings, "audit": sight.audit}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_pages_and_links_to_no_others(role: str, logged_in: LogIn, work: Work) -> None:
    visitor = logged_in(role)
    pages = {path: visitor.page(path) for path in seen(ROLES[role])}
    assert {path: page.status_code for path, page in pages.items()} == {
        path: 200 if may else 403 for path, may in seen(ROLES[role]).items()
    }
    assert visitor.page(f"tasks/{work.running}").status_code == 200
    assert work.running[:8] in pages["tasks"].text
    for path, may in seen(ROLES[role]).items():
        assert (f'<li><a href="{PREFIX}{path}"' in pages[""].text) == may, path


@pytest.mark.parametrize("role", ROLES)
def test_a_page_that_a_role_has_not_says_why(role: str, logged_in: LogIn, work: Work) -> None:
    for path, may in seen(ROLES[role]).items():
        if not may:
            refused = logged_in(role).page(path)
            assert "<h1>Not allowed</h1>" in refused.text
            assert "Decided by: no-policy-allows" in refused.text
            assert ("audit:read" if path == "audit" else f"None of your roles may read {path}.") in refused.text
            assert not Form(refused.text).forms, "nothing of the page itself"
            assert work.lease.id[:8] not in refused.text


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_buttons_and_no_others(role: str, hub: RealHub, logged_in: LogIn, work: Work) -> None:
    visitor, sight, token = logged_in(role), ROLES[role], hub.user_token(role)[0]
    assert work.gateway.post("/api/v1/leases", token=token).status_code == (201 if sight.takes_leases else 403)
    held = work.gateway.get("/api/v1/leases?state=active", token).json()["leases"]
    assert {lease["principal"] for lease in held} == ({f"hub:{role}"} if sight.takes_leases else set())
    buttons = {
        action.removeprefix(PREFIX)
        for path, may in seen(sight).items()
        if may
        for action, fields in Form(visitor.page(path).text).forms.items()
        if "form_token" in fields
    }
    cancels = {f"tasks/{task}/cancel" for task in (work.running, work.waiting)} if sight.cancels else set()
    assert cancels <= buttons
    others = {action for action in buttons if not (sight.cancels and action.startswith("tasks/"))}
    assert others == {f"leases/{lease['id']}/revoke" for lease in held}


@pytest.mark.parametrize("role", [role for role, sight in ROLES.items() if sight.cancels])
def test_a_button_does_what_it_says(role: str, logged_in: LogIn, work: Work) -> None:
    task, visitor = work.one_more(), logged_in(role)
    done = visitor.press(visitor.page("tasks"), f"tasks/{task}/cancel")
    assert (done.status_code, work.state(task)) == (200, "CANCELLED"), done.text


def test_a_benchmark_operator_revokes_the_own_lease(hub: RealHub, logged_in: LogIn, work: Work) -> None:
    role = "benchmark-operator"
    lease = work.gateway.post("/api/v1/leases", token=hub.user_token(role)[0]).json()["lease"]["id"]
    visitor = logged_in(role)
    done = visitor.press(visitor.page("leases"), f"leases/{lease}/revoke", reason="benchmark done")
    assert "The lease is revoked." in done.text
    assert "benchmark done" in visitor.page("leases", state="revoked").text


# -- attacks
@pytest.mark.parametrize("role", ROLES)
def test_forms_of_buttons_that_a_role_has_not_do_nothing(role: str, logged_in: LogIn, work: Work) -> None:
    """Who has some button has a form token, with which the others' forms can be made."""
    visitor, sight = logged_in(role), ROLES[role]
    forms = [fields for fields in Form(visitor.page("tasks").text).forms.values() if "form_token" in fields]
    assert bool(forms) == sight.cancels
    fields = {"form_token": forms[0]["form_token"] if forms else ""}
    deeds = ["queues/research/pause", "queues/research/resume", "audit/checkpoint", f"leases/{work.lease.id}/revoke"]
    for deed in [*deeds, *([] if sight.cancels else [f"tasks/{work.waiting}/cancel"])]:
        answer = visitor.send(deed, fields)
        # A lease that one may not see is not there.
        assert answer.status_code == (404 if forms and deed.startswith("leases") else 403), deed
        assert not forms or answer.status_code == 404 or "Decided by: no-policy-allows" in answer.text, deed
    assert work.state(work.waiting) == "QUEUED"
    assert [reason["code"] for reason in waiting_of(work)] != ["paused"]
    assert work.gateway.get("/credentials", work.lease.token).status_code == 200


def waiting_of(work: Work) -> list[dict[str, str]]:
    return list(work.gateway.get(f"/api/v1/tasks/{work.waiting}").json()["task"]["waiting"])


@pytest.mark.parametrize("role", ROLES)
def test_nor_does_the_same_by_the_control_api(role: str, hub: RealHub, logged_in: LogIn, work: Work) -> None:
    token, sight = hub.user_token(role)[0], ROLES[role]
    deeds = [f"leases/{work.lease.id}/revoke", f"leases/{work.lease.id}/renew", "audit/checkpoint"]
    seen = work.gateway.get(f"/api/v1/leases/{work.lease.id}", token).status_code == 200
    for deed in [*deeds, *([] if sight.cancels else [f"tasks/{work.waiting}/cancel"])]:
        answer = work.gateway.post(f"/api/v1/{deed}", token=token)
        hidden = deed.startswith("leases/") and not seen
        assert (answer.status_code, answer.json()["code"]) == ((404, "not-found") if hidden else (403, "denied")), deed
    for path in ("audit/records", "audit/proof?index=0"):
        assert work.gateway.get(f"/api/v1/{path}", token).status_code == 403, path
    assert work.lease.id not in work.gateway.get("/api/v1/leases", token).text
    assert work.state(work.waiting) == "QUEUED"
    assert work.gateway.get("/credentials", work.lease.token).status_code == 200
