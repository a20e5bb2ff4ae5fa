"""A log that a test's witnesses look at: heads of one history, and of a forged second one."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner
from ledger.note import NoteSigner
from ledger.tree import Tree, leaf_hash

ORIGIN = "logs.example/space"
LOG = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"l" * 32))
TIME = 1_700_000_000


def witness(number: int, name: str = "") -> Cosigner:
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Cosigner(name or f"witness.example/w{number}", key)


class History:
    """A tree of `size` entries, each with this word in it."""

    def __init__(self, size: int, word: str = "entry") -> None:
        self.entries = [f"{word} {n}".encode() for n in range(size)]
        self.tree = Tree(leaf_hash(entry) for entry in self.entries)

    def head(self, size: int, signer: NoteSigner = LOG) -> str:
        return sign_checkpoint(Checkpoint(signer.name, size, self.tree.root(size)), signer)

    def proof(self, old: int, new: int) -> tuple[bytes, ...]:
        return self.tree.consistency_proof(old, new)
