"""The run in figures: what was checked, how long submissions took, what the processes grew by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import checks
from benchmarks.load.ledger import Ledger, Submission
from benchmarks.load.options import Options
from benchmarks.load.processes import Sample, growth
from benchmarks.load.site import CAPPED, Outage, Site
from benchmarks.load.stored import read_stored
from benchmarks.table import Row

OUTAGE_ENDS_AFTER = 10.0
"""Seconds after the service is back; until then a submission counts as made in the outage."""
WANTED_P95_MS = 150.0
FLAT_PER_MINUTE = 0.01
"""Of the memory that a process has."""
_WARM_UP, _LEAST = 20.0, 10.0
"""Seconds that a process has to fill its caches, and that it must be seen for afterwards."""
_VERIFY_SECONDS = 120.0
_CLI = "import sys; from jupyter_qsec.cli.main import main; sys.exit(main())"

Findings = dict[str, list[str]]


@dataclass(frozen=True)
class Run:
    begun: float
    ended: float
    processor: Mapping[str, float]
    """Processor seconds of each part, with warm-up and what followed; the generator's with the threads that drive the
    kernels."""
    outages: Sequence[Outage]
    samples: Mapping[int, Sequence[Sample]]
    unfinished: int
    """Tasks that clients still followed when the time to wait for them was over."""
    load_after: float


@dataclass(frozen=True)
class Floor:
    """The generator alone."""

    p95: float
    processor: float
    """Seconds a task."""


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("nan")


def findings(site: Site, ledger: Ledger, folder: Path) -> Findings:
    """What is wrong, by the promise that it breaks."""
    site.gateway.control("POST", "/audit/checkpoint", {})
    stored = read_stored(site.database_url)
    limits = {CAPPED: site.limit}
    return {
        "tasks lost": checks.lost(ledger, stored),
        "tasks doubled": checks.doubled(ledger, stored),
        "results that differ from the record": checks.wrong_results(ledger, stored),
        "answers across tenants": ledger.leaks,
        "overspent limits": checks.overspent(ledger, stored, limits),
        "counters that are not the sum of the tasks": checks.wrong_counters(stored),
        "problems of the audit log": _audit_problems(site, folder),
    }


def _audit_problems(site: Site, folder: Path) -> list[str]:
    """What `jupyter qsec audit verify` says of an export."""
    home, export = site.gateway.home, folder / "export.jsonl"
    environ = os.environ | {"JUPYTER_QSEC_DATABASE_URL": site.database_url}
    command = [sys.executable, "-m", "jupyter_qsec.gateway", "audit-export", "--home", str(home)]
    with export.open("wb") as file:
        subprocess.run(command, check=True, stdout=file, env=environ, timeout=_VERIFY_SECONDS)
    command = [sys.executable, "-c", _CLI, "audit", "verify", "--home", str(home), "--file", str(export)]
    done = subprocess.run(
        [*command, "--format", "json"], check=False, capture_output=True, text=True, timeout=_VERIFY_SECONDS
    )
    if done.returncode == 0:
        site.verified = int(json.loads(done.stdout)["size"])
        return []
    return [done.stdout.strip()[-500:] or done.stderr.strip()[-500:] or f"exit code {done.returncode}"]


def table(
    options: Options, run: Run, floor: Floor, ledger: Ledger, found: Findings, load_before: float, site: Site
) -> list[Row]:
    return [
        *_submissions(options, run, floor, ledger),
        *_promises(run, ledger, found, site),
        *_growth(run),
        *_machine(run, ledger, load_before),
    ]


def _submissions(options: Options, run: Run, floor: Floor, ledger: Ledger) -> list[Row]:
    measured = [s for s in ledger.submissions if run.begun <= s.due < run.ended and s.answered]
    outside = [1000 * s.seconds for s in measured if not _in_outage(s, run.outages)]
    inside = [1000 * s.seconds for s in measured if _in_outage(s, run.outages)]
    p95 = percentile(outside, 95)
    what = f"submissions of {options.clients} clients at {options.rate:g} /s beside {options.servers} kernels"
    alone = f"generator alone {1000 * floor.p95:.1f} ms"
    outages = ", ".join(f"{outage.what} {outage.seconds:.1f} s" for outage in run.outages)
    return [
        Row(
            f"{what}: p95 outside the outages",
            p95,
            "ms",
            f"{alone}; {len(outside)} submissions",
            target=f"{WANTED_P95_MS:.0f} ms or less",
            ok=p95 <= WANTED_P95_MS if outside else None,
        ),
        Row("the same, p50", percentile(outside, 50), "ms", f"p99 {percentile(outside, 99):.0f} ms"),
        Row(
            "the same, p95 in the outages",
            percentile(inside, 95),
            "ms",
            f"longest {max(inside, default=0):,.0f} ms, {len(inside)} submissions; {outages}",
        ),
    ]


def _in_outage(submission: Submission, outages: Sequence[Outage]) -> bool:
    return any(
        submission.due <= outage.back + OUTAGE_ENDS_AFTER and submission.answered >= outage.begun for outage in outages
    )


def _promises(run: Run, ledger: Ledger, found: Findings, site: Site) -> list[Row]:
    accepted = ledger.accepted()
    repeated = sum(submission.attempts > 1 for submission in ledger.submissions)
    capped = [s for s in ledger.submissions if s.tenant == CAPPED]
    refused = sum(s.refused for s in capped)
    beside = {
        "tasks lost": f"{len(accepted)} accepted, {len(ledger.kernel_arns)} by kernels",
        "tasks doubled": f"{repeated} submissions were sent again",
        "answers across tenants": f"{ledger.probes} questions",
        "overspent limits": f"limit {site.limit}: {len(capped) - refused} accepted, {refused} refused",
        "problems of the audit log": f"{site.verified} records verified",
    }
    problems = [*ledger.problems(), *[f"{run.unfinished} tasks without an end"] * bool(run.unfinished)]
    for text in problems[:5]:
        print(f"  … seen by clients: {text}", file=sys.stderr, flush=True)
    all_found = {**found, "errors that clients and kernels saw": problems}
    return [
        Row(check, len(wrong), "", beside.get(check, ""), target="none", ok=not wrong)
        for check, wrong in all_found.items()
    ]


def _growth(run: Run) -> list[Row]:
    # A process that is killed leaves its clients to the others: their caches fill once more.
    grown = growth(run.samples, _WARM_UP, _LEAST, since=max(outage.back for outage in run.outages))
    if not grown:
        return [Row("memory of the gateway's processes", float("nan"), "MB/min", "seen for too short a time")]
    worst = max(grown, key=lambda process: process.megabytes_per_minute / process.megabytes)
    each = ", ".join(f"{process.megabytes:.0f} MB in {process.seconds:.0f} s" for process in grown)
    share = worst.megabytes_per_minute / worst.megabytes
    files = max(grown, key=lambda process: process.descriptors[1] - process.descriptors[0])
    return [
        Row(
            "memory of a gateway process, growth once all its clients are known to it, the worst",
            worst.megabytes_per_minute,
            "MB/min",
            each,
            target=f"{FLAT_PER_MINUTE:.0%} a minute or less",
            ok=share <= FLAT_PER_MINUTE,
        ),
        Row(
            "its file descriptors, growth, the worst",
            files.descriptors[1] - files.descriptors[0],
            "",
            f"from {files.descriptors[0]} to {files.descriptors[1]}",
        ),
    ]


def _machine(run: Run, ledger: Ledger, load_before: float) -> list[Row]:
    tasks = max(1, len(ledger.accepted()) + len(ledger.kernel_arns))
    each = {part: 1000 * seconds / tasks for part, seconds in run.processor.items()}
    generator = each.pop("generator")
    parts = ", ".join(f"{part} {milliseconds:.1f} ms" for part, milliseconds in each.items())
    return [
        Row(
            "processor time a task, with its polls and results",
            sum(each.values()),
            "ms",
            f"{parts}; generator {generator:.1f} ms",
        ),
        Row(
            "load average of the machine at the end",
            run.load_after,
            "",
            f"{load_before:.1f} before it began, {os.cpu_count()} processors",
        ),
    ]
