"""What a refusal on ε says beside its figures: how many rounds would fit, with which noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from policies.evaluate import Report
from policies.operands import OPERANDS
from policies.outcomes import Outcome
from policies.privacy_budget import MOST_ROUNDS, STEP, remaining_rounds
from policies.privacy_loss import MOST_NOISE, Event, Losses
from policies.results import ConstraintResult, LogicResult, Reason, Result
from policies.values import decimal_text

CODE: Final = OPERANDS["epsilon"].code
UNKNOWN: Final = "unknown-value"
MAX_TOLD: Final = 2
MAX_DOUBLINGS: Final = 8
_NOT_KNOWN: Final = f"{OPERANDS['epsilon'].subject} is not known"


@dataclass(frozen=True, slots=True)
class Room:
    """What a candidate's product has given away, and what its run would add.

    Attributes:
        given: all losses of the product so far, under any agreement.
        event: of one use in the run, accounted at `delta`; None of a run without privacy.
    """

    given: Losses
    event: Event | None
    delta: Decimal | None

    def told(self, report: Report) -> tuple[Reason, ...]:
        """The report's reasons; those on ε say what would fit, or why no ε is known."""
        return tuple(self._told(reason, report) for reason in report.reasons())

    def _told(self, reason: Reason, report: Report) -> Reason:
        if reason.code == UNKNOWN and reason.text.startswith(_NOT_KNOWN):
            return Reason(reason.code, f"{reason.text}; {self._why()}")
        limit = min(_limits(report), default=None) if reason.code == CODE else None
        if limit is None or self.event is None or self.delta is None:
            return reason
        words = _words(self.given, self.event, self.delta, limit)
        return Reason(reason.code, f"{reason.text}; {words}")

    def _why(self) -> str:
        if self.event is None:
            return "the run has no differential privacy, so that nothing bounds what it would tell"
        times = "once" if self.given.unbounded == 1 else f"{self.given.unbounded} times"
        return f"the product was used {times} without differential privacy, which nothing bounds"


@lru_cache(maxsize=1024)
def _words(given: Losses, event: Event, delta: Decimal, limit: Decimal) -> str:
    found: list[tuple[int, str]] = []
    for doubling in range(MAX_DOUBLINGS + 1):
        noise = event.noise * 2**doubling
        if noise > MOST_NOISE or len(found) == MAX_TOLD or limit <= 0:
            break
        rounds = remaining_rounds(given, Event(noise, event.sample), limit, delta)
        if rounds:
            found.append((rounds, decimal_text(noise)))
        if rounds == MOST_ROUNDS:
            break
    if not found:
        return f"no more rounds would fit, not with {2**MAX_DOUBLINGS} times the noise either"
    (rounds, noise_text), *others = found
    some = f"{rounds} more {'round' if rounds == 1 else 'rounds'} would fit with noise {noise_text}"
    return some + "".join(f", or {more} with noise {text}" for more, text in others)


def _limits(report: Report) -> Iterator[Decimal]:
    """What ε may be at most, by the constraints of permissions that it does not meet."""
    for result in report.rules:
        if result.rule.kind == "permission":
            for leaf in _unmet(result.constraints):
                right = leaf.constraint.right
                if leaf.constraint.operand == "epsilon" and isinstance(right, Decimal):
                    if leaf.constraint.operator in ("lteq", "eq"):
                        yield right
                    elif leaf.constraint.operator == "lt":
                        yield right - STEP


def _unmet(parts: tuple[Result, ...]) -> Iterator[ConstraintResult]:
    for part in parts:
        if isinstance(part, LogicResult):
            yield from _unmet(part.parts)
        elif part.outcome is Outcome.UNSATISFIED:
            yield part
