"""What a run's terms of secure sums and of privacy say to the left operands that ask for them.

Governance takes the terms from the run's plan, the node from the permit, an auditor from the log:
the same terms give the same values. None of them is ever unknown: a run that states nothing adds
no mask and no noise.
"""

from __future__ import annotations

from decimal import Decimal

from policies.privacy import Privacy, SecureSum
from policies.results import Value


def privacy_facts(mode: SecureSum, privacy: Privacy | None, source: str) -> dict[str, Value]:
    """The left values of `secureAggregation`, `noise`, `noiseBy` and `privacyUnit`.

    Args:
        source: where the terms stand, such as a log entry.
    """
    return {
        "secureAggregation": Value(mode, source),
        "noise": Value(Decimal(privacy.noise if privacy else "0"), source),
        "noiseBy": Value(privacy.by if privacy else "none", source),
        "privacyUnit": Value(privacy.unit if privacy else "none", source),
    }


def fewest_opened(mode: SecureSum, min_cohort: int) -> int | None:
    """Of how many participants at least a sum is that gets opened; None without secure sums.

    Those who drop out after the permit are not in the sum, so that a cohort's size does not bound
    it. The least cohort does: each of its groups is opened with as many, or not at all.
    """
    return None if mode == "none" else min_cohort
