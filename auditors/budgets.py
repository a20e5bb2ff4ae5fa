"""Whether the ε that permits state is what the log amounts to, by another method than governance's.

    budget-recomputed   a permit states, for each member, the ε of all that its product has given
                        away, the use included, at the permit's δ; none where nothing bounds it

Losses are those of the permits before it: what a permit set aside of a product is never given back,
whether its reply came or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from auditors.recomputed import agree, recomputed
from auditors.register import Register
from policies.permit import CohortMember, PermitBody
from policies.privacy_loss import loss_of

RULE = "budget-recomputed"


def check_budgets(register: Register, permit: PermitBody) -> Iterator[tuple[str, str]]:
    """Every member whose ε is another; the register is as it was before the permit."""
    for member in permit.cohort:
        expected = _expected(register, permit, member)
        if expected is not None:
            got = member.epsilon or "none"
            text = f"{permit.id}, {member.product}: expected {expected}, got ε {got}"
            yield RULE, text


def _expected(register: Register, permit: PermitBody, member: CohortMember) -> str | None:
    """What should stand there; None where it does."""
    given, privacy = register.given(member.product).losses, permit.privacy
    if privacy is None or given.unbounded:
        return "no ε, since nothing bounds it" if member.epsilon else None
    losses, delta = given.plus(loss_of(privacy.event())), Decimal(privacy.delta)
    if member.epsilon and agree(Decimal(member.epsilon), losses, delta):
        return None
    return f"ε {recomputed(losses, delta):.6f} at δ {privacy.delta} of {losses}"
