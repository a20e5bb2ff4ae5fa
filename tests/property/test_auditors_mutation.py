"""A log mutated at random, a thousand times: none verifies, each ends in IntegrityBroken.

What is held against it is the newest checkpoint, as a node or an earlier audit kept it.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from auditors.errors import IntegrityBroken
from auditors.frontier import Frontier
from auditors.verify import verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tiles import ENTRIES, WIDTH, Tile, bundle_bytes, new_tiles, parse_bundle
from ledger.tree import Tree, leaf_hash

NAME = "logs.example/mutated"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
OTHER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
LINES = [b'{"entry":%d,"text":"%s"}' % (n, b"x" * (n % 90)) for n in range(700)]
HEADS = [1, 200, 300, 520, 600, 700]

Mutation = Callable[[Path, random.Random], str]
"""Changes the folder, and says how."""


def write_log(root: Path, lines: list[bytes], heads: list[int]) -> Path:
    with Log.open(
        folder=root / "log", database=root / "db", last_signed=root / "last", signer=SIGNER
    ) as log:
        for size in heads:
            log.append(lines[log.size : size])
    return root / "log"


def note_of(lines: list[bytes], signer: NoteSigner = SIGNER) -> str:
    tree = Tree(leaf_hash(line) for line in lines)
    return sign_checkpoint(Checkpoint(signer.name, tree.size, tree.root()), signer)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("mutation"), LINES, HEADS)


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another history, signed by the log's own key."""
    lines = [*LINES[:450], b"{}", *LINES[451:]]
    return write_log(tmp_path_factory.mktemp("forked"), lines, HEADS)


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def needed(folder: Path) -> list[str]:
    """Without the partial files of older heads, which a log may delete."""
    return [path for path in files(folder) if path in NEEDED]


NEEDED = {"checkpoint", *(tile.path for tile in new_tiles(0, len(LINES)))}


# -- bytes -----------------------------------------------------------------------------------------


def flip(folder: Path, rng: random.Random) -> str:
    path = rng.choice(files(folder))
    data = bytearray((folder / path).read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    (folder / path).write_bytes(data)
    return f"a bit of byte {at} of {path}"


def truncate(folder: Path, rng: random.Random) -> str:
    path = rng.choice(files(folder))
    size = rng.randrange((folder / path).stat().st_size)
    os.truncate(folder / path, size)
    return f"{path} cut to {size} bytes"


def extend(folder: Path, rng: random.Random) -> str:
    path = rng.choice(files(folder))
    data = (folder / path).read_bytes()
    more = rng.choice([rng.randbytes(rng.randint(1, 64)), data[-32:], data, b"\n", b"\0\0\1x"])
    (folder / path).write_bytes(data + more)
    return f"{path} longer by {len(more)} bytes"


def splice(folder: Path, rng: random.Random) -> str:
    """Some bytes left out, or put in, or moved."""
    path = rng.choice(files(folder))
    data = (folder / path).read_bytes()
    start = rng.randrange(len(data))
    stop = rng.randint(start + 1, min(len(data), start + 64))
    to = rng.choice([data[:start], data[:start] + data[start:stop] * 2, data[start:stop]])
    (folder / path).write_bytes(to + data[stop:])
    return f"{path} spliced at {start} to {stop}"


def overwrite(folder: Path, rng: random.Random) -> str:
    path = rng.choice(files(folder))
    data = bytearray((folder / path).read_bytes())
    start = rng.randrange(len(data))
    fresh = rng.choice([bytes(32), rng.randbytes(32), b"\xff" * 2])[: len(data) - start]
    data[start : start + len(fresh)] = fresh
    (folder / path).write_bytes(data)
    return f"{path} overwritten at {start}"


# -- files -----------------------------------------------------------------------------------------


def delete(folder: Path, rng: random.Random) -> str:
    path = rng.choice(needed(folder))
    (folder / path).unlink()
    return f"{path} deleted"


def delete_level(folder: Path, rng: random.Random) -> str:
    name = rng.choice(["tile", "tile/0", "tile/1", "tile/entries", "tile/entries/002.p"])
    shutil.rmtree(folder / name)
    return f"{name} deleted"


def swap(folder: Path, rng: random.Random) -> str:
    left, right = rng.sample(files(folder), 2)
    one, other = (folder / left).read_bytes(), (folder / right).read_bytes()
    (folder / left).write_bytes(other)
    (folder / right).write_bytes(one)
    return f"{left} and {right} swapped"


def copy_over(folder: Path, rng: random.Random) -> str:
    source, target = rng.sample(files(folder), 2)
    shutil.copyfile(folder / source, folder / target)
    return f"{target} is a copy of {source}"


def stray_path(rng: random.Random) -> str:
    tile = Tile(
        rng.choice([ENTRIES, 0, 0, 1, 1, 2, 5, 63]),
        rng.choice([0, 0, 1, 2, 2, 3, 4, 255, 999, 1000, 123_456]),
        rng.choice([1, 2, 3, 80, 100, 188, 189, 255, 256, 256]),
    )
    return rng.choice(
        [
            *[tile.path] * 6,
            f"{tile.path}.bak",
            f"tile/0/{rng.randrange(10)}",
            "tile/0/000.p/256",
            "tile/00/000",
            "tile/64/000",
            "tile/.new",
            "tile/entries/x000/000",
        ]
    )


def duplicate(folder: Path, rng: random.Random) -> str:
    source = rng.choice([path for path in files(folder) if path != "checkpoint"])
    target = stray_path(rng)
    while (folder / target).exists():
        target = stray_path(rng)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / source, folder / target)
    return f"{source} copied to {target}"


def move(folder: Path, rng: random.Random) -> str:
    source = rng.choice([path for path in needed(folder) if path != "checkpoint"])
    target = rng.choice([stray_path(rng), "moved", "tile/0/x000/000", "checkpoint"])
    while (folder / target).exists() and target != "checkpoint":
        target = stray_path(rng)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    (folder / source).replace(folder / target)
    return f"{source} moved to {target}"


def no_file(folder: Path, rng: random.Random) -> str:
    path = rng.choice(files(folder))
    kept = folder.parent / "kept"
    (folder / path).replace(kept)
    kind = rng.choice(["link", "loop", "pipe", "folder"])
    if kind == "link":
        (folder / path).symlink_to(kept)
    elif kind == "loop":
        (folder / path).symlink_to(folder / path)
    elif kind == "pipe":
        os.mkfifo(folder / path)
    else:
        (folder / path).mkdir()
    return f"{path} is a {kind}"


# -- entries, with the hashes above them -----------------------------------------------------------


def lines_of(folder: Path) -> list[bytes]:
    lines: list[bytes] = []
    for tile in new_tiles(0, len(LINES)):
        if tile.level == ENTRIES:
            lines += parse_bundle((folder / tile.path).read_bytes(), tile.width)
    return lines


def write_tiles(folder: Path, lines: list[bytes], levels: int) -> None:
    """The bundles and the tiles below a level, as if these had been logged; stale ones go."""
    tree = Tree(leaf_hash(line) for line in lines)
    shutil.rmtree(folder / "tile/entries")
    for level in range(levels):
        shutil.rmtree(folder / f"tile/{level}")
    for tile in new_tiles(0, len(lines)):
        if tile.level >= levels:
            continue
        start = tile.index * WIDTH
        if tile.level == ENTRIES:
            data = bundle_bytes(lines[start : start + tile.width])
        else:
            data = tree.hashes(8 * tile.level, start, start + tile.width)
        (folder / tile.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / tile.path).write_bytes(data)


def edited(lines: list[bytes], rng: random.Random) -> list[bytes]:
    at, to = rng.sample(range(len(lines)), 2)
    kind = rng.randrange(5)
    if kind == 0:
        return [*lines[:at], b'{"forged":true}', *lines[at + 1 :]]
    if kind == 1:
        return [*lines[:at], *lines[at + 1 :]]
    if kind == 2:
        return [*lines[:at], lines[to], *lines[at:]]
    if kind == 3:
        return lines[: rng.randrange(1, len(lines))]
    changed = list(lines)
    changed[at], changed[to] = lines[to], lines[at]
    return changed


def rehash(folder: Path, rng: random.Random) -> str:
    """Other entries, with the hashes of some levels made to fit them."""
    levels = rng.randrange(3)
    write_tiles(folder, edited(lines_of(folder), rng), levels)
    return f"entries edited, with {levels} levels of hashes"


def one_tile(folder: Path, rng: random.Random) -> str:
    """Two hashes of a tile exchanged, or one entry with its own hash changed."""
    tile = rng.choice([Tile(0, 0), Tile(0, 1), Tile(0, 2, 188), Tile(1, 0, 2)])
    data = (folder / tile.path).read_bytes()
    row = [data[at : at + 32] for at in range(0, len(data), 32)]
    one, other = rng.sample(range(len(row)), 2)
    if tile.level == 0 and rng.random() < 0.5:
        bundle = Tile(ENTRIES, tile.index, tile.width).path
        lines = parse_bundle((folder / bundle).read_bytes(), tile.width)
        lines[one] = b"[]"
        row[one] = leaf_hash(b"[]")
        (folder / bundle).write_bytes(bundle_bytes(lines))
    else:
        row[one], row[other] = row[other], row[one]
    (folder / tile.path).write_bytes(b"".join(row))
    return f"{tile.path} changed at {one} and {other}"


# -- checkpoints -----------------------------------------------------------------------------------


def older(folder: Path, rng: random.Random) -> str:
    size = rng.choice([0, *HEADS[:-1]])
    (folder / "checkpoint").write_text(note_of(LINES[:size]), encoding="utf-8")
    if rng.random() < 0.5:
        write_tiles(folder, LINES[:size], 2) if size else shutil.rmtree(folder / "tile")
        return f"everything as it was at {size}"
    return f"checkpoint of {size}"


def other_head(folder: Path, rng: random.Random) -> str:
    lines = edited(LINES, rng)
    text = rng.choice(
        [
            note_of(LINES, OTHER),
            note_of(lines),
            note_of([*LINES, b"{}"]),
            note_of(LINES).replace(NAME, "logs.example/another"),
            note_of(LINES).replace("\n700\n", rng.choice(["\n-700\n", "\n0700\n", "\n7_00\n"])),
            note_of(LINES).rpartition("—")[0],
            note_of(LINES).replace("\n\n", "\nextension\n\n"),
            "",
        ]
    )
    (folder / "checkpoint").write_text(text, encoding="utf-8")
    return f"checkpoint: {text[:60]!r}"


def rewritten(folder: Path, rng: random.Random) -> str:
    """All of it, with a valid signature: only the head that somebody saw tells."""
    lines = edited(LINES, rng)
    write_tiles(folder, lines, 2)
    (folder / "checkpoint").write_text(note_of(lines), encoding="utf-8")
    return f"rewritten, {len(lines)} entries"


MUTATIONS: list[Mutation] = [
    *[flip] * 4,
    *[truncate, extend, splice, overwrite] * 2,
    *[delete, delete_level, swap, copy_over, duplicate, duplicate, move, no_file],
    *[rehash, rehash, one_tile, older, other_head, rewritten],
]


def state(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        yield str(path.relative_to(folder)), path.lstat().st_mode, data


@given(st.integers(0, 2**32 - 1), st.sampled_from(MUTATIONS))
@example(0, older)
@settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_mutation_verifies(
    original: Path, tmp_path: Path, seed: int, mutation: Mutation
) -> None:
    folder = tmp_path / "log"
    shutil.rmtree(tmp_path)
    shutil.copytree(original, folder)
    rng = random.Random(seed)
    before = list(state(folder))
    said = mutation(folder, rng)
    while list(state(folder)) == before:  # it happened to change nothing
        said = mutation(folder, rng)
    note(said)
    assert list(state(folder)) != before
    with pytest.raises(IntegrityBroken) as broken:
        verify_folder(folder, verifier_key=SIGNER.verifier_key, seen=[note_of(LINES)])
    assert broken.value.place


def test_the_log_itself_verifies_and_its_fork_does_not(original: Path, forked: Path) -> None:
    key, seen = SIGNER.verifier_key, [note_of(LINES)]
    verified = verify_folder(original, verifier_key=key, seen=seen)
    assert (verified.size, verified.ahead, verified.beside) == (700, 0, ())
    assert verified.frontier.root() == Frontier(700, verified.frontier.levels).root()
    assert set(files(original)) > NEEDED
    assert verify_folder(forked, verifier_key=key).size == 700
    with pytest.raises(IntegrityBroken, match="two histories"):
        verify_folder(forked, verifier_key=key, seen=seen)
