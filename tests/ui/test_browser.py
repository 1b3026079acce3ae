"""A person's first hour: run the example, leak nothing, look around in the panel, revoke, go on with a new lease."""

from __future__ import annotations

import json
import platform
import re
import time
from importlib import resources
from pathlib import Path
from typing import Any

import nbformat
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from playwright.sync_api import expect

from tests.fakes.waiting import wait_for
from tests.ui.lab import IDLE_SECONDS, LabPage, RealLab

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240), pytest.mark.xdist_group("browser")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-first-task.ipynb"
NOTEBOOK = "01-first-task.ipynb"

REDACTED = "[REDACTED:aws-access-key]"

PRINT_KEY = """\
import boto3
key = boto3.Session().get_credentials().get_frozen_credentials().access_key
print(key)
print(len(key), "characters")"""

PRINT_IN_PARTS = """\
print("key", key[:7], end="", flush=True)
print(key[7:14], end="", flush=True)
print(key[14:], "in three prints")"""

RUN_TASK = """\
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
print("shots", sum(device.run(Circuit().h(0).cnot(0, 1), shots=64).result().measurement_counts.values()))"""

CALL_AGAIN = """\
device.refresh_metadata()
print("answered", device.name)"""

# The first runs for many seconds, and the tenant runs one at a time.
FILL_THE_QUEUE = """\
wide = Circuit()
for layer in range(100):
    for qubit in range(22):
        wide.ry(qubit, 0.1 * layer + qubit).cnot(qubit, (qubit + 1) % 22)
for circuit in (wide, bell, bell):
    device.run(circuit, shots=8)
print("submitted")"""


def private_key() -> str:
    """A real private key of nobody, fresh for each run."""
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def prepare(folder: Path, secret: str) -> dict[str, int]:
    """Put the example below the server's root with three cells of ours behind it; their indices by name."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    # JupyterLab itself writes the kernel's Python version into a notebook that was saved with another one.
    notebook.metadata.language_info.version = platform.python_version()
    first = len(notebook.cells)
    sources = {
        "print": PRINT_KEY,
        "parts": PRINT_IN_PARTS,
        "blocked": f"secret = '''{secret}'''\nprint('ran')",
        "queue": FILL_THE_QUEUE,
        "task": RUN_TASK,
        "again": CALL_AGAIN,
    }
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in sources.values()]
    nbformat.write(notebook, folder / NOTEBOOK)
    return {name: first + offset for offset, name in enumerate(sources)}


def run_one_at_a_time(home: Path) -> None:
    """The shipped tenants with room for a single task each, so that a second one waits on every machine."""
    home.mkdir(mode=0o700)
    shipped = resources.files("jupyter_qsec.adapters").joinpath("tenants.toml").read_text("utf-8")
    (home / "tenants.toml").write_text(shipped.replace("max_running = 4", "max_running = 1"))


def saved(server: RealLab) -> dict[str, Any]:
    """The notebook on disk; a file that is just being written is read again."""

    def whole() -> Any:
        try:
            return json.loads((server.root / NOTEBOOK).read_text())
        except ValueError:
            return None

    content: dict[str, Any] = wait_for(whole, "a whole notebook on disk", 10)
    return content


def test_the_first_hour(lab_server: RealLab, lab_page: LabPage) -> None:
    secret = private_key()
    cells = prepare(lab_server.root, secret)
    run_one_at_a_time(lab_server.qsec_home)
    lab_server.start()
    lab_server.wait_for_gateway()
    lab_page.open(lab_server.address(NOTEBOOK))

    the_panel_is_open_and_the_notebook_has_the_keyboard(lab_page)
    the_panel_shows_an_active_lease(lab_page)
    the_panel_says_whether_the_kernel_is_confined(lab_server, lab_page)
    opening_changes_nothing_in_the_notebook(lab_page)
    the_example_plots_a_histogram(lab_page, cells["print"])
    a_printed_key_is_redacted_on_screen_and_on_disk(lab_server, lab_page, cells["print"])
    a_key_in_three_prints_is_redacted_on_screen_and_on_disk(lab_server, lab_page, cells["parts"])
    a_cell_with_a_private_key_does_not_run(lab_server, lab_page, cells["blocked"], secret)
    a_finding_leads_to_its_cell(lab_page, cells["blocked"])
    tasks_show_state_device_cost_shots_and_times(lab_page)
    a_waiting_task_says_why_and_runs_when_its_turn_comes(lab_page, cells["queue"])
    renewing_moves_the_end_of_the_lease(lab_server, lab_page)
    revoking_stops_the_kernel_s_calls_within_seconds(lab_page, cells["task"], cells["again"])
    a_new_lease_lets_it_work_again(lab_page, cells["task"])
    an_idle_session_is_warned_saved_and_kept(lab_server, lab_page, cells["task"])
    the_panel_looks_right_in_both_themes(lab_page)

    assert lab_server.PLANTED_SECRET not in lab_page.page.content()
    assert lab_server.PLANTED_SECRET not in str(saved(lab_server))


def the_panel_is_open_and_the_notebook_has_the_keyboard(lab: LabPage) -> None:
    """By itself the first time; after that the person's own layout counts."""
    expect(lab.panel.get_by_role("heading", name="Quantum security")).to_be_visible()
    expect(lab.panel_tab).to_have_attribute("title", "Quantum security")
    expect(lab.notebook.locator(":focus")).to_have_count(1)
    lab.panel_tab.click()
    expect(lab.panel).to_be_hidden()
    lab.page.wait_for_timeout(2_000)  # JupyterLab keeps the layout a moment after it changed
    lab.open(lab.page.url)
    lab.page.wait_for_timeout(1_000)
    expect(lab.panel).to_be_hidden()
    lab.panel_tab.click()
    expect(lab.panel).to_be_visible()


def the_panel_shows_an_active_lease(lab: LabPage) -> None:
    session = lab.section("Session")
    expect(session.locator(".jp-qsec-lease")).to_have_attribute("data-state", "active", timeout=30_000)
    expect(session.locator(".jp-qsec-leaseName")).to_have_text("sandbox / first-steps")
    expect(session.locator(".jp-qsec-countdown")).to_have_text(re.compile(r"^\d:\d\d$"))
    expect(lab.page.locator(".jp-qsec-status")).to_contain_text("lease")


def the_panel_says_whether_the_kernel_is_confined(server: RealLab, lab: LabPage) -> None:
    """In the word and for the reasons of the server's own answer."""

    def probed() -> Any:
        (kernel,) = server.qsec("kernels")["kernels"]
        return kernel["confinement"] if kernel["confinement"]["state"] in ("confined", "unconfined") else None

    confinement, session = wait_for(probed, "the kernel's probe", 30), lab.section("Session")
    other = {"confined": "unconfined", "unconfined": "confined"}[confinement["state"]]
    expect(session.get_by_text(confinement["state"], exact=True)).to_be_visible(timeout=30_000)
    expect(session.get_by_text(other, exact=True)).to_have_count(0)
    for reason in confinement["reasons"]:
        expect(session.get_by_text(reason, exact=True)).to_be_visible()


def opening_changes_nothing_in_the_notebook(lab: LabPage) -> None:
    expect(lab.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab")).not_to_have_class(re.compile("jp-mod-dirty"))


def the_example_plots_a_histogram(lab: LabPage, first_of_ours: int) -> None:
    lab.go_to(first_of_ours)
    lab.menu("Run", "Run All Above Selected Cell")
    picture = lab.notebook.locator(".jp-OutputArea-output :is(img, svg, canvas)").first
    expect(picture).to_be_visible(timeout=90_000)
    expect(lab.section("Tasks").get_by_text("completed")).to_have_count(2, timeout=30_000)
    picture.scroll_into_view_if_needed()
    lab.screenshot("first-task")
    lab.notebook.locator(".jp-OutputArea-output", has_text="estimate").first.scroll_into_view_if_needed()
    lab.screenshot("qsubmit")


def a_printed_key_is_redacted_on_screen_and_on_disk(server: RealLab, lab: LabPage, index: int) -> None:
    output = lab.run(index)
    expect(output).to_contain_text(REDACTED)
    expect(output).to_contain_text("20 characters")
    lab.save()
    wait_for(lambda: REDACTED in str(saved(server)), "the save")
    assert not re.search(r"\b(ASIA|AKIA)[A-Z2-7]{16}\b", str(saved(server)))


def a_key_in_three_prints_is_redacted_on_screen_and_on_disk(server: RealLab, lab: LabPage, index: int) -> None:
    shown = f"key {REDACTED} in three prints"
    expect(lab.run(index)).to_have_text(shown)
    lab.screenshot("three-prints")
    lab.save()

    def printed() -> str:
        return "".join(line for output in saved(server)["cells"][index]["outputs"] for line in output["text"])

    wait_for(printed, "the save")
    assert printed() == f"{shown}\n"


def a_cell_with_a_private_key_does_not_run(server: RealLab, lab: LabPage, index: int, secret: str) -> None:
    output = lab.run(index)
    expect(output).to_contain_text(re.compile(r"private.key"))
    expect(output).to_contain_text("Nothing of this cell was run")
    lab.save()
    body = secret.splitlines()[1]
    wait_for(lambda: body not in str(saved(server)), "a file without the private key")
    assert not any("ran" in str(entry.get("text")) for entry in saved(server)["cells"][index]["outputs"])


def a_finding_leads_to_its_cell(lab: LabPage, index: int) -> None:
    lab.go_to(0)
    findings = lab.section("Findings")
    blocked = findings.locator(".jp-qsec-finding[data-kind='private-key']").filter(has_text="blocked").first
    expect(blocked).to_be_visible(timeout=10_000)
    expect(findings.locator(".jp-qsec-finding[data-kind='aws-access-key']").first).to_be_visible()
    blocked.get_by_role("button", name="Jump to it").click()
    expect(lab.active_cell).to_have_attribute("data-windowed-list-index", str(index))
    expect(lab.cell(index)).to_have_class(re.compile("jp-qsec-found"))
    expect(lab.cell(index)).to_be_in_viewport()


def tasks_show_state_device_cost_shots_and_times(lab: LabPage) -> None:
    task = lab.section("Tasks").locator(".jp-qsec-task[data-state='COMPLETED']").first
    expect(task).to_be_visible(timeout=10_000)
    expect(task).to_contain_text("1,000 shots")
    expect(task.locator(".jp-qsec-taskDevice")).to_have_text("SV1")
    expect(task.locator(".jp-qsec-taskCost")).to_have_text(re.compile(r"^\$\d+\.\d+$"))
    task.locator("summary").click()
    for fact in ("Estimate", "Created", "Started", "Ended"):
        expect(task.get_by_text(fact, exact=True)).to_be_visible()
    task.locator("summary").click()


def a_waiting_task_says_why_and_runs_when_its_turn_comes(lab: LabPage, index: int) -> None:
    """The panel says it, and cancels what stands in the way."""
    expect(lab.run(index)).to_contain_text("submitted")
    tasks = lab.section("Tasks")
    running, queued = (tasks.locator(f".jp-qsec-task[data-state='{state}']") for state in ("RUNNING", "QUEUED"))
    expect(running).to_have_count(1, timeout=10_000)
    expect(queued).to_have_count(2, timeout=10_000)
    waiting = tasks.locator(f".jp-qsec-task[data-task-id='{queued.first.get_attribute('data-task-id')}']")
    waiting.locator("summary").click()
    expect(waiting.locator(".jp-qsec-taskDuration")).to_have_text(re.compile("^waiting "))
    reason = waiting.locator(".jp-qsec-reasons")
    expect(reason).to_contain_text("Tenant sandbox runs 1 of at most 1 tasks at once. 1 task of the tenant before it.")
    lab.screenshot("waiting")
    running.locator("summary").click()
    running.get_by_role("button", name="Cancel task").click()
    expect(tasks.locator(".jp-qsec-task[data-state='CANCELLED']")).to_have_count(1, timeout=20_000)
    expect(waiting).to_have_attribute("data-state", "COMPLETED", timeout=30_000)
    expect(reason).to_have_count(0)
    waiting.locator("summary").click()


def renewing_moves_the_end_of_the_lease(server: RealLab, lab: LabPage) -> None:
    session = lab.section("Session")

    def left() -> int:
        minutes, seconds = session.locator(".jp-qsec-countdown").inner_text().split(":")
        return 60 * int(minutes) + int(seconds)

    def lease() -> Any:
        return server.qsec("kernels")["kernels"][0]["lease"]

    wait_for(lambda: left() < lease()["ttl_seconds"] - 3, "a lease that is not quite new", 10)
    before, shown = lease(), left()
    lab.screenshot("renew")
    session.get_by_role("button", name="Renew").click()
    wait_for(lambda: left() > shown, "a countdown that goes up", 5)
    after = lease()
    assert (after["id"], after["state"]) == (before["id"], "active")
    assert after["expires_at"] > before["expires_at"]
    lab.screenshot("renewed")


def revoking_stops_the_kernel_s_calls_within_seconds(lab: LabPage, index: int, again: int) -> None:
    """Of a session that exists, and of a fresh one."""
    expect(lab.run(index)).to_contain_text("shots 64")
    expect(lab.run(again)).to_contain_text("answered SV1")
    session = lab.section("Session")
    session.get_by_role("button", name="Revoke").click()
    expect(lab.dialog).to_contain_text("existing ones keep signing with the old key")
    lab.screenshot("revoke")
    lab.dialog.get_by_role("button", name="Revoke").click()
    began = time.monotonic()
    expect(session.locator(".jp-qsec-lease")).to_have_attribute("data-state", "revoked", timeout=5_000)
    output = lab.run(again)
    expect(output).to_contain_text("AccessDeniedException")
    expect(output).to_contain_text("was revoked")
    expect(output).not_to_contain_text("answered SV1")
    output = lab.run(index)
    expect(output).to_contain_text("was revoked")
    expect(output).to_contain_text("New lease")
    expect(output).not_to_contain_text("shots 64")
    assert time.monotonic() - began < 15
    lab.screenshot("revoked")


def a_new_lease_lets_it_work_again(lab: LabPage, index: int) -> None:
    session = lab.section("Session")
    session.get_by_role("button", name="New lease").click()
    expect(lab.dialog).to_contain_text("existing ones keep signing with the old key")
    lab.dialog.get_by_label("Tenant").select_option("research")
    lab.screenshot("new-lease")
    lab.dialog.get_by_role("button", name="Get lease").click()
    lease = session.locator(".jp-qsec-lease")
    expect(lease).to_have_attribute("data-state", "active", timeout=10_000)
    expect(lease).to_contain_text("research")
    expect(lab.run(index)).to_contain_text("shots 64")


def an_idle_session_is_warned_saved_and_kept(server: RealLab, lab: LabPage, index: int) -> None:
    """The test's server warns after `IDLE_SECONDS` without activity."""
    lab.save()
    wait_for(lambda: "shots 64" in str(saved(server)["cells"][index]["outputs"]), "the save")
    lab.go_to(0)
    lab.page.keyboard.press("b")
    expect(lab.active_cell).to_have_attribute("data-windowed-list-index", "1")
    cells = len(saved(server)["cells"])
    warning = lab.panel.locator(".jp-qsec-note.jp-mod-alert")
    expect(warning).to_contain_text("This session ends in", timeout=(IDLE_SECONDS + 15) * 1000)
    wait_for(lambda: len(saved(server)["cells"]) == cells + 1, "the save that the warning causes", 10)
    lab.screenshot("warned")
    ends_the_login_once(lab)
    warning.get_by_role("button", name="Keep working").click()
    expect(lab.dialog).to_contain_text("Your login has to be renewed")
    lab.screenshot("log-in-again")
    with lab.page.context.expect_page() as login:
        lab.dialog.get_by_role("button", name="Log in").click()
    assert login.value.url.endswith("/hub/login")
    login.value.close()
    lab.page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(warning).to_have_count(0, timeout=5_000)
    expect(lab.section("Session").locator(".jp-qsec-lease")).to_have_attribute("data-state", "active")


def ends_the_login_once(lab: LabPage) -> None:
    """The next time that somebody wants to keep working, as a hub answers whose identity provider has ended a login."""
    answer = {"detail": "Your login has to be renewed.", "code": "login-required", "login_url": "/hub/login"}
    lab.page.route("**/keepalive**", lambda route: route.fulfill(status=401, json=answer), times=1)


def the_panel_looks_right_in_both_themes(lab: LabPage) -> None:
    lab.section("Session").scroll_into_view_if_needed()
    lab.screenshot("panel-light")
    light = lab.panel.evaluate("node => getComputedStyle(node).backgroundColor")
    lab.theme("JupyterLab Dark")
    dark = lab.panel.evaluate("node => getComputedStyle(node).backgroundColor")
    assert light != dark
    lab.screenshot("panel-dark")
    lab.theme("JupyterLab Light")
