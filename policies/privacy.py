"""What a run says of secure sums and of differential privacy, and how its permits repeat it.

`SecureSum` is how updates are added so that nobody learns more of them than their sum:

    none        each update leaves as it is
    governance  each leaves under a one-time mask; governance alone can compute the sum of the masks
                and releases it once, for those whose consent stands then (policies.masks)
    pairwise    masks of pairs of nodes cancel out (Bonawitz et al., CCS 2017); no second operator

`Privacy` is record- or subject-level differential privacy as the node's parent process performs it:
the app trains on one part of the rows at a time, each part's update is clipped, and their sum
leaves with noise (Nissim, Raskhodnikova, Smith, STOC 2007, "sample and aggregate"; the Gaussian
mechanism as in Abadi et al., CCS 2016). Two data sets are neighbours if one unit's contribution is
replaced by none, while the number of rows stays public ("zero-out": Kairouz et al., ICML 2021).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from policies.fields import Amount, Document
from policies.privacy_loss import LEAST_NOISE, MOST_NOISE, Event

SecureSum = Literal["none", "governance", "pairwise"]
WordBits = Literal[32, 64]
# A raw X25519 public key in hexadecimal; "" is none.
MaybeKey = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Groups = Annotated[int, Field(ge=1, le=1000)]

MOST_DELTA: Final = Decimal("0.01")


def _noise(text: str) -> str:
    if not LEAST_NOISE <= Decimal(text) <= MOST_NOISE:
        raise ValueError(f"a noise multiplier from {LEAST_NOISE} to {MOST_NOISE}")
    return text


def _probability(text: str) -> str:
    if not 0 < Decimal(text) <= 1:
        raise ValueError("a probability above 0 and at most 1")
    return text


def _delta(text: str) -> str:
    if not 0 < Decimal(text) <= MOST_DELTA:
        raise ValueError(f"a δ above 0 and at most {MOST_DELTA}")
    return text


Noise = Annotated[Amount, AfterValidator(_noise)]
Probability = Annotated[Amount, AfterValidator(_probability)]
Delta = Annotated[Amount, AfterValidator(_delta)]


class Privacy(Document):
    """How much of one unit the round's sum may tell.

    Attributes:
        unit: what is protected: one record, or all records of one subject.
        parts: into how many disjoint parts a node deals its rows; one unit lies in one part.
        sample: probability that a part is trained on, each by itself (Poisson sampling).
        noise: standard deviation of the noise in the released sum, in multiples of `clip_norm`.
        by: who adds it: each node its share, or governance in the sum of the masks.
        tolerated: of a cohort (a group of it), how many may be missing, or lie about their share,
            while the rest's shares still are all of `noise`; fewer are never released.
        delta: the δ at which ε is stated.
    """

    unit: Literal["record", "subject"]
    parts: Annotated[int, Field(ge=1, le=65_536)]
    sample: Probability
    noise: Noise
    by: Literal["nodes", "governance"]
    tolerated: Annotated[int, Field(ge=0, le=10_000)]
    delta: Delta

    def event(self) -> Event:
        """What one use tells of one unit."""
        return Event(Decimal(self.noise), Decimal(self.sample))


class PermitSum(Document):
    """How the updates under one permit are masked and added.

    Attributes:
        key: governance's one-time X25519 public key for this permit; "" unless it masks.
        word_bits, scale_bits: of the fixed point (policies.fixedpoint).
        words: how many words each vector has.
        groups: into how many groups the cohort is dealt; one sum of each is opened.
    """

    mode: Literal["governance", "pairwise"]
    key: MaybeKey
    word_bits: WordBits
    scale_bits: Annotated[int, Field(ge=0, le=62)]
    words: Annotated[int, Field(ge=1, le=1 << 28)]
    groups: Groups
