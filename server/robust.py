"""Ways to add that a few who lie cannot steer far: across updates, or across groups' opened means.

    mean           weighted by rows (server.aggregate); one liar can move it anywhere
    median         of each number by itself (Yin et al., ICML 2018)
    trimmed-mean   of each number by itself, without the fifth at either end, but at least one
                   (Yin et al., ICML 2018)
    multi-krum     the mean, weighted by rows, of the n - f - 2 updates that are nearest to their
                   neighbours, for f = (n - 3) // 2 liars at most (Blanchard et al., NIPS 2017)

The last two are Flower's own functions, the median is numpy's, as in its FedMedian. Median and
trimmed mean pay no heed to rows: a weight is its sender's word. Under masks nobody can tell one
update from another, so the first three act across the means of groups: a liar spoils its own
group's, and the middle of them holds as long as fewer than half of the groups have one. All of this
is on top of the bound on an update's norm, which each node's parent keeps (clients.clipping).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, RecordDict

from policies.fixedpoint import CHUNK, Floats
from policies.statements import Aggregation
from policies.tensors import Tensors
from server.aggregate import average
from server.errors import ServerError
from server.exchange import select_multikrum, trim_mean

LEAST_FOR_KRUM: Final = 3
"""Of fewer updates none can be told to be nearer than another: all are averaged."""


def combine(how: Aggregation, updates: Sequence[tuple[Tensors, int]], model: Tensors) -> Tensors:
    """The model that updates come to.

    Args:
        updates: at least one (update, rows), each checked by `server.aggregate.check_shapes`.
        model: gives names, shapes and types; integers are rounded to nearest.
    """
    if how == "mean":
        return average(updates, model)
    if how == "multi-krum":
        return average(_nearest(updates, model), model)
    result: Tensors = {}
    for name, like in model.items():
        stacked = np.stack([update[name].astype(np.float64) for update, _ in updates])
        middle = _middle(how, stacked)
        result[name] = (middle if like.dtype.kind == "f" else np.rint(middle)).astype(like.dtype)
    return result


def combine_means(how: Aggregation, means: Sequence[Floats]) -> Floats:
    """The difference from the model that groups' mean differences come to.

    Args:
        how: `median` or `trimmed-mean`: a mean across groups is taken of their sums.
    """
    result = np.empty_like(means[0])
    for at in range(0, result.size, CHUNK):
        here = slice(at, at + CHUNK)
        result[here] = _middle(how, np.stack([one[here] for one in means]))
    return result


def _middle(how: Aggregation, stacked: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each number over the first axis."""
    if how == "median":
        median: npt.NDArray[np.float64] = np.median(stacked, axis=0)
        return median
    if how == "trimmed-mean":
        count = len(stacked)
        cut = min(max(1, count // 5), (count - 1) // 2)
        # In the middle of what Flower rounds down to `cut`.
        mean: npt.NDArray[np.float64] = trim_mean(stacked, (cut + 0.25) / count)
        return mean
    raise ServerError(f"aggregation: expected median or trimmed-mean, got {how}")


def _nearest(updates: Sequence[tuple[Tensors, int]], model: Tensors) -> list[tuple[Tensors, int]]:
    count = len(updates)
    if count < LEAST_FOR_KRUM:
        return list(updates)
    liars = (count - 3) // 2
    contents = [_difference(update, model) for update, _ in updates]
    chosen = select_multikrum(
        contents, num_malicious_nodes=liars, num_nodes_to_select=count - liars - 2
    )
    nearest = {id(one) for one in chosen}
    return [one for one, content in zip(updates, contents, strict=True) if id(content) in nearest]


def _difference(update: Tensors, model: Tensors) -> RecordDict:
    """As Flower holds it; of the numbers with a fraction only: a counter's size is no distance."""
    arrays = {
        name: Array(np.asarray(update[name].astype(np.float64) - like.astype(np.float64)))
        for name, like in model.items()
        if like.dtype.kind == "f"
    }
    return RecordDict({"arrays": ArrayRecord(arrays)})
