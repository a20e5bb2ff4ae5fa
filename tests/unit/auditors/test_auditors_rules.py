"""The rules of an intact log: a story that keeps them, then one fault each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.reading import Read
from auditors.receipts import Receipts
from auditors.rules import Rules, Violation, malformed
from policies.canonical import digest_of
from policies.entries import EntryType, entry_bytes, parse_entry
from policies.envelope import key_id, sign_envelope, unverified_payload
from policies.errors import PolicyError
from policies.permit import CohortMember, Limits, PermitBody
from policies.receipt import RECEIPT_TYPE, Confinement, Receipt, sign_receipt

TIME = "2026-01-01T00:00:00.000Z"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ZERO = "0" * 64
REPORT = "e" * 64
DECISION: dict[str, Any] = {
    "minCohort": 1,
    "verdicts": [
        {"participant": "clinic", "product": "clinic/p", "permitted": True, "report": REPORT},
        {"participant": "lab", "product": "lab/p", "permitted": False, "report": None},
    ],
}
REFUSED = {
    "minCohort": 1,
    "verdicts": [{**one, "permitted": False} for one in DECISION["verdicts"]],
}

Story = list[tuple[EntryType, dict[str, Any]]]

SPEC: dict[str, Any] = {
    "version": 1,
    "app": ZERO,
    "purpose": "medical-research",
    "agreements": ["a1"],
    "rounds": 2,
    "deadline_s": 10,
    "quorum": 1,
    "min_cohort": 1,
    "memory_bytes": 1 << 27,
    "metrics": [],
    "config": {},
}


def decided(number: int) -> dict[str, Any]:
    return {
        "run": "run-1",
        "round": number,
        "kind": "train",
        "attempt": 1,
        "decision": DECISION,
    }


def permit(number: int = 1, **changes: Any) -> PermitBody:
    fields: dict[str, Any] = {
        "version": 1,
        "id": f"permit-{number:032x}",
        "space": "example/space",
        "run": "run-1",
        "flower_run": "1",
        "round": number,
        "attempt": 1,
        "kind": "train",
        "consumer": "consortium",
        "consumer_sector": "",
        "consumer_region": "",
        "purpose": "medical-research",
        "app": ZERO,
        "config": ZERO,
        "model": ZERO,
        "architecture": ZERO,
        "metrics": [],
        "clip_norm": "",
        "secure_sum": None,
        "privacy": None,
        "cohort": [
            CohortMember(
                participant="clinic",
                product="clinic/p",
                agreement="a1",
                key=key_id(KEY.public_key()),
                report=REPORT,
                max_rows=100,
                metered_s=10,
                epsilon="",
                pays="0",
                duties=["delete"],
                sealing="",
            )
        ],
        "min_cohort": 1,
        "voucher": "",
        "limits": Limits(wall_s=10, memory_bytes=1 << 27, accelerator="none"),
        "decision": digest_of(DECISION),
        "issued": TIME,
        "expires": TIME,
    }
    return PermitBody(**{**fields, **changes})


def receipt(answers: PermitBody, key: Ed25519PrivateKey = KEY, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "version": 1,
        "permit": answers.digest(),
        "permit_id": answers.id,
        "run": answers.run,
        "round": answers.round,
        "participant": "clinic",
        "product": "clinic/p",
        "product_commitment": ZERO,
        "rows_commitment": ZERO,
        "rows_used": 80,
        "rows_held_back": 20,
        "rows_without_consent": 0,
        "accelerator": "none",
        "update": ZERO,
        "metrics": {},
        "clip_norm": "",
        "mask_key": "",
        "noise": "",
        "confinement": Confinement.measured(
            network="none",
            user="nobody",
            files="own",
            no_new_privileges=True,
            memory_limit=True,
            scratch="bounded",
        ),
        "started": TIME,
        "finished": TIME,
        "log_size": 0,
        "log_root": ZERO,
    }
    made = Receipt(**{**fields, **changes})
    return {
        "permit": answers.digest(),
        "permit_id": answers.id,
        "run": answers.run,
        "round": answers.round,
        "kind": answers.kind,
        "attempt": answers.attempt,
        "product": "clinic/p",
        "participant": "clinic",
        "update": ZERO,
        "rows_used": {**fields, **changes}["rows_used"],
        "metered_s": 0,
        "receipt": digest_of(made.to_json()),
        "envelope": base64.b64encode(sign_receipt(made, key)).decode(),
    }


def boasting(answers: PermitBody) -> dict[str, Any]:
    """A signed receipt whose level is more than its measures give."""
    good = receipt(answers)
    payload: Any = unverified_payload(base64.b64decode(good["envelope"]), payload_type=RECEIPT_TYPE)
    payload["confinement"]["files"] = "host"
    envelope = sign_envelope(payload, payload_type=RECEIPT_TYPE, key=KEY)
    return good | {"envelope": base64.b64encode(envelope).decode()}


def close(answers: PermitBody, previous: int | None, rows: int = 80) -> dict[str, Any]:
    accepted = [{"participant": "clinic", "product": "clinic/p", "rows": rows, "receipt": ZERO}]
    return {
        "run": "run-1",
        "permit": answers.digest(),
        "permit_id": answers.id,
        "accepted": accepted,
        "quorum_met": True,
        "model": ZERO,
        "metrics": {},
        "duties": {"delete": "dropped"},
        "previous": previous,
    }


def enrolled() -> dict[str, Any]:
    return {"participant": "clinic", "receipt_key": KEY.public_key().public_bytes_raw().hex()}


def good_story() -> Story:
    """Two rounds, then a withdrawal."""
    first, second = permit(1), permit(2)
    return [
        ("ParticipantEnrolled", enrolled()),
        ("RunOpened", {"run": "run-1", "consumer": "consortium", "spec": SPEC}),
        ("AgreementConcluded", {"agreement": "a1", "product": "clinic/p"}),
        ("RoundDecided", decided(1)),
        ("PermitIssued", first.to_json()),
        ("ReceiptAccepted", receipt(first)),
        ("RoundClosed", close(first, None)),
        ("RoundDecided", decided(2)),
        ("PermitIssued", second.to_json()),
        ("ReceiptAccepted", receipt(second)),
        ("RoundClosed", close(second, 6)),
        ("ConsentWithdrawn", {"agreement": "a1"}),
    ]


def check(story: Story) -> list[Violation]:
    rules, receipts = Rules(), Receipts()
    for index, (kind, body) in enumerate(story):
        line = entry_bytes(kind, time=TIME, body=body)
        read = Read(index, index - 1, line, True, parse_entry(line))
        rules.look(read)
        try:
            for rule, text in receipts.look(read):
                rules.broken(index, rule, text)
        except (KeyError, ValueError, PolicyError) as error:
            rules.broken(index, "entry-readable", malformed(kind, error))
    return rules.violations


def test_a_story_that_keeps_the_rules() -> None:
    assert check(good_story()) == []


def edit(index: int, body: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Story], Story]:
    def change(story: Story) -> Story:
        kind, old = story[index]
        return [*story[:index], (kind, body(dict(old))), *story[index + 1 :]]

    return change


def drop(index: int) -> Callable[[Story], Story]:
    return lambda story: story[:index] + story[index + 1 :]


def move(index: int, to: int) -> Callable[[Story], Story]:
    def change(story: Story) -> Story:
        rest = story[:index] + story[index + 1 :]
        return [*rest[:to], story[index], *rest[to:]]

    return change


PRIVACY = {
    **{"unit": "record", "parts": 8, "sample": "1", "noise": "4", "by": "nodes"},
    **{"tolerated": 0, "delta": "0.00001"},
}
SUM = {"secure_sum": "governance", "clip_norm": "1", "min_cohort": 3}


def spec(**changes: Any) -> Callable[[Story], Story]:
    """Another run than the permits were given for."""
    return edit(1, lambda b: {**b, "spec": {**b["spec"], **changes}})


@pytest.mark.parametrize(
    ("change", "index", "rule", "says"),
    [
        (drop(1), 3, "permit-reserves", "expected an opened run"),
        (spec(privacy=PRIVACY, **SUM), 4, "permit-reserves", "noise 4, sample 1, δ 0.00001"),
        (spec(deadline_s=9), 4, "permit-reserves", "(9, '0')"),
        (edit(4, lambda b: {**b, "voucher": "v1"}), 4, "voucher-covers", "the voucher ''"),
        (
            edit(5, lambda _: receipt(permit(1), finished="2026-01-01T00:00:10.001Z")),
            5,
            "receipt-in-bounds",
            "at most the 10 seconds reserved, got 11",
        ),
        (edit(5, lambda b: {**b, "metered_s": 3}), 5, "receipt-permitted", "metered"),
        (edit(6, lambda b: {**b, "duties": {}}), 6, "close-duties", "delete is owed to clinic"),
        (drop(3), 3, "permit-decided", "expected the decision"),
        (
            edit(3, lambda b: {**b, "decision": {"verdicts": [1]}}),
            4,
            "permit-decided",
            "expected the decision",
        ),
        (edit(3, lambda b: {**b, "attempt": 2}), 4, "permit-decided", "run, round, kind and"),
        (
            lambda s: edit(4, lambda b: {**b, "decision": digest_of(REFUSED)})(
                edit(3, lambda b: {**b, "decision": REFUSED})(s)
            ),
            4,
            "permit-decided",
            "expected the 0 whom the decision permits, got 1 others",
        ),
        (
            edit(4, lambda b: {**b, "cohort": [b["cohort"][0] | {"report": "f" * 64}]}),
            4,
            "permit-decided",
            "clinic: expected the report eeeeeeee",
        ),
        (drop(2), 3, "permit-agreed", "got none"),
        (
            edit(2, lambda b: {**b, "product": "clinic/other"}),
            4,
            "permit-agreed",
            "one about clinic/other",
        ),
        (move(11, 7), 9, "permit-agreed", "withdrawn in entry 7"),
        (move(11, 5), 6, "receipt-in-bounds", "withdrawn in entry 5"),
        (
            edit(8, lambda b: {**b, "id": permit(1).id}),
            8,
            "permit-once",
            "it stands in entry 4",
        ),
        (drop(4), 4, "receipt-permitted", "got none"),
        (
            edit(5, lambda _: receipt(permit(1), key=OTHER)),
            5,
            "receipt-permitted",
            "clinic: envelope of type",
        ),
        (
            edit(5, lambda _: receipt(permit(1), product="clinic/other")),
            5,
            "receipt-permitted",
            "product",
        ),
        (
            edit(5, lambda _: receipt(permit(1), accelerator="cuda")),
            5,
            "receipt-permitted",
            "accelerator: expected none",
        ),
        (
            edit(5, lambda _: boasting(permit(1))),
            5,
            "entry-readable",
            "the level that follows",
        ),
        (
            edit(5, lambda _: receipt(permit(1), clip_norm="2")),
            5,
            "receipt-permitted",
            "clip norm",
        ),
        (
            edit(5, lambda _: receipt(permit(1), rows_without_consent=1)),
            5,
            "receipt-in-bounds",
            "1 left out for want of consent",
        ),
        (
            edit(5, lambda _: receipt(permit(1), rows_used=81)),
            5,
            "receipt-in-bounds",
            "at most 100 rows",
        ),
        (edit(5, lambda b: {**b, "update": "1" * 64}), 5, "receipt-permitted", "update"),
        (edit(5, lambda b: {**b, "rows_used": 79}), 5, "receipt-permitted", "rows"),
        (
            edit(5, lambda b: {**b, "participant": "stranger"}),
            5,
            "receipt-in-bounds",
            "expected an enrolled member",
        ),
        (drop(0), 4, "receipt-in-bounds", "expected an enrolled member"),
        (
            lambda s: [*s[:6], ("ReceiptAccepted", receipt(permit(1))), *s[6:]],
            6,
            "receipt-in-bounds",
            "entry 5 is one",
        ),
        (edit(10, lambda b: {**b, "previous": None}), 10, "close-chained", "in entry 6"),
        (edit(6, lambda b: {**b, "previous": 1}), 6, "close-chained", "in entry None"),
        (edit(10, lambda _: close(permit(2), 6, rows=10**9)), 10, "close-answers", "80 rows"),
        (edit(4, lambda b: {**b, "round": 0}), 4, "entry-readable", "round"),
        (edit(5, lambda b: {**b, "envelope": "%"}), 5, "entry-readable", "base64"),
        (edit(5, lambda b: {}), 5, "entry-readable", "KeyError"),
    ],
)
def test_one_fault_is_named_with_its_entry(
    change: Callable[[Story], Story], index: int, rule: str, says: str
) -> None:
    found = [one for one in check(change(good_story())) if one.rule == rule]
    assert found, "the rule did not break"
    assert found[0].index == index
    assert says in found[0].text


def paid(number: int, **changes: Any) -> dict[str, Any]:
    body = permit(number).to_json()
    members: Any = body["cohort"]
    return {**body, "voucher": "v1", "cohort": [{**members[0], "pays": "2", **changes}]}


def paid_story() -> Story:
    """One voucher that pays for two rounds, and no more."""
    spent = {**SPEC, "pays": "2", "voucher": "v1"}
    return [
        ("VoucherIssued", {"voucher": "v1", "consumer": "consortium", "amount": "5"}),
        ("RunOpened", {"run": "run-1", "consumer": "consortium", "spec": spent}),
        ("AgreementConcluded", {"agreement": "a1", "product": "clinic/p"}),
        ("RoundDecided", decided(1)),
        ("PermitIssued", paid(1)),
        ("RoundDecided", decided(2)),
        ("PermitIssued", paid(2)),
    ]


def test_a_voucher_that_covers_what_it_pays() -> None:
    assert check(paid_story()) == []


@pytest.mark.parametrize(
    ("change", "index", "says"),
    [
        (edit(0, lambda b: {**b, "amount": "3.5"}), 6, "1.5 units that v1 has left, got 2"),
        (edit(0, lambda b: {**b, "consumer": "another"}), 4, "a voucher of consortium, got none"),
        (drop(0), 3, "a voucher of consortium, got none"),
        (edit(4, lambda b: {**b, "voucher": ""}), 4, "the voucher 'v1' of the run, got ''"),
    ],
)
def test_a_voucher_that_does_not_cover_it_is_named(
    change: Callable[[Story], Story], index: int, says: str
) -> None:
    found = [one for one in check(change(paid_story())) if one.rule == "voucher-covers"]
    assert (found[0].index, found[0].rule) == (index, "voucher-covers")
    assert says in found[0].text
