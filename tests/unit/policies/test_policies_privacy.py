"""What a run may say of secure sums and privacy, and what fits together."""

from __future__ import annotations

from typing import Any

import pytest
from test_policies_statements import DOCUMENTS

from policies.errors import DocumentError
from policies.privacy import PermitSum, Privacy
from policies.statements import RunSpec

SPEC: dict[str, Any] = DOCUMENTS[RunSpec]
PRIVACY: dict[str, Any] = SPEC["privacy"]
PLAIN: dict[str, Any] = {"privacy": None, "secure_sum": "none", "groups": 1}
SUM: dict[str, Any] = {
    "mode": "governance",
    "key": "a" * 64,
    "word_bits": 32,
    "scale_bits": 20,
    "words": 100,
    "groups": 1,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unit", "enterprise"),
        ("parts", 0),
        ("parts", 65_537),
        ("sample", "0"),
        ("sample", "1.1"),
        ("sample", 1),
        ("noise", "0"),
        ("noise", "-1"),
        ("noise", "NaN"),
        ("noise", "1000000000"),
        ("noise", "0.001"),
        ("noise", 4),
        ("by", "app"),
        ("tolerated", -1),
        ("delta", "0"),
        ("delta", "1"),
        ("delta", "1e-5"),
        ("delta", 0.00001),
        ("epsilon", "1"),
    ],
)
def test_terms_of_privacy_out_of_bounds_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        Privacy.from_json(PRIVACY | {field: value})
    assert caught.value.where == f"$.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "none"),
        ("key", "a" * 63),
        ("word_bits", 16),
        ("scale_bits", -1),
        ("scale_bits", 63),
        ("words", 0),
        ("words", (1 << 28) + 1),
        ("groups", 0),
    ],
)
def test_terms_of_a_sum_out_of_bounds_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        PermitSum.from_json(SUM | {field: value})
    assert caught.value.where == f"$.{field}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clip_norm": ""}, "a clip_norm with a secure sum"),
        ({"groups": 1, "min_cohort": 1}, "a min_cohort of at least 2"),
        ({"secure_sum": "pairwise"}, "groups of 1, or a secure_sum of governance"),
        ({"groups": 3}, "no more groups than min_cohort"),
        ({"secure_sum": "none", "groups": 1}, "a secure_sum with privacy"),
        (
            {"secure_sum": "pairwise", "groups": 1, "privacy": PRIVACY | {"by": "governance"}},
            "privacy by governance only with",
        ),
        ({"privacy": PRIVACY | {"tolerated": 1}}, "fewer tolerated than a group has members"),
        ({"aggregation": "multi-krum"}, "no multi-krum with a secure sum"),
        ({"aggregation": "median"}, "groups of at least 3"),
        (PLAIN | {"aggregation": "trimmed-mean"}, "a quorum of at least 3"),
        (PLAIN | {"aggregation": "multi-krum", "quorum": 4}, "a quorum of at least 5"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(DocumentError, match=expected):
        RunSpec.from_json(SPEC | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"privacy": None},
        {"privacy": None, "secure_sum": "none", "groups": 1},
        {"secure_sum": "pairwise", "groups": 1},
        {"privacy": PRIVACY | {"by": "governance"}},
        {"groups": 1, "privacy": PRIVACY | {"tolerated": 1}},
        {"groups": 3, "min_cohort": 3, "aggregation": "median"},
        {"groups": 3, "min_cohort": 3, "aggregation": "trimmed-mean"},
        PLAIN | {"aggregation": "median", "quorum": 3},
        PLAIN | {"aggregation": "multi-krum", "quorum": 5},
    ],
)
def test_what_fits_together_reads_back(changes: dict[str, Any]) -> None:
    spec = RunSpec.from_json(SPEC | changes)
    assert spec.to_json() == SPEC | changes
