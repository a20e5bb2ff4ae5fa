"""The left values that are known when a round is decided (DESIGN.md, step 3).

Governance takes them from its registry; an auditor takes them from the log and gets the same.

Each has its source with it, which the report shows. What is not known is left out: a constraint
over it is unknown, and unknown denies. In particular a run without differential privacy has no
`epsilon`, nor has any run on a product that was used without it before: what leaves an enterprise
without noise has no bound that anything could be added to.

`epsilon` is of the product, not of the agreement: what several runs and consumers learn of the same
rows composes, whoever agreed to it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from policies.account import Account, Voucher
from policies.claim import Claim, Recipient
from policies.facts import agreement_facts, crossing_facts, product_facts
from policies.fields import instant, parse_instant
from policies.odrl import Agreement
from policies.operands import FULFILLED, PENDING
from policies.permit import EVENTS, use_amounts
from policies.privacy import Privacy
from policies.privacy_budget import epsilon
from policies.privacy_facts import privacy_facts
from policies.privacy_loss import Losses, loss_of
from policies.results import Value
from policies.room import Room
from policies.statements import RunSpec

MAX_STEP_BACK: Final = timedelta(minutes=5)


def decision_time(clock: datetime, last: str | None) -> datetime:
    """The moment that policies are evaluated at, in milliseconds: never before an earlier one's.

    So a limit of time that was reached stays reached when the clock is set back a little. A clock
    that was set back by more than `MAX_STEP_BACK` was wrong before, and is believed.

    Args:
        clock: what governance's clock says, aware.
        last: the latest moment of any decision so far.
    """
    now = parse_instant(instant(clock))
    before = parse_instant(last) if last is not None else now
    return before if now < before <= now + MAX_STEP_BACK else now


def epsilon_after(given: Losses, privacy: Privacy | None) -> Decimal | None:
    """ε at the run's δ once one more use was made of a product; None where no bound is known.

    Args:
        given: all losses of the product so far, under any agreement.
    """
    if privacy is None:
        return None
    return epsilon(given.plus(loss_of(privacy.event())), Decimal(privacy.delta))


def room_of(given: Losses, privacy: Privacy | None) -> Room:
    """What a refusal on ε is told with."""
    if privacy is None:
        return Room(given, None, None)
    return Room(given, privacy.event(), Decimal(privacy.delta))


def left_values(
    claim: Claim,
    agreement: Agreement,
    account: Account,
    given: Losses,
    spec: RunSpec,
    run_entry: int,
    consumer: str,
    kind: str,
    now: datetime,
    recipient: Recipient | None,
    voucher: Voucher | None,
) -> dict[str, Value]:
    """The state for one candidate; what depends on the cohort is added by `policies.cohort`.

    Args:
        claim: its agreement, product and owner, as they stand now.
        account: of the agreement.
        given: all losses of the product, settled and outstanding, under any agreement.
        run_entry: log index of `RunOpened`, which states `spec`.
        consumer: whose run it is.
        kind: `train` or `evaluate`.
        now: see `decision_time`.
        recipient: who receives the round's result.
        voucher: the run's, if it pays; whoever it does not cover is refused elsewhere
            (`policies.cover`).
    """
    standing = standing_values(
        claim, agreement, spec, run_entry, consumer, kind, recipient, voucher
    )
    return standing | passing_values(account, given, spec, now)


def standing_values(
    claim: Claim,
    agreement: Agreement,
    spec: RunSpec,
    run_entry: int,
    consumer: str,
    kind: str,
    recipient: Recipient | None,
    voucher: Voucher | None,
) -> dict[str, Value]:
    """Those that stay as they are from round to round, while nothing is registered anew.

    Args: as for `left_values`; of the voucher nothing counts but which one it is.
    """
    declared = f"log entry {run_entry}"
    state = {
        "purpose": Value(spec.purpose, declared),
        "recipient": Value(consumer, declared),
        "event": Value(EVENTS[kind], "the round that was asked for"),
        "algorithm": Value(spec.app, declared),
        "payAmount": Value(Decimal(spec.pays), declared),
    }
    if spec.privacy is not None:
        state["delta"] = Value(Decimal(spec.privacy.delta), declared)
    if spec.clip_norm:
        state["clipNorm"] = Value(Decimal(spec.clip_norm), declared)
    state |= privacy_facts(spec.secure_sum, spec.privacy, declared)
    if claim.region:
        state["spatial"] = Value(claim.region, f"enrolment of {claim.participant}")
    if recipient is not None and recipient.sector:
        state["industry"] = Value(recipient.sector, f"enrolment of {recipient.id}")
    if claim.execution_environment:
        stated = f"log entry {claim.product_entry}; the node measures it"
        state["executionEnvironment"] = Value(claim.execution_environment, stated)
    state |= law_facts(claim, agreement, kind, recipient)
    return state | _duties(run_entry, spec, voucher)


def passing_values(
    account: Account, given: Losses, spec: RunSpec, now: datetime
) -> dict[str, Value]:
    """Those that every round finds changed: the moment, and what was used until then."""
    left = account.left(use_amounts(spec.deadline_s, spec.privacy, spec.pays))
    state = {
        "dateTime": Value(now, "clock of governance"),
        "count": Value(left.uses, "permits so far, plus this one"),
        "meteredTime": Value(left.metered_s, "seconds used or reserved, plus this use's"),
    }
    loss = epsilon_after(given, spec.privacy)
    if loss is not None:
        state["epsilon"] = Value(loss, "uses of the product under any agreement, plus this one")
    elapsed = account.elapsed_s(now)
    if elapsed is not None:
        state["elapsedTime"] = Value(elapsed, "the first permit under the agreement")
    return state


def law_facts(
    claim: Claim, agreement: Agreement, action: str, recipient: Recipient | None
) -> dict[str, Value]:
    """The left values that laws ask for, each with the log entry that says it.

    Args:
        recipient: who receives the round's result.
    """
    region = recipient.region if recipient else ""
    entries = f"log entries {claim.participant_entry}, {claim.product_entry}"
    return {
        **product_facts(claim, f"log entry {claim.product_entry}"),
        **agreement_facts(agreement, action, region, f"log entry {claim.agreement_entry}"),
        **crossing_facts(
            claim.jurisdiction,
            claim.region,
            region,
            f"{entries} and {recipient.entry}" if recipient else entries,
        ),
    }


def _duties(run_entry: int, spec: RunSpec, voucher: Voucher | None) -> dict[str, Value]:
    """Pre-duties: `fulfilled`, or `pending` with what is missing."""
    compensated = Value(PENDING, "the run pays nothing")
    if voucher is not None and spec.pays != "0":
        compensated = Value(FULFILLED, f"{voucher.id} pays {spec.pays} units for each use")
    return {
        "compensate": compensated,
        "inform": Value(FULFILLED, f"log entry {run_entry}, which the owner can read"),
    }
