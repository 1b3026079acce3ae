"""The audit log in the database: appended within the writer's transaction, proved from stored nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_qsec.adapters.store import tables
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.tables import NODE_STEP
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import chain_next
from jupyter_qsec.domain.errors import StateDirectoryError

_REMEDY = "See what `jupyter qsec audit verify` says; restore the state directory from a backup that is newer."


@dataclass(frozen=True, slots=True)
class Head:
    """The log's head as stored."""

    size: int
    root: bytes
    nodes: bytes
    chain: bytes

    def tree(self) -> merkle.CompactTree:
        step = merkle.HASH_SIZE
        try:
            return merkle.CompactTree(self.size, [self.nodes[i : i + step] for i in range(0, len(self.nodes), step)])
        except ValueError as error:
            raise damaged("its head is not that of a tree") from error


def damaged(what: str) -> StateDirectoryError:
    return StateDirectoryError(f"The audit log is damaged: {what}.", remedy=_REMEDY)


def find_head(session: Session, *, lock: bool = False) -> Head | None:
    """The head, locked against other writers if wanted; None when the database has none yet."""
    statements = session.statements
    rows = session.execute(statements.head if lock else statements.read_head, {})
    if not rows:
        return None
    size, root, nodes, chain = rows[0]
    return Head(size=size, root=bytes(root), nodes=bytes(nodes), chain=bytes(chain))


def read_head(session: Session, *, lock: bool = False) -> Head:
    """Raises `StateDirectoryError` when there is none."""
    head = find_head(session, lock=lock)
    if head is None:
        raise damaged("it has no head")
    return head


def sign_with(session: Session, verifier_key: str) -> None:
    """Hold the key that signs this log against the one that it was started with; an unsigned log is this key's from
    now on. In the session's transaction, which must be one that writes. `StateDirectoryError` for another key."""
    session.insert_rows(tables.audit_key, [{"id": 1, "verifier_key": verifier_key}])
    known = [row[0] for row in session.execute(session.statements.audit_key, {})]
    if known != [verifier_key]:
        raise StateDirectoryError(
            "This gateway's keys are not those that the database was started with.",
            remedy="Gateways on one database share their keys: give each the same --shared directory. "
            "If the keys were lost or replaced, bring back the key store that the log was started with.",
        )


def append(session: Session, leaves: Sequence[bytes], appended_at: int, head: Head | None = None) -> None:
    """Append in the session's transaction and move the head; `appended_at` is in microseconds since 1970.

    `head`: as this transaction has locked and read it. It is read from the database each time: what another process or
    a failed commit left is what counts.
    """
    head = head or read_head(session, lock=True)
    tree, chain = head.tree(), head.chain
    records, nodes = [], []
    for leaf in leaves:
        hashed = merkle.leaf_hash(leaf)
        chain = chain_next(chain, hashed)
        records.append({"idx": tree.size, "leaf": leaf, "leaf_hash": hashed, "chain": chain})
        for height, index, value in tree.append(hashed):
            if height % NODE_STEP == 0:
                nodes.append({"height": height, "idx": index, "hash": value})
    if not session.insert_rows(tables.audit_records, records) or not session.insert_rows(tables.audit_nodes, nodes):
        raise damaged(f"there are records behind its head, which says {head.size}")
    moved = session.execute(
        session.statements.update_head,
        {
            "old_size": head.size,
            "new_size": tree.size,
            "new_root": tree.root(),
            "new_nodes": b"".join(tree.nodes),
            "new_chain": chain,
            "new_appended_at": appended_at,
        },
    )
    if not moved:
        raise damaged("its head moved under the writer's lock")


def node_source(session: Session) -> merkle.NodeSource:
    """Complete nodes from the nearest stored level below: at most 2**(NODE_STEP - 1) rows are read for one."""

    def node(height: int, index: int) -> bytes:
        base = height - height % NODE_STEP
        count = 1 << (height - base)
        bounds = {"start": index * count, "end": (index + 1) * count}
        if base == 0:
            rows = session.execute(session.statements.leaf_hashes, bounds)
        else:
            rows = session.execute(session.statements.node_hashes, bounds | {"height": base})
        if len(rows) != count:
            raise damaged(f"records are missing between {index << height} and {(index + 1) << height}")
        return merkle.complete_subtree([bytes(row[0]) for row in rows])

    return node


def check_head(session: Session, head: Head) -> None:
    """Hold the stored head against the records: their number, and the root over their hashes.

    This reads a few hundred rows, so it belongs into every start; hashing every record anew is `audit verify`.
    """
    last = session.execute(session.statements.last_index, {})
    size = last[0][0] + 1 if last else 0
    if size != head.size:
        raise damaged(f"it has {size} records where its head says {head.size}")
    if not merkle.same_hash(merkle.root_of(size, node_source(session)), head.root):
        raise damaged("its records do not have the root that its head says")
    if not merkle.same_hash(head.tree().root(), head.root):
        raise damaged("its head contradicts itself")
