"""What an author should know about a policy before anybody signs it.

`check` finds rules that can never hold, rules that others make needless, and policies that permit
nothing, or nothing for long enough. It is exact: a finding holds for all requests, and where a
question is too large to decide, a finding says so.

`offer_warnings` is for an offer that is about to be published beside others. `compare`
(`policies.conflicts`) sets two policies side by side.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from policies.algebra import Algebra, Facts, RuleSet, distinct_actions
from policies.conflicts import compare, within
from policies.facts import agreement_facts
from policies.fields import instant
from policies.findings import Finding, RuleCheck, Severity, decided, smallest
from policies.law import Baseline
from policies.odrl import Offer
from policies.relations import PURPOSES, Purposes
from policies.results import Value
from policies.sides import Comparison, Policy, Side, Witness

__all__ = [
    "Comparison",
    "Finding",
    "Severity",
    "Witness",
    "check",
    "compare",
    "offer_warnings",
    "within",
]

_SEVERITIES: Sequence[Severity] = ("error", "warning", "note")
_MILLISECOND = timedelta(milliseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC) - _MILLISECOND


_EXPIRED = Finding("error", "expired", "$", "", "let it last longer")
_ENDS_EARLY = Finding("warning", "ends-early", "$", "", "let it last until the run has ended")


def check(
    policy: Policy,
    *,
    at: datetime | None = None,
    until: datetime | None = None,
    purposes: Purposes = PURPOSES,
) -> tuple[Finding, ...]:
    """Everything an author should know about one policy, errors first.

    Args:
        at: now, aware; a policy that permits nothing from then on has expired (error).
        until: when a run could end, aware; a policy that permits nothing from then on ends too
            early (warning).
        purposes: the taxonomy for `isA`.
    """
    found = list(decided("$", _whole(policy, at, until, purposes)))
    parts = [("$", RuleSet.of(policy))]
    if policy.next_policy is not None:
        parts.append(("$.nextPolicy", RuleSet.of(policy.next_policy)))
    for path, rules in parts:
        found += decided(path, _rules(rules, path, purposes))
    return tuple(sorted(found, key=lambda one: (_SEVERITIES.index(one.severity), one.path)))


def offer_warnings(
    offer: Offer,
    others: Sequence[Offer],
    *,
    now: datetime,
    ends: datetime,
    purposes: Purposes = PURPOSES,
    baseline: Sequence[Baseline] = (),
    facts: Mapping[str, Value] = MappingProxyType({}),
) -> list[Finding]:
    """What an owner should know before an offer is published.

    It can never be met, or not under the space's laws; it ends before the run could end; beside
    another published offer of the same product it is needless, or makes that one needless.

    Args:
        others: the other published offers of the same product.
        now: aware.
        ends: when a run that started now could end, aware.
        baseline: the space's laws.
        facts: what is known about the product (`policies.facts.product_facts`).
    """
    found = list(decided("$", _whole(offer, now, ends, purposes)))
    if any(one.severity == "error" for one in found):
        # `check` lists the rules to blame beside this finding; here it stands alone.
        fix = "tds policy check tells which of its rules cannot be met"
        return [replace(one, fix=fix) if one.code == "permits-nothing" else one for one in found]
    found += decided("$", _lawful(offer, baseline, facts, purposes))
    for other in others:
        found += _beside(offer, other, purposes)
    return found


def _beside(offer: Offer, other: Offer, purposes: Purposes) -> Iterator[Finding]:
    """One offer makes another needless where it permits all that the other permits."""
    needless, shadows = within(offer, other, purposes=purposes)
    if needless and shadows:
        text = f"this offer permits exactly what the published offer {other.id} permits"
        yield Finding("warning", "equal-offer", "$", text, "publish one of them only")
    elif shadows:
        text = f"this offer permits all that the published offer {other.id} permits, and more"
        fix = "withdraw the other one, or narrow this one"
        yield Finding("warning", "shadows-offer", "$", text, fix)
    elif needless:
        text = f"the published offer {other.id} permits all that this offer permits, and more"
        fix = "publish it only if consumers should be able to choose less"
        yield Finding("note", "shadowed-offer", "$", text, fix)
    elif needless is None or shadows is None:
        text = f"it could not be decided how this offer stands to the published offer {other.id}"
        yield Finding("note", "undecided", "$", text, "compare them with tds policy compare")


def _lawful(
    offer: Offer, baseline: Sequence[Baseline], facts: Mapping[str, Value], purposes: Purposes
) -> Iterator[Finding]:
    """Whether the laws leave anything of an offer, for a product of which this is known."""
    rules = RuleSet.of(offer)
    agreement = Side.of("A", offer, offer, purposes).agreement
    laws = [(law, RuleSet((), law.prohibitions)) for law in baseline]
    product = {term: fact.value for term, fact in facts.items()}
    asked: dict[str, Facts] = {}
    for action in distinct_actions([rules, *(one for _, one in laws)]):
        if rules.permitting(action):
            agreed = agreement_facts(agreement, action, "", "offer")
            asked[action] = product | {term: fact.value for term, fact in agreed.items()}
    algebra = Algebra(
        [rules, *(one for _, one in laws)], purposes=purposes, facts=[product, *asked.values()]
    )

    def leaves_nothing(some: Sequence[tuple[Baseline, RuleSet]]) -> bool:
        return all(
            algebra.find(
                algebra.permits(rules, action),
                algebra.known(known),
                *(algebra.allowed(one, action) for _, one in some),
            )
            is None
            for action, known in asked.items()
        )

    if leaves_nothing([]):
        text = "what is registered about the product leaves nothing of this offer"
        fix = "register what the offer asks for, or ask for less"
        yield Finding("error", "product-excluded", "$", text, fix)
    elif leaves_nothing(laws):
        names = [law.title for law, _ in smallest(laws, leaves_nothing)]
        text = f"the laws of the space leave nothing of this offer: {'; '.join(names)}"
        fix = "agree to what the law asks for, or register what is missing with the product"
        yield Finding("error", "unlawful", "$", text, fix)


def _rules(rules: RuleSet, path: str, purposes: Purposes) -> Iterator[Finding]:
    yield from RuleCheck(Algebra([rules], purposes=purposes), rules, path, purposes).findings()


def _whole(
    policy: Policy, at: datetime | None, until: datetime | None, purposes: Purposes
) -> Iterator[Finding]:
    """Whether the policy permits anything, and for how long."""
    rules = RuleSet.of(policy)
    named = [leaf.right for leaf in rules.comparisons() if leaf.operand == "dateTime"]
    moments = {one for one in (*named, at, until) if isinstance(one, datetime)}
    after = {moment + _MILLISECOND for moment in moments if moment < _LAST}
    steps = sorted(moments | after)
    algebra = Algebra([rules], purposes=purposes, moments=steps)
    permits = [algebra.permits(rules, action) for action in distinct_actions([rules])]

    def nothing_from(moment: datetime | None) -> bool:
        during = [] if moment is None else [algebra.from_on(moment)]
        return all(algebra.find(formula, *during) is None for formula in permits)

    if nothing_from(None):
        text = "this policy can never permit anything"
        fix = "see the findings about its permissions" if rules.permissions else "add a permission"
        yield Finding("error", "permits-nothing", "$", text, fix)
        return
    for moment, found in ((at, _EXPIRED), (until, _ENDS_EARLY)):
        if moment is not None and nothing_from(moment):
            end = steps[bisect_left(steps, True, key=nothing_from)]
            text = f"nothing is permitted from {instant(end)} on; asked was for {instant(moment)}"
            yield replace(found, text=text)
            return
