"""For all sizes: proofs round-trip, roots are the definition's, a flipped bit never verifies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import ProofError
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash, node_hash

TREE = Tree(leaf_hash(n.to_bytes(4, "big")) for n in range(2049))
SIZES = st.integers(min_value=1, max_value=TREE.size)


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def flip(value: bytes, bit: int) -> bytes:
    flipped = bytearray(value)
    flipped[bit // 8 % len(value)] ^= 1 << bit % 8
    return bytes(flipped)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(min_value=0, max_value=70))
def test_roots_are_the_definitions(entries: list[bytes], cut: int) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    tree = Tree(leaves)
    old = min(cut, len(leaves))
    assert tree.root() == naive_root(leaves)
    assert tree.root(old) == naive_root(leaves[:old])
    assert Tree(leaves[:old]).ahead(leaves[old:]) == (tree.root(), tree.frontier())


@settings(max_examples=100)
@given(SIZES, st.data())
def test_inclusion_round_trips_and_a_flipped_bit_does_not(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof, leaf, root = TREE.inclusion_proof(index, size), TREE.leaf(index), TREE.root(size)
    verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=root)
    parts = [leaf, root, *proof]
    which = data.draw(st.integers(min_value=0, max_value=len(parts) - 1))
    parts[which] = flip(parts[which], data.draw(st.integers(min_value=0, max_value=255)))
    with pytest.raises(ProofError):
        verify_inclusion(index=index, size=size, leaf=parts[0], proof=parts[2:], root=parts[1])


@settings(max_examples=100)
@given(SIZES, st.data())
def test_consistency_round_trips_and_a_flipped_bit_does_not(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(min_value=1, max_value=new))
    proof, roots = TREE.consistency_proof(old, new), [TREE.root(old), TREE.root(new)]
    verify_consistency(
        old_size=old, new_size=new, old_root=roots[0], new_root=roots[1], proof=proof
    )
    parts = [*roots, *proof]
    which = data.draw(st.integers(min_value=0, max_value=len(parts) - 1))
    parts[which] = flip(parts[which], data.draw(st.integers(min_value=0, max_value=255)))
    with pytest.raises(ProofError):
        verify_consistency(
            old_size=old, new_size=new, old_root=parts[0], new_root=parts[1], proof=parts[2:]
        )


@settings(max_examples=60)
@given(st.integers(), st.integers(), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_no_input_raises_anything_else(index: int, size: int, proof: list[bytes]) -> None:
    for check in (
        lambda: verify_inclusion(
            index=index, size=size, leaf=EMPTY_ROOT, proof=proof, root=EMPTY_ROOT[::-1]
        ),
        lambda: verify_consistency(
            old_size=index,
            new_size=size,
            old_root=EMPTY_ROOT[::-1],
            new_root=node_hash(EMPTY_ROOT, EMPTY_ROOT),
            proof=proof,
        ),
    ):
        with pytest.raises(ProofError):
            check()
