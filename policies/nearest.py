"""What would have to be otherwise for a refused request to be permitted, as values to try.

`policies.explain` says it in sentences, as the policy does. Here are values: each way was decided
anew by `policies.evaluate`, together with the laws, and permits. One change is looked for first,
the nearest value of each left operand that is enough by itself. Where none is, the algebra
(`policies.algebra`) finds a state in which a permission carries the request, or knows that there is
none, and as much of that as the policy allows is put back to what was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from policies.algebra import Algebra, RuleSet, Undecided, Values
from policies.comparison import is_value
from policies.evaluate import Effect, Request, asked_by, evaluate
from policies.law import Baseline
from policies.odrl import Agreement
from policies.operands import ACTIONS, COVERS, FULFILLED, OPERANDS, Right
from policies.phrases import GROWING
from policies.relations import PURPOSES
from policies.results import State, Value
from policies.rows import Kind
from policies.rules import Constraint

MAX_TRIES: Final = 600
"""Decisions that one question may take."""
MAX_VALUES_TRIED: Final = 24
MAX_WAYS: Final = 8
TRIED: Final = "tried"

# What no run can choose: it is put back first, so that a way asks for it only where it must.
_GIVEN: Final = frozenset(
    {
        "classification",
        "personalInformation",
        "subjectConsent",
        "anonymization",
        "crossBorder",
        "spatialPermission",
        "filingNumber",
        "version",
        "spatial",
        "industry",
        "recipient",
        "executionEnvironment",
        "event",
        *GROWING,
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """One value that would have to be another.

    Attributes:
        term: a left operand, or the action of a duty.
        before: None where it is not known.
        after: None where it would have to be unknown, as only of a violated duty.
    """

    term: str
    before: Right | None
    after: Right | None

    @property
    def grows_only(self) -> bool:
        """Whether nothing but a new agreement brings the value down to this."""
        before: Any = self.before
        after: Any = self.after
        return self.term in GROWING and before is not None and after is not None and after < before


Way = tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Ways:
    """What was found.

    Attributes:
        ways: each is enough; the fewest changes first.
        never: no request for this action is permitted, by this policy under these laws.
        undecided: the rules combine in too many ways to look at all.
    """

    ways: tuple[Way, ...]
    never: bool = False
    undecided: bool = False


def nearest_permits(
    agreement: Agreement, request: Request, state: State, *, baseline: tuple[Baseline, ...] = ()
) -> Ways:
    """The nearest permitted requests; empty where this one is permitted already.

    Args:
        state: as it was decided with; what it lacks is unknown.
    """
    search = _Search(agreement, request, state, baseline)
    if (request.target, request.assignee) != (agreement.target, agreement.assignee):
        return Ways((), never=True)
    if search.permits(state):
        return Ways(())
    try:
        single = tuple(search.singles())
        return Ways(single[:MAX_WAYS]) if single else search.several()
    except Undecided:
        return Ways((), undecided=True)


class _Search:
    """One refused request."""

    def __init__(
        self, agreement: Agreement, request: Request, state: State, baseline: tuple[Baseline, ...]
    ) -> None:
        self._agreement = agreement
        self._request = request
        self._state = dict(state)
        self._baseline = baseline
        self._left = MAX_TRIES
        self._rules = RuleSet.of(agreement)
        self._laws = [RuleSet((), law.prohibitions) for law in baseline]
        covering = [
            rule
            for one in (self._rules, *self._laws)
            for rule in (*one.permissions, *one.prohibitions)
            if request.action in COVERS[rule.action]
        ]
        asked = asked_by(covering, agreement.obligations)
        self._terms = sorted(asked, key=lambda term: (term not in _GIVEN, term))

    def permits(self, state: State) -> bool:
        """Decide it; Undecided once `MAX_TRIES` is spent."""
        self._left -= 1
        if self._left < 0:
            raise Undecided("too-complex", "too many values would have to be tried")
        report = evaluate(self._agreement, self._request, state, baseline=self._baseline)
        return report.effect is Effect.PERMIT

    def singles(self) -> Iterator[Way]:
        """For each term the nearest value that is enough by itself."""
        for term in reversed(self._terms):  # what a run can choose comes first
            for after in self._candidates(term):
                if self.permits(_with(self._state, term, after)):
                    yield (self._change(term, after),)
                    break

    def several(self) -> Ways:
        """For each permission what it takes to be met, as little as possible."""
        algebra = Algebra([self._rules, *self._laws])
        action = self._request.action
        allowed = [algebra.allowed(one, action) for one in (self._rules, *self._laws)]
        found: dict[Way, None] = {}
        for rule in self._rules.permitting(action)[:MAX_WAYS]:
            values = algebra.find(algebra.granted(self._rules, rule), *allowed)
            if values is not None:
                found.setdefault(self._shrunk(values), None)
        found.pop((), None)
        return Ways(tuple(sorted(found, key=len)), never=not found)

    def _shrunk(self, values: Values) -> Way:
        """A permitted state, with everything put back that does not have to differ; () where it
        is not permitted, which the algebra rules out."""
        state = {term: one for term, one in self._state.items() if term not in self._terms}
        state |= {term: Value(value, TRIED) for term, value in values.items()}
        if not self.permits(state):
            return ()
        for term in self._terms:
            before = self._state.get(term)
            restored = _with(state, term, before.value if before else None)
            if self.permits(restored):
                state = restored
        changed = [term for term in self._terms if _value(state, term) != self._now(term)]
        for term in changed:
            for after in self._candidates(term):
                nearer = _with(state, term, after)
                if self.permits(nearer):
                    state = nearer
                    break
        return tuple(self._change(term, _value(state, term)) for term in changed)

    def _change(self, term: str, after: Right | None) -> Change:
        return Change(term, self._now(term), after)

    def _now(self, term: str) -> Right | None:
        return _value(self._state, term)

    def _candidates(self, term: str) -> list[Right | None]:
        """Values that are worth trying, the nearest first."""
        if term in ACTIONS and term not in OPERANDS:
            return [FULFILLED] if ACTIONS[term].duty == "pre" else [None]
        row, now = OPERANDS[term], self._now(term)
        leaves = [
            *self._rules.comparisons(),
            *(leaf for law in self._laws for leaf in law.comparisons()),
        ]
        named = [leaf for leaf in leaves if leaf.operand == term]
        if row.kind is Kind.NAMES:
            found: Iterable[Right] = _sets(named, now)
        elif row.kind is Kind.NAME:
            found = _names(term, named)
        else:
            found = sorted(_numbers(named), key=lambda value: _distance(value, now))
        fitting = [one for one in dict.fromkeys(found) if one != now and is_value(row, one)]
        return [*fitting[:MAX_VALUES_TRIED]]


def _names(term: str, leaves: Sequence[Constraint]) -> Iterator[Right]:
    """What the policy names, then what the profile knows."""
    for leaf in leaves:
        yield from leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),)
    row = OPERANDS[term]
    if term == "purpose":
        yield from PURPOSES
    elif row.pattern is not None and row.unit and ", " in row.unit:
        yield from row.unit.split(", ")


def _sets(leaves: Sequence[Constraint], now: Right | None) -> Iterator[Right]:
    """All that are named, none of them, and those that are here with or without each."""
    every = {
        name
        for leaf in leaves
        for name in (leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),))
    }
    here = frozenset(now) if isinstance(now, tuple) else frozenset()
    for name in sorted(every):
        yield tuple(sorted(here ^ {name}))
    yield tuple(sorted(here | every))
    yield tuple(sorted(here - every))


def _numbers(leaves: Sequence[Constraint]) -> Iterator[Right]:
    """Each bound, and what lies just beyond it on either side."""
    for leaf in leaves:
        right = leaf.right
        yield right
        if isinstance(right, datetime):
            yield from (right - timedelta(seconds=1), right + timedelta(seconds=1))
        elif isinstance(right, Decimal):
            exponent = right.as_tuple().exponent
            step = Decimal(1).scaleb(min(int(exponent), 0) - 2)
            yield from (right - step, right + step)
        elif isinstance(right, int):
            yield from (right - 1, right + 1)


def _distance(value: Any, now: Any) -> Any:
    """How far off; nothing is known about how far it is from what is not known."""
    if now is None:
        return type(value - value)(0) if isinstance(value, int | Decimal) else timedelta(0)
    return abs(value - now)


def _value(state: Mapping[str, Value], term: str) -> Right | None:
    found = state.get(term)
    return found.value if found is not None else None


def _with(state: Mapping[str, Value], term: str, value: Right | None) -> dict[str, Value]:
    rest = {name: one for name, one in state.items() if name != term}
    return rest if value is None else rest | {term: Value(value, TRIED)}
