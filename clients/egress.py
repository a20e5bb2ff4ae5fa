"""What may leave the node: pure checks of what an app returned (DESIGN.md, step 8).

An update has the incoming model's names, shapes and types, and finite numbers. Of the figures, only
those leave that the permit names. Whatever else the app returned stays.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from clients.errors import EgressRefused
from policies.canonical import MAX_SAFE_INTEGER
from policies.errors import DocumentError
from policies.permit import Kind
from policies.tensors import Tensor, Tensors, pack_tensors

MAX_METRICS: Final = 16


def check_update(update: Mapping[str, Tensor], incoming: Mapping[str, Tensor]) -> None:
    """The update could replace the incoming model, array by array.

    Raises:
        EgressRefused: the array, what was expected and what came; no value of it.
    """
    missing = sorted(set(incoming) - set(update))
    extra = sorted(set(update) - set(incoming))
    if missing:
        raise EgressRefused(f"update: expected the array {missing[0][:100]!r}, got none")
    if extra:
        raise EgressRefused(
            f"update: expected the incoming model's {len(incoming)} arrays, got {len(extra)} others"
        )
    for name, array in update.items():
        wanted = incoming[name]
        where = f"update, array {name[:100]!r}"
        if array.shape != wanted.shape:
            raise EgressRefused(f"{where}: expected shape {wanted.shape}, got {array.shape}")
        if array.dtype != wanted.dtype:
            raise EgressRefused(f"{where}: expected {wanted.dtype.name}, got {array.dtype.name}")
        if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
            count = int(array.size - np.isfinite(array).sum())
            raise EgressRefused(f"{where}: expected finite numbers, got {count} that are not")


def check_no_update(update: Mapping[str, Tensor] | None) -> None:
    """An evaluation returns no arrays.

    Raises:
        EgressRefused: it did.
    """
    if update:
        raise EgressRefused(f"evaluation: expected figures only, got {len(update)} arrays")


def leaving_update(kind: Kind, update: Tensors | None, incoming: Mapping[str, Tensor]) -> bytes:
    """The bytes that may leave: the packed update of a training, nothing of an evaluation.

    Raises:
        EgressRefused: as `check_update` and `check_no_update`.
    """
    if kind == "evaluate":
        check_no_update(update)
        return b""
    if update is None:
        raise EgressRefused("update: expected the trained model, got none")
    check_update(update, incoming)
    try:
        return pack_tensors(update)
    except DocumentError as error:
        raise EgressRefused("update: expected arrays of the known types, got another") from error


def check_metrics(
    metrics: Mapping[str, float | int], allowed: Collection[str], *, max_metrics: int = MAX_METRICS
) -> dict[str, str]:
    """The figures that may leave, as decimal strings that read back to the same numbers.

    Args:
        metrics: what the app returned; names outside `allowed` are dropped.
        allowed: names that the permit lists.
        max_metrics: how many may leave at most.

    Raises:
        EgressRefused: an allowed figure is no finite number or too large, or there are too many.
    """
    leaving = {name: metrics[name] for name in sorted(metrics) if name in allowed}
    if len(leaving) > max_metrics:
        raise EgressRefused(f"metrics: expected at most {max_metrics}, got {len(leaving)}")
    return {name: _decimal(name, value) for name, value in leaving.items()}


def _decimal(name: str, value: float | int) -> str:
    where = f"metric {name!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EgressRefused(f"{where}: expected a number, got {type(value).__name__}")
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise EgressRefused(f"{where}: expected an integer within 2^53 - 1, got a larger one")
        return str(int(value))
    if not math.isfinite(value):
        raise EgressRefused(f"{where}: expected a finite number, got one that is not")
    return repr(float(value))
