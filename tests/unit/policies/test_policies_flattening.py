"""An update as a row of numbers, and back."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import numpy as np
import pytest

from policies.errors import EncodingError
from policies.fixedpoint import CHUNK, Layout, decode, encode
from policies.flattening import flatten, unflatten
from policies.tensors import Tensors, pack_tensors, unpack_tensors
from policies.wide_integers import Head

RNG = np.random.default_rng(1)
MODEL: Tensors = {
    "b": np.array([[1, 2], [3, 4]], dtype=np.float32),
    "a": np.array(0.5, dtype=np.float64),
    "c.long": RNG.normal(size=2 * CHUNK + 3).astype(np.float32),
    "half": np.array([1, 2], dtype=np.float16),
    "none": np.zeros((0, 3), dtype=np.float32),
    "steps": np.array([7], dtype=np.int64),
    "on": np.array([True]),
}
UPDATE: Tensors = {
    name: np.add(array, 0.25).astype(array.dtype)
    if array.dtype.kind == "f"
    else np.zeros_like(array)
    for name, array in MODEL.items()
}


def row(update: Tensors, incoming: Tensors, weight: float = 1.0) -> list[float]:
    return [number for chunk in flatten(update, incoming, weight) for number in chunk.tolist()]


def test_the_row_is_the_difference_of_the_float_arrays_by_name_in_c_order() -> None:
    incoming: Tensors = {name: MODEL[name] for name in ("b", "a", "steps", "on")}
    update: Tensors = dict(incoming, b=np.array([[2, 4], [6, 8]], np.float32), a=np.array(1.0))
    assert row(update, incoming) == [0.5, 1, 2, 3, 4]
    assert row(update, incoming, 0.5) == [0.25, 0.5, 1, 1.5, 2]
    by_columns: Tensors = {name: np.array(array, order="F") for name, array in update.items()}
    assert row(by_columns, incoming) == row(update, incoming)


def test_differences_are_taken_in_float64() -> None:
    one, next_to_it = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    assert row({"a": np.array([next_to_it])}, {"a": np.array([one])}) == [2.0**-23]
    huge = np.array([3e38], np.float32)
    assert row({"a": huge}, {"a": -huge}) == [2 * float(huge[0])]


def test_chunks_are_short_and_cover_all_numbers() -> None:
    sizes = [chunk.size for chunk in flatten(UPDATE, MODEL)]
    assert max(sizes) == CHUNK
    assert sum(sizes) == 1 + 4 + 2 * CHUNK + 3 + 2


@pytest.mark.parametrize(
    "array",
    [None, np.zeros((2, 3), np.float32), np.zeros(4, np.float32), np.zeros((2, 2), np.int64)],
)
def test_an_update_of_another_shape_is_refused(array: np.ndarray | None) -> None:
    update = {name: one for name, one in UPDATE.items() if name != "b"}
    if array is not None:
        update["b"] = array
    with pytest.raises(EncodingError, match="array 'b': expected the model's shape"):
        row(update, MODEL)


def test_the_model_moves_by_the_mean_and_keeps_its_types_and_its_integers() -> None:
    incoming = unpack_tensors(pack_tensors(MODEL))  # cannot be written to
    after = unflatten(incoming, np.array(row(UPDATE, MODEL)))
    assert after.keys() == MODEL.keys()
    for name, before in MODEL.items():
        assert (after[name].dtype, after[name].shape) == (before.dtype, before.shape)
        wanted = UPDATE[name] if before.dtype.kind == "f" else before
        assert np.array_equal(after[name], wanted)


def test_the_model_moves_in_float64() -> None:
    """In float32 the step would be half of the last place, and the model stay where it is."""
    after = unflatten({"a": np.array([1], np.float32)}, np.array([2.0**-24 + 2.0**-50]))
    assert after["a"].tolist() == [1 + 2.0**-23]


@pytest.mark.parametrize("count", [0, 4, 6])
def test_a_mean_of_another_length_is_refused(count: int) -> None:
    incoming: Tensors = {name: MODEL[name] for name in ("a", "b", "steps")}
    with pytest.raises(EncodingError, match="mean: expected 5 numbers"):
        unflatten(incoming, np.zeros(count))


@pytest.mark.parametrize("value", [1e6, -1e6, float("nan"), float("inf")])
def test_a_result_that_its_type_does_not_hold_is_refused(value: float) -> None:
    with pytest.raises(EncodingError, match="array 'half': expected numbers that float16 holds"):
        unflatten({"half": MODEL["half"]}, np.array([0, value]))


def test_a_large_model_is_encoded_and_moved_without_a_copy_in_float64() -> None:
    count = 2_000_000
    incoming: Tensors = {"w": np.zeros(count, np.float32)}
    update: Tensors = {"w": np.full(count, 0.001, np.float32)}
    plan = Layout((), count, 32, 20)
    tracemalloc.start()
    try:
        body = flatten(update, incoming, 0.5)
        words = encode(plan, Head(1, 0, {}), body, bound=Decimal(1), blind=bytes(16))
        peak_encoding = tracemalloc.get_traced_memory()[1]
        _, mean = decode(plan, words, 1)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        unflatten(incoming, mean)
        peak_moving = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # The words themselves, and the new model, of 4 bytes a number; a few chunks, and a mask of
    # which numbers are finite.
    assert peak_encoding < 4 * count + (2 << 20)
    assert peak_moving < 5 * count + (2 << 20)
