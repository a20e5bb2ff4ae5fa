"""How many parts of its rows a node takes in a private use, on average, from what is public.

Who divides an opened sum by it has the mean of the parts' contributions; the number of parts that
were taken in fact is nobody's to know. How rows are dealt says clients.parts.
"""

from __future__ import annotations

from policies.privacy import Privacy


def expected_parts(privacy: Privacy, units: int) -> float:
    """Parts that are taken and have a unit: each of no more units than parts has one of its own,
    more of them lie in one at random.

    Args:
        units: that a node has: its rows, or subjects. Rows instead of subjects give too many parts
            at worst, and so a smaller step.
    """
    parts = privacy.parts
    hit = units if units <= parts else parts * (1 - (1 - 1 / parts) ** units)
    return float(privacy.sample) * hit
