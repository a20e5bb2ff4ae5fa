"""The decision over a round's cohort (DESIGN.md, step 3): who may take part, together.

Leaving one candidate out can break what another asks of its company, so the cohort is decided as a
whole: it is the largest set whose every member is permitted when exactly that set takes part.

Why there is one largest such set: let F(S) be the candidates that are permitted when the
participants of S take part. `minParticipants`, `rowShare` and `togetherWith` may stand only in
permissions and not under `xone`, and with the operators they allow a larger S never turns a permit
into a denial (nor where secure sums bound the first of them by a number of the run's): F is
monotone on the finite lattice of subsets. By Knaster and Tarski F has a greatest fixed point, and
iterating F from the full set reaches it, in whatever order.

`notTogetherWith` runs the other way: a larger S can turn a permit into a denial. So each pass holds
fixed who *might* take part, and the passes alternate (Van Gelder, The alternating fixpoint of logic
programs with negation, 1993): from the largest set that is possible follows the set that is
certain, from that a smaller possible one, until neither changes. The certain set is the answer:
each of its members is permitted when exactly that set takes part. Two that exclude each other are
both possible and neither certain; as everywhere, what cannot be decided is denied. The run may be
opened again with the agreement of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final

from policies.canonical import Json, digest_of, sha256_hex
from policies.contenders import Standing
from policies.errors import PolicyError
from policies.evaluate import Effect, Reason, Report, Request, State, Value, evaluate
from policies.law import Baseline
from policies.odrl import Agreement
from policies.relations import PURPOSES, Purposes
from policies.room import Room
from policies.settling import settle

MAX_REPORT_BYTES: Final = 512 * 1024
"""A candidate whose report is larger is refused: it would not fit into a log entry, and nobody's
agreement may keep the others from their round."""
MAX_REASONS: Final = 16
MAX_REASON_TEXT: Final = 1000

_TOO_LARGE: Final = Reason(
    "report-too-large",
    f"a report on it would take more than {MAX_REPORT_BYTES} bytes; agree on a shorter policy",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One product that a participant could bring into the round.

    Attributes:
        agreement: the one it would be used under; None is a refusal.
        facts: hard refusals found before policy, such as a withdrawn consent.
        state: every known left value but those of the cohort, which are decided here.
        rows: of the product, for its share in the cohort; 0 if not known.
        room: what a refusal on ε is told with; None says no more than the report.
    """

    participant: str
    product: str
    agreement: Agreement | None
    facts: Sequence[Reason]
    state: Mapping[str, Value]
    request: Request
    rows: int = 0
    room: Room | None = None


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
        document = self.report.document() if self.report else None
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
    opened: int | None = None,
    purposes: Purposes = PURPOSES,
    baseline: tuple[Baseline, ...] = (),
    evaluate: Callable[..., Report] = evaluate,
) -> RoundDecision:
    """Decide who takes part in one round; the order of the candidates does not matter.

    Args:
        min_cohort: distinct participants below which nobody takes part.
        opened: of how many participants at least a sum is that gets opened, with secure sums.
        purposes, baseline: as for `evaluate`.
        evaluate: `policies.evaluate.evaluate`, or that of a `policies.memory.Memory`.

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
    while True:
        decision = _decided(
            ordered, min_cohort, opened, partial(evaluate, purposes=purposes, baseline=baseline)
        )
        large = {
            (one.participant, one.product)
            for one in decision.verdicts
            if one.document is not None and len(one.document) > MAX_REPORT_BYTES
        }
        if not large:
            return decision
        ordered = [
            replace(one, facts=(_TOO_LARGE,)) if (one.participant, one.product) in large else one
            for one in ordered
        ]


def bounded_reasons(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Reasons as a decision tells them: what is left out stands in the report."""
    told = [Reason(one.code, _cut(one.text)) for one in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        more = len(reasons) - MAX_REASONS
        told.append(Reason("more-reasons", f"and {more} more reasons, as the report shows"))
    return tuple(told)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REASON_TEXT else text[: MAX_REASON_TEXT - 1] + "…"


def _decided(
    ordered: Sequence[Candidate],
    min_cohort: int,
    opened: int | None,
    evaluate: Callable[[Agreement, Request, State], Report],
) -> RoundDecision:
    standing = {
        place: Standing(
            one.participant,
            one.agreement,
            one.request,
            one.state,
            one.rows,
            evaluate=evaluate,
        )
        for place, one in enumerate(ordered)
        if one.agreement and not one.facts
    }
    remaining = settle(list(standing.values()), opened)
    verdicts = [
        _verdict(one, standing[place].report if place in standing else None, remaining, min_cohort)
        for place, one in enumerate(ordered)
    ]
    return RoundDecision(min_cohort, tuple(verdicts))


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
    told = report.reasons() if candidate.room is None else candidate.room.told(report)
    return Verdict(participant, product, permitted, bounded_reasons(told), report)
