"""The head of a secure sum: integers that add up exactly, limb by limb."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

import pytest

from policies.errors import EncodingError
from policies.wide_integers import (
    LIMBS,
    MOST_MEMBERS,
    Head,
    decode_head,
    encode_head,
    head_words,
)

METRICS = ("accuracy", "loss")
FIGURE_BITS = 20
BLIND = bytes(range(16))


def test_the_limbs_are_those_of_the_worked_example() -> None:
    head = Head(0x1_0002, 3, {"loss": (2, Decimal("-0.5"))})
    limbs = encode_head(head, METRICS, BLIND)
    assert len(limbs) == head_words(METRICS) == 6 * LIMBS + 4
    assert limbs[:LIMBS] == [2, 1, 0, 0, 0, 0]
    assert limbs[LIMBS : 2 * LIMBS] == [3, 0, 0, 0, 0, 0]
    assert limbs[2 * LIMBS : 4 * LIMBS] == [0] * (2 * LIMBS)  # no accuracy
    assert limbs[4 * LIMBS : 5 * LIMBS] == [2, 0, 0, 0, 0, 0]
    # -0.5 * 2 * 2^20 = -2^20, modulo 2^96.
    assert limbs[5 * LIMBS : 6 * LIMBS] == [0, 0xFFF0, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF]


def test_sums_of_ten_thousand_of_the_largest_are_exact_and_fit_into_a_word() -> None:
    largest = Context(prec=60).divide(Decimal((1 << 81) - 1), Decimal(1 << FIGURE_BITS))
    head = Head(2**53 - 1, 2**40, {"accuracy": (1, -largest), "loss": (2**60, Decimal(1))})
    summed = [limb * MOST_MEMBERS for limb in encode_head(head, METRICS, BLIND)]
    assert max(summed[:-4]) < 2**31
    total = decode_head(summed, METRICS, MOST_MEMBERS)
    assert total.rows_used == MOST_MEMBERS * (2**53 - 1)
    assert total.rows_held_back == MOST_MEMBERS * 2**40
    assert total.figures["accuracy"] == (MOST_MEMBERS, -MOST_MEMBERS * Fraction(largest))
    assert total.figures["loss"] == (MOST_MEMBERS * 2**60, Fraction(MOST_MEMBERS * 2**60))


@pytest.mark.parametrize(
    ("rows", "value", "mean"),
    [
        (1, "0.25", "0.25"),
        (3, "0.25", "0.25"),
        (1, "-12", "-12"),
        (1, "0", "0"),
        (1000, "1000000000", "1000000000"),
        (1, "0.000001", "0.000000953674316406"),
    ],
)
def test_a_mean_is_a_plain_decimal_of_twelve_digits(rows: int, value: str, mean: str) -> None:
    summed = encode_head(Head(rows, 0, {"loss": (rows, Decimal(value))}), METRICS, BLIND)
    means = decode_head(summed, METRICS, 1).means()
    assert means == {"loss": mean}  # nobody had an accuracy


@pytest.mark.parametrize("blind", [b"", bytes(15), bytes(17), bytes(32)])
def test_a_blind_of_another_length_is_refused(blind: bytes) -> None:
    with pytest.raises(EncodingError, match=f"blind: expected 16 bytes, got {len(blind)}"):
        encode_head(Head(0, 0, {}), METRICS, blind)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (Head(-1, 0, {}), "rows used: expected no negative"),
        (Head(0, -1, {}), "rows held back: expected no negative"),
        (Head(0, 0, {"loss": (-1, Decimal(1))}), "figure loss: expected no negative"),
        (Head(0, 0, {"other": (1, Decimal(1))}), "'other' as well"),
        (Head(0, 0, {"loss": (1, Decimal("NaN"))}), "figure loss: expected a finite"),
        (Head(0, 0, {"loss": (1, Decimal("-Infinity"))}), "figure loss: expected a finite"),
        (Head(0, 0, {"loss": (1, Decimal("1e999999"))}), "magnitude of 1e-30 to 1e30"),
        (Head(0, 0, {"loss": (1, Decimal("1e-999999"))}), "magnitude of 1e-30 to 1e30"),
        (Head(0, 0, {"loss": (2**53, Decimal(10**9))}), "figure loss: expected a number below"),
        (Head(1 << 81, 0, {}), "rows used: expected a number below"),
    ],
)
def test_what_does_not_add_up_exactly_is_not_encoded(head: Head, says: str) -> None:
    with pytest.raises(EncodingError, match=says):
        encode_head(head, METRICS, BLIND)


GOOD = encode_head(Head(5, 1, {}), METRICS, BLIND)
MINUS_ONE = [0xFFFF] * LIMBS


@pytest.mark.parametrize(
    ("limbs", "members", "says"),
    [
        (GOOD[:-1], 1, "expected 40 words, got 39"),
        ([*GOOD, 0], 1, "expected 40 words, got 41"),
        (GOOD, 0, "expected 1 to 10000 members"),
        (GOOD, MOST_MEMBERS + 1, "expected 1 to 10000 members"),
        ([0x1_0000, *GOOD[1:]], 1, "a limb that none has"),
        ([-1, *GOOD[1:]], 1, "a limb that none has"),
        ([*MINUS_ONE, *GOOD[LIMBS:]], 1, "no negative number of rows"),
        ([*GOOD[:LIMBS], *MINUS_ONE, *GOOD[2 * LIMBS :]], 1, "no negative number of rows"),
        ([*GOOD[: 2 * LIMBS], *MINUS_ONE, *GOOD[3 * LIMBS :]], 1, "no negative number of rows"),
    ],
)
def test_what_is_no_sum_of_so_many_heads_is_refused(
    limbs: list[int], members: int, says: str
) -> None:
    with pytest.raises(EncodingError, match=says):
        decode_head(limbs, METRICS, members)
