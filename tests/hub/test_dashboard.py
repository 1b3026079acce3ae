"""The dashboard through the real hub: who gets in, who sees what, what buttons do, and what does not get past them."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from jupyter_qsec.adapters.identity.jupyterhub import CACHE_SECONDS
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import GatewayProcess
from tests.gateway.rawhttp import send
from tests.hub.conftest import PREFIX, Work, take_lease
from tests.hub.realhub import RealHub
from tests.hub.visitor import Form, Visitor, ids

pytestmark = pytest.mark.xdist_group("hub")

LogIn = Callable[[str], Visitor]
NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def logged_in(hub: RealHub, hub_gateway: GatewayProcess) -> Iterator[LogIn]:
    """People who have logged in, one browser each."""
    visitors: dict[str, Visitor] = {}

    def log_in(name: str) -> Visitor:
        if name not in visitors:
            visitors[name] = Visitor(hub, name)
            assert visitors[name].log_in().url.path in (PREFIX, f"{PREFIX}oauth_callback")
        return visitors[name]

    yield log_in
    for visitor in visitors.values():
        visitor.close()


@pytest.fixture(autouse=True, scope="module")
def bobs_lease(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    """So that his pages have a form."""
    take_lease(hub, hub_gateway, "bob")


def form_token(page: httpx.Response) -> str:
    return next(fields["form_token"] for fields in Form(page.text).forms.values() if "form_token" in fields)


def test_through_the_hubs_login_to_the_page_that_was_asked_for(hub: RealHub, work: Work) -> None:
    ada = Visitor(hub, "ada")
    page = ada.log_in("tasks?state=waiting")
    assert (page.status_code, page.url.path, page.url.query) == (200, f"{PREFIX}tasks", b"state=waiting")
    assert work.waiting in ids(page, "tasks")
    assert work.running not in ids(page, "tasks")
    ada.close()


def test_a_waiting_task_says_why_it_waits(logged_in: LogIn, work: Work) -> None:
    assert re.search(
        "waits for its fair turn|workers run this tenant", logged_in("ada").page(f"tasks/{work.waiting}").text
    )


def test_cancel_a_task(logged_in: LogIn, work: Work) -> None:
    task = work.one_more()
    ada = logged_in("ada")
    done = ada.press(ada.page("tasks"), f"tasks/{task}/cancel")
    assert (done.status_code, done.url.path) == (200, f"{PREFIX}tasks/{task}")
    assert "The task is cancelled." in done.text
    assert work.state(task) == "CANCELLED"
    again = ada.send(f"tasks/{task}/cancel", {"form_token": form_token(ada.page("tasks"))})
    assert again.status_code == 409
    assert "The task is CANCELLED and cannot be cancelled." in again.text


def test_an_administrator_of_the_tenant_revokes_anothers_lease_with_a_reason(
    logged_in: LogIn, hub: RealHub, work: Work
) -> None:
    lease = take_lease(hub, work.gateway, "ada")
    lin = logged_in("lin")
    done = lin.press(lin.page("leases"), f"leases/{lease.id}/revoke", reason="laptop stolen")
    assert done.status_code == 200
    assert "The lease is revoked." in done.text
    assert "laptop stolen" in lin.page("leases", state="revoked").text
    assert work.gateway.get("/credentials", lease.token).status_code == 403
    record = logged_in("ida").page("audit", kind="lease.revoked", principal="hub:lin")
    assert "laptop stolen" in record.text


def test_a_paused_queue_starts_nothing_and_says_who_paused_it(logged_in: LogIn, work: Work) -> None:
    lin, rio = logged_in("lin"), logged_in("rio")
    done = lin.press(lin.page(), "queues/research/pause", reason="the <b>fridge</b> warms up")
    assert "The queue is paused" in done.text
    try:
        why = "Tenant research is paused by hub:lin: the &lt;b&gt;fridge&lt;/b&gt; warms up"
        assert why in logged_in("ada").page(f"tasks/{work.waiting}").text
        reasons = work.gateway.get(f"/api/v1/tasks/{work.waiting}").json()["task"]["waiting"]
        assert [reason["code"] for reason in reasons] == ["paused"]
        assert "fridge" not in logged_in("bob").page().text
        for name, status in (("ada", 403), ("ida", 403), ("bob", 404)):
            visitor = logged_in(name)
            fields = {"form_token": form_token(visitor.page("audit" if name == "ida" else "leases"))}
            assert visitor.send("queues/research/resume", fields).status_code == status, name
    finally:
        resumed = rio.press(rio.page(), "queues/research/resume")
    assert "The queue goes on." in resumed.text
    record = logged_in("ida").page("audit", kind="tenant.").text
    assert "tenant.paused" in record
    assert "tenant.resumed" in record


SEES = {
    "ada": (200, 200, 200, 200, 403, 200),
    "bob": (200, 200, 200, 200, 403, 404),
    "lin": (200, 200, 200, 200, 403, 200),
    "ida": (200, 200, 200, 200, 200, 200),
    "rio": (200, 200, 200, 200, 200, 200),
    "max": (403, 403, 403, 403, 403, 403),
}
"""A developer of the tenant and of another, an administrator of the tenant, an auditor and a responder of all tenants,
and somebody without a tenant."""


@pytest.mark.parametrize("name", SEES)
def test_each_role_sees_what_it_may(name: str, logged_in: LogIn, work: Work) -> None:
    paths = ("", "tasks", "leases", "findings", "audit", f"tasks/{work.running}")
    assert tuple(logged_in(name).page(path).status_code for path in paths) == SEES[name]


BUTTONS = {"ada": (True, True), "bob": (False, False), "lin": (True, True), "ida": (False, False), "rio": (True, True)}


@pytest.mark.parametrize("name", BUTTONS)
def test_each_role_has_the_buttons_that_do_something(name: str, logged_in: LogIn, work: Work) -> None:
    visitor = logged_in(name)
    forms = [f"{PREFIX}tasks/{work.running}/cancel", f"{PREFIX}leases/{work.lease.id}/revoke"]
    found = [form in Form(visitor.page(path).text).forms for form, path in zip(forms, ("tasks", "leases"), strict=True)]
    assert tuple(found) == BUTTONS[name]


def test_links_to_pages_that_one_may_not_see_are_not_shown(logged_in: LogIn, work: Work) -> None:
    assert f'href="{PREFIX}audit"' not in logged_in("ada").page().text
    assert f'href="{PREFIX}audit"' in logged_in("ida").page().text


def test_of_another_tenant_nothing_is_told(logged_in: LogIn, work: Work) -> None:
    bob = logged_in("bob")
    for path in ("", "?by=hour", "tasks", "leases?state=all", "findings"):
        text = bob.page(path).text
        assert work.running[:8] not in text
        assert "research" not in text
        assert "hub:ada" not in text
    theirs, nobodys = bob.page(f"tasks/{work.running}"), bob.page(f"tasks/{NOBODYS}")
    assert plain(theirs, work.running) == plain(nobodys, NOBODYS)
    chosen, invented = bob.page("tasks?tenant=research"), bob.page("tasks?tenant=rosearch")
    assert (chosen.status_code, plain(chosen, "research")) == (400, plain(invented, "rosearch"))


def plain(page: httpx.Response, name: str) -> str:
    """The page without what differs by name and time."""
    return re.sub(r"<time.*?</time>", "", page.text).replace(name, "NAME")


def test_whoever_reads_the_log_sees_how_old_the_root_secrets_are(logged_in: LogIn, work: Work) -> None:
    page = logged_in("ida").page("audit").text
    assert "Root secrets" in page and "less than a day" in page and "stays" in page and "due to be replaced" not in page
    assert "root-secret.created" in logged_in("ida").page("audit", kind="root-secret.").text


def test_an_auditor_has_the_head_signed_and_sees_that_the_log_holds(logged_in: LogIn, work: Work) -> None:
    ida = logged_in("ida")
    page = ida.press(ida.page("audit"), "audit/checkpoint")
    assert page.status_code == 200
    assert "The head of the log is signed." in page.text
    assert "The head verifies against the newest checkpoint." in page.text
    assert work.gateway.home.name == "home"
    newest = (work.gateway.home / "checkpoints" / "log").read_text().rstrip().rpartition("\n\n")[0]
    assert newest.splitlines()[-1] in page.text  # its root
    rio = logged_in("rio")
    assert "audit.read" in rio.page("audit", kind="audit.", principal="hub:ida").text


def test_a_record_that_somebody_edits_in_the_database_is_named_and_counts_as_unsigned(
    logged_in: LogIn, work: Work
) -> None:
    ida = logged_in("ida")
    ida.press(ida.page("audit"), "audit/checkpoint")
    assert "The log does not hold." not in ida.page("audit", before="3").text
    with closing(sqlite3.connect(work.gateway.home / "state.db", isolation_level=None)) as database:
        [(leaf,)] = database.execute("SELECT leaf FROM audit_records WHERE idx = 1").fetchall()
        edit = "UPDATE audit_records SET leaf = ? WHERE idx = 1"
        try:
            database.execute(edit, (bytes(leaf).replace(b"hub:", b"hub;").replace(b"os:", b"os;"),))
            page = ida.page("audit", before="3").text
        finally:
            database.execute(edit, (leaf,))
    assert "The log does not hold." in page
    assert "Not what was recorded: 1." in page
    assert ">yes</td>" not in page
    assert "The log does not hold." not in ida.page("audit", before="3").text


# -- attacks
def test_without_the_sessions_own_form_token_nothing_happens(logged_in: LogIn, work: Work) -> None:
    ada, action = logged_in("ada"), f"tasks/{work.waiting}/cancel"
    own = form_token(ada.page("tasks"))
    foreign = form_token(logged_in("lin").page("tasks"))
    for token in ("", own[:-1], own.upper(), foreign, "\udc80"):
        answer = ada.http.post(
            PREFIX + action,
            content=b"form_token=" + token.encode("utf-8", "surrogatepass"),
            headers={"Origin": ada.hub.url, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 403, token
    assert work.state(work.waiting) == "QUEUED"
    log = logged_in("ida").page("audit", kind="request.rejected", principal="hub:ada").text
    assert "The form is from another session." in log


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_form_from_another_site_does_nothing(headers: dict[str, str], logged_in: LogIn, work: Work) -> None:
    ada = logged_in("ada")
    fields = {"form_token": form_token(ada.page("tasks"))}
    answer = ada.send(f"tasks/{work.waiting}/cancel", fields, **headers)
    assert answer.status_code == 403
    assert "from another site" in answer.text
    assert work.state(work.waiting) == "QUEUED"


def test_who_has_no_button_is_refused_with_the_reason_when_they_send_its_form(logged_in: LogIn, work: Work) -> None:
    ida, bob = logged_in("ida"), logged_in("bob")
    fields = {"form_token": form_token(ida.page("audit"))}
    denied = ida.send(f"tasks/{work.running}/cancel", fields)
    assert denied.status_code == 403
    assert "no-policy-allows" in denied.text
    assert ida.send(f"leases/{work.lease.id}/revoke", fields).status_code == 403
    fields = {"form_token": form_token(bob.page("leases"))}
    assert bob.send(f"tasks/{work.running}/cancel", fields).status_code == 404
    assert bob.send(f"leases/{work.lease.id}/revoke", fields).status_code == 404
    assert work.state(work.running) == "RUNNING"
    assert "POST tasks/{id}/cancel" in ida.page("audit", kind="request.rejected", principal="hub:ida").text


def test_a_login_that_began_elsewhere_is_not_taken(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    """Login CSRF: somebody's own code and state in another's browser."""
    mallory, victim = Visitor(hub, "bob"), Visitor(hub, "ada")
    mallory.http.follow_redirects = False
    began = mallory.http.get(PREFIX)
    mallory.http.follow_redirects = True
    page = mallory.http.get(began.headers["Location"])
    [(action, fields)] = [item for item in Form(page.text).forms.items() if "_xsrf" in item[1]]
    mallory.http.follow_redirects = False
    answer = mallory.http.post(str(page.url.join(action)), data={**fields, "username": "bob", "password": "x"})
    while urlsplit(answer.headers["Location"]).path != f"{PREFIX}oauth_callback":
        answer = mallory.http.get(answer.headers["Location"])
    callback = answer.headers["Location"]
    for cookies in (False, True):  # a browser that began nothing, and one that began a login of its own
        if cookies:
            victim.http.get(PREFIX)
        refused = victim.http.get(callback)
        assert (refused.status_code, "qsec-session" in victim.http.cookies) == (401, False)
        assert "did not begin in this browser" in refused.text
    assert mallory.http.get(callback).status_code == 303
    replayed = mallory.http.get(callback)
    assert replayed.status_code == 401
    mallory.close()
    victim.close()


def test_logging_out_at_the_hub_ends_the_session_within_two_seconds(hub: RealHub, work: Work) -> None:
    ada = Visitor(hub, "ada")
    ada.log_in("tasks")
    session = ada.http.cookies["qsec-session"]
    ada.http.get("/hub/logout")
    began = time.monotonic()
    # The cookie alone, as a thief has it.
    thief = httpx.Client(base_url=hub.url, cookies={"qsec-session": session}, trust_env=False)
    wait_for(lambda: thief.get(f"{PREFIX}tasks").status_code == 302, "the end of the session", 10)
    assert time.monotonic() - began < CACHE_SECONDS + 1
    thief.close()
    ada.close()


def test_what_the_browser_keeps_and_what_it_is_told(hub: RealHub, logged_in: LogIn, work: Work) -> None:
    ada = Visitor(hub, "ada")
    ada.http.follow_redirects = False
    began = ada.http.get(PREFIX, headers={"X-Forwarded-Proto": "https"})
    cookie = began.headers.get_list("Set-Cookie")[-1]
    assert cookie.startswith("qsec-login=")
    for attribute in ("HttpOnly", f"Path={PREFIX}", "SameSite=Lax", "Secure", "Max-Age=600"):
        assert attribute in cookie
    ada.close()
    page = logged_in("ada").page("tasks")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    assert "Server" not in page.headers
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|\son[a-z]+=", page.text)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}], ids=str)
def test_scripts_and_frames_of_other_pages_get_no_page(headers: dict[str, str], logged_in: LogIn, work: Work) -> None:
    answer = logged_in("ada").http.get(f"{PREFIX}tasks", headers=headers)
    assert answer.status_code == 403
    assert work.running not in answer.text


def test_the_hubs_name_opens_the_dashboard_alone(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    with hub_gateway.client() as client:
        foreign = {"Host": "hub.example.org"}
        assert client.get("/api/v1/status", headers=foreign).status_code == 403
        assert client.get(PREFIX, headers=foreign).status_code == 302
        assert client.get(f"{PREFIX}api/v1/status", headers=foreign).status_code == 404
        for path in ("..%2f..%2fapi/v1/status", "%2e%2e/%2e%2e/api/v1/status"):
            assert client.get(PREFIX + path, headers=foreign).status_code == 404
    raw = send(hub_gateway, "GET", f"{PREFIX}../../api/v1/status", [("Host", "hub.example.org")])
    assert raw.status == 404


def test_text_of_others_is_text(hub: RealHub, logged_in: LogIn, work: Work) -> None:
    """What people name things, and what they report, runs in nobody's browser."""
    evil = "<script>alert(1)</script>"
    token = hub.user_token("ada")[0]
    work.gateway.post("/api/v1/leases", {"label": evil, "ttl_seconds": 3600}, token=token)
    finding = {
        "found_at": "2026-01-01T00:00:00Z",
        "path": evil,
        "cell": evil,
        "place": "source",
        "line": 3,
        "kind": "aws-access-key",
        "preview": "<b>i",
        "fingerprint": "0" * 16,
        "action": "warned",
    }
    reported = work.gateway.post("/api/v1/findings", {"findings": [finding]}, token=work.lease.token)
    assert reported.status_code == 201, reported.text
    for path in ("leases", "findings", "audit?kind=finding"):
        text = logged_in("eve").page(path).text
        assert evil not in text
        assert "&lt;script&gt;" in text
