"""The left values as a node itself knows them (step 6.7): from the permit and its own records.

What the node does not know is left out, and an agreement that asks for it denies. Its own counters
and its own clock stand beside governance's: each of the two can refuse, and only both permit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from clients.records import AgreementRecord, ProductRecord
from policies.account import whole_seconds
from policies.company import Company
from policies.envelope import unverified_payload
from policies.errors import DocumentError
from policies.evaluate import Value
from policies.facts import agreement_facts, crossing_facts, product_facts
from policies.fields import instant, parse_instant
from policies.left_values import epsilon_after
from policies.odrl import Agreement
from policies.operands import FULFILLED, PENDING
from policies.permit import EVENTS, CohortMember, PermitBody
from policies.places import jurisdiction_of
from policies.privacy_facts import fewest_opened, privacy_facts
from policies.statements import PRODUCT_TYPE, ProductCard

_OWN = "the node's own counters"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values are taken from.

    Attributes:
        member: this node's part of the permit's cohort.
        record: the node's own copy of the agreement, with its account.
        product: the node's own record of the product; None where it keeps none.
        region, environment: the node's place, and what confines apps there; "" if unknown.
        now: the node's clock.
    """

    body: PermitBody
    member: CohortMember
    agreement: Agreement
    record: AgreementRecord
    product: ProductRecord | None
    region: str
    environment: str
    now: datetime


def own_values(known: Sources) -> dict[str, Value]:
    """The state that the node evaluates its own copy of the agreement with."""
    body, permit = known.body, f"permit {known.body.id}"
    values = {
        "purpose": Value(body.purpose, permit),
        "recipient": Value(body.consumer, permit),
        "event": Value(EVENTS[body.kind], permit),
        "algorithm": Value(body.app, permit),
        "payAmount": Value(Decimal(known.member.pays), permit),
        "dateTime": Value(_now(known), "the node's clock"),
    }
    if body.privacy is not None:
        values["delta"] = Value(Decimal(body.privacy.delta), permit)
    if body.clip_norm:
        values["clipNorm"] = Value(Decimal(body.clip_norm), permit)
    mode = body.secure_sum.mode if body.secure_sum else "none"
    values |= privacy_facts(mode, body.privacy, permit)
    if known.region:
        values["spatial"] = Value(known.region, "the node's own configuration")
    if known.environment:
        values["executionEnvironment"] = Value(known.environment, "measured on this host")
    values |= _counted(known) | _company(known) | _duties(known)
    if body.consumer_sector:
        values["industry"] = Value(body.consumer_sector, permit)
    return values | _of_product(known) | _of_agreement(known)


def _counted(known: Sources) -> dict[str, Value]:
    left = known.record.left(known.body.reserved(known.member))
    values = {"count": Value(left.uses, _OWN), "meteredTime": Value(left.metered_s, _OWN)}
    loss = epsilon_after(known.record.given.losses, known.body.privacy)
    if loss is not None:
        values["epsilon"] = Value(loss, _OWN)
    first = known.record.first_use
    elapsed = 0 if first is None else whole_seconds(parse_instant(first), _now(known))
    if elapsed is not None:
        values["elapsedTime"] = Value(elapsed, "the first use under the agreement")
    return values


def _now(known: Sources) -> datetime:
    """In milliseconds, as the first use was recorded."""
    return parse_instant(instant(known.now))


def _company(known: Sources) -> dict[str, Value]:
    cohort = known.body.cohort
    participants = Counter(member.participant for member in cohort)
    company = Company(
        participants=participants,
        rows=sum(member.max_rows for member in cohort),
        possible=frozenset(participants),
        opened=_opened(known.body),
    )
    member = known.member
    return company.values(known.agreement, member.participant, member.max_rows)


def _opened(body: PermitBody) -> int | None:
    """Of how many participants at least a sum is that gets opened under the permit."""
    if body.secure_sum is None:
        return None
    return fewest_opened(body.secure_sum.mode, body.min_cohort)


def _of_product(known: Sources) -> dict[str, Value]:
    card = _card(known)
    if card is None:
        return {}
    facts = product_facts(card, "the product's card")
    of_region = jurisdiction_of(known.region) if known.region else ""
    source = f"the product's card and permit {known.body.id}"
    return facts | crossing_facts(
        card.jurisdiction or of_region, known.region, known.body.consumer_region, source
    )


def _of_agreement(known: Sources) -> dict[str, Value]:
    body = known.body
    return agreement_facts(known.agreement, body.kind, body.consumer_region, "the node's own copy")


def _duties(known: Sources) -> dict[str, Value]:
    """Pre-duties that the permit answers; those of the product are in `policies.facts`."""
    permit, pays = f"permit {known.body.id}", known.member.pays
    paid = known.body.voucher != "" and pays != "0"
    return {
        "compensate": Value(FULFILLED, f"{permit} pays {pays} units from {known.body.voucher}")
        if paid
        else Value(PENDING, f"{permit} pays nothing"),
        "inform": Value(FULFILLED, permit),
    }


def _card(known: Sources) -> ProductCard | None:
    """The card as the owner signed it; the node's own database vouches for it."""
    if known.product is None:
        return None
    try:
        payload = unverified_payload(known.product.card, payload_type=PRODUCT_TYPE)
        return ProductCard.from_json(payload)
    except DocumentError:  # one that another version of this program signed
        return None
