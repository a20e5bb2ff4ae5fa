"""A witness without its network and disk (C2SP tlog-witness): what to say to a checkpoint.

The witness keeps the newest checkpoint of a log that it cosigned. Asked to cosign another one, it
takes it only with a proof that the log merely grew. `judge` decides; whoever calls it keeps the
accepted checkpoint durably, in one step with the look at the one before, and only then cosigns.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final, Literal

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import NoteError, ProofError
from ledger.note import MAX_NOTE_BYTES, NoteVerifier, decode_base64, open_note, split_note
from ledger.proofs import verify_consistency
from ledger.tree import HASH_BYTES, MAX_SIZE

MAX_HASHES: Final = 63
MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 64 * 45 + 64
SIZE_TYPE: Final = "text/x.tlog.size"

ForkKind = Literal["two-roots", "no-proof", "rollback"]

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,15})", re.ASCII)
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign.

    Args:
        old_size: of the checkpoint that the asker takes for the last one cosigned.
        proof: that the new tree begins with the old one (RFC 6962 section 2.1.2).
        note: the checkpoint, signed by its log.

    Raises:
        ProofError: a value that no request can hold.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def __post_init__(self) -> None:
        if type(self.old_size) is not int or not 0 <= self.old_size <= MAX_SIZE:
            raise ProofError(f"add-checkpoint: expected an old size, got {self.old_size!r:.40}")
        if len(self.proof) > MAX_HASHES or any(len(one) != HASH_BYTES for one in self.proof):
            raise ProofError(f"add-checkpoint: expected at most {MAX_HASHES} hashes of 32 bytes")
        split_note(self.note)


def format_request(request: AddCheckpoint) -> bytes:
    """The body of `POST add-checkpoint`, in its one spelling."""
    lines = [f"old {request.old_size}"]
    lines += [base64.b64encode(one).decode("ascii") for one in request.proof]
    return ("\n".join(lines) + "\n\n" + request.note).encode("utf-8")


def parse_request(data: bytes) -> AddCheckpoint:
    """A request from its body.

    Raises:
        ProofError: too large, or not the one spelling of a request.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise ProofError(
            f"add-checkpoint: expected at most {MAX_REQUEST_BYTES} bytes, got {len(data)}"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProofError("add-checkpoint: expected UTF-8 text, got other bytes") from error
    head, empty, note = text.partition("\n\n")
    first, *lines = head.split("\n", MAX_HASHES + 2)
    old = _OLD.fullmatch(first)
    if not empty or old is None:
        raise ProofError(
            f"add-checkpoint: expected 'old' and a decimal size, hashes, an empty line and a "
            f"checkpoint, got {text!r:.120}"
        )
    return AddCheckpoint(int(old[1]), tuple(_hash(line) for line in lines), note)


def format_size(size: int) -> bytes:
    """The body of a conflict: the size that the witness knows."""
    return f"{size}\n".encode("ascii")


def parse_size(data: bytes) -> int:
    """The inverse.

    Raises:
        ProofError: no decimal size and a newline.
    """
    found = _SIZE.fullmatch(data)
    if found is None or int(found[1]) > MAX_SIZE:
        raise ProofError(f"add-checkpoint: expected a decimal size, got {data[:40]!r}")
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint that a witness accepted, with the note that its log signed."""

    checkpoint: Checkpoint
    note: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Consistent with all that was seen: keep it durably, then cosign it."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Conflict:
    """The request starts from another size than the witness knows; ask again from this one."""

    size: int


@dataclass(frozen=True, slots=True)
class Forked:
    """The log signed two heads that do not fit together; both, with its signature, are evidence.

    Attributes:
        kind: `two-roots` for one size: the log forked; `no-proof`: whoever asked could not show
            that the log merely grew; `rollback`: the log came back smaller than it was.
    """

    kind: ForkKind
    before: Seen
    came: Seen
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not to be cosigned, and no evidence against the log; `status` as tlog-witness gives it."""

    status: int
    text: str


Verdict = Accepted | Conflict | Forked | Refused


def judge(request: AddCheckpoint, *, seen: Seen | None, log: NoteVerifier) -> Verdict:
    """What a witness of this log says to a request. Raises nothing on a bad one.

    Args:
        seen: the newest checkpoint that this witness accepted; None before the first.
        log: the key that must have signed; its name is the origin.
    """
    came = _verified(request.note, log)
    if isinstance(came, Refused):
        return came
    size = came.checkpoint.size
    if seen is not None:
        fork = _fork(seen, came)
        if fork is not None:
            return fork
    if request.old_size > size:
        return Refused(400, f"expected an old size up to {size}, got {request.old_size}")
    known = 0 if seen is None else seen.checkpoint.size
    if request.old_size != known:
        return Conflict(known)
    return _proven(request, seen, came)


def _fork(seen: Seen, came: Seen) -> Forked | None:
    """What the two heads say by themselves."""
    size, known = came.checkpoint.size, seen.checkpoint.size
    if size < known:
        text = f"expected a checkpoint of at least {known} entries, got one of {size}"
        return Forked("rollback", seen, came, text)
    if size == known and came.checkpoint.root != seen.checkpoint.root:
        return Forked("two-roots", seen, came, f"two roots for size {size}: the log forked")
    return None


def _proven(request: AddCheckpoint, seen: Seen | None, came: Seen) -> Verdict:
    if seen is None or seen.checkpoint.size == 0:
        if request.proof:
            return Refused(422, "expected no proof from size 0: every tree begins with none")
        return Accepted(came)
    try:
        verify_consistency(
            old_size=seen.checkpoint.size,
            new_size=came.checkpoint.size,
            old_root=seen.checkpoint.root,
            new_root=came.checkpoint.root,
            proof=request.proof,
        )
    except ProofError as error:
        return Forked("no-proof", seen, came, str(error))
    return Accepted(came)


def status_of(verdict: Verdict, request: AddCheckpoint) -> int:
    """The HTTP status that C2SP tlog-witness gives a verdict."""
    if isinstance(verdict, Refused):
        return verdict.status
    if isinstance(verdict, Forked) and verdict.kind == "rollback":
        return 400 if request.old_size > verdict.came.checkpoint.size else 409
    if isinstance(verdict, Forked):
        return 422
    return 409 if isinstance(verdict, Conflict) else 200


def _verified(note: str, log: NoteVerifier) -> Seen | Refused:
    text, _ = split_note(note)
    origin = text.partition("\n")[0]
    if origin != log.name:
        return Refused(404, f"expected a checkpoint of {log.name}, got one of {origin!r:.120}")
    try:
        open_note(note, [log])
    except NoteError as error:
        return Refused(403, str(error))
    try:
        checkpoint = parse_checkpoint(text)
    except ProofError as error:
        empty = text.split("\n")[1:2] == ["0"]
        return Refused(422 if empty else 400, str(error))
    return Seen(checkpoint, note)


def _hash(encoded: str) -> bytes:
    raw = decode_base64(encoded)
    if raw is None or len(raw) != HASH_BYTES:
        raise ProofError(f"add-checkpoint: expected a hash in base64, got {encoded!r:.80}")
    return raw
