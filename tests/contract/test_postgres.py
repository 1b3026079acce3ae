"""What the store promises on PostgreSQL beyond the contract: outages, many processes, refusal of what is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
from pg8000.exceptions import InterfaceError

from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.adapters.store import PostgresDatabase, SqlStore
from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    RecordingError,
    StateDirectoryError,
    UnavailableError,
)
from jupyter_qsec.domain.quota import Metric
from tests.contract.auditing import run, verify
from tests.contract.builders import DAY, PAYLOAD, TENANT, charge, event, lease, task
from tests.contract.conftest import SIGNER, postgres_store
from tests.contract.postgres import PostgresServer
from tests.contract.processes import Writers
from tests.contract.test_claims import claim, waiting
from tests.fakes.clock import FakeClock


def edit(url: str, *statements: str) -> None:
    """The database in the hands of its owner."""
    folder, name = url.partition("?host=")[2], url.partition("@/")[2].partition("?")[0]
    with pg8000.native.Connection(
        "qsec", unix_sock=f"{folder}/.s.PGSQL.5432", database=name, ssl_context=False
    ) as connection:
        for statement in statements:
            connection.run(statement)


@contextlib.contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """What the statement locks stays locked by another connection."""
    folder, name = url.partition("?host=")[2], url.partition("@/")[2].partition("?")[0]
    with pg8000.native.Connection(
        "qsec", unix_sock=f"{folder}/.s.PGSQL.5432", database=name, ssl_context=False
    ) as connection:
        connection.run("BEGIN")
        assert connection.run(statement), "there is something to hold"
        yield
        connection.run("ROLLBACK")


class TestProcesses:
    async def test_eight_processes_never_overspend_one_limit(self, postgres_url: str, home: Path) -> None:
        with Writers(home, postgres_url) as writers:
            for number in range(8):
                writers.start(f"w{number}", 16)
            writers.go()
            accepted = [line for process in writers.processes for line in process.communicate(timeout=60)[0].split()]
            assert all(process.returncode == 0 for process in writers.processes)
        assert len(accepted) == 33  # 3 each, of 100
        store = postgres_store(postgres_url, home)
        await store.open()
        used = {usage.metric: usage.used for usage in await store.usage([TENANT], DAY)}
        assert used == {Metric.TASKS: 99, Metric.SHOTS: 33 * 7}
        assert [await store.task(identity) is not None for identity in accepted] == [True] * 33
        assert await store.audit_size() == 8 * 16  # accepted or refused, each has its record
        await store.close()

    async def test_kill_9_loses_no_acknowledged_task(self, postgres_url: str, home: Path) -> None:
        acknowledged: list[str] = []
        with Writers(home, postgres_url) as writers:
            for number in range(3):
                acknowledged += writers.run_and_kill(f"killed{number}", 40 + 37 * number)
        store = postgres_store(postgres_url, home)
        await store.open()
        assert [identity for identity in acknowledged if await store.task(identity) is None] == []
        (usage,) = await store.usage([TENANT], DAY)
        assert usage.used == await store.audit_size() >= len(acknowledged)
        await store.close()

    async def test_several_publish_checkpoints_of_a_growing_log_without_conflict(
        self, postgres_url: str, home: Path
    ) -> None:
        stores = [postgres_store(postgres_url, home, shared=True) for _ in range(3)]
        await asyncio.gather(*[store.open() for store in stores])

        async def grow_and_publish(store: SqlStore) -> None:
            for _ in range(15):
                await store.record([event()])
                await store.checkpoint()

        await asyncio.gather(*[grow_and_publish(store) for store in stores])
        assert (await stores[0].checkpoint()).size == 45
        await asyncio.gather(*[store.close() for store in stores])

    async def test_a_claim_passes_over_what_somebody_else_holds(self, postgres_url: str, home: Path) -> None:
        """An administrator's open transaction, for instance: others' tasks need not wait for it."""
        store = postgres_store(postgres_url, home, shared=True)
        await store.open()
        await store.claims.enlist("w1", 4)
        await waiting(store, "held", tenant="alpha")
        await waiting(store, "free", tenant="beta")
        async with asyncio.timeout(20):
            with holding(postgres_url, "SELECT task_id FROM task_queue WHERE task_id = 'held' FOR UPDATE"):
                assert await claim(store, "w1", 4) == ["free"]
            assert await claim(store, "w1", 4) == ["held"]
        await store.close()


class TestOutages:
    @pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
    async def test_a_restart_under_load_loses_nothing_and_nobody_sees_an_error(
        self, postgres_server: PostgresServer, postgres_url: str, home: Path, how: signal.Signals
    ) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        acknowledged: list[str] = []
        stop, went_well = asyncio.Event(), asyncio.Semaphore(0)

        async def client(name: int) -> None:
            count = 0
            while not stop.is_set():
                made = task(f"t{name}-{count}")
                outcome = await store.submit(made, PAYLOAD, [charge(1, None)], [event("task.submitted")])
                assert outcome == Submitted(made)
                assert await store.task(made.id) == made
                acknowledged.append(made.id)
                went_well.release()
                count += 1

        async def trouble() -> None:
            for _ in range(3):
                for _ in range(20):
                    await went_well.acquire()
                await asyncio.to_thread(postgres_server.stop, how)
                await asyncio.to_thread(postgres_server.start)
            stop.set()

        await asyncio.gather(trouble(), *[client(name) for name in range(6)])
        (usage,) = await store.usage([TENANT], DAY)
        assert usage.used == await store.audit_size() == len(acknowledged) == len(set(acknowledged))
        await store.close()

    async def test_what_lasts_too_long_is_told_and_changes_nothing(
        self, postgres_server: PostgresServer, postgres_url: str, home: Path
    ) -> None:
        database = PostgresDatabase(postgres_url)
        store = SqlStore(database, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints", patience=0)
        await store.open()
        postgres_server.stop(signal.SIGQUIT)
        try:
            with pytest.raises(UnavailableError):
                await store.put_lease(lease(), [event()])
            with pytest.raises(UnavailableError):
                await store.lease("l1")
            with pytest.raises(StateDirectoryError, match="cannot be read"):
                await SqlStore(
                    database, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints", patience=0
                ).open()
        finally:
            postgres_server.start()
        await store.put_lease(lease(), [event()])
        assert await store.audit_size() == 1
        await store.close()


class LosingDatabase(PostgresDatabase):
    """Loses the connection around one COMMIT."""

    def __init__(self, url: str, *, committed: bool) -> None:
        super().__init__(url)
        self.committed = committed
        self.losses = 0

    def cursor(self, pooled: Any) -> Any:
        cursor = super().cursor(pooled)
        execute: Callable[..., None] = cursor.execute

        def losing(sql: str, parameters: Any = ()) -> None:
            if sql == "COMMIT" and self.losses:
                self.losses -= 1
                execute("COMMIT" if self.committed else "ROLLBACK")
                raise InterfaceError("network error")
            execute(sql, parameters)

        cursor.execute = losing
        return cursor


class TestUnheardCommits:
    """The connection is lost when COMMIT was sent: what happened is looked up."""

    @staticmethod
    def store(database: PostgresDatabase, home: Path, patience: float = 10) -> SqlStore:
        return SqlStore(
            database, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints", patience=patience
        )

    @pytest.mark.parametrize("committed", [True, False])
    @pytest.mark.parametrize("losses", [1, 2])
    async def test_it_is_done_once_and_acknowledged(
        self, postgres_url: str, home: Path, committed: bool, losses: int
    ) -> None:
        database = LosingDatabase(postgres_url, committed=committed)
        store = self.store(database, home)
        await store.open()
        database.losses = losses
        await store.put_lease(lease(), [])  # leaves no record behind that could tell
        database.losses = losses
        outcomes = await asyncio.gather(
            *[store.submit(task(f"t{n}"), PAYLOAD, [charge(1)], [event("task.submitted")]) for n in range(5)]
        )
        assert [type(outcome) for outcome in outcomes] == [Submitted] * 5
        (usage,) = await store.usage([TENANT], DAY)
        assert usage.used == await store.audit_size() == 5
        assert await store.lease("l1") == lease()
        await store.close()

    async def test_without_the_marks_a_success_would_be_told_as_a_conflict(self, postgres_url: str, home: Path) -> None:
        database = LosingDatabase(postgres_url, committed=True)
        database.marks_groups = False
        store = self.store(database, home)
        store._writer._is_marked = lambda session: False  # type: ignore[method-assign]  # as if it had none
        await store.open()
        database.losses = 1
        with pytest.raises(ConflictError):
            await store.put_lease(lease(), [])
        await store.close()

    async def test_it_is_said_when_it_cannot_be_looked_up(self, postgres_url: str, home: Path) -> None:
        database = LosingDatabase(postgres_url, committed=True)
        store = self.store(database, home, patience=0)
        await store.open()
        database.losses = 1
        with pytest.raises(RecordingError, match="whether it did is not known"):
            await store.put_lease(lease(), [event()])
        await store.close()

    async def test_a_writer_that_ends_leaves_no_mark(self, postgres_url: str, home: Path) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        await store.record([event()])
        await store.close()
        edit(postgres_url, "ALTER TABLE write_groups ADD CONSTRAINT no_rows CHECK (number < 0)")


class TestDamage:
    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM audit_records WHERE idx = 9",
            "DELETE FROM audit_records WHERE idx = 2",
            "UPDATE audit_records SET leaf_hash = decode(repeat('00', 32), 'hex') WHERE idx = 7",
            "UPDATE audit_head SET size = 9",
            "UPDATE audit_head SET root = decode(repeat('00', 32), 'hex')",
            "DELETE FROM audit_head",
        ],
    )
    async def test_an_edited_log_is_not_opened(self, postgres_url: str, home: Path, change: str) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        await store.record([event(f"k{number}") for number in range(10)])
        await store.checkpoint()
        await store.close()
        edit(postgres_url, change)
        with pytest.raises(StateDirectoryError, match="audit log is damaged"):
            await postgres_store(postgres_url, home).open()

    async def test_a_restored_older_database_is_not_opened(
        self, postgres_server: PostgresServer, postgres_url: str, home: Path
    ) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        await store.record([event()])
        await store.checkpoint()
        await store.close()
        older = postgres_server.new_database()
        with pytest.raises(StateDirectoryError, match="0 records, but a published checkpoint signed 1"):
            await postgres_store(postgres_server.url(older), home).open()
        postgres_server.drop_database(older)

    async def test_a_database_that_may_only_be_read_says_so(self, postgres_url: str, home: Path) -> None:
        name = postgres_url.partition("@/")[2].partition("?")[0]
        edit(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(StateDirectoryError, match="read-only transaction"):
            await postgres_store(postgres_url, home).open()

    async def test_a_database_that_becomes_read_only_says_so_at_the_next_write(
        self, postgres_url: str, home: Path
    ) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        name = postgres_url.partition("@/")[2].partition("?")[0]
        edit(
            postgres_url,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(UnavailableError, match="read-only transaction"):
            await store.record([event()])
        await store.close()

    async def test_a_gateway_with_other_keys_is_refused_and_leaves_nothing_behind(
        self, postgres_url: str, home: Path, tmp_path: Path
    ) -> None:
        first = postgres_store(postgres_url, home, shared=True)
        await first.open()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        other = postgres_store(postgres_url, elsewhere, NoteSigner(b"other key" + bytes(23)), shared=True)
        with pytest.raises(StateDirectoryError, match="keys are not those that the database was started with"):
            await other.open()
        assert list(elsewhere.iterdir()) == []
        with_the_keys = postgres_store(postgres_url, elsewhere, shared=True)
        await with_the_keys.open()
        await with_the_keys.record([event()])
        assert await first.audit_size() == 1
        await with_the_keys.close()
        await first.close()

    async def test_gateways_with_different_keys_that_start_together_are_not_both_let_in(
        self, postgres_url: str, home: Path, tmp_path: Path
    ) -> None:
        stores = [
            postgres_store(postgres_url, home if number % 2 else tmp_path, NoteSigner(bytes([number % 2]) * 32))
            for number in range(6)
        ]
        outcomes = await asyncio.gather(*[store.open() for store in stores], return_exceptions=True)
        refused = [isinstance(outcome, StateDirectoryError) for outcome in outcomes]
        assert refused in ([True, False] * 3, [False, True] * 3)
        for store, outcome in zip(stores, outcomes, strict=True):
            if outcome is None:
                await store.close()

    async def test_text_that_no_database_holds_is_refused_alone(self, postgres_url: str, home: Path) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        outcomes = await asyncio.gather(
            store.submit(task("t1"), PAYLOAD, [], [event("first")]),
            store.submit(task("t2", user_agent="\ud800"), PAYLOAD, [], [event("bad")]),
            store.submit(task("t3", user_agent="a\0b"), PAYLOAD, [], [event("bad")]),
            store.submit(task("t4", shots=1 << 70), PAYLOAD, [], [event("bad")]),
            store.submit(task("t5"), PAYLOAD, [], [event("second")]),
            return_exceptions=True,
        )
        refused = InvalidRequestError
        assert [type(outcome) for outcome in outcomes] == [Submitted, refused, refused, refused, Submitted]
        assert await store.audit_size() == 2
        await store.close()


class TestExport:
    async def test_the_log_is_exported_and_verified_as_that_of_a_file(
        self, postgres_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = postgres_store(postgres_url, home)
        await store.open()
        for start in range(0, 1_500, 300):  # more than a page
            await store.record([event(f"k{number}") for number in range(start, start + 300)])
        await store.checkpoint()
        await store.close()
        monkeypatch.setenv("JUPYTER_QSEC_DATABASE_URL", postgres_url)
        code, report = verify(home)
        assert (code, report["size"]) == (0, 1_500)
        edit(postgres_url, "UPDATE audit_records SET leaf = 'forged' WHERE idx = 1200")
        code, report = verify(home)
        assert code == 1
        edit(postgres_url, "DROP TABLE audit_records")
        assert run("verify", "--home", home).exit_code != 0
