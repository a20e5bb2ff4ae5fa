"""`tds audit verify`: its exit codes and what it says, on a log of three entries."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner
from ledger.log import Log
from ledger.note import NoteSigner
from server.space import load_space

NAME = "logs.example/commands"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
OTHER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32))
ENTRIES = [b'{"entry":0}', b'{"entry":1}', b'{"entry":2}']


def write_log(root: Path, signer: NoteSigner = SIGNER) -> Path:
    with Log.open(
        folder=root / "log",
        database=root / "ledger.db",
        last_signed=root / "last-signed",
        signer=signer,
    ) as log:
        log.append(ENTRIES)
    return root / "log"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good log in `log/`, with its key in `key.txt`; the working directory holds both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.txt").write_text(SIGNER.verifier_key + "\n", encoding="utf-8")
    return write_log(tmp_path)


def flip(name: str, offset: int) -> Callable[[Path], None]:
    """One bit of one byte, counted from the end if negative."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[offset] ^= 1
        (folder / name).write_bytes(data)

    return change


@pytest.mark.parametrize("key", ["key.txt", SIGNER.verifier_key])
def test_a_good_log(tds: Tds, log: Path, key: str) -> None:
    ran = tds("audit", "verify", "log", "--key", key)
    assert (ran.code, ran.err) == (0, "")
    assert "verified: 3 entries of logs.example/commands" in ran.out
    assert "checkpoints seen by others: 0" in ran.out
    assert len(ran.out.splitlines()) == 1


def test_what_was_not_verified_is_said(tds: Tds, log: Path) -> None:
    newer = (log / "tile/0/000.p/3").read_bytes() + bytes(32)
    (log / "tile/0/000.p/4").write_bytes(newer)
    (log / "entries.jsonl").write_bytes(b"{}\n")
    ran = tds("audit", "verify", "log", "--key", "key.txt")
    assert (ran.code, ran.err) == (0, "")
    assert "not verified: 1 files of newer entries" in ran.out
    assert "not looked into, for they are no part of a log: entries.jsonl" in ran.out


def test_a_key_whose_name_is_longer_than_a_files_may_be(
    tds: Tds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    signer = NoteSigner("n" * 250, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
    write_log(tmp_path, signer)
    assert tds("audit", "verify", "log", "--key", signer.verifier_key).code == 0


def test_the_verdict_for_programs(tds: Tds, log: Path) -> None:
    note = (log / "checkpoint").read_text("utf-8")
    (log.parent / "seen.txt").write_text(note, encoding="utf-8")
    ran = tds("audit", "verify", "log", "--key", "key.txt", "--seen", "seen.txt", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json() == {
        "origin": NAME,
        "size": 3,
        "root": base64.b64decode(note.splitlines()[2]).hex(),
        "cosigners": [],
        "ahead": 0,
        "beside": [],
        "checkpoint": note,
        "seen": 1,
    }


def test_a_policy_instead_of_a_key(tds: Tds, log: Path) -> None:
    witness = Cosigner("clinic", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
    note = (log / "checkpoint").read_text(encoding="utf-8")
    (log.parent / "policy").write_text(
        f"log {SIGNER.verifier_key}\nwitness w {witness.verifier.text}\nquorum w\n", "utf-8"
    )
    ran = tds("audit", "verify", "log", "--policy", "policy")
    assert ran.code == 3
    assert "expected the quorum 'w' of the policy, got cosignatures by nobody" in ran.err
    (log / "checkpoint").write_text(note + witness.cosign(note, time=1), encoding="utf-8")
    ran = tds("audit", "verify", "log", "--policy", "policy")
    assert (ran.code, ran.err) == (0, "")
    assert "cosigned by clinic" in ran.out
    assert tds("audit", "verify", "log", "--policy", "policy", "--key", "key.txt").code == 0
    (log.parent / "policy").write_bytes(b"quorum none\n")
    assert "got neither" in tds("audit", "verify", "log", "--policy", "policy").err
    ran = tds("audit", "verify", "log")
    assert (ran.code, ran.out) == (2, "")
    assert "expected the log's public key (--key) or a policy (--policy), got neither" in ran.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flip("tile/entries/000.p/3", 5), "entry 0, byte 0 of tile/entries/000.p/3"),
        (flip("tile/entries/000.p/3", -1), "entry 2, byte 26 of tile/entries/000.p/3"),
        (flip("tile/0/000.p/3", 0), "byte 0 of tile/0/000.p/3, the hash of entry 0"),
        (flip("checkpoint", -3), "checkpoint"),
    ],
    ids=["first entry", "last entry", "hash", "checkpoint"],
)
def test_a_flipped_bit_ends_with_3_and_its_place(
    tds: Tds, log: Path, change: Callable[[Path], None], says: str
) -> None:
    change(log)
    ran = tds("audit", "verify", "log", "--key", "key.txt")
    assert ran.code == 3
    assert ran.err.startswith(f"error: {says}")
    assert ran.out == ""


def test_entries_dropped_together_with_their_heads_show_against_a_seen_one(
    tds: Tds, log: Path
) -> None:
    head = sign_checkpoint(Checkpoint(NAME, 9, bytes(32)), SIGNER)
    (log.parent / "seen.txt").write_text(head, encoding="utf-8")
    ran = tds("audit", "verify", "log", "--key", "key.txt", "--seen", "seen.txt")
    assert ran.code == 3
    assert "rolled back" in ran.err


@pytest.mark.parametrize(
    ("folder", "key", "seen", "code", "says"),
    [
        ("log", "gone.txt", None, 2, "gone.txt: expected a readable file"),
        ("log", "log", None, 2, "log: expected a readable file, got: Is a directory"),
        ("log", "a+b+c", None, 2, "the log's key"),
        ("log", "binary", None, 2, "binary: expected UTF-8 text"),
        ("log", "huge", None, 2, "huge: expected at most 4096 bytes"),
        ("log", "key.txt", "gone.txt", 2, "gone.txt: expected a readable file"),
        ("log", "key.txt", "key.txt", 2, "proves nothing"),
        ("log", OTHER.verifier_key, None, 3, "make sure that the key handed in"),
        ("gone", "key.txt", None, 2, "got none"),
        (".", "key.txt", None, 2, "got none"),
        ("key.txt", "key.txt", None, 2, "got none"),
    ],
)
def test_what_cannot_be_verified(
    tds: Tds, log: Path, folder: str, key: str, seen: str | None, code: int, says: str
) -> None:
    (log.parent / "binary").write_bytes(b"\xff\xfe")
    (log.parent / "huge").write_bytes(b"x" * 5000)
    call = ["audit", "verify", folder, "--key", key, *(["--seen", seen] if seen else [])]
    ran = tds(*call)
    assert ran.code == code
    assert says in ran.err
    assert ran.err.startswith("error: ")


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError("an auditor's machine does not have " + name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["tds", "audit", *sys.argv[1:]]
from commands.main import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("verify", "log", "--key", "key.txt"), 0, "verified: 3 entries"),
        (("verify", "space/log", "--key", "space.txt"), 0, "verified: "),
        (("replay", "space/log"), 0, "every decision follows"),
        (("--help",), 0, "verify"),
        (("verify", "x", "--key", "y"), 2, "y: expected a readable file"),
    ],
    ids=["a log", "a space's log", "replay", "help", "an error"],
)
def test_an_auditor_needs_neither_server_nor_node(
    log: Path, made: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Nor what they bring with them: Flower, gRPC, a database, a web server."""
    shutil.copytree(made / "space/log", log.parent / "space/log")
    key = load_space(made / "space").card.log_key
    (log.parent / "space.txt").write_text(key, encoding="utf-8")
    blocked = {"server", "clients", "flwr", "grpc", "torch", "sqlalchemy", "duckdb", "fastapi"}
    script = BLOCKED.replace("{blocked}", repr(blocked | {"uvicorn"}))
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=log.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ran.stderr
    assert ran.returncode == code, ran.stderr
    assert says in ran.stdout + ran.stderr
