"""A log that lost or changed what a published checkpoint signed is not opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.adapters.store import SqliteDatabase, SqlStore
from jupyter_qsec.domain.errors import (
    StateDirectoryError,
)
from tests.contract.builders import event
from tests.contract.conftest import SIGNER, sqlite_store
from tests.contract.sqlitefiles import filled, require_sound, rewrite, sql
from tests.fakes.clock import FakeClock


def forget(home: Path) -> None:
    shutil.rmtree(home)
    home.mkdir(mode=0o700)


class TestRollback:
    """A log that lost or changed what a published checkpoint signed is not opened, and there is no override."""

    async def test_an_unchanged_log_is_opened(self, home: Path) -> None:
        await filled(home)
        store = sqlite_store(home)
        await store.open()
        assert await store.audit_size() == 10
        await store.close()

    async def test_an_older_copy_of_the_database(self, home: Path) -> None:
        await filled(home, records=4, checkpoint_at=4)
        shutil.copy(home / "state.db", home / "backup")
        store = sqlite_store(home)
        await store.open()
        await store.record([event("later")])
        await store.checkpoint()
        await store.close()
        (home / "backup").replace(home / "state.db")
        with pytest.raises(StateDirectoryError, match="4 records, but a published checkpoint signed 5"):
            await sqlite_store(home).open()

    async def test_a_rewritten_record(self, home: Path) -> None:
        await filled(home)
        rewrite(home, 3, b'{"v":1,"kind":"forged"}')
        require_sound(home)
        with pytest.raises(StateDirectoryError, match="first 6 records are not those"):
            await sqlite_store(home).open()

    async def test_a_deleted_database(self, home: Path) -> None:
        await filled(home)
        (home / "state.db").unlink()
        with pytest.raises(StateDirectoryError, match="0 records"):
            await sqlite_store(home).open()

    @pytest.mark.parametrize(
        "edit",
        [
            "DELETE FROM audit_records WHERE idx = 9",
            "DELETE FROM audit_records WHERE idx = 2",
            "UPDATE audit_records SET leaf_hash = zeroblob(32) WHERE idx = 7",
            "UPDATE audit_head SET size = 9",
            "UPDATE audit_head SET root = zeroblob(32)",
            "UPDATE audit_head SET nodes = zeroblob(64)",
            "DELETE FROM audit_head",
        ],
    )
    async def test_an_edited_database(self, home: Path, edit: str) -> None:
        await filled(home)
        with sql(home) as connection:
            connection.execute(edit)
        with pytest.raises(StateDirectoryError, match="audit log is damaged"):
            await sqlite_store(home).open()

    async def test_a_witness_elsewhere_remembers_what_the_state_directory_forgot(
        self, home: Path, tmp_path: Path
    ) -> None:
        def with_witness() -> SqlStore:
            return SqlStore(
                SqliteDatabase(home / "state.db"),
                signer=SIGNER,
                clock=FakeClock(),
                checkpoint_dir=home / "checkpoints",
                witness=tmp_path / "witness",
            )

        store = with_witness()
        await store.open()
        await store.record([event(), event()])
        await store.checkpoint()
        await store.close()
        forget(home)
        with pytest.raises(StateDirectoryError, match="0 records, but a published checkpoint signed 2"):
            await with_witness().open()
        blind = sqlite_store(home)
        await blind.open()  # without the witness nothing could tell
        await blind.close()

    async def test_another_key_than_that_of_the_database(self, home: Path) -> None:
        await filled(home)
        other = sqlite_store(home, NoteSigner(b"other key" + bytes(23)))
        with pytest.raises(StateDirectoryError, match="keys are not those that the database was started with"):
            await other.open()
        again = sqlite_store(home)
        await again.open()
        await again.close()

    async def test_another_key_than_the_published_one(self, home: Path) -> None:
        await filled(home)
        with sql(home) as connection:
            connection.execute("DELETE FROM audit_key")
        other = SqlStore(
            SqliteDatabase(home / "state.db"),
            signer=NoteSigner(b"other key" + bytes(23)),
            clock=FakeClock(),
            checkpoint_dir=home / "checkpoints",
        )
        with pytest.raises(StateDirectoryError, match=r"not the one published in .*log\.pub"):
            await other.open()

    async def test_a_checkpoint_that_somebody_else_signed(self, home: Path) -> None:
        await filled(home)
        log = home / "checkpoints" / "log"
        log.write_text(log.read_text().replace("\n6\n", "\n5\n"))
        with pytest.raises(StateDirectoryError, match="not signed by the key"):
            await sqlite_store(home).open()

    async def test_a_running_store_sees_that_the_log_is_not_what_was_signed(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        await store.record([event(f"k{number}") for number in range(5)])
        await store.checkpoint()
        rewrite(home, 1, b'{"v":1,"kind":"forged"}')
        with pytest.raises(StateDirectoryError):
            await store.newest_checkpoint()
        await store.close()

    async def test_a_running_store_never_signs_a_fork(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        await store.record([event(f"k{number}") for number in range(5)])
        await store.checkpoint()
        rewrite(home, 1, b'{"v":1,"kind":"forged"}')
        await store.record([event("k5")])
        with pytest.raises(StateDirectoryError, match="damaged"):
            await store.checkpoint()
        await store.close()


class TestCheckpointFile:
    async def test_an_interrupted_write_is_overwritten(self, home: Path) -> None:
        await filled(home)
        log = home / "checkpoints" / "log"
        whole = log.read_text()
        log.write_text(whole + whole[:-30])
        store = sqlite_store(home)
        await store.open()
        note = (await store.checkpoint()).note
        await store.close()
        assert log.read_text() == f"{whole}{note}\n"

    async def test_the_newest_of_many_is_found(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        for _ in range(3):
            await store.record([event()])
            await store.checkpoint()
        log = home / "checkpoints" / "log"
        notes = log.read_text()
        log.write_text(notes * 300)  # longer than what is read of it
        assert (await store.checkpoint()).size == 3
        await store.record([event()])
        assert (await store.checkpoint()).size == 4
        assert log.read_text().startswith(notes * 300)
        assert log.read_text().count("\n\n") == (900 + 1) * 2
        await store.close()
