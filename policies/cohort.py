"""The decision over a round's cohort (DESIGN.md, step 3): who may take part, together.

Leaving one candidate out can break another's `minParticipants`, so the cohort is decided as a
whole: it is the largest set whose every member is permitted when exactly that set takes part.

Why there is one largest such set: let F(S) be the candidates that are permitted when the
participants of S take part. `minParticipants` allows only `gteq`, and intake refuses it in
prohibitions and under `xone`, so more participants never turn a permit into a denial: F is monotone
on the finite lattice of subsets. By Knaster and Tarski F has a greatest fixed point, and iterating
F from the full set reaches it, whatever the order of the candidates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from policies.canonical import Json, digest_of
from policies.errors import PolicyError
from policies.evaluate import Effect, Reason, Report, Request, Value, evaluate
from policies.odrl import Agreement
from policies.relations import PURPOSES, Purposes


@dataclass(frozen=True, slots=True)
class Candidate:
    """One product that a participant could bring into the round.

    Attributes:
        agreement: the one it would be used under; None is a refusal.
        facts: hard refusals found before policy, such as a withdrawn consent.
        state: every known left value but `minParticipants`, which is decided here.
    """

    participant: str
    product: str
    agreement: Agreement | None
    facts: Sequence[Reason]
    state: Mapping[str, Value]
    request: Request


@dataclass(frozen=True, slots=True)
class Verdict:
    """One candidate's part of the decision.

    Attributes:
        reasons: never empty; for people and programs.
        report: made with the number of participants that was left when this verdict fell; None
            where a hard refusal made evaluation needless. It says PERMIT also where the candidate
            was refused with `cohort-too-small`, which is no matter of its agreement.
    """

    participant: str
    product: str
    permitted: bool
    reasons: tuple[Reason, ...]
    report: Report | None

    def to_json(self) -> dict[str, Json]:
        """The verdict as JSON, with the whole report."""
        return {
            "participant": self.participant,
            "product": self.product,
            "permitted": self.permitted,
            "reasons": [reason.to_json() for reason in self.reasons],
            "report": self.report.to_json() if self.report else None,
        }


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """The decision over all candidates; `verdicts` are sorted by participant, then product."""

    min_cohort: int
    verdicts: tuple[Verdict, ...]

    @property
    def permitted(self) -> tuple[Verdict, ...]:
        """Who takes part."""
        return tuple(verdict for verdict in self.verdicts if verdict.permitted)

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """Who does not, with reasons."""
        return tuple(verdict for verdict in self.verdicts if not verdict.permitted)

    def to_json(self) -> dict[str, Json]:
        """The decision as JSON, ready for `canonical_bytes`."""
        return {
            "minCohort": self.min_cohort,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; computed anew at each access."""
        return digest_of(self.to_json())


def decide_round(
    candidates: Iterable[Candidate], *, min_cohort: int = 1, purposes: Purposes = PURPOSES
) -> RoundDecision:
    """Decide who takes part in one round; the order of the candidates does not matter.

    Args:
        min_cohort: distinct participants below which nobody takes part.
        purposes: as for `evaluate`.

    Raises:
        PolicyError: a candidate stands twice, or `min_cohort` is below 1.
    """
    if min_cohort < 1:
        raise PolicyError(f"min_cohort: expected at least 1 participant, got {min_cohort}")
    ordered = sorted(candidates, key=lambda one: (one.participant, one.product))
    for one, other in pairwise(ordered):
        if (one.participant, one.product) == (other.participant, other.product):
            raise PolicyError(
                f"candidates: expected each product once, got {one.product} of "
                f"{one.participant} twice; give one agreement for it"
            )
    standing = [_Standing(one, purposes) for one in ordered if one.agreement and not one.facts]
    remaining = _settle(standing)
    reports = {(one.candidate.participant, one.candidate.product): one.report for one in standing}
    verdicts = [
        _verdict(one, reports.get((one.participant, one.product)), remaining, min_cohort)
        for one in ordered
    ]
    return RoundDecision(min_cohort, tuple(verdicts))


class _Standing:
    """A candidate without hard refusals: how many participants it needs, and its last report."""

    __slots__ = ("candidate", "needs", "purposes", "report")

    def __init__(self, candidate: Candidate, purposes: Purposes) -> None:
        self.candidate = candidate
        self.purposes = purposes
        self.report: Report
        self.needs: int | None = self._needs()

    def _needs(self) -> int | None:
        """The fewest participants with which it is permitted; None: with no number of them.

        The outcome is a step function of the number, false before true, with steps only at the
        agreement's thresholds; so it is evaluated once, or a few times where thresholds exist,
        however many turns the cohort takes to settle.
        """
        assert self.candidate.agreement is not None
        steps = (0, *self.candidate.agreement.thresholds)
        found = bisect_left(steps, True, key=self.permitted_with)
        return steps[found] if found < len(steps) else None

    def permitted_with(self, participants: int) -> bool:
        """Evaluate with this many participants, and keep the report."""
        candidate = self.candidate
        assert candidate.agreement is not None
        cohort = Value(participants, "the round's cohort")
        state = {**candidate.state, "minParticipants": cohort}
        self.report = evaluate(
            candidate.agreement, candidate.request, state, purposes=self.purposes
        )
        return self.report.effect is Effect.PERMIT


def _settle(standing: list[_Standing]) -> int:
    """Iterate from everybody to the greatest fixed point; returns its number of participants.

    Each turn drops all that need more than are left. Sorted by need, those are the last ones, so
    that all turns together cost one pass.
    """
    products = Counter(one.candidate.participant for one in standing)
    most = len(products) + 1
    waiting = sorted(standing, key=lambda one: most if one.needs is None else one.needs)
    while waiting:
        left = len(products)
        leaving = []
        while waiting and (waiting[-1].needs is None or waiting[-1].needs > left):
            leaving.append(waiting.pop())
        if not leaving:
            break
        for one in leaving:
            _report_with(one, left)
            products[one.candidate.participant] -= 1
            if not products[one.candidate.participant]:
                del products[one.candidate.participant]
    for one in waiting:
        _report_with(one, len(products))
    return len(products)


def _report_with(one: _Standing, participants: int) -> None:
    assert one.candidate.agreement is not None
    if one.candidate.agreement.thresholds:
        one.permitted_with(participants)


def _verdict(
    candidate: Candidate, report: Report | None, remaining: int, min_cohort: int
) -> Verdict:
    participant, product = candidate.participant, candidate.product
    if report is None:
        reasons = tuple(candidate.facts) or (
            Reason("no-agreement", f"there is no agreement about {product} of {participant}"),
        )
        return Verdict(participant, product, False, reasons, None)
    permitted = report.effect is Effect.PERMIT
    if permitted and remaining < min_cohort:
        text = f"participants left in the round: {remaining}; it needs at least {min_cohort}"
        reasons = (Reason("cohort-too-small", text),)
        return Verdict(participant, product, False, reasons, report)
    return Verdict(participant, product, permitted, report.reasons(), report)
