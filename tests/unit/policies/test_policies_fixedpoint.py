"""Fixed point: exact sums up to the very edge, and a refusal of whatever would pass it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from policies.errors import EncodingError
from policies.fixedpoint import (
    CHUNK,
    Floats,
    Layout,
    check_scale,
    choose_scale,
    decode,
    encode,
    encode_integers,
    to_integers,
    vector_bytes,
    vector_from_bytes,
)
from policies.privacy import WordBits
from policies.wide_integers import Head
from policies.words import add_into, subtract_from, zeros

NOBODY = Head(0, 0, {})
BLIND = bytes(range(16))
ONE = Decimal(1)
BOTH: list[WordBits] = [32, 64]
both_sizes = pytest.mark.parametrize("word_bits", BOTH)


def layout(floats: int, word_bits: WordBits = 32, scale_bits: int = 8) -> Layout:
    return Layout((), floats, word_bits, scale_bits)


def numbers(*values: float) -> list[Floats]:
    return [np.array(values, dtype=np.float64)]


@pytest.mark.parametrize(
    ("bound", "members", "word_bits", "scale_bits"),
    [
        ("1", 1, 32, 30),
        ("1", 10_000, 32, 30),
        ("2", 10, 32, 29),
        ("1.9999", 10, 32, 30),
        ("0.001", 10, 32, 40),
        ("1e-9", 10, 32, 60),
        ("1e-20", 10, 32, 62),
        ("2147483000", 10, 32, 0),
        ("1", 10, 64, 62),
        ("5", 10, 64, 60),
    ],
)
def test_the_scale_is_the_largest_without_overflow(
    bound: str, members: int, word_bits: WordBits, scale_bits: int
) -> None:
    limit = Decimal(bound)
    assert choose_scale(bound=limit, members=members, word_bits=word_bits) == scale_bits
    room = 2 ** (word_bits - 1)
    assert Fraction(limit) * 2**scale_bits + members < room
    assert scale_bits == 62 or Fraction(limit) * 2 ** (scale_bits + 1) + members >= room
    check_scale(bound=limit, members=members, word_bits=word_bits, scale_bits=scale_bits)
    check_scale(bound=limit, members=members, word_bits=word_bits, scale_bits=0)
    for wrong in (scale_bits + 1, -1):
        with pytest.raises(EncodingError, match=f"got {wrong};"):
            check_scale(bound=limit, members=members, word_bits=word_bits, scale_bits=wrong)


@pytest.mark.parametrize(
    ("bound", "members", "says"),
    [
        ("2147483648", 1, "lower clip_norm"),
        ("2147483647", 1, "lower clip_norm"),
        ("0", 1, "-60|1e-60|above 0"),
        ("-1", 1, "above 0"),
        ("NaN", 1, "1e-60"),
        ("Infinity", 1, "1e-60"),
        ("1e999999", 1, "1e-60"),
        ("1e-999999", 1, "1e-60"),
        ("1", 0, "expected 1 to 10000"),
        ("1", 10_001, "expected 1 to 10000"),
    ],
)
def test_no_scale_for_what_cannot_be_bounded(bound: str, members: int, says: str) -> None:
    with pytest.raises(EncodingError, match=says):
        choose_scale(bound=Decimal(bound), members=members, word_bits=32)


def test_the_words_are_those_of_the_worked_example() -> None:
    plan = layout(4)
    vector = encode(plan, Head(1, 2, {}), numbers(0.5, -0.5, 1, -1), bound=ONE, blind=BLIND)
    assert vector_bytes(vector).hex(" ", 4) == (
        "01000000 00000000 00000000 00000000 00000000 00000000 "
        "02000000 00000000 00000000 00000000 00000000 00000000 "
        "00010203 04050607 08090a0b 0c0d0e0f "
        "80000000 80ffffff 00010000 00ffffff"
    )
    head, body = decode(plan, vector, 1)
    assert (head.rows_used, head.rows_held_back, head.figures) == (1, 2, {})
    assert body.tolist() == [0.5, -0.5, 1, -1]


@both_sizes
def test_numbers_are_rounded_half_to_even(word_bits: WordBits) -> None:
    plan = layout(6, word_bits, scale_bits=0)
    vector = encode(
        plan,
        NOBODY,
        numbers(0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994),
        bound=3 * ONE,
        blind=BLIND,
    )
    assert decode(plan, vector, 1)[1].tolist() == [0, 2, 2, 0, -2, 0]


@pytest.mark.parametrize(
    ("floats", "word_bits", "words", "size_bytes"),
    [(0, 32, 28, 112), (5, 32, 33, 132), (0, 64, 28, 224), (5, 64, 33, 264)],
)
def test_a_layout_counts(floats: int, word_bits: WordBits, words: int, size_bytes: int) -> None:
    plan = Layout(("loss",), floats, word_bits, 8)
    assert (plan.head_words, plan.words, plan.size_bytes) == (28, words, size_bytes)


@pytest.mark.parametrize(
    ("metrics", "floats", "word_bits", "scale_bits", "says"),
    [
        (("b", "a"), 1, 32, 8, "ascending order"),
        (("a", "a"), 1, 32, 8, "each once"),
        ((), 1, 16, 8, "words of 32 or 64 bits, got 16"),
        ((), 1, 32, 63, "bits of scale, got 63"),
        ((), 1, 32, -1, "bits of scale, got -1"),
        ((), -1, 32, 8, "numbers, got -1"),
        ((), 1 << 28, 32, 8, "numbers, got 268435456"),
    ],
)
def test_a_layout_that_cannot_be_summed_is_refused(
    metrics: tuple[str, ...], floats: int, word_bits: WordBits, scale_bits: int, says: str
) -> None:
    with pytest.raises(EncodingError, match=says):
        Layout(metrics, floats, word_bits, scale_bits)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 1e308, 1.02, -1.02, 2.0**52, -(2.0**31)]
)
@pytest.mark.parametrize("place", [0, CHUNK, 2 * CHUNK])
@both_sizes
def test_what_is_not_finite_or_exceeds_the_bound_is_refused_and_not_told(
    value: float, place: int, word_bits: WordBits
) -> None:
    body = np.zeros(2 * CHUNK + 1)
    body[place] = value
    with pytest.raises(EncodingError, match="within the bound") as refusal:
        encode(layout(body.size, word_bits), NOBODY, [body], bound=ONE, blind=BLIND)
    assert repr(value) not in str(refusal.value)
    with pytest.raises(EncodingError, match="within the bound"):
        list(to_integers(layout(body.size, word_bits), [body], bound=ONE))


@pytest.mark.parametrize("sizes", [[], [1], [4], [2, 2], [CHUNK]])
@both_sizes
def test_fewer_or_more_numbers_than_the_layout_has_are_refused(
    sizes: list[int], word_bits: WordBits
) -> None:
    plan = layout(3, word_bits)
    with pytest.raises(EncodingError, match="body: expected 3 numbers"):
        encode(plan, NOBODY, [np.zeros(size) for size in sizes], bound=ONE, blind=BLIND)
    with pytest.raises(EncodingError, match="body: expected 3 numbers"):
        encode_integers(
            plan, NOBODY, [np.zeros(size, np.int64) for size in sizes], bound=ONE, blind=BLIND
        )


@both_sizes
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("members", [1, 2, 7, 100])
@pytest.mark.parametrize("bound", ["1", "0.3", "1.99999999", "123456.789"])
def test_a_sum_at_the_very_edge_is_exact(
    bound: str, members: int, sign: int, word_bits: WordBits
) -> None:
    """Each member at its whole share, and every integer at the last that is not refused."""
    total, share = Decimal(bound), Fraction(bound) / members
    scale_bits = choose_scale(bound=total, members=members, word_bits=word_bits)
    plan = layout(1, word_bits, scale_bits)
    vector = encode(plan, NOBODY, numbers(sign * float(share)), bound=share, blind=BLIND)
    summed = zeros(plan.words, word_bits)
    for _ in range(members):
        add_into(summed, vector)
    exact = int(vector[-1:].view(f"<i{word_bits // 8}")[0]) * members
    assert int(summed[-1:].view(f"<i{word_bits // 8}")[0]) == exact
    assert decode(plan, summed, members)[1][0] == pytest.approx(sign * float(total))

    last = last_accepted(plan, share)
    assert abs(last * members) < 2 ** (word_bits - 1)
    assert share * 2**scale_bits <= last <= share * 2**scale_bits * (1 + Fraction(2) ** -50) + 1
    with pytest.raises(EncodingError, match="within the bound"):
        integers(plan, sign * (last + 1), share)


def integers(plan: Layout, value: int, bound: Fraction) -> None:
    encode_integers(plan, NOBODY, [np.array([value], dtype=np.int64)], bound=bound, blind=BLIND)


def last_accepted(plan: Layout, bound: Fraction) -> int:
    """By halving: the largest integer that is not refused."""
    low, high = 0, 2**63 - 1
    while low + 1 < high:
        middle = (low + high) // 2
        try:
            integers(plan, middle, bound)
        except EncodingError:
            high = middle
        else:
            low = middle
    return low


def test_a_bound_that_the_words_cannot_hold_is_refused() -> None:
    with pytest.raises(EncodingError, match="fits into words of 32 bits at 30 bits"):
        encode(layout(1, 32, 30), NOBODY, numbers(0), bound=Decimal(2), blind=BLIND)


@both_sizes
def test_integers_are_the_same_words_as_numbers(word_bits: WordBits) -> None:
    rng = np.random.default_rng(7)
    body = rng.normal(scale=0.2, size=2 * CHUNK + 5).clip(-1, 1)
    plan = layout(body.size, word_bits, scale_bits=20)
    parts = list(to_integers(plan, [body], bound=ONE))
    assert all(part.dtype == np.int64 for part in parts)
    assert np.array_equal(
        encode_integers(plan, NOBODY, parts, bound=ONE, blind=BLIND),
        encode(plan, NOBODY, [body], bound=ONE, blind=BLIND),
    )


@both_sizes
def test_the_blind_changes_no_sum(word_bits: WordBits) -> None:
    plan = layout(1, word_bits)
    total = zeros(plan.words, word_bits)
    for blind in (BLIND, b"\xff" * 16):
        add_into(total, encode(plan, Head(1, 0, {}), numbers(0.25), bound=ONE, blind=blind))
    head, body = decode(plan, total, 2)
    assert (head.rows_used, head.rows_held_back, body.tolist()) == (2, 0, [0.5])


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"", lambda data: data + data],
)
@both_sizes
def test_a_vector_of_another_length_is_refused(
    change: Callable[[bytes], bytes], word_bits: WordBits
) -> None:
    plan = layout(3, word_bits)
    data = vector_bytes(encode(plan, NOBODY, numbers(0, 1, -1), bound=ONE, blind=BLIND))
    assert vector_bytes(vector_from_bytes(data, plan)) == data
    with pytest.raises(EncodingError, match="vector: expected 19 words"):
        vector_from_bytes(change(data), plan)


def test_vectors_of_another_kind_are_not_added() -> None:
    total, plan = zeros(19, 32), layout(3)
    for other in (zeros(18, 32), zeros(19, 64), zeros(19, 32).view("<i4"), total.reshape(19, 1)):
        with pytest.raises(EncodingError, match="expected 19 words of 32 bits"):
            add_into(total, other)
        with pytest.raises(EncodingError, match="expected 19 words of 32 bits"):
            subtract_from(total, other)
        with pytest.raises(EncodingError, match="expected 19 words of 32 bits"):
            decode(plan, other, 1)


@both_sizes
def test_words_wrap_around_without_a_warning(word_bits: WordBits) -> None:
    total = zeros(2, word_bits)
    subtract_from(total, np.ones(2, total.dtype))
    assert total.tolist() == [2**word_bits - 1] * 2
    add_into(total, np.ones(2, total.dtype))
    assert total.tolist() == [0, 0]
