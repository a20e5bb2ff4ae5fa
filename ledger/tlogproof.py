"""Proofs that an entry was logged and witnessed, as files (C2SP tlog-proof, `.tlog-proof`).

    c2sp.org/tlog-proof@v1
    extra <base64>             left out where there is none
    index <decimal>
    <base64>                   inclusion proof, a hash a line
                               (an empty line)
    <the checkpoint, a note>

Checked without the log: with the entry, and a policy that names log and witnesses.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from ledger.cosignature import Cosigned
from ledger.errors import ProofError
from ledger.note import MAX_NOTE_BYTES, NoteVerifier, decode_base64, split_note
from ledger.proofs import verify_inclusion
from ledger.tlogpolicy import Policy
from ledger.tree import HASH_BYTES, MAX_SIZE

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_EXTRA_BYTES: Final = 64 * 1024
MAX_HASHES: Final = 63
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES + 64 * 45
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written; nothing is verified yet.

    Args:
        index: of the entry, from 0.
        hashes: inclusion proof, the leaf's sibling first.
        checkpoint: the note.
        extra: what the application added, None for nothing; no signature covers it.

    Raises:
        ProofError: a value that no such file can hold.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if type(self.index) is not int or not 0 <= self.index <= MAX_SIZE:
            raise ProofError(f"proof: expected an index below 2^53, got {self.index!r:.40}")
        if len(self.hashes) > MAX_HASHES or any(len(one) != HASH_BYTES for one in self.hashes):
            raise ProofError(f"proof: expected at most {MAX_HASHES} hashes of {HASH_BYTES} bytes")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise ProofError(f"proof: expected 1 to {MAX_EXTRA_BYTES} bytes of extra data")
        split_note(self.checkpoint)

    def verify(self, leaf: bytes, policy: Policy, log: NoteVerifier | None = None) -> Cosigned:
        """Returns only if this leaf stands in the log, witnessed as the policy demands.

        Args:
            leaf: `ledger.tree.leaf_hash` of the entry.
            policy, log: as in `Policy.open`.

        Raises:
            ProofError: signature, cosignatures or inclusion do not hold.
        """
        opened = policy.open(self.checkpoint, log)
        verify_inclusion(
            index=self.index,
            size=opened.checkpoint.size,
            leaf=leaf,
            proof=self.hashes,
            root=opened.checkpoint.root,
        )
        return opened


def format_proof(proof: TlogProof) -> bytes:
    """The file's one spelling."""
    lines = [HEADER]
    if proof.extra is not None:
        lines.append(f"extra {_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines += [_base64(one) for one in proof.hashes]
    return ("\n".join(lines) + "\n\n" + proof.checkpoint).encode("utf-8")


def parse_proof(data: bytes) -> TlogProof:
    """A proof from a file.

    Raises:
        ProofError: too large, or not the one spelling of a proof.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise ProofError(f"proof: expected at most {MAX_PROOF_BYTES} bytes, got {len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProofError("proof: expected UTF-8 text, got other bytes") from error
    head, empty, checkpoint = text.partition("\n\n")
    lines = head.split("\n", MAX_HASHES + 3)
    if not empty or lines.pop(0) != HEADER:
        raise ProofError(f"proof: expected {HEADER}, lines, an empty line and a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _bytes(lines.pop(0).removeprefix("extra "))
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None:
        raise ProofError("proof: expected 'index' and a decimal number without leading zeros")
    hashes = tuple(_bytes(line) for line in lines)
    return TlogProof(int(index[1]), hashes, checkpoint, extra)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(encoded: str) -> bytes:
    raw = decode_base64(encoded)
    if raw is None:
        raise ProofError(f"proof: expected base64, got {encoded!r:.80}")
    return raw
