"""What may leave the node: pure checks of what an app returned (DESIGN.md, step 8).

An update has the incoming model's names, shapes and types, and finite numbers; it is clipped here
(clients.clipping), not in the app, where the permit says so. Of the figures, only those leave that
the permit names, each rounded, bounded and spelled in one way: a figure is a covert channel, and
`carried` says how wide it is. Whatever else the app returned stays; so does what a refused reply
looked like: a refusal says which check failed, no size or name of the app's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

import numpy as np

from clients.clipping import clip
from clients.errors import EgressRefused
from policies.canonical import Json
from policies.errors import DocumentError
from policies.permit import Kind
from policies.tensors import Tensor, Tensors, pack_tensors

MAX_METRICS: Final = 16

SIGNIFICANT_DIGITS: Final = 4
"""To how many a figure is rounded."""

LARGEST: Final = Decimal(10**9)
SMALLEST: Final = Decimal("1e-6")
"""A figure's magnitude: a larger one is refused, a smaller one leaves as 0."""

_DECADES: Final = LARGEST.adjusted() - SMALLEST.adjusted()
_MANTISSAS: Final = 9 * 10 ** (SIGNIFICANT_DIGITS - 1)
# Both signs of each number below the largest; the largest; zero; and no figure at all.
_SPELLINGS: Final = 2 * (_DECADES * _MANTISSAS + 1) + 2


@dataclass(frozen=True, slots=True)
class Leaving:
    """An update that may leave.

    Attributes:
        data: the packed arrays; empty for an evaluation.
        clip_norm: the bound that it is within; "" is none.
        clipped: whether it was scaled down to that.
    """

    data: bytes = b""
    clip_norm: str = ""
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """What a reply could carry at most, whatever its app put into it.

    Attributes:
        update_bytes: of the packed arrays: each may be chosen by the app.
        metric_bits: of the figures that the permit names, left out or not.
        clip_norm, clipped: the norm that the update was held to, and whether it had to be. That
            it had to be depends on the data: it stays in the node's own log.
    """

    update_bytes: int
    metric_bits: int
    clip_norm: str = ""
    clipped: bool = False

    def to_json(self) -> dict[str, Json]:
        """As it stands in the node's own log."""
        clipping: dict[str, Json] = {}
        if self.clip_norm:
            clipping = {"clip_norm": self.clip_norm, "clipped": self.clipped}
        return {
            **clipping,
            "update_bytes": self.update_bytes,
            "metric_bits": self.metric_bits,
            "metric_digits": SIGNIFICANT_DIGITS,
        }


def carried(leaving: Leaving, allowed: Collection[str]) -> Carried:
    """The bound for a reply with this update under a permit that names these figures."""
    return Carried(
        update_bytes=len(leaving.data),
        metric_bits=metric_bits(len(set(allowed))),
        clip_norm=leaving.clip_norm,
        clipped=leaving.clipped,
    )


def metric_bits(count: int) -> int:
    """How many bits so many figures carry at most, rounded up: 19 for one, 73 for four."""
    return math.ceil(min(count, MAX_METRICS) * math.log2(_SPELLINGS))


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
            f"update: expected the incoming model's {len(incoming)} arrays, got others, too",
            detail=f"{len(extra)} arrays too many",
        )
    for name, array in update.items():
        wanted = incoming[name]
        where = f"update, array {name[:100]!r}"
        if array.shape != wanted.shape:
            raise EgressRefused(
                f"{where}: expected shape {wanted.shape}, got another",
                detail=f"{where}: shape {array.shape}",
            )
        if array.dtype != wanted.dtype:
            raise EgressRefused(
                f"{where}: expected {wanted.dtype.name}, got another type",
                detail=f"{where}: type {array.dtype.name}",
            )
        if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
            count = int(array.size - np.isfinite(array).sum())
            raise EgressRefused(
                f"{where}: expected finite numbers, got some that are not",
                detail=f"{where}: {count} numbers are not finite",
            )


def check_no_update(update: Mapping[str, Tensor] | None) -> None:
    """An evaluation returns no arrays.

    Raises:
        EgressRefused: it did.
    """
    if update:
        raise EgressRefused(
            "evaluation: expected figures only, got arrays", detail=f"{len(update)} arrays"
        )


def leaving_update(
    kind: Kind, update: Tensors | None, incoming: Mapping[str, Tensor], *, clip_norm: str = ""
) -> Leaving:
    """What may leave: the packed update of a training, clipped, and nothing of an evaluation.

    Args:
        clip_norm: as the permit states it.

    Raises:
        EgressRefused: as `check_update`, `check_no_update` and `clients.clipping.clip`.
    """
    if kind == "evaluate":
        check_no_update(update)
        return Leaving()
    if update is None:
        raise EgressRefused("update: expected the trained model, got none")
    check_update(update, incoming)
    held, clipped = clip(update, incoming, clip_norm)
    try:
        return Leaving(pack_tensors(held), clip_norm, clipped)
    except DocumentError as error:
        raise EgressRefused("update: expected arrays of the known types, got another") from error


def check_metrics(
    metrics: Mapping[str, float | int], allowed: Collection[str], *, max_metrics: int = MAX_METRICS
) -> dict[str, str]:
    """The figures that may leave, rounded, as decimal strings: one spelling of one number.

    Args:
        metrics: what the app returned; names outside `allowed` are dropped.
        allowed: names that the permit lists.
        max_metrics: how many may leave at most.

    Raises:
        EgressRefused: an allowed figure is no finite number or too large, or there are too many.
    """
    leaving = {name: metrics[name] for name in sorted(metrics) if name in allowed}
    if len(leaving) > max_metrics:
        raise EgressRefused(
            f"metrics: expected at most {max_metrics}, got more", detail=f"{len(leaving)} figures"
        )
    return {name: _decimal(name, value) for name, value in leaving.items()}


def _decimal(name: str, value: float | int) -> str:
    where = f"metric {name!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EgressRefused(f"{where}: expected a number, got something else")
    if isinstance(value, float) and not math.isfinite(value):
        raise EgressRefused(f"{where}: expected a finite number, got one that is not")
    # Of a float what it is written as, not the binary fraction behind it.
    exact = Decimal(int(value)) if isinstance(value, int) else Decimal(repr(float(value)))
    rounded = Context(prec=SIGNIFICANT_DIGITS).plus(exact)
    if abs(rounded) > LARGEST:
        raise EgressRefused(f"{where}: expected a number within {LARGEST}, got a larger one")
    if abs(rounded) < SMALLEST:
        return "0"
    return format(rounded.normalize(), "f")
