"""A model of both secure sums behind one interface, a round's parties in one process.

For benches and for the contract that both keep (tests/unit/policies/secure_sum_contract.py).
No node and no service uses it: theirs are `server.round_results.Adding`, `server.releases`,
`clients.masking` and `clients.pairwise_desk`, over the same `policies`.

What is exchanged between them goes through the bytes that would travel. Nothing is isolated here,
as in any simulation: whoever holds the object could read everything in it. What each party alone
can do is `bench.consent_sum` and `policies.pairwise`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.consent_sum import ConsentRound, MaskHolder, mask_once
from policies import pairwise_opening as opening
from policies.errors import OutOfTurn, SecondOpening, UnknownPeer
from policies.fixedpoint import Words, add_into, subtract_from, zeros
from policies.pairwise import PairwiseNode
from policies.pairwise_messages import Shared
from policies.pairwise_round import PairwiseRound
from policies.privacy import WordBits


class SecureSum(Protocol):
    """One permit's round: everybody shares, masks once, and one sum is opened.

    Whatever is refused raises a `PolicyError`, and nothing is opened by it.
    """

    @property
    def least(self) -> int:
        """How many vectors a sum has at least."""

    def share(self, participant: str) -> None:
        """What its node sends ahead, before any vector; at most once.

        Raises:
            OutOfTurn: again, or after the first vector was masked.
        """

    def mask(self, participant: str, words: Words) -> None:
        """Its node masks its vector, in place; once.

        Raises:
            OutOfTurn: again, or before sharing.
            TooFew: fewer than `least` shared.
            UnknownPeer: not in the cohort.
        """

    def leave(self, participant: str) -> None:
        """Its node is gone: it answers nothing from now on."""

    def open(self, sent: Mapping[str, Words]) -> Words:
        """The sum of these masked vectors, without masks; the same set again gives the same.

        Raises:
            TooFew: fewer than `least`, or too few nodes are left to open it.
            SecondOpening: another set than before.
            UnknownPeer: somebody who masked nothing.
        """


class ConsentSum:
    """Consent-gated: governance opens, nodes are not asked again."""

    def __init__(self, terms: ConsentRound) -> None:
        self._terms = terms
        self._governance = MaskHolder(terms)
        self._masked: set[str] = set()
        self._gone: set[str] = set()

    @property
    def least(self) -> int:
        """As the permit says."""
        return self._terms.least

    def share(self, participant: str) -> None:
        """Nothing is sent ahead."""
        self._terms.product(participant)

    def mask(self, participant: str, words: Words) -> None:
        """Mask it and hand the receipt's key in."""
        if participant in self._masked | self._gone:
            raise OutOfTurn(f"{participant}: expected to mask once, before it left")
        key = mask_once(self._terms, participant, self._governance.key, words)
        self._masked.add(participant)
        self._governance.accept(participant, key)

    def leave(self, participant: str) -> None:
        """A node that left costs nothing, once it sent."""
        self._gone.add(participant)

    def open(self, sent: Mapping[str, Words]) -> Words:
        """Take governance's sum of masks off."""
        masks = self._governance.release(sent)
        total = _total(sent.values(), self._terms.words, self._terms.word_bits)
        subtract_from(total, masks)
        return total


class PairwiseSum:
    """Masks of pairs: the nodes open, together.

    Args:
        receipt_keys, sealing_keys: each member's own, by participant.
    """

    def __init__(
        self,
        terms: PairwiseRound,
        *,
        receipt_keys: Mapping[str, Ed25519PrivateKey],
        sealing_keys: Mapping[str, X25519PrivateKey],
        words: int,
        word_bits: WordBits,
    ) -> None:
        self._terms = terms
        self._nodes = {
            name: PairwiseNode(
                terms, name, receipt_key=receipt_keys[name], sealing_key=sealing_keys[name]
            )
            for name in terms.names
        }
        self._words, self._word_bits = words, word_bits
        self._shared: dict[str, Shared] = {}
        self._letters: dict[str, bytes] | None = None
        self._masked: set[str] = set()
        self._gone: set[str] = set()
        self._opened: tuple[bytes, opening.Secrets] | None = None

    @property
    def least(self) -> int:
        """The threshold."""
        return self._terms.threshold

    def share(self, participant: str) -> None:
        """Step 1 of `policies.pairwise`."""
        node = self._node(participant)
        if self._letters is not None:
            raise OutOfTurn(f"{participant}: expected to share before anybody masked, got it later")
        self._shared[participant] = opening.verify_shared(self._terms, participant, node.share())

    def mask(self, participant: str, words: Words) -> None:
        """Step 2."""
        node = self._node(participant)
        if participant not in self._shared:
            raise OutOfTurn(f"{participant}: expected to share before it masks")
        if self._letters is None:
            self._letters = opening.letters(self._terms, self._shared)
        node.mask(self._letters[participant], words)
        self._masked.add(participant)

    def leave(self, participant: str) -> None:
        """The others' shares stand in for it, if enough of them are left."""
        self._gone.add(participant)
        self._nodes[participant].forget()

    def open(self, sent: Mapping[str, Words]) -> Words:
        """Steps 3 and 4, and the masks off."""
        if unmasked := set(sent) - self._masked:
            raise UnknownPeer(f"sum: expected vectors that were masked, got one of {min(unmasked)}")
        split = opening.split(self._terms, self._shared, sent)
        if self._opened is None:
            self._opened = split, self._secrets(split, sent)
        elif split != self._opened[0]:
            raise SecondOpening(
                f"permit {self._terms.permit[:16]}…: expected the sum that was opened, got others"
            )
        total = _total(sent.values(), self._words, self._word_bits)
        opening.remove_masks(self._terms, self._shared, self._opened[1], total)
        return total

    def _secrets(self, split: bytes, survivors: Collection[str]) -> opening.Secrets:
        terms, shared = self._terms, self._shared
        here = set(survivors) - self._gone
        agreed = {
            name: opening.verify_agreement(
                terms, shared, split, name, self._nodes[name].agree(split)
            )
            for name in sorted(here)
        }
        told = opening.agreements(terms, agreed.values())
        answers = {
            name: opening.verify_answer(terms, split, name, self._nodes[name].unmask(told))
            for name in agreed
        }
        return opening.join(terms, shared, split, answers)

    def _node(self, participant: str) -> PairwiseNode:
        self._terms.peer(participant)
        return self._nodes[participant]


def _total(vectors: Collection[Words], words: int, word_bits: WordBits) -> Words:
    total = zeros(words, word_bits)
    for vector in vectors:
        add_into(total, vector)
    return total
