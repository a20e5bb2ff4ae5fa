"""Trust policies of transparency logs (C2SP tlog-policy): whose logs, which witnesses, how many.

A file of octets: names are opaque, and only space, tab and newline separate. Strict: every line
ends in a newline, a key stands once, a name is defined once and before it is used, and nothing is
skipped but empty lines and comments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger.cosignature import Cosigned, open_cosigned
from ledger.ed25519 import public_bytes
from ledger.errors import KeyRefused, PolicyRefused, ProofError, QuorumMissed
from ledger.note import NoteVerifier, SignatureType, split_note

MAX_POLICY_BYTES: Final = 256 * 1024
MAX_LINES_OF_A_KIND: Final = 256
"""How many logs, witnesses or groups; the format asks for at least 32 of each."""

NONE: Final = "none"

_GAP: Final = re.compile(r"[ \t]+")
_FORBIDDEN: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_KIND_AT: Final = {"log": 1, "witness": 2}


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose checkpoints count; its key's name is its origin."""

    verifier: NoteVerifier
    url: str = ""


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness; `name` is of this file only, the key's own name stands in signatures."""

    name: str
    verifier: NoteVerifier
    url: str = ""


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """Has witnessed if at least `threshold` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy; make one with `parse_policy`.

    Attributes:
        logs: whose checkpoints are taken; empty where the log is known from elsewhere.
        witnesses, groups: by the order of the file.
        quorum: name of the witness or group that must have witnessed; `none` asks for nobody.
    """

    logs: tuple[PolicyLog, ...] = ()
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[PolicyGroup, ...] = ()
    quorum: str = NONE

    @property
    def keys(self) -> tuple[NoteVerifier, ...]:
        """The witnesses' keys."""
        return tuple(witness.verifier for witness in self.witnesses)

    def satisfied(self, cosigners: Collection[NoteVerifier]) -> bool:
        """Whether these witnesses' verified cosignatures reach the quorum."""
        if self.quorum == NONE:
            return True
        witnessed = {one.name: one.verifier in cosigners for one in self.witnesses}
        for group in self.groups:  # members stand before the group
            there = sum(witnessed[member] for member in group.members)
            witnessed[group.name] = there >= group.threshold
        return witnessed[self.quorum]

    def open(self, note: str, log: NoteVerifier | None = None) -> Cosigned:
        """The checkpoint in a note that this policy accepts.

        Args:
            log: the log, where it is known from elsewhere; else one of this policy's must have
                signed.

        Raises:
            ProofError: malformed, not signed by a log of the policy, a wrong signature by a known
                key, or too few cosignatures (QuorumMissed).
        """
        opened = open_cosigned(note, log or self._log_of(note), self.keys)
        if not self.satisfied(opened.witnesses):
            raise QuorumMissed(
                f"checkpoint of size {opened.checkpoint.size}: expected the quorum "
                f"{self.quorum!r} of the policy, got cosignatures by "
                f"{', '.join(sorted(one.name for one in opened.witnesses)) or 'nobody'} only"
            )
        return opened

    def _log_of(self, note: str) -> NoteVerifier:
        text, lines = split_note(note)
        origin = text.partition("\n")[0]
        named = [log.verifier for log in self.logs if log.verifier.name == origin]
        for verifier in named:
            if any(line.is_by(verifier) for line in lines):
                return verifier
        raise ProofError(
            f"checkpoint of {origin!r:.120}: expected a signature by a log of the policy, got one "
            f"by none of its {len(named)} keys of that name"
        )


UNWITNESSED: Final = Policy()
"""Asks for no cosignature, and names no log."""


def parse_policy(data: bytes) -> Policy:
    """A policy from a file's octets.

    Raises:
        PolicyRefused: too large, malformed, or a name or key that does not fit; says the line.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyRefused(f"policy: expected at most {MAX_POLICY_BYTES} bytes, got {len(data)}")
    forbidden = _FORBIDDEN.search(data)
    if forbidden:
        number = data.count(b"\n", 0, forbidden.start()) + 1
        raise PolicyRefused(
            f"policy, line {number}: expected no control character but tab and newline, got byte "
            f"{forbidden[0].hex()}"
        )
    if data and not data.endswith(b"\n"):
        raise PolicyRefused("policy: expected a newline at the end of the last line, got none")
    reader = _Reader()
    # Octets that are no UTF-8 become lone surrogates, one for one: names stay apart as octets do.
    text = data.decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        items = [item for item in _GAP.split(line) if item]
        if items and not items[0].startswith("#"):
            try:
                reader.take(items)
            except (PolicyRefused, KeyRefused) as error:
                raise PolicyRefused(f"policy, line {number}: {_plain(str(error))}") from error
    return reader.policy()


def format_policy(policy: Policy) -> bytes:
    """A file that `parse_policy` reads as this policy."""
    lines = [" ".join(("log", log.verifier.text, log.url)).strip() for log in policy.logs]
    for one in policy.witnesses:
        lines.append(" ".join(("witness", one.name, one.verifier.text, one.url)).strip())
    for group in policy.groups:
        lines.append(" ".join(("group", group.name, str(group.threshold), *group.members)))
    lines.append(f"quorum {policy.quorum}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


@dataclass(slots=True)
class _Reader:
    """The lines so far."""

    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    quorum: str | None = None
    names: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    keys: set[tuple[str, bytes]] = field(default_factory=set)

    def take(self, items: Sequence[str]) -> None:
        """One line that is neither empty nor a comment."""
        word, count = items[0], len(items)
        if word == "log" and count in (2, 3):
            verifier = self._key(items, SignatureType.ED25519)
            self._count(self.logs, "logs")
            self.logs.append(PolicyLog(verifier, "".join(items[2:])))
        elif word == "witness" and count in (3, 4):
            self._define(items[1])
            verifier = self._key(items, SignatureType.COSIGNATURE)
            self._count(self.witnesses, "witnesses")
            self.witnesses.append(PolicyWitness(items[1], verifier, "".join(items[3:])))
        elif word == "group" and count >= 4:
            members = tuple(items[3:])
            for member in members:
                self._use(member)
            self._define(items[1])
            self._count(self.groups, "groups")
            self.groups.append(PolicyGroup(items[1], _threshold(items[2], len(members)), members))
        elif word == "quorum" and count == 2:
            if self.quorum is not None:
                raise PolicyRefused("expected one quorum line, got a second one")
            if items[1] != NONE and items[1] not in self.names:
                raise PolicyRefused(f"expected the name of a line before, got {items[1]!r:.80}")
            self.quorum = items[1]
        else:
            raise PolicyRefused(
                "expected 'log KEY [URL]', 'witness NAME KEY [URL]', 'group NAME all|any|K "
                f"NAME...' or 'quorum NAME', got {' '.join(items)!r:.120}"
            )

    def policy(self) -> Policy:
        """All of it, at the end of the file."""
        if self.quorum is None:
            raise PolicyRefused(
                "policy: expected one quorum line, got none; 'quorum none' asks for no cosignature"
            )
        return Policy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), self.quorum)

    def _key(self, items: Sequence[str], kind: SignatureType) -> NoteVerifier:
        verifier = NoteVerifier.parse(items[_KIND_AT[items[0]]], kind)
        own = (items[0], public_bytes(verifier.public))
        if own in self.keys:
            raise PolicyRefused(f"expected a key that no {items[0]} before has, got it twice")
        self.keys.add(own)
        return verifier

    def _define(self, name: str) -> None:
        if name == NONE or name in self.names:
            raise PolicyRefused(f"expected a new name other than none, got {name!r:.80}")
        self.names.add(name)

    def _use(self, name: str) -> None:
        if name not in self.names:
            raise PolicyRefused(f"expected the name of a line before, got {name!r:.80}")
        if name in self.members:
            raise PolicyRefused(f"expected each name in one group at most, got {name!r:.80} again")
        self.members.add(name)

    @staticmethod
    def _count(found: Sequence[object], what: str) -> None:
        if len(found) >= MAX_LINES_OF_A_KIND:
            raise PolicyRefused(f"expected at most {MAX_LINES_OF_A_KIND} {what}, got more")


def _threshold(text: str, members: int) -> int:
    words = {"all": members, "any": 1}
    if text not in words and not _DECIMAL.fullmatch(text):
        raise PolicyRefused(f"expected all, any or a decimal number, got {text!r:.40}")
    threshold = words[text] if text in words else int(text)
    if threshold > members:
        raise PolicyRefused(f"expected a number up to the {members} members, got {threshold}")
    return threshold


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
