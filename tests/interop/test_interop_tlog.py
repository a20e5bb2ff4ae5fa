"""Tools that others wrote agree on the log: golang.org/x/mod/sumdb, from Debian's packages.

Not among `make test`, for it needs Go: `.ci/interop` installs that and runs this. Where it is run
without, it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.errors import IntegrityBroken
from auditors.verify import verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tree import Tree, leaf_hash

SOURCE = Path(__file__).parent / "tlogcheck" / "main.go"
PACKAGES = Path("/usr/share/gocode")
NAME = "logs.example/interop"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([11]) * 32))
OTHER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([12]) * 32))
WITNESS = Cosigner("witness.example", Ed25519PrivateKey.from_private_bytes(bytes([13]) * 32))
LINES = [b'{"entry":%d,"text":"%s"}' % (n, b"x" * (n % 50)) for n in range(70_000)]
HEADS = [0, 1, 300, 65_536, 65_600, 70_000]

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The verifier, built from Debian's sources of golang.org/x/mod without any network."""
    built = tmp_path_factory.mktemp("go") / "tlogcheck"
    env = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": str(PACKAGES),
        "GOCACHE": str(built.parent / "cache"),
        "GOFLAGS": "",
    }
    subprocess.run(["go", "build", "-o", str(built), str(SOURCE)], env=env, check=True, timeout=300)
    return built


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, str]]:
    """A log's folder, and its heads by size."""
    root = tmp_path_factory.mktemp("log")
    heads = {}
    with Log.open(
        folder=root / "log", database=root / "db", last_signed=root / "last", signer=SIGNER
    ) as log:
        for size in HEADS:
            if size:
                log.append(LINES[log.size : size])
            heads[size] = log.checkpoint()
        log.add_cosignatures(70_000, [WITNESS.cosign(heads[70_000], time=1_800_000_000)])
    return root / "log", heads


@pytest.fixture
def check(tool: Path, tmp_path: Path) -> Check:
    def run(folder: Path, *older: str, key: str = SIGNER.verifier_key) -> object:
        arguments = [str(tool), str(folder), key]
        for note in older:
            (tmp_path / "older").write_text(note, encoding="utf-8")
            arguments.append(str(tmp_path / "older"))
        return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)

    return run  # type: ignore[return-value]


def test_it_agrees_on_the_whole_log(written: tuple[Path, dict[int, str]], check: Check) -> None:
    folder, heads = written
    assert verify_folder(folder, verifier_key=SIGNER.verifier_key).size == 70_000
    for size in HEADS[1:]:
        ran = check(folder, heads[size])
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == "verified 70000 entries and 6 proofs\n"


def test_it_agrees_on_small_ones(tmp_path: Path, check: Check) -> None:
    with Log.open(
        folder=tmp_path / "log", database=tmp_path / "db", last_signed=tmp_path / "l", signer=SIGNER
    ) as log:
        for size in (1, 2, 255, 256, 257, 512):
            log.append(LINES[log.size : size])
            ran = check(tmp_path / "log")
            assert (ran.returncode, ran.stderr) == (0, "")
            assert ran.stdout.startswith(f"verified {size} entries")


def _flip(path: str, at: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        data[at] ^= 1
        (folder / path).write_bytes(data)

    return change


def _head(lines: list[bytes], signer: NoteSigner = SIGNER) -> Callable[[Path], object]:
    tree = Tree(leaf_hash(line) for line in lines)
    note = sign_checkpoint(Checkpoint(NAME, tree.size, tree.root()), signer)
    return lambda folder: (folder / "checkpoint").write_text(note, encoding="utf-8")


def _both(folder: Path) -> None:
    """The first entry changed, and its hash with it."""
    bundle, tile = folder / "tile/entries/000", folder / "tile/0/000"
    length = len(LINES[0])
    entry = b"?" * length
    bundle.write_bytes(bundle.read_bytes()[:2] + entry + bundle.read_bytes()[2 + length :])
    tile.write_bytes(leaf_hash(entry) + tile.read_bytes()[32:])


MUTATED: dict[str, Callable[[Path], object]] = {
    "an entry": _flip("tile/entries/123", 5000),
    "a length": _flip("tile/entries/123", 1),
    "the last entry": _flip("tile/entries/273.p/112", -1),
    "a leaf": _flip("tile/0/200", 100),
    "the last leaf": _flip("tile/0/273.p/112", -1),
    "a hash of level 1": _flip("tile/1/000", 31),
    "the last hash of level 1": _flip("tile/1/001.p/17", -1),
    "the hash of level 2": _flip("tile/2/000.p/1", 0),
    "an entry with its leaf": _both,
    "the signature": _flip("checkpoint", 130),
    "another root": _head([b"{}", *LINES[1:]]),
    "another key": _head(LINES, OTHER),
    "a tile gone": lambda folder: (folder / "tile/0/100").unlink(),
    "a bundle gone": lambda folder: (folder / "tile/entries/100").unlink(),
}


@pytest.mark.parametrize("change", MUTATED.values(), ids=MUTATED.keys())
def test_it_refuses_what_we_refuse(
    written: tuple[Path, dict[int, str]],
    check: Check,
    tmp_path: Path,
    change: Callable[[Path], object],
) -> None:
    folder = Path(shutil.copytree(written[0], tmp_path / "log"))
    assert check(folder).returncode == 0
    change(folder)
    ran = check(folder)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("refused: ")
    with pytest.raises(IntegrityBroken):
        verify_folder(folder, verifier_key=SIGNER.verifier_key)


def test_it_refuses_a_head_of_another_history(
    written: tuple[Path, dict[int, str]], check: Check, tmp_path: Path
) -> None:
    folder = written[0]
    _head([b"{}", *LINES[1:300]])(tmp_path)
    other = (tmp_path / "checkpoint").read_text(encoding="utf-8")
    ran = check(folder, other)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("refused: ")
    with pytest.raises(IntegrityBroken, match="two histories"):
        verify_folder(folder, verifier_key=SIGNER.verifier_key, seen=[other])
