"""The left values that governance knows when it decides a round (DESIGN.md, step 3).

Each has its source with it, which the report shows. What is not known is left out: a constraint
over it is unknown, and unknown denies.
"""

from __future__ import annotations

from datetime import datetime

from policies.evaluate import Value
from policies.statements import RunSpec
from server.queries import Claim
from server.rows import RunRow


def left_values(
    claim: Claim, run: RunRow, spec: RunSpec, kind: str, now: datetime
) -> dict[str, Value]:
    """The state for one candidate; what depends on the cohort is added by `policies.cohort`.

    Args:
        claim: its agreement, product and owner, as they stand now.
        kind: `train` or `evaluate`.
        now: when it is decided, aware.
    """
    declared = f"log entry {run.entry}"
    state = {
        "purpose": Value(spec.purpose, declared),
        "dateTime": Value(now, "clock of governance"),
        "count": Value(claim.uses + 1, "permits so far, plus this one"),
        "recipient": Value(run.consumer, declared),
    }
    if claim.region:
        state["spatial"] = Value(claim.region, f"enrolment of {claim.participant}")
    return state
