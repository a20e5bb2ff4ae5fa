"""The run config in a form that can be hashed: exact round trips, finite floats only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from policies.canonical import Json, digest_of
from policies.errors import DocumentError
from policies.runconfig import SEEDS, config_digest, config_from_json, config_to_json, with_seed


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, True),
        (0, 0),
        (-3, -3),
        ("0.1", "0.1"),
        ("", ""),
        (0.1, {"float": "0.1"}),
        (1.0, {"float": "1.0"}),
        (-0.0, {"float": "-0.0"}),
        (1e300, {"float": "1e+300"}),
        (5e-324, {"float": "5e-324"}),
        (np.float64(0.1), {"float": "0.1"}),
    ],
)
def test_each_type_and_its_spelling(value: Any, written: Any) -> None:
    assert config_to_json({"x": value}) == {"x": written}
    read = config_from_json(config_to_json({"x": value}))["x"]
    assert read == value
    assert isinstance(value, type(read))
    assert isinstance(read, float) is isinstance(value, float)
    if isinstance(read, float):
        assert repr(read) == written["float"]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, None, [], {}, b"x", 1j, np.float32(0.1), np.int64(1)]
)
def test_another_type_has_no_spelling(value: Any) -> None:
    with pytest.raises(DocumentError, match=r"\$\.lr: expected a boolean"):
        config_to_json({"lr": value})


@pytest.mark.parametrize(
    "value",
    [
        {"float": "nan"},
        {"float": "inf"},
        {"float": "1e999"},
        {"float": "x"},
        {"float": ""},
        {"float": " 0.1"},
        {"float": "0.10"},
        {"float": "1"},
        {"float": "1_0.0"},
        {"float": "١.0"},
        {"float": "1E5"},
        {"float": 1},
        {"float": None},
        {"float": "0.1", "other": "0.1"},
        {"double": "0.1"},
        {},
        None,
        [],
        0.1,
    ],
)
def test_another_spelling_is_refused(value: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        config_from_json({"lr": value})
    assert caught.value.where == "$.lr"


def test_the_digest_knows_types_apart_and_not_the_order() -> None:
    values: list[Any] = [1, 1.0, "1", "1.0", True]
    assert len({config_digest({"x": value}) for value in values}) == len(values)
    assert config_digest({"b": 1, "a": 0.5}) == config_digest({"a": 0.5, "b": 1})
    assert config_digest({}) == digest_of({})


def test_the_digest_refuses_integers_that_others_would_round() -> None:
    with pytest.raises(DocumentError, match=r"\$\.seed: expected an integer within"):
        config_digest({"seed": 2**53})


@pytest.mark.parametrize(
    ("config", "defaults", "seeded"),
    [
        ({}, {"seed": 7}, {"seed": 9}),
        ({"rate": 2}, {"seed": 7, "rate": 1}, {"rate": 2, "seed": 9}),
        ({"seed": 3}, {"seed": 7}, {"seed": 3}),
        ({}, {"seed": "7"}, {}),
        ({}, {"seed": True}, {}),
        ({}, {"rate": 1}, {}),
    ],
)
def test_a_run_gets_a_seed_of_its_own_where_its_app_has_one(
    config: dict[str, Json], defaults: dict[str, Json], seeded: dict[str, Json]
) -> None:
    assert with_seed(config, defaults, SEEDS + 9) == seeded
