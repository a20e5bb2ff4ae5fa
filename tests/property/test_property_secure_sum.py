"""For all cohorts, dropouts, weights: the opened sum is the plain fixed-point sum, bit for bit."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import EncodingError
from policies.fixedpoint import Layout, choose_scale, decode, encode
from policies.flattening import flatten, unflatten
from policies.masks import add_mask, mask_key, new_private_key, public_key, sum_masks
from policies.privacy import WordBits
from policies.tensors import Tensors, float_count
from policies.wide_integers import Head, decode_head, encode_head
from policies.words import Words, add_into, subtract_from, zeros

METRICS = ("accuracy", "loss")
PERMIT = hashlib.sha256(b"permit").hexdigest()


@dataclass(frozen=True, slots=True)
class Member:
    """An enterprise of the cohort: what it may use at most, what it used, what came of it."""

    name: str
    max_rows: int
    rows: int
    update: Tensors
    figures: dict[str, Decimal]
    stays: bool


@dataclass(frozen=True, slots=True)
class Round:
    """One round over a cohort, and how it is encoded."""

    incoming: Tensors
    clip: Decimal
    members: list[Member]
    word_bits: WordBits

    @property
    def weight(self) -> int:
        return sum(member.max_rows for member in self.members)

    @property
    def layout(self) -> Layout:
        scale_bits = choose_scale(
            bound=self.clip, members=len(self.members), word_bits=self.word_bits
        )
        return Layout(METRICS, float_count(self.incoming), self.word_bits, scale_bits)

    def vector(self, member: Member) -> Words:
        head = Head(
            member.rows, 1, {name: (member.rows, value) for name, value in member.figures.items()}
        )
        body = flatten(member.update, self.incoming, member.rows / self.weight)
        bound = Fraction(self.clip) * Fraction(member.rows or 1, self.weight)
        return encode(self.layout, head, body, bound=bound, blind=os.urandom(16))


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    shapes = draw(
        st.lists(st.sampled_from([(), (1,), (3,), (2, 2), (0, 2)]), min_size=1, max_size=3)
    )
    dtype = draw(st.sampled_from(["float32", "float64"]))
    clip = draw(st.decimals("0.001", "1000", places=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    incoming: Tensors = {
        f"w{at}": rng.normal(size=shape).astype(dtype) for at, shape in enumerate(shapes)
    }
    incoming["steps"] = np.array([5], dtype=np.int64)
    members = []
    for at in range(draw(st.integers(1, 6))):
        max_rows = draw(st.integers(1, 2**40))
        direction = rng.normal(size=float_count(incoming))
        # Of float32, the model's rounding may take a number further than it was moved.
        far = draw(st.sampled_from([0.0, 0.5, 0.99])) * float(clip)
        update = unflatten(incoming, direction * (far / (float(np.linalg.norm(direction)) or 1)))
        figures = draw(
            st.dictionaries(
                st.sampled_from(METRICS), st.decimals("-1000", "1000", places=4), max_size=2
            )
        )
        rows = draw(st.integers(0, max_rows))
        members.append(Member(f"bank-{at}", max_rows, rows, update, figures, draw(st.booleans())))
    return Round(incoming, clip, members, draw(st.sampled_from([32, 64])))


@settings(max_examples=120, deadline=None)
@given(rounds())
def test_the_opened_sum_is_the_plain_sum_of_those_that_stayed(one: Round) -> None:
    layout = one.layout
    governance = new_private_key()
    keys: dict[str, bytes] = {}
    aggregate, plain = zeros(layout.words, layout.word_bits), zeros(layout.words, layout.word_bits)
    rest = [member for member in one.members if member.stays]
    for member in one.members:
        vector = one.vector(member)
        node = new_private_key()
        sent = vector.copy()
        add_mask(sent, key_of(node, public_key(governance), member))
        keys[member.name] = key_of(governance, public_key(node), member)
        if member.stays:
            add_into(aggregate, sent)
            add_into(plain, vector)
    if not rest:
        return
    sums = sum_masks([keys[member.name] for member in rest], layout.words, layout.word_bits)
    subtract_from(aggregate, sums)
    assert aggregate.tobytes() == plain.tobytes()
    check_decoded(one, rest, aggregate)


def key_of(private: X25519PrivateKey, public: str, member: Member) -> bytes:
    return mask_key(
        private, public, permit=PERMIT, space="city", participant=member.name, product="p"
    )


def check_decoded(one: Round, rest: list[Member], opened: Words) -> None:
    """What was opened is the sum of integers as Python computes it, and close to the real one."""
    layout = one.layout
    head, body = decode(layout, opened, len(rest))
    assert head.rows_used == sum(member.rows for member in rest)
    assert head.rows_held_back == len(rest)
    for name in METRICS:
        having = [member for member in rest if name in member.figures]
        rows, total = head.figures[name]
        assert rows == sum(member.rows for member in having)
        exact = sum(Fraction(member.figures[name]) * member.rows for member in having)
        assert abs(total - exact) <= Fraction(len(having), 2**21)
    wanted = [0] * layout.floats
    for member in rest:
        chunks = flatten(member.update, one.incoming, member.rows / one.weight)
        row = [number for chunk in chunks for number in chunk.tolist()]
        # round() of an exact fraction is half to even as well.
        for at, number in enumerate(row):
            wanted[at] += round(Fraction(number) * 2**layout.scale_bits)
    assert body.tolist() == [total / 2**layout.scale_bits for total in wanted]
    assert all(abs(total) < 2 ** (layout.word_bits - 1) for total in wanted)


@settings(max_examples=60, deadline=None)
@given(rounds().filter(lambda one: len(one.members) > 1), st.data())
def test_masks_of_another_cohort_open_nothing(one: Round, data: st.DataObject) -> None:
    """One mask too few, one too many, or another's: the head is not that of a sum, or all noise."""
    layout = one.layout
    keys = [bytes([at]) * 16 for at in range(len(one.members))]
    aggregate, plain = zeros(layout.words, layout.word_bits), zeros(layout.words, layout.word_bits)
    for member, key in zip(one.members, keys, strict=True):
        vector = one.vector(member)
        add_into(plain, vector)
        add_mask(vector, key)
        add_into(aggregate, vector)
    at = data.draw(st.integers(0, len(keys) - 1))
    wrong = data.draw(
        st.sampled_from(
            [
                keys[:at] + keys[at + 1 :],
                [*keys, b"\xff" * 16],
                [*keys[:at], b"\xff" * 16, *keys[at + 1 :]],
            ]
        )
    )
    subtract_from(aggregate, sum_masks(wrong, layout.words, layout.word_bits))
    assert aggregate.tobytes() != plain.tobytes()
    with pytest.raises(EncodingError):
        decode(layout, aggregate, len(one.members))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([32, 64]),
    st.integers(1, 50),
    st.decimals("0.001", "100", places=3).filter(bool),
    st.data(),
)
def test_a_wrong_scale_is_refused_or_misread_never_an_overflow(
    word_bits: WordBits, members: int, bound: Decimal, data: st.DataObject
) -> None:
    """A node that takes another scale than the permit's cannot pass the bound in words."""
    scale_bits = choose_scale(bound=bound, members=members, word_bits=word_bits)
    wrong = data.draw(st.integers(0, 62))
    layout = Layout((), 1, word_bits, wrong)
    share = Fraction(bound) / members
    try:
        vector = encode(
            layout, Head(0, 0, {}), [np.array([float(share)])], bound=share, blind=bytes(16)
        )
    except EncodingError:
        assert wrong > scale_bits
        return
    assert abs(int(vector[-1:].view(f"<i{word_bits // 8}")[0])) < 2 ** (word_bits - 1)


WIDE = st.integers(0, 2**81 - 1)
VALUES = st.decimals("-1e9", "1e9", places=6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(WIDE, WIDE, st.integers(0, 2**30), VALUES), min_size=1, max_size=30))
def test_sums_of_heads_are_exact_whatever_carries(
    rows: list[tuple[int, int, int, Decimal]],
) -> None:
    heads = [Head(used, held, {"loss": (count, value)}) for used, held, count, value in rows]
    encoded = [encode_head(head, METRICS, bytes(16)) for head in heads]
    total = decode_head([sum(limbs) for limbs in zip(*encoded, strict=True)], METRICS, len(heads))
    assert total.rows_used == sum(head.rows_used for head in heads)
    assert total.rows_held_back == sum(head.rows_held_back for head in heads)
    assert total.figures["accuracy"] == (0, Fraction(0))
    assert total.figures["loss"] == (
        sum(count for _, _, count, _ in rows),
        sum(Fraction(round(Fraction(value) * count * 2**20), 2**20) for *_, count, value in rows),
    )
