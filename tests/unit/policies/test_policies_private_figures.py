"""Figures under noise: as numbers within the norm, and back as means within their range."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.private_figures import coordinates, evaluated, means, span_of, weight_of


@pytest.mark.parametrize(
    ("least", "most", "span"),
    [
        ("0", "1", "0.5"),
        ("0.2", "4", "2"),
        ("-1", "3", "-3"),
        ("-5", "-1", "-5"),
        ("-2", "2", "-2"),
    ],
)
def test_a_range_in_one_number(least: str, most: str, span: str) -> None:
    assert span_of(Decimal(least), Decimal(most)) == Decimal(span)


@pytest.mark.parametrize(("least", "most"), [("1", "1"), ("0", "0"), ("2", "1")])
def test_no_range(least: str, most: str) -> None:
    with pytest.raises(ValueError, match="the least below the most"):
        span_of(Decimal(least), Decimal(most))


@given(
    figures=st.dictionaries(
        st.sampled_from("abcde"), st.decimals(-1000, 1000, allow_nan=False), max_size=5
    ),
    clip_norm=st.sampled_from(["1", "0.25", "30"]),
)
def test_a_parts_numbers_are_within_the_norm(figures: dict[str, Decimal], clip_norm: str) -> None:
    spans = {"a": Decimal("0.5"), "b": Decimal(-3), "c": Decimal(500), "d": Decimal(-1)}
    found = coordinates(figures, spans, ("a", "b", "c", "d", "e"), Fraction(clip_norm))
    assert found.shape == (5,)
    assert found[4] == 0, "it has no span"
    assert np.linalg.norm(found) <= float(clip_norm) * (1 + 1e-12)


def opened(number: float, *, span: str = "0.5", weight: int = 10 << 10) -> dict[str, str]:
    total = Fraction(weight) * Fraction(span)
    return means(["loss"], np.array([number]), {"loss": (weight, total)}, "2")


@pytest.mark.parametrize(
    ("number", "span", "wanted"),
    [
        (0.0, "0.5", "0.5"),
        (20.0, "0.5", "1"),
        (-20.0, "0.5", "0"),
        (5.0, "0.5", "0.625"),
        (1e9, "0.5", "1"),
        (-1e9, "0.5", "0"),
        (5.0, "-4", "1"),
        (-1e9, "-4", "-4"),
    ],
)
def test_means_are_within_their_range_whatever_the_noise(
    number: float, span: str, wanted: str
) -> None:
    """Ten parts expected, clipped to 2: their sum is 20 at most."""
    assert opened(number, span=span) == {"loss": wanted}


def test_figures_of_an_evaluation_have_names_that_say_so() -> None:
    names = ["train_loss", "eval_loss", "num-examples", "eval_accuracy", "eval_loss"]
    assert evaluated(names) == ("eval_accuracy", "eval_loss")


def test_what_nobody_has_is_left_out() -> None:
    assert opened(1.0, weight=0) == {}


def test_as_many_numbers_as_names() -> None:
    with pytest.raises(ValueError, match="expected 2 numbers"):
        means(["a", "b"], np.zeros(3), {}, "1")


@pytest.mark.parametrize(
    ("parts", "share", "weight"), [(10.0, 1, 10240), (10.0, 0.5, 5120), (0.0001, 1, 1)]
)
def test_weights(parts: float, share: float, weight: int) -> None:
    assert weight_of(parts, Fraction(share)) == weight
