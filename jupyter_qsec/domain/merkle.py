"""The Merkle tree of RFC 9162 section 2.1 (SHA-256): heads, inclusion proofs and consistency proofs.

A *node* is named by (height, index) and covers the leaves `index << height` up to, not including,
`(index + 1) << height`: leaf 5 is node (0, 5). Proofs are made from complete nodes alone, which never change once
written, so that a store may keep some of them and compute the others.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

HASH_SIZE = 32

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""

NodeSource = Callable[[int, int], bytes]
"""Gives the hash of the complete node (height, index)."""

CompletedNode = tuple[int, int, bytes]
"""Height, index and hash of a node that became complete."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf; the prefix keeps leaves and inner nodes apart."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def same_hash(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


class CompactTree:
    """The right edge of a tree: all that is needed to append leaves and to know the root (32 bytes per set bit)."""

    __slots__ = ("_nodes", "_size")

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        """`nodes` are the roots of the complete subtrees of `size` leaves, largest first. `ValueError` when they
        cannot be that."""
        if size < 0 or len(nodes) != size.bit_count() or any(len(node) != HASH_SIZE for node in nodes):
            raise ValueError(f"{len(nodes)} nodes cannot be the right edge of a tree of {size} leaves")
        self._size = size
        self._nodes = list(nodes)

    @property
    def size(self) -> int:
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> list[CompletedNode]:
        """Append a leaf by its hash; returns the inner nodes that this completes, from low to high."""
        completed: list[CompletedNode] = []
        index, height, current = self._size, 0, leaf
        while index & 1:
            current = node_hash(self._nodes.pop(), current)
            index >>= 1
            height += 1
            completed.append((height, index, current))
        self._nodes.append(current)
        self._size += 1
        return completed

    def root(self) -> bytes:
        return _fold(self._nodes)


def _fold(nodes: Sequence[bytes]) -> bytes:
    """Root over complete subtrees of falling size."""
    if not nodes:
        return EMPTY_ROOT
    current = nodes[-1]
    for node in reversed(nodes[:-1]):
        current = node_hash(node, current)
    return current


def subtree_hash(start: int, end: int, source: NodeSource) -> bytes:
    """MTH of the leaves `start … end-1`, where `start` is a multiple of the largest power of two within the range."""
    nodes = []
    while start < end:
        height = (end - start).bit_length() - 1
        nodes.append(source(height, start >> height))
        start += 1 << height
    return _fold(nodes)


def root_of(size: int, source: NodeSource) -> bytes:
    """The root that the tree had at `size` leaves."""
    return subtree_hash(0, size, source)


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (2 or more)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_path(index: int, size: int, source: NodeSource) -> tuple[bytes, ...]:
    """PATH of RFC 9162 section 2.1.3.1. `ValueError` unless 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree_hash(middle, end, source))
            end = middle
        else:
            path.append(subtree_hash(start, middle, source))
            start = middle
    return tuple(reversed(path))


def consistency_path(old_size: int, new_size: int, source: NodeSource) -> tuple[bytes, ...]:
    """PROOF of RFC 9162 section 2.1.4.1; empty for equal sizes and for an empty old tree.

    `ValueError` unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {old_size} is no part of a tree of {new_size}")
    if old_size in (0, new_size):
        return ()
    path = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(subtree_hash(middle, end, source))
            end = middle
        else:
            path.append(subtree_hash(start, middle, source))
            start = middle
    if start:  # a node that the verifier cannot know from the old root
        path.append(subtree_hash(start, end, source))
    return tuple(reversed(path))


def inclusion_holds(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Verify by RFC 9162 section 2.1.3.2; `leaf` is the leaf's hash."""
    if not 0 <= index < size:
        return False
    position, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and same_hash(current, root)


def consistency_holds(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Verify by RFC 9162 section 2.1.4.2; equal sizes need equal roots, and an empty tree is a prefix of any."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not path and same_hash(old_root, new_root)
    if old_size == 0:
        return not path and same_hash(old_root, EMPTY_ROOT)
    hashes = list(path)
    if old_size & (old_size - 1) == 0:  # a complete subtree: its root is known
        hashes.insert(0, old_root)
    if not hashes:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and same_hash(old, old_root) and same_hash(new, new_root)


def nodes_from_leaves(hashes: Sequence[bytes]) -> NodeSource:
    """A node source over leaf hashes in memory; the sequence may grow while it is used."""

    def node(height: int, index: int) -> bytes:
        level = list(hashes[index << height : (index + 1) << height])
        if len(level) != 1 << height:
            raise ValueError(f"node ({height}, {index}) is not complete")
        return complete_subtree(level)

    return node


def complete_subtree(level: Sequence[bytes]) -> bytes:
    """Root over a power of two of sibling hashes."""
    current = list(level)
    while len(current) > 1:
        current = [node_hash(current[i], current[i + 1]) for i in range(0, len(current), 2)]
    return current[0]
