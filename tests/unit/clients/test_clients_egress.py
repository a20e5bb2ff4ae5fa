"""Egress: what an update and its figures must be to leave."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pytest

from clients.egress import (
    Leaving,
    carried,
    check_metrics,
    check_no_update,
    check_update,
    held_update,
    packed,
)
from clients.errors import EgressRefused
from clients.figures import metric_bits, spellings
from policies.tensors import Tensors, pack_tensors

INCOMING: Tensors = {
    "bias": np.zeros(2, dtype=np.float64),
    "steps": np.array([3], dtype=np.int64),
    "weight": np.ones((2, 3), dtype=np.float32),
}


def changed(**arrays: np.ndarray) -> Tensors:
    return {**INCOMING, **arrays}


def test_an_update_of_the_same_form_may_leave() -> None:
    update = {name: array + 1 for name, array in INCOMING.items()}
    check_update(update, INCOMING)
    assert set(update) == set(INCOMING)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({}, "expected the array 'bias', got none"),
        (changed(extra=np.zeros(1)), "got others, too"),
        (changed(bias=np.zeros(3)), "'bias': expected shape (2,), got another"),
        (changed(bias=np.zeros((2, 1))), "expected shape (2,), got another"),
        (changed(bias=np.zeros(2, dtype=np.float32)), "expected float64, got another type"),
        (changed(steps=np.zeros(1, dtype=np.int32)), "expected int64, got another type"),
        (changed(bias=np.array([0.0, np.nan])), "expected finite numbers"),
        (changed(bias=np.array([np.inf, -np.inf])), "expected finite numbers"),
    ],
)
def test_any_other_update_is_refused(update: Tensors, words: str) -> None:
    with pytest.raises(EgressRefused, match=re.escape(words)):
        check_update(update, INCOMING)


def test_an_evaluation_returns_no_arrays() -> None:
    check_no_update(None)
    with pytest.raises(EgressRefused, match="figures only"):
        check_no_update(INCOMING)


def test_an_update_leaves_clipped_and_the_own_log_says_so() -> None:
    update = {name: array + 1 for name, array in INCOMING.items()}
    whole = packed(held_update("train", update, INCOMING))
    assert whole == Leaving(pack_tensors(update), "", False)
    within = packed(held_update("train", INCOMING, INCOMING, clip_norm="1"))
    assert within == Leaving(pack_tensors(INCOMING), "1", False)
    held = packed(held_update("train", update, INCOMING, clip_norm="1"))
    assert (len(held.data), held.clip_norm, held.clipped) == (len(whole.data), "1", True)
    said = carried(held, []).to_json()
    assert (said["clip_norm"], said["clipped"]) == ("1", True)
    assert "clipped" not in carried(whole, []).to_json()
    assert packed(held_update("evaluate", None, INCOMING, clip_norm="1")) == Leaving()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (5.0, "5"),
        (-3, "-3"),
        (0.1, "0.1"),
        (1 / 3, "0.3333"),
        (-0.0, "0"),
        (0.99996, "1"),
        (123_456, "123500"),
        (999_999_999, "1000000000"),
        (1e-7, "0"),
        (-0.00000123456, "-0.000001235"),
        (4711.47114711, "4711"),
    ],
)
def test_figures_leave_rounded_and_spelled_in_one_way(value: float, text: str) -> None:
    assert check_metrics({"loss": value, "secret": 1.5}, ["loss"]) == {"loss": text}
    assert float(text) == pytest.approx(value, rel=5e-4, abs=1e-6)


@pytest.mark.parametrize(("count", "bits"), [(0, 0), (1, 19), (4, 73), (16, 289), (99, 289)])
def test_what_figures_carry_is_counted(count: int, bits: int) -> None:
    assert metric_bits([spellings()] * count) == bits
    names = [f"m{number}" for number in range(count)]
    assert carried(Leaving(b"12345"), names).to_json() == {
        "update_bytes": 5,
        "metric_bits": bits,
        "metric_digits": 4,
    }


def test_no_more_spellings_leave_than_are_counted() -> None:
    """Every number of one decade, in both signs, and what is next to it."""
    drawn = np.random.default_rng(1).uniform(-10, 10, size=300_000)
    left = {check_metrics({"x": float(value)}, ["x"])["x"] for value in drawn if abs(value) >= 1}
    assert len(left) == 2 * 9_000 + 2  # 10 and -10 are of the next
    assert 2 ** metric_bits([spellings()]) > 2 * 9_000 * 15
    assert spellings(Decimal(1), Decimal(10)) == 9_001


def test_numpy_floats_leave_as_plain_decimals() -> None:
    assert check_metrics({"loss": np.float64(0.5)}, ["loss"]) == {"loss": "0.5"}


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), float("-inf"), True, 10**9 + 10**6, -(2**60), 1e300, "0.5", None],
)
def test_no_other_figure_leaves(value: object) -> None:
    with pytest.raises(EgressRefused, match="metric 'loss'"):
        check_metrics({"loss": value}, ["loss"])  # type: ignore[dict-item]


def test_a_forbidden_figure_is_dropped_whatever_it_is() -> None:
    assert check_metrics({"leak": float("nan")}, ["loss"]) == {}


def test_too_many_figures_are_refused() -> None:
    names = [f"m{number}" for number in range(17)]
    with pytest.raises(EgressRefused, match="at most 16, got more"):
        check_metrics(dict.fromkeys(names, 1), names)
