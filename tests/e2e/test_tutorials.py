"""The tutorials keep what they say: run in a real Jupyter Server, their numbers held against formulas of our own.

What comes from shots may be off by five standard deviations: that happens by chance once in two million comparisons.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from jupyter_client.blocking.client import BlockingKernelClient

from jupyter_qsec.cli.main import cli
from tests.e2e.realserver import CellResult, RealServer
from tests.e2e.tutorialanswers import FACTS, WRONG
from tests.e2e.tutorials import EXAMPLES, Learner, Notebook, bars, drawing, shown
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("tutorials")]

NOTEBOOKS = {path.stem[:2]: Notebook.read(path) for path in sorted(EXAMPLES.glob("0[1-9]-*.ipynb"))}
EXERCISES = [(number, exercise) for number, notebook in NOTEBOOKS.items() for exercise in notebook.exercises]
PLOTS = [(number, cell) for number, notebook in NOTEBOOKS.items() if number != "01" for cell in notebook.plots]
SIGMAS = 5
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")
NOT_YET = "Not yet: write your answer into the cell above, run it, and then this one."
BY_HAND = {("04", "blocked")}
"""Exercises whose solution is something to do, not code to copy."""


@dataclass
class Run:
    """Everything that came of one notebook."""

    learner: Learner
    untouched: dict[str, str] = field(default_factory=dict)
    """What the checks say when nothing was answered."""
    wrong: dict[str, str] = field(default_factory=dict)
    solved: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tried: dict[str, CellResult] = field(default_factory=dict)
    """What else a learner tries when the text invites to."""

    def text(self, cell: str) -> str:
        return self.learner.seen[cell].text

    def everything(self) -> str:
        """All that any client saw, as it came over the wire."""
        return json.dumps([result.messages for result in self.learner.seen.values()], default=str)


Runs = Callable[[str], Run]


@pytest.fixture(scope="module")
def tutorials(shared_server: RealServer) -> Runs:
    """Runs a notebook at first use: all cells, then each exercise wrong and right.

    One kernel for all: to start one and to import the SDK takes longer than most of what they do."""
    shared_server.wait_for_gateway()
    kernel = shared_server.start_session("tutorials.ipynb")
    client = shared_server.client(kernel)
    outcome = functools.cache(functools.partial(_outcome, shared_server, kernel, client))

    def run(number: str) -> Run:
        found = outcome(number)
        if isinstance(found, Exception):
            raise found
        return found

    return run


def _outcome(server: RealServer, kernel: str, client: BlockingKernelClient, number: str) -> Run | Exception:
    """What fails is kept, too: each of a notebook's tests says why, and the notebook is not run again for each."""
    try:
        run = _run(Learner(client, NOTEBOOKS[number]), number)
        if number == "05":  # it revoked the lease
            run.facts["accepted before"] = wait_for(
                lambda: _ended(server, run.facts["last"]), "the last task's end", 30
            )
            server.http.post(f"jupyter-qsec/kernels/{kernel}/lease", json={"action": "new"}).raise_for_status()
        return run
    except Exception as failure:  # noqa: BLE001  # raised again by every test that asks
        return failure


def _ended(server: RealServer, arn: str) -> str:
    """The state of a task that has ended; empty while it has not."""
    [task] = [task for task in server.qsec("tasks?limit=20")["tasks"] if task["arn"] == arn]
    return str(task["state"]) if task["ended_at"] else ""


def _run(learner: Learner, number: str) -> Run:
    notebook = learner.notebook
    learner.run_all()
    run = Run(learner)
    run.facts = {name: learner.value(expression) for name, expression in FACTS[number].items()}
    for exercise in notebook.exercises:
        run.untouched[exercise] = run.text(notebook.after(exercise, "check")["id"]).strip()
        if (number, exercise) not in BY_HAND:
            run.wrong[exercise] = learner.answer(exercise, WRONG[number, exercise])
            run.solved[exercise] = learner.answer(exercise, notebook.solution(exercise))
    if number == "02":
        run.wrong["nonsense"] = learner.answer("limit", "n_max = 'six'")
    if number == "04":
        run.tried["dots"] = learner.run(notebook.code["blocked"])
        run.tried["blanks"] = learner.run(notebook.code["blocked"].replace("·", " "))
        wait_for(lambda: learner.check("blocked") != NOT_YET, "the record of the stopped cell", 10)
        run.solved["blocked"] = learner.check("blocked")
    if number == "05":
        run.facts["last"] = learner.value("sv1.run(large(layers=1), shots=100).id")
        run.tried["revoke"] = learner.run(notebook.code["revoke"].replace("really = False", "really = True"))
    return run


class TestExercises:
    def test_each_has_a_check_out_of_sight_and_a_solution_that_is_not_run(self) -> None:
        assert len(EXERCISES) == 13
        for number, exercise in EXERCISES:
            check = NOTEBOOKS[number].after(exercise, "check")
            assert check["metadata"]["jupyter"]["source_hidden"], (number, exercise)
            solution = NOTEBOOKS[number].after(exercise, "solution")
            assert solution["cell_type"] == "markdown"
            assert "".join(solution["source"]).startswith("<details>"), (number, exercise)
            assert check["id"] == f"{exercise.removesuffix('-answer')}-check"
            assert solution["id"] == f"{exercise.removesuffix('-answer')}-solution"

    @pytest.mark.parametrize(("number", "exercise"), EXERCISES)
    def test_nothing_answered_is_not_yet(self, tutorials: Runs, number: str, exercise: str) -> None:
        assert tutorials(number).untouched[exercise] == NOT_YET

    @pytest.mark.parametrize(("number", "exercise"), sorted(WRONG))
    def test_a_wrong_answer_gets_a_hint(self, tutorials: Runs, number: str, exercise: str) -> None:
        said = tutorials(number).wrong[exercise]
        assert said.startswith("Look again: ")
        assert "your answer gives" not in said

    @pytest.mark.parametrize(("number", "exercise"), sorted(WRONG))
    def test_the_solution_is_right(self, tutorials: Runs, number: str, exercise: str) -> None:
        assert tutorials(number).solved[exercise] == "Right."

    def test_what_is_no_answer_at_all_is_told_without_a_traceback(self, tutorials: Runs) -> None:
        assert tutorials("02").wrong["nonsense"].startswith("Look again: your answer gives ValueError: ")


class TestPlots:
    def test_they_are_in_these_tutorials(self) -> None:
        assert {number: len(notebook.plots) for number, notebook in NOTEBOOKS.items()} == {
            "01": 1,  # and its histogram: tests/e2e/test_examples.py
            "02": 3,
            "03": 1,
            "04": 0,
            "05": 2,
        }

    @pytest.mark.parametrize(("number", "cell"), PLOTS)
    def test_each_is_drawn_once_and_large_enough_to_be_read(self, tutorials: Runs, number: str, cell: str) -> None:
        [png] = shown(tutorials(number).learner.seen[cell], "image/png")
        width, height = drawing(png)
        assert 400 <= width <= 2000 and 150 <= height <= 1500

    def test_the_magic_draws_its_histogram(self, tutorials: Runs) -> None:
        found = [
            (number, cell)
            for number, notebook in NOTEBOOKS.items()
            for cell, code in notebook.code.items()
            if "%qsubmit" in code and "--no-plot" not in code
        ]
        assert len(found) == 2 and found[0][0] == "01"
        number, cell = found[1]
        assert bars("".join(shown(tutorials(number).learner.seen[cell], "text/html"))) >= 2


class TestGhzAndNoise:
    def test_density_matrices_are_those_of_theory(self, tutorials: Runs) -> None:
        q = 2 * 0.1 / 3
        expected = {"clean": (0.5, 0.5), "dephased": (0.5, 0.5 * 0.8**3)}
        expected["depolarised"] = (0.5 * ((1 - q) ** 3 + q**3), 0.5 * (1 - 2 * q) ** 3)
        for (real, imaginary), (population, coherence) in zip(
            tutorials("02").facts["matrices"], expected.values(), strict=True
        ):
            rho = np.array(real) + 1j * np.array(imaginary)
            assert rho.trace() == pytest.approx(1)
            assert rho[0, 0] == pytest.approx(population)
            assert rho[7, 7] == pytest.approx(population)
            assert rho[0, 7] == pytest.approx(coherence)

    def test_the_parity_swings_as_often_as_there_are_qubits(self, tutorials: Runs) -> None:
        facts = tutorials("02").facts
        for measured, coherence in zip(facts["parities"], (1.0, 0.9**4), strict=True):
            expected = coherence * np.cos(4 * np.array(facts["phis"]))
            error = np.sqrt((1 - expected**2) / 500)
            assert (abs(np.array(measured) - expected) <= SIGMAS * error + 1e-9).all()

    def test_the_fidelity_falls_with_noise_as_the_formulas_say(self, tutorials: Runs) -> None:
        p, shots = 0.1, 1000
        q = 2 * p / 3
        rows = tutorials("02").facts["rows"]
        assert [(noise, n) for noise, n, _ in rows] == [
            (noise, n) for noise in ("phase_flip", "depolarizing") for n in range(2, 7)
        ]
        for noise, n, fidelity in rows:
            dephasing = noise == "phase_flip"
            population = 1.0 if dephasing else (1 - q) ** n + q**n
            coherence = (1 - 2 * p) ** n if dephasing else (1 - 2 * q) ** n
            sigma = 0.5 * math.sqrt((population * (1 - population) + 1 - coherence**2) / shots)
            assert abs(fidelity - (population + coherence) / 2) < SIGMAS * sigma, (noise, n)

    def test_depolarising_passes_one_half_at_seven_qubits_and_dephasing_never(self) -> None:
        """What the text says below the plot."""
        q = 2 * 0.1 / 3
        fidelity = [((1 - q) ** n + q**n + (1 - 2 * q) ** n) / 2 for n in range(2, 9)]
        assert [n for n, value in zip(range(2, 9), fidelity, strict=True) if value < 0.5] == [7, 8]


class TestMoneyStop:
    def test_the_loop_stops_before_it_passes_its_budget(self, tutorials: Runs) -> None:
        facts = tutorials("03").facts
        spent, limit, price = (Decimal(facts[name]) for name in ("spent", "limit", "price"))
        assert spent <= limit < spent + price
        assert spent == len(facts["history"]) * price
        assert price == 6 * Decimal("0.0038")  # six tasks, three seconds each at $0.075 a minute
        assert f"${spent} of ${limit} are spent, the next step costs ${price}" in tutorials("03").text("loop")

    def test_every_energy_is_the_molecule_s_within_its_error(self, tutorials: Runs) -> None:
        for _, theta, energy, error in tutorials("03").facts["history"]:
            exact = -0.3464 - 0.7782 * math.cos(theta) + 0.182 * math.sin(theta)
            p = math.sin(theta / 2) ** 2
            sigma = math.sqrt((1.5564**2 * p * (1 - p) + 0.182**2 * math.cos(theta) ** 2) / 1000)
            assert abs(energy - exact) < SIGMAS * sigma
            assert 0.5 < error / sigma < 2, "what the notebook says about its error"

    def test_the_loop_finds_the_ground_state(self, tutorials: Runs) -> None:
        facts = tutorials("03").facts
        assert facts["exact"] == pytest.approx(-1.1456, abs=1e-4)  # full CI with STO-6G at 0.75 angstrom: -1.1457
        first, last = facts["history"][0], facts["history"][-1]
        assert first[2] > -0.4
        # The last angle is off by 0.01 from the descent, and by 0.02 (one standard deviation) from the slopes' shots.
        assert abs(last[1] - math.atan2(-0.182, 0.7782)) < 0.2
        assert abs(last[2] - facts["exact"]) < 0.02 + SIGMAS * last[3]

    def test_a_loop_without_a_budget_meets_the_quota_and_leaves_it_usable(self, tutorials: Runs) -> None:
        facts = tutorials("03").facts
        assert facts["refusal"]["Code"] == "ServiceQuotaExceededException"
        assert "is 1000000 shots" in facts["refusal"]["Message"]
        assert "100000 were asked for" in facts["refusal"]["Message"]
        assert facts["careless"].count("CANCELLED") >= 5
        assert set(facts["careless"]) <= {"CANCELLED", "COMPLETED", "RUNNING"}


class TestLeakingASecret:
    KEY = "AKIA" + "QSECTUTORIAL234A"

    def test_no_cell_shows_the_key_but_the_one_that_disguises_it(self, tutorials: Runs) -> None:
        run = tutorials("04")
        assert self.KEY not in run.everything()
        for cell in ("print", "parts", "table", "traceback", "lease"):
            assert "[REDACTED:aws-access-key]" in run.text(cell), cell
        assert run.text("parts") == "[REDACTED:aws-access-key]\n"
        [html] = shown(run.learner.seen["table"], "text/html")
        assert "<td>[REDACTED:aws-access-key]</td>" in html
        assert run.text("lease").count("[REDACTED:lease-token]") == 3
        assert run.text("length") == "20 characters, starting with AK\n"

    def test_what_passes_is_what_the_text_says_passes(self, tutorials: Runs) -> None:
        assert tutorials("04").text("disguised") == f"{' '.join(self.KEY)}\n{self.KEY[::-1]}\n"

    def test_the_scan_names_place_and_kind(self, tutorials: Runs) -> None:
        assert "written-by-code.ipynb: cell 1, source, line 1: aws-access-key AKIA****" in tutorials("04").text("disk")

    def test_findings_are_on_record_and_tell_secrets_apart(self, tutorials: Runs) -> None:
        findings = tutorials("04").facts["findings"]
        assert {entry["kind"] for entry in findings} >= {"aws-access-key", "lease-token"}
        assert {entry["action"] for entry in findings} == {"redacted"}
        prints = {entry["fingerprint"] for entry in findings if entry["preview"] == "AKIA****"}
        assert len(prints) == 1, "the planted key, in several places"
        [table] = shown(tutorials("04").learner.seen["findings"], "text/html")
        assert prints.pop() in table

    def test_the_cell_with_the_private_key_does_not_run_and_the_check_knows(self, tutorials: Runs) -> None:
        run = tutorials("04")
        notebook = run.learner.notebook
        assert notebook.code["blocked"].count("·") == 4
        assert run.tried["dots"].text == "This cell ran.\n"
        stopped = run.tried["blanks"]
        assert stopped.status == "error"
        quoted = "".join(notebook.after("blocked", "solution")["source"])
        assert " ".join(stopped.text.split()) in " ".join(quoted.replace("\n> ", " ").split())
        assert "This cell ran." not in stopped.text
        assert run.solved["blocked"] == "Right."

    def test_the_saved_file_holds_neither(self, shared_server: RealServer) -> None:
        stopped = NOTEBOOKS["04"].code["blocked"].replace("·", " ")
        cells: list[dict[str, Any]] = [
            {"cell_type": "code", "id": name, "execution_count": None, "metadata": {}, "outputs": [], "source": source}
            for name, source in (("blocked", stopped), ("key", f"key = '{self.KEY}'"))
        ]
        assert shared_server.save_notebook("saved.ipynb", cells).status_code in (200, 201)
        saved = (shared_server.root / "saved.ipynb").read_text("utf-8")
        assert "[REDACTED:private-key]" in saved
        assert "[REDACTED:aws-access-key]" in saved
        assert self.KEY not in saved
        assert stopped.splitlines()[2] not in saved


class TestLeasesAndLimits:
    def test_the_lease_is_read(self, tutorials: Runs) -> None:
        run = tutorials("05")
        assert f"Lease {run.facts['lease']['id'][:8]}" in run.text("status")
        assert run.facts["lease"]["ttl_seconds"] == 300
        assert "at last in:  12.0 hours" in run.text("lease")

    def test_tasks_wait_for_a_reason_and_never_more_run_than_may(self, tutorials: Runs) -> None:
        facts = tutorials("05").facts
        waiting = [reasons for reasons in facts["waiting"] if reasons]
        assert len(waiting) >= 4, "ten tasks at once, at most four of them run"
        codes = {reason["code"] for reasons in waiting for reason in reasons}
        assert codes & {"tenant-concurrency", "device-concurrency"}
        assert codes <= {"tenant-concurrency", "device-concurrency", "fair-turn", "starting"}
        times = facts["times"]
        assert len(times) == 10
        assert all(created <= started <= ended for created, started, ended in times)
        # The times are whole milliseconds: an end and the start that it made room for may look as one.
        together = [sum(start <= moment < end - 0.002 for _, start, end in times) for _, moment, _ in times]
        assert 1 <= max(together) <= 4

    def test_those_who_came_first_begin_first(self, tutorials: Runs) -> None:
        starts = [started for _, started, _ in tutorials("05").facts["times"]]
        assert all(later >= earlier - 0.05 for earlier, later in pairwise(starts))

    def test_refusals_say_what_and_how_much(self, tutorials: Runs) -> None:
        shown_limits = tutorials("05").text("limits")
        assert "100001 shots were asked for; SV1 takes 0 to 100000." in shown_limits
        assert "The program uses 40 qubits; SV1 takes up to" in shown_limits

    def test_a_reservation_counts_and_a_cancelled_one_does_not(self, tutorials: Runs) -> None:
        facts = tutorials("05").facts
        before, reserved, after, limit = facts["counted"]
        assert facts["refused"]["Code"] == "ServiceQuotaExceededException"
        assert reserved == before + 4 * 100 + len(facts["greedy"]) * 100_000
        assert reserved <= limit < reserved + 100_000
        assert set(facts["greedy"]) <= {"CANCELLED", "COMPLETED", "RUNNING"}
        cancelled = facts["greedy"].count("CANCELLED")
        assert cancelled >= 1
        assert after == reserved - cancelled * 100_000

    def test_a_revoked_lease_ends_at_once(self, tutorials: Runs) -> None:
        run = tutorials("05")
        assert run.text("revoke") == "The lease goes on.\n"
        assert run.tried["revoke"].status == "ok"
        assert "was revoked" in run.tried["revoke"].text
        assert run.facts["accepted before"] == "COMPLETED"


def test_every_notebook_is_in_the_list_of_tutorials() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in sorted(EXAMPLES.glob("*.ipynb")) if f"({path.name})" not in page] == []


def test_links_lead_somewhere() -> None:
    for path in EXAMPLES.glob("*.ipynb"):
        text = [
            "".join(cell["source"])
            for cell in json.loads(path.read_text("utf-8"))["cells"]
            if cell["cell_type"] == "markdown"
        ]
        assert [link for link in _LINK.findall("\n".join(text)) if not (EXAMPLES / link).exists()] == []


def test_a_scan_of_the_examples_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "qsec"))
    scanned = CliRunner().invoke(cli, ["scan", str(EXAMPLES)])
    assert scanned.exit_code == 0, scanned.output
