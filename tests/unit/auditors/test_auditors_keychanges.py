"""What an auditor says of a key change that its participant did not make."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.keychanges import check_key_change
from auditors.register import Person, Register
from auditors.statements import check_keys, check_new
from policies.entries import Entry
from policies.keychange import sign_key_change

TIME = "2026-03-01T12:00:00.000Z"
OLD, NEW, OTHER, BEFORE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(4))


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def register() -> Register:
    made = Register()
    made.space = "tests/space"
    for name, key in (("alpha", OLD), ("beta", OTHER)):
        made.people[name] = Person(name, "", "CN-GD", 0, public(key), "", "")
    made.former[public(BEFORE)] = "beta"
    return made


def entry(*, old: Ed25519PrivateKey = OLD, new: Ed25519PrivateKey = NEW, **changes: Any) -> Entry:
    signed = {"space": "tests/space", "participant": "alpha", "time": TIME}
    signed |= {name: changes.pop(name) for name in ("space",) if name in changes}
    envelope = sign_key_change(**signed, old=old, new=new)
    body = {
        "participant": "alpha",
        "previous": public(OLD),
        "receipt_key": public(new),
        "envelope": base64.b64encode(envelope).decode(),
    }
    return Entry("KeyRotated", TIME, body | changes)


def test_a_true_change_has_no_fault_and_the_new_key_counts() -> None:
    known, made = register(), entry()
    assert list(check_new(known, made)) == []
    assert list(check_keys(made)) == []
    known.take("KeyRotated", 7, TIME, made.body)
    assert known.person("alpha").receipt_key == public(NEW)
    assert known.former[public(OLD)] == "alpha"
    assert list(check_new(known, entry(old=NEW, new=OLD, previous=public(NEW)))) == [
        ("statement-new", "alpha: expected a key that nobody has or had, got one that is known")
    ]


@pytest.mark.parametrize(
    ("make", "rule", "text"),
    [
        (lambda: entry(old=OTHER), "statement-signed", "expected a signature by key"),
        (lambda: entry(old=NEW), "statement-signed", "expected a signature by key"),
        (lambda: entry(space="another"), "statement-follows", "space: signed was 'another'"),
        (lambda: entry(previous=public(OTHER)), "statement-follows", "previous"),
        (lambda: entry(receipt_key=public(OTHER)), "statement-follows", "receipt_key"),
        (lambda: entry(new=OTHER), "statement-new", "nobody has or had"),
        (lambda: entry(new=BEFORE), "statement-new", "nobody has or had"),
        (lambda: entry(new=OLD), "statement-new", "nobody has or had"),
    ],
)
def test_one_fault_is_named(make: Callable[[], Entry], rule: str, text: str) -> None:
    [found] = check_key_change(register(), make())
    assert found[0] == rule
    assert text in found[1]


def test_a_key_of_low_order_is_named() -> None:
    weak = entry(receipt_key="01" + "00" * 31)
    assert [rule for rule, _ in check_keys(weak)] == ["key-sound"]
