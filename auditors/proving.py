"""One entry and its place in a log, in one small file (C2SP tlog-proof) that holds by itself."""

from __future__ import annotations

from pathlib import Path

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.snapshot import Snapshot
from auditors.trust import Head, Trust, open_head
from ledger.errors import ProofError
from ledger.folder import read_tile
from ledger.proofs import verify_inclusion
from ledger.tiletree import TileTree
from ledger.tlogproof import TlogProof
from ledger.tree import leaf_hash


def prove_entry(folder: Path, entry: int) -> TlogProof:
    """The proof of one entry under the folder's checkpoint, with the entry as its extra data.

    Reads the tiles on the way from that entry to the root, and nothing else; `check_proof` says
    whether what they held was true.

    Raises:
        AuditInputError: no such entry, or the folder cannot be read.
        IntegrityBroken: a tile is missing or too short.
    """
    snapshot = Snapshot.take(folder)
    if entry >= snapshot.size:
        raise AuditInputError(
            f"{folder}: expected an entry below {snapshot.size}, which the checkpoint is of, got "
            f"{entry}"
        )
    line = next(snapshot.lines(entry))
    tree = TileTree(snapshot.size, lambda tile: read_tile(folder, tile))
    try:
        hashes = tree.inclusion_proof(entry, snapshot.size)
        return TlogProof(entry, hashes, snapshot.checkpoint, line)
    except (ProofError, OSError) as error:
        raise IntegrityBroken(
            f"entry {entry}", "the tiles from it to the root", str(error), "copy the folder again"
        ) from error


def check_proof(proof: TlogProof, trust: Trust, place: str) -> Head:
    """The head that the proof leads to; the entry is the proof's extra data.

    Raises:
        AuditInputError: there is no entry in it.
        IntegrityBroken: signature, cosignatures or inclusion do not hold.
    """
    if proof.extra is None:
        raise AuditInputError(f"{place}: expected the entry in its extra line, got none")
    head = open_head(proof.checkpoint.encode("utf-8"), place, trust)
    try:
        verify_inclusion(
            index=proof.index,
            size=head.checkpoint.size,
            leaf=leaf_hash(proof.extra),
            proof=proof.hashes,
            root=head.checkpoint.root,
        )
    except ProofError as error:
        raise IntegrityBroken(
            place, f"a proof of entry {proof.index}", str(error), "it proves nothing"
        ) from error
    return head
