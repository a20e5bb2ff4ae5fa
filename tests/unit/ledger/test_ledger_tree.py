from __future__ import annotations

import hashlib

import pytest

from ledger.errors import LedgerError
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash, node_hash

LEAVES = [leaf_hash(bytes([n])) for n in range(20)]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def test_hashes_carry_their_prefixes() -> None:
    assert leaf_hash(b"ab") == hashlib.sha256(b"\x00ab").digest()
    assert node_hash(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()
    assert EMPTY_ROOT.hex().startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize("size", range(21))
def test_every_root_is_the_definitions(size: int) -> None:
    tree = Tree(LEAVES)
    assert tree.root(size) == naive_root(LEAVES[:size])
    assert Tree(LEAVES[:size]).root() == tree.root(size)
    assert Tree(LEAVES[:size]).size == size


@pytest.mark.parametrize("old", range(9))
@pytest.mark.parametrize("more", range(6))
def test_the_root_ahead_is_the_root_after(old: int, more: int) -> None:
    tree = Tree(LEAVES[:old])
    ahead, frontier = tree.ahead(LEAVES[old : old + more])
    after = Tree(LEAVES[: old + more])
    assert (ahead, frontier) == (after.root(), after.frontier())
    assert tree.size == old


def test_leaves_are_kept() -> None:
    tree = Tree(LEAVES)
    assert [tree.leaf(n) for n in range(20)] == LEAVES


def test_a_proof_by_hand() -> None:
    a, b, c = LEAVES[:3]
    tree = Tree([a, b, c])
    assert tree.inclusion_proof(0, 3) == (b, c)
    assert tree.inclusion_proof(2, 3) == (node_hash(a, b),)
    assert tree.consistency_proof(1, 3) == (b, c)
    assert tree.consistency_proof(2, 3) == (c,)
    assert tree.consistency_proof(3, 3) == ()
    assert tree.consistency_proof(0, 3) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda t: t.root(6), id="root-beyond"),
        pytest.param(lambda t: t.root(-1), id="root-negative"),
        pytest.param(lambda t: t.leaf(5), id="leaf-beyond"),
        pytest.param(lambda t: t.leaf(-1), id="leaf-negative"),
        pytest.param(lambda t: t.inclusion_proof(5, 5), id="index-is-size"),
        pytest.param(lambda t: t.inclusion_proof(0, 6), id="size-beyond"),
        pytest.param(lambda t: t.inclusion_proof(-1, 5), id="index-negative"),
        pytest.param(lambda t: t.consistency_proof(4, 3), id="backwards"),
        pytest.param(lambda t: t.consistency_proof(-1, 3), id="old-negative"),
        pytest.param(lambda t: t.consistency_proof(1, 6), id="new-beyond"),
        pytest.param(lambda t: t.append(b"short"), id="no-hash"),
    ],
)
def test_out_of_range_is_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    tree = Tree(LEAVES[:5])
    with pytest.raises(LedgerError, match="expected"):
        wrong(tree)
    assert tree.size == 5


def test_the_hashes_of_a_level() -> None:
    tree = Tree(LEAVES)
    assert tree.hashes(0, 3, 5) == LEAVES[3] + LEAVES[4]
    assert tree.hashes(2, 1, 2) == Tree(LEAVES[4:8]).root()
    assert tree.hashes(4, 0, 1) == Tree(LEAVES[:16]).root()
    for level, start, stop in ((0, 0, 21), (2, 4, 6), (9, 0, 1), (0, 3, 2), (0, -1, 2)):
        with pytest.raises(LedgerError, match="expected a range up to"):
            tree.hashes(level, start, stop)
