"""Egress: what an update and its figures must be to leave."""

from __future__ import annotations

import re

import numpy as np
import pytest

from clients.egress import check_metrics, check_no_update, check_update
from clients.errors import EgressRefused
from policies.tensors import Tensors

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
        (changed(extra=np.zeros(1)), "got 1 others"),
        (changed(bias=np.zeros(3)), "'bias': expected shape (2,), got (3,)"),
        (changed(bias=np.zeros((2, 1))), "expected shape (2,), got (2, 1)"),
        (changed(bias=np.zeros(2, dtype=np.float32)), "expected float64, got float32"),
        (changed(steps=np.zeros(1, dtype=np.int32)), "expected int64, got int32"),
        (changed(bias=np.array([0.0, np.nan])), "expected finite numbers, got 1"),
        (changed(bias=np.array([np.inf, -np.inf])), "expected finite numbers, got 2"),
    ],
)
def test_any_other_update_is_refused(update: Tensors, words: str) -> None:
    with pytest.raises(EgressRefused, match=re.escape(words)):
        check_update(update, INCOMING)


def test_an_evaluation_returns_no_arrays() -> None:
    check_no_update(None)
    with pytest.raises(EgressRefused, match="got 3 arrays"):
        check_no_update(INCOMING)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (-3, "-3"), (0.1, "0.1"), (1e-7, "1e-07"), (1e300, "1e+300"), (-0.0, "-0.0")],
)
def test_figures_leave_as_decimals_that_read_back(value: float, text: str) -> None:
    assert check_metrics({"loss": value, "secret": 1.5}, ["loss"]) == {"loss": text}
    assert float(text) == value


def test_numpy_floats_leave_as_plain_decimals() -> None:
    assert check_metrics({"loss": np.float64(0.5)}, ["loss"]) == {"loss": "0.5"}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), True, 2**53, -(2**60), "0.5", None]
)
def test_no_other_figure_leaves(value: object) -> None:
    with pytest.raises(EgressRefused, match="metric 'loss'"):
        check_metrics({"loss": value}, ["loss"])  # type: ignore[dict-item]


def test_a_forbidden_figure_is_dropped_whatever_it_is() -> None:
    assert check_metrics({"leak": float("nan")}, ["loss"]) == {}


def test_too_many_figures_are_refused() -> None:
    names = [f"m{number}" for number in range(17)]
    with pytest.raises(EgressRefused, match="at most 16, got 17"):
        check_metrics(dict.fromkeys(names, 1), names)
