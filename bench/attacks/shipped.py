"""An audit of the code that ships: canaries through a node's private use, and what is opened.

Ten enterprises with 256 records each, a part of its own for each record. The approved app cheats
as well as it can for an auditor: the step of a canary is the whole clip, in a number that no other
record touches. So what is audited is dealing, clipping, rounding, the discrete noise of shares,
words and their sum, as nodes do it (clients.private_use, policies.noise, policies.fixedpoint) with
the system's randomness. A canary that does not take part returns the model as it came: it is
replaced by none, as the neighbouring relation has it. Masks, which cancel out exactly, are left
out.

The bed of permits is that of `bench/private_digits.py`.
"""

from __future__ import annotations

import os
import threading

import numpy as np

from bench.attacks.canaries import Audit, audit
from bench.private_digits import CLIP_NORM, ENTERPRISES, PARTS, Way, job_of, permit_of, selection_of
from clients.declared import UNDECLARED
from clients.jobs import Job, JobResult
from clients.private_use import private_sum, private_use_of
from policies.fixedpoint import add_into, decode, encode_integers, zeros
from policies.tensors import Tensors
from policies.wide_integers import BLIND_BYTES, Head

CANARIES = ENTERPRISES * PARTS


class CanaryApp:
    """A runner of an app whose rows say which number is theirs, and whether they take part."""

    def __init__(self, model: Tensors) -> None:
        self.model = model

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """A step of the whole clip, and more: the node cuts it."""
        weight = self.model["weight"].copy()
        for row, takes_part in zip(job.rows.features, job.rows.labels, strict=True):
            weight[int(row[0])] += 2 * float(CLIP_NORM) * int(takes_part)
        return JobResult({"weight": weight}, {}, "")


def audit_shipped(noise: str, rounds: int, seed: int) -> Audit:
    """The bound that so many rounds of one run show.

    Args:
        noise: the permit's multiplier; the coins are drawn from the seed, the noise is not.
    """
    member = np.random.default_rng(seed).random(CANARIES) < 0.5
    model: Tensors = {"weight": np.zeros(CANARIES, dtype=np.float32)}
    app = CanaryApp(model)
    total = np.zeros(CANARIES)
    for _ in range(rounds):
        total += _opened(noise, model, app, member)
    return audit(total, member)


def _opened(noise: str, model: Tensors, app: CanaryApp, member: np.ndarray) -> np.ndarray:
    permit, layout = permit_of(Way("audit", noise), CANARIES)
    use = private_use_of(permit, layout, model, UNDECLARED)
    assert use is not None
    total = zeros(layout.words, layout.word_bits)
    for own in np.arange(CANARIES).reshape(ENTERPRISES, PARTS):
        selected = selection_of(own[:, None].astype(np.float32), member[own].astype(np.int64))
        summed = private_sum(
            use,
            job_of(selected),
            selected,
            app,
            draw=os.urandom,
            cancelled=threading.Event(),
            failed=_raise,
        )
        head, blind = Head(len(own), 0, {}), os.urandom(BLIND_BYTES)
        vector = encode_integers(layout, head, [summed.body], bound=summed.bound, blind=blind)
        add_into(total, vector)
    return decode(layout, total, ENTERPRISES)[1]


def _raise(error: Exception) -> None:
    raise error
