"""`tds audit prove` and `check`: an entry and its place in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.cosignature import Cosigner
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tlogproof import parse_proof

SIGNER = NoteSigner("logs.example/prove", Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
OTHER = NoteSigner("logs.example/prove", Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32))
WITNESS = Cosigner("witness.example", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
POLICY = f"log {SIGNER.verifier_key}\nwitness w {WITNESS.verifier.text}\nquorum w\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of 600 entries in `log/`, cosigned; `policy` asks for that."""
    monkeypatch.chdir(tmp_path)
    with Log.open(
        folder=tmp_path / "log",
        database=tmp_path / "ledger.db",
        last_signed=tmp_path / "last-signed",
        signer=SIGNER,
    ) as log:
        log.append([b'{"entry":%d}' % n for n in range(600)])
        log.add_cosignatures(600, [WITNESS.cosign(log.checkpoint(), time=1_700_000_000)])
    (tmp_path / "policy").write_text(POLICY, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("entry", [0, 255, 256, 599])
def test_a_proof_holds_without_the_log(tds: Tds, place: Path, entry: int) -> None:
    ran = tds("audit", "prove", "log", str(entry), "--policy", "policy", "--out", "p.tlog-proof")
    assert (ran.code, ran.err) == (0, "")
    assert "under its head of 600 entries" in ran.out
    (place / "log").rename(place / "gone")
    ran = tds("audit", "check", "p.tlog-proof", "--policy", "policy")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"entry {entry} of logs.example/prove, under its head of 600 entries",
        "cosigned by witness.example",
        f'{{"entry":{entry}}}',
    ]
    told = tds("audit", "check", "p.tlog-proof", "--key", SIGNER.verifier_key, "--json").json()
    assert (told["index"], told["size"], told["entry"]) == (entry, 600, f'{{"entry":{entry}}}')
    assert parse_proof((place / "p.tlog-proof").read_bytes()).index == entry


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"index 300", b"index 301", 3),
        (b"index 300", b"index 0300", 2),
        (b"index 300\n", b"", 2),
        (b"extra ey", b"extra ez", 3),
        (b"\n600\n", b"\n601\n", 3),
        (b"@v1", b"@v2", 2),
        (b"witness.example ", b"witness.elsewhere ", 3),
    ],
)
def test_a_changed_proof_is_refused(
    tds: Tds, place: Path, old: bytes, new: bytes, code: int
) -> None:
    tds("audit", "prove", "log", "300", "--policy", "policy", "--out", "p.tlog-proof")
    path = place / "p.tlog-proof"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    ran = tds("audit", "check", "p.tlog-proof", "--policy", "policy")
    assert (ran.code, ran.out) == (code, "")


def test_a_proof_without_its_entry_is_refused(tds: Tds, place: Path) -> None:
    tds("audit", "prove", "log", "300", "--policy", "policy", "--out", "p.tlog-proof")
    path = place / "p.tlog-proof"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith(b"extra ")))
    ran = tds("audit", "check", "p.tlog-proof", "--policy", "policy")
    assert (ran.code, "expected the entry in its extra line" in ran.err) == (2, True)


def test_what_cannot_be_proved(tds: Tds, place: Path) -> None:
    call = ("audit", "prove", "log")
    more = ("--key", SIGNER.verifier_key, "--out", "p.tlog-proof")
    ran = tds(*call, "600", *more)
    assert (ran.code, "expected an entry below 600" in ran.err) == (2, True)
    ran = tds(*call, "3", "--key", OTHER.verifier_key, "--out", "p.tlog-proof")
    assert (ran.code, (place / "p.tlog-proof").exists()) == (3, False)
    assert tds(*call, "3", "--out", "p.tlog-proof").code == 2, "neither key nor policy"
    tile = place / "log/tile/0/000"
    tile.write_bytes(tile.read_bytes()[:-1] + b"x")
    assert tds(*call, "3", *more).code == 3
    tile.unlink()
    ran = tds(*call, "3", *more)
    assert (ran.code, "the tiles from it to the root" in " ".join(ran.err.split())) == (3, True)
