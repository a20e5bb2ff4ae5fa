"""A use under differential privacy, as the node's parent process performs it (steps 7 and 8).

The approved app runs on one part of the rows at a time (clients.parts), each time in a fresh child
that knows nothing of the other parts; what it returns is taken as a vector, clipped and rounded to
integers within a norm, and added up. The sum leaves with noise (policies.noise), under its mask.
One unit lies in one part, so it moves one summand, whatever the app does with it: nothing about the
app is believed ("sample and aggregate": Nissim, Raskhodnikova, Smith, STOC 2007).

**Sensitivity.** What a permit calls its noise multiplier holds for a sensitivity of `clip_norm`:

    each part one unit    a unit's contribution is its part's summand: within clip_norm, or none
    several units         without one of them the app may return anything else: the summand moves by
                          up to twice what it is clipped to, and is clipped to clip_norm / 2

The first holds where the use has no more units than the permit has parts; how many there are is
public, as is the number of rows. With one record a part, the app's step is clipped record by
record, as in Abadi et al., Deep Learning with Differential Privacy, CCS 2016.

**No answer is an answer.** What an app does with its rows must show nowhere but in the sum: whether
it crashed, took too long, returned another shape or figures outside of their range depends on rows,
and so would a refusal. Such a part counts as zeros. That holds if all of them do: an app could fail
everywhere but where it finds one record, and the refusal that does not come would name it. The sum
then is noise alone; the owner is told on the node, the consumer learns nothing. (Let an app run in
`tds simulate` first.) What can be refused without looking at a row, is: before the first part.

Three things remain, and the ε does not cover them. How long a use took is seen by whoever waits for
it, and an app can wait: so a use is held until one of few moments (`clients.pacing`: 15 in two
minutes), by which an app that cheats tells less than four bits of its choice, and an honest one
hardly any. A use that took longer than the permit counts is refused: the slots of all parts
together end well before, so that only the node's own work, or an owner who ends it, can be the
reason. And children share a machine: what one leaves in caches, of files or of the processor, the
next can try to measure, which would let one part's rows show in another's answer. No file, process
or memory passes from one to the next (clients.confinement); caches are beyond that.

An app keeps no state between private uses, and no figure of a training leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from clients.declared import Declaration
from clients.egress import check_metrics, check_no_update, check_update
from clients.errors import EgressRefused, SandboxCancelled, refused
from clients.jobs import Job, JobResult, Runner
from clients.pacing import slot_s
from clients.parts import SECRET_BYTES, Numbers, Parts, deal, part_of
from clients.rowset import EVALUATION, TRAINING
from clients.selection import Selection
from policies.dealing import expected_parts
from policies.fixedpoint import Layout
from policies.noise import (
    SEED_BYTES,
    Floats,
    Integers,
    check_rounding,
    gaussian,
    rounded_within,
    share_sigma,
)
from policies.permit import PermitBody
from policies.privacy import Privacy
from policies.private_figures import coordinates, evaluated, span_of, weight_of
from policies.tensors import Tensor, float_count

NOISE_TAIL: Final = 12
"""Standard deviations of noise that a vector has room for."""
WHOLE: Final = Fraction(1)
HALF: Final = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class PrivateSum:
    """What leaves of a private use.

    Attributes:
        body: int64, one for each number of the layout's body, with this node's share of the noise.
        bound: what none of them exceeds, in the model's units.
        figures: of each figure in the vector's head its weight and c (policies.private_figures).
    """

    body: Integers
    bound: Decimal
    figures: Mapping[str, tuple[int, Decimal]]


@dataclass(frozen=True, slots=True)
class PrivateUse:
    """What one use has to do; made by `private_use_of` only, before a row is looked at.

    Attributes:
        clip_norm: the permit's.
        layout: of the vector that leaves.
        incoming: the permit's model.
        spans: of an evaluation's figures (policies.private_figures).
        sigma: of this node's share of the noise, in the layout's units; 0 where governance adds it.
    """

    body: PermitBody
    privacy: Privacy
    clip_norm: Fraction
    layout: Layout
    incoming: Mapping[str, Tensor]
    declared: Declaration
    spans: Mapping[str, Decimal]
    sigma: float

    def dealt(self, selected: Selection, secret: bytes) -> Parts:
        """The rows of this use in parts; places are those of `training` or of `held_out` rows.

        Args:
            secret: `SECRET_BYTES`, fresh.

        Raises:
            GateRefused: the unit is a subject, and the product does not say whose rows they are.
        """
        state = TRAINING if self.body.kind == "train" else EVALUATION
        units: Numbers = np.flatnonzero(selected.states == state)
        if self.privacy.unit == "subject":
            if selected.subjects is None:
                raise refused(
                    "product-unreadable",
                    "privacy: expected a product with a column of subjects, whom the permit "
                    "protects, got one without; its owner registers a version that has one",
                )
            units = selected.subjects.rows[units]
        privacy = self.privacy
        return deal(units, parts=privacy.parts, sample=privacy.sample, secret=secret)

    def numbers(self, result: JobResult, share: Fraction) -> Floats:
        """What the app returned for a part, as a vector; it is not clipped yet.

        Raises:
            EgressRefused: it is not of the permit's form.
        """
        if self.body.kind == "evaluate":
            check_no_update(result.update)
            texts = check_metrics(result.metrics, self.body.metrics, declared=self.declared)
            figures = {name: Decimal(text) for name, text in texts.items()}
            names = self.layout.metrics
            return coordinates(figures, self.spans, names, self.clip_norm * share)
        if result.update is None:
            raise EgressRefused("update: expected the trained model, got none")
        check_update(result.update, self.incoming)
        return difference(result.update, self.incoming)

    def head_figures(self, parts: Parts) -> dict[str, tuple[int, Decimal]]:
        """What an evaluation's head says, from what is public."""
        if not parts.units:
            return {}
        weight = weight_of(expected_parts(self.privacy, parts.units), share_of(parts))
        return {name: (weight, span) for name, span in self.spans.items()}


def private_use_of(
    body: PermitBody, layout: Layout, incoming: Mapping[str, Tensor], declared: Declaration
) -> PrivateUse | None:
    """What a use under this permit has to do; None where it asks for no privacy.

    Args:
        layout: the permit's (policies.sumterms).

    Raises:
        GateRefused, EgressRefused: what the permit, the model or the app's declaration lacks;
            nothing that a row has to do with.
    """
    privacy = body.privacy
    if privacy is None:
        return None
    if not body.clip_norm or body.secure_sum is None:
        raise refused(
            "egress-refused",
            "privacy: expected a permit with a clip_norm and a secure sum: noise is measured by "
            "the one and shared out under the other",
        )
    spans: dict[str, Decimal] = {}
    numbers = float_count(incoming)
    if body.kind == "train":
        declared.check_arrays(incoming)
        declared.check_size(layout.size_bytes)
    else:
        spans = {name: _span(name, declared) for name in evaluated(body.metrics)}
        numbers = len(layout.metrics)
    if layout.floats != numbers:
        raise refused(
            "egress-refused",
            f"privacy: expected a vector of {numbers} numbers, the permit has {layout.floats}",
        )
    clip_norm = Fraction(body.clip_norm)
    try:
        check_rounding(numbers, clip_norm * HALF, layout.scale_bits)
        sigma = _sigma(body, privacy, layout)
    except ValueError as error:
        raise refused("egress-refused", f"privacy: {error}") from error
    return PrivateUse(body, privacy, clip_norm, layout, incoming, declared, spans, sigma)


def private_sum(
    use: PrivateUse,
    job: Job,
    selected: Selection,
    runner: Runner,
    *,
    draw: Callable[[int], bytes],
    cancelled: threading.Event,
    failed: Callable[[Exception], None],
) -> PrivateSum:
    """Run the app part by part and add up what it returned.

    Args:
        job: of the whole use: its `timeout_s` is for all parts together.
        draw: that many bytes that nobody can guess, such as `os.urandom`.
        cancelled: ends the running part, and the use.
        failed: told why a part counts as zeros, on the node only; does not raise.

    Raises:
        GateRefused: as `PrivateUse.dealt` and `clients.pacing.slot_s`, before the app runs.
        SandboxCancelled: the owner ended the use.
    """
    parts = use.dealt(selected, draw(SECRET_BYTES))
    part_job = replace(job, state=None, timeout_s=slot_s(parts.used_count, job.timeout_s))
    share = share_of(parts)
    total = np.zeros(use.layout.floats, dtype=np.int64)
    for places in parts.used():
        rows = part_of(selected.rows, places, training=job.kind == "train")
        try:
            result = runner.run(replace(part_job, rows=rows), cancelled=cancelled)
            numbers = use.numbers(result, share)
            total += rounded_within(numbers, use.clip_norm * share, use.layout.scale_bits)
        except SandboxCancelled:
            raise
        except Exception as error:  # noqa: BLE001 whatever an app brought about, nobody is to see
            failed(error)
    if use.sigma:
        total += gaussian(use.sigma, total.size, draw(SEED_BYTES))
    privacy = use.privacy
    bound = (privacy.parts + NOISE_TAIL * Decimal(privacy.noise)) * Decimal(use.body.clip_norm)
    return PrivateSum(total, bound, use.head_figures(parts))


def difference(update: Mapping[str, Tensor], incoming: Mapping[str, Tensor]) -> Floats:
    """`update - incoming`, float64, as `policies.flattening` lays it out, in one piece.

    Raises:
        EgressRefused: a difference that float64 does not hold.
    """
    found = np.empty(float_count(incoming), dtype=np.float64)
    at = 0
    for name in sorted(name for name, array in incoming.items() if array.dtype.kind == "f"):
        old, new = incoming[name].reshape(-1), update[name].reshape(-1)
        with np.errstate(over="ignore"):
            np.subtract(new, old, out=found[at : at + old.size], dtype=np.float64)
        at += old.size
    if not bool(np.isfinite(found).all()):
        raise EgressRefused("update: expected a difference from the model that can be clipped")
    return found


def share_of(parts: Parts) -> Fraction:
    """Of `clip_norm`, what each part is clipped to."""
    return WHOLE if parts.alone else HALF


def _span(name: str, declared: Declaration) -> Decimal:
    found = None if declared.metrics is None else declared.metrics.get(name)
    try:
        if found is not None:
            return span_of(*found.bounds)
    except ValueError:
        pass
    raise refused(
        "egress-refused",
        f"metric {name!r}: expected an app that declares its least and most, since noise is "
        "measured by them, got one that does not; [tool.tdspace.metrics] in its pyproject.toml",
    )


def _sigma(body: PermitBody, privacy: Privacy, layout: Layout) -> float:
    """Of this node's share. Groups have one member more or less: by the smallest, all are safe."""
    if privacy.by == "governance":
        return 0.0
    groups = 1 if body.secure_sum is None else body.secure_sum.groups
    members = len({member.participant for member in body.cohort}) // groups
    return share_sigma(privacy.noise, body.clip_norm, layout.scale_bits, members, privacy.tolerated)
