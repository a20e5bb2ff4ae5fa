"""Whose signatures are believed: a policy with logs, witnesses and a quorum."""

from __future__ import annotations

from pathlib import Path

import pytest
from auditors_folder import ENTRIES, OTHER, SIGNER, current, head
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.trust import PolicyTrust
from auditors.verify import verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner
from ledger.note import NoteSigner
from ledger.tree import EMPTY_ROOT

ANOTHER = NoteSigner("logs.example/another", Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
WITNESSES = [
    Cosigner(f"witness-{n}", Ed25519PrivateKey.from_private_bytes(bytes([20 + n]) * 32))
    for n in range(3)
]
NOTE = head(ENTRIES)


def policy(quorum: str, *logs: NoteSigner) -> bytes:
    lines = [f"log {log.verifier_key}" for log in logs]
    lines += [f"witness w{n} {one.verifier.text}" for n, one in enumerate(WITNESSES)]
    lines += ["group two 2 w0 w1 w2", f"quorum {quorum}"]
    return "".join(f"{line}\n" for line in lines).encode()


def cosigned(*numbers: int, note: str = NOTE) -> str:
    return note + "".join(WITNESSES[n].cosign(note, time=1_800_000_000) for n in numbers)


@pytest.mark.parametrize(
    ("quorum", "numbers"), [("none", ()), ("none", (1,)), ("w2", (2,)), ("two", (2, 0))]
)
def test_enough_cosignatures(folder: Path, quorum: str, numbers: tuple[int, ...]) -> None:
    current(cosigned(*numbers))(folder)
    trust = PolicyTrust.parse(policy(quorum, ANOTHER, SIGNER))
    verified = verify_folder(folder, trust=trust)
    assert verified.cosigners == tuple(sorted(f"witness-{n}" for n in numbers))
    assert verified.note == cosigned(*numbers)


@pytest.mark.parametrize(
    ("quorum", "note", "says"),
    [
        ("w2", cosigned(0, 1), "expected the quorum 'w2' of the policy, got cosignatures by"),
        ("two", cosigned(1), "and cosigned by two"),
        ("two", NOTE, "got cosignatures by nobody only"),
        ("two", cosigned(1, 0).replace("witness-0", "witness-2"), "the quorum 'two'"),
        ("w0", NOTE + WITNESSES[0].cosign(head(ENTRIES[:9]), time=1), "does not fit the text"),
        ("none", head(ENTRIES, OTHER), "expected a signature by a log of the policy"),
    ],
)
def test_too_few_or_wrong_ones(folder: Path, quorum: str, note: str, says: str) -> None:
    current(note)(folder)
    with pytest.raises(IntegrityBroken, match=says) as broken:
        verify_folder(folder, trust=PolicyTrust.parse(policy(quorum, SIGNER)))
    assert broken.value.place == "checkpoint"
    assert "make sure that the policy is the one for this log" in broken.value.hint


def test_the_log_may_be_named_beside_the_policy(folder: Path) -> None:
    current(cosigned(0, 1))(folder)
    trust = PolicyTrust.parse(policy("two"), SIGNER.verifier_key)
    assert verify_folder(folder, trust=trust).cosigners == ("witness-0", "witness-1")
    with pytest.raises(IntegrityBroken, match="expected a signature by"):
        verify_folder(folder, trust=PolicyTrust.parse(policy("two"), OTHER.verifier_key))


def test_a_head_that_was_seen_need_not_be_cosigned(folder: Path) -> None:
    current(cosigned(0, 1))(folder)
    trust = PolicyTrust.parse(policy("two", SIGNER, ANOTHER))
    assert verify_folder(folder, trust=trust, seen=[head(ENTRIES[:5])]).size == 600
    with pytest.raises(IntegrityBroken, match="two histories"):
        verify_folder(folder, trust=trust, seen=[head([b"x"] * 5)])
    note = sign_checkpoint(Checkpoint(ANOTHER.name, 0, EMPTY_ROOT), ANOTHER)
    with pytest.raises(AuditInputError, match="it proves nothing about this log"):
        verify_folder(folder, trust=trust, seen=[note])


@pytest.mark.parametrize(
    ("data", "key", "says"),
    [
        (b"", None, "policy: "),
        (b"quorum two\n", None, "policy, line 1"),
        (policy("two"), None, "or the log's key beside the policy, got neither"),
        (policy("two"), "no key", "the log's key"),
    ],
)
def test_a_policy_that_is_none(data: bytes, key: str | None, says: str) -> None:
    with pytest.raises(AuditInputError, match=says):
        PolicyTrust.parse(data, key)
