"""What the documentation promises of the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.attacks.measure import Rebuilt, Told
from bench.attacks.similarity import RECOGNISED

MOST_AUC = 0.52
LEAST_ACCURACY = 0.95
PRIVATE = ("8", "3")


def broken(records: Sequence[Rebuilt], members: Sequence[Told]) -> list[str]:
    """Each promise that the figures do not keep, in words; of what was measured only."""
    return [*_records(records), *_members(members), *_accuracy(members)]


def _records(records: Sequence[Rebuilt]) -> Iterable[str]:
    others = {one.data: one.found.mean for one in records if one.seen == "the nearest other record"}
    for one in records:
        if not any(one.seen.endswith(f"ε {epsilon}") for epsilon in PRIVATE):
            continue
        if one.found.mean > others[one.data]:
            yield (
                f"{one.data}, {one.seen}, {one.attack}: expected a mean of at most "
                f"{others[one.data]:.1f} dB, the nearest other record, got {one.found.mean:.1f}"
            )
        # Where the mean record is nearer than that to some, the bound says nothing.
        if one.data == "digits" and one.found.best >= RECOGNISED:
            yield (
                f"{one.data}, {one.seen}, {one.attack}: expected none at {RECOGNISED:g} dB, "
                f"got {one.found.best:.1f}"
            )


def _members(members: Sequence[Told]) -> Iterable[str]:
    # Where an epsilon has a plan of fewest rounds beside the most accurate one, that is promised.
    short = {one.data for one in members if one.training.startswith("8,")}
    for one in members:
        promised = one.training.startswith(PRIVATE) and (
            one.training != "8" or one.data not in short
        )
        if promised and one.lira.auc > MOST_AUC:
            yield (
                f"{one.data}, ε {one.training}: expected LiRA's AUC to be at most {MOST_AUC}, "
                f"got {one.lira.auc:.3f}"
            )


def _accuracy(members: Sequence[Told]) -> Iterable[str]:
    of_digits = {one.training: one.accuracy for one in members if one.data == "digits"}
    if "3" in of_digits:
        best = max(of_digits.values())
        if of_digits["3"] < LEAST_ACCURACY * best:
            yield (
                f"digits, ε 3: expected {LEAST_ACCURACY:.0%} of the accuracy without, "
                f"{best:.3f}, got {of_digits['3']:.3f}"
            )
