"""Receipts: signed by the node's own key, each single fault refused."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.envelope import sign_envelope
from policies.errors import DocumentError, SignatureError
from policies.permit import PERMIT_TYPE
from policies.receipt import RECEIPT_TYPE, Confinement, Receipt, open_receipt, sign_receipt

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
CONFINEMENT: dict[str, Any] = {
    "network": "none",
    "user": "nobody",
    "files": "own",
    "no_new_privileges": True,
    "memory_limit": True,
    "scratch": "bounded",
    "level": "isolated",
}
RECEIPT: dict[str, Any] = {
    "version": 1,
    "permit": "a" * 64,
    "permit_id": "permit-" + "0" * 32,
    "run": "run-1",
    "round": 3,
    "participant": "clinic-a",
    "product": "urn:tds:product:clinic-a:ecg:1",
    "product_commitment": "b" * 64,
    "rows_commitment": "c" * 64,
    "rows_used": 80,
    "rows_held_back": 20,
    "rows_without_consent": 0,
    "accelerator": "none",
    "update": "d" * 64,
    "metrics": {"accuracy": "0.9375", "loss": "1e-05"},
    "clip_norm": "1.5",
    "mask_key": "",
    "noise": "",
    "confinement": CONFINEMENT,
    "started": "2026-01-31T08:00:00.000Z",
    "finished": "2026-01-31T08:00:01.000Z",
    "log_size": 7,
    "log_root": "e" * 64,
}


def signed(payload: object, *, payload_type: str = RECEIPT_TYPE) -> bytes:
    return sign_envelope(payload, payload_type=payload_type, key=KEY)


def test_the_signed_receipt_opens_equal() -> None:
    receipt = Receipt.from_json(RECEIPT)
    data = sign_receipt(receipt, KEY)
    assert open_receipt(data, KEY.public_key()) == receipt
    assert data == signed(RECEIPT)


def test_another_key_is_refused_both_ways() -> None:
    data = sign_receipt(Receipt.from_json(RECEIPT), KEY)
    with pytest.raises(SignatureError, match="expected a signature by key"):
        open_receipt(data, OTHER.public_key())
    with pytest.raises(SignatureError, match="expected a signature by key"):
        open_receipt(sign_receipt(Receipt.from_json(RECEIPT), OTHER), KEY.public_key())


def test_a_permit_never_passes_as_a_receipt() -> None:
    with pytest.raises(DocumentError, match="payloadType"):
        open_receipt(signed(RECEIPT, payload_type=PERMIT_TYPE), KEY.public_key())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 2}, "$.version"),
        ({"version": True}, "$.version"),
        ({"permit": "a" * 65}, "$.permit"),
        ({"permit_id": "permit-"}, "$.permit_id"),
        ({"run": "two words"}, "$.run"),
        ({"round": 0}, "$.round"),
        ({"round": True}, "$.round"),
        ({"participant": "Clinic"}, "$.participant"),
        ({"product": ""}, "$.product"),
        ({"product_commitment": None}, "$.product_commitment"),
        ({"rows_commitment": "C" * 64}, "$.rows_commitment"),
        ({"rows_used": -1}, "$.rows_used"),
        ({"rows_used": "80"}, "$.rows_used"),
        ({"rows_held_back": -1}, "$.rows_held_back"),
        ({"rows_without_consent": -1}, "$.rows_without_consent"),
        ({"accelerator": "gpu"}, "$.accelerator"),
        ({"update": ""}, "$.update"),
        ({"metrics": {"accuracy": "nan"}}, "$.metrics.accuracy"),
        ({"metrics": {"accuracy": 1}}, "$.metrics.accuracy"),
        ({"metrics": {"two words": "1"}}, "$.metrics.two words.[key]"),
        ({"metrics": {f"m{i}": "1" for i in range(17)}}, "$.metrics"),
        ({"metrics": []}, "$.metrics"),
        ({"clip_norm": "0"}, "$.clip_norm"),
        ({"clip_norm": None}, "$.clip_norm"),
        ({"confinement": {}}, "$.confinement.network"),
        ({"confinement": CONFINEMENT | {"network": "some"}}, "$.confinement.network"),
        ({"confinement": CONFINEMENT | {"user": "root"}}, "$.confinement.user"),
        ({"confinement": CONFINEMENT | {"memory_limit": 1}}, "$.confinement.memory_limit"),
        ({"confinement": CONFINEMENT | {"files": "some"}}, "$.confinement.files"),
        ({"confinement": CONFINEMENT | {"scratch": "full"}}, "$.confinement.scratch"),
        ({"confinement": CONFINEMENT | {"level": "perfect"}}, "$.confinement.level"),
        ({"confinement": CONFINEMENT | {"level": "confined"}}, "$.confinement"),
        ({"confinement": CONFINEMENT | {"files": "host"}}, "$.confinement"),
        ({"confinement": CONFINEMENT | {"seccomp": True}}, "$.confinement.seccomp"),
        ({"started": "2026-01-31T08:00:00.000"}, "$.started"),
        ({"finished": ""}, "$.finished"),
        ({"log_size": -1}, "$.log_size"),
        ({"log_root": "e"}, "$.log_root"),
        ({"epsilon": "0.1"}, "$.epsilon"),
    ],
)
def test_one_fault(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        open_receipt(signed(RECEIPT | changes), KEY.public_key())
    assert caught.value.where == where


@pytest.mark.parametrize("field", sorted(RECEIPT))
def test_no_field_may_be_left_out(field: str) -> None:
    fewer = {key: value for key, value in RECEIPT.items() if key != field}
    with pytest.raises(DocumentError) as caught:
        open_receipt(signed(fewer), KEY.public_key())
    assert (caught.value.where, caught.value.got) == (f"$.{field}", "nothing")


def test_a_float_cannot_even_be_signed() -> None:
    with pytest.raises(DocumentError, match="without floats"):
        signed(RECEIPT | {"metrics": {"accuracy": 0.5}})


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "isolated"),
        ({"files": "devices"}, "confined"),
        ({"files": "host"}, "confined"),
        ({"scratch": "watched"}, "isolated"),
        ({"user": "same"}, "confined"),
        ({"network": "host"}, "process"),
        ({"no_new_privileges": False}, "process"),
        ({"memory_limit": False}, "process"),
    ],
)
def test_a_confinement_promises_no_more_than_it_holds(changes: dict[str, Any], level: str) -> None:
    held = {key: value for key, value in CONFINEMENT.items() if key != "level"} | changes
    found = Confinement.measured(**held)
    assert found.level == level
    assert Confinement.from_json(found.to_json()) == found
    for other in {"isolated", "confined", "process"} - {level}:
        with pytest.raises(DocumentError, match="the level that follows"):
            Confinement.from_json(found.to_json() | {"level": other})


@pytest.mark.parametrize(("files", "opened"), [("own", "devices"), ("host", "host")])
def test_devices_are_more_than_an_apps_own_files(files: str, opened: str) -> None:
    held: dict[str, Any] = {k: v for k, v in CONFINEMENT.items() if k != "level"}
    found = Confinement.measured(**held | {"files": files}).opened()
    assert (found.files, found.level) == (opened, "confined")
