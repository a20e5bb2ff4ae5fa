"""`tds audit replay` and `find`, on a log of three entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.log import Log
from ledger.note import NoteSigner
from policies.entries import EntryType, entry_bytes

TIME = "2026-01-01T00:00:00.000Z"
NAME = "logs.example/commands"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
OTHER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32))

Story = list[tuple[EntryType, dict[str, Any]]]
GOOD: Story = [
    ("AgreementConcluded", {"agreement": "a1", "product": "clinic/p"}),
    ("RoundClosed", {"run": "run-1", "permit": "0" * 64, "accepted": [], "previous": None}),
    ("ConsentWithdrawn", {"agreement": "a1"}),
]


def write_log(root: Path, story: Story, signer: NoteSigner = SIGNER) -> Path:
    with Log.open(
        folder=root / "log",
        database=root / "ledger.db",
        last_signed=root / "last-signed",
        signer=signer,
    ) as log:
        log.append([entry_bytes(kind, time=TIME, body=body) for kind, body in story])
    return root / "log"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good log in `log/`, with its key in `key.txt`; the working directory holds both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.txt").write_text(SIGNER.verifier_key + "\n", encoding="utf-8")
    return write_log(tmp_path, GOOD)


# -- replay ----------------------------------------------------------------------------------------


def test_a_log_that_replays(tds: Tds, desk: Path) -> None:
    ran = tds("audit", "replay", "space/log")
    assert (ran.code, ran.err) == (0, "")
    assert "replayed: 6 entries, 0 decisions, 0 permits, 0 receipts" in ran.out
    assert "every decision follows from the entries before it" in ran.out
    assert tds("audit", "replay", "space/log", "--jobs", "2", "--json").json()["violations"] == []


def test_a_log_that_does_not_replay_ends_with_4(tds: Tds, log: Path) -> None:
    ran = tds("audit", "replay", "log")
    assert ran.code == 4
    assert "entry 1 breaks a rule (close-chained)" not in ran.out
    assert "entry 0 breaks a rule (entry-readable): AgreementConcluded: KeyError" in ran.out
    assert "every decision follows" not in ran.out
    found = tds("audit", "replay", "log", "--json")
    assert (found.code, found.err) == (4, "")
    assert {one["rule"] for one in found.json()["violations"]} == {"entry-readable"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("replay", "gone"), 2, "got none"),
        (("replay", "log", "--jobs", "0"), 2, "0 is not in the range"),
        (("find", "gone"), 2, "got none"),
        (("find", "log", "--since", "yesterday"), 2, "--since: expected an xsd:dateTime"),
        (("find", "log", "--until", "2026-13-01T00:00:00Z"), 2, "--until: expected a moment"),
        (("find", "log", "--key", "gone.txt"), 2, "gone.txt: expected a readable file"),
        (("find", "log", "--key", OTHER.verifier_key), 3, "make sure that the key handed in"),
    ],
)
def test_what_cannot_be_replayed_or_searched(
    tds: Tds, log: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = tds("audit", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.split())


@pytest.mark.parametrize("verb", ["replay", "find"])
def test_a_torn_bundle_ends_with_3_and_a_line_that_is_no_entry_with_4(
    tds: Tds, log: Path, verb: str
) -> None:
    path = log / "tile/entries/000.p/3"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    ran = tds("audit", verb, "log")
    assert (ran.code, "entry 0, tile/entries/000.p/3" in ran.err) == (3, True)
    path.write_bytes(whole.replace(b'{"body"', b'{"nody"'))
    ran = tds("audit", verb, "log")
    assert (ran.code, "entry-readable" in ran.out + ran.err) == (4, True)


# -- find ------------------------------------------------------------------------------------------


def test_what_is_found_says_whether_it_is_all(tds: Tds, log: Path) -> None:
    ran = tds("audit", "find", "log", "--agreement", "a1")
    assert (ran.code, ran.err) == (0, "")
    assert "2 found; not verified: give --key" in ran.out
    ran = tds("audit", "find", "log", "--agreement", "a1", "--key", "key.txt")
    assert "2 found; the log of 3 entries was verified, so these are all there are" in ran.out
    found = tds("audit", "find", "log", "--agreement", "a1", "--json").json()
    assert found["verified"] is False
    assert found["entries"] == [
        {"entry": 0, "time": TIME, "type": "AgreementConcluded", "summary": "AgreementConcluded"},
        {"entry": 2, "time": TIME, "type": "ConsentWithdrawn", "summary": "ConsentWithdrawn"},
    ]


def test_a_summary_for_people(tds: Tds, desk: Path) -> None:
    ran = tds("audit", "find", "space/log", "--participant", "clinic")
    assert "ProductRegistered: clinic registered clinic/biopsies, version 1: 20 rows" in ran.out
