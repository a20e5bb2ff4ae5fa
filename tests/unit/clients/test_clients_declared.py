"""What an app declares to return: read strictly, only ever taking away, and counted in bits."""

from __future__ import annotations

import itertools
import math
import tomllib
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.declared import UNDECLARED, Declaration, declaration_of
from clients.egress import carried, check_metrics, held_update, packed
from clients.errors import BundleError, EgressRefused
from clients.figures import LARGEST, metric_bits, rounded, spelled, spellings
from policies.tensors import Tensors, pack_tensors

MODEL: Tensors = {
    "bias": np.zeros(2, dtype=np.float64),
    "count": np.array(3),
    "weight": np.ones((2, 3), dtype=np.float32),
}
ARRAYS = """
[tool.tdspace.arrays]
bias = {shape = ["any"], type = "float64"}
count = {shape = [], type = "int64"}
weight = {shape = [2, "any"], type = "float32"}
"""
FIGURES = """
[tool.tdspace.metrics]
loss = {least = 0, most = 10.5}
accuracy = {least = 0.0, most = 1.0}
"""


def declared(text: str) -> Declaration:
    return declaration_of(tomllib.loads(text))


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'x'", "tool = 3", "[tool.flwr]", "[tool.tdspace]\nother = 1"]
)
def test_an_app_may_declare_nothing(text: str) -> None:
    assert declared(text) == UNDECLARED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tool.tdspace = 3", "a table"),
        ("[tool.tdspace]\nmax-bytes = -1", r"\$\.max_bytes"),
        ("[tool.tdspace]\nmax-bytes = 1.5", r"\$\.max_bytes"),
        ("[tool.tdspace]\nmetrics = 'loss'", r"\$\.metrics"),
        ("[tool.tdspace]\nmetrics = [1]", r"\$\.metrics"),
        ("[tool.tdspace]\nmetrics = ['two words']", r"\$\.metrics"),
        ("[tool.tdspace.metrics]\nloss = {least = 0}", r"\$\.metrics\.loss\.most"),
        ("[tool.tdspace.metrics]\nloss = {least = 2, most = 1}", "least below most"),
        ("[tool.tdspace.metrics]\nloss = {least = nan, most = 1}", r"\$\.metrics\.loss\.least"),
        ("[tool.tdspace.metrics]\nloss = {least = true, most = 1}", r"\$\.metrics\.loss\.least"),
        ("[tool.tdspace.metrics]\nloss = {least = 0, most = 1, x = 1}", r"\$\.metrics\.loss\.x"),
        ("[tool.tdspace.arrays]\nw = {shape = [2]}", r"\$\.arrays\.w\.type"),
        ("[tool.tdspace.arrays]\nw = {shape = [-1], type = 'bool'}", r"\$\.arrays\.w\.shape"),
        ("[tool.tdspace.arrays]\nw = {shape = ['x'], type = 'bool'}", r"\$\.arrays\.w\.shape"),
        ("[tool.tdspace.arrays]\nw = {shape = [], type = 'object'}", r"\$\.arrays\.w\.type"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        declared(text)


@pytest.mark.parametrize("text", ["", ARRAYS, FIGURES, "[tool.tdspace]\nmax-bytes = 500"])
def test_what_is_as_declared_leaves(text: str) -> None:
    found = declared(text)
    left = packed(held_update("train", MODEL, MODEL, declared=found), found)
    assert left.data == pack_tensors(MODEL)
    figures = check_metrics({"loss": 10.5, "accuracy": 1}, ["accuracy", "loss"], declared=found)
    assert figures == {"accuracy": "1", "loss": "10.5"}
    assert packed(held_update("evaluate", None, MODEL, declared=found), found).data == b""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ARRAYS.replace("bias", "other"), "array 'bias': the app does not declare it"),
        (ARRAYS.replace('["any"]', "[3]"), "array 'bias': the app declares float64"),
        (ARRAYS.replace('["any"]', "[]"), "array 'bias': the app declares float64"),
        (ARRAYS.replace("float32", "float16"), "array 'weight': the app declares float16"),
        ("[tool.tdspace.arrays]", "array 'bias': the app does not declare it"),
        ("[tool.tdspace]\nmax-bytes = 40", "the app declares at most 40 bytes"),
    ],
)
def test_what_the_app_did_not_declare_stays_even_if_the_model_has_it(text: str, words: str) -> None:
    with pytest.raises(EgressRefused, match=words):
        found = declared(text)
        packed(held_update("train", MODEL, MODEL, declared=found), found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        (FIGURES, ""),
        (ARRAYS, ""),
        (ARRAYS.replace('["any"]', "[2]"), ""),
        (ARRAYS.replace('[2, "any"]', '["any", 3]'), ""),
        ("[tool.tdspace.arrays]", "'bias': the app does not declare it"),
        (ARRAYS.replace('["any"]', "[3]"), "'bias': the app declares float64"),
        (ARRAYS.replace('[2, "any"]', '[2, "any", 1]'), "'weight': the app declares float32"),
        (ARRAYS.replace("int64", "int32"), "'count': the app declares int32"),
        (
            ARRAYS + "imprint = {shape = [6], type = 'float32'}",
            "'imprint': the app declares it, the model has none",
        ),
    ],
)
def test_a_model_has_the_declared_arrays_and_no_others(text: str, words: str) -> None:
    misfit = declared(text).misfit(MODEL)
    assert words in misfit
    assert bool(words) is bool(misfit)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"loss": 10.51}, "'loss': the app declares 0 to 10.5, got a number outside"),
        ({"loss": -0.1}, "'loss': the app declares 0 to 10.5, got a number outside"),
        ({"accuracy": 1.001}, "'accuracy': the app declares 0.0 to 1.0, got a number outside"),
        ({"other": 1}, "'other': the app does not declare it"),
        ({"loss": math.inf}, "finite"),
    ],
)
def test_a_figure_outside_its_range_is_refused_without_its_value(
    metrics: dict[str, float], words: str
) -> None:
    with pytest.raises(EgressRefused, match=words) as caught:
        check_metrics(metrics, ["loss", "accuracy", "other"], declared=declared(FIGURES))
    assert "51" not in str(caught.value)


def test_the_range_is_of_what_leaves_rounded_and_never_moves_a_figure() -> None:
    found = declared("[tool.tdspace.metrics]\nx = {least = 0.00001, most = 1}")
    assert check_metrics({"x": 1.00004}, ["x"], declared=found) == {"x": "1"}
    with pytest.raises(EgressRefused):
        check_metrics({"x": 1.0006}, ["x"], declared=found)
    with pytest.raises(EgressRefused):
        check_metrics({"x": 1e-7}, ["x"], declared=found)  # leaves as 0


def test_what_the_permit_does_not_name_is_dropped_whatever_the_app_declares() -> None:
    assert check_metrics({"loss": 99, "accuracy": 1}, ["accuracy"], declared=declared(FIGURES)) == {
        "accuracy": "1"
    }


def enumerated(least: Decimal, most: Decimal) -> set[str]:
    """Every figure of both signs that may leave, of a few decades, in a range."""
    found = {Decimal(0)}
    for exponent, mantissa in itertools.product(range(-6, 3), range(1000, 10_000)):
        figure = Decimal(mantissa).scaleb(exponent - 3)
        found |= {figure, -figure}
    return {spelled(one) for one in found if least <= one <= most}


@pytest.mark.parametrize(
    ("least", "most"),
    [("0", "1"), ("-1", "1"), ("0.1", "0.2"), ("-0.5", "0.25"), ("-3", "-0.002"),
     ("0.00012345", "7"), ("1e-9", "1e-7"), ("0", "0"), ("1", "1"), ("-1", "-1"),
     ("-2.00005", "99.99")],
)  # fmt: skip
def test_spellings_are_counted_exactly(least: str, most: str) -> None:
    low, high = Decimal(least), Decimal(most)
    assert spellings(low, high) == len(enumerated(low, high))


@given(st.floats(-2e9, 2e9), st.floats(-2e9, 2e9), st.floats(-2e9, 2e9))
def test_a_narrower_range_never_carries_more(a: float, b: float, c: float) -> None:
    least, middle, most = sorted(Decimal(repr(one)) for one in (a, b, c))
    assert 0 <= spellings(middle, most) <= spellings(least, most) <= spellings(-LARGEST, LARGEST)


def test_the_log_states_the_bits_of_what_was_declared() -> None:
    found = declared(FIGURES)
    left = packed(held_update("train", MODEL, MODEL, declared=found), found)
    bits: Any = carried(left, ["loss", "accuracy", "other"], found).to_json()["metric_bits"]
    one = spellings(Decimal(0), Decimal(1)), spellings(Decimal(0), Decimal("10.5"))
    assert bits == math.ceil(sum(math.log2(count + 1) for count in one)) == 32
    assert carried(left, ["loss", "accuracy"]).metric_bits == metric_bits([spellings()] * 2) == 37
    names = declared("[tool.tdspace]\nmetrics = ['loss']")
    assert carried(left, ["loss", "other"], names).metric_bits == metric_bits([spellings()]) == 19


def test_a_rounded_figure_has_one_spelling() -> None:
    assert spelled(rounded("x", 0.00001)) == "0.00001"
    assert spelled(rounded("x", -0.0)) == "0"
