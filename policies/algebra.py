"""Policies as sets of requests: where a rule holds, and where a policy permits.

A question about policies becomes formulas (`policies.algebra_constraints`) over finitely many
values that stand for all others (`policies.algebra_axes`), and an exact search for a state
(`policies.algebra_search`). The answers are those of `policies.evaluate`: what is unknown never
permits.

    algebra = Algebra([rules])
    algebra.find(algebra.granted(rules, permission))  # a state in which it holds, or None
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime

from policies.algebra_constraints import Asked, Constraints, Values
from policies.algebra_search import MAX_WORK, TRUE, Formula, Undecided, Work, find_box
from policies.odrl import Agreement, Offer
from policies.operands import ACTIONS, COVERS, FULFILLED, OPERANDS, VIOLATED, Action, Right
from policies.relations import PURPOSES, Purposes, relate_purposes
from policies.rules import Constraint, Duty, Logic, NextPolicy, Rule, leaves

__all__ = [
    "MAX_QUESTION",
    "Algebra",
    "Facts",
    "Formula",
    "RuleSet",
    "Undecided",
    "Values",
    "distinct_actions",
]

# Left operand, or action of a duty -> its value or state.
Facts = Mapping[str, Right]

# What one question may cost of the work that all questions about the policies may cost.
MAX_QUESTION = MAX_WORK // 4


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of an offer, an agreement or a `nextPolicy`, without its parties."""

    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]
    obligations: tuple[Duty, ...] = ()

    @staticmethod
    def of(policy: Offer | Agreement | NextPolicy) -> RuleSet:
        """The rules of a policy."""
        obligations = () if isinstance(policy, NextPolicy) else policy.obligations
        return RuleSet(policy.permissions, policy.prohibitions, obligations)

    def permitting(self, action: str) -> list[Rule]:
        """The permissions that cover an action."""
        return [rule for rule in self.permissions if action in COVERS[rule.action]]

    def prohibiting(self, action: str) -> list[Rule]:
        """The prohibitions that cover an action."""
        return [rule for rule in self.prohibitions if action in COVERS[rule.action]]

    def duties(self, rule: Rule) -> tuple[Duty, ...]:
        """Every duty of a permission."""
        return (*rule.duties, *self.obligations)

    def comparisons(self) -> Iterator[Constraint]:
        """Every comparison in it."""
        for rule in (*self.permissions, *self.prohibitions):
            yield from leaves(rule.constraints)
            for duty in rule.duties:
                yield from leaves(duty.constraints)
        for duty in self.obligations:
            yield from leaves(duty.constraints)


def distinct_actions(rules: Sequence[RuleSet]) -> list[str]:
    """One action for each way in which the rules cover actions, in the order of the table."""
    found: dict[frozenset[int], str] = {}
    everything = [rule for one in rules for rule in (*one.permissions, *one.prohibitions)]
    for action in COVERS:
        covering = [index for index, rule in enumerate(everything) if action in COVERS[rule.action]]
        if covering:
            found.setdefault(frozenset(covering), action)
    return list(found.values())


def unlisted_purposes(
    comparisons: Iterable[Constraint], purposes: Purposes = PURPOSES
) -> list[Constraint]:
    """Those that ask `isA` about a purpose that the taxonomy lacks: only itself belongs to it."""
    listed = {name for pair in purposes.items() for name in pair}
    return [
        leaf
        for leaf in comparisons
        if leaf.operator == "isA"
        and OPERANDS[leaf.operand].relate is relate_purposes
        and leaf.right not in listed
    ]


def _equalities(facts: Facts) -> list[Constraint]:
    return [Constraint("$", term, "eq", value) for term, value in facts.items() if term in OPERANDS]


def _stands(duty: Action, state: Right) -> bool:
    """Whether a duty in this state does not stand in the way of a permit."""
    return state == FULFILLED if duty.duty == "pre" else state != VIOLATED


class Algebra:
    """Questions about the rules of some policies.

    Args:
        purposes: the taxonomy for `isA`.
        moments: instants that the questions speak about besides those in the rules.
        facts: left values and states of duties that the questions speak about besides.

    Raises:
        Undecided: the rules ask for more work than `MAX_WORK`; so may all its methods.
    """

    def __init__(
        self,
        rules: Sequence[RuleSet],
        *,
        purposes: Purposes = PURPOSES,
        moments: Iterable[datetime] = (),
        facts: Iterable[Facts] = (),
    ) -> None:
        self._work = Work()
        self._constraints = Constraints(
            [
                *(leaf for known in facts for leaf in _equalities(known)),
                *(leaf for one in rules for leaf in one.comparisons()),
            ],
            [duty.action for one in rules for rule in one.permissions for duty in one.duties(rule)],
            purposes=purposes,
            moments=moments,
            work=self._work,
        )
        self._build = self._constraints.build
        self._made: dict[tuple[object, ...], tuple[Formula, tuple[object, ...]]] = {}

    @property
    def terms(self) -> list[str]:
        """Every left operand and duty that the rules ask about."""
        return self._constraints.terms

    def assuming(self, terms: Iterable[str]) -> Algebra:
        """The same questions, as if whatever is asked of these operands and duties were so."""
        other = copy(self)
        other._constraints = self._constraints.assuming(terms)
        other._made = {}
        return other

    def find(self, *formulas: Formula, goal: Formula = TRUE) -> Values | None:
        """A state in which all of these hold, with every value that the rules ask about.

        A value is left out only where none of its operand would do. None: there is no such state.

        Args:
            goal: one more formula, whose alternatives are tried one after the other.
        """
        work = Work(min(MAX_QUESTION, max(self._work.left, 0)))
        granted = work.left
        try:
            constraints = self._constraints
            box = find_box(constraints.full, (*formulas, *constraints.facts), goal, work)
        finally:
            self._work.left -= granted - work.left
        return None if box is None else self._constraints.values(box)

    def holds(self, part: Constraint | Logic | Duty) -> Formula:
        """The constraint is satisfied; of a duty, it does not stand in the way of a permit."""
        if isinstance(part, Duty):
            return self._fulfilled(part)
        return self._constraints.part(part, Asked.SATISFIED)

    def met(self, rule: Rule) -> Formula:
        """All constraints of the rule are satisfied."""
        return self._once(self._met, rule)

    def barred(self, prohibition: Rule) -> Formula:
        """The prohibition stands in the way: it is satisfied or unknown."""
        return self._constraints.all_of(prohibition.constraints, Asked.NOT_UNSATISFIED)

    def clear(self, prohibition: Rule) -> Formula:
        """The prohibition is unsatisfied."""
        return self._once(self._clear, prohibition)

    def granted(self, rules: RuleSet, permission: Rule) -> Formula:
        """The permission is satisfied and no duty of it stands in the way, prohibitions apart."""
        return self._once(self._granted, rules, permission)

    def withheld(self, rules: RuleSet, permission: Rule) -> Formula:
        """The permission is not satisfied, or one of its duties stands in the way."""
        return self._once(self._withheld, rules, permission)

    def allowed(self, rules: RuleSet, action: str) -> Formula:
        """No prohibition stands in the way of the action."""
        return self._once(self._allowed, rules, action)

    def any_met(self, prohibitions: Iterable[Rule]) -> Formula:
        """One of these has all its constraints satisfied."""
        return self._build.any_of([self.met(rule) for rule in prohibitions])

    def permits(self, rules: RuleSet, action: str) -> Formula:
        """The policy permits the action."""
        granted = [self.granted(rules, rule) for rule in rules.permitting(action)]
        return self._build.all_of([self._build.any_of(granted), self.allowed(rules, action)])

    def refused(self, rules: RuleSet, action: str) -> Formula:
        """The policy denies the action."""
        withheld = [self.withheld(rules, rule) for rule in rules.permitting(action)]
        barred = [self.barred(rule) for rule in rules.prohibiting(action)]
        return self._build.any_of([self._build.all_of(withheld), *barred])

    def known(self, facts: Facts) -> Formula:
        """Every operand has this value and every duty this state; others are as they may be."""
        values = [self._constraints.part(leaf, Asked.SATISFIED) for leaf in _equalities(facts)]
        states = [
            self._constraints.done(term, _stands(ACTIONS[term], state))
            for term, state in facts.items()
            if term in ACTIONS and term in self.terms
        ]
        return self._build.all_of([*values, *states])

    def from_on(self, moment: datetime) -> Formula:
        """The time is this moment, which must be one of the moments, or later."""
        return self._constraints.from_on(moment)

    def _once(self, make: Callable[..., Formula], *about: object) -> Formula:
        """A formula that several questions share; what it is about is kept, so ids stay unique."""
        key = (make.__name__, *map(id, about))
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = (make(*about), about)
        return found[0]

    def _met(self, rule: Rule) -> Formula:
        return self._constraints.all_of(rule.constraints, Asked.SATISFIED)

    def _clear(self, prohibition: Rule) -> Formula:
        return self._constraints.any_of(prohibition.constraints, Asked.UNSATISFIED)

    def _allowed(self, rules: RuleSet, action: str) -> Formula:
        return self._build.all_of([self.clear(rule) for rule in rules.prohibiting(action)])

    def _granted(self, rules: RuleSet, permission: Rule) -> Formula:
        duties = [self._fulfilled(duty) for duty in rules.duties(permission)]
        return self._build.all_of([self.met(permission), *duties])

    def _withheld(self, rules: RuleSet, permission: Rule) -> Formula:
        unmet = self._constraints.any_of(permission.constraints, Asked.NOT_SATISFIED)
        duties = [self._unfulfilled(duty) for duty in rules.duties(permission)]
        return self._build.any_of([unmet, *duties])

    def _fulfilled(self, duty: Duty) -> Formula:
        done = self._constraints.done(duty.action)
        met = self._constraints.all_of(duty.constraints, Asked.SATISFIED)
        return self._build.all_of([done, met])

    def _unfulfilled(self, duty: Duty) -> Formula:
        undone = self._constraints.done(duty.action, False)
        unmet = self._constraints.any_of(duty.constraints, Asked.NOT_SATISFIED)
        return self._build.any_of([undone, unmet])
