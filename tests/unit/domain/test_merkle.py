from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.domain import merkle

# The test tree that RFC 6962 implementations share: eight leaves and the root at each size.
LEAVES = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

sizes = st.integers(min_value=0, max_value=600)


def hashes_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(index).encode()) for index in range(size)]


HASHES = hashes_of(600)
SOURCE = merkle.nodes_from_leaves(HASHES)


def definition(hashes: list[bytes]) -> bytes:
    """MTH exactly as RFC 9162 section 2.1.1 defines it."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + definition(hashes[:split]) + definition(hashes[split:])).digest()


def test_the_roots_are_those_of_the_shared_test_tree() -> None:
    tree = merkle.CompactTree()
    for size, root in enumerate(ROOTS):
        assert tree.root().hex() == root
        if size < len(LEAVES):
            tree.append(merkle.leaf_hash(LEAVES[size]))


@given(sizes)
def test_a_root_computed_from_nodes_is_that_of_the_definition(size: int) -> None:
    assert merkle.root_of(size, SOURCE) == definition(HASHES[:size])


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=30)
def test_a_compact_tree_resumed_at_any_size_goes_on_alike(first: int, more: int) -> None:
    tree = merkle.CompactTree()
    for leaf in HASHES[:first]:
        tree.append(leaf)
    resumed = merkle.CompactTree(tree.size, tree.nodes)
    for leaf in HASHES[first : first + more]:
        resumed.append(leaf)
    assert resumed.root() == merkle.root_of(first + more, SOURCE)


def test_append_reports_each_inner_node_once_when_it_is_complete() -> None:
    tree, seen = merkle.CompactTree(), {}
    for leaf in HASHES[:256]:
        for height, index, value in tree.append(leaf):
            assert (height, index) not in seen
            seen[height, index] = value
    assert len(seen) == 255
    assert all(value == SOURCE(height, index) for (height, index), value in seen.items())


@pytest.mark.parametrize(("size", "nodes"), [(3, [b"x" * 32]), (1, [b"short"]), (-1, []), (0, [b"x" * 32])])
def test_an_impossible_right_edge_is_refused(size: int, nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="right edge"):
        merkle.CompactTree(size, nodes)


@given(st.data())
def test_every_inclusion_proof_holds_for_its_leaf_position_and_size_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root_of(size, SOURCE)
    path = merkle.inclusion_path(index, size, SOURCE)
    assert merkle.inclusion_holds(index, size, HASHES[index], path, root)

    other = data.draw(st.integers(0, 600).filter(lambda value: value != index))
    assert not merkle.inclusion_holds(other, size, HASHES[index], path, root)
    if other < size:
        assert not merkle.inclusion_holds(index, size, HASHES[other], path, root)
        assert not merkle.inclusion_holds(index, size, HASHES[index], path, merkle.root_of(other, SOURCE))


@given(st.data())
def test_a_tampered_inclusion_proof_does_not_hold(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 600))
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root_of(size, SOURCE)
    path = list(merkle.inclusion_path(index, size, SOURCE))
    place = data.draw(st.integers(0, len(path) - 1))
    flipped = bytearray(path[place])
    flipped[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
    assert not merkle.inclusion_holds(
        index, size, HASHES[index], [*path[:place], bytes(flipped), *path[place + 1 :]], root
    )
    assert not merkle.inclusion_holds(index, size, HASHES[index], path[:-1], root)
    assert not merkle.inclusion_holds(index, size, HASHES[index], [*path, HASHES[0]], root)


@given(st.data())
def test_every_consistency_proof_holds_for_its_sizes_and_roots_alone(data: st.DataObject) -> None:
    new = data.draw(st.integers(0, 600))
    old = data.draw(st.integers(0, new))
    old_root, new_root = merkle.root_of(old, SOURCE), merkle.root_of(new, SOURCE)
    path = merkle.consistency_path(old, new, SOURCE)
    assert merkle.consistency_holds(old, new, path, old_root, new_root)

    wrong = hashlib.sha256(b"another tree").digest()
    assert not merkle.consistency_holds(old, new, path, wrong, new_root)
    if old:
        assert not merkle.consistency_holds(old, new, path, old_root, wrong)
    if 0 < old < new:
        assert not merkle.consistency_holds(old, new, path[:-1], old_root, new_root)
        assert not merkle.consistency_holds(old, new, [*path, wrong], old_root, new_root)
        assert not merkle.consistency_holds(new, old, path, new_root, old_root)


@given(st.data())
@settings(max_examples=40)
def test_a_rewritten_record_breaks_consistency_with_every_tree_that_has_it(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    changed = data.draw(st.integers(0, old - 1))
    forged = list(HASHES[:new])
    forged[changed] = merkle.leaf_hash(b"forged")
    source = merkle.nodes_from_leaves(forged)
    path = merkle.consistency_path(old, new, source)
    old_root, forged_root = merkle.root_of(old, SOURCE), merkle.root_of(new, source)
    assert not merkle.consistency_holds(old, new, path, old_root, forged_root)


def test_a_leaf_cannot_pass_as_an_inner_node() -> None:
    left, right = HASHES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_there_is_no_proof_for_a_leaf_outside(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_path(index, size, SOURCE)
    assert not merkle.inclusion_holds(index, size, HASHES[0], [], HASHES[0])


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_there_is_no_proof_that_a_log_shrank(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="no part"):
        merkle.consistency_path(old, new, SOURCE)
    assert not merkle.consistency_holds(old, new, [], HASHES[0], HASHES[0])
