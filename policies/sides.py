"""The two policies that are compared, what was found, and the requests that show it.

A request is shown only after `policies.evaluate` decided it as the comparison says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from policies.algebra import RuleSet, Values
from policies.canonical import Json
from policies.errors import PolicyError
from policies.evaluate import Effect, Outcome, Report, Request, Value, evaluate
from policies.fields import instant
from policies.odrl import Agreement, Offer
from policies.operands import OPERANDS
from policies.relations import Purposes
from policies.sentences import reasons_barred
from policies.values import value_to_json

Policy = Offer | Agreement
Verdict = Literal["conflict", "compatible", "unknown"]

ANY_TARGET, ANY_ASSIGNEE = "any-product", "any-participant"


@dataclass(frozen=True, slots=True)
class Witness:
    """A request, as `tds policy decide --request` reads it.

    Attributes:
        values: left operands, among them the time, and fulfilled pre-duties.
    """

    target: str
    assignee: str
    action: str
    values: Values

    def to_json(self) -> dict[str, Json]:
        """The request as JSON."""
        at = self.values["dateTime"]
        assert isinstance(at, datetime)
        context: dict[str, Json] = {
            term: value_to_json(OPERANDS[term], value) if term in OPERANDS else str(value)
            for term, value in self.values.items()
            if term != "dateTime"
        }
        return {
            "target": self.target,
            "assignee": self.assignee,
            "action": self.action,
            "at": instant(at),
            "context": context,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found about two policies, A and B.

    Attributes:
        kind: which conflict, or why there is none, or no answer.
        witness: the request that proves a conflict, or that both permit; None where no single
            request proves it.
        a_within_b: whether A permits only what B permits; None where that was not decided.
    """

    verdict: Verdict
    kind: str
    reason: str
    witness: Witness | None = None
    a_within_b: bool | None = None
    b_within_a: bool | None = None

    def to_json(self) -> dict[str, Json]:
        """The comparison as JSON."""
        return {
            "verdict": self.verdict,
            "kind": self.kind,
            "reason": self.reason,
            "witness": self.witness.to_json() if self.witness else None,
            "a_within_b": self.a_within_b,
            "b_within_a": self.b_within_a,
        }


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies, between the parties that both are compared for."""

    name: Literal["A", "B"]
    agreement: Agreement
    purposes: Purposes
    rules: RuleSet = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", RuleSet.of(self.agreement))

    @staticmethod
    def of(name: Literal["A", "B"], policy: Policy, other: Policy, purposes: Purposes) -> Side:
        """An offer becomes the agreement with the other policy's parties, or with any."""
        if isinstance(policy, Agreement):
            return Side(name, policy, purposes)
        agreed = other if isinstance(other, Agreement) else None
        agreement = Agreement(
            id=policy.id,
            target=agreed.target if agreed else ANY_TARGET,
            assigner=policy.assigner or "any-owner",
            assignee=agreed.assignee if agreed else ANY_ASSIGNEE,
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            permissions=policy.permissions,
            prohibitions=policy.prohibitions,
            obligations=policy.obligations,
        )
        return Side(name, agreement, purposes)

    def witness(self, action: str, values: Values) -> Witness:
        """The request, between the parties that both policies are compared for."""
        return Witness(self.agreement.target, self.agreement.assignee, action, values)

    def confirm_permitted(self, action: str, values: Values) -> None:
        """Decide the request anew.

        Raises:
            PolicyError: it is not permitted, so the comparison is wrong.
        """
        if self._decided(action, values).effect is not Effect.PERMIT:
            raise _wrong(f"{self.name} permits", action, values)

    def confirm_prohibited(self, action: str, values: Values) -> str:
        """Decide the request anew; the sentence of a prohibition that is satisfied.

        Raises:
            PolicyError: none is satisfied, so the comparison is wrong.
        """
        for result in self._decided(action, values).rules:
            if result.rule.kind == "prohibition" and result.outcome is Outcome.SATISFIED:
                return next(reasons_barred(result)).text
        raise _wrong(f"{self.name} prohibits", action, values)

    def _decided(self, action: str, values: Values) -> Report:
        request = Request(self.agreement.target, self.agreement.assignee, action)
        state = {term: Value(value, "witness") for term, value in values.items()}
        return evaluate(self.agreement, request, state, purposes=self.purposes)


def _wrong(expected: str, action: str, values: Values) -> PolicyError:
    return PolicyError(
        f"compare: expected a request that {expected}, but evaluation decides {action} with "
        f"{dict(values)} otherwise; this is a defect of tdspace: report it with both policies"
    )
