"""Checking Merkle proofs (RFC 6962 section 2.1), for whoever does not hold the tree.

Stricter than the pseudo-code of RFC 9162 section 2.1.3 and 2.1.4.2, which walks the proof with
shifting counters and accepts some malformed input: here the number of hashes that belong in a proof
is computed from the sizes first, and each input is bounded before anything is hashed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import ProofError
from ledger.tree import EMPTY_ROOT, HASH_BYTES, MAX_SIZE, node_hash


def verify_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Returns only if the tree with this size and root has this leaf at this index.

    Args:
        index: position of the leaf, from 0.
        size: number of leaves, from a signed checkpoint.
        leaf: `leaf_hash` of the entry.
        proof: sibling hashes, the leaf's own first.
        root: from the same checkpoint as `size`.

    Raises:
        ProofError: it does not hold, or an argument is malformed.
    """
    _check_size("size", size)
    _check_size("index", index)
    if index >= size:
        raise ProofError(f"inclusion: expected an index below the size {size}, got {index}")
    _check_hashes(leaf=leaf, root=root)
    # Up to where the paths of this leaf and of the last leaf part, each level has a sibling; above
    # it, only the levels at which the leaf lies to the right have one, and it is on the left.
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    _check_proof(proof, inner + border)
    value = leaf
    for level, sibling in enumerate(proof[:inner]):
        value = node_hash(sibling, value) if index >> level & 1 else node_hash(value, sibling)
    for sibling in proof[inner:]:
        value = node_hash(sibling, value)
    if value != root:
        raise ProofError(
            f"inclusion: expected root {root.hex()} at size {size}, "
            f"got {value.hex()} from leaf {index} and its proof"
        )


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Returns only if the new tree begins with all leaves of the old one, unchanged.

    From size 0 every tree is consistent; then the old root must be the empty tree's, and the proof
    empty.

    Args:
        old_size: number of leaves of the older checkpoint.
        new_size: number of leaves of the newer one.
        old_root: root of the older one.
        new_root: root of the newer one.
        proof: the hashes of RFC 6962 section 2.1.2, in its order.

    Raises:
        ProofError: it does not hold, or an argument is malformed.
    """
    _check_size("old size", old_size)
    _check_size("new size", new_size)
    if old_size > new_size:
        raise ProofError(
            f"consistency: expected an old size up to {new_size}, got {old_size}: "
            "the log went back, or the two checkpoints were swapped"
        )
    _check_hashes(old_root=old_root, new_root=new_root)
    for name, size, root in (("old", old_size, old_root), ("new", new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofError(f"consistency: the {name} size is 0, its root is not the empty tree's")
    if old_size in (0, new_size):
        _check_proof(proof, 0)
        if old_size == new_size and old_root != new_root:
            raise ProofError(f"consistency: two roots for size {new_size}: the log forked")
        return
    _walk(old_size, new_size, old_root, new_root, proof)


def _walk(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    # The proof is an inclusion proof, in the new tree, of the old tree's last complete subtree;
    # `shift` is its height. If it is the whole old tree, its hash is the old root and is left out.
    last = old_size - 1
    shift = (old_size & -old_size).bit_length() - 1
    whole = old_size == 1 << shift
    inner = (last ^ (new_size - 1)).bit_length() - shift
    border = (last >> shift >> inner).bit_count()
    _check_proof(proof, (0 if whole else 1) + inner + border)
    seed, path = (old_root, proof) if whole else (proof[0], proof[1:])
    old = new = seed
    for level, sibling in enumerate(path[:inner]):
        if last >> (shift + level) & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    for sibling in path[inner:]:
        old, new = node_hash(sibling, old), node_hash(sibling, new)
    for name, size, expected, got in (
        ("old", old_size, old_root, old),
        ("new", new_size, new_root, new),
    ):
        if expected != got:
            raise ProofError(
                f"consistency: expected {name} root {expected.hex()} at size {size}, "
                f"got {got.hex()} from the proof"
            )


def _check_size(name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise ProofError(f"{name}: expected an integer from 0 to 2^53 - 1, got {value!r:.40}")


def _check_hashes(**hashes: object) -> None:
    for name, value in hashes.items():
        if type(value) is not bytes or len(value) != HASH_BYTES:
            raise ProofError(f"{name}: expected a hash of 32 bytes, got {value!r:.40}")


def _check_proof(proof: Sequence[bytes], expected: int) -> None:
    if len(proof) != expected:
        raise ProofError(f"proof: expected {expected} hashes for these sizes, got {len(proof)}")
    for index, value in enumerate(proof):
        _check_hashes(**{f"proof[{index}]": value})
