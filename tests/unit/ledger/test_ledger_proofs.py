"""One fault a row, over proofs that hold: each must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import ProofError
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash

TREE = Tree(leaf_hash(b"%d" % n) for n in range(11))
OTHER = leaf_hash(b"other")


def inclusion(index: int, size: int) -> dict[str, Any]:
    return {
        "index": index,
        "size": size,
        "leaf": TREE.leaf(index),
        "proof": list(TREE.inclusion_proof(index, size)),
        "root": TREE.root(size),
    }


def consistency(old: int, new: int) -> dict[str, Any]:
    return {
        "old_size": old,
        "new_size": new,
        "old_root": TREE.root(old),
        "new_root": TREE.root(new),
        "proof": list(TREE.consistency_proof(old, new)),
    }


@pytest.mark.parametrize(("index", "size"), [(i, s) for s in range(1, 12) for i in range(s)])
def test_inclusion_holds(index: int, size: int) -> None:
    case = inclusion(index, size)
    verify_inclusion(**case)
    for wrong in range(size):
        if wrong != index:
            with pytest.raises(ProofError):
                verify_inclusion(**(case | {"index": wrong}))


@pytest.mark.parametrize(("old", "new"), [(o, n) for n in range(12) for o in range(n + 1)])
def test_consistency_holds(old: int, new: int) -> None:
    case = consistency(old, new)
    verify_consistency(**case)
    if old:  # from nothing, every tree is consistent
        with pytest.raises(ProofError):
            verify_consistency(**(case | {"new_root": OTHER}))
    with pytest.raises(ProofError):
        verify_consistency(**(case | {"old_root": OTHER}))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"index": -1}, "index: expected"),
        ({"index": True}, "index: expected"),
        ({"index": 6.0}, "index: expected"),
        ({"index": "6"}, "index: expected"),
        ({"index": 11}, "below the size"),
        ({"index": 11 + 6}, "below the size"),
        ({"index": 2**53}, "index: expected"),
        ({"size": 0}, "below the size"),
        ({"size": 6}, "below the size"),
        ({"size": -11}, "size: expected"),
        ({"size": 2**53}, "size: expected"),
        ({"size": 11.0}, "size: expected"),
        ({"size": 8}, "proof: expected 3 hashes"),
        ({"leaf": b""}, "leaf: expected"),
        ({"leaf": bytes(31)}, "leaf: expected"),
        ({"leaf": bytearray(32)}, "leaf: expected"),
        ({"leaf": "0" * 32}, "leaf: expected"),
        ({"leaf": OTHER}, "expected root"),
        ({"root": b""}, "root: expected"),
        ({"root": OTHER}, "expected root"),
        ({"proof": []}, "proof: expected 4 hashes"),
        ({"proof": list(TREE.inclusion_proof(6, 11))[:-1]}, "proof: expected 4 hashes"),
        ({"proof": [*TREE.inclusion_proof(6, 11), OTHER]}, "proof: expected 4 hashes"),
        ({"proof": [OTHER, *TREE.inclusion_proof(6, 11)]}, "proof: expected 4 hashes"),
        ({"proof": [*TREE.inclusion_proof(6, 11)[:-1], b""]}, r"proof\[3\]: expected"),
        ({"proof": [*TREE.inclusion_proof(6, 11)[:-1], OTHER]}, "expected root"),
        ({"proof": list(reversed(TREE.inclusion_proof(6, 11)))}, "expected root"),
    ],
)
def test_inclusion_with_one_fault(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        verify_inclusion(**(inclusion(6, 11) | fault))


def test_an_empty_tree_holds_nothing() -> None:
    with pytest.raises(ProofError, match="below the size 0"):
        verify_inclusion(index=0, size=0, leaf=EMPTY_ROOT, proof=[], root=EMPTY_ROOT)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"old_size": 12}, "went back"),
        ({"old_size": -6}, "old size: expected"),
        ({"old_size": True}, "old size: expected"),
        ({"new_size": 11.0}, "new size: expected"),
        ({"new_size": 2**53}, "new size: expected"),
        ({"new_size": 5}, "went back"),
        ({"new_size": 6}, "proof: expected 0 hashes"),
        ({"old_size": 0}, "root is not the empty tree's"),
        ({"old_size": 0, "old_root": EMPTY_ROOT}, "proof: expected 0 hashes"),
        ({"old_size": 0, "new_size": 0, "proof": []}, "root is not the empty tree's"),
        ({"old_size": 0, "old_root": b"", "proof": []}, "old_root: expected"),
        ({"old_size": 5}, "proof: expected"),
        ({"old_size": 11, "proof": []}, "forked"),
        ({"old_root": OTHER}, "old root"),
        ({"new_root": OTHER}, "new root"),
        ({"old_root": b""}, "old_root: expected"),
        ({"new_root": bytes(33)}, "new_root: expected"),
        ({"old_root": TREE.root(11), "new_root": TREE.root(6)}, "old root"),
        ({"proof": []}, "proof: expected 4 hashes"),
        ({"proof": list(TREE.consistency_proof(6, 11))[1:]}, "proof: expected 4 hashes"),
        ({"proof": [TREE.root(6), *TREE.consistency_proof(6, 11)]}, "proof: expected 4 hashes"),
        ({"proof": [*TREE.consistency_proof(6, 11), OTHER]}, "proof: expected 4 hashes"),
        ({"proof": [OTHER, *TREE.consistency_proof(6, 11)[1:]]}, "old root"),
        ({"proof": [*TREE.consistency_proof(6, 11)[:-1], OTHER]}, "new root"),
        ({"proof": [*TREE.consistency_proof(6, 11)[:-1], b"short"]}, r"proof\[3\]: expected"),
    ],
)
def test_consistency_with_one_fault(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        verify_consistency(**(consistency(6, 11) | fault))
