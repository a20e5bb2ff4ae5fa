"""Paths, tiles and bundles of C2SP tlog-tiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError, ProofError
from ledger.tiles import (
    ENTRIES,
    MAX_ENTRY_BYTES,
    WIDTH,
    Tile,
    bundle_bytes,
    levels_of,
    new_tiles,
    parse_bundle,
    parse_tile_path,
    partial_tiles,
)


def test_the_specification_s_own_examples() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert [tile.path for tile in partial_tiles(70_000)] == [
        "tile/entries/273.p/112",
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [tile.path for tile in new_tiles(0, 256)] == [
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/1",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(ProofError, match="expected tile/LEVEL/INDEX"):
        parse_tile_path(path)


@given(
    st.builds(
        Tile,
        st.integers(ENTRIES, 63),
        st.integers(0, 2**53 - 1),
        st.integers(1, WIDTH),
    )
)
def test_a_path_comes_back(tile: Tile) -> None:
    assert parse_tile_path(tile.path) == tile
    assert tile.full.path == tile.path.split(".p/")[0]
    assert tile.partial == (".p/" in tile.path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_a_tile_outside_the_bounds_is_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(LedgerError, match="expected a level"):
        Tile(level, index, width)


@given(st.integers(0, 200_000), st.integers(0, 2000))
def test_a_growing_log_publishes_every_tile_once(old: int, more: int) -> None:
    size = old + more
    tiles = list(new_tiles(old, size))
    assert len(set(tiles)) == len(tiles)
    if more:
        assert set(partial_tiles(size)) - set(partial_tiles(old)) <= set(tiles)
        full = {
            Tile(level, index)
            for level in (ENTRIES, *range(levels_of(size)))
            for index in range(
                old // WIDTH ** max(level, 0) // WIDTH, size // WIDTH ** max(level, 0) // WIDTH
            )
        }
        assert {tile for tile in tiles if not tile.partial} == full
    else:
        assert tiles == []


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=WIDTH))
def test_a_bundle_comes_back(entries: list[bytes]) -> None:
    assert parse_bundle(bundle_bytes(entries), len(entries)) == entries


def test_the_largest_entry_fits_and_one_byte_more_does_not() -> None:
    assert parse_bundle(bundle_bytes([b"x" * MAX_ENTRY_BYTES]), 1) == [b"x" * MAX_ENTRY_BYTES]
    for entry in (b"x" * (MAX_ENTRY_BYTES + 1), b""):
        with pytest.raises(LedgerError, match="expected 1 to 65535 bytes"):
            bundle_bytes([entry])


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x00", 1),
        (b"\x00\x01", 1),
        (b"\x00\x01a\x00", 1),
        (b"\x00\x01a\x00\x01b", 1),
        (b"\x00\x01a", 2),
        (b"\x00\x02a\x00\x01b", 2),
        (b"\x00\x01a\x00\x01", 2),
    ],
)
def test_a_bundle_that_does_not_hold_its_width_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(ProofError, match="bundle: expected"):
        parse_bundle(data, width)
