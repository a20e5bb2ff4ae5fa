"""A node's side of a secure sum without a second operator: masks of pairs that cancel out.

Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017,
figure 4, with signed keys and the consistency check of its variant against active adversaries:

    1. share   a one-time mask key and the seed of a self-mask, each in Shamir's shares, encrypted
               to every peer; the paper's rounds 0 and 1 in one, since peers' keys are enrolled
    2. mask    words = encode(x) + self-mask + masks of the pairs (+ before a peer, - after it)
    3. agree   one signature on one split into survivors and dropped
    4. unmask  for each survivor a share of its seed, for each dropped peer one of its mask key

The aggregator carries all messages. What holds if it, and up to 2 * threshold - n - 1 of the n
nodes, do as they like, while the other nodes follow the protocol:

  - it learns the sum of the survivors' vectors, of at least threshold - (those nodes) honest ones
    among them, or nothing: threshold signatures on one split mean that no second split can get as
    many, for two sets of `threshold` have an honest node in common, which signs once;
  - it never gets enough shares of both secrets of one peer, for the same reason;
  - keys, shares and signatures of another permit, participant or round are refused.

A node does each step once for a permit. Its secrets live in this object only: a node that restarts
has dropped. Asked for the same split again it gives the same answer; another it refuses for ever.
That a permit is used once, across restarts, is the gate's to keep. The sum's correctness is not
protected: a node may put any vector in, and the aggregator may say any sum.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies.envelope import key_id
from policies.errors import OutOfTurn, SecondOpening, SecureSumError, UnknownPeer
from policies.fixedpoint import Words
from policies.masks import add_mask, new_private_key, public_key, subtract_mask
from policies.pairwise_checks import check_enough, check_split, open_letters
from policies.pairwise_messages import Agreement, Agreements, Answer, OneTimeKeys, Shared, Split
from policies.pairwise_round import PairwiseRound
from policies.pairwise_secrets import (
    keys_statement,
    pair_mask_key,
    seal_shares,
    seed_digest,
    self_mask_key,
    sign_split,
    verify_split,
)
from policies.shamir import SECRET_BYTES, split_secret


@dataclass(frozen=True, slots=True, repr=False)
class _Fresh:
    """Before anything was shared."""


@dataclass(frozen=True, slots=True, repr=False)
class _Sharing:
    """Shared; the secrets are still here. `own` are the shares that the node keeps itself."""

    keys: OneTimeKeys
    mask: X25519PrivateKey
    seed: bytes
    own: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, repr=False)
class _Masked:
    """Masked; the secrets are forgotten. By everybody who shared: keys, and shares of mask key and
    seed."""

    keys: Mapping[str, OneTimeKeys]
    shares: Mapping[str, tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, repr=False)
class _Agreed:
    """Bound to one split for ever."""

    masked: _Masked
    split: Split
    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _Gone:
    """Nothing is left to answer with."""


_FRESH: Final = _Fresh()


class PairwiseNode:
    """One node in one permit's round; a step that raises leaves it as it was.

    Args:
        terms: from the permit, whose place in the log was checked.
        participant: whose node.
        receipt_key: with which it signs.
        sealing_key: private half of its enrolled X25519 key.

    Raises:
        UnknownPeer: the participant is not in the cohort.
        SecureSumError: the cohort names other keys for it.
    """

    def __init__(
        self,
        terms: PairwiseRound,
        participant: str,
        *,
        receipt_key: Ed25519PrivateKey,
        sealing_key: X25519PrivateKey,
    ) -> None:
        peer = terms.peer(participant)
        if (key_id(receipt_key.public_key()), public_key(sealing_key)) != (peer.key, peer.sealing):
            raise SecureSumError(
                f"permit {terms.permit[:16]}…: expected the enrolled keys of {participant}, got "
                "others; a key that changed counts from the next permit"
            )
        self._terms = terms
        self._name = participant
        self._receipt_key = receipt_key
        self._sealing_key = sealing_key
        self._state: _Fresh | _Sharing | _Masked | _Agreed | _Gone = _FRESH

    def share(self) -> bytes:
        """Step 1: fresh secrets, and for each peer its shares of them.

        Raises:
            OutOfTurn: it shared before.
            MaskKeyError: a peer's enrolled key is of low order.
        """
        if not isinstance(self._state, _Fresh):
            raise self._out_of_turn("share once")
        mask, once = new_private_key(), new_private_key()
        seed = secrets.token_bytes(SECRET_BYTES)
        keys = self._signed_keys(mask, once, seed)
        count, threshold = len(self._terms.peers), self._terms.threshold
        of_mask = split_secret(mask.private_bytes_raw(), threshold=threshold, shares=count)
        of_seed = split_secret(seed, threshold=threshold, shares=count)
        shares = dict(zip(self._terms.names, zip(of_mask, of_seed, strict=True), strict=True))
        own = shares.pop(self._name)
        sealed = {
            name: seal_shares(
                self._terms, keys, name, b"".join(pair), once=once, enrolled=self._sealing_key
            )
            for name, pair in shares.items()
        }
        self._state = _Sharing(keys, mask, seed, own)
        return Shared(version=1, permit=self._terms.permit, keys=keys, shares=sealed).to_bytes()

    def check(self, letters: bytes) -> None:
        """Returns only if `mask` would take these letters; changes nothing. For before a use.

        Raises:
            as `mask`.
        """
        state = self._state
        if not isinstance(state, _Sharing):
            raise self._out_of_turn("mask once, after sharing")
        open_letters(self._terms, state.keys, state.own, letters, sealing_key=self._sealing_key)

    def mask(self, letters: bytes, words: Words) -> None:
        """Step 2: mask a vector in place, for everybody who shared.

        If the masking itself raises, the node's secrets are gone: it has dropped.

        Args:
            letters: what the others shared with this node.
            words: the encoded vector.

        Raises:
            OutOfTurn: before sharing, or again.
            TooFew: fewer than the threshold shared.
            DocumentError, WrongPermit, UnknownPeer, NotSigned, KeyRepeated, ShareNotOpened,
            ShareMalformed, MaskKeyError: what is wrong with the letters.
        """
        state = self._state
        if not isinstance(state, _Sharing):
            raise self._out_of_turn("mask once, after sharing")
        keys, shares = open_letters(
            self._terms, state.keys, state.own, letters, sealing_key=self._sealing_key
        )
        masks = {
            name: pair_mask_key(self._terms, state.mask, self._name, name, one.mask_key)
            for name, one in keys.items()
            if name != self._name
        }
        own = self_mask_key(self._terms, self._name, state.seed)
        # From here on the secrets are gone: no second vector can be masked with them.
        self._state = _Masked(keys, shares)
        add_mask(words, own)
        for name, key in masks.items():
            (add_mask if self._name < name else subtract_mask)(words, key)

    def agree(self, split: bytes) -> bytes:
        """Step 3: the signature on who survived and who dropped; the same split may be asked again.

        Raises:
            OutOfTurn: before masking.
            SecondOpening: it agreed to another.
            BothSharesAsked, UnknownPeer, TooFew, NotASurvivor, DocumentError, WrongPermit: what is
                wrong with it.
        """
        state = self._state
        if isinstance(state, _Masked):
            parsed = Split.parse(split, permit=self._terms.permit)
            check_split(self._terms, parsed, self._name, shared=state.keys)
            self._state = _Agreed(state, parsed, split)
        elif not isinstance(state, _Agreed):
            raise self._out_of_turn("agree after masking")
        elif split != state.data:
            raise SecondOpening(
                f"permit {self._terms.permit[:16]}…: expected the split that {self._name} agreed "
                "to, got another; what two splits open differs by single updates"
            )
        return Agreement(
            version=1,
            permit=self._terms.permit,
            participant=self._name,
            signature=sign_split(self._terms, split, self._receipt_key),
        ).to_bytes()

    def unmask(self, agreements: bytes) -> bytes:
        """Step 4: one share of one secret of each peer, once enough survivors agreed to the split.

        Raises:
            OutOfTurn: before agreeing.
            TooFew: fewer than the threshold agreed.
            UnknownPeer, NotSigned, DocumentError, WrongPermit: what is wrong with the agreements.
        """
        state = self._state
        if not isinstance(state, _Agreed):
            raise self._out_of_turn("unmask after agreeing")
        given = Agreements.parse(agreements, permit=self._terms.permit).signatures
        if others := set(given) - set(state.split.survivors):
            raise UnknownPeer(f"agreements: expected survivors' only, got one of {min(others)}")
        for name, signature in given.items():
            verify_split(self._terms, state.data, state.masked.keys[name], signature)
        check_enough(self._terms, len(given), "agreed to the split")
        shares = state.masked.shares
        return Answer(
            version=1,
            permit=self._terms.permit,
            participant=self._name,
            seeds={name: shares[name][1].hex() for name in state.split.survivors},
            mask_keys={name: shares[name][0].hex() for name in state.split.dropped},
        ).to_bytes()

    def forget(self) -> None:
        """Leave the round, as a withdrawal asks: every later step is refused."""
        self._state = _Gone()

    def _signed_keys(
        self, mask: X25519PrivateKey, once: X25519PrivateKey, seed: bytes
    ) -> OneTimeKeys:
        keys = OneTimeKeys(
            participant=self._name,
            receipt_key=self._receipt_key.public_key().public_bytes_raw().hex(),
            mask_key=public_key(mask),
            share_key=public_key(once),
            seed_digest=seed_digest(self._terms, self._name, seed),
            signature="0" * 128,
        )
        signature = self._receipt_key.sign(keys_statement(self._terms, keys))
        return keys.model_copy(update={"signature": signature.hex()})

    def _out_of_turn(self, expected: str) -> OutOfTurn:
        return OutOfTurn(
            f"permit {self._terms.permit[:16]}…: expected {self._name} to {expected}, got this step"
            f" when it {_STANDS[type(self._state)]}; start the round anew with a fresh permit"
        )


_STANDS: Final[Mapping[type[object], str]] = {
    _Fresh: "had shared nothing",
    _Sharing: "had shared",
    _Masked: "had masked",
    _Agreed: "had agreed",
    _Gone: "had left the round",
}
