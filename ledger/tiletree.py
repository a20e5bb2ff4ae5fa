"""A published log's tree, read tile by tile: proofs without holding the tree.

The hash of a complete subtree is taken from the tile whose level is just below its height, and
computed from there; so a proof reads a few tiles, whatever the size. What is read is not verified:
a proof made of it either holds against a signed root or does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ledger.errors import ProofError
from ledger.tiles import WIDTH, Tile
from ledger.tree import HASH_BYTES, MerkleTree, node_hash

_HEIGHT: Final = WIDTH.bit_length() - 1
_KEPT: Final = 256


class TileTree(MerkleTree):
    """The tree of a log of one size.

    Args:
        size: of a checkpoint.
        read: the bytes of a tile; a full one where the partial one is gone. What it raises goes
            through to whoever asks for a proof.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._tile = lru_cache(_KEPT)(read)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def _at(self, level: int, index: int) -> bytes:
        height = level % _HEIGHT
        if height:
            return node_hash(self._at(level - 1, 2 * index), self._at(level - 1, 2 * index + 1))
        above = level // _HEIGHT
        count = self._size // WIDTH**above
        tile = Tile(above, index // WIDTH, min(WIDTH, count - index // WIDTH * WIDTH))
        start = index % WIDTH * HASH_BYTES
        found = self._tile(tile)[start : start + HASH_BYTES]
        if len(found) != HASH_BYTES:
            raise ProofError(f"{tile.path}: expected {tile.width} hashes, got fewer")
        return found
