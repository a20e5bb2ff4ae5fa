"""Permits: the body rebuilds its log entry byte for byte; each single fault is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import canonical_bytes, sha256_hex
from policies.entries import entry_bytes, parse_entry
from policies.envelope import sign_envelope
from policies.errors import DocumentError, SignatureError
from policies.permit import PERMIT_TYPE, LogPlace, Permit, PermitBody, open_permit, sign_permit
from policies.receipt import RECEIPT_TYPE

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
MEMBER = {
    "participant": "clinic-a",
    "product": "urn:tds:product:clinic-a:ecg:1",
    "agreement": "urn:uuid:1",
    "key": "a" * 64,
    "report": "e" * 64,
    "max_rows": 398,
    "metered_s": 60,
    "epsilon": "0.5",
    "pays": "10",
    "duties": ["delete", "report"],
    "sealing": "",
}
BODY: dict[str, Any] = {
    "version": 1,
    "id": "permit-" + "0" * 32,
    "space": "space.example/demo",
    "run": "run-1",
    "flower_run": "18446744073709551615",
    "round": 1,
    "attempt": 1,
    "kind": "train",
    "consumer": "consortium",
    "consumer_sector": "health",
    "consumer_region": "CN-SH",
    "purpose": "medical-research",
    "app": "b" * 64,
    "config": "c" * 64,
    "model": "d" * 64,
    "architecture": "f" * 64,
    "metrics": ["accuracy"],
    "clip_norm": "1.5",
    "secure_sum": None,
    "privacy": None,
    "cohort": [MEMBER],
    "min_cohort": 1,
    "voucher": "voucher-1",
    "limits": {"wall_s": 60, "memory_bytes": 1 << 30, "accelerator": "none"},
    "decision": "e" * 64,
    "issued": "2026-01-31T08:00:00.000Z",
    "expires": "2026-01-31T08:05:00.000Z",
}
LOG: dict[str, Any] = {"index": 5, "size": 6, "proof": ["f" * 64], "checkpoint": "space\n6\nx=\n"}


def put(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with the value at a dotted path set; `ABSENT` removes it."""
    result = copy.deepcopy(document)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = result
    for step in steps:
        target = target[step]
    if value == "ABSENT":
        del target[last]
    else:
        target[last] = value
    return result


def signed(payload: object, payload_type: str = PERMIT_TYPE) -> bytes:
    return sign_envelope(payload, payload_type=payload_type, key=KEY)


def test_the_signed_permit_opens() -> None:
    body, log = PermitBody.from_json(BODY), LogPlace.from_json(LOG)
    data = sign_permit(body, log, KEY)
    assert open_permit(data, KEY.public_key()) == Permit(body=body, log=log)
    assert data == signed({"body": BODY, "log": LOG})


def test_the_body_rebuilds_its_entry_byte_for_byte() -> None:
    logged = entry_bytes("PermitIssued", time=BODY["issued"], body=BODY)
    data = sign_permit(PermitBody.from_json(BODY), LogPlace.from_json(LOG), KEY)
    permit = open_permit(data, KEY.public_key())
    assert permit.body.entry() == logged
    assert PermitBody.from_json(parse_entry(logged).body) == permit.body
    assert permit.body.digest() == sha256_hex(canonical_bytes(BODY))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("version", True),
        ("version", "1"),
        ("version", "ABSENT"),
        ("id", "permit-1"),
        ("id", "permit-" + "A" * 32),
        ("space", ""),
        ("run", None),
        ("flower_run", 1),
        ("flower_run", "01"),
        ("flower_run", "-1"),
        ("flower_run", "1٣"),
        ("flower_run", "1" * 21),
        ("round", 0),
        ("round", "1"),
        ("round", 1_000_001),
        ("attempt", 0),
        ("kind", "infer"),
        ("consumer", "Consortium"),
        ("consumer_sector", None),
        ("consumer_sector", "x" * 201),
        ("consumer_region", "ABSENT"),
        ("purpose", "any purpose"),
        ("app", "b" * 63),
        ("config", "C" * 64),
        ("model", None),
        ("metrics", ["a"] * 17),
        ("metrics.0", "two words"),
        ("metrics", "accuracy"),
        ("clip_norm", "ABSENT"),
        ("clip_norm", "0"),
        ("clip_norm", 1),
        ("cohort", []),
        ("cohort", {}),
        ("cohort.0", "clinic-a"),
        ("cohort.0.participant", ""),
        ("cohort.0.product", "ABSENT"),
        ("cohort.0.agreement", None),
        ("cohort.0.key", "a"),
        ("cohort.0.max_rows", 0),
        ("cohort.0.max_rows", 2**40 + 1),
        ("cohort.0.rows", 1),
        ("cohort.0.metered_s", 0),
        ("cohort.0.metered_s", 86_401),
        ("cohort.0.epsilon", "ABSENT"),
        ("cohort.0.epsilon", "-1"),
        ("cohort.0.epsilon", "0.50"),
        ("cohort.0.epsilon", "1e-3"),
        ("cohort.0.epsilon", 1),
        ("cohort.0.pays", "01"),
        ("cohort.0.pays", "1" * 19),
        ("cohort.0.duties", "delete"),
        ("cohort.0.duties.0", "two words"),
        ("voucher", "ABSENT"),
        ("voucher", "two words"),
        ("min_cohort", 0),
        ("min_cohort", 10_001),
        ("limits", None),
        ("limits.wall_s", 0),
        ("limits.wall_s", 86_401),
        ("limits.memory_bytes", (1 << 26) - 1),
        ("limits.gpu", 1),
        ("limits.accelerator", "opencl"),
        ("limits.accelerator", True),
        ("decision", ""),
        ("issued", "2026-01-31T08:00:00Z"),
        ("expires", "never"),
        ("note", "x"),
    ],
)
def test_one_fault_in_the_body(path: str, value: object) -> None:
    data = signed({"body": put(BODY, path, value), "log": LOG})
    with pytest.raises(DocumentError) as caught:
        open_permit(data, KEY.public_key())
    place = path.replace(".0", "[0]")
    assert caught.value.where == f"$.body.{place}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("index", -1),
        ("index", "5"),
        ("size", 2**53 - 1 + 0.5),
        ("size", "ABSENT"),
        ("proof", ["f" * 64] * 64),
        ("proof", ["f" * 63]),
        ("checkpoint", "x" * 65_537),
        ("checkpoint", None),
        ("root", "f" * 64),
    ],
)
def test_one_fault_in_the_place(path: str, value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        LogPlace.from_json(put(LOG, path, value))
    assert caught.value.where.startswith(f"$.{path}")


@pytest.mark.parametrize(
    "payload",
    [
        BODY,
        {"body": BODY},
        {"log": LOG},
        {"body": BODY, "log": LOG, "other": 1},
        {"body": BODY, "log": None},
        [],
        None,
        "permit",
    ],
)
def test_another_payload(payload: object) -> None:
    with pytest.raises(DocumentError):
        open_permit(signed(payload), KEY.public_key())


def test_a_permit_of_another_type_or_key() -> None:
    payload = {"body": BODY, "log": LOG}
    with pytest.raises(DocumentError, match="payloadType"):
        open_permit(signed(payload, RECEIPT_TYPE), KEY.public_key())
    with pytest.raises(SignatureError, match="expected a signature by key"):
        open_permit(signed(payload), OTHER.public_key())


def test_a_body_without_a_moment_of_issue_has_no_entry() -> None:
    body = PermitBody.from_json(put(BODY, "issued", "2026-13-01T00:00:00.000Z"))
    with pytest.raises(DocumentError, match=r"\$\.time"):
        body.entry()
