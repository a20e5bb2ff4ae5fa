"""Federated averaging, weighted by verified rows (McMahan et al., AISTATS 2017, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from policies.receipt import Receipt
from policies.tensors import Tensors


class UpdateMalformed(ValueError):
    """An update cannot be averaged with the model it answers; the text says what differs."""


def check_shapes(update: Tensors, model: Tensors) -> None:
    """Refuse an update that is not shaped like the model, or not finite.

    The node's egress checks the same; here it is checked because a node is not believed.

    Raises:
        UpdateMalformed: naming the array, what was expected and what came.
    """
    if set(update) != set(model):
        odd = sorted(set(update) ^ set(model))[:5]
        raise UpdateMalformed(f"expected the model's {len(model)} arrays; differing names: {odd}")
    for name, array in update.items():
        like = model[name]
        if array.shape != like.shape or array.dtype != like.dtype:
            raise UpdateMalformed(
                f"array {name}: expected {like.dtype}{list(like.shape)}, "
                f"got {array.dtype}{list(array.shape)}"
            )
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise UpdateMalformed(f"array {name}: expected finite numbers, got NaN or infinity")


def average(updates: Sequence[tuple[Tensors, int]], model: Tensors) -> Tensors:
    """The mean of the updates weighted by rows, in float64, in the model's types.

    Args:
        updates: at least one (update, rows), each checked by `check_shapes`, rows > 0.
        model: gives names, shapes and types; integers are rounded to nearest.
    """
    total = float(sum(rows for _, rows in updates))
    result: Tensors = {}
    for name, like in model.items():
        mean = np.zeros(like.shape, dtype=np.float64)
        for update, rows in updates:
            mean += update[name].astype(np.float64) * (rows / total)
        if not np.issubdtype(like.dtype, np.floating):
            mean = np.rint(mean)
        result[name] = mean.astype(like.dtype)
    return result


def average_metrics(receipts: Iterable[Receipt]) -> dict[str, str]:
    """Each figure's mean over the receipts that carry it, as decimal strings.

    Figures named `eval…` are weighted by held-back rows, all others by the rows trained on.
    """
    sums: dict[str, tuple[float, int]] = {}
    for receipt in receipts:
        for name, text in receipt.metrics.items():
            rows = receipt.rows_held_back if name.startswith("eval") else receipt.rows_used
            value, weight = sums.get(name, (0.0, 0))
            sums[name] = (value + float(text) * rows, weight + rows)
    return _means(sums)


def _means(sums: Mapping[str, tuple[float, int]]) -> dict[str, str]:
    return {name: repr(value / rows) for name, (value, rows) in sorted(sums.items()) if rows}
