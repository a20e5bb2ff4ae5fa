"""What may leave the node: pure checks of what an app returned (DESIGN.md, step 8).

An update has the incoming model's names, shapes and types, and finite numbers; it is clipped here
(clients.clipping), not in the app, where the permit says so, and masked (clients.masking) where it
says that. Of the figures, only those leave that
the permit names, each rounded, bounded and spelled in one way (clients.figures): a figure is a
covert channel, and `carried` says how wide it is. What the app declared to return bounds both
further (clients.declared). Whatever else the app returned stays; so does what a refused reply
looked like: a refusal says which check failed, no size or name of the app's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from clients.clipping import clip
from clients.declared import UNDECLARED, Declaration
from clients.errors import EgressRefused
from clients.figures import MAX_METRICS, SIGNIFICANT_DIGITS, metric_bits, rounded, spelled
from policies.canonical import Json
from policies.errors import DocumentError
from policies.permit import Kind
from policies.tensors import Tensor, Tensors, pack_tensors


@dataclass(frozen=True, slots=True)
class Held:
    """What an app returned, held to the permit; not yet in the form in which it leaves.

    Attributes:
        arrays: clipped; none of an evaluation.
        clip_norm, clipped: as `Leaving` has them.
    """

    arrays: Tensors = field(default_factory=dict)
    clip_norm: str = ""
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class Leaving:
    """An update that may leave.

    Attributes:
        data: the packed arrays, nothing of an evaluation; under a mask the masked vector.
        clip_norm: the bound that it is within; "" is none.
        clipped: whether it was scaled down to that.
        mask_key: public half of the key of its mask (clients.masking); "" is no mask.
        head_bytes: how much of a masked vector says rows and figures.
        noise: multiplier of the noise in it, or in the sum that it becomes part of; "" is none.
    """

    data: bytes = b""
    clip_norm: str = ""
    clipped: bool = False
    mask_key: str = ""
    head_bytes: int = 0
    noise: str = ""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a reply could carry at most, whatever its app put into it.

    A mask hides it from whoever has the reply only; in the sum it is there, as part of it.

    Attributes:
        update_bytes: of the arrays as they leave: each may be chosen by the app.
        metric_bits: of the figures that the permit names, left out or not.
        clip_norm, clipped: the norm that the update was held to, and whether it had to be. That
            it had to be depends on the data: it stays in the node's own log.
        masked: whether the update left under a mask, and the figures within it.
        figures: those; where nothing is masked the receipt has them.
        noise: the multiplier under which all of it leaves; "" is none. Then each part of the rows
            was clipped, and how many of them had to be is told to nobody.
    """

    update_bytes: int
    metric_bits: int
    clip_norm: str = ""
    clipped: bool = False
    masked: bool = False
    figures: Mapping[str, str] = field(default_factory=dict)
    noise: str = ""

    def to_json(self) -> dict[str, Json]:
        """As it stands in the node's own log."""
        more: dict[str, Json] = {}
        if self.noise:
            more = {"clip_norm": self.clip_norm, "noise": self.noise}
        elif self.clip_norm:
            more = {"clip_norm": self.clip_norm, "clipped": self.clipped}
        if self.masked:
            more |= {"masked": True, "figures": dict(self.figures)}
        return {
            **more,
            "update_bytes": self.update_bytes,
            "metric_bits": self.metric_bits,
            "metric_digits": SIGNIFICANT_DIGITS,
        }


def carried(
    leaving: Leaving,
    allowed: Collection[str],
    declared: Declaration = UNDECLARED,
    figures: Mapping[str, str] = MappingProxyType({}),
) -> Carried:
    """The bound for a reply with this update under a permit that names these figures.

    Args:
        figures: those that leave.
    """
    masked = leaving.mask_key != ""
    return Carried(
        update_bytes=len(leaving.data) - leaving.head_bytes,
        metric_bits=0 if leaving.noise else metric_bits(map(declared.choices, set(allowed))),
        clip_norm=leaving.clip_norm,
        clipped=leaving.clipped,
        masked=masked,
        figures=figures if masked else {},
        noise=leaving.noise,
    )


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


def held_update(
    kind: Kind,
    update: Tensors | None,
    incoming: Mapping[str, Tensor],
    *,
    clip_norm: str = "",
    declared: Declaration = UNDECLARED,
) -> Held:
    """The update of a training, clipped, and nothing of an evaluation.

    Args:
        clip_norm: as the permit states it.
        declared: what the app says that it returns.

    Raises:
        EgressRefused: as `check_update`, `check_no_update`, `clients.clipping.clip` and
            `clients.declared.Declaration`.
    """
    if kind == "evaluate":
        check_no_update(update)
        return Held()
    if update is None:
        raise EgressRefused("update: expected the trained model, got none")
    check_update(update, incoming)
    declared.check_arrays(update)
    held, clipped = clip(update, incoming, clip_norm)
    return Held(held, clip_norm, clipped)


def packed(held: Held, declared: Declaration = UNDECLARED) -> Leaving:
    """What leaves where nothing is masked.

    Raises:
        EgressRefused: an array of another type, or more bytes than the app declared.
    """
    if not held.arrays:
        return Leaving()
    try:
        data = pack_tensors(held.arrays)
    except DocumentError as error:
        raise EgressRefused("update: expected arrays of the known types, got another") from error
    declared.check_size(len(data))
    return Leaving(data, held.clip_norm, held.clipped)


def check_metrics(
    metrics: Mapping[str, float | int],
    allowed: Collection[str],
    *,
    declared: Declaration = UNDECLARED,
    max_metrics: int = MAX_METRICS,
) -> dict[str, str]:
    """The figures that may leave, rounded, as decimal strings: one spelling of one number.

    Args:
        metrics: what the app returned; names outside `allowed` are dropped.
        allowed: names that the permit lists.
        declared: what the app says that it returns.
        max_metrics: how many may leave at most.

    Raises:
        EgressRefused: an allowed figure is no finite number, too large, not declared or outside of
            its declared range, or there are too many.
    """
    leaving = {name: metrics[name] for name in sorted(metrics) if name in allowed}
    if len(leaving) > max_metrics:
        raise EgressRefused(
            f"metrics: expected at most {max_metrics}, got more", detail=f"{len(leaving)} figures"
        )
    figures = {name: rounded(name, value) for name, value in leaving.items()}
    for name, figure in figures.items():
        declared.check_figure(name, figure)
    return {name: spelled(figure) for name, figure in figures.items()}
