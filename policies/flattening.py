"""A model's update as one row of numbers, and the next model from the mean of such rows.

The row is the difference of the update from the incoming model, in float64: the float arrays sorted
by name, each in C order. Integers and booleans have no place in it: they stay as they came in.
Both ways work in chunks, so that no second copy of the model in float64 is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from policies.errors import EncodingError
from policies.fixedpoint import CHUNK, Floats
from policies.tensors import Tensor, Tensors, float_count


def flatten(
    update: Mapping[str, Tensor], incoming: Mapping[str, Tensor], weight: float = 1.0
) -> Iterator[Floats]:
    """`weight * (update - incoming)`, chunk by chunk; the next chunk overwrites the one before.

    Raises:
        EncodingError: a float array of the model that the update does not have in its shape.
    """
    buffer = np.empty(CHUNK)
    for name in _float_names(incoming):
        before, after = incoming[name], update.get(name)
        if after is None or after.shape != before.shape or after.dtype.kind != "f":
            raise EncodingError(f"array {name[:100]!r}: expected the model's shape, got another")
        old, new = before.reshape(-1), after.reshape(-1)
        for at in range(0, old.size, CHUNK):
            here = slice(at, at + CHUNK)
            chunk = buffer[: old[here].size]
            with np.errstate(over="ignore", invalid="ignore"):  # encode refuses what comes of it
                np.subtract(new[here], old[here], out=chunk, dtype=np.float64)
                chunk *= weight
            yield chunk


def unflatten(incoming: Mapping[str, Tensor], mean_delta: Floats) -> Tensors:
    """The model after a round: `incoming + mean_delta`, in the model's types.

    Raises:
        EncodingError: not one number for each of the model's, or a result that its type does not
            hold.
    """
    count = float_count(incoming)
    if mean_delta.shape != (count,):
        raise EncodingError(f"mean: expected {count} numbers, got {mean_delta.shape}")
    result: Tensors = dict(incoming)
    start = 0
    for name in _float_names(incoming):
        before = incoming[name]
        after = np.empty(before.size, before.dtype)
        old = before.reshape(-1)
        for at in range(0, old.size, CHUNK):
            here = slice(at, at + CHUNK)
            step = mean_delta[start + at : start + min(at + CHUNK, old.size)]
            with np.errstate(over="ignore"):  # refused below
                after[here] = np.add(old[here], step, dtype=np.float64)
        if not bool(np.isfinite(after).all()):
            raise EncodingError(
                f"array {name[:100]!r}: expected numbers that {before.dtype.name} holds, got "
                "larger ones"
            )
        result[name] = after.reshape(before.shape)
        start += old.size
    return result


def _float_names(tensors: Mapping[str, Tensor]) -> list[str]:
    return sorted(name for name, array in tensors.items() if array.dtype.kind == "f")
