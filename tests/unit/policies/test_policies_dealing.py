"""How many parts a node takes on average."""

from __future__ import annotations

import pytest

from policies.dealing import expected_parts
from policies.privacy import Privacy


@pytest.mark.parametrize(
    ("parts", "sample", "units", "wanted"),
    [
        (1, "1", 5, 1.0),
        (10, "1", 0, 0.0),
        (10, "1", 1, 1.0),
        (10, "0.5", 10, 5.0),
        (10, "1", 11, 6.862),
        (100, "1", 1000, 99.9957),
        (100, "0.1", 1000, 9.99957),
    ],
)
def test_how_many_parts_are_taken(parts: int, sample: str, units: int, wanted: float) -> None:
    privacy = Privacy(
        unit="record",
        parts=parts,
        sample=sample,
        noise="1",
        by="nodes",
        tolerated=0,
        delta="0.00001",
    )
    assert expected_parts(privacy, units) == pytest.approx(wanted, abs=1e-3)
