"""Clipping: an update leaves no further from the incoming model than the permit's norm (step 8).

    delta_i = update_i - incoming_i                 for each number of the float arrays, in float64
    leaves    incoming_i + delta_i * min(1, C / ||delta||_2)

(McMahan et al., Learning Differentially Private Recurrent Language Models, ICLR 2018, "flat
clipping", here of one enterprise's update as a whole.)

The norm is over all float arrays together. What leaves keeps the model's types, and each of its
numbers is rounded towards the incoming one, so that the bound holds for the bytes that leave and
not only for the numbers before they were rounded. An update within the norm leaves as it is, bit
for bit. Integers and booleans have no small step: under a norm they leave as they came in
(docs/adr/0017). The same bytes in give the same bytes out on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from clients.errors import EgressRefused
from policies.tensors import Tensor, Tensors

CHUNK: Final = 1 << 14
"""Numbers of an array that are looked at together: so much float64 memory, whatever the model."""

_SLACK: Final = 1 - 2.0**-40
"""What is within the norm by so much leaves as it is: far more than float64 loses in the sum."""

_AIM: Final = 1 - 2.0**-39
"""To what an update is scaled down: what was clipped once is not clipped again."""

Numbers = npt.NDArray[np.float64]


def clip(
    update: Mapping[str, Tensor], incoming: Mapping[str, Tensor], norm: str
) -> tuple[Tensors, bool]:
    """What may leave of an update, and whether it was scaled down.

    Args:
        update: finite, with the incoming model's names, shapes and types.
        norm: L2 norm, as the permit says it; "" is no bound, and all leaves as it is.

    Raises:
        EgressRefused: the difference is too large to be computed with.
    """
    if not norm:
        return dict(update), False
    held = {
        name: array if array.dtype.kind == "f" else incoming[name] for name, array in update.items()
    }
    found, bound = distance(held, incoming), float(norm)
    if not math.isfinite(found):
        raise EgressRefused("update: expected a difference from the model that can be clipped")
    if found <= bound * _SLACK:
        return held, False
    factor = bound * _AIM / found
    return {name: _scaled(held[name], incoming[name], factor) for name in held}, True


def distance(update: Mapping[str, Tensor], incoming: Mapping[str, Tensor]) -> float:
    """The L2 norm of the difference over all float arrays; infinite where float64 ends."""
    largest = max((float(np.abs(part).max()) for part in _deltas(update, incoming)), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return largest
    # In units of the largest difference: no square overflows, and none that counts vanishes.
    squares = [float(np.square(part / largest).sum()) for part in _deltas(update, incoming)]
    return largest * math.sqrt(math.fsum(squares))


def _deltas(update: Mapping[str, Tensor], incoming: Mapping[str, Tensor]) -> Iterator[Numbers]:
    for name in sorted(update):
        if update[name].dtype.kind != "f":
            continue
        ours, before = update[name].reshape(-1), incoming[name].reshape(-1)
        for start in range(0, ours.size, CHUNK):
            yield _delta(ours[start : start + CHUNK], before[start : start + CHUNK])


def _delta(ours: Tensor, before: Tensor) -> Numbers:
    with np.errstate(over="ignore"):
        return ours.astype(np.float64) - before.astype(np.float64)


def _scaled(update: Tensor, incoming: Tensor, factor: float) -> Tensor:
    if update.dtype.kind != "f":
        return update
    ours, before = update.reshape(-1), incoming.reshape(-1)
    result = np.empty_like(ours)
    for start in range(0, ours.size, CHUNK):
        place = slice(start, start + CHUNK)
        result[place] = _towards(before[place], _delta(ours[place], before[place]) * factor)
    return result.reshape(update.shape)


def _towards(before: Tensor, step: Numbers) -> Tensor:
    """`before + step` in the type of `before`, no further from it than `step`."""
    near: Tensor = (before.astype(np.float64) + step).astype(before.dtype)
    too_far = np.flatnonzero(np.abs(_delta(near, before)) > np.abs(step))
    near[too_far] = np.nextafter(near[too_far], before[too_far], dtype=before.dtype)
    return near
