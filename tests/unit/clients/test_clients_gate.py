"""The gate (step 6): one vector a fault, with the code that must refuse it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.errors import GateRefused, GovernanceRefused, GovernanceUnavailable, LogForked
from clients.gate import Admission, GateKeys, MessageFacts, check_permit
from clients.records import AgreementRecord, ProductRecord, SeenCheckpoint
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner
from ledger.note import NoteSigner
from ledger.tlogpolicy import parse_policy
from ledger.tree import Tree, leaf_hash
from policies.account import NOTHING, Amounts
from policies.envelope import key_id, sign_envelope, unverified_payload
from policies.fields import instant
from policies.odrl import parse_agreement
from policies.permit import PERMIT_TYPE, LogPlace, PermitBody, sign_permit
from policies.privacy_loss import parse_losses
from policies.statements import PRODUCT_TYPE

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPACE = "space.example/demo"
PERMIT_KEY = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
RECEIPT_KEY = key_id(Ed25519PrivateKey.from_private_bytes(b"r" * 32).public_key())
OTHER_KEY = key_id(Ed25519PrivateKey.from_private_bytes(b"o" * 32).public_key())
LOG = NoteSigner(SPACE, Ed25519PrivateKey.from_private_bytes(b"l" * 32))
APP, CONFIG, MODEL = "a" * 64, "c" * 64, "d" * 64
KEYS = GateKeys(
    space=SPACE,
    participant="clinic-a",
    region="CN-SH",
    receipt_key=RECEIPT_KEY,
    permit_key=PERMIT_KEY.public_key(),
    space_log=LOG.verifier,
)
FACTS = MessageFacts(flower_run="77", app_sha256=APP, config_sha256=CONFIG, model_sha256=MODEL)


def member(participant: str, key: str, **changes: Any) -> dict[str, Any]:
    return {
        "participant": participant,
        "product": f"{participant}/cytology",
        "agreement": f"agreement-{participant}",
        "key": key,
        "report": "e" * 64,
        "max_rows": 100,
        "metered_s": 60,
        "epsilon": "",
        "pays": "0",
        "duties": [],
        "sealing": "",
    } | changes


def body(**changes: Any) -> PermitBody:
    fields: dict[str, Any] = {
        "version": 1,
        "id": f"permit-{'1' * 32}",
        "space": SPACE,
        "run": "run-1",
        "flower_run": "77",
        "round": 3,
        "attempt": 1,
        "kind": "train",
        "consumer": "institute",
        "consumer_sector": "health",
        "consumer_region": "HK",
        "purpose": "medical-research",
        "app": APP,
        "config": CONFIG,
        "model": MODEL,
        "architecture": "f" * 64,
        "metrics": ["loss"],
        "clip_norm": "",
        "secure_sum": None,
        "privacy": None,
        "cohort": [member("clinic-a", RECEIPT_KEY), member("clinic-b", OTHER_KEY)],
        "min_cohort": 2,
        "voucher": "",
        "limits": {"wall_s": 60, "memory_bytes": 1 << 28, "accelerator": "none"},
        "decision": "e" * 64,
        "issued": instant(NOW),
        "expires": instant(NOW + timedelta(minutes=5)),
    }
    return PermitBody.from_json(fields | changes)


def constraint(left: str, operator: str, right: Any) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def typed(value: str, kind: str) -> dict[str, str]:
    return {"@value": value, "@type": f"xsd:{kind}"}


def agreement(*constraints: dict[str, Any], **changes: Any) -> bytes:
    rule: dict[str, Any] = {"action": "train"}
    if constraints:
        rule["constraint"] = list(constraints)
    document = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
        "@id": "agreement-clinic-a",
        "@type": "Agreement",
        "profile": "https://w3id.org/tdspace/odrl/1",
        "conflict": "prohibit",
        "target": "clinic-a/cytology",
        "assigner": "clinic-a",
        "assignee": "institute",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": [rule],
    }
    return json.dumps(document | changes).encode()


def record(document: bytes, **changes: Any) -> AgreementRecord:
    parsed = parse_agreement(document)
    fields: dict[str, Any] = {
        "id": "agreement-clinic-a",
        "digest": parsed.digest,
        "product": parsed.target,
        "document": document,
        "concluded": instant(NOW),
        "uses": 0,
        "metered_s": 0,
        "losses": "{}",
        "delta": "",
        "paid": "0",
        "first_use": None,
        "withdrawn": None,
        "reason": None,
    }
    own = AgreementRecord(**{"given": NOTHING} | fields | changes)
    return own if "given" in changes else own.of_product(own.spent)


@dataclass
class World:
    """A space's log, a node's memory, and a message; `check` runs the gate."""

    tree: Tree = field(default_factory=lambda: Tree([leaf_hash(b"created")]))
    facts: MessageFacts = FACTS
    now: datetime = NOW
    used: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=lambda: {APP})
    records: dict[str, AgreementRecord] = field(
        default_factory=lambda: {"agreement-clinic-a": record(agreement())}
    )
    keys: GateKeys = KEYS
    own_product: ProductRecord | None = None
    seen: SeenCheckpoint | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)
    fetch: Callable[[int, int], Sequence[bytes]] | None = None

    def permit_used(self, permit_id: str) -> bool:
        return permit_id in self.used

    def last_seen(self) -> SeenCheckpoint | None:
        return self.seen

    def app_approved(self, sha256: str) -> bool:
        return sha256 in self.approved

    def agreement(self, agreement: str) -> AgreementRecord | None:
        return self.records.get(agreement)

    def product(self, product: str) -> ProductRecord | None:
        return self.own_product

    def head(self, tree: Tree | None = None, signer: NoteSigner = LOG) -> SeenCheckpoint:
        tree = tree if tree is not None else self.tree
        note = sign_checkpoint(Checkpoint(signer.name, tree.size, tree.root()), signer)
        return SeenCheckpoint(tree.size, tree.root(), note)

    def log(self, permit: PermitBody, *, signer: NoteSigner = LOG, after: int = 0) -> LogPlace:
        index = self.tree.size
        self.tree.append(leaf_hash(permit.entry()))
        for number in range(after):
            self.tree.append(leaf_hash(b"later %d" % number))
        head = self.head(signer=signer)
        proof = self.tree.inclusion_proof(index, head.size)
        return LogPlace(
            index=index,
            size=head.size,
            proof=[digest.hex() for digest in proof],
            checkpoint=head.note,
        )

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        self.asked.append((old, new))
        if self.fetch is not None:
            return self.fetch(old, new)
        return self.tree.consistency_proof(old, new)

    def permit(self, **changes: Any) -> bytes:
        permit = body(**changes)
        return sign_permit(permit, self.log(permit), PERMIT_KEY)

    def check(self, envelope: bytes) -> Admission:
        return check_permit(
            envelope,
            facts=self.facts,
            keys=self.keys,
            view=self,
            now=self.now,
            fetch_consistency=self.consistency,
        )

    def refusal(self, envelope: bytes) -> str:
        with pytest.raises(GateRefused) as caught:
            self.check(envelope)
        assert caught.value.refusal.text
        return caught.value.refusal.code


def test_a_sound_permit_is_admitted_with_everything_the_node_needs() -> None:
    world = World(seen=None)
    world.seen = world.head()
    admission = world.check(world.permit())
    assert admission.member.participant == "clinic-a"
    assert admission.uses == 0
    assert admission.seen == world.head()
    assert [reason.code for reason in admission.report.reasons()] == ["permitted"]
    assert world.asked == [(1, 2)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"space": "space.example/other"}, "permit-wrong-space"),
        ({"flower_run": "78"}, "permit-wrong-run"),
        ({"app": "b" * 64}, "permit-wrong-app"),
        ({"config": "b" * 64}, "permit-wrong-config"),
        ({"model": "b" * 64}, "permit-wrong-model"),
        ({"cohort": [member("clinic-b", OTHER_KEY)]}, "permit-wrong-node"),
        ({"cohort": [member("clinic-a", OTHER_KEY)]}, "permit-wrong-node"),
        ({"cohort": [member("clinic-b", RECEIPT_KEY)]}, "permit-wrong-node"),
        (
            {"cohort": [member("clinic-a", RECEIPT_KEY), member("clinic-a", RECEIPT_KEY)]},
            "permit-wrong-node",
        ),
        (
            {"cohort": [member("clinic-a", RECEIPT_KEY), member("clinic-b", RECEIPT_KEY)]},
            "permit-wrong-node",
        ),
        ({"issued": instant(NOW + timedelta(seconds=6))}, "permit-not-yet-valid"),
        ({"expires": instant(NOW)}, "permit-expired"),
        ({"expires": "2026-13-01T00:00:00.000Z"}, "permit-malformed"),
        (
            {"cohort": [member("clinic-a", RECEIPT_KEY, agreement="agreement-x")]},
            "agreement-unknown",
        ),
        (
            {"cohort": [member("clinic-a", RECEIPT_KEY, product="clinic-a/other")]},
            "agreement-denies",
        ),
        ({"kind": "evaluate"}, "agreement-denies"),
        ({"consumer": "somebody"}, "agreement-denies"),
    ],
)
def test_a_permit_for_something_else_is_refused(changes: dict[str, Any], code: str) -> None:
    world = World()
    assert world.refusal(world.permit(**changes)) == code


def test_a_permit_under_a_key_that_was_replaced_says_so() -> None:
    world = World()
    world.keys = replace(KEYS, former=frozenset({OTHER_KEY}))
    with pytest.raises(GateRefused, match="clinic-a replaced after it was issued") as caught:
        world.check(world.permit(cohort=[member("clinic-a", OTHER_KEY)]))
    assert caught.value.refusal.code == "permit-wrong-node"
    for cohort in (
        [member("clinic-a", OTHER_KEY), member("clinic-a", RECEIPT_KEY)],
        [member("clinic-b", OTHER_KEY)],
    ):
        assert world.refusal(world.permit(cohort=cohort)) == "permit-wrong-node"


def test_the_clock_of_governance_may_be_a_little_ahead() -> None:
    world = World()
    permit = world.permit(issued=instant(NOW + timedelta(seconds=4)))
    assert world.check(permit).permit.body.round == 3


def test_a_permit_signed_by_another_key_is_refused() -> None:
    world, permit = World(), body()
    forger = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
    assert world.refusal(sign_permit(permit, world.log(permit), forger)) == "permit-signature"


def test_a_permit_that_was_changed_after_signing_is_refused() -> None:
    world, permit = World(), body()
    place = world.log(permit)
    sound = json.loads(sign_permit(permit, place, PERMIT_KEY))
    other = json.loads(sign_permit(body(round=4), place, PERMIT_KEY))
    forged = json.dumps(
        other | {"signatures": sound["signatures"]}, sort_keys=True, separators=(",", ":")
    ).encode()
    assert world.refusal(forged) == "permit-signature"


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 2000,
        sign_envelope({"body": {}}, payload_type=PERMIT_TYPE, key=PERMIT_KEY),
        sign_envelope({"body": {}}, payload_type="application/other", key=PERMIT_KEY),
    ],
)
def test_what_is_no_permit_is_refused(envelope: bytes) -> None:
    assert World().refusal(envelope) == "permit-malformed"


def test_a_used_permit_is_refused() -> None:
    world = World()
    permit = world.permit()
    world.used.add(body().id)
    assert world.refusal(permit) == "permit-replayed"


@pytest.mark.parametrize(
    ("restored", "refused"),
    [
        (NOW - HOUR, False),
        (NOW - timedelta(seconds=6), False),
        (NOW - timedelta(seconds=5), True),  # governance's clock may be as far ahead
        (NOW, True),
        (NOW + HOUR, True),
    ],
)
def test_a_restored_node_counts_permits_from_before_as_used(
    restored: datetime, refused: bool
) -> None:
    world = World()
    world.keys = replace(KEYS, restored=restored)
    permit = world.permit()
    if refused:
        with pytest.raises(GateRefused, match="cannot know whether it was used") as caught:
            world.check(permit)
        assert caught.value.refusal.code == "permit-replayed"
    else:
        assert world.check(permit).permit.body.round == 3


def test_a_permit_of_another_round_than_was_logged_is_refused() -> None:
    world = World()
    place = world.log(body())
    assert world.refusal(sign_permit(body(round=4), place, PERMIT_KEY)) == "permit-not-logged"


@pytest.mark.parametrize(
    "change",
    [
        lambda place: {"index": place.index - 1},
        lambda place: {"size": place.size + 1},
        lambda place: {"proof": ["0" * 64]},
        lambda place: {"proof": []},
        lambda place: {"checkpoint": place.checkpoint.replace("\n2\n", "\n3\n")},
        lambda place: {"checkpoint": "no note"},
    ],
    ids=["index", "size", "hash", "short", "checkpoint-changed", "checkpoint-malformed"],
)
def test_a_place_in_the_log_that_does_not_hold_is_refused(
    change: Callable[[LogPlace], dict[str, Any]],
) -> None:
    world, permit = World(), body()
    place = world.log(permit)
    broken = LogPlace.from_json(place.to_json() | change(place))
    assert world.refusal(sign_permit(permit, broken, PERMIT_KEY)) == "permit-not-logged"


@pytest.mark.parametrize(
    "signer",
    [
        NoteSigner(SPACE, Ed25519PrivateKey.from_private_bytes(b"x" * 32)),
        NoteSigner("space.example/other", Ed25519PrivateKey.from_private_bytes(b"l" * 32)),
    ],
    ids=["another-key", "another-log"],
)
def test_a_checkpoint_of_another_log_is_refused(signer: NoteSigner) -> None:
    world, permit = World(), body()
    envelope = sign_permit(permit, world.log(permit, signer=signer), PERMIT_KEY)
    assert world.refusal(envelope) == "permit-not-logged"


def test_a_smaller_checkpoint_of_the_same_log_is_admitted() -> None:
    world = World()
    permit = world.permit()
    for number in range(3):
        world.tree.append(leaf_hash(b"later %d" % number))
    world.seen = world.head()
    assert world.check(permit).seen.size == 2
    assert world.asked == [(2, 5)]


def test_the_same_checkpoint_again_asks_nobody() -> None:
    world = World()
    permit = world.permit()
    world.seen = world.head()
    assert world.check(permit).seen == world.seen
    assert world.asked == []


def forked(size: int) -> SeenCheckpoint:
    return World().head(Tree([leaf_hash(b"forked %d" % n) for n in range(size)]))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_forked_log_is_refused(size: int) -> None:
    world = World()
    permit = world.permit()
    for number in range(3):
        world.tree.append(leaf_hash(b"later %d" % number))
    world.seen = forked(size)
    assert world.refusal(permit) == "log-forked"


def raising(error: Exception) -> Callable[[int, int], Sequence[bytes]]:
    def fetch(_old: int, _new: int) -> Sequence[bytes]:
        raise error

    return fetch


@pytest.mark.parametrize(
    ("fetch", "code"),
    [
        (raising(GovernanceUnavailable("no answer")), "node-unavailable"),
        (raising(GovernanceRefused("size unknown", code="not_found")), "log-forked"),
        (lambda _old, _new: [b"short"], "log-forked"),
        (lambda _old, _new: [], "log-forked"),
        (lambda _old, _new: [bytes(32)] * 9, "log-forked"),
    ],
    ids=["down", "refused", "short", "none", "long"],
)
def test_without_a_consistency_proof_nothing_runs(
    fetch: Callable[[int, int], Sequence[bytes]], code: str
) -> None:
    world = World(fetch=fetch)
    world.tree.append(leaf_hash(b"second"))
    world.tree.append(leaf_hash(b"third"))
    world.seen = world.head()
    assert world.refusal(world.permit()) == code


@pytest.mark.parametrize(
    ("size", "later", "kind"), [(2, 0, "two-roots"), (1, 0, "no-proof"), (5, 3, "rollback")]
)
def test_a_forked_log_s_two_heads_are_kept_for_the_owner(size: int, later: int, kind: str) -> None:
    world = World()
    permit = world.permit()
    for number in range(later):
        world.tree.append(leaf_hash(b"later %d" % number))
    world.seen = forked(size)
    with pytest.raises(LogForked) as caught:
        world.check(permit)
    fork = caught.value.fork
    assert (fork.kind, fork.seen, fork.came.size) == (kind, world.seen, 2)


WITNESSES = [
    Cosigner(
        f"witness.example/w{number}", Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    )
    for number in (1, 2)
]
POLICY = parse_policy(
    "".join(f"witness w{n} {one.verifier.text}\n" for n, one in enumerate(WITNESSES)).encode()
    + b"group both all w0 w1\nquorum both\n"
)


@pytest.mark.parametrize(
    ("cosigners", "admitted"),
    [([0, 1], True), ([0], False), ([], False)],
    ids=["both", "one-of-two", "nobody"],
)
def test_the_owner_s_witness_policy_is_demanded(cosigners: list[int], admitted: bool) -> None:
    world = World(keys=replace(KEYS, policy=POLICY))
    permit = body()
    place = world.log(permit)
    lines = [WITNESSES[n].cosign(place.checkpoint, time=1_700_000_000) for n in cosigners]
    place = place.model_copy(update={"checkpoint": place.checkpoint + "".join(lines)})
    envelope = sign_permit(permit, place, PERMIT_KEY)
    if admitted:
        assert world.check(envelope).seen.note == place.checkpoint
    else:
        assert world.refusal(envelope) == "checkpoint-not-witnessed"


def test_a_wrong_cosignature_by_a_known_witness_is_refused() -> None:
    world = World(keys=replace(KEYS, policy=POLICY))
    permit = body()
    place = world.log(permit)
    good = [one.cosign(place.checkpoint, time=1_700_000_000) for one in WITNESSES]
    bad = WITNESSES[0].cosign(World().head().note, time=1_700_000_000)
    note = place.checkpoint + "".join([*good, bad])
    place = place.model_copy(update={"checkpoint": note})
    assert world.refusal(sign_permit(permit, place, PERMIT_KEY)) == "checkpoint-not-witnessed"


def test_an_app_that_the_owner_did_not_approve_is_refused() -> None:
    world = World(approved=set())
    assert world.refusal(world.permit()) == "app-not-approved"


def test_a_withdrawn_consent_is_refused() -> None:
    world = World()
    withdrawn = replace(world.records["agreement-clinic-a"], withdrawn=instant(NOW))
    world.records["agreement-clinic-a"] = withdrawn
    assert world.refusal(world.permit()) == "consent-withdrawn"


def test_a_copy_that_no_longer_reads_is_refused() -> None:
    world = World()
    damaged = replace(world.records["agreement-clinic-a"], document=b"{}")
    world.records["agreement-clinic-a"] = damaged
    assert world.refusal(world.permit()) == "agreement-unknown"


@pytest.mark.parametrize(
    ("constraints", "uses", "permitted"),
    [
        ([constraint("purpose", "isA", "medical-research")], 0, True),
        ([constraint("purpose", "eq", "marketing")], 0, False),
        ([constraint("count", "lteq", typed("2", "integer"))], 1, True),
        ([constraint("count", "lteq", typed("2", "integer"))], 2, False),
        ([constraint("spatial", "isPartOf", "CN")], 0, True),
        ([constraint("spatial", "eq", "DE")], 0, False),
        ([constraint("recipient", "eq", "institute")], 0, True),
        ([constraint("recipient", "eq", "insurer")], 0, False),
        ([constraint("minParticipants", "gteq", typed("2", "integer"))], 0, True),
        ([constraint("minParticipants", "gteq", typed("3", "integer"))], 0, False),
        ([constraint("dateTime", "lt", typed("2026-03-02T00:00:00Z", "dateTime"))], 0, True),
        ([constraint("dateTime", "lt", typed("2026-03-01T00:00:00Z", "dateTime"))], 0, False),
    ],
)
def test_the_node_evaluates_its_own_copy_with_its_own_facts(
    constraints: list[dict[str, Any]], uses: int, permitted: bool
) -> None:
    world = World()
    world.records["agreement-clinic-a"] = record(agreement(*constraints), uses=uses)
    permit = world.permit()
    if permitted:
        assert world.check(permit).uses == uses
    else:
        assert world.refusal(permit) == "agreement-denies"


def test_two_products_of_one_enterprise_do_not_make_two_participants() -> None:
    world = World()
    asked = constraint("minParticipants", "gteq", typed("3", "integer"))
    world.records["agreement-clinic-a"] = record(agreement(asked))
    twice = [member("clinic-b", OTHER_KEY), member("clinic-b", OTHER_KEY, product="clinic-b/2")]
    permit = world.permit(cohort=[member("clinic-a", RECEIPT_KEY), *twice])
    assert world.refusal(permit) == "agreement-denies"


CARD = ProductRecord(
    id="clinic-a/cytology",
    file="/data/cytology.json",
    digest="1" * 64,
    rows=100,
    card=sign_envelope(
        {
            "version": 1,
            "id": "clinic-a/cytology",
            "participant": "clinic-a",
            "description": "d" * 64,
            "rows": 100,
            "modality": "tabular",
            "classification": "important",
            "personal_information": True,
            "registered": instant(NOW),
        },
        payload_type=PRODUCT_TYPE,
        key=PERMIT_KEY,
    ),
)
SPENT = {
    **{"metered_s": 120, "losses": '{"4":2}', "delta": "0.00001", "paid": "20"},
    "first_use": instant(NOW - HOUR),
}
PRIVACY = {
    **{"unit": "record", "parts": 8, "sample": "1", "noise": "4", "by": "nodes"},
    **{"tolerated": 0, "delta": "0.00001"},
}


def lteq(operand: str, value: str, kind: str) -> dict[str, Any]:
    return constraint(operand, "lteq", typed(value, kind))


@pytest.mark.parametrize(
    ("asked", "permitted"),
    [
        (lteq("meteredTime", "PT180S", "duration"), True),
        (lteq("meteredTime", "PT179S", "duration"), False),
        (lteq("epsilon", "1.698036", "decimal"), True),
        (lteq("epsilon", "1.69", "decimal"), False),
        (lteq("delta", "0.00001", "decimal"), True),
        (lteq("delta", "0.000009", "decimal"), False),
        (lteq("elapsedTime", "PT1H", "duration"), True),
        (lteq("elapsedTime", "PT59M", "duration"), False),
        (constraint("payAmount", "gteq", typed("10", "decimal")), True),
        (constraint("payAmount", "gteq", typed("11", "decimal")), False),
        (lteq("clipNorm", "1.5", "decimal"), True),
        (lteq("clipNorm", "1.4", "decimal"), False),
        (constraint("event", "eq", "training-round"), True),
        (constraint("event", "eq", "evaluation-round"), False),
        (constraint("algorithm", "isAnyOf", [APP]), True),
        (constraint("algorithm", "eq", "b" * 64), False),
        (constraint("classification", "eq", "important"), True),
        (constraint("classification", "eq", "general"), False),
        (constraint("executionEnvironment", "isA", "confined"), True),
        (constraint("executionEnvironment", "eq", "confined"), False),
        (constraint("togetherWith", "hasPart", "clinic-b"), True),
        (constraint("togetherWith", "hasPart", "clinic-c"), False),
        (constraint("notTogetherWith", "isNoneOf", ["clinic-c"]), True),
        (constraint("notTogetherWith", "isNoneOf", ["clinic-b"]), False),
        (lteq("rowShare", "0.25", "decimal"), True),
        (lteq("rowShare", "0.249999", "decimal"), False),
        (constraint("industry", "eq", "health"), True),
        (constraint("industry", "isNoneOf", ["health"]), False),
        (constraint("crossBorder", "eq", "yes"), True),
        (constraint("crossBorder", "eq", "no"), False),
        (constraint("personalInformation", "eq", "yes"), True),
        (constraint("version", "lteq", typed("1", "integer")), True),
        (constraint("spatialPermission", "eq", "explicit"), False),
    ],
)
def test_every_value_that_the_node_knows_can_refuse(asked: dict[str, Any], permitted: bool) -> None:
    world = World(keys=replace(KEYS, environment="isolated"), own_product=CARD)
    world.records["agreement-clinic-a"] = record(agreement(asked), uses=2, **SPENT)
    own = member("clinic-a", RECEIPT_KEY, epsilon="1.698036", pays="10")
    other = member("clinic-b", OTHER_KEY, max_rows=300)
    terms = {"clip_norm": "1.5", "privacy": PRIVACY}
    permit = world.permit(cohort=[own, other], voucher="voucher-1", **terms)
    if permitted:
        assert world.check(permit).uses == 2
    else:
        assert world.refusal(permit) == "agreement-denies"


def at_least(operand: str, value: str, kind: str) -> dict[str, Any]:
    return constraint(operand, "gteq", typed(value, kind))


MASKED = {"mode": "governance", "key": "a" * 64, "word_bits": 32, "scale_bits": 20, "words": 9}
NOISY = {
    "unit": "record",
    "parts": 32,
    "sample": "1",
    "noise": "1.5",
    "by": "nodes",
    "tolerated": 0,
    "delta": "0.00001",
}


@pytest.mark.parametrize(
    ("asked", "masked", "plain"),
    [
        (constraint("secureAggregation", "isAnyOf", ["governance", "pairwise"]), True, False),
        (constraint("secureAggregation", "neq", "none"), True, False),
        (constraint("secureAggregation", "eq", "pairwise"), False, False),
        (constraint("secureAggregation", "eq", "none"), False, True),
        (at_least("noise", "1.5", "decimal"), True, False),
        (at_least("noise", "1.500001", "decimal"), False, False),
        (lteq("noise", "1", "decimal"), False, True),
        (constraint("noiseBy", "eq", "nodes"), True, False),
        (constraint("noiseBy", "eq", "governance"), False, False),
        (constraint("privacyUnit", "isA", "record"), True, False),
        (constraint("privacyUnit", "isA", "subject"), False, False),
        (constraint("privacyUnit", "eq", "none"), False, True),
        (at_least("minParticipants", "2", "integer"), True, True),
        (at_least("minParticipants", "3", "integer"), False, True),
    ],
)
def test_the_permits_masks_and_noise_are_what_an_agreement_asks_for(
    asked: dict[str, Any], masked: bool, plain: bool
) -> None:
    """Of five that take part, at least two of each group are opened."""
    own = member("clinic-a", RECEIPT_KEY)
    cohort = [own, *(member(f"clinic-{name}", OTHER_KEY) for name in "bcde")]
    terms = {"secure_sum": MASKED | {"groups": 2}, "privacy": NOISY, "clip_norm": "1"}
    for permitted, changes in ((masked, terms), (plain, {})):
        world = World()
        world.records["agreement-clinic-a"] = record(agreement(asked))
        permit = world.permit(cohort=cohort, min_cohort=2, **changes)
        if permitted:
            assert world.check(permit).uses == 0
        else:
            assert world.refusal(permit) == "agreement-denies"


def test_what_other_agreements_took_of_the_product_counts_and_a_refusal_says_what_fits() -> None:
    world = World()
    given = Amounts(losses=parse_losses('{"4":9}'), delta=Decimal("0.00001"))
    document = agreement(lteq("epsilon", "3.3", "decimal"))
    world.records["agreement-clinic-a"] = record(document, given=given)
    own = member("clinic-a", RECEIPT_KEY, epsilon="3.34141")
    with pytest.raises(GateRefused) as caught:
        world.check(world.permit(cohort=[own], privacy=PRIVACY))
    assert caught.value.refusal.text == (
        "the privacy loss ε is 3.34141; the agreement allows at most 3.3 (permission 1, constraint "
        "1); 3 more rounds would fit with noise 8, or 12 with noise 16"
    )


@pytest.mark.parametrize("losses", ['{"unbounded":1}', '{"4":1,"unbounded":1}'])
def test_a_product_that_was_used_without_privacy_has_no_epsilon(losses: str) -> None:
    world = World()
    given = Amounts(losses=parse_losses(losses), delta=Decimal("0.00001"))
    document = agreement(lteq("epsilon", "1000", "decimal"))
    world.records["agreement-clinic-a"] = record(document, given=given)
    cohort = [member("clinic-a", RECEIPT_KEY)]
    for privacy, says in (
        (PRIVACY, "was used once without"),
        (None, "the run has no differential"),
    ):
        with pytest.raises(GateRefused) as caught:
            world.check(world.permit(cohort=cohort, privacy=privacy))
        assert "the privacy loss ε is not known" in caught.value.refusal.text
        assert says in caught.value.refusal.text


@pytest.mark.parametrize(
    "asked",
    [
        lteq("epsilon", "3", "decimal"),
        lteq("delta", "1", "decimal"),
        lteq("clipNorm", "3", "decimal"),
        lteq("elapsedTime", "PT1H", "duration"),
        constraint("classification", "neq", "core"),
        constraint("executionEnvironment", "isA", "process"),
        constraint("industry", "neq", "insurance"),
    ],
)
@pytest.mark.parametrize("product", [None, replace(CARD, card=b"unreadable")])
def test_what_the_node_does_not_know_denies(
    asked: dict[str, Any], product: ProductRecord | None
) -> None:
    world = World(own_product=product)
    after = instant(NOW + HOUR)  # the node's clock was set back since the first use
    world.records["agreement-clinic-a"] = record(agreement(asked), first_use=after)
    assert world.refusal(world.permit(consumer_sector="")) == "agreement-denies"


@pytest.mark.parametrize(
    ("duty", "changes", "voucher", "permitted"),
    [
        ("inform", {}, "", True),
        ("compensate", {"pays": "10"}, "voucher-1", True),
        ("compensate", {"pays": "10"}, "", False),
        ("compensate", {"pays": "0"}, "voucher-1", False),
        ("delete", {"duties": ["delete"]}, "", True),
        ("delete", {"duties": []}, "", False),
        ("delete", {"duties": ["attribute", "report"]}, "", False),
    ],
)
def test_duties_stand_in_the_permit(
    duty: str, changes: dict[str, Any], voucher: str, permitted: bool
) -> None:
    world = World(own_product=CARD)
    document = agreement(obligation=[{"action": duty}])
    world.records["agreement-clinic-a"] = record(document)
    cohort = [member("clinic-a", RECEIPT_KEY, **changes), member("clinic-b", OTHER_KEY)]
    permit = world.permit(cohort=cohort, voucher=voucher)
    if permitted:
        world.check(permit)
    else:
        assert world.refusal(permit) == "agreement-denies"


@pytest.mark.parametrize(
    ("asked", "stated", "permitted"),
    [
        ({"obligation": [{"action": "anonymize"}]}, {"anonymization": "k-anonymity"}, True),
        ({"obligation": [{"action": "anonymize"}]}, {}, False),
        ({"obligation": [{"action": "obtainConsent"}]}, {"subject_consent": "table"}, True),
        ({"obligation": [{"action": "obtainConsent"}]}, {}, False),
        (constraint("version", "gteq", typed("2", "integer")), {"data_version": 2}, True),
        (constraint("version", "gteq", typed("2", "integer")), {}, False),
        (constraint("personalInformation", "eq", "no"), {"personal_information": False}, True),
        (constraint("personalInformation", "eq", "no"), {}, False),
        (constraint("filingNumber", "neq", "none"), {"filing_number": "F-1"}, True),
        (constraint("filingNumber", "neq", "none"), {}, False),
        (constraint("anonymization", "eq", "agreed"), {}, False),
        (constraint("crossBorder", "eq", "no"), {}, False),  # no node knows the recipient's place
    ],
)
def test_the_node_takes_facts_and_duties_from_its_own_card(
    asked: dict[str, Any], stated: dict[str, Any], permitted: bool
) -> None:
    payload = unverified_payload(CARD.card, payload_type=PRODUCT_TYPE)
    assert isinstance(payload, dict)
    key = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
    card = sign_envelope(payload | stated, payload_type=PRODUCT_TYPE, key=key)
    world = World(own_product=replace(CARD, card=card))
    document = agreement(**asked) if "obligation" in asked else agreement(asked)
    world.records["agreement-clinic-a"] = record(document)
    if permitted:
        world.check(world.permit())
    else:
        assert world.refusal(world.permit()) == "agreement-denies"
