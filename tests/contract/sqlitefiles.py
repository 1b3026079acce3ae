"""A state database in the hands of its owner: filled, read with SQLite alone, edited."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import CHAIN_START, chain_next
from tests.contract.builders import event
from tests.contract.conftest import sqlite_store


@contextmanager
def sql(home: Path) -> Iterator[sqlite3.Connection]:
    """The database in the hands of somebody who edits it."""
    with closing(sqlite3.connect(home / "state.db")) as connection, connection:
        yield connection


async def filled(home: Path, records: int = 10, checkpoint_at: int = 6) -> None:
    store = sqlite_store(home)
    await store.open()
    await store.record([event(f"k{number}") for number in range(checkpoint_at)])
    await store.checkpoint()
    await store.record([event(f"k{number}") for number in range(checkpoint_at, records)])
    await store.close()


def require_sound(home: Path) -> int:
    """Recompute the whole log from its leaves and hold it against what is stored; its size."""
    tree, chain = merkle.CompactTree(), CHAIN_START
    with sql(home) as connection:
        for index, leaf, leaf_hash, stored in connection.execute("SELECT * FROM audit_records ORDER BY idx"):
            assert index == tree.size
            assert leaf_hash == merkle.leaf_hash(leaf)
            chain = chain_next(chain, leaf_hash)
            assert stored == chain
            tree.append(leaf_hash)
        (head,) = connection.execute("SELECT size, root, chain FROM audit_head").fetchall()
        assert head == (tree.size, tree.root(), chain)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return tree.size


def rewrite(home: Path, index: int, leaf: bytes) -> None:
    """Replace a record and recompute everything in the database that depends on it, as its owner could."""
    with sql(home) as connection:
        connection.execute("UPDATE audit_records SET leaf = ? WHERE idx = ?", (leaf, index))
        tree, chain = merkle.CompactTree(), CHAIN_START
        connection.execute("DELETE FROM audit_nodes")
        for number, content in connection.execute("SELECT idx, leaf FROM audit_records ORDER BY idx").fetchall():
            hashed = merkle.leaf_hash(content)
            chain = chain_next(chain, hashed)
            tree.append(hashed)
            connection.execute(
                "UPDATE audit_records SET leaf_hash = ?, chain = ? WHERE idx = ?", (hashed, chain, number)
            )
        connection.execute(
            "UPDATE audit_head SET size = ?, root = ?, nodes = ?, chain = ?",
            (tree.size, tree.root(), b"".join(tree.nodes), chain),
        )
