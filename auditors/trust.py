"""Whose signatures an auditor believes: the log's key alone, or a policy with witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from auditors.errors import AuditInputError, IntegrityBroken
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.errors import KeyRefused, PolicyRefused, ProofError
from ledger.note import NoteVerifier
from ledger.tlogpolicy import NONE, Policy, parse_policy


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

    @property
    def hint(self) -> str:
        """What else could explain that they are not there."""


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

    @property
    def hint(self) -> str:
        return "make sure that the key handed in is this log's"


@dataclass(frozen=True, slots=True)
class PolicyTrust:
    """A policy (C2SP tlog-policy): one of its logs, cosigned as its quorum asks.

    Args:
        policy: its witnesses are those whose cosignatures are looked at.
        log: the log's key, where the policy names no logs.
    """

    policy: Policy
    log: NoteVerifier | None = None

    @classmethod
    def parse(cls, data: bytes, verifier_key: str | None = None) -> PolicyTrust:
        """From a policy file, and the log's key if it is not in there.

        Raises:
            AuditInputError: malformed, or it says not which log.
        """
        try:
            policy = parse_policy(data)
        except PolicyRefused as error:
            raise AuditInputError(str(error)) from error
        log = None if verifier_key is None else KeyTrust.parse(verifier_key).verifier
        if log is None and not policy.logs:
            raise AuditInputError(
                "policy: expected a line 'log KEY', or the log's key beside the policy, got neither"
            )
        return cls(policy, log)

    def open(self, note: str) -> tuple[Checkpoint, tuple[str, ...]]:
        opened = self.policy.open(note, self.log)
        return opened.checkpoint, tuple(sorted(one.name for one in opened.witnesses))

    def open_seen(self, note: str) -> Checkpoint:
        return replace(self.policy, quorum=NONE).open(note, self.log).checkpoint

    @property
    def asked(self) -> str:
        logs = [self.log] if self.log else [one.verifier for one in self.policy.logs]
        quorum = "" if self.policy.quorum == NONE else f" and cosigned by {self.policy.quorum}"
        return " or ".join(log.name for log in logs) + quorum

    @property
    def hint(self) -> str:
        return (
            "make sure that the policy is the one for this log; a head that was signed a moment "
            "ago may not be cosigned yet: copy the checkpoint again"
        )


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
            trust.hint,
        ) from error
    return Head(place, checkpoint, cosigners)


def open_seen(notes: Sequence[str], trust: Trust) -> list[Head]:
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


def require_same_log(head: Head, seen: Sequence[Head]) -> None:
    """A policy may name several logs; heads of one say nothing about another.

    Raises:
        AuditInputError: a seen head is of another log than `head`.
    """
    for one in seen:
        if one.checkpoint.origin != head.checkpoint.origin:
            raise AuditInputError(
                f"{one.place}: expected one of {head.checkpoint.origin}, got one of "
                f"{one.checkpoint.origin}; it proves nothing about this log"
            )
