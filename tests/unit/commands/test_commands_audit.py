"""`tds audit find`, on a log of three entries."""

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
    return write_lines(
        root, [entry_bytes(kind, time=TIME, body=body) for kind, body in story], signer
    )


def write_lines(root: Path, lines: list[bytes], signer: NoteSigner = SIGNER) -> Path:
    with Log.open(
        folder=root / "log",
        database=root / "ledger.db",
        last_signed=root / "last-signed",
        signer=signer,
    ) as log:
        log.append(lines)
    return root / "log"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good log in `log/`, with its key in `key.txt`; the working directory holds both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.txt").write_text(SIGNER.verifier_key + "\n", encoding="utf-8")
    return write_log(tmp_path, GOOD)


# -- find ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("find", "gone"), 2, "got none"),
        (("find", "log", "--since", "yesterday"), 2, "--since: expected an xsd:dateTime"),
        (("find", "log", "--until", "2026-13-01T00:00:00Z"), 2, "--until: expected a moment"),
        (("find", "log", "--key", "gone.txt"), 2, "gone.txt: expected a readable file"),
        (("find", "log", "--key", OTHER.verifier_key), 3, "make sure that the key handed in"),
    ],
)
def test_what_cannot_be_searched(
    tds: Tds, log: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = tds("audit", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.split())


def test_a_torn_bundle_ends_with_3_and_a_line_that_is_no_entry_with_4(
    tds: Tds, log: Path, tmp_path: Path
) -> None:
    bundle = log / "tile/entries/000.p/3"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    ran = tds("audit", "find", "log")
    assert (ran.code, "tile/entries/000.p/3" in ran.err) == (3, True)
    (tmp_path / "other").mkdir()
    write_lines(tmp_path / "other", [b"{}"])
    ran = tds("audit", "find", "other/log")
    assert (ran.code, "entry-readable" in ran.out + ran.err) == (4, True)


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
