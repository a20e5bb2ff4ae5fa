"""FORMAT.md opens with an example; this writes it again and verifies it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.verify import verify_folder
from ledger.folder import read_entries
from ledger.log import Log
from ledger.note import NoteSigner, NoteVerifier
from ledger.tiles import parse_bundle, parse_tile_path
from ledger.tiletree import TileTree
from ledger.tlogpolicy import Policy
from ledger.tlogproof import TlogProof, format_proof, parse_proof
from ledger.tree import leaf_hash

PAGE = (Path(__file__).parents[3] / "ledger" / "FORMAT.md").read_text(encoding="utf-8")


def block(before: str) -> str:
    found = re.search(re.escape(before) + r"\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, before
    return found.group(1)


KEY = block("The log's public key:").strip()
ENTRIES = [line.encode() for line in block("The entries, one a line:").splitlines()]


def example() -> dict[str, bytes]:
    """Path to contents of every file that the page shows."""
    paths = re.findall(r"^`([a-z0-9./]+)`\n\n```$", PAGE, re.MULTILINE)
    shown = {path: block(f"`{path}`") for path in paths}
    return {
        path: text.encode() if path == "checkpoint" else bytes.fromhex(text)
        for path, text in shown.items()
    }


def example_signer() -> NoteSigner:
    seed = hashlib.sha256(b"tdspace: an example, not a secret").digest()
    return NoteSigner("logs.example/space", Ed25519PrivateKey.from_private_bytes(seed))


def test_the_log_writes_the_example(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with Log.open(
        folder=folder,
        database=tmp_path / "log.sqlite",
        last_signed=tmp_path / "last-signed",
        signer=example_signer(),
    ) as log:
        log.append(ENTRIES[:2])
        log.append(ENTRIES[2:])
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)): path.read_bytes() for path in files} == example()
    assert (tmp_path / "last-signed").read_bytes() == example()["checkpoint"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}


def test_the_example_verifies(tmp_path: Path) -> None:
    for path, data in example().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    verified = verify_folder(tmp_path, verifier_key=KEY)
    assert (verified.origin, verified.size) == ("logs.example/space", 3)
    assert list(read_entries(tmp_path, 3)) == ENTRIES
    assert example_signer().verifier_key == KEY


def test_the_proof_of_an_entry(tmp_path: Path) -> None:
    shown = block("in its `extra` line (`tds audit prove`):").encode()
    files = example()
    tree = TileTree(3, lambda tile: files[tile.path])
    checkpoint = files["checkpoint"].decode()
    proof = TlogProof(1, tree.inclusion_proof(1, 3), checkpoint, ENTRIES[1])
    assert format_proof(proof) == shown
    log = NoteVerifier.parse(KEY)
    assert parse_proof(shown).verify(leaf_hash(ENTRIES[1]), Policy(), log).checkpoint.size == 3


def test_the_sum_by_hand() -> None:
    shown = example()
    leaves = shown["tile/0/000.p/3"]
    assert parse_bundle(shown["tile/entries/000.p/3"], 3) == ENTRIES
    assert shown["tile/entries/000.p/3"].startswith(shown["tile/entries/000.p/2"])
    assert b"\x00\x21" + ENTRIES[1] in shown["tile/entries/000.p/3"]
    assert leaf_hash(ENTRIES[1]) == leaves[32:64]
    pair = hashlib.sha256(b"\x01" + leaves[:64]).digest()
    root = hashlib.sha256(b"\x01" + pair + leaves[64:]).digest()
    assert base64.b64encode(root) in shown["checkpoint"].splitlines()
    assert all(parse_tile_path(path).path == path for path in shown if path != "checkpoint")
