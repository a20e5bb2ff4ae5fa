"""One round of a consent-gated secure sum, played from a seed, and what each operator sees of it.

Every message of the round that depends on a node's numbers is in a view, in the bytes that travel.
What else they see (permit, rows in receipts, time) is the same whatever the numbers are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies.canonical import sha256_hex
from policies.fixedpoint import (
    Floats,
    Layout,
    Words,
    add_into,
    choose_scale,
    encode,
    subtract_from,
    vector_bytes,
    vector_from_bytes,
    zeros,
)
from policies.masks import add_mask, mask_key, public_key, sum_masks
from policies.wide_integers import Head

PERMIT = sha256_hex(b"permit")
ROWS = 100
CLIP = Decimal(1)
NUMBERS = 16


@dataclass(frozen=True, slots=True)
class World:
    """What the nodes hold: by participant, its update (within `CLIP`) and its loss.

    Attributes:
        released: those whose masks are summed; the others sent, and dropped out.
    """

    updates: Mapping[str, Floats]
    losses: Mapping[str, Decimal]
    released: Sequence[str]

    @property
    def layout(self) -> Layout:
        """Of this world's vectors."""
        scale_bits = choose_scale(bound=CLIP, members=len(self.updates), word_bits=32)
        return Layout(("loss",), NUMBERS, 32, scale_bits)

    def vector(self, name: str, blind: bytes) -> Words:
        """What the participant sends, without its mask."""
        return encode(
            self.layout,
            Head(ROWS, 0, {"loss": (ROWS, self.losses[name])}),
            [self.updates[name] / len(self.updates)],
            bound=CLIP / len(self.updates),
            blind=blind,
        )

    def sum(self) -> Words:
        """The plain sum of what is released, without blinds."""
        total = zeros(self.layout.words, 32)
        for name in self.released:
            add_into(total, self.vector(name, bytes(16)))
        return total


@dataclass(frozen=True, slots=True)
class AggregatorView:
    """What the ServerApp sees.

    Attributes:
        key: governance's public key, from the permit.
        mask_keys, vectors: what each participant sent, in the receipt and beside it.
        masks: the sum of the masks of the released.
    """

    key: str
    mask_keys: dict[str, str]
    vectors: dict[str, bytes]
    masks: bytes

    def words(self, world: World) -> dict[str, Words]:
        """The vectors, and under "masks" their released sum."""
        named = {**self.vectors, "masks": self.masks}
        return {name: vector_from_bytes(data, world.layout) for name, data in named.items()}


@dataclass(frozen=True, slots=True)
class GovernanceView:
    """What governance sees: its private key, and each receipt's mask key and update digest."""

    private: X25519PrivateKey
    mask_keys: dict[str, str]
    digests: dict[str, str]

    def mask(self, name: str, words: int) -> Words:
        """A participant's mask, which governance alone can compute besides its node."""
        return sum_masks([_key(self.private, self.mask_keys[name], name)], words, 32)


@dataclass(frozen=True, slots=True)
class Played:
    """Both views of one round."""

    aggregator: AggregatorView
    governance: GovernanceView


def play(world: World, seed: str, *, masked: bool = True, blinded: bool = True) -> Played:
    """One round with the randomness of this seed.

    Args:
        masked, blinded: False leaves masks or blinds out, to see whether a test would notice.
    """
    random = _randomness(seed)
    governance = X25519PrivateKey.from_private_bytes(next(random))
    mask_keys: dict[str, str] = {}
    vectors: dict[str, bytes] = {}
    total = zeros(world.layout.words, 32)
    for name in world.updates:
        node = X25519PrivateKey.from_private_bytes(next(random))
        blind = next(random)[:16]
        vector = world.vector(name, blind if blinded else bytes(16))
        key = _key(node, public_key(governance), name)
        if masked:
            add_mask(vector, key)
            if name in world.released:
                add_into(total, sum_masks([key], world.layout.words, 32))
        mask_keys[name] = public_key(node)
        vectors[name] = vector_bytes(vector)
    return Played(
        AggregatorView(public_key(governance), mask_keys, vectors, vector_bytes(total)),
        GovernanceView(
            governance, mask_keys, {name: sha256_hex(data) for name, data in vectors.items()}
        ),
    )


def opened(view: AggregatorView, world: World) -> Words:
    """The sum as the aggregator opens it."""
    words = view.words(world)
    total = zeros(world.layout.words, 32)
    for name in world.released:
        add_into(total, words[name])
    subtract_from(total, words["masks"])
    return total


def _key(private: X25519PrivateKey, public: str, name: str) -> bytes:
    return mask_key(
        private, public, permit=PERMIT, space="city", participant=name, product=f"{name}:loans"
    )


def _randomness(seed: str) -> Iterator[bytes]:
    """32 bytes after 32 bytes, the same ones for one seed."""
    count = 0
    while True:
        yield hashlib.sha256(f"{seed}/{count}".encode()).digest()
        count += 1


def updates(seed: int, names: Sequence[str]) -> dict[str, Floats]:
    """Updates within the clip norm."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(size=NUMBERS) for name in names}
    return {name: row / (1.01 * float(np.linalg.norm(row))) for name, row in drawn.items()}
