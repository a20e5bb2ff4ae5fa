"""Cosignatures of witnesses on checkpoints (C2SP tlog-cosignature, cosignature/v1, Ed25519).

A cosignature says: at this time, this checkpoint was the largest one of this log that the witness
had seen, and it was consistent with all that it had seen before. It stands as one more signature
line in the checkpoint's note, under a key of type 0x04.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.ed25519 import load_public_key, public_bytes
from ledger.errors import NoteError
from ledger.note import (
    MAX_SIGNATURES,
    MAX_TIMESTAMP,
    NoteVerifier,
    SignatureLine,
    SignatureType,
    cosigned_message,
    key_hash,
    parse_signature,
    split_note,
)

MAX_RESPONSE_BYTES = 64 * 1024


class Cosigner:
    """A witness's name and the private key that cosigns for it.

    Args:
        name: key name; it is not part of what is signed.
        private: the key; it stays inside.

    Raises:
        KeyRefused: a name that no note can carry.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.verifier = cosigner_key(name, public_bytes(private.public_key()))

    @property
    def name(self) -> str:
        """The key's name."""
        return self.verifier.name

    def cosign(self, note: str, *, time: int) -> str:
        """One signature line, with its newline, on a note whose log's signature was verified.

        Args:
            time: POSIX seconds, 1 to 2^63 - 1.

        Raises:
            NoteError: malformed note, or a time outside these bounds.
        """
        if type(time) is not int or not 0 < time <= MAX_TIMESTAMP:
            raise NoteError(f"cosignature: expected a time from 1 to 2^63 - 1, got {time!r:.40}")
        text, _ = split_note(note)
        signature = self._private.sign(cosigned_message(text, time))
        raw = time.to_bytes(8, "big") + signature
        return SignatureLine(self.name, self.verifier.key_hash, raw).text


def cosigner_key(name: str, raw: bytes) -> NoteVerifier:
    """The verifier of a witness with this name and these 32 bytes of Ed25519 public key.

    Raises:
        KeyRefused: a name that no note can carry, or a key to refuse.
    """
    kind = SignatureType.COSIGNATURE
    public = load_public_key(raw)
    made = NoteVerifier(name=name, key_hash=key_hash(name, kind, raw), public=public, kind=kind)
    return NoteVerifier.parse(made.text, kind)


def cosigner_of(log_key: NoteVerifier) -> NoteVerifier:
    """The same name and key as a witness: how a log's owner cosigns the logs of others."""
    return cosigner_key(log_key.name, public_bytes(log_key.public))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's verified word, and its time in POSIX seconds."""

    witness: NoteVerifier
    time: int


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that its log signed, and who of the known witnesses cosigned it."""

    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]

    @property
    def witnesses(self) -> frozenset[NoteVerifier]:
        """The keys that cosigned."""
        return frozenset(one.witness for one in self.cosignatures)


def open_cosigned(note: str, log: NoteVerifier, witnesses: Sequence[NoteVerifier]) -> Cosigned:
    """The checkpoint and the given witnesses' cosignatures, once the log's signature is verified.

    Signatures by unknown keys are ignored. A witness that signed twice is there with its newest
    time.

    Args:
        note: the whole note.
        log: must have signed.
        witnesses: keys of type 0x04, of whom any number may have cosigned.

    Raises:
        ProofError: malformed, not signed by the log, or a wrong signature by a known key.
    """
    checkpoint = open_checkpoint(note, log)
    text, lines = split_note(note)
    found = []
    for witness in dict.fromkeys(witnesses):
        _check_kind(witness)
        own = [line for line in lines if line.is_by(witness)]
        times = [witness.verify(text, line.signature) or 0 for line in own]
        if times:
            found.append(Cosignature(witness, max(times)))
    return Cosigned(checkpoint, tuple(found))


def parse_cosignatures(
    data: bytes, note: str, witnesses: Sequence[NoteVerifier]
) -> tuple[SignatureLine, ...]:
    """A witness's answer (C2SP tlog-witness): the lines by known keys, each verified over `note`.

    Lines by other keys are left out.

    Args:
        data: one or more signature lines, each with its newline.
        note: what was to be cosigned.
        witnesses: keys of type 0x04.

    Raises:
        NoteError: malformed, too long, a wrong signature, a time of zero, or no line by a known
            key.
    """
    text, _ = split_note(note)
    known: list[SignatureLine] = []
    for line in _response_lines(data):
        for witness in witnesses:
            _check_kind(witness)
            if line.is_by(witness):
                if not witness.verify(text, line.signature):
                    raise NoteError(f"cosignature: expected a time by {witness.name}, got 0")
                known.append(line)
    if not known:
        names = ", ".join(witness.id for witness in witnesses)
        raise NoteError(f"cosignature: expected one by {names or 'a known witness'}, got none")
    return tuple(known)


def _response_lines(data: bytes) -> list[SignatureLine]:
    if not 0 < len(data) <= MAX_RESPONSE_BYTES:
        raise NoteError(f"cosignatures: expected 1 to {MAX_RESPONSE_BYTES} bytes, got {len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("cosignatures: expected UTF-8 text, got other bytes") from error
    lines = text.split("\n")
    if lines.pop() or len(lines) > MAX_SIGNATURES:
        raise NoteError(f"cosignatures: expected at most {MAX_SIGNATURES} whole lines")
    return [parse_signature(line) for line in lines]


def _check_kind(witness: NoteVerifier) -> None:
    if witness.kind is not SignatureType.COSIGNATURE:
        raise NoteError(f"{witness.id}: expected a witness's key (type 4), got another type")
