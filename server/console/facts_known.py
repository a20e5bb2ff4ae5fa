"""What the space knows about a use that nobody has asked for yet: the form's first values.

An agreement's values are those that a round would be decided with (`policies.left_values`), of the
run that is named, or of a plain one. An offer has no account yet: its first use is looked at, and ε
stays unknown, since what a product has spent already is for the parties of its agreements.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from policies.account import Account
from policies.canonical import Json
from policies.claim import Claim
from policies.company import row_share
from policies.errors import PolicyError
from policies.left_values import decision_time, left_values
from policies.odrl import Agreement, Offer, agreement_from_offer
from policies.permit import EVENTS
from policies.privacy_facts import fewest_opened
from policies.privacy_loss import NO_LOSSES
from policies.results import Value
from policies.rules import leaves
from policies.statements import RunSpec
from server import accounts, queries
from server.console.run_form import MIB, NUMBERS, TEXTS
from server.console.shelf import Held
from server.errors import NotKnown
from server.rows import RunRow

_LIST: Final = "the space's list"
ANY: Final = "any"  # stands for a purpose that nobody named


@dataclass(frozen=True, slots=True)
class Scene:
    """A use that could be asked for.

    Attributes:
        run: the run in which; None is a plain one.
        consumer: who would ask; "" is anybody.
    """

    held: Held
    run: RunRow | None
    consumer: str
    action: str
    now: datetime


def known_state(connection: Connection, scene: Scene) -> dict[str, Value]:
    """Left values and states of duties, as far as they are known.

    Raises:
        NotKnown: the product is not registered any more.
    """
    spec = _spec(connection, scene)
    claim = _claim(connection, scene.held)
    agreement = _agreement(scene)
    account, given = Account(), NO_LOSSES
    if scene.held.kind == "agreement":
        account = accounts.accounts(connection, [scene.held.id])[scene.held.id]
        given = accounts.of_products(connection, {claim.product})[claim.product].losses
    voucher = accounts.voucher(connection, spec.voucher) if spec.pays != "0" else None
    state = left_values(
        claim,
        agreement,
        account,
        given,
        spec,
        scene.run.entry if scene.run else 0,
        scene.consumer,
        scene.action if scene.action in EVENTS else "train",
        decision_time(scene.now, queries.last_decided(connection)),
        queries.participant(connection, scene.consumer),
        voucher,
    )
    if scene.held.kind == "offer":
        state.pop("epsilon", None)
    if scene.action not in EVENTS:
        state.pop("event")
    if scene.run is None:
        state.pop("algorithm")
        if spec.purpose == ANY:
            state.pop("purpose")
    if not scene.consumer:
        state.pop("recipient")
    return state | _company(connection, scene, agreement, spec)


def parsed_spec(run: RunRow) -> RunSpec:
    """What a run asked for."""
    return RunSpec.from_json(json.loads(run.spec))


def _spec(connection: Connection, scene: Scene) -> RunSpec:
    """The run's plan, or a plain one: what the form of a run begins with."""
    if scene.run is not None:
        return parsed_spec(scene.run)
    values: dict[str, Json] = {name: NUMBERS[name] for name in NUMBERS if name != "memory_mib"}
    values |= {
        "version": 1,
        "app": "0" * 64,
        "purpose": _purpose(scene.held),
        "agreements": [scene.held.id],
        "memory_bytes": NUMBERS["memory_mib"] * MIB,
        "metrics": [],
        "config": {},
        "clip_norm": TEXTS["clip_norm"],
        "secure_sum": TEXTS["secure_sum"],
    }
    try:
        return RunSpec.from_json(values)
    except PolicyError:  # a name of the policy that no run could have
        return RunSpec.from_json(values | {"purpose": ANY, "agreements": [ANY]})


def _purpose(held: Held) -> str:
    """The first purpose that a permission names."""
    for rule in held.policy.permissions:
        for leaf in leaves(rule.constraints):
            if leaf.operand == "purpose" and leaf.operator in ("eq", "isA", "isAnyOf"):
                return leaf.right[0] if isinstance(leaf.right, tuple) else str(leaf.right)
    return ANY


def _agreement(scene: Scene) -> Agreement:
    """The agreement, or the one that whoever asks could have."""
    policy = scene.held.policy
    if isinstance(policy, Agreement):
        return policy
    assert isinstance(policy, Offer)
    return agreement_from_offer(
        policy,
        id=policy.id,
        target=scene.held.product,
        assigner=scene.held.owner,
        assignee=scene.consumer or "-",
        timestamp=scene.now,
    )


def _claim(connection: Connection, held: Held) -> Claim:
    if held.kind == "agreement":
        found = queries.claims(connection, [held.id]).get(held.id)
        if found is not None:
            return found
    product = queries.product(connection, held.product)
    owner = queries.participant(connection, held.owner)
    if product is None or owner is None:
        raise NotKnown(f"product {held.product!r:.140}: expected a registered one")
    return Claim(
        agreement=held.id,
        document=held.document,
        withdrawn=held.ended,
        product=product.id,
        rows=product.rows,
        classification=product.classification,
        participant=owner.id,
        region=owner.region,
        active=owner.active,
        receipt_key="",
        disclosure_key=None,
        fleet_key="",
        agreement_entry=int(held.listed["index"]),
        participant_entry=owner.entry,
        product_entry=product.entry,
        data_version=product.data_version,
        jurisdiction=product.jurisdiction,
        personal_information=product.personal_information,
        subject_consent=product.subject_consent,
        anonymization=product.anonymization,
        filing_number=product.filing_number,
        execution_environment=product.execution_environment,
        serial=None,
        not_before=None,
        not_after=None,
        revoked=None,
    )


def _company(
    connection: Connection, scene: Scene, agreement: Agreement, spec: RunSpec
) -> dict[str, Value]:
    """As if everybody took part whom the run asks, or who has a product in the space."""
    if scene.run is None:
        rows = {one.id: one.rows for one in queries.products(connection)}
        owners = {one.participant for one in queries.products(connection)}
        source = _LIST
    else:
        claims = queries.claims(connection, spec.agreements).values()
        rows = {one.product: one.rows for one in claims}
        owners = {one.participant for one in claims}
        source = f"log entry {scene.run.entry}"
    opened = fewest_opened(spec.secure_sum, spec.min_cohort)
    together = len(owners) if opened is None else min(len(owners), opened)
    found = {"minParticipants": Value(max(together, 1), source)}
    own, total = rows.get(agreement.target, 0), sum(rows.values())
    if own and total:
        found["rowShare"] = Value(row_share(own, total), source)
    for term, named in (
        ("togetherWith", agreement.partners),
        ("notTogetherWith", agreement.rivals),
    ):
        here = tuple(sorted(named & owners - {agreement.assigner}))
        found[term] = Value(here, source)
    return found
