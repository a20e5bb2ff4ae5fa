"""What binds the model that a run makes: the strictest of what went into it (nextPolicy).

A model after round n derives from every product used in rounds 1 to n, so each close adds to what
the close before it said. An evaluation, or a round without a quorum, makes no model and adds
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from policies.canonical import Json

CLASSIFICATIONS: Final = ("general", "important", "core")

NOTHING_DERIVED: Final[Mapping[str, Json]] = {"classification": "general", "next_policies": []}


def derived_from(
    before: Mapping[str, Any], used: Iterable[tuple[str, str | None]]
) -> dict[str, Json]:
    """The strictest classification, and the digests of all next policies, ascending.

    Args:
        before: what the run's last close said, or `NOTHING_DERIVED`.
        used: classification, and digest of the agreement's `nextPolicy` if it has one, of each
            product whose update is in the model.
    """
    items = list(used)
    classes = [before["classification"], *(classification for classification, _ in items)]
    policies = {*before["next_policies"], *(digest for _, digest in items if digest is not None)}
    return {
        "classification": max(classes, key=CLASSIFICATIONS.index),
        "next_policies": sorted(policies),
    }
