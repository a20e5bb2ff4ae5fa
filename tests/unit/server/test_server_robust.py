"""Ways to add updates: what they leave out, and what a liar can do to each (bench/robust.py)."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bench.robust import WAYS, accuracy, shares
from policies.fixedpoint import CHUNK
from policies.statements import Aggregation
from policies.tensors import Tensors
from server.aggregate import average
from server.robust import combine, combine_means

MODEL: Tensors = {"n": np.array([5]), "w": np.zeros(2, np.float32)}
ROBUST: tuple[Aggregation, ...] = ("median", "trimmed-mean", "multi-krum")


def updates(*values: float, rows: int = 10) -> list[tuple[Tensors, int]]:
    return [({"n": np.array([round(v)]), "w": np.full(2, v, np.float32)}, rows) for v in values]


def value(how: Aggregation, *values: float) -> float:
    return float(combine(how, updates(*values), MODEL)["w"][0])


@pytest.mark.parametrize(
    ("how", "values", "expected"),
    [
        ("mean", (1, 2, 6), 3),
        ("median", (1, 2, 1000), 2),
        ("median", (1, 2, 3, 1000), 2.5),
        ("median", (4,), 4),
        ("trimmed-mean", (1, 2, 1000), 2),
        ("trimmed-mean", (-1000, 1, 2, 3), 1.5),
        ("trimmed-mean", (-1000, -900, 1, 2, 3, 4, 5, 6, 900, 1000), 3.5),
        ("trimmed-mean", (1, 3), 2),
        ("trimmed-mean", (4,), 4),
        ("multi-krum", (1, 1.5, 2, 2.5, 1000), 1.75),
        ("multi-krum", (1, 3), 2),
    ],
)
def test_each_way_adds_as_it_says(
    how: Aggregation, values: tuple[float, ...], expected: float
) -> None:
    assert value(how, *values) == pytest.approx(expected)


@pytest.mark.parametrize("how", ["mean", *ROBUST])
def test_names_and_types_stay_the_models(how: Aggregation) -> None:
    result = combine(how, updates(1, 2, 3, 4, 5), MODEL)
    assert {name: array.dtype for name, array in result.items()} == {
        name: array.dtype for name, array in MODEL.items()
    }
    assert result["n"].shape == (1,)


@pytest.mark.parametrize("how", ["median", "trimmed-mean"])
def test_rows_that_a_liar_claims_weigh_nothing(how: Aggregation) -> None:
    honest = updates(1, 1, 1, 1)
    assert combine(how, [*honest, *updates(9, rows=10**9)], MODEL)["w"][0] == 1


def test_multi_krum_weighs_those_it_keeps_by_their_rows() -> None:
    """2 and 3 have the nearest neighbours; the far one is out whatever its rows."""
    five = [
        *updates(1),
        *updates(2, rows=30),
        *updates(3, 4),
        *updates(1000, rows=10**9),
    ]
    assert combine("multi-krum", five, MODEL)["w"][0] == 2.25


def test_a_counter_is_no_distance() -> None:
    """An honest update with a large integer is not taken for a liar's."""
    given = [
        ({"n": np.array([10**6 * n]), "w": np.full(2, n / 10, np.float32)}, 1) for n in range(5)
    ]
    given[2] = ({"n": np.array([2]), "w": np.full(2, 100, np.float32)}, 1)
    assert float(combine("multi-krum", given, MODEL)["w"][0]) < 1


@pytest.mark.parametrize("how", ["median", "trimmed-mean"])
def test_means_of_groups_are_combined_number_by_number(how: Aggregation) -> None:
    dice = np.random.default_rng(1)
    means = [dice.normal(size=CHUNK + 7) for _ in range(3)]
    expected = np.median(np.stack(means), axis=0)  # of three, both ways leave the middle one
    assert np.allclose(combine_means(how, means), expected)


def test_the_mean_is_that_of_before() -> None:
    given = updates(1, 2, 6)
    assert combine("mean", given, MODEL)["w"].tolist() == average(given, MODEL)["w"].tolist()


@cache
def reached(way: str, boost: float) -> float:
    adds, norm = WAYS[way]
    return accuracy(shares(), adds, rounds=8, boost=boost, clip_norm=norm)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "mean"])
def test_one_enterprise_that_flips_its_sign_does_little(way: str) -> None:
    """After 8 rounds on digits; bench/robust.py has the figures of 20."""
    assert reached("mean", 0) > 0.9
    assert reached("mean", 10) < 0.3
    assert reached(way, 10) > reached("mean", 0) - 0.08
