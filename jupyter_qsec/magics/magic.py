"""The magics themselves: parse, estimate, submit, follow, show."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.display import DisplayHandle, display

from jupyter_qsec.magics import display as shown
from jupyter_qsec.magics import programs
from jupyter_qsec.magics.arguments import Options, parse
from jupyter_qsec.magics.backend import Backend
from jupyter_qsec.magics.control import Control
from jupyter_qsec.magics.following import TERMINAL, Follower
from jupyter_qsec.magics.problems import QsubmitError, did_you_mean

_THREADS = 8
_MAX_ESTIMATED_SOURCE = 400_000


class _Card:
    """A display that is shown once and updated in place."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None
        self._last: shown.Bundle = {}

    def show(self, bundle: shown.Bundle) -> None:
        if bundle == self._last:
            return
        self._last = bundle
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        else:
            self._handle.update(bundle, raw=True)  # type: ignore[no-untyped-call]  # IPython's


@magics_class
class QsecMagics(Magics):
    """`%qsubmit`, `%%qsubmit`, `%qstatus`."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell
        self._backend = Backend()

    @line_cell_magic
    def qsubmit(self, line: str, cell: str | None = None) -> Any:
        """Run a quantum program through the gateway.

        %qsubmit CIRCUIT [options]      a Circuit, an OpenQASM program, or a list of them, from a variable
        %%qsubmit [options]             the cell below holds OpenQASM 3

        --device NAME|ARN   where to run it (default sv1)
        --shots N           how often (default 1000)
        --out VARIABLE      put the result there
        --no-plot           show no bars
        --plot matplotlib   draw with matplotlib instead
        """
        options = parse(line)
        control = Control.of_this_kernel()
        device = self._device(control, options.device)
        if cell is not None:
            if options.target:
                raise QsubmitError(f"What is {options.target!r}? With %%qsubmit the cell itself holds the program.")
            found, is_batch = [programs.of_source(cell)], False
        else:
            found, is_batch = programs.of_expression(options.target, self._shell.user_ns)
        result = (
            self._run_batch(control, options, device, found)
            if is_batch
            else self._run(control, options, device, found[0])
        )
        if options.out:
            self._shell.user_ns[options.out] = result
            return None
        return result

    @line_magic
    def qstatus(self, line: str) -> None:
        """Show this kernel's lease, today's quota and the latest tasks."""
        if line.strip():
            raise QsubmitError("%qstatus takes no options.")
        control = Control.of_this_kernel()
        lease = control.lease()
        title = f"Lease {lease['id'][:8]} · {lease['tenant']} / {lease['project']} · {lease['state']}"
        usages = [
            (str(usage["metric"]), str(usage["scope"]), f"{usage['used']:,}", _limit(usage))
            for usage in control.quotas()
        ]
        _show(shown.table(title, ("quota today", "of", "used", "limit"), usages))
        tasks = [
            (task["created_at"], task["device_name"], f"{task['shots']:,}", task["state"], task["id"])
            for task in control.tasks(limit=5)
        ]
        _show(shown.table("Latest tasks", ("created", "device", "shots", "state", "task"), tasks))

    @staticmethod
    def _device(control: Control, wanted: str) -> Mapping[str, Any]:
        devices = control.devices()
        for device in devices:
            names = {device["arn"].lower(), device["name"].lower(), device["arn"].rpartition("/")[2].lower()}
            if wanted.lower() in names:
                return device
        short = [device["arn"].rpartition("/")[2] for device in devices]
        known = [device["arn"] for device in devices] if wanted.startswith("arn:") else short
        raise QsubmitError(
            f"There is no device '{wanted}'.{did_you_mean(wanted, known)} Available: {', '.join(short)}."
        )

    # -- one program
    def _run(self, control: Control, options: Options, device: Mapping[str, Any], program: Any) -> Any:
        estimate = control.estimate(device["arn"], options.shots, _estimated_source(program))
        card, started = _Card(), time.monotonic()

        def show(state: Mapping[str, Any]) -> None:
            card.show(shown.task_card(estimate, options.shots, state, time.monotonic() - started))

        show({})
        submitted: list[str] = []
        try:
            task = self._backend.submit(program, device["arn"], options.shots)
            submitted.append(_id_of(task.id))
            show({"state": "CREATED", "arn": task.id})
            last = Follower(control).follow(submitted[0], show)
        except KeyboardInterrupt:
            raise _interrupted(submitted, control) from None
        if last["state"] != "COMPLETED":
            raise QsubmitError(last.get("failure_reason") or f"The task was {last['state'].lower()}: {task.id}")
        result = self._with_short_text(self._backend.result_of(task))
        self._plot(options, result, str(device["name"]))
        return result

    def _plot(self, options: Options, result: Any, device: str) -> None:
        values = _values_of(result)
        if values:
            _show(shown.table("Result types", ("result type", "value"), values))
        counts = getattr(result, "measurement_counts", None)
        if options.plot == "none" or not counts:
            return
        title = f"{sum(counts.values()):,} shots on {device}"
        if options.plot == "matplotlib":
            display(shown.matplotlib_figure(counts, title))  # type: ignore[no-untyped-call]  # IPython's
        else:
            _show(shown.bars(counts, title))

    def _with_short_text(self, result: Any) -> Any:
        """A result of ours ends a cell in one line; results of other origin are shown as always."""

        def shorten(value: Any, printer: Any, cycle: bool) -> None:
            counts = value.measurement_counts if getattr(value, "_from_qsubmit", False) else None
            if cycle or counts is None:
                printer.text(repr(value))
            else:
                shots, outcomes = sum(counts.values()), len(counts)
                printer.text(f"{type(value).__name__}({shots:,} shots, {outcomes:,} outcomes)")

        with contextlib.suppress(AttributeError):  # a result without attributes of its own is shown as always
            result._from_qsubmit = True
            self._shell.display_formatter.formatters["text/plain"].for_type(type(result), shorten)
        return result

    # -- many programs
    def _run_batch(self, control: Control, options: Options, device: Mapping[str, Any], found: list[Any]) -> list[Any]:
        sources = [_estimated_source(program) for program in found]
        longest = max(sources, key=len)
        estimate = Decimal(control.estimate(device["arn"], options.shots, longest)["amount_usd"]) * len(found)
        card, started = _Card(), time.monotonic()
        numbers: dict[str, int] = {}
        results: list[Any] = [None] * len(found)
        failures: list[str] = []
        downloads: list[Future[None]] = []
        stop = threading.Event()

        def show() -> None:
            done = sum(download.done() for download in downloads)
            elapsed = time.monotonic() - started
            card.show(
                shown.batch_card(device["name"], options.shots, done, len(failures), len(found), estimate, elapsed)
            )

        def submit(number: int) -> None:
            if not stop.is_set():
                numbers[_id_of(self._backend.submit(found[number], device["arn"], options.shots).id)] = number

        def fetch(task: Mapping[str, Any]) -> None:
            results[numbers[task["id"]]] = self._with_short_text(self._backend.download(task["output_s3_uri"]))

        def ended(task: Mapping[str, Any]) -> None:
            if task["state"] == "COMPLETED":
                downloads.append(pool.submit(fetch, task))
            else:
                failures.append(task.get("failure_reason") or f"a task was {task['state'].lower()}")

        show()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="qsubmit") as pool:
            try:
                self._submit_all(pool, submit, len(found), stop)
                Follower(control).follow_all(numbers, ended, show)
                for download in downloads:
                    download.result()
            except KeyboardInterrupt:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise _interrupted(list(numbers), control) from None
            except QsubmitError as problem:
                stop.set()
                if numbers:
                    raise QsubmitError(f"{problem} ({len(numbers)} of {len(found)} tasks were submitted.)") from None
                raise
        show()
        if failures:
            _show({"text/plain": f"{len(failures)} tasks failed; the first one: {failures[0]}"})
        return results

    @staticmethod
    def _submit_all(pool: ThreadPoolExecutor, submit: Any, total: int, stop: threading.Event) -> None:
        submit(0)  # alone: it makes the session, and a mistake that they all share shows once
        submissions = [pool.submit(submit, number) for number in range(1, total)]
        for submission in submissions:
            try:
                submission.result()
            except QsubmitError:
                stop.set()
                for other in submissions:
                    other.cancel()
                raise


def _show(bundle: shown.Bundle) -> None:
    display(bundle, raw=True)  # type: ignore[no-untyped-call]  # IPython's


def _id_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def _limit(usage: Mapping[str, Any]) -> str:
    return "none" if usage.get("limit") is None else f"{usage['limit']:,}"


def _estimated_source(program: Any) -> str:
    source = programs.openqasm_of(program)
    return source if len(source) <= _MAX_ESTIMATED_SOURCE else ""


def _values_of(result: Any) -> list[tuple[str, str]]:
    """The result types that are one number, as rows."""
    rows = []
    for entry in getattr(result, "result_types", None) or ():
        if isinstance(entry.value, int | float):
            about = getattr(entry.type, "observable", None) or ""
            targets = getattr(entry.type, "targets", None)
            where = f" on {', '.join(str(target) for target in targets)}" if targets else ""
            names = " @ ".join(part if isinstance(part, str) else "hermitian" for part in about)
            rows.append((f"{entry.type.type.value} {names}{where}".strip(), f"{entry.value:.6g}"))
    return rows


def _interrupted(task_ids: list[str], control: Control) -> QsubmitError:
    """Cancels what was submitted and says so, and which tasks may go on.

    The first refusal that is not about a task alone ends it: the next ones would wait for the same.
    """
    cancelled = 0
    for number, task_id in enumerate(task_ids):
        try:
            if control.task(task_id)["state"] not in TERMINAL:
                control.cancel(task_id)
                cancelled += 1
        except QsubmitError as problem:
            if problem.code != "conflict":  # a conflict: it ended in the meantime
                return QsubmitError(_may_go_on(cancelled, task_ids[number:], problem), code="interrupted")
    what = _were_cancelled(cancelled) if cancelled else "nothing was left to cancel"
    return QsubmitError(f"Interrupted: {what}.", code="interrupted")


def _were_cancelled(count: int) -> str:
    return f"{count} task{'s were' if count != 1 else ' was'} cancelled"


def _may_go_on(cancelled: int, left: list[str], problem: QsubmitError) -> str:
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return (
        f"Interrupted: {_were_cancelled(cancelled)}. {left[0]}{others} may go on, since they could not be cancelled: "
        f"{problem} Look at them with '%qstatus' and cancel them with 'jupyter qsec tasks cancel'."
    )
