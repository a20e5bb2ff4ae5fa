"""Two policies side by side: do they contradict each other, and does one permit more?

`compare` decides exactly, for all requests at once, and shows a request that proves its verdict.
The request is decided anew with `policies.evaluate` before it is shown.

A conflict is one of

1. `permitted-and-prohibited`: a request that one policy permits meets a prohibition of the other;
2. `permits-nothing`, `nothing-in-common`: both have permissions for an action, and there is no
   request that both permit;
3. `duty-prohibited`: what one policy obliges to together with a permit, the other prohibits.

An offer names neither target nor assignee: it is compared as if the other policy's parties agreed
to it word for word. `nextPolicy` speaks about other products and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from policies.algebra import (
    Algebra,
    RuleSet,
    Undecided,
    Values,
    distinct_actions,
    unlisted_purposes,
)
from policies.odrl import Agreement
from policies.operands import OPERANDS
from policies.relations import PURPOSES, Purposes
from policies.rules import Constraint, Duty, Rule, leaves
from policies.sides import Comparison, Policy, Side, Witness

Within = tuple[bool | None, bool | None]


def compare(a: Policy, b: Policy, *, purposes: Purposes = PURPOSES) -> Comparison:
    """Whether two policies contradict each other, and whether one permits more.

    Args:
        purposes: the taxonomy for `isA`.

    Returns:
        `unknown` where the rules combine in too many ways, or where the answer hangs on a purpose
        that the taxonomy lacks; it is never guessed.
    """
    if isinstance(a, Agreement) and isinstance(b, Agreement):
        for what, one, other in (
            ("target", a.target, b.target),
            ("assignee", a.assignee, b.assignee),
        ):
            if one != other:
                text = f"the {what} of A is {one}, that of B is {other}: no request is for both"
                return Comparison("compatible", f"other-{what}", text)
    try:
        pair = _Pair(a, b, purposes)
    except Undecided as error:
        return Comparison("unknown", error.kind, str(error))
    return pair.compared()


def within(
    a: Policy, b: Policy, *, purposes: Purposes = PURPOSES
) -> tuple[bool | None, bool | None]:
    """Whether A permits only what B permits, and the other way round; None where undecided.

    Both are compared as if they were about the same parties.
    """
    try:
        return _Pair(a, b, purposes).within()
    except Undecided:
        return None, None


@dataclass(frozen=True, slots=True)
class _Conflict:
    kind: str
    reason: str
    witness: Witness | None = None


class _Pair:
    """Two policies about the same parties."""

    def __init__(self, a: Policy, b: Policy, purposes: Purposes) -> None:
        self._a = Side.of("A", a, b, purposes)
        self._b = Side.of("B", b, a, purposes)
        self._purposes = purposes
        rules = (self._a.rules, self._b.rules)
        self._algebra = Algebra(rules, purposes=purposes)
        self._actions = distinct_actions(rules)
        self._shared = [
            action for action in self._actions if all(one.permitting(action) for one in rules)
        ]

    def compared(self) -> Comparison:
        """The verdict; the first conflict that is found decides."""
        found = self._verdict()
        a_within_b, b_within_a = self.within()
        return replace(found, a_within_b=a_within_b, b_within_a=b_within_a)

    def _verdict(self) -> Comparison:
        common: Witness | None = None
        undecided: Undecided | None = None
        for check in (self._contradiction, self._common_request, self._duty_prohibited):
            try:
                found = check()
            except Undecided as error:
                undecided = undecided or error
                continue
            if isinstance(found, _Conflict):
                return Comparison("conflict", found.kind, found.reason, found.witness)
            common = found or common
        if undecided is not None:
            return Comparison("unknown", undecided.kind, str(undecided))
        if common is None:
            text = "there is no action that both have a permission for"
            return Comparison("compatible", "no-common-action", text)
        text = "both permit the request that is shown, and neither prohibits what the other permits"
        return Comparison("compatible", "common-request", text, common)

    def within(self) -> Within:
        """Whether A permits only what B permits, and the other way round."""
        return self._within(self._a, self._b), self._within(self._b, self._a)

    def _both_ways(self) -> Iterator[tuple[Side, Side]]:
        yield self._a, self._b
        yield self._b, self._a

    def _contradiction(self) -> _Conflict | None:
        """A request that one permits, and of which a prohibition of the other is satisfied."""
        algebra = self._algebra
        vague: list[Constraint] = []
        for permits, prohibits in self._both_ways():
            for action in self._actions:
                prohibitions = prohibits.rules.prohibiting(action)
                met = algebra.any_met(prohibitions)
                for rule in permits.rules.permitting(action) if prohibitions else ():
                    granted = algebra.granted(permits.rules, rule)
                    allowed = algebra.allowed(permits.rules, action)
                    values = algebra.find(granted, allowed, goal=met)
                    if values is not None:
                        return self._contradicted(permits, prohibits, action, values)
                    vague = vague or self._vague(permits, rule, action, prohibitions)
        if vague:
            raise _unlisted(vague)
        return None

    def _contradicted(
        self, permits: Side, prohibits: Side, action: str, values: Values
    ) -> _Conflict:
        permits.confirm_permitted(action, values)
        why = prohibits.confirm_prohibited(action, values)
        text = f"{permits.name} permits the request that is shown; in {prohibits.name}, {why}"
        return _Conflict("permitted-and-prohibited", text, self._a.witness(action, values))

    def _common_request(self) -> _Conflict | Witness | None:
        """A request that both permit; a conflict where both should and none is."""
        found = self._permitted_by_both(self._algebra)
        if found is not None:
            for side in (self._a, self._b):
                side.confirm_permitted(*found)
            return self._a.witness(*found)
        if not self._shared:
            return None
        actions = " or ".join(self._shared)
        for side in (self._a, self._b):
            if not self._permits_any(side, self._algebra):
                because = self._because(partial(self._permits_any, side))
                text = f"{side.name} permits no request to {actions}{because}"
                return _Conflict("permits-nothing", text)
        because = self._because(lambda one: self._permitted_by_both(one) is not None)
        text = f"both have permissions to {actions}, and there is no request that both permit"
        return _Conflict("nothing-in-common", text + because)

    def _permitted_by_both(self, algebra: Algebra) -> tuple[str, Values] | None:
        for action in self._shared:
            allowed = algebra.allowed(self._a.rules, action)
            other = algebra.permits(self._b.rules, action)
            for rule in self._a.rules.permitting(action):
                granted = algebra.granted(self._a.rules, rule)
                values = algebra.find(granted, allowed, other)
                if values is not None:
                    return action, values
        return None

    def _permits_any(self, side: Side, algebra: Algebra) -> bool:
        return any(
            algebra.find(algebra.permits(side.rules, action)) is not None for action in self._shared
        )

    def _duty_prohibited(self) -> _Conflict | None:
        """A duty that comes with a permit of one, and that the other prohibits there."""
        algebra = self._algebra
        for obliges, prohibits in self._both_ways():
            for action, rule, duty in _owed(obliges.rules, self._actions):
                prohibitions = prohibits.rules.prohibiting(duty.action)
                if not prohibitions:
                    continue
                met = algebra.any_met(prohibitions)
                granted = algebra.granted(obliges.rules, rule)
                values = algebra.find(granted, algebra.allowed(obliges.rules, action), goal=met)
                if values is not None:
                    return self._duty_conflict(obliges, prohibits, action, duty, values)
        return None

    def _duty_conflict(
        self, obliges: Side, prohibits: Side, action: str, duty: Duty, values: Values
    ) -> _Conflict:
        obliges.confirm_permitted(action, values)
        why = prohibits.confirm_prohibited(duty.action, values)
        text = (
            f"{obliges.name} permits the request that is shown and obliges to {duty.action} "
            f"({duty.path}); in {prohibits.name}, {why}"
        )
        return _Conflict("duty-prohibited", text, self._a.witness(action, values))

    def _within(self, inner: Side, outer: Side) -> bool | None:
        """Whether one permits only what the other permits; None where that is not decided."""
        algebra = self._algebra
        try:
            for action in self._actions:
                permitting = inner.rules.permitting(action)
                if not permitting:
                    continue
                allowed = algebra.allowed(inner.rules, action)
                refused = algebra.refused(outer.rules, action)
                for rule in permitting:
                    granted = algebra.granted(inner.rules, rule)
                    if algebra.find(granted, allowed, goal=refused) is not None:
                        return False
        except Undecided:
            return None
        return True

    def _because(self, possible: Callable[[Algebra], bool]) -> str:
        """Which operands and duties stand in the way of what would be possible without them.

        Raises:
            Undecided: the purpose is one of them, and the taxonomy lacks a purpose that was named.
        """
        assumed = self._algebra.terms
        if not possible(self._algebra.assuming(assumed)):
            return ": a prohibition without constraints forbids it"
        for term in self._algebra.terms:
            fewer = [one for one in assumed if one != term]
            if possible(self._algebra.assuming(fewer)):
                assumed = fewer
        comparisons = [*self._a.rules.comparisons(), *self._b.rules.comparisons()]
        if "purpose" in assumed and (found := unlisted_purposes(comparisons, self._purposes)):
            raise _unlisted(found)
        named = [
            OPERANDS[term].subject if term in OPERANDS else f"the duty to {term}"
            for term in assumed
        ]
        return f", because of what is asked of {' and of '.join(named)}"

    def _vague(
        self, permits: Side, permission: Rule, action: str, prohibitions: list[Rule]
    ) -> list[Constraint]:
        """The unlisted purposes on which it hangs whether a prohibition is met with a permit."""
        parts = [leaf for rule in (permission, *prohibitions) for leaf in leaves(rule.constraints)]
        found = unlisted_purposes(parts, self._purposes)
        if not found:
            return []
        algebra = self._algebra.assuming(["purpose"])
        granted = algebra.granted(permits.rules, permission)
        allowed = algebra.allowed(permits.rules, action)
        met = algebra.any_met(prohibitions)
        return found if algebra.find(granted, allowed, goal=met) is not None else []


def _owed(rules: RuleSet, actions: list[str]) -> Iterator[tuple[str, Rule, Duty]]:
    for action in actions:
        for rule in rules.permitting(action):
            for duty in rules.duties(rule):
                yield action, rule, duty


def _unlisted(found: Iterable[Constraint]) -> Undecided:
    shown = " and ".join(dict.fromkeys(str(leaf.right) for leaf in found))
    return Undecided(
        "unlisted-purpose",
        f"the table of purposes lacks {shown}, so it is not known which purposes belong to it; "
        "use a listed purpose, or eq instead of isA",
    )
