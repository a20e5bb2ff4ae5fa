"""How much noise: shares, sums of shares, and contributions within the norm as integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.gaussian import Floats, Integers
from policies.noise import (
    LEAST_SIGMA,
    gaussian,
    integer_sensitivity,
    rounded_within,
    share_sigma,
    sum_excess,
    sum_sigma,
)

SEED = bytes(range(32))


@pytest.mark.parametrize(
    ("noise", "clip", "scale_bits", "wanted"),
    [
        ("1", "1", 20, math.sqrt(2.0**40 + 4)),
        ("0.5", "4", 10, math.sqrt(2.0**22 + 4)),
        ("3.25", "0.1", 0, math.sqrt(0.325**2 + 4)),
    ],
)
def test_noise_of_a_sum(noise: str, clip: str, scale_bits: int, wanted: float) -> None:
    found = sum_sigma(noise, clip, scale_bits)
    assert found == pytest.approx(wanted, rel=1e-15)
    # Never less than stated, whatever a float can hold.
    wanted_squared = (Fraction(noise) * integer_sensitivity(clip, scale_bits)) ** 2 + 4
    assert Fraction(found) ** 2 >= wanted_squared


@pytest.mark.parametrize(("members", "tolerated"), [(1, 0), (10, 0), (10, 3), (10_000, 4_999)])
def test_shares_of_those_who_stay_have_all_of_it(members: int, tolerated: int) -> None:
    share = share_sigma("1.1", "0.7", 24, members, tolerated)
    assert math.sqrt(members - tolerated) * share >= sum_sigma("1.1", "0.7", 24) * (1 - 1e-15)
    needed = (Fraction("1.1") * integer_sensitivity("0.7", 24)) ** 2
    assert Fraction(share) ** 2 * (members - tolerated) >= needed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0", "1", 20, 3, 0), "above 0"),
        (("1", "0", 20, 3, 0), "above 0"),
        (("-1", "1", 20, 3, 0), "above 0"),
        (("NaN", "1", 20, 3, 0), "above 0"),
        (("Infinity", "1", 20, 3, 0), "above 0"),
        (("1", "1", 20, 3, 3), "fewer that may drop out"),
        (("1", "1", 20, 3, -1), "fewer that may drop out"),
        (("1", "1", 2, 3, 0), "a larger scale"),
        (("1e9", "1e9", 20, 3, 0), "a smaller scale"),
    ],
)
def test_no_noise_too_little_or_too_much_is_refused(
    arguments: tuple[str, str, int, int, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        share_sigma(*arguments)


def _probabilities(sigma: float, reach: int) -> Floats:
    weights: Floats = np.exp(-np.square(np.arange(-reach, reach + 1)) / (2 * sigma**2))
    weights /= weights.sum()
    return weights


@pytest.mark.parametrize(("sigma", "members"), [(0.5, 2), (0.5, 5), (0.7, 3), (1.0, 4), (1.0, 10)])
def test_a_sum_is_within_the_theorems_bound_of_a_discrete_gaussian(
    sigma: float, members: int
) -> None:
    """Where the bound can be seen at all: far below the sigmas that are allowed."""
    reach = 30
    one = _probabilities(sigma, reach)
    total = one
    for _ in range(members - 1):
        total = np.convolve(total, one)
    whole = _probabilities(math.sqrt(members) * sigma, members * reach)
    seen = whole > 1e-14  # what float64 can tell
    worst = np.abs(np.log(total[seen] / whole[seen])).max()
    assert worst <= sum_excess(sigma, members) + 1e-9


def test_the_bound_vanishes_where_shares_are_allowed() -> None:
    assert sum_excess(LEAST_SIGMA, 10_000) < 1e-60
    assert sum_excess(LEAST_SIGMA, 1) == 0
    assert sum_excess(1.0, 10) > sum_excess(2.0, 10) > 0


def test_a_sum_of_shares_has_the_noise_of_the_sum() -> None:
    share = share_sigma("1", "1", 16, 5, 0)
    total = sum(gaussian(share, 100_000, bytes([n]) * 32) for n in range(5))
    assert np.std(total) == pytest.approx(2.0**16, rel=0.01)


# -- contributions ---------------------------------------------------------------------------------


def squared(integers: Integers) -> int:
    return sum(int(one) ** 2 for one in integers)


@settings(deadline=None, max_examples=200)
@given(
    numbers=st.lists(st.floats(-1e300, 1e300), max_size=40),
    clip=st.sampled_from(["1", "0.001", "123.456", "1e6"]),
    scale_bits=st.integers(14, 40),
)
def test_a_contribution_is_within_the_norm_as_integers(
    numbers: list[float], clip: str, scale_bits: int
) -> None:
    """Exactly: squares of integers against the square of a decimal."""
    found = rounded_within(np.array(numbers, dtype=np.float64), clip, scale_bits)
    assert squared(found) <= integer_sensitivity(clip, scale_bits) ** 2


@pytest.mark.parametrize("clip", ["1", "0.3333333333", "7"])
def test_what_is_far_too_long_comes_out_at_the_norm(clip: str) -> None:
    rng = np.random.default_rng(7)
    for scale_bits in (16, 20, 30, 45):
        numbers = rng.normal(size=10_000) * 1e3
        found = rounded_within(numbers, clip, scale_bits)
        bound = integer_sensitivity(clip, scale_bits)
        assert squared(found) <= bound**2
        assert math.sqrt(squared(found)) >= float(bound) * (1 - 2.0**-38) - 100
        cosine = float(numbers @ found) / (np.linalg.norm(numbers) * np.linalg.norm(found))
        assert cosine > 0.99


def test_what_is_short_enough_is_only_rounded() -> None:
    numbers = np.array([0.25, -0.5, 3 * 2.0**-20, 0.0])
    found = rounded_within(numbers, "1", 20)
    assert found.tolist() == [2**18, -(2**19), 3, 0]
    assert rounded_within(np.zeros(5), "1", 20).tolist() == [0] * 5
    assert rounded_within(np.zeros(0), "1", 20).tolist() == []


def test_a_scale_that_rounding_would_drown_is_refused() -> None:
    with pytest.raises(ValueError, match="take a larger one"):
        rounded_within(np.ones(1_000_000), "1", 9)
