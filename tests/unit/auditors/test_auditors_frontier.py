"""The right edge of a tree, against the whole tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditors.frontier import Frontier, subtree_root
from ledger.errors import LedgerError
from ledger.tiles import WIDTH, last_tiles, new_tiles
from ledger.tree import Tree, leaf_hash

LEAVES = [leaf_hash(b"%d" % n) for n in range(66_000)]
TREE = Tree(LEAVES)


def grow(frontier: Frontier, size: int) -> list[tuple[int, int]]:
    """Up to `size` in the steps that a folder is read in; the full tiles that came of it."""
    tiles = []
    while frontier.size < size:
        start = frontier.size // WIDTH * WIDTH
        for tile in frontier.grow(LEAVES[start : min(size, start + WIDTH)]):
            at = tile.index * WIDTH
            hashes = TREE.hashes(8 * tile.level, at, at + WIDTH)
            assert b"".join(tile.hashes) == hashes
            tiles.append((tile.level, tile.index))
    return tiles


@given(st.lists(st.integers(0, 70_000), max_size=6))
def test_any_steps_lead_to_the_same_tree(sizes: list[int]) -> None:
    frontier, tiles = Frontier(), []
    for size in sorted(min(size, len(LEAVES)) for size in sizes):
        tiles += grow(frontier, size)
        assert frontier.size == size
        assert frontier.root() == TREE.root(size)
        assert Frontier(size, frontier.levels).root() == frontier.root()
        assert b"".join(frontier.leaves) == TREE.hashes(0, size // WIDTH * WIDTH, size)
    full = [tile for tile in new_tiles(0, frontier.size) if tile.level >= 0 and not tile.partial]
    assert sorted(tiles) == sorted((tile.level, tile.index) for tile in full)


def test_the_hashes_of_each_level() -> None:
    frontier = Frontier()
    grow(frontier, 65_900)
    last = {tile.level: tile.width % WIDTH for tile in last_tiles(65_900) if tile.level >= 0}
    assert {level: len(row) for level, row in enumerate(frontier.levels)} == last


def test_another_row_is_tried_without_taking_it() -> None:
    frontier = Frontier()
    grow(frontier, 300)
    for size in (257, 300, 400, 512):
        assert frontier.root_with(0, LEAVES[256:size]) == TREE.root(size)
    assert frontier.root_with(1, [bytes(32)]) != TREE.root(300)
    copy = frontier.copy()
    grow(copy, 600)
    assert (frontier.size, frontier.root()) == (300, TREE.root(300))


@given(st.integers(1, 600))
def test_roots_of_few(count: int) -> None:
    assert subtree_root(LEAVES[:count]) == TREE.root(count)


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (-1, []),
        (1, []),
        (0, [[bytes(32)]]),
        (2, [[bytes(32)]]),
        (1, [[bytes(31)]]),
        (256, [[bytes(32)] * 256]),
        (256, [[]]),
        (1, [[bytes(32)], []]),
    ],
)
def test_hashes_that_do_not_fit_the_size(size: int, levels: list[list[bytes]]) -> None:
    with pytest.raises(LedgerError, match="frontier: expected"):
        Frontier(size, levels)
