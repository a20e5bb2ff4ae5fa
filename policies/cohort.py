"""The decision over a round's cohort (DESIGN.md, step 3): who may take part, together.

Leaving one candidate out can break what another asks of its company, so the cohort is decided as a
whole: it is the largest set whose every member is permitted when exactly that set takes part.

Why there is one largest such set: let F(S) be the candidates that are permitted when the
participants of S take part. `minParticipants`, `rowShare` and `togetherWith` may stand only in
permissions and not under `xone`, and with the operators they allow a larger S never turns a permit
into a denial: F is monotone on the finite lattice of subsets. By Knaster and Tarski F has a
greatest fixed point, and iterating F from the full set reaches it, in whatever order.

`notTogetherWith` runs the other way: a larger S can turn a permit into a denial. So each pass holds
fixed who *might* take part, and the passes alternate (Van Gelder, The alternating fixpoint of logic
programs with negation, 1993): from the largest set that is possible follows the set that is
certain, from that a smaller possible one, until neither changes. The certain set is the answer:
each of its members is permitted when exactly that set takes part. Two that exclude each other are
both possible and neither certain; as everywhere, what cannot be decided is denied. The run may be
opened again with the agreement of one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

from policies.canonical import Json, canonical_bytes, digest_of, sha256_hex
from policies.errors import PolicyError
from policies.evaluate import Effect, Reason, Report, Request, Value, evaluate
from policies.law import Baseline
from policies.odrl import Agreement
from policies.relations import PURPOSES, Purposes


@dataclass(frozen=True, slots=True)
class Candidate:
    """One product that a participant could bring into the round.

    Attributes:
        agreement: the one it would be used under; None is a refusal.
        facts: hard refusals found before policy, such as a withdrawn consent.
        state: every known left value but those of the cohort, which are decided here.
        rows: of the product, for its share in the cohort; 0 if not known.
    """

    participant: str
    product: str
    agreement: Agreement | None
    facts: Sequence[Reason]
    state: Mapping[str, Value]
    request: Request
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One candidate's part of the decision.

    Attributes:
        reasons: never empty; for people and programs.
        report: made with the cohort that was left when this verdict fell; None
            where a hard refusal made evaluation needless. It says PERMIT also where the candidate
            was refused with `cohort-too-small`, which is no matter of its agreement.
        document: the report as canonical JSON, made once; derived.
    """

    participant: str
    product: str
    permitted: bool
    reasons: tuple[Reason, ...]
    report: Report | None
    document: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        document = canonical_bytes(self.report.to_json()) if self.report else None
        object.__setattr__(self, "document", document)

    def to_json(self) -> dict[str, Json]:
        """The verdict as JSON, with the digest of its report."""
        return {
            "participant": self.participant,
            "product": self.product,
            "permitted": self.permitted,
            "reasons": [reason.to_json() for reason in self.reasons],
            "report": sha256_hex(self.document) if self.document is not None else None,
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
        """The decision as JSON, with the digests of its reports, ready for `canonical_bytes`."""
        return {
            "minCohort": self.min_cohort,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; computed anew at each access."""
        return digest_of(self.to_json())


def decide_round(
    candidates: Iterable[Candidate],
    *,
    min_cohort: int = 1,
    purposes: Purposes = PURPOSES,
    baseline: tuple[Baseline, ...] = (),
) -> RoundDecision:
    """Decide who takes part in one round; the order of the candidates does not matter.

    Args:
        min_cohort: distinct participants below which nobody takes part.
        purposes, baseline: as for `evaluate`.

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
    standing = [
        _Standing(one, one.agreement, purposes, baseline)
        for one in ordered
        if one.agreement and not one.facts
    ]
    remaining = _alternate(standing)
    reports = {(one.candidate.participant, one.candidate.product): one.report for one in standing}
    verdicts = [
        _verdict(one, reports.get((one.participant, one.product)), remaining, min_cohort)
        for one in ordered
    ]
    return RoundDecision(min_cohort, tuple(verdicts))


@dataclass(frozen=True, slots=True)
class Company:
    """Who takes part, as far as a candidate's policy may ask.

    Attributes:
        participants: distinct ones.
        rows: of all their products.
        possible: those that cannot be ruled out.
    """

    participants: Mapping[str, int]
    rows: int
    possible: frozenset[str]

    def values(self, agreement: Agreement, participant: str, rows: int) -> dict[str, Value]:
        """The left values that depend on the cohort, for one member of it.

        Only those of the participants that the agreement names are listed: a report would else
        repeat the whole cohort for each of its members.
        """
        found = {"minParticipants": Value(len(self.participants), _COHORT)}
        if agreement.partners:
            others = agreement.partners - {participant}
            here = tuple(sorted(name for name in others if name in self.participants))
            maybe = tuple(sorted(others & self.possible))
            found["togetherWith"] = Value(here, _COHORT)
            found["notTogetherWith"] = Value(maybe, _COHORT)
        if agreement.has_share and 0 < rows <= self.rows:
            found["rowShare"] = Value(row_share(rows, self.rows), _COHORT)
        return found


_COHORT = "the round's cohort"


def row_share(rows: int, total: int) -> Decimal:
    """A product's share of all rows, rounded up at six digits: never less than it is."""
    return Decimal(-(-rows * 10**6 // total)).scaleb(-6)


class _Standing:
    """A candidate without hard refusals, and its last report.

    Attributes:
        selective: whether it asks for more of its company than a number of participants.
        seen: with how many participants the last report was made.
    """

    __slots__ = ("agreement", "baseline", "candidate", "purposes", "report", "seen", "selective")

    def __init__(
        self,
        candidate: Candidate,
        agreement: Agreement,
        purposes: Purposes,
        baseline: tuple[Baseline, ...],
    ) -> None:
        self.candidate = candidate
        self.agreement = agreement
        self.purposes = purposes
        self.baseline = baseline
        self.selective = bool(agreement.partners) or agreement.has_share
        self.seen = 0
        self.report: Report

    def permitted_in(self, company: Company) -> bool:
        """Evaluate in this company, and keep the report."""
        one = self.candidate
        self.seen = len(company.participants)
        self.report = evaluate(
            self.agreement,
            one.request,
            {**one.state, **company.values(self.agreement, one.participant, one.rows)},
            purposes=self.purposes,
            baseline=self.baseline,
        )
        return self.report.effect is Effect.PERMIT


def _alternate(standing: list[_Standing]) -> int:
    """Settle the cohort; returns its number of participants, and leaves each its last report."""
    possible = frozenset(one.candidate.participant for one in standing)
    certain = _settle(standing, possible)
    if any(one.agreement.partners for one in standing):
        while (smaller := _settle(standing, certain)) != possible:
            possible = smaller
            certain = _settle(standing, possible)
        # The last pass was one for the possible set: let the reports be on the certain one.
        certain = _settle(standing, possible)
    return len(certain)


def _settle(standing: list[_Standing], possible: frozenset[str]) -> frozenset[str]:
    """Iterate from everybody to the greatest fixed point, with `possible` held fixed.

    Each turn drops all that are not permitted in the company that is left. Who asks for a number of
    participants only is looked at again just when the number falls below one of its thresholds, so
    that however many turns it takes, none is evaluated more often than it has thresholds.
    """
    left = _Left(standing)
    company = left.company(possible)
    steps = sorted(
        ((step, place) for place, one in enumerate(standing) for step in one.agreement.thresholds)
    )
    staying = dict(enumerate(standing))
    look = list(staying)
    while leaving := [place for place in look if not staying[place].permitted_in(company)]:
        for place in leaving:
            left.leave(staying.pop(place).candidate)
        company = left.company(possible)
        touched = {place for place, one in staying.items() if one.selective}
        while steps and steps[-1][0] > len(company.participants):
            touched.add(steps.pop()[1])
        look = sorted(touched & staying.keys())
    for one in staying.values():
        if one.agreement.thresholds and one.seen != len(company.participants):
            one.permitted_in(company)  # as before, but the report shows the final number
    return frozenset(company.participants)


class _Left:
    """Whose products are still in: counted, since a participant may bring several."""

    def __init__(self, standing: list[_Standing]) -> None:
        self.participants = Counter(one.candidate.participant for one in standing)
        self.rows = sum(one.candidate.rows for one in standing)

    def leave(self, candidate: Candidate) -> None:
        self.rows -= candidate.rows
        self.participants[candidate.participant] -= 1
        if not self.participants[candidate.participant]:
            del self.participants[candidate.participant]

    def company(self, possible: frozenset[str]) -> Company:
        return Company(self.participants, self.rows, possible)


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
