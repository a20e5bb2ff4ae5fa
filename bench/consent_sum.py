"""A model of the consent-gated secure sum without I/O: who may open what, of one permit.

Keys and masks are `policies.masks`; what makes a release durable, logs it and asks for standing
consents is governance's (DESIGN.md, step 9). Here stands what both rest on: the sum of the masks
is given once, for one set of those whose receipts came, of at least `least`, and never for another.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies.errors import OutOfTurn, SecondOpening, SecureSumError, TooFew, UnknownPeer
from policies.fixedpoint import Words
from policies.masks import add_mask, mask_key, new_private_key, parse_public_key, public_key
from policies.masks import sum_masks as sum_of_masks
from policies.privacy import WordBits


@dataclass(frozen=True, slots=True)
class ConsentRound:
    """What one permit says about its masks.

    Attributes:
        permit: digest of its body, hexadecimal.
        products: by participant, the product that it uses.
        least: participants whose masks are ever released together.

    Raises:
        SecureSumError: `least` is below 2 or above the cohort: the sum of one is that one's update.
    """

    space: str
    permit: str
    products: dict[str, str]
    least: int
    words: int
    word_bits: WordBits

    def __post_init__(self) -> None:
        if not 2 <= self.least <= len(self.products):
            raise SecureSumError(
                f"cohort: expected sums of at least 2 of {len(self.products)} participants, got "
                f"{self.least}; a sum of one would be that one's update"
            )

    def product(self, participant: str) -> str:
        """What it uses.

        Raises:
            UnknownPeer: it is not in the cohort.
        """
        if participant not in self.products:
            raise UnknownPeer(f"participant {participant}: expected one of the permit's cohort")
        return self.products[participant]


def mask_once(terms: ConsentRound, participant: str, governance_key: str, words: Words) -> str:
    """The node's side: mask a vector in place with a fresh key.

    Returns:
        the public half, for the receipt; the private one is forgotten.

    Raises:
        MaskKeyError: governance's key is malformed or of low order.
        UnknownPeer: the participant is not in the cohort.
    """
    private = new_private_key()
    add_mask(words, _key(terms, private, governance_key, participant))
    return public_key(private)


@dataclass(slots=True)
class MaskHolder:
    """Governance's side, while it holds the permit's private key."""

    terms: ConsentRound
    private: X25519PrivateKey | None = field(default_factory=new_private_key, repr=False)
    _keys: dict[str, str] = field(default_factory=dict)
    _released: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """The public half, for the permit."""
        return public_key(self._private())

    def accept(self, participant: str, key: str) -> None:
        """Take the mask key of a receipt that was judged.

        Raises:
            UnknownPeer: not in the cohort.
            OutOfTurn: a second one, or after the release.
            MaskKeyError: malformed or of low order.
        """
        self.terms.product(participant)
        if self._released is not None or participant in self._keys:
            raise OutOfTurn(
                f"receipt of {participant}: expected one, before the release of the masks, got "
                "another or a later one"
            )
        parse_public_key(key)
        self._keys[participant] = key

    def release(self, participants: Collection[str]) -> Words:
        """The sum of the masks of these; the same ones again give the same.

        Raises:
            SecondOpening: others than before.
            UnknownPeer: one whose receipt was not accepted.
            TooFew: fewer than `least`.
            OutOfTurn: the key is forgotten.
        """
        asked = frozenset(participants)
        if self._released is not None and asked != self._released:
            raise SecondOpening(
                f"permit {self.terms.permit[:16]}…: expected the release that was made, got one "
                "for others; two sums would tell what is in one and not in the other"
            )
        if unknown := asked - set(self._keys):
            raise UnknownPeer(f"release: expected those with receipts, got {min(unknown)}")
        if len(asked) < self.terms.least:
            raise TooFew(f"release: expected at least {self.terms.least}, got {len(asked)}")
        private = self._private()
        keys = [_key(self.terms, private, self._keys[name], name) for name in sorted(asked)]
        self._released = asked
        return sum_of_masks(keys, self.terms.words, self.terms.word_bits)

    def forget(self) -> None:
        """Nobody can open this permit's sums again."""
        self.private = None

    def _private(self) -> X25519PrivateKey:
        if self.private is None:
            raise OutOfTurn(
                f"permit {self.terms.permit[:16]}…: expected it before its key was forgotten"
            )
        return self.private


def _key(terms: ConsentRound, private: X25519PrivateKey, other: str, participant: str) -> bytes:
    return mask_key(
        private,
        other,
        permit=terms.permit,
        space=terms.space,
        participant=participant,
        product=terms.product(participant),
    )
