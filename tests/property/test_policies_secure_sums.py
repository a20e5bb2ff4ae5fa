"""Whatever cohort, dropouts and vectors: the opened sum is the plain one, or nothing is opened."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.consent_sum import ConsentRound
from bench.secure_sum import ConsentSum, PairwiseSum, SecureSum
from policies.envelope import key_id
from policies.errors import PolicyError, TooFew
from policies.fixedpoint import Words, add_into, word_type, zeros
from policies.masks import public_key
from policies.pairwise_round import PairwiseRound, Peer
from policies.privacy import WordBits

MOST = 9
NAMES = [f"node-{number}" for number in range(MOST)]
RECEIPT_KEYS = {name: Ed25519PrivateKey.generate() for name in NAMES}
SEALING_KEYS = {name: X25519PrivateKey.generate() for name in NAMES}
PERMIT = "5a" * 32


def _round(kind: str, names: list[str], least: int, words: int, word_bits: WordBits) -> SecureSum:
    if kind == "consent":
        products = {name: f"urn:{name}" for name in names}
        return ConsentSum(ConsentRound("space", PERMIT, products, least, words, word_bits))
    peers = tuple(
        Peer(name, key_id(RECEIPT_KEYS[name].public_key()), public_key(SEALING_KEYS[name]))
        for name in names
    )
    return PairwiseSum(
        PairwiseRound("space", "run-1", 1, PERMIT, peers, least),
        receipt_keys=RECEIPT_KEYS,
        sealing_keys=SEALING_KEYS,
        words=words,
        word_bits=word_bits,
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_opened_sum_is_the_plain_one_or_nothing_is_opened(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["consent", "pairwise"]))
    members = data.draw(st.integers(2, MOST))
    names = NAMES[:members]
    least = data.draw(st.integers(members // 2 + 1, members).filter(lambda one: one > 1))
    word_bits: WordBits = data.draw(st.sampled_from([32, 64]))
    words = data.draw(st.integers(1, 70))
    # How far each one comes: to nothing, sharing, sending, or the end.
    until = {name: data.draw(st.sampled_from([0, 1, 2, 3, 3, 3])) for name in names}
    round_ = _round(kind, names, least, words, word_bits)

    for name in names:
        if until[name] > 0:
            round_.share(name)
    sent: dict[str, Words] = {}
    total = zeros(words, word_bits)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for name in (one for one in names if until[one] > 1):
        plain = generator.integers(0, 2**word_bits, words, word_type(word_bits))
        masked = plain.copy()
        with contextlib.suppress(TooFew):  # pairwise masks cannot start
            round_.mask(name, masked)
            sent[name] = masked
            add_into(total, plain)
    for name in (one for one in names if until[one] == 2):
        round_.leave(name)

    helping = [name for name in sent if until[name] == 3]
    possible = len(sent) >= least and (kind == "consent" or len(helping) >= least)
    if possible:
        assert np.array_equal(round_.open(sent), total)
    else:
        with pytest.raises(PolicyError):
            round_.open(sent)
