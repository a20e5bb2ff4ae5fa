"""A copy of a log over HTTP: it grows with the log, and believes nothing the server says."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from auditors_folder import (
    ENTRIES,
    OTHER,
    SIGNER,
    both,
    current,
    flip,
    head,
    put,
    verify,
    write_log,
)
from auditors_server import Answer, Served, serving
from hypothesis import given
from hypothesis import strategies as st

import auditors.fetch
from auditors.errors import AuditInputError, IntegrityBroken, LogUnreachable, TileMissing
from auditors.fetch import TRIES, Source
from auditors.mirror import _count, mirror
from auditors.trust import KeyTrust
from auditors.verify import Verified
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.tiles import new_tiles
from ledger.tree import MAX_SIZE

TRUST = KeyTrust(SIGNER.verifier)
LONGER = [*ENTRIES, *(b"%d" % n for n in range(600, 1200))]


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving(folder) as made:
        yield made


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def bring(served: Served, copy: Path, seen: tuple[str, ...] = ()) -> Verified:
    with Source(served.url, sleep=lambda _: None) as source:
        return mirror(source, copy, trust=TRUST, seen=seen)


def grow(served: Served, sizes: list[int]) -> None:
    """The log goes on, to another folder that is served from now on."""
    root = served.folder.parent / f"grown-{len(sizes)}-{sizes[-1]}"
    root.mkdir()
    served.folder = write_log(root, LONGER, sizes)


def files(folder: Path) -> dict[str, bytes]:
    there = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in there}


def test_a_copy_is_what_the_log_needs(served: Served, copy: Path) -> None:
    served.packed = True
    verified = bring(served, copy)
    assert (verified.size, verified.ahead, verified.beside) == (600, 0, ())
    stale = {"tile/0/002.p/8", "tile/1/000.p/1", "tile/entries/002.p/8"}
    whole = files(served.folder)
    assert files(copy) == {path: data for path, data in whole.items() if path not in stale}
    assert verify(copy) == verified


def test_only_what_is_new_is_asked_for(served: Served, copy: Path) -> None:
    bring(served, copy)
    served.asked.clear()
    bring(served, copy)
    assert served.asked == ["checkpoint"]
    grow(served, [600, 1200])
    served.asked.clear()
    assert bring(served, copy).size == 1200
    assert sorted(served.asked) == [
        "checkpoint",
        *(f"tile/0/{n}" for n in ("002", "003", "004.p/176")),
        "tile/1/000.p/4",
        *(f"tile/entries/{n}" for n in ("002", "003", "004.p/176")),
    ]
    # The partial files that are full now are gone.
    assert not (copy / "tile/entries/002.p").exists()
    assert (copy / "tile/1/000.p/2").exists()
    assert verify(copy, (head(ENTRIES),)).size == 1200


def test_it_goes_on_where_it_was_interrupted(served: Served, copy: Path) -> None:
    served.answers["tile/1/000.p/2"] = lambda: (500, {}, b"")
    with pytest.raises(LogUnreachable, match=rf"status 500 \({TRIES} times\)"):
        bring(served, copy)
    assert not (copy / "checkpoint").exists()
    served.answers.clear()
    served.asked.clear()
    assert bring(served, copy).size == 600
    assert served.asked == ["checkpoint", "tile/1/000.p/2"]


def test_what_fails_once_is_tried_again(served: Served, copy: Path) -> None:
    waits: list[float] = []
    data = (served.folder / "tile/0/001").read_bytes()
    answers: Iterator[Answer] = iter(
        [(503, {}, b""), (200, {"content-encoding": "gzip"}, b"no gzip"), (200, {}, data)]
    )
    served.answers["tile/0/001"] = lambda: next(answers)
    with Source(served.url, sleep=waits.append) as source:
        assert mirror(source, copy, trust=TRUST).size == 600
    assert waits == [0.5, 1.0]


def test_full_tiles_stand_in_for_partial_ones_that_are_gone(served: Served, copy: Path) -> None:
    """The log went on between the checkpoint and the tiles."""
    note = (served.folder / "checkpoint").read_bytes()
    grow(served, [600, 1200])
    served.answers["checkpoint"] = lambda: (200, {}, note)
    verified = bring(served, copy)
    assert (verified.size, verified.ahead) == (600, 2)
    served.answers.clear()
    assert (bring(served, copy).size, verify(copy).ahead) == (1200, 0)


# -- a log that does not keep to what it signed ----------------------------------------------------


def _older(served: Served) -> None:
    current(head(ENTRIES[:520]))(served.folder)


def _same_size(served: Served) -> None:
    current(head([*ENTRIES[:-1], b"{}"]))(served.folder)


def _fork(served: Served) -> None:
    lines = [*ENTRIES[:300], b"{}", *ENTRIES[301:], b"more"]
    root = served.folder.parent / "fork"
    root.mkdir()
    served.folder = write_log(root, lines, [len(lines)])


CONTRADICTIONS: dict[str, tuple[Callable[[Served], None], str]] = {
    "an older head": (_older, "rolled back, or somebody serves an old copy"),
    "another root": (_same_size, "the log signed two histories"),
    "a longer fork": (_fork, "two histories|byte|root"),
}


@pytest.mark.parametrize(("change", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_contradiction_is_refused_and_both_heads_kept(
    served: Served, copy: Path, change: Callable[[Served], None], says: str
) -> None:
    bring(served, copy)
    before = (copy / "checkpoint").read_text(encoding="utf-8")
    change(served)
    with pytest.raises(IntegrityBroken, match=says):
        bring(served, copy)
    assert (copy / "checkpoint").read_text(encoding="utf-8") == before
    kept = {path.read_text(encoding="utf-8") for path in (copy / "evidence").iterdir()}
    served_note = (served.folder / "checkpoint").read_text(encoding="utf-8")
    assert kept == {before, served_note}
    with pytest.raises(IntegrityBroken):
        bring(served, copy)


def test_a_head_that_somebody_else_saw(served: Served, copy: Path) -> None:
    with pytest.raises(IntegrityBroken, match="two histories"):
        bring(served, copy, (head([b"x"] * 5),))
    assert not (copy / "checkpoint").exists()
    assert bring(served, copy, (head(ENTRIES[:5]),)).size == 600


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (flip("tile/entries/000", 9), "entry 0, byte 0 of tile/entries/000"),
        (flip("tile/0/001", 9), "byte 0 of tile/0/001"),
        (both(300, b"{}"), "entries 256 to 511"),
        (put("tile/0/001", bytes(31)), "/tile/0/001"),
        (put("tile/entries/001", b"\0\1x"), "/tile/entries/001"),
        (current(head(ENTRIES, OTHER)), "/checkpoint"),
        (current(""), "/checkpoint"),
        (put("checkpoint", b"\xff"), "/checkpoint"),
    ],
)
def test_what_is_not_what_was_signed(
    served: Served, copy: Path, change: Callable[[Path], None], place: str
) -> None:
    change(served.folder)
    with pytest.raises(IntegrityBroken) as broken:
        bring(served, copy)
    assert place in broken.value.place
    assert not (copy / "checkpoint").exists()


def test_a_tile_that_the_log_does_not_have(served: Served, copy: Path) -> None:
    (served.folder / "tile/entries/001").unlink()
    with pytest.raises(TileMissing, match="a tile of the tree that its log signed, got 404"):
        bring(served, copy)
    assert not (copy / "evidence").exists()


def test_a_size_that_no_log_has(served: Served, copy: Path) -> None:
    """It is signed, and soon said; nobody counts tiles for that."""
    note = sign_checkpoint(Checkpoint(SIGNER.name, MAX_SIZE, bytes(32)), SIGNER)
    current(note)(served.folder)
    with pytest.raises(TileMissing, match="got 404"):
        bring(served, copy)
    with pytest.raises(IntegrityBroken):
        verify(served.folder)


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_the_count_of_what_is_fetched(one: int, other: int) -> None:
    old, size = sorted((one, other))
    assert _count(old, size) == sum(1 for _ in new_tiles(old, size))


def test_a_copy_that_was_tampered_with(served: Served, copy: Path) -> None:
    bring(served, copy)
    flip("tile/entries/000", 9)(copy)
    with pytest.raises(IntegrityBroken, match="entry 0"):
        bring(served, copy)


def test_the_copy_of_another_log(served: Served, copy: Path) -> None:
    bring(served, copy)
    flip("checkpoint", 3)(copy)
    with pytest.raises(IntegrityBroken, match="expected a checkpoint signed by"):
        bring(served, copy)


def test_a_folder_that_cannot_be_written(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AuditInputError, match="expected to write the copy there"):
        bring(served, tmp_path / "file")


# -- a server that does harm -----------------------------------------------------------------------

BOMB = gzip.compress(bytes(64 << 20))
HARM: dict[str, tuple[str, Answer, str]] = {
    "another status": ("tile/0/000", (403, {}, b""), "expected 200 or 404, got status 403"),
    "a redirect": ("checkpoint", (302, {"location": "/x"}, b""), "got status 302"),
    "no checkpoint": ("checkpoint", (404, {}, b""), "expected a log's checkpoint, got 404"),
    "a huge tile": ("tile/0/000", (200, {}, bytes(8193)), "expected at most 8192 bytes"),
    "a huge checkpoint": ("checkpoint", (200, {}, bytes(2 << 20)), "at most 1000000 bytes"),
    "a bomb": ("tile/entries/000", (200, {"content-encoding": "gzip"}, BOMB), "at most 16777472"),
    "another coding": ("tile/entries/000", (200, {"content-encoding": "br"}, b"x"), "got 'br'"),
    "half a gzip": (
        "tile/entries/000",
        (200, {"content-encoding": "gzip"}, gzip.compress(b"x" * 999)[:-9]),
        "a gzip stream without its end",
    ),
    "less than it says": (
        "tile/0/000",
        (200, {"content-length": "8192", "connection": "close"}, b"x"),
        "RemoteProtocolError",
    ),
}


@pytest.mark.parametrize(("path", "answer", "says"), HARM.values(), ids=HARM.keys())
def test_answers_that_are_none(
    served: Served,
    copy: Path,
    path: str,
    answer: Answer,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auditors.fetch, "TIMEOUT_S", 0.3)
    served.answers[path] = lambda: answer
    with pytest.raises(LogUnreachable, match=says):
        bring(served, copy)
    assert not (copy / "checkpoint").exists()


def test_bytes_that_come_too_slowly(
    served: Served, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditors.fetch, "FILE_TIMEOUT_S", -1.0)
    with pytest.raises(LogUnreachable, match="not all of it in"):
        bring(served, copy)


def test_nobody_answers(tmp_path: Path, served: Served) -> None:
    with (
        Source("http://127.0.0.1:1/log", sleep=lambda _: None) as source,
        pytest.raises(LogUnreachable, match=r"ConnectError.*4 times.*try again later"),
    ):
        mirror(source, tmp_path / "copy", trust=TRUST)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log",
        "ftp://127.0.0.1/log",
        "http://example.org/log",
        "http://127.0.0.1.example.org/log",
        "http://10.0.0.1/log",
        "https://",
        "https:///log",
        "https://user@host/log",
        "https://host:port/log",
        "https://host:99999/log",
        "https://host/log?x=1",
        "https://host/log#x",
        "https://ho st/log",
        "https://hôst/log",
        "https://[::1/log",
        "https://host/\nlog",
        "https://host/" + "x" * 3000,
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(AuditInputError, match="expected an address as https"):
        Source(url)


@pytest.mark.parametrize("url", ["http://localhost:1/log/", "http://[::1]/log", "https://a.b/"])
def test_addresses(url: str) -> None:
    with Source(url) as source:
        assert source.url == url.rstrip("/")


def test_a_name_that_no_resolver_takes(tmp_path: Path) -> None:
    with (
        Source(f"https://{'x' * 70}.example/log", sleep=lambda _: None) as source,
        pytest.raises((AuditInputError, LogUnreachable)),
    ):
        mirror(source, tmp_path / "copy", trust=TRUST)


def test_a_ca_that_is_none(tmp_path: Path) -> None:
    for name in ("gone.crt", "no.crt"):
        (tmp_path / "no.crt").write_bytes(b"no certificate")
        with pytest.raises(AuditInputError, match="expected a CA's certificate"):
            Source("https://127.0.0.1/log", ca=str(tmp_path / name))
