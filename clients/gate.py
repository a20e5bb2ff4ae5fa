"""The gate: step 6 of a round (DESIGN.md). Nothing runs that did not pass all of it, in this order.

    6.1  the envelope is a permit, signed with the space's permit key
    6.2  it is for this space, this Flower run, this node, this app, this config, this model
    6.3  it is valid now, and was never used here; a node that was restored from a backup does not
         know what it used until then, so that permits from before count as used
    6.4  its body was logged before it was signed: inclusion proof and signed checkpoint
    6.5  that checkpoint and the last one seen are of one log: the log was not forked; and it is
         cosigned as the owner's witness policy demands
    6.6  the owner approved the app
    6.7  the node's own copy of the agreement, its own consent and its own counters allow it

No I/O of its own: the clock is an argument, what the node remembers is read through `NodeView`, and
the one question to governance (6.5) is a function that is passed in. The gate records nothing:
`NodeState.begin_use` does, and checks again what could have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clients.errors import refused
from clients.identity import NodeIdentity
from clients.logcheck import FetchConsistency, check_logged, check_not_forked, check_witnessed
from clients.own_values import Sources, own_values
from clients.records import AgreementRecord, ProductRecord, SeenCheckpoint
from ledger.note import NoteVerifier
from ledger.tlogpolicy import UNWITNESSED, Policy
from policies.canonical import sha256_hex
from policies.errors import DocumentError, SignatureError
from policies.evaluate import Effect, Report, Request, evaluate
from policies.fields import instant, parse_instant
from policies.left_values import room_of
from policies.odrl import Agreement, parse_agreement
from policies.permit import CohortMember, Kind, Permit, PermitBody, open_permit
from policies.privacy_loss import Losses
from policies.wire import RefusalCode

CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far ahead of this machine's clock governance's may be."""

ACTIONS: Final[Mapping[Kind, str]] = MappingProxyType({"train": "train", "evaluate": "evaluate"})


class NodeView(Protocol):
    """What the node remembers; `NodeState` is one, and reads what is durable."""

    def permit_used(self, permit_id: str) -> bool:
        """Whether a use under this permit was ever begun."""

    def last_seen(self) -> SeenCheckpoint | None:
        """The largest checkpoint accepted so far."""

    def app_approved(self, sha256: str) -> bool:
        """Whether the owner's approval stands."""

    def agreement(self, agreement: str) -> AgreementRecord | None:
        """The node's own copy, with account and consent."""

    def product(self, product: str) -> ProductRecord | None:
        """A product of this node, with the card that was signed."""


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What came with the permit; the digests are the node's own."""

    flower_run: str
    app_sha256: str
    config_sha256: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class GateKeys:
    """Who this node is and whom it believes.

    Attributes:
        space: name of the space, which is its log's origin.
        receipt_key: id of the node's receipt key.
        region: where this node processes data.
        environment: what confines apps here, as measured (`executionEnvironment`); "" if unknown.
        policy: whose cosignatures a permit's checkpoint must carry; nobody's by default.
        former: ids of receipt keys that the node replaced; none of them is good any more.
        restored: when the node's folder was made again from a backup; None if it never was.
    """

    space: str
    participant: str
    region: str
    receipt_key: str
    permit_key: Ed25519PublicKey
    space_log: NoteVerifier
    environment: str = ""
    policy: Policy = UNWITNESSED
    former: frozenset[str] = frozenset()
    restored: datetime | None = None

    @classmethod
    def of(
        cls, identity: NodeIdentity, *, environment: str = "", policy: Policy = UNWITNESSED
    ) -> GateKeys:
        """The part of an identity that the gate needs: no private key."""
        restored = identity.config.restored
        return cls(
            space=identity.config.space.name,
            participant=identity.participant,
            region=identity.config.region,
            receipt_key=identity.receipt_key_id,
            permit_key=identity.permit_key,
            space_log=identity.space_log,
            environment=environment,
            policy=policy,
            former=frozenset(sha256_hex(bytes.fromhex(key)) for key in identity.keys.former),
            restored=parse_instant(restored) if restored is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Admission:
    """A task that passed.

    Attributes:
        member: this node's part in the cohort.
        agreement: the node's own copy.
        uses: uses under it before this one; `begin_use` insists on it.
        losses: of the product before this use, under any agreement; likewise.
        seen: the checkpoint to remember.
        report: the node's own evaluation.
    """

    permit: Permit
    member: CohortMember
    agreement: Agreement
    uses: int
    losses: Losses
    seen: SeenCheckpoint
    report: Report


def check_permit(
    envelope: bytes,
    *,
    facts: MessageFacts,
    keys: GateKeys,
    view: NodeView,
    now: datetime,
    fetch_consistency: FetchConsistency,
) -> Admission:
    """All of step 6.

    Args:
        envelope: the permit as it came; its size is bounded by `policies.envelope`.
        facts: about the message that it came with.
        now: this node's clock, aware.
        fetch_consistency: asked at most once, only when the checkpoint's size is new.

    Raises:
        GateRefused: the first check that failed, with its code and a sentence; LogForked carries
            both heads.
    """
    permit = _open(envelope, keys)  # 6.1
    body = permit.body
    member = _check_binding(body, facts, keys)  # 6.2
    _check_time(body, now, keys.restored)  # 6.3
    if view.permit_used(body.id):
        raise refused("permit-replayed", f"permit {body.id} was used on this node before")
    seen = check_logged(permit, space=keys.space, space_log=keys.space_log)  # 6.4
    check_not_forked(seen, view.last_seen(), fetch_consistency)  # 6.5
    check_witnessed(permit, keys.policy, keys.space_log)
    if not view.app_approved(body.app):  # 6.6
        raise refused(
            "app-not-approved",
            f"the owner has not approved app {body.app}; on the node: tds app approve {body.app}",
        )
    agreement, record, report = _check_agreement(body, member, keys, view, now)  # 6.7
    losses = record.given.losses
    return Admission(permit, member, agreement, record.uses, losses, seen, report)


def _open(envelope: bytes, keys: GateKeys) -> Permit:
    try:
        return open_permit(envelope, keys.permit_key)
    except SignatureError as error:
        raise refused("permit-signature", str(error)) from error
    except DocumentError as error:
        raise refused("permit-malformed", str(error)) from error


def _check_binding(body: PermitBody, facts: MessageFacts, keys: GateKeys) -> CohortMember:
    pairs: tuple[tuple[RefusalCode, str, str, str], ...] = (
        ("permit-wrong-space", "space", body.space, keys.space),
        ("permit-wrong-run", "Flower run", body.flower_run, facts.flower_run),
    )
    bound: tuple[tuple[RefusalCode, str, str, str], ...] = (
        ("permit-wrong-app", "app", body.app, facts.app_sha256),
        ("permit-wrong-config", "run config", body.config, facts.config_sha256),
        ("permit-wrong-model", "model", body.model, facts.model_sha256),
    )
    _check_equal(pairs)
    mine = [
        member
        for member in body.cohort
        if member.participant == keys.participant or member.key == keys.receipt_key
    ]
    # One enterprise, one node, one part: a second mention under either name is no permit for us.
    if len(mine) == 1 and mine[0].key in keys.former:
        raise refused(
            "permit-wrong-node",
            f"the permit names the receipt key {mine[0].key[:16]}…, which {keys.participant} "
            "replaced after it was issued; the next round's names the new one",
        )
    if len(mine) != 1 or mine[0].participant != keys.participant or mine[0].key != keys.receipt_key:
        raise refused(
            "permit-wrong-node",
            f"the permit's cohort of {len(body.cohort)} should name {keys.participant} with "
            f"receipt key {keys.receipt_key[:16]}… exactly once; {len(mine)} of its members have "
            "that name or that key",
        )
    _check_equal(bound)
    return mine[0]


def _check_equal(pairs: Sequence[tuple[RefusalCode, str, str, str]]) -> None:
    for code, what, permitted, came in pairs:
        if permitted != came:
            raise refused(code, f"the permit is for {what} {permitted}; what came is {came}")


def _check_time(body: PermitBody, now: datetime, restored: datetime | None) -> None:
    try:
        issued, expires = parse_instant(body.issued), parse_instant(body.expires)
    except DocumentError as error:
        raise refused("permit-malformed", str(error)) from error
    if now < issued - CLOCK_SKEW:
        raise refused(
            "permit-not-yet-valid",
            f"the permit was issued at {body.issued}; this node's clock says {instant(now)}: "
            "one of the two clocks is wrong",
        )
    if now >= expires:
        raise refused(
            "permit-expired",
            f"the permit expired at {body.expires}; this node's clock says {instant(now)}",
        )
    if restored is not None and issued <= restored + CLOCK_SKEW:
        raise refused(
            "permit-replayed",
            f"permit {body.id} was issued at {body.issued}; this node was restored from a backup "
            f"at {instant(restored)} and cannot know whether it was used before: it counts as used",
        )


def _check_agreement(
    body: PermitBody, member: CohortMember, keys: GateKeys, view: NodeView, now: datetime
) -> tuple[Agreement, AgreementRecord, Report]:
    record = view.agreement(member.agreement)
    if record is None:
        raise refused("agreement-unknown", f"this node keeps no agreement {member.agreement}")
    if record.withdrawn is not None:
        raise refused(
            "consent-withdrawn",
            f"consent to agreement {member.agreement} was withdrawn at {record.withdrawn}",
        )
    try:
        agreement = parse_agreement(record.document)
    except DocumentError as error:
        text = f"the node's copy of {member.agreement}: {error}"
        raise refused("agreement-unknown", text) from error
    if agreement.id != member.agreement or agreement.target != member.product:
        raise refused(
            "agreement-denies",
            f"the permit is for product {member.product} under agreement {member.agreement}; the "
            f"node's copy is {agreement.id}, for product {agreement.target}",
        )
    missing = sorted(set(agreement.post_duties) - set(member.duties))
    if missing:
        raise refused(
            "agreement-denies",
            f"the agreement obliges to {', '.join(missing)} after the use; the permit does not",
        )
    report = evaluate(
        agreement,
        Request(target=member.product, assignee=body.consumer, action=ACTIONS[body.kind]),
        own_values(
            Sources(
                body=body,
                member=member,
                agreement=agreement,
                record=record,
                product=view.product(member.product),
                region=keys.region,
                environment=keys.environment,
                now=now,
            )
        ),
    )
    if report.effect is not Effect.PERMIT:
        reasons = room_of(record.given.losses, body.privacy).told(report)
        raise refused("agreement-denies", "; ".join(reason.text for reason in reasons))
    return agreement, record, report
