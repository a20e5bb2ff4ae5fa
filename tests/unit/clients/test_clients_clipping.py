"""Clipping: within the norm bit for bit, beyond it in the same direction, never over it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.clipping import CHUNK, clip, distance
from clients.errors import EgressRefused
from policies.tensors import Tensors, pack_tensors

INCOMING: Tensors = {
    "bias": np.array([0.5, -0.25], dtype=np.float64),
    "flag": np.array([True]),
    "half": np.array([1.0, 2.0], dtype=np.float16),
    "steps": np.array([3], dtype=np.int64),
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
}


def moved(by: float) -> Tensors:
    """Each of the ten numbers of the float arrays moved by so much."""
    return {
        name: (array.astype(float) + by).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in INCOMING.items()
    }


def exact_square(update: Tensors, incoming: Tensors) -> Fraction:
    """The squared distance in rational numbers."""
    pairs = (
        zip(update[name].reshape(-1).tolist(), incoming[name].reshape(-1).tolist(), strict=True)
        for name in update
        if update[name].dtype.kind == "f"
    )
    return sum(((Fraction(a) - Fraction(b)) ** 2 for pair in pairs for a, b in pair), Fraction(0))


@pytest.mark.parametrize(
    ("by", "norm", "clipped"),
    [
        (0.5, "", False),
        (1e4, "", False),
        (0.0, "0.000001", False),
        (0.5, "2", False),  # sqrt(10 * 0.25) is 1.58
        (0.5, "1.59", False),
        (0.5, "1.58", True),
        (0.5, "0.1", True),
        (1024.0, "1.5", True),
    ],
)
def test_what_is_within_the_norm_leaves_as_it_is(by: float, norm: str, clipped: bool) -> None:
    update = moved(by)
    held, told = clip(update, INCOMING, norm)
    assert told is clipped
    assert (pack_tensors(held) == pack_tensors(update)) is not clipped
    assert {n: (a.shape, a.dtype) for n, a in held.items()} == {
        n: (a.shape, a.dtype) for n, a in INCOMING.items()
    }
    if norm:
        assert exact_square(held, INCOMING) <= Fraction(norm) ** 2
        # The numbers of `half` lie 0.001 apart: what they are rounded by is lost.
        expected = min(float(norm), by * math.sqrt(10))
        assert distance(held, INCOMING) == pytest.approx(expected, rel=0.01, abs=1e-9)


def test_a_clipped_difference_keeps_its_direction() -> None:
    incoming: Tensors = {"w": np.array([1.0, -1.0, 0.0], dtype=np.float32)}
    update: Tensors = {"w": np.array([4.0, 3.0, 0.0], dtype=np.float32)}
    held, clipped = clip(update, incoming, "0.5")
    assert clipped
    assert held["w"].tolist() == pytest.approx([1.3, -0.6, 0.0], abs=1e-6)


def test_integers_and_booleans_leave_as_they_came_in() -> None:
    """Else 64 bits of each would leave, whatever the norm."""
    update = moved(0.0) | {"steps": np.array([4711]), "flag": np.array([False])}
    assert clip(update, INCOMING, "")[0]["steps"] == [4711]
    held, clipped = clip(update, INCOMING, "1")
    assert not clipped
    assert pack_tensors(held) == pack_tensors(INCOMING)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_bytes_leave_beyond_the_norm(kind: type[np.floating], data: st.DataObject) -> None:
    """Counted in rational numbers, for numbers of very different size in one array."""
    numbers = st.lists(
        st.floats(-6e4, 6e4, width=16 if kind is np.float16 else 32), min_size=4, max_size=4
    )
    incoming: Tensors = {"w": np.array(data.draw(numbers), dtype=kind)}
    update: Tensors = {"w": np.array(data.draw(numbers), dtype=kind)}
    norm = data.draw(st.sampled_from(["0.000001", "0.001", "0.7", "30", "10000"]))
    held, clipped = clip(update, incoming, norm)
    assert exact_square(held, incoming) <= Fraction(norm) ** 2
    # What is to leave is within the norm: an honest node's receipt always holds.
    again, twice = clip(held, incoming, norm)
    assert not twice
    assert pack_tensors(again) == pack_tensors(held)
    assert clipped is (exact_square(update, incoming) > Fraction(norm) ** 2) or clipped


@pytest.mark.parametrize(
    ("ours", "before", "expected"),
    [
        ([3e200, 4e200], [0, 0], 5e200),  # their squares overflow
        ([3e-200, 4e-200], [0, 0], 5e-200),  # and these vanish
        ([1.5e308, 0], [-1.5e308, 0], math.inf),
        ([], [], 0.0),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
    ],
)
def test_the_norm_neither_overflows_nor_vanishes(
    ours: list[float], before: list[float], expected: float
) -> None:
    found = distance({"w": np.array(ours, dtype=float)}, {"w": np.array(before, dtype=float)})
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_difference_that_float64_cannot_hold_is_refused() -> None:
    incoming: Tensors = {"w": np.array([-1.5e308])}
    with pytest.raises(EgressRefused, match="that can be clipped"):
        clip({"w": np.array([1.5e308])}, incoming, "1")


def test_large_arrays_are_clipped_in_parts_to_the_same_bytes_each_time() -> None:
    shape = (3, CHUNK)
    incoming: Tensors = {"w": np.zeros(shape, dtype=np.float32), "b": np.zeros((), np.float32)}
    drawn = np.random.default_rng(7).normal(size=shape).astype(np.float32)
    update: Tensors = {"w": drawn, "b": np.ones((), np.float32)}
    once, _ = clip(update, incoming, "2")
    assert pack_tensors(once) == pack_tensors(clip(update, incoming, "2")[0])
    assert distance(once, incoming) == pytest.approx(2, rel=1e-6)
    assert once["b"].shape == ()
