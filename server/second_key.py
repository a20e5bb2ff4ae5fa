"""Two keys (off by default): a round goes ahead only where a second engine permits it as well.

The second engine reads the agreement anew (`policies.cedar`), so that a mistake in either reading
denies instead of permitting. A disagreement denies with the reason `engines-disagree`, and raises
an alarm: an entry `EnginesDisagreed` with the digests of both decisions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from policies.canonical import Json, sha256_hex
from policies.cedar import cedar_policies
from policies.cedar_values import cedar_entities, cedar_request
from policies.cohort import Candidate, RoundDecision
from policies.evaluate import Effect, Reason, Report, State, Value
from policies.operands import OPERANDS
from policies.refusals import disagreement_reason
from policies.relations import PURPOSES, Purposes
from policies.results import ConstraintResult, LogicResult, Result
from server.errors import SpaceError

if TYPE_CHECKING:
    from cedarpy import PolicySet

MAX_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What an engine says.

    Attributes:
        digest: SHA-256 over what it was asked and what it answered.
        errors: what went wrong inside; any of them denies.
    """

    effect: Effect
    digest: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two engines that say different things about one candidate of a round."""

    engine: str
    participant: str
    product: str
    report: Report
    other: Decision

    @property
    def reason(self) -> Reason:
        """Why the candidate is refused."""
        ours, theirs = self.report.effect.value, self.other.effect.value
        return disagreement_reason(ours, self.engine, theirs)

    def to_json(self) -> dict[str, Json]:
        """What the alarm says of it; digests only, for the report stands in the decision."""
        return {
            "participant": self.participant,
            "product": self.product,
            "agreement": self.report.agreement.id,
            "agreement_digest": self.report.agreement.digest,
            "decisions": {
                "tdspace": {"effect": self.report.effect.value, "digest": self.report.digest},
                self.engine: {"effect": self.other.effect.value, "digest": self.other.digest},
            },
        }


class SecondKey(Protocol):
    """A second engine."""

    name: str

    def decide(self, report: Report, state: State) -> Decision:
        """Decide anew what the report decided: its agreement, request and laws, in this state.

        Whatever goes wrong inside is a denial, not an error.
        """
        ...


class CedarKey:
    """Cedar as the second engine.

    Args:
        purposes: the taxonomy for `isA`.

    Raises:
        SpaceError: cedarpy is not installed, or it does not take the taxonomy.
    """

    name = "cedar"

    def __init__(self, *, purposes: Purposes = PURPOSES) -> None:
        try:
            import cedarpy  # noqa: PLC0415  an extra: only who turns two keys on needs it
        except ImportError as error:
            raise SpaceError(
                "two keys: expected cedarpy, the second engine, got no such package; install "
                "tdspace with its extra `cedar`, or start without --two-keys"
            ) from error
        self._cedar = cedarpy
        try:
            self._entities = cedarpy.Entities.from_json_str(json.dumps(cedar_entities(purposes)))
        except ValueError as error:
            raise SpaceError(
                f"two keys: expected a taxonomy without cycles, got {error}"
            ) from error
        self._compiled: dict[tuple[str, ...], tuple[str, PolicySet]] = {}

    def decide(self, report: Report, state: State) -> Decision:
        """Permit only if Cedar allows without any error; an engine that fails denies."""
        said: dict[str, object] = {"engine": self.name}
        effect = Effect.DENY
        try:
            digest, policies = self._policies(report)
            asked = cedar_request(report.request, state)
            said |= {"policies": digest, "request": asked}
            result = self._cedar.is_authorized(asked, policies, self._entities)
            errors = [str(error) for error in result.diagnostics.errors]
        except Exception as error:  # noqa: BLE001  a second key that fails must lock, not crash
            errors = [f"{type(error).__name__}: {error}"]
        else:
            if result.allowed and not errors:
                effect = Effect.PERMIT
        said |= {"effect": effect.value, "errors": errors}
        # Not canonical JSON of ours: Cedar's longs are larger than its integers may be.
        return Decision(
            effect, sha256_hex(json.dumps(said, sort_keys=True).encode()), tuple(errors)
        )

    def _policies(self, report: Report) -> tuple[str, PolicySet]:
        laws = [law for law, _ in report.laws]
        place = (report.agreement.digest, *(law.digest for law in laws))
        found = self._compiled.get(place)
        if found is None:
            if len(self._compiled) >= MAX_CACHED:
                self._compiled.clear()
            text = cedar_policies(report.agreement, laws)
            found = sha256_hex(text.encode()), self._cedar.PolicySet.from_str(text)
            self._compiled[place] = found
        return found


def decide_with_two_keys(
    candidates: Sequence[Candidate],
    key: SecondKey | None,
    decide: Callable[[Sequence[Candidate]], RoundDecision],
) -> tuple[RoundDecision, tuple[Disagreement, ...]]:
    """Decide a round with both engines: nobody takes part whom either refuses.

    Whoever the second engine refuses is a hard refusal, and the cohort is settled again without
    them, since they may have been what another's minimum rested on. Each turn refuses one candidate
    or more, so the turns end. A refusal that the second engine would not have made is an alarm as
    well, and stays a refusal.

    Args:
        key: None where the space has one key only.
        decide: the round's decision by our own evaluator.
    """
    if key is None:
        return decide(candidates), ()
    standing = {(one.participant, one.product): one for one in candidates}
    found: dict[tuple[str, str], Disagreement] = {}
    while True:
        decision = decide(list(standing.values()))
        barred = []
        for verdict in decision.verdicts:
            place = verdict.participant, verdict.product
            if verdict.report is None:
                continue
            if place not in found:
                other = key.decide(verdict.report, _state(standing[place], verdict.report))
                if other.effect is verdict.report.effect:
                    continue
                found[place] = Disagreement(key.name, *place, verdict.report, other)
            # Also one that ours refused in an earlier turn, and would let in without a rival now.
            if verdict.permitted:
                barred.append(found[place])
        if not barred:
            return decision, tuple(found[place] for place in sorted(found))
        for one in barred:
            place = one.participant, one.product
            facts = (*standing[place].facts, one.reason)
            standing[place] = replace(standing[place], facts=facts)


def _state(candidate: Candidate, report: Report) -> State:
    """What the report was made with: the candidate's values, and the cohort's from the report."""
    state: dict[str, Value] = {}
    for result in report.rules:
        for leaf in _leaves(result.constraints):
            if leaf.value is not None and OPERANDS[leaf.constraint.operand].cohort:
                state[leaf.constraint.operand] = leaf.value
    return state | dict(candidate.state)


def _leaves(parts: tuple[Result, ...]) -> Iterator[ConstraintResult]:
    for part in parts:
        if isinstance(part, LogicResult):
            yield from _leaves(part.parts)
        else:
            yield part
