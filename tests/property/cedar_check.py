"""What our evaluator and Cedar say of one question."""

from __future__ import annotations

from policies.evaluate import Baseline, Effect, Request, State, evaluate
from policies.odrl import Agreement
from server.second_key import CedarKey

KEY = CedarKey()


def agree(
    agreement: Agreement, request: Request, state: State, laws: tuple[Baseline, ...] = ()
) -> Effect:
    """What both say.

    Raises:
        AssertionError: they differ, or Cedar met an error that it would skip.
    """
    ours = evaluate(agreement, request, state, baseline=laws)
    theirs = KEY.decide(ours, state)
    assert not theirs.errors
    assert theirs.effect is ours.effect, f"ours {ours.effect.value}, Cedar {theirs.effect.value}"
    return ours.effect
