"""Both secure sums keep the one contract; beyond it, what the pure consent-gated side refuses."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from secure_sum_contract import LEAST, NAMES, WORDS, SecureSumContract, Vectors

from bench.consent_sum import ConsentRound, MaskHolder, mask_once
from bench.secure_sum import ConsentSum, PairwiseSum, SecureSum
from policies.envelope import key_id
from policies.errors import MaskKeyError, OutOfTurn, TooFew, UnknownPeer
from policies.masks import new_private_key, public_key
from policies.pairwise_round import PairwiseRound, Peer
from policies.privacy import WordBits

PERMIT = "5a" * 32


def _consent(
    word_bits: WordBits = 32, names: tuple[str, ...] = NAMES, least: int = LEAST
) -> ConsentRound:
    return ConsentRound(
        space="example.org/space",
        permit=PERMIT,
        products={name: f"urn:{name}" for name in names},
        least=least,
        words=WORDS,
        word_bits=word_bits,
    )


class TestConsentSum(SecureSumContract):
    def make(
        self, word_bits: WordBits = 32, names: tuple[str, ...] = NAMES, least: int = LEAST
    ) -> SecureSum:
        return ConsentSum(_consent(word_bits, names, least))


class TestPairwiseSum(SecureSumContract):
    def make(
        self, word_bits: WordBits = 32, names: tuple[str, ...] = NAMES, least: int = LEAST
    ) -> SecureSum:
        receipt_keys = {name: Ed25519PrivateKey.generate() for name in names}
        sealing_keys = {name: X25519PrivateKey.generate() for name in names}
        peers = tuple(
            Peer(name, key_id(receipt_keys[name].public_key()), public_key(sealing_keys[name]))
            for name in names
        )
        return PairwiseSum(
            PairwiseRound("example.org/space", "run-1", 1, PERMIT, peers, least),
            receipt_keys=receipt_keys,
            sealing_keys=sealing_keys,
            words=WORDS,
            word_bits=word_bits,
        )

    def test_too_few_nodes_are_left_to_open(self) -> None:
        vectors, round_ = Vectors(32), self.make()
        for name in NAMES:
            round_.share(name)
        vectors.send(round_, NAMES)
        for name in NAMES[:2]:
            round_.leave(name)
        with pytest.raises(TooFew, match="agreed"):
            round_.open(vectors.sent)

    def test_nobody_shares_after_the_first_vector(self) -> None:
        vectors, round_ = Vectors(32), self.make()
        for name in NAMES[1:]:
            round_.share(name)
        vectors.send(round_, NAMES[1:2])
        with pytest.raises(OutOfTurn):
            round_.share(NAMES[0])
        with pytest.raises(OutOfTurn):
            round_.mask(NAMES[0], vectors.plain[NAMES[0]].copy())


@pytest.mark.parametrize("key", ["", "00" * 32, "01" + "00" * 31, "ff" * 32, "zz" * 32])
def test_keys_that_no_mask_can_be_made_with(key: str) -> None:
    holder = MaskHolder(_consent())
    with pytest.raises(MaskKeyError):
        holder.accept(NAMES[0], key)
    words = Vectors(32).plain[NAMES[0]].copy()
    with pytest.raises(MaskKeyError):
        mask_once(_consent(), NAMES[0], key, words)
    assert np.array_equal(words, Vectors(32).plain[NAMES[0]])


def test_a_receipt_counts_once_and_before_the_release() -> None:
    holder = MaskHolder(_consent())
    for name in NAMES[1:]:
        holder.accept(name, public_key(new_private_key()))
    with pytest.raises(OutOfTurn):
        holder.accept(NAMES[1], public_key(new_private_key()))
    with pytest.raises(UnknownPeer):
        holder.accept("stranger", public_key(new_private_key()))
    holder.release(NAMES[1:])
    with pytest.raises(OutOfTurn):
        holder.accept(NAMES[0], public_key(new_private_key()))


def test_a_forgotten_key_opens_nothing() -> None:
    holder = MaskHolder(_consent())
    for name in NAMES:
        holder.accept(name, public_key(new_private_key()))
    holder.forget()
    with pytest.raises(OutOfTurn):
        holder.release(NAMES)
    with pytest.raises(OutOfTurn):
        _ = holder.key


def test_another_governance_key_gives_noise() -> None:
    vectors, holder = Vectors(32), MaskHolder(_consent())
    other = public_key(new_private_key())
    total = np.zeros(WORDS, np.uint32)
    for name in NAMES:
        words = vectors.plain[name].copy()
        holder.accept(name, mask_once(_consent(), name, other, words))
        total += words
    total -= holder.release(NAMES)
    assert np.mean(total == vectors.sum(NAMES)) < 0.02


def test_the_private_key_stands_in_no_text() -> None:
    assert "X25519" not in repr(MaskHolder(_consent()))
