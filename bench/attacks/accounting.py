"""The noise that an epsilon needs, and what it promises at the least.

T rounds of one unit's contribution of L2 norm at most C, each under noise of standard deviation
z C, are exactly as private as one Gaussian mechanism of mu = sqrt(T) / z (Dong, Roth, Su, Gaussian
differential privacy, 2022); z is what `tds run start` would plan (policies.privacy_budget).
"""

from __future__ import annotations

import math
from decimal import Decimal

from scipy.special import ndtr

from policies.privacy_budget import noise_for

DELTA = Decimal("0.00001")
EPSILONS = (math.inf, 60.0, 8.0, 3.0)


def noise_of(epsilon: float, rounds: int) -> float:
    """The noise multiplier z of each of so many rounds; 0 for an infinite epsilon."""
    if math.isinf(epsilon):
        return 0.0
    found = noise_for(Decimal(epsilon), DELTA, rounds)
    if found is None:
        raise ValueError(f"epsilon: expected one that some noise reaches, got {epsilon}")
    return float(found)


def most_area(noise: float, rounds: int) -> float:
    """What no membership inference's AUC exceeds: that of two normals mu apart."""
    return float(ndtr(math.sqrt(rounds / 2) / noise)) if noise else 1.0
