"""The dashboard in a real browser: through the hub's login, without JavaScript, wide and narrow, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.gateway.livegateway import GatewayProcess
from tests.gateway.signedcalls import SignedBraket
from tests.hub.conftest import PREFIX, Work, take_lease
from tests.hub.realhub import RealHub
from tests.ui.browser import installed_browser, running_browser

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("hub")]

_SKIP = "QSEC_SKIP_BROWSER"
_SCREENSHOTS = Path("test-results/screenshots")
_WIDE, _NARROW = ViewportSize(width=1400, height=900), ViewportSize(width=400, height=860)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if os.environ.get(_SKIP) == "1":
        pytest.skip(f"!! {_SKIP}=1: what a person sees of the dashboard is NOT tested in this run")
    executable = installed_browser()
    if executable is None:
        pytest.fail(f"No Chromium or Chrome was found. Install one, or set {_SKIP}=1 to go on without this test.")
    with running_browser(executable, tmp_path / "browser") as running:
        yield running


def log_in(page: Page, hub: RealHub, name: str, path: str = "") -> None:
    page.goto(f"{hub.url}{PREFIX}{path}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("x")
    page.locator("#login_submit, input[type=submit], button[type=submit]").first.click()
    expect(page.locator(".who")).to_contain_text(name)


def picture(page: Page, name: str) -> None:
    _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=_SCREENSHOTS / f"dashboard-{name}.png", animations="disabled", full_page=True)


def report_finding(work: Work) -> None:
    finding = {
        "found_at": "2026-01-01T00:00:00Z",
        "path": "experiments/bell-states.ipynb",
        "cell": "2c9d41a7",
        "place": "output",
        "line": 3,
        "kind": "aws-access-key",
        "preview": "AKIA…",
        "fingerprint": "8d5e957f297893487bd98fa830fa6413",
        "action": "redacted",
    }
    assert work.gateway.post("/api/v1/findings", {"findings": [finding]}, token=work.lease.token).status_code == 201


def test_look_cancel_and_revoke_without_javascript_and_look_everywhere(
    browser: Browser, hub: RealHub, hub_gateway: GatewayProcess, work: Work
) -> None:
    lease = take_lease(hub, hub_gateway, "ada")
    with SignedBraket(hub_gateway, take_lease(hub, hub_gateway, "bob")) as braket:
        braket.create_bell()
    report_finding(work)
    an_administrator_looks_cancels_and_revokes(browser, hub, work, lease.id)
    an_auditor_looks_at_everything(browser, hub)


def an_administrator_looks_cancels_and_revokes(browser: Browser, hub: RealHub, work: Work, lease: str) -> None:
    context = browser.new_context(viewport=_WIDE, java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    log_in(page, hub, "lin")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("img", name="Tasks by day and tenant")).to_be_visible()
    expect(page.locator("meter").first).to_be_visible()
    page.get_by_text("The numbers", exact=True).click()
    expect(page.get_by_role("table", name="Tasks by day and tenant")).to_contain_text("research")
    picture(page, "overview")

    page.get_by_label("Pause research").click()
    page.get_by_label("Reason, shown to those who wait").fill("the laboratory moves")
    page.get_by_role("button", name="Pause research", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The queue is paused")
    expect(page.get_by_role("row").filter(has_text="research").first).to_contain_text("by hub:lin")
    picture(page, "paused")

    page.get_by_role("link", name="Tasks", exact=True).click()
    page.get_by_label("State").select_option("waiting")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name=work.waiting[:8])).to_be_visible()
    expect(page.get_by_role("link", name=work.running[:8])).to_have_count(0)
    picture(page, "tasks")
    expect(page.get_by_text("is paused by hub:lin: the laboratory moves")).to_be_visible()
    page.get_by_role("button", name=f"Cancel task {work.waiting[:8]}").click()
    expect(page.get_by_role("status")).to_have_text("The task is cancelled.")
    expect(page.locator(".head .chip")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    picture(page, "task")

    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Resume research").click()
    expect(page.get_by_role("status")).to_have_text("The queue goes on.")

    page.get_by_role("link", name="Leases").click()
    page.get_by_label(f"Revoke lease {lease[:8]}").click()
    page.get_by_label("Reason, for the record").locator("visible=true").fill("left on a shared machine")
    picture(page, "revoke")
    page.get_by_role("button", name=f"Revoke {lease[:8]}").click()
    expect(page.get_by_role("status")).to_have_text("The lease is revoked.")
    page.get_by_label("State").select_option("revoked")
    page.get_by_role("button", name="Filter").click()
    row = page.get_by_role("row").filter(has_text=lease[:8])
    expect(row).to_contain_text("left on a shared machine")
    context.close()


def an_auditor_looks_at_everything(browser: Browser, hub: RealHub) -> None:
    """With JavaScript, which must find nothing that the pages' policy forbids, and on a small dark screen."""
    context = browser.new_context(viewport=_WIDE, color_scheme="dark")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    log_in(page, hub, "ida", "audit")
    complaints.clear()  # those of the hub's own pages
    page.get_by_role("button", name="Sign the head now").click()
    expect(page.get_by_text("The head verifies against the newest checkpoint.")).to_be_visible()
    page.get_by_text("Root secrets", exact=True).click()
    expect(page.get_by_role("row", name="leases 1 present")).to_be_visible()
    picture(page, "audit-dark")
    for path in ("", "tasks", "leases?state=all", "findings", "audit"):
        page.set_viewport_size(_NARROW)
        page.goto(f"{hub.url}{PREFIX}{path}")
        page.evaluate("document.querySelectorAll('details.roots').forEach(details => { details.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= _NARROW["width"], path
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        picture(page, f"narrow-{path.partition('?')[0] or 'overview'}")
        page.set_viewport_size(_WIDE)
        assert page.evaluate("document.documentElement.scrollWidth") <= _WIDE["width"], path
    expect(page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link")).to_have_count(5)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    assert complaints == []
    context.close()
