"""The baseline of a space in mainland China (`*.jsonld` beside this file), and how one is read."""

from policies.evaluate import barred
from policies.law import (
    Baseline,
    baseline_bytes,
    baseline_digest,
    parse_baseline,
    parse_baselines,
)

__all__ = [
    "Baseline",
    "barred",
    "baseline_bytes",
    "baseline_digest",
    "parse_baseline",
    "parse_baselines",
]
