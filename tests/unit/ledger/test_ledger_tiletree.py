"""Proofs made from tiles are the proofs of the tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, ProofError
from ledger.tiles import Tile
from ledger.tiletree import TileTree
from ledger.tree import Tree, leaf_hash

LARGE = Tree(leaf_hash(b"%d" % n) for n in range(70_000))


def tiles(tile: Tile) -> bytes:
    start = tile.index * 256
    return LARGE.hashes(8 * tile.level, start, start + tile.width)


@settings(max_examples=200)
@given(st.data())
def test_they_are_equal(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGE.size))
    index = data.draw(st.integers(0, size - 1))
    read: list[Tile] = []

    def counted(tile: Tile) -> bytes:
        read.append(tile)
        return tiles(tile)

    tree = TileTree(size, counted)
    assert tree.inclusion_proof(index, size) == LARGE.inclusion_proof(index, size)
    assert tree.consistency_proof(index, size) == LARGE.consistency_proof(index, size)
    assert tree.root() == LARGE.root(size)
    assert len(set(read)) == len(read) < 12, "each tile once, and few of them"


def test_tiles_that_are_not_there() -> None:
    short = TileTree(300, lambda tile: tiles(tile)[:-1])
    with pytest.raises(ProofError, match=r"tile/0/001\.p/44: expected 44 hashes, got fewer"):
        short.inclusion_proof(0, 300)
    with pytest.raises(LedgerError, match="expected an index below the size 300"):
        TileTree(300, tiles).inclusion_proof(300, 300)
