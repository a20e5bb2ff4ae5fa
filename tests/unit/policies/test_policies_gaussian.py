"""Draws of the discrete Gaussian: against exact probabilities, and the same bytes everywhere."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.canonical import sha256_hex
from policies.gaussian import MAX_SIGMA, NoiseStream, _exp_minus, gaussian, hat_of

SEED = bytes(range(32))
EXACT = Context(prec=60)


@cache
def exact(sigma: float) -> dict[int, Decimal]:
    """P(y) by its definition, out to 20 sigma."""
    reach = math.ceil(20 * sigma) + 1
    twice = 2 * EXACT.power(Decimal(sigma), 2)
    one_side = [EXACT.exp(EXACT.divide(-y * y, twice)) for y in range(reach)]
    total = EXACT.subtract(2 * sum(one_side, Decimal(0)), 1)
    return {sign * y: EXACT.divide(one_side[y], total) for y in range(reach) for sign in (1, -1)}


def drawn_by_the_hat(sigma: float) -> dict[int, Fraction]:
    """P(y) as the tables and the float arithmetic of the sampler have it, without any rounding."""
    hat = hat_of(sigma)
    columns, room = len(hat.others), 1 << 54
    blocks = [Fraction(0)] * columns
    for column in range(columns):
        own = Fraction(int(hat.thresholds[column]), room)
        blocks[column] += own / columns
        blocks[int(hat.others[column])] += (1 - own) / columns
    assert sum(blocks) == 1
    assert not any(blocks[2 * hat.half :])
    length = 1 << hat.bits
    place = np.arange(length, dtype=np.int64)
    found: dict[int, Fraction] = {}
    for block in range(2 * hat.half):
        least = int(hat.least[block])
        power = place.astype(np.float64) * (2 * least + place) * hat.factor
        coins = np.ceil(_exp_minus(power) * 2.0**53).astype(np.int64)
        for at in range(length):
            y = least + at if block < hat.half else -(least + at)
            assert y not in found
            found[y] = blocks[block] * Fraction(int(coins[at]), length << 53)
    total = sum(found.values())
    return {y: share / total for y, share in found.items()}


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 9.7, 16.0, 33.3, 200.5])
def test_the_sampler_is_as_near_to_exact_as_it_says(sigma: float) -> None:
    ours, theirs = drawn_by_the_hat(sigma), exact(sigma)
    distance = Fraction(0)
    for y, wanted in theirs.items():
        off = abs(ours.get(y, Fraction(0)) - Fraction(wanted))
        distance += off / 2
        if abs(y) <= 12 * sigma:
            assert off <= Fraction(wanted) / 2**49 + Fraction(1, 2**63), y
        else:
            assert off <= Fraction(wanted) * 2 + Fraction(1, 2**63)
    assert distance < Fraction(1, 2**49)
    beyond = sum(theirs[y] for y in theirs if y not in ours)
    assert beyond < Decimal(2) ** -104


def test_the_exponential_of_sums_and_products_alone() -> None:
    powers = np.concatenate([np.linspace(0, 0.8, 2001), [5e-324, 2.0**-60]])
    for power, found in zip(powers, _exp_minus(powers), strict=True):
        wanted = EXACT.exp(-Decimal(float(power)))
        assert abs(Decimal(float(found)) / wanted - 1) < Decimal(2) ** -51


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0, 20.0])
def test_counts_fit_the_exact_probabilities(sigma: float) -> None:
    """Pearson's chi-square; the seed is fixed, so that this holds or not."""
    draws = 200_000
    found = gaussian(sigma, draws, SEED)
    wanted = {y: float(p) * draws for y, p in exact(sigma).items() if float(p) * draws >= 10}
    statistic = sum((int(np.count_nonzero(found == y)) - n) ** 2 / n for y, n in wanted.items())
    rest = draws - sum(wanted.values())
    others = draws - sum(int(np.count_nonzero(found == y)) for y in wanted)
    statistic += (others - rest) ** 2 / max(rest, 1)
    freedom = len(wanted)
    # Wilson and Hilferty: the cube root is almost normal; 4 of its deviations.
    root = (statistic / freedom) ** (1 / 3)
    assert abs(root - (1 - 2 / (9 * freedom))) < 4 * math.sqrt(2 / (9 * freedom))


@pytest.mark.parametrize("sigma", [4.0, 100.3, 2.0**20, 3.7e9, 2.0**40, MAX_SIGMA])
def test_moments(sigma: float) -> None:
    draws = 400_000
    units = gaussian(sigma, draws, SEED).astype(np.float64) / sigma
    error = 1 / math.sqrt(draws)
    assert abs(units.mean()) < 4 * error
    assert abs(np.square(units).mean() - 1) < 4 * math.sqrt(2) * error
    assert abs((units**3).mean()) < 4 * math.sqrt(15) * error
    assert abs((units**4).mean() - 3) < 4 * math.sqrt(96) * error
    # Neighbours, and a number and its sign, have nothing to do with each other.
    assert abs((units[1:] * units[:-1]).mean()) < 4 * error


def test_at_a_large_sigma_every_bit_is_drawn() -> None:
    """Discretised floats would leave out integers: the low bits would be 0, or lean to one side."""
    found = gaussian(2.0**40, 200_000, SEED)
    for bit in range(32):
        ones = int(((found >> bit) & 1).sum())
        assert abs(ones - 100_000) < 4.5 * math.sqrt(50_000), bit


@pytest.mark.parametrize(
    ("sigma", "digest"),
    [
        (1.5, "0185d0a3df952b91d70c171b0819a3a3fe046d24a4e228c3d7478d2005fb4a76"),
        (1000.25, "37934f91a7ddd63dcb8053d540035ca1f6c2ba0c1c1ecc9e595c4c171d9aedcd"),
        (2.0**40, "0ed3e03b3d211684afd0bcb13c7f79a2900239b4d27abb139e365c8203b47d7c"),
    ],
)
def test_a_seed_gives_the_same_bytes_everywhere(sigma: float, digest: str) -> None:
    assert sha256_hex(gaussian(sigma, 50_000, SEED).astype("<i8").tobytes()) == digest


def test_seeds_and_sigmas_give_others() -> None:
    one = gaussian(100.0, 1000, SEED)
    assert np.mean(one == gaussian(100.0, 1000, SEED[::-1])) < 0.02
    assert np.mean(one == gaussian(101.0, 1000, SEED)) < 0.9


@settings(deadline=None, max_examples=30)
@given(
    sigma=st.sampled_from([0.5, 3.0, 1e3, 2.0**40]),
    sizes=st.lists(st.integers(0, 9000), max_size=6),
)
def test_how_many_are_taken_at_once_changes_none(sigma: float, sizes: list[int]) -> None:
    stream = NoiseStream(sigma, SEED)
    taken = [stream.take(size) for size in sizes]
    whole = gaussian(sigma, sum(sizes), SEED)
    assert np.array_equal(np.concatenate([*taken, whole[:0]]), whole)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf, 2 * MAX_SIGMA])
def test_another_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="expected a sigma above 0"):
        gaussian(sigma, 1, SEED)


@pytest.mark.parametrize("seed", [b"", SEED[:16], SEED + b"x"])
def test_another_seed_is_refused(seed: bytes) -> None:
    with pytest.raises(ValueError, match="expected a seed of 32 bytes"):
        gaussian(1.0, 1, seed)
