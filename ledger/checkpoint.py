"""A log's signed head (C2SP tlog-checkpoint): origin, size and root, signed as a note.

Only checkpoints without extension lines exist here: what stands in an extension line is not
verifiable by anyone who follows the log.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from ledger.errors import ProofError
from ledger.note import NoteSigner, NoteVerifier, open_note, sign_note
from ledger.tree import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

_MAX_SIZE_DIGITS = len(str(MAX_SIZE))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One head of one log; exists only if well-formed.

    Args:
        origin: the log's name, one line.
        size: number of entries.
        root: Merkle root of the first `size` entries, 32 bytes.

    Raises:
        ProofError: a value outside these bounds.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or any(char < " " for char in self.origin):
            raise ProofError(f"checkpoint: expected an origin of one line, got {self.origin!r:.80}")
        if type(self.size) is not int or not 0 <= self.size <= MAX_SIZE:
            raise ProofError(f"checkpoint: expected a size up to 2^53 - 1, got {self.size!r:.40}")
        if type(self.root) is not bytes or len(self.root) != HASH_BYTES:
            raise ProofError(f"checkpoint: expected a root of 32 bytes, got {self.root!r:.40}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise ProofError("checkpoint: the size is 0, its root is not the empty tree's")


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """The text that is signed: three lines, each with its newline."""
    root = base64.b64encode(checkpoint.root).decode("ascii")
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from its one spelling; parse, format, compare.

    Raises:
        ProofError: another number of lines, a size that is not plain decimal, another base64.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise ProofError(f"checkpoint: expected three lines, got {text!r:.160}")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS):
        raise ProofError(f"checkpoint: expected a decimal size, got {size!r:.40}")
    try:
        raw = base64.b64decode(root.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ProofError(f"checkpoint: expected a root in base64, got {root!r:.80}") from error
    checkpoint = Checkpoint(origin, int(size), raw)
    if format_checkpoint(checkpoint) != text:
        raise ProofError(f"checkpoint: expected the canonical spelling, got {text!r:.160}")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """The checkpoint as a note signed by its log.

    Raises:
        ProofError: the origin is not the signer's name, so nobody could open the note.
    """
    _check_origin(checkpoint, signer.name)
    return sign_note(format_checkpoint(checkpoint), signer)


def open_checkpoint(note: str, verifier: NoteVerifier) -> Checkpoint:
    """The checkpoint in a note, once the log itself is seen to have signed it.

    Raises:
        ProofError: signature, format, or an origin that is not the verifier's name.
    """
    checkpoint = parse_checkpoint(open_note(note, [verifier]))
    _check_origin(checkpoint, verifier.name)
    return checkpoint


def _check_origin(checkpoint: Checkpoint, name: str) -> None:
    if checkpoint.origin != name:
        raise ProofError(f"checkpoint: expected origin {name}, got {checkpoint.origin!r:.80}")
