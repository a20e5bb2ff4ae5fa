"""Whose signatures an auditor believes: the log's key alone, or a policy with witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from auditors.errors import AuditInputError, IntegrityBroken
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.errors import KeyRefused, ProofError
from ledger.note import NoteVerifier


class Trust(Protocol):
    """Opens a log's signed heads."""

    def open(self, note: str) -> tuple[Checkpoint, tuple[str, ...]]:
        """The head of a log, and the names of those who are known to have cosigned it.

        Raises:
            ProofError: not signed as it must be.
        """

    def open_seen(self, note: str) -> Checkpoint:
        """A head that somebody else saw: signed by the log, whoever cosigned it.

        Raises:
            ProofError: not signed by the log.
        """

    @property
    def asked(self) -> str:
        """Whose signatures are asked for, in words."""


@dataclass(frozen=True, slots=True)
class KeyTrust:
    """The log's key, and nobody else's.

    Args:
        verifier: the key.
    """

    verifier: NoteVerifier

    @classmethod
    def parse(cls, verifier_key: str) -> KeyTrust:
        """From `name+hash+base64`; AuditInputError if it is no key to trust."""
        try:
            return cls(NoteVerifier.parse(verifier_key.strip()))
        except KeyRefused as error:
            raise AuditInputError(f"the log's key: {error}") from error

    def open(self, note: str) -> tuple[Checkpoint, tuple[str, ...]]:
        return open_checkpoint(note, self.verifier), ()

    def open_seen(self, note: str) -> Checkpoint:
        return open_checkpoint(note, self.verifier)

    @property
    def asked(self) -> str:
        return self.verifier.name


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head.

    Args:
        place: where it stands.
        checkpoint: what was signed.
        cosigners: names of the witnesses whose cosignatures hold.
    """

    place: str
    checkpoint: Checkpoint
    cosigners: tuple[str, ...] = ()


def open_head(data: bytes, place: str, trust: Trust) -> Head:
    """The head in a note.

    Raises:
        IntegrityBroken: it is not signed as `trust` asks.
    """
    try:
        checkpoint, cosigners = trust.open(data.decode("utf-8"))
    except (UnicodeDecodeError, ProofError) as error:
        raise IntegrityBroken(
            place,
            f"a checkpoint signed by {trust.asked}",
            str(error),
            "make sure that the key handed in is this log's",
        ) from error
    return Head(place, checkpoint, cosigners)


def open_seen(notes: tuple[str, ...], trust: Trust) -> list[Head]:
    """The heads that others saw, the smallest first.

    Raises:
        AuditInputError: one of them is not this log's.
    """
    heads: list[Head] = []
    for number, note in enumerate(notes, 1):
        place = f"seen checkpoint {number}"
        try:
            heads.append(Head(place, trust.open_seen(note)))
        except ProofError as error:
            raise AuditInputError(f"{place}: {error}; it proves nothing about this log") from error
    return sorted(heads, key=lambda head: head.checkpoint.size)
