"""`tds audit replay`: what it says, and that it ends with 0, 2, 3 and 4."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.log import Log
from ledger.note import NoteSigner
from policies.entries import entry_bytes

TIME = "2026-01-01T00:00:00.000Z"
NAME = "logs.example/commands"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
OTHER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32))
VOUCHER = {"voucher": "v1", "consumer": "consortium", "amount": "5", "request_id": "r"}
GOOD = [
    entry_bytes("VoucherIssued", time=TIME, body=VOUCHER),
    entry_bytes("VoucherIssued", time=TIME, body=VOUCHER | {"voucher": "v2"}),
]
BROKEN = [*GOOD, entry_bytes("RunEnded", time=TIME, body={"run": "run-1"})]


def write_log(root: Path, lines: list[bytes], signer: NoteSigner = SIGNER) -> None:
    root.mkdir()
    with Log.open(
        folder=root / "log",
        database=root / "ledger.db",
        last_signed=root / "last-signed",
        signer=signer,
    ) as log:
        log.append(lines)


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`good/log`, `broken/log` and `forged/log`, and the key of the first two in `key.txt`."""
    monkeypatch.chdir(tmp_path)
    Path("key.txt").write_text(SIGNER.verifier_key + "\n", encoding="utf-8")
    Path("policy.txt").write_text(f"log {SIGNER.verifier_key}\nquorum none\n", encoding="utf-8")
    write_log(Path("good"), GOOD)
    write_log(Path("broken"), BROKEN)
    write_log(Path("forged"), GOOD, OTHER)


def test_without_a_key_entries_are_taken_as_they_stand_and_it_says_so(tds: Tds) -> None:
    ran = tds("audit", "replay", "good/log")
    assert (ran.code, ran.err) == (0, "")
    assert "replayed: 2 entries, 0 decisions, 0 permits, 0 receipts" in ran.out
    assert "every decision follows from the entries before it" in ran.out
    assert "taken as they stand: give --key or --policy" in ran.out
    assert "verified" not in ran.out


@pytest.mark.parametrize("trust", [("--key", "key.txt"), ("--policy", "policy.txt")])
def test_with_a_key_or_a_policy_the_log_is_verified_first(tds: Tds, trust: tuple[str, str]) -> None:
    ran = tds("audit", "replay", "good/log", *trust)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.index("verified: 2 entries") < ran.out.index("replayed: 2 entries")
    assert "as they stand" not in ran.out
    ran = tds("audit", "replay", "forged/log", *trust)
    assert (ran.code, "replayed" in ran.out) == (3, False)


def test_a_broken_rule_ends_with_4_and_names_the_entry(tds: Tds) -> None:
    ran = tds("audit", "replay", "broken/log", "--key", "key.txt")
    assert ran.code == 4
    assert "entry 2 breaks a rule (entry-readable): RunEnded: KeyError" in ran.out
    assert "every decision follows" not in ran.out


def test_as_json(tds: Tds) -> None:
    ran = tds("audit", "replay", "broken/log", "--key", "key.txt", "--jobs", "2", "--json")
    assert (ran.code, ran.err) == (4, "")
    found = ran.json()
    assert (found["verified"]["origin"], found["verified"]["size"]) == (NAME, 3)
    assert (found["entries"], found["decisions"]) == (3, 0)
    assert [(one["entry"], one["rule"]) for one in found["violations"]] == [(2, "entry-readable")]
    found = tds("audit", "replay", "good/log", "--json").json()
    assert (found["verified"], found["violations"]) == (None, [])


def test_a_later_checkpoint_that_somebody_saw(tds: Tds) -> None:
    seen = ("--key", "key.txt", "--seen", "broken/log/checkpoint")
    ran = tds("audit", "replay", "good/log", *seen)
    assert (ran.code, "replayed" in ran.out) == (3, False)
    ran = tds("audit", "replay", "broken/log", *seen)
    assert (ran.code, "checkpoints seen by others: 1" in ran.out) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("gone",), 2, "got none"),
        (("good/log", "--jobs", "0"), 2, "0 is not in the range"),
        (("good/log", "--seen", "good/log/checkpoint"), 2, "expected --key or --policy with it"),
        (("good/log", "--key", "gone.txt"), 2, "gone.txt: expected a readable file"),
        (("good/log", "--policy", "gone.txt"), 2, "gone.txt: expected"),
    ],
)
def test_what_cannot_be_replayed(
    tds: Tds, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = tds("audit", "replay", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.split())


def test_a_torn_bundle_ends_with_3_also_without_a_key(tds: Tds) -> None:
    bundle = Path("good/log/tile/entries/000.p/2")
    bundle.write_bytes(bundle.read_bytes()[:-1])
    ran = tds("audit", "replay", "good/log")
    assert (ran.code, "tile/entries/000.p/2" in ran.err) == (3, True)


def test_a_whole_space_replays(tds: Tds, desk: Path) -> None:
    ran = tds("audit", "replay", str(desk / "space/log"), "--jobs", "2", "--json")
    assert (ran.code, ran.json()["violations"]) == (0, [])
