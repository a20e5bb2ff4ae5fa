"""Whether masks were released as the log allows it: once for a round, and for no smaller sum.

    release-once     one release for a run, kind and round; no permit for that round after it
    release-cohort   it is of an open permit with masks, and for exactly those whose receipts were
                     accepted and whose consent stands, in the groups that the permit deals them
                     into, with as many of each as it asks for
    release-apart    its cohorts differ from those of earlier releases about the same model, kind
                     and app by nobody or by at least `min_cohort`

The sums themselves are never logged: that the masks handed out were those of the named cohort is
seen by who opens the round, since no other masks make sense of what it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from policies.permit import PermitBody
from policies.release import (
    NO_SUMS,
    Cohort,
    MaskRelease,
    cohorts,
    released,
    told_apart,
    too_alike,
    too_few,
)

Fault = tuple[str, str]
Body = Mapping[str, Any]


class Releases:
    """All so far; memory grows with rounds, and with different cohorts about one model."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str, int], int] = {}
        # By model, kind and app: of each cohort the first entry and the largest `min_cohort`.
        self._about: dict[tuple[str, str, str], dict[frozenset[Cohort], tuple[int, int]]] = {}

    def permitted(self, permit: PermitBody) -> Iterator[Fault]:
        """`PermitIssued`: not for a round that was opened."""
        at = self._rounds.get((permit.run, permit.kind, permit.round))
        if at is not None:
            text = f"expected no further permit for {permit.kind} round {permit.round}"
            yield "release-once", f"{permit.id}: {text}, entry {at} released its masks"

    def take(
        self, index: int, body: Body, permit: PermitBody | None, standing: Collection[str]
    ) -> Iterator[Fault]:
        """`MasksReleased`.

        Args:
            permit: the open one that it names; None if there is none.
            standing: who has an accepted receipt under it and a consent that stands.

        Raises:
            DocumentError: in another form than governance writes.
        """
        release = MaskRelease.from_json(dict(body))
        place = release.run, release.kind, release.round
        before = self._rounds.setdefault(place, index)
        if before != index:
            text = f"expected one release for {release.kind} round {release.round} of {release.run}"
            yield "release-once", f"{text}, entry {before} is one"
        if permit is None:
            text = "expected the release of an open permit, got none"
            yield "release-cohort", f"{release.permit_id}: {text}"
            return
        for text in _unfit(release, permit, standing):
            yield "release-cohort", f"{permit.id}: {text}"
        if permit.privacy is not None:
            return  # its noise is counted, whatever else was opened
        ours = cohorts(release.groups)
        about = self._about.setdefault((permit.model, permit.kind, permit.app), {})
        for theirs, (at, theirs_least) in about.items():
            least = max(permit.min_cohort, theirs_least)
            few = told_apart(ours, theirs, least)
            if few:
                yield "release-apart", f"{permit.id}: {too_alike(at, least, few)}"
        at, theirs_least = about.get(ours, (index, 0))
        about[ours] = at, max(permit.min_cohort, theirs_least)


def _unfit(release: MaskRelease, permit: PermitBody, standing: Collection[str]) -> Iterator[str]:
    how = permit.secure_sum
    if how is None:
        yield "expected a permit with masks, got one without"
        return
    stated = {
        "permit_id": (permit.id, release.permit_id),
        "run": (permit.run, release.run),
        "round": (permit.round, release.round),
        "kind": (permit.kind, release.kind),
        "attempt": (permit.attempt, release.attempt),
        "words": (how.words, release.words),
    }
    if how.mode == "pairwise":
        stated["sums"] = (NO_SUMS, release.sums)
    for name, (expected, got) in stated.items():
        if expected != got:
            yield f"{name}: expected {expected}, got {got}"
    groups = released(permit, standing)
    if release.groups != groups:
        yield f"expected {_names(groups)}, got {_names(release.groups)}"
    elif text := too_few(permit, groups):
        yield text


def _names(groups: list[list[str]]) -> str:
    return " | ".join(", ".join(group) or "nobody" for group in groups)[:200]
