"""RFC 6962 proofs of transparency-dev/merkle: the good ones hold, the bad ones are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vectors_folder import needs, vectors

from ledger.errors import ProofError
from ledger.proofs import verify_consistency, verify_inclusion

FOLDER = vectors("merkle") / "testdata"
AT_LEAST = 150


def cases(kind: str) -> list[Path]:
    return sorted((FOLDER / kind).rglob("*.json"))


def hashes(case: dict[str, Any], *names: str) -> Iterator[bytes]:
    for name in names:
        yield base64.b64decode(case[name] or "")


def proof(case: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(one) for one in case["proof"] or []]


def decide(kind: str, case: dict[str, Any]) -> bool:
    """Whether our verifier accepts."""
    try:
        if kind == "inclusion":
            root, leaf = hashes(case, "root", "leafHash")
            verify_inclusion(
                index=case["leafIdx"],
                size=case["treeSize"],
                leaf=leaf,
                proof=proof(case),
                root=root,
            )
        else:
            old, new = hashes(case, "root1", "root2")
            verify_consistency(
                old_size=case["size1"],
                new_size=case["size2"],
                old_root=old,
                new_root=new,
                proof=proof(case),
            )
    except ProofError:
        return False
    return True


@needs("merkle")
@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in ("inclusion", "consistency") for path in cases(kind)],
    ids=lambda value: value if isinstance(value, str) else str(value.relative_to(FOLDER)),
)
def test_a_proof_is_decided_rightly(kind: str, path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert decide(kind, case) is not case["wantErr"], case["desc"]


@needs("merkle")
def test_the_folder_holds_both_kinds() -> None:
    found = [
        json.loads(p.read_text("utf-8"))["wantErr"]
        for k in ("inclusion", "consistency")
        for p in cases(k)
    ]
    assert len(found) >= AT_LEAST
    assert {True, False} == set(found)
