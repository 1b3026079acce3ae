"""PostgreSQL away for nine seconds while clients of two gateway processes submit: they wait, and see no error."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.auditing import verify
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import Issued
from tests.gateway.manyprocesses import ProcessesGateway
from tests.gateway.signedcalls import SignedBraket

pytestmark = pytest.mark.xdist_group("processes")

SECONDS = 9.0
AROUND = 8
"""So many submissions of each client before the outage, and after it."""


class Submitter:
    """Submits one task after the other on one connection; what goes wrong is kept, and never tried again."""

    def __init__(self, gateway: ProcessesGateway, lease: Issued, client: httpx.Client, stop: threading.Event) -> None:
        self.sent, self.longest = 0, 0.0
        self.answered: list[str] = []
        self.errors: list[str] = []
        self._client, self._stop = client, stop
        self._braket = SignedBraket(gateway, lease, client)
        self._thread = threading.Thread(target=self._submit)
        self._thread.start()

    def _submit(self) -> None:
        while not self._stop.is_set() and not self.errors:
            self.sent += 1
            began = time.monotonic()
            try:
                self.answered.append(self._braket.create_bell(shots=10))
            except (AssertionError, httpx.HTTPError) as error:
                self.errors.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - began)

    def has(self, answers: int) -> bool:
        return len(self.answered) >= answers or bool(self.errors)

    def close(self) -> None:
        self._thread.join(30)
        self._client.close()


def submitted(gateway: ProcessesGateway) -> Counter[str]:
    """How often the log says of each task that it was submitted."""
    found: Counter[str] = Counter()
    start, page = 0, [None]
    while page:
        page = gateway.get(f"/api/v1/audit/records?start={start}&limit=1000").json()["records"]
        found.update(each["event"]["subject"] for each in page if each["event"]["kind"] == "task.submitted")
        start += len(page)
    return found


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_every_submission_is_answered_with_success_and_counts_once(
    postgres_server: PostgresServer,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
) -> None:
    gateway = ProcessesGateway.on(postgres_url, tmp_path / "home").start()
    stop = threading.Event()
    submitters: list[Submitter] = []
    try:
        gateway.wait_until_full()
        lease = gateway.lease()
        # Two at each process, whose requests one connection keeps there.
        clients = [client for _ in range(2) for client in gateway.clients()]
        submitters = [Submitter(gateway, lease, client, stop) for client in clients]
        wait_for(lambda: all(each.has(AROUND) for each in submitters), "submissions before the outage")

        postgres_server.stop(how)
        back = threading.Timer(SECONDS, postgres_server.start)
        back.start()
        back.join()
        began = {each: len(each.answered) for each in submitters}
        wait_for(lambda: all(each.has(began[each] + AROUND) for each in submitters), "submissions after the outage")
        stop.set()
        for each in submitters:
            each.close()

        assert [each.errors for each in submitters] == [[]] * 4
        assert all(each.longest > SECONDS - 1 for each in submitters), "each of them has waited the outage out"
        answered = [task for each in submitters for task in each.answered]
        assert len(answered) == len(set(answered)) == sum(each.sent for each in submitters)

        def ended() -> list[dict[str, Any]]:
            tasks: list[dict[str, Any]] = gateway.get("/api/v1/tasks?limit=1000").json()["tasks"]
            return tasks if all(task["state"] == "COMPLETED" for task in tasks) else []

        tasks = wait_for(ended, "the end of all tasks", 60)
        assert sorted(task["id"] for task in tasks) == sorted(answered)
        usages = gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
        used = {usage["metric"]: usage["used"] for usage in usages if usage["scope"] == "tenant:sandbox"}
        assert (used["tasks"], used["shots"]) == (len(answered), 10 * len(answered))
        assert submitted(gateway) == Counter(task["arn"] for task in tasks)
        assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
        assert gateway.stop() == 0
    finally:
        stop.set()
        for each in submitters:
            each.close()
        gateway.close()
    monkeypatch.setenv("JUPYTER_QSEC_DATABASE_URL", postgres_url)
    code, report = verify(tmp_path / "home")
    assert code == 0, report
