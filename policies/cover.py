"""Which part of a round's cohort its run's voucher pays for.

A run that pays is covered as a whole or in part, before its cohort is settled. The round is decided
as if the voucher covered everybody. If more are permitted than the balance pays for, only the first
of them in the decision's order (by participant, then product) are kept, the others are refused with
`voucher-exhausted`, and the round is decided again without those. Kept are as many as possible so
that the balance covers everybody who is permitted in the end: somebody who is kept may still fall,
for instance because the others were part of its minimum cohort.

So a minimum cohort counts only those who are paid, nobody is refused for want of units so that
somebody later in the order is paid, and the same candidates and balance always give the same
cohort. Where the balance suffices, the round is decided once; else about three times, and at most
some 2 log2(n) times for each turn. More turns than one are needed only where leaving somebody out
lets somebody else in (`notTogetherWith`); after `MAX_TURNS` nobody else is let in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from policies.account import Voucher
from policies.cohort import Candidate, RoundDecision, Verdict
from policies.results import Reason
from policies.values import decimal_text

MAX_TURNS: Final = 4


def decide_covered(
    candidates: Sequence[Candidate],
    decide: Callable[[Sequence[Candidate]], RoundDecision],
    *,
    pays: Decimal,
    voucher: Voucher | None,
) -> RoundDecision:
    """The decision in which everybody who is permitted is also paid; see the module.

    Args:
        decide: `policies.cohort.decide_round` with the round's minimum.
        pays: units for each; with 0 no voucher is needed.
        voucher: the run's; None covers nobody.
    """
    decision = decide(candidates)
    if pays == 0:
        return decision
    covered = voucher.covered(pays) if voucher is not None else 0
    balance = decimal_text(voucher.balance) if voucher is not None else "0"
    text = f"the run's voucher holds {balance} units, which pays for {covered} at {pays} each"
    reason = Reason("voucher-exhausted", text)
    for _ in range(MAX_TURNS):
        if len(decision.permitted) <= covered:
            return decision
        candidates = _cut(candidates, decision.permitted, decide, covered, reason)
        decision = decide(candidates)
    if len(decision.permitted) > covered:
        kept = {(one.participant, one.product) for one in decision.permitted[:covered]}
        decision = decide(_refusing(candidates, lambda place: place not in kept, reason))
    return decision


def _cut(
    candidates: Sequence[Candidate],
    permitted: Sequence[Verdict],
    decide: Callable[[Sequence[Candidate]], RoundDecision],
    covered: int,
    reason: Reason,
) -> Sequence[Candidate]:
    """The candidates, where of those permitted only as many as can be paid are not refused."""

    def keeping(number: int) -> Sequence[Candidate]:
        out = {(one.participant, one.product) for one in permitted[number:]}
        return _refusing(candidates, out.__contains__, reason)

    def fits(number: int) -> bool:
        return len(decide(keeping(number)).permitted) <= covered

    return keeping(_largest(covered, len(permitted) - 1, fits))


def _refusing(
    candidates: Sequence[Candidate], out: Callable[[tuple[str, str]], bool], reason: Reason
) -> Sequence[Candidate]:
    """The candidates, with a reason against each that stands otherwise and is out."""
    return [
        replace(one, facts=(reason,))
        if not one.facts and out((one.participant, one.product))
        else one
        for one in candidates
    ]


def _largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from least to most that fits, if all below one that fits do; at least
    `least`, untried."""
    low, high, step = least, most + 1, 1
    while low + 1 < high:
        middle = min(low + step, (low + high) // 2)
        if fits(middle):
            low, step = middle, step * 2
        else:
            high = middle
    return low
