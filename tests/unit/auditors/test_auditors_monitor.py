"""Following a log over restarts, growth and faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from auditors_folder import (
    ENTRIES,
    OTHER,
    SIGNER,
    Change,
    both,
    current,
    drop,
    flip,
    head,
    write_log,
)
from auditors_server import Served, serving

from auditors.errors import AuditInputError, IntegrityBroken, LogUnreachable, TileMissing
from auditors.fetch import Source
from auditors.monitor import FollowedFolder, FollowedSource, Monitor, Step
from auditors.tilefolder import TileFolder
from auditors.trust import KeyTrust
from auditors.verify import verify_folder
from ledger.log import Log

TRUST = KeyTrust(SIGNER.verifier)
LONGER = [*ENTRIES, *(b"%d" % n for n in range(600, 1200))]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def follow(folder: Path, state: Path) -> Monitor:
    return Monitor(FollowedFolder(folder), state, trust=TRUST)


def look(folder: Path, state: Path, now: int = 1000) -> Step:
    """One look by a monitor that was just started."""
    return follow(folder, state).step(now=now)


def grown(root: Path, entries: list[bytes], sizes: list[int]) -> Path:
    made = root / f"grown-{len(entries)}-{sizes[-1]}"
    made.mkdir()
    return write_log(made, entries, sizes)


def test_a_log_that_grows(tmp_path: Path, state: Path) -> None:
    sizes = [0, 1, 200, 256, 300, 512, 513, 1199, 1200]
    folder = tmp_path / "log"
    running = follow(folder, state)
    with Log.open(
        folder=folder, database=tmp_path / "db", last_signed=tmp_path / "last", signer=SIGNER
    ) as log:
        before = 0
        for at, size in enumerate(sizes):
            if size:
                log.append(LONGER[log.size : size])
            # One that runs, and one that is started anew, see the same.
            step = running.step(now=at)
            assert (step.size, step.new, step.grown_at) == (size, size - before, at)
            again = look(folder, state, now=100)
            assert (again.size, again.new, again.root) == (size, 0, step.root)
            assert again.grown_at == at
            before = size
    assert step.root == verify_folder(folder, verifier_key=SIGNER.verifier_key).root
    assert (step.origin, step.cosigners, step.folder) == (SIGNER.name, (), folder)


def test_a_step_reads_only_what_is_new(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = TileFolder.read_if_there

    def reading(self: TileFolder, tile: Any) -> bytes | None:
        read.append(tile.path)
        return whole(self, tile)

    look(grown(tmp_path, LONGER, [600]), state)
    longer = grown(tmp_path, LONGER, [600, 1100])
    monkeypatch.setattr(TileFolder, "read_if_there", reading)
    assert look(longer, state).new == 500
    assert sorted(read) == [
        *(f"tile/0/{n}" for n in ("002", "003", "004.p/76")),
        "tile/1/000.p/4",
        *(f"tile/entries/{n}" for n in ("002", "003", "004.p/76")),
    ]


def _fork(at: int) -> Change:
    def apply(folder: Path) -> None:
        lines = [*LONGER[:at], b"{}", *LONGER[at + 1 : 1000]]
        shutil.copytree(grown(folder.parent, lines, [1000]), folder, dirs_exist_ok=True)

    return apply


BROKEN: dict[str, tuple[Change, str]] = {
    "an older head": (current(head(ENTRIES[:520])), "rolled back"),
    "another root": (current(head([*ENTRIES[:599], b"x"])), "two histories"),
    "a head by another key": (current(head(ENTRIES, OTHER)), "signed by"),
    "a fork in a full bundle": (_fork(3), "byte 0 of tile/1/000.p/3"),
    "a fork in the last bundle": (_fork(599), "entry 599, byte .*the log was rewritten"),
}


@pytest.mark.parametrize(("change", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_log_that_contradicts_itself(
    folder: Path, state: Path, change: Callable[[Path], None], says: str
) -> None:
    look(folder, state)
    before = (folder / "checkpoint").read_text(encoding="utf-8")
    change(folder)
    after = (folder / "checkpoint").read_text(encoding="utf-8")
    with pytest.raises(IntegrityBroken, match=says):
        look(folder, state)
    document = json.loads((state / "state.json").read_text(encoding="utf-8"))
    assert document["checkpoint"] == before
    if says == "signed by":  # whoever signed that: it says nothing about this log
        assert not (state / "evidence").exists()
        return
    kept = {path.read_text(encoding="utf-8") for path in (state / "evidence").iterdir()}
    assert kept == {before, after}
    current(before)(folder)
    with pytest.raises(IntegrityBroken, match="evidence that it does not, in"):
        look(folder, state)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (flip("tile/entries/003", 3), "entry 768, byte 0 of tile/entries/003"),
        (flip("tile/0/003", 9), "byte 0 of tile/0/003"),
        (flip("tile/1/000.p/4", 127), "byte 96 of tile/1/000.p/4"),
        (flip("tile/entries/002", 9), "entry 512, byte 0 of tile/entries/002"),
    ],
)
def test_what_was_added_is_verified(
    tmp_path: Path, state: Path, change: Change, place: str
) -> None:
    look(grown(tmp_path, LONGER, [600]), state)
    longer = grown(tmp_path, LONGER, [600, 1100])
    change(longer)
    with pytest.raises(IntegrityBroken) as broken:
        look(longer, state)
    assert broken.value.place.startswith(place)


def test_files_that_are_on_their_way(tmp_path: Path, state: Path) -> None:
    """A head that came before its tiles is no evidence; the next look finds them."""
    look(grown(tmp_path, LONGER, [600]), state)
    longer = grown(tmp_path, LONGER, [600, 1100])
    kept = (longer / "tile/entries/003").read_bytes()
    drop("tile/entries/003")(longer)
    following = follow(longer, state)
    with pytest.raises(TileMissing, match="tile/entries/003"):
        following.step(now=1)
    assert (following.size, (state / "evidence").exists()) == (600, False)
    (longer / "tile/entries/003").write_bytes(kept)
    assert following.step(now=2).new == 500


def test_changes_below_what_was_verified_are_for_verify(folder: Path, state: Path) -> None:
    look(folder, state)
    both(3, b"{}")(folder)
    assert look(folder, state).new == 0
    with pytest.raises(IntegrityBroken):
        verify_folder(folder, verifier_key=SIGNER.verifier_key)


# -- the state -------------------------------------------------------------------------------------


def _edited(**changes: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | changes).encode()


STATES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "expected a monitor's state"),
    "no text": (lambda _: b"\xff", "expected a monitor's state"),
    "a list": (lambda _: b"[]", "expected a monitor's state"),
    "deep": (lambda _: b"[" * 100_000, "expected a monitor's state"),
    "another version": (_edited(version=2), "another version"),
    "no time": (_edited(grown_at=None), "another version, or no time"),
    "no note": (_edited(checkpoint=3), "expected a monitor's state"),
    "no levels": (_edited(levels=[]), "frontier: expected"),
    "other hashes": (_edited(levels=[["00" * 32] * 88, ["00" * 32] * 2]), "not those of its"),
    "no hashes": (_edited(levels=[["x"]]), "expected a monitor's state"),
    "another key's": (_edited(checkpoint=head(ENTRIES, OTHER)), "is it another log's state"),
}


@pytest.mark.parametrize(("change", "says"), STATES.values(), ids=STATES.keys())
def test_a_state_that_was_changed(
    folder: Path, state: Path, change: Callable[[bytes], bytes], says: str
) -> None:
    look(folder, state)
    path = state / "state.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(AuditInputError, match=says):
        look(folder, state)


def test_a_state_that_cannot_be_written(folder: Path, state: Path) -> None:
    state.write_bytes(b"")
    with pytest.raises(AuditInputError, match="expected to write the copy there"):
        look(folder, state / "below")


# -- over the network ------------------------------------------------------------------------------


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving(folder) as made:
        yield made


def test_an_address_is_followed_into_a_copy(served: Served, state: Path, tmp_path: Path) -> None:
    with Source(served.url, sleep=lambda _: None) as source:
        following = Monitor(FollowedSource(source, state / "log"), state, trust=TRUST)
        assert following.step(now=1).size == 600
        served.folder = grown(tmp_path, LONGER, [600, 1100])
        served.answers["tile/0/003"] = lambda: (503, {}, b"")
        with pytest.raises(LogUnreachable, match="status 503"):
            following.step(now=2)
        assert following.size == 600
        served.answers.clear()
        served.asked.clear()
        step = following.step(now=3)
        assert (step.size, step.new, step.folder) == (1100, 500, state / "log")
        assert set(served.asked) <= {
            "checkpoint",
            "tile/0/003",
            "tile/0/004.p/76",
            "tile/1/000.p/4",
        }
        current(head(ENTRIES))(served.folder)
        with pytest.raises(IntegrityBroken, match="rolled back"):
            following.step(now=4)
    verified = verify_folder(state / "log", verifier_key=SIGNER.verifier_key)
    assert (verified.size, verified.ahead, verified.beside) == (1100, 0, ())
    assert not (state / "log/tile/entries/002.p").exists()
