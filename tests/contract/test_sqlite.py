"""What the SQLite store promises beyond the contract: modes, schema, refusal of bad values, an orderly end."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import SqliteDatabase, SqlStore, auditlog
from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    StateDirectoryError,
    UnavailableError,
)
from tests.contract.builders import PAYLOAD, event, lease, task
from tests.contract.conftest import SIGNER, sqlite_store
from tests.contract.sqlitefiles import filled, require_sound, sql
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


def modes_below(home: Path) -> dict[str, int]:
    return {str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*")}


class TestFiles:
    async def test_everything_it_makes_is_closed_to_others(self, home: Path) -> None:
        previous = os.umask(0)
        try:
            store = SqlStore(
                SqliteDatabase(home / "state.db"),
                signer=SIGNER,
                clock=FakeClock(),
                checkpoint_dir=home / "checkpoints",
                witness=home / "witness",
            )
            await store.open()
            await store.record([event()])
            await store.checkpoint()
            modes = modes_below(home)
            await store.close()
        finally:
            os.umask(previous)
        assert modes.pop("checkpoints") == 0o700
        assert set(modes) >= {"state.db", "state.db-wal", "state.db-shm", "checkpoints/log", "checkpoints/log.pub"}
        assert set(modes.values()) == {0o600}

    async def test_a_database_that_others_can_read_is_refused(self, home: Path) -> None:
        await filled(home)
        (home / "state.db").chmod(0o640)
        with pytest.raises(StateDirectoryError, match="read by others"):
            await sqlite_store(home).open()

    async def test_a_link_is_not_followed(self, home: Path, tmp_path: Path) -> None:
        await filled(home)
        (home / "state.db").rename(tmp_path / "elsewhere.db")
        (home / "state.db").symlink_to(tmp_path / "elsewhere.db")
        with pytest.raises(StateDirectoryError):
            await sqlite_store(home).open()

    async def test_a_missing_directory_and_a_foreign_file_are_named(self, home: Path) -> None:
        with pytest.raises(StateDirectoryError, match="does not exist"):
            await sqlite_store(home / "missing").open()
        (home / "state.db").write_bytes(b"this is no database" * 100)
        (home / "state.db").chmod(0o600)
        with pytest.raises(StateDirectoryError, match="not a database"):
            await sqlite_store(home).open()

    async def test_commits_wait_for_the_disk(self, home: Path) -> None:
        engine = SqliteDatabase(home / "state.db").engine()
        with engine.connect() as connection:
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        engine.dispose()
        assert found == ["wal", 2, 1]


class TestNodes:
    async def test_proofs_use_stored_nodes_of_every_height(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(auditlog, "NODE_STEP", 2)  # 300 records have four levels of them, not two
        store, peer = sqlite_store(home), FakeStore(signer=SIGNER)
        await store.open()
        await peer.open()
        for start in range(0, 300, 50):
            events = [event(details={"n": number}) for number in range(start, start + 50)]
            await store.record(events)
            await peer.record(events)
        for size in (1, 63, 64, 255, 256, 257, 300):
            assert await store.inclusion_proof(size - 1, size) == await peer.inclusion_proof(size - 1, size)
            assert await store.inclusion_proof(0, size) == await peer.inclusion_proof(0, size)
            assert await store.consistency_proof(size // 2, size) == await peer.consistency_proof(size // 2, size)
        await store.close()
        with sql(home) as connection:
            heights = connection.execute("SELECT height, COUNT(*) FROM audit_nodes GROUP BY height").fetchall()
        assert heights == [(2, 75), (4, 18), (6, 4), (8, 1)]


class TestBadValues:
    async def test_text_that_no_database_holds_is_refused_alone(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        outcomes = await asyncio.gather(
            store.submit(task("t1"), PAYLOAD, [], [event("first")]),
            store.submit(task("t2", user_agent="\ud800"), PAYLOAD, [], [event("bad")]),
            store.submit(task("t3", shots=1 << 70), PAYLOAD, [], [event("bad")]),
            store.submit(task("t4"), PAYLOAD, [], [event("second")]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [
            Submitted,
            InvalidRequestError,
            InvalidRequestError,
            Submitted,
        ]
        await store.close()
        assert require_sound(home) == 2


class TestClosing:
    async def test_what_waits_is_committed(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        waiting = [asyncio.ensure_future(store.record([event(f"k{number}")])) for number in range(50)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*waiting)
        assert require_sound(home) == 50
        with pytest.raises(UnavailableError):
            await store.task("t1")

    async def test_a_caller_that_gave_up_disturbs_nobody(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        gone = asyncio.ensure_future(store.record([event("gone")]))
        await asyncio.sleep(0)
        gone.cancel()
        await store.record([event("stays")])
        await store.close()
        assert require_sound(home) == 2

    async def test_a_locked_database_is_unavailable_and_nothing_is_written(self, home: Path) -> None:
        store = SqlStore(
            SqliteDatabase(home / "state.db", {"busy_timeout": 50}),
            signer=SIGNER,
            clock=FakeClock(),
            checkpoint_dir=home / "checkpoints",
        )
        await store.open()
        with closing(sqlite3.connect(home / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError):
                await store.record([event()])
            other.execute("ROLLBACK")
        await store.record([event("afterwards")])
        await store.close()
        assert require_sound(home) == 1

    async def test_a_conflict_is_told_from_a_failure(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        await store.put_lease(lease(), [])
        with pytest.raises(ConflictError):
            await store.put_lease(lease(), [])
        await store.close()
