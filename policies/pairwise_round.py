"""The round that pairwise masks belong to: its cohort as the permit names it, and its threshold.

Everything that is signed, encrypted or derived in the protocol names space, run, round and the
permit's digest, which covers the cohort with its keys: nothing of one permit is of use in another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policies.canonical import Json, canonical_bytes
from policies.errors import SecureSumError, UnknownPeer
from policies.permit import PermitBody
from policies.release import least_of

MAX_MEMBERS: Final = 1_000
LEAST_MEMBERS: Final = 2


@dataclass(frozen=True, slots=True)
class Peer:
    """One member of the cohort.

    Attributes:
        key: key id of its receipt key (SHA-256 of the raw Ed25519 public key).
        sealing: its enrolled X25519 public key, 64 hexadecimal digits.
    """

    participant: str
    key: str
    sealing: str


@dataclass(frozen=True, slots=True)
class PairwiseRound:
    """What all nodes of a permit agree on before they start.

    Attributes:
        permit: digest of the permit's body, hexadecimal.
        peers: ascending by participant; the holder of the n-th share is the n-th of them, from 1.
        threshold: how many shares give a secret, and how many must share, send, agree and answer.

    Raises:
        SecureSumError: a cohort of one or of too many, a participant or a key twice, another order,
            or a threshold of half the cohort or less.
    """

    space: str
    run: str
    round: int
    permit: str
    peers: tuple[Peer, ...]
    threshold: int

    def __post_init__(self) -> None:
        count = len(self.peers)
        if not LEAST_MEMBERS <= count <= MAX_MEMBERS:
            raise SecureSumError(
                f"cohort: expected {LEAST_MEMBERS} to {MAX_MEMBERS} participants, got {count}; a "
                "sum of one would be that one's update"
            )
        if not count < 2 * self.threshold <= 2 * count:
            raise SecureSumError(
                f"threshold: expected more than half of {count} participants and at most all, got "
                f"{self.threshold}"
            )
        names = [peer.participant for peer in self.peers]
        if names != sorted(set(names)):
            raise SecureSumError("cohort: expected each participant once, in ascending order")
        for kind in ("key", "sealing"):
            if len({getattr(peer, kind) for peer in self.peers}) != count:
                raise SecureSumError(f"cohort: expected a {kind} of each one's own, got one twice")
        if "\0" in "".join([self.space, *names]):
            raise SecureSumError("names: expected no zero byte, which parts them, got one")

    @classmethod
    def of_permit(cls, body: PermitBody) -> PairwiseRound:
        """The round of a permit whose place in the log was checked.

        The threshold is what a release needs: more than two thirds of the cohort, or more
        (`policies.release.least_of`).

        Raises:
            SecureSumError: its masks are not pairwise, or as above.
        """
        if body.secure_sum is None or body.secure_sum.mode != "pairwise":
            raise SecureSumError(f"permit {body.id}: expected one with pairwise masks, got another")
        peers = [Peer(one.participant, one.key, one.sealing) for one in body.cohort]
        return cls(
            space=body.space,
            run=body.run,
            round=body.round,
            permit=body.digest(),
            peers=tuple(sorted(peers, key=lambda peer: peer.participant)),
            threshold=least_of(body, len(peers)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The participants, ascending."""
        return tuple(peer.participant for peer in self.peers)

    def numbered(self) -> Iterator[tuple[int, Peer]]:
        """Each holder's number beside its peer."""
        return enumerate(self.peers, start=1)

    def peer(self, participant: str) -> Peer:
        """The member of that name.

        Raises:
            UnknownPeer: there is none.
        """
        at = bisect_left(self.peers, participant, key=lambda peer: peer.participant)
        if at < len(self.peers) and self.peers[at].participant == participant:
            return self.peers[at]
        raise UnknownPeer(
            f"participant {participant}: expected one of the permit's cohort, got another; a "
            "message about others is not from this round"
        )

    def statement(self, domain: bytes, **fields: Json) -> bytes:
        """What is signed or authenticated: the purpose, this round, and the fields."""
        whole: dict[str, Json] = {
            "space": self.space,
            "run": self.run,
            "round": self.round,
            "permit": self.permit,
            "threshold": self.threshold,
        }
        return domain + b"\0" + canonical_bytes(whole | fields)
