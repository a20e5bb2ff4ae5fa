"""What a permit says of a secure sum: chosen by governance, checked by nodes and by auditors.

All three come to the same terms from what is public: the run's clip norm and privacy, the permit's
kind, cohort and figures, and how many numbers the model has (`policies.fixedpoint` has the layout).

    bound of a sum   without privacy clip_norm: each node's weight is its share of the cohort's rows
                     with privacy (parts in all + 12 noise) * clip_norm
    word_bits        32, unless that leaves clip_norm less than 2^16 steps of the scale
    scale_bits       the largest at which no sum of the cohort can overflow, and at which the noise
                     is no more than can be drawn
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Literal

from policies.errors import EncodingError
from policies.fixedpoint import Layout
from policies.permit import Kind, PermitBody
from policies.privacy import PermitSum, Privacy, WordBits
from policies.scale import MOST_SCALE_BITS, choose_scale

MOST_SIGMA: Final = 1 << 39
"""Largest standard deviation of noise, in steps of the scale (`policies.gaussian` draws more)."""
NOISE_TAIL: Final = 12
"""Standard deviations of noise that a sum has room for."""
LEAST_STEPS: Final = 1 << 16
"""Steps of the scale that the clip norm has at least."""
MOST_SUM_BYTES: Final = 1 << 31
"""What the sums of all groups of one permit may have together."""


def sum_bound(clip_norm: str, privacy: Privacy | None, members: int) -> Fraction:
    """What no number of a sum of the cohort's vectors exceeds, in the model's units.

    Args:
        clip_norm: above 0.
        members: of the cohort.
    """
    clip = Fraction(clip_norm)
    if privacy is None:
        return clip
    return (privacy.parts * members + NOISE_TAIL * Fraction(privacy.noise)) * clip


def permit_sum(
    *,
    mode: Literal["governance", "pairwise"],
    key: str,
    kind: Kind,
    metrics: Sequence[str],
    floats: int,
    clip_norm: str,
    privacy: Privacy | None,
    members: int,
    groups: int,
) -> PermitSum:
    """The terms of a permit's secure sum.

    Args:
        mode: of the run.
        key: governance's one-time public key; "" unless the mode is `governance`.
        floats: how many numbers the model's float arrays have.
        members: of the cohort.

    Raises:
        EncodingError: no words hold such sums, or they would be too many.
    """
    bound = sum_bound(clip_norm, privacy, members)
    word_bits, scale_bits = _scale(clip_norm, privacy, bound, members)
    layout = Layout(
        metrics=sorted_metrics(metrics),
        floats=_numbers(kind, metrics, floats, privacy),
        word_bits=word_bits,
        scale_bits=scale_bits,
    )
    if groups * layout.size_bytes > MOST_SUM_BYTES:
        raise EncodingError(
            f"groups: expected sums of at most {MOST_SUM_BYTES} bytes together, got {groups} of "
            f"{layout.size_bytes}; ask for fewer groups"
        )
    return PermitSum(
        mode=mode,
        key=key,
        word_bits=word_bits,
        scale_bits=scale_bits,
        words=layout.words,
        groups=groups,
    )


def layout_of(permit: PermitBody) -> Layout:
    """How the vectors under a permit are laid out.

    Raises:
        EncodingError: the permit asks for no secure sum, or for words that hold no vector.
    """
    how = permit.secure_sum
    if how is None:
        raise EncodingError(f"{permit.id}: expected a permit with a secure sum, got one without")
    metrics = sorted_metrics(permit.metrics)
    empty = Layout(metrics, 0, how.word_bits, how.scale_bits)
    return Layout(metrics, how.words - empty.words, how.word_bits, how.scale_bits)


def sorted_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The figures of a permit as vectors hold them: ascending, each once."""
    return tuple(sorted(set(metrics)))


def _numbers(kind: Kind, metrics: Sequence[str], floats: int, privacy: Privacy | None) -> int:
    """How many numbers a vector's body has."""
    if kind == "train":
        return floats
    return len(set(metrics)) if privacy is not None else 0


def _scale(
    clip_norm: str, privacy: Privacy | None, bound: Fraction, members: int
) -> tuple[WordBits, int]:
    clip = Fraction(clip_norm)
    choices: tuple[WordBits, WordBits] = (32, 64)
    for bits in choices:
        try:
            scale_bits = choose_scale(bound=bound, members=members, word_bits=bits)
        except EncodingError:
            if bits == 64:
                raise
            continue
        if privacy is not None:
            scale_bits = min(scale_bits, _noise_room(Fraction(privacy.noise) * clip))
        if scale_bits >= 0 and clip * (1 << scale_bits) >= LEAST_STEPS:
            return bits, scale_bits
    raise EncodingError(
        f"clip_norm: expected one that has {LEAST_STEPS} steps in words of 64 bits, got "
        f"{clip_norm}; choose a larger one, or fewer parts"
    )


def _noise_room(sigma: Fraction) -> int:
    """The most bits of scale at which noise of this standard deviation can be drawn; -1 if there
    are none. Exact, so that everybody comes to the same."""
    fitting = (s for s in range(MOST_SCALE_BITS + 1) if sigma * (1 << s) <= MOST_SIGMA)
    return max(fitting, default=-1)
