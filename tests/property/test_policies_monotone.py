"""Less permission or more prohibition never permits more: 10,000 generated cases, each by its seed.

Each change below takes something from an agreement or from what is known, or adds a rule, a duty or
a law against it. Whoever was refused before stays refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import policies_generator as generate

from policies.evaluate import Effect, Report, Request, State, evaluate
from policies.law import Baseline
from policies.odrl import Agreement
from policies.rules import Constraint, Duty

CASES = 10_000
Case = tuple[Agreement, Request, State, tuple[Baseline, ...]]


def fewer_permissions(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    gone = random.randrange(len(agreement.permissions))
    kept = agreement.permissions[:gone] + agreement.permissions[gone + 1 :]
    return replace(agreement, permissions=kept), request, state, laws


def another_prohibition(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    added = generate.law(random).prohibitions
    return replace(agreement, prohibitions=agreement.prohibitions + added), request, state, laws


def another_constraint(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    place = random.randrange(len(agreement.permissions))
    rule = agreement.permissions[place]
    more = Constraint("$", "count", "lteq", random.choice(generate.WHOLE))
    tight = replace(rule, constraints=(*rule.constraints, more))
    permissions = (*agreement.permissions[:place], tight, *agreement.permissions[place + 1 :])
    return replace(agreement, permissions=permissions), request, state, laws


def another_duty(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    duty = Duty("$", random.choice(generate.DUTIES))
    return replace(agreement, obligations=(*agreement.obligations, duty)), request, state, laws


def another_law(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    return agreement, request, state, (*laws, generate.law(random))


def less_knowledge(random: Random, case: Case) -> Case:
    agreement, request, state, laws = case
    # Of a duty that is due later nothing but its violation matters, and not to know of a violation
    # is not to be held back by it.
    hidden = random.sample(sorted(state), min(3, len(state)))
    kept = {key: value for key, value in state.items() if key not in hidden or key in POST}
    return agreement, request, kept, laws


POST = frozenset(term for term in generate.DUTIES if not Duty("$", term).is_pre)
CHANGES: tuple[Callable[[Random, Case], Case], ...] = (
    fewer_permissions,
    another_prohibition,
    another_constraint,
    another_duty,
    another_law,
    less_knowledge,
)


def decide(case: Case) -> Report:
    agreement, request, state, laws = case
    return evaluate(agreement, request, state, baseline=laws)


def test_ten_thousand_cases_never_permit_more() -> None:
    refused: Counter[str] = Counter()
    for seed in range(CASES):
        random = Random(seed)
        agreement = generate.agreement(random)
        laws = (generate.law(random),) if random.random() < 0.2 else ()
        case: Case = (agreement, generate.request(random), generate.state(random, agreement), laws)
        before = decide(case).effect
        for change in CHANGES:
            after = decide(change(random, case)).effect
            assert before is Effect.PERMIT or after is Effect.DENY, (seed, change.__name__)
            refused[change.__name__] += before is not after
    # Each kind of change turned permits into refusals, so none of them is idle.
    assert min(refused[change.__name__] for change in CHANGES) > 20, refused
