"""FORMAT.md opens with an example; this writes it again and verifies it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.verify import verify_folder
from ledger.errors import ProofError
from ledger.folder import history_line, parse_history_line
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tree import leaf_hash

FORMAT = Path(__file__).parents[3] / "ledger" / "FORMAT.md"
FILES = ("entries.jsonl", "leaves", "checkpoints.jsonl", "checkpoint")


def example() -> dict[str, str]:
    """File name (or `key`) to the block that the page shows for it."""
    page = FORMAT.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^`([a-z.]+)`\n\n```\n(.*?)```$", page, re.DOTALL | re.MULTILINE))
    key = re.search(r"public key:\n\n```\n(.*?)\n```", page)
    assert key is not None
    return blocks | {"key": key.group(1)}


def example_signer() -> NoteSigner:
    seed = hashlib.sha256(b"tdspace: an example, not a secret").digest()
    return NoteSigner("logs.example/space", Ed25519PrivateKey.from_private_bytes(seed))


def test_the_page_shows_all_files_first() -> None:
    assert sorted(example()) == sorted([*FILES, "key"])


def test_the_log_writes_the_example(tmp_path: Path) -> None:
    shown = example()
    entries = [line.encode() for line in shown["entries.jsonl"].splitlines()]
    with Log.open(
        folder=tmp_path / "folder",
        database=tmp_path / "log.sqlite",
        last_signed=tmp_path / "last-signed",
        signer=example_signer(),
    ) as log:
        log.append(entries[:2])
        log.append(entries[2:])
    written = {name: (tmp_path / "folder" / name).read_text(encoding="utf-8") for name in FILES}
    assert written == {name: shown[name] for name in FILES}
    assert (tmp_path / "last-signed").read_text(encoding="utf-8") == shown["checkpoint"]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == sorted(FILES)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()} == {0o644}


def test_the_example_verifies(tmp_path: Path) -> None:
    shown = example()
    for name in FILES:
        (tmp_path / name).write_text(shown[name], encoding="utf-8")
    verified = verify_folder(tmp_path, verifier_key=shown["key"])
    assert (verified.origin, verified.size, verified.checkpoints) == ("logs.example/space", 3, 3)
    assert shown["key"] == example_signer().verifier_key


def test_the_sum_by_hand() -> None:
    shown = example()
    entries, leaves = shown["entries.jsonl"].splitlines(), shown["leaves"].splitlines()
    assert leaf_hash(entries[1].encode()).hex() == leaves[1]
    _, note = parse_history_line(shown["checkpoints.jsonl"].encode().splitlines()[1])
    root = hashlib.sha256(b"\x01" + bytes.fromhex(leaves[0] + leaves[1])).digest()
    assert note.splitlines()[2].encode() == base64.b64encode(root)


GOOD = history_line(2, "a\n— b\n")[:-1]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"2",
        b'{"size":2}',
        b'{"note":"a","size":2}',
        b'{"size": 2,"note":"a"}',
        b'{"size":2,"note":"a"} ',
        b'{"size":2,"note":"a","x":1}',
        b'{"size":2,"size":2,"note":"a"}',
        b'{"size":"2","note":"a"}',
        b'{"size":true,"note":"a"}',
        b'{"size":2.0,"note":"a"}',
        b'{"size":2,"note":"\\u0061"}',
        b'{"size":2,"note":"\\ud800"}',
        b'{"size":2,"note":"\xff"}',
        b"[" * 100_000,
        GOOD + b"\n",
    ],
    ids=range(17),
)
def test_history_lines_of_another_spelling(line: bytes) -> None:
    assert parse_history_line(GOOD) == (2, "a\n— b\n")
    with pytest.raises(ProofError):
        parse_history_line(line)
