"""What a receipt commits to: of each row of a product, whether it was used and how.

Leaf i of a Merkle tree (RFC 6962) over all rows of the data, in the file's order:

    SHA-256(0x00 || salt_i (16 bytes) || state (1 byte) || i (8 bytes, big-endian))

with `state` 0 for a row that no app saw, 1 for a row to train on, 2 for one to evaluate on. The
receipt's commitment, under a salt of that use:

    SHA-256("tds rows v1\\n" || use salt (32 bytes) || rows (8 bytes, big-endian) || root)

So each row can be opened alone, as used or as not used: what is shown are hashes and the salts of
that row and use. salt_i is word i of AES-256-CTR under HMAC-SHA-256(node's salt, data's
commitment): it is the same for all uses of the same data, so that only the blocks of 256 rows in
which something changed are hashed again. Use salts differ, so that receipts show no more of what
changed than the counts.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import Field

from ledger.errors import ProofError
from ledger.proofs import verify_inclusion
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash, node_hash
from policies.fields import Count, Document, Sha256, Version

LEFT_OUT: Final = 0
TRAINING: Final = 1
EVALUATION: Final = 2

BLOCK: Final = 256
SALT_BYTES: Final = 16
_TAG: Final = b"tds rows v1\n"

States = npt.NDArray[np.uint8]


class OpenedRow(Document):
    """What shows one row's state against a receipt's `rows_commitment`.

    Attributes:
        use_salt, salt: of the use and of the row, hexadecimal.
        rows: how many the data has.
        row: which one, from 0, in the file's order.
        state: as in the module's docstring.
        root: of the tree.
        proof: RFC 6962 inclusion proof, nearest sibling first.
    """

    version: Version
    use_salt: Sha256
    rows: Count
    row: Count
    state: int = Field(ge=0, le=2)
    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    root: Sha256
    proof: list[Sha256] = Field(max_length=63)

    def verify(self, commitment: str) -> None:
        """Returns only if this row had this state in the set that a receipt commits to.

        Raises:
            ProofError: it does not hold.
        """
        root = bytes.fromhex(self.root)
        leaf = leaf_hash(
            bytes.fromhex(self.salt) + bytes([self.state]) + self.row.to_bytes(8, "big")
        )
        siblings = [bytes.fromhex(one) for one in self.proof]
        verify_inclusion(index=self.row, size=self.rows, leaf=leaf, proof=siblings, root=root)
        found = _commitment(bytes.fromhex(self.use_salt), self.rows, root)
        if found != commitment:
            raise ProofError(f"rows: expected the commitment {commitment}, got {found}")


@dataclass(slots=True)
class RowTree:
    """The tree over one version of the data; remembers the blocks of the last states it saw.

    Safe to share between threads: uses in several runs may commit to the same data at once.

    Args:
        key: AES-256 key of the rows' salts.
    """

    key: bytes = field(repr=False)
    _states: States | None = None
    _blocks: list[bytes] = field(default_factory=list)
    _turn: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @classmethod
    def of(cls, *, node_salt: bytes, product_commitment: str) -> Self:
        """For the data that a product commitment stands for."""
        words = b"tds row salts\n" + product_commitment.encode("ascii")
        return cls(hmac.digest(node_salt, words, "sha256"))

    def root(self, states: States) -> bytes:
        """Of all rows in these states."""
        if not len(states):
            return EMPTY_ROOT
        with self._turn:
            changed = self._changed(states)
            self._states = None  # whoever is interrupted below begins anew
            for place in changed:
                self._blocks[place] = _top(self._leaves(states, place))
            self._states = states.copy()
            return _top(self._blocks)

    def _changed(self, states: States) -> Sequence[int]:
        """Which blocks are to be hashed again."""
        old = self._states
        if old is not None and len(old) == len(states):
            return [int(place) for place in np.unique(np.flatnonzero(old != states) // BLOCK)]
        self._blocks = [b""] * -(-len(states) // BLOCK)
        return range(len(self._blocks))

    def proof(self, states: States, row: int) -> tuple[bytes, tuple[bytes, ...]]:
        """The salt of a row, and its inclusion proof."""
        place, within = divmod(row, BLOCK)
        with self._turn:
            self.root(states)
            leaves = self._leaves(states, place)
            upper = Tree(self._blocks).inclusion_proof(place, len(self._blocks))
        lower = Tree(leaves).inclusion_proof(within, len(leaves))
        return self._salts(place, len(leaves))[within].tobytes(), (*lower, *upper)

    def _leaves(self, states: States, place: int) -> list[bytes]:
        part = states[place * BLOCK : (place + 1) * BLOCK]
        width = 1 + SALT_BYTES + 1 + 8
        table = np.zeros((len(part), width), dtype=np.uint8)  # column 0: the leaf's prefix 0x00
        table[:, 1 : 1 + SALT_BYTES] = self._salts(place, len(part))
        table[:, 1 + SALT_BYTES] = part
        numbers = np.arange(place * BLOCK, place * BLOCK + len(part), dtype=">u8")
        table[:, -8:] = numbers.view(np.uint8).reshape(-1, 8)
        data, sha256 = table.tobytes(), hashlib.sha256
        return [sha256(data[at : at + width]).digest() for at in range(0, len(data), width)]

    def _salts(self, place: int, count: int) -> States:
        """The salts of a block's rows [count, 16]."""
        start = (place * BLOCK).to_bytes(16, "big")
        stream = Cipher(algorithms.AES(self.key), modes.CTR(start)).encryptor()
        words = stream.update(bytes(count * SALT_BYTES))
        return np.frombuffer(words, dtype=np.uint8).reshape(-1, SALT_BYTES)


def use_salt(*, node_salt: bytes, permit: str) -> bytes:
    """The salt of a use, from the node's secret and the digest of its permit."""
    return hmac.digest(node_salt, b"tds rows of a use\n" + permit.encode("ascii"), "sha256")


def rows_commitment(tree: RowTree, states: States, salt: bytes) -> str:
    """What the receipt of a use states, hexadecimal."""
    return _commitment(salt, len(states), tree.root(states))


def open_row(tree: RowTree, states: States, salt: bytes, row: int) -> OpenedRow:
    """What shows one row's state, and nothing of any other."""
    own, proof = tree.proof(states, row)
    return OpenedRow(
        version=1,
        use_salt=salt.hex(),
        rows=len(states),
        row=row,
        state=int(states[row]),
        salt=own.hex(),
        root=tree.root(states).hex(),
        proof=[one.hex() for one in proof],
    )


def _commitment(salt: bytes, rows: int, root: bytes) -> str:
    return hashlib.sha256(_TAG + salt + rows.to_bytes(8, "big") + root).hexdigest()


def _top(hashes: list[bytes]) -> bytes:
    """The root over these hashes; a node without a sibling goes up as it is (RFC 6962, 2.1)."""
    while len(hashes) > 1:
        pairs = [
            node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=False)
        ]
        hashes = pairs + hashes[len(pairs) * 2 :]
    return hashes[0]
