"""A pairwise round in one process, message by message, so that tests can change each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies import pairwise_opening as opening
from policies.canonical import canonical_bytes
from policies.envelope import key_id
from policies.fixedpoint import Words, add_into, word_type, zeros
from policies.masks import public_key
from policies.pairwise import PairwiseNode
from policies.pairwise_messages import Answer, Shared
from policies.pairwise_round import PairwiseRound, Peer
from policies.privacy import WordBits

WORDS = 257
PERMIT = "5a" * 32


@dataclass
class PairwiseSite:
    """Members `node-00`, …; `restart` gives a node anew."""

    members: int = 4
    threshold: int = 3
    permit: str = PERMIT
    words: int = WORDS
    word_bits: WordBits = 32
    receipt_keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    sealing_keys: dict[str, X25519PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = [f"node-{number:02}" for number in range(self.members)]
        for name in self.names:
            self.receipt_keys.setdefault(name, Ed25519PrivateKey.generate())
            self.sealing_keys.setdefault(name, X25519PrivateKey.generate())
        self.terms = PairwiseRound(
            space="example.org/space",
            run="run-1",
            round=3,
            permit=self.permit,
            peers=tuple(
                Peer(
                    name,
                    key_id(self.receipt_keys[name].public_key()),
                    public_key(self.sealing_keys[name]),
                )
                for name in self.names
            ),
            threshold=self.threshold,
        )
        self.nodes = {name: self.node(name) for name in self.names}
        generator = np.random.default_rng(7)
        self.plain = {
            name: generator.integers(0, 2**self.word_bits, self.words, word_type(self.word_bits))
            for name in self.names
        }
        self.shared: dict[str, Shared] = {}
        self.sent: dict[str, Words] = {}

    def node(self, name: str) -> PairwiseNode:
        """A node that has just started."""
        return PairwiseNode(
            self.terms,
            name,
            receipt_key=self.receipt_keys[name],
            sealing_key=self.sealing_keys[name],
        )

    def share(self, names: Iterable[str] | None = None) -> None:
        """Step 1 of these, or of all."""
        for name in self.names if names is None else names:
            data = self.nodes[name].share()
            self.shared[name] = opening.verify_shared(self.terms, name, data)

    def letters(self) -> dict[str, bytes]:
        """What each is told then."""
        return opening.letters(self.terms, self.shared)

    def mask(self, names: Iterable[str] | None = None) -> None:
        """Step 2 of these, or of all who shared."""
        told = self.letters()
        for name in self.shared if names is None else names:
            words = self.plain[name].copy()
            self.nodes[name].mask(told[name], words)
            self.sent[name] = words

    def split(self, survivors: Collection[str] | None = None) -> bytes:
        """Who sent, and who did not; or what an aggregator that lies says of it."""
        return opening.split(self.terms, self.shared, self.sent if survivors is None else survivors)

    def agree(self, split: bytes, names: Iterable[str] | None = None) -> bytes:
        """Step 3 of these, or of all who sent."""
        return opening.agreements(
            self.terms,
            [
                opening.verify_agreement(
                    self.terms, self.shared, split, name, self.nodes[name].agree(split)
                )
                for name in (self.sent if names is None else names)
            ],
        )

    def answers(
        self, split: bytes, agreements: bytes, names: Iterable[str] | None = None
    ) -> dict[str, Answer]:
        """Step 4 of these, or of all who sent."""
        return {
            name: opening.verify_answer(
                self.terms, split, name, self.nodes[name].unmask(agreements)
            )
            for name in (self.sent if names is None else names)
        }

    def total(self) -> Words:
        """The sum of what was sent."""
        total = zeros(self.words, self.word_bits)
        for vector in self.sent.values():
            add_into(total, vector)
        return total

    def opened(self, answering: Iterable[str] | None = None) -> Words:
        """Steps 3 and 4, and the sum without masks."""
        split = self.split()
        answers = self.answers(split, self.agree(split), answering)
        secrets = opening.join(self.terms, self.shared, split, answers)
        total = self.total()
        opening.remove_masks(self.terms, self.shared, secrets, total)
        return total

    def expected(self, names: Iterable[str]) -> Words:
        """The plain sum of these."""
        total = zeros(self.words, self.word_bits)
        for name in names:
            add_into(total, self.plain[name])
        return total


def changed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A message as somebody else would have it, spelled as it should be."""
    value = json.loads(data)
    change(value)
    return canonical_bytes(value)


def flipped(digits: str) -> str:
    """The same hexadecimal digits but for the last."""
    return digits[:-1] + ("0" if digits[-1] != "0" else "1")
