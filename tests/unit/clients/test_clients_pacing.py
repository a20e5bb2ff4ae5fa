"""A private use's seconds: a slot for each part, and when the answer may leave."""

from __future__ import annotations

import pytest

from clients.errors import GateRefused
from clients.pacing import paced_s, slot_s


def test_all_slots_end_well_before_the_permits_seconds() -> None:
    assert slot_s(100, 60.0) == pytest.approx(0.48)
    assert slot_s(0, 60.0) == pytest.approx(48)
    with pytest.raises(GateRefused, match="at least 250 s; the permit allows 60 s"):
        slot_s(1000, 60.0)


@pytest.mark.parametrize(
    ("elapsed", "until"),
    [
        *((0.0, 0.0), (0.001, 1.0), (1.0, 1.0), (1.001, 1.5), (1.6, 2.0), (2.1, 3.0), (3.3, 4.0)),
        *((5.0, 6.0), (7.0, 8.0), (9.0, 12.0), (17.0, 24.0), (33.0, 48.0), (49.0, 54.0)),
        *((54.0, 54.0), (54.1, 54.1), (61.0, 61.0)),
    ],
)
def test_a_use_is_held_until_one_of_few_moments(elapsed: float, until: float) -> None:
    """Of the permit's 60 seconds."""
    assert paced_s(elapsed, 60.0) == pytest.approx(until)
