"""Files of rows: what is written is read, nobody writes to it later, and memory stays bounded."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import clients
from clients.appcall import map_rows
from clients.arrowstream import StreamError, read_stream
from clients.errors import VaultError
from clients.product import load_product
from clients.rowfile import MEMORY_BYTES, RowFile, RowTable, Spool, split
from clients.sdk import Rows
from clients.selection import Selector

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def table(folder: Path | None, rows: int, width: int = 3) -> RowTable:
    """Row i is i, i + 0.5 and so on, label i % 2; written in parts of seven."""
    made = RowTable(folder, (width,))
    for start in range(0, rows, 7):
        numbers = np.arange(start, min(rows, start + 7))
        columns = [numbers + place / 2 for place in range(width)]
        made.append_columns(columns, numbers % 2)
    return made


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(("rows", "chunk"), [(1, 1), (20, 12), (50, 1 << 20)])
def test_split_holds_exactly_the_chosen_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool, rows: int, chunk: int
) -> None:
    monkeypatch.setattr("clients.rowfile.CHUNK_BYTES", chunk)
    if not in_memory:
        monkeypatch.setattr("clients.rowfile.MEMORY_BYTES", 10)
    numbers = np.arange(rows)
    chosen, held_back = numbers % 3 != 1, numbers % 5 == 4
    found = split(
        table(tmp_path, rows),
        chosen=chosen,
        held_back=held_back,
        names=("a", "b", "c"),
        classes=("no", "yes"),
        folder=tmp_path,
    )
    assert list(tmp_path.iterdir()) == []
    assert found.features[:, 1].tolist() == (numbers[chosen & ~held_back] + 0.5).tolist()
    assert found.held_out_features[:, 0].tolist() == numbers[chosen & held_back].tolist()
    assert found.held_out_labels.tolist() == (numbers[chosen & held_back] % 2).tolist()
    mapped = map_rows(found.file.descriptor)
    for name in ("features", "labels", "held_out_features", "held_out_labels"):
        here, there = getattr(found, name), getattr(mapped, name)
        assert here.tolist() == there.tolist()
        assert (here.dtype, here.shape) == (there.dtype, there.shape)
        assert not here.flags.writeable
        assert here.flags.aligned
    assert (mapped.feature_names, mapped.classes) == (("a", "b", "c"), ("no", "yes"))
    mapped.features[:] = -1
    assert map_rows(found.file.descriptor).features.tolist() == found.features.tolist()


@pytest.mark.parametrize("size", [100, MEMORY_BYTES + 1])
def test_nobody_can_write_to_what_is_handed_over(tmp_path: Path, size: int) -> None:
    spool = Spool(tmp_path)
    spool.append(np.zeros(size, dtype=np.uint8))
    descriptor = spool.read_only()
    assert os.fstat(descriptor).st_size == size
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(descriptor, b"x")
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 0, access=mmap.ACCESS_WRITE)
    if size > MEMORY_BYTES:
        assert os.fstat(descriptor).st_mode & 0o777 == 0o600
        assert os.fstat(descriptor).st_nlink == 0
    else:
        with pytest.raises(PermissionError):
            os.write(spool.descriptor, b"x")
    os.close(descriptor)


def test_descriptors_are_closed_with_what_holds_them(tmp_path: Path) -> None:
    gc.collect()  # what other tests left
    before = len(list(Path("/proc/self/fd").iterdir()))
    rows = Rows(
        np.ones((3, 1), np.float32),
        np.ones(3, np.int64),
        np.zeros((0, 1), np.float32),
        np.zeros(0, np.int64),
        ("x",),
        ("a", "b"),
    )
    file = RowFile.of(rows)
    assert map_rows(file.descriptor).features.tolist() == [[1.0]] * 3
    mask = np.ones(9, dtype=np.bool_)
    found = split(
        table(tmp_path, 9), chosen=mask, held_back=~mask, names=(), classes=(), folder=None
    )
    assert len(list(Path("/proc/self/fd").iterdir())) > before
    del file, found
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(VaultError, match=r"expected room .* No space left"):
        table(tmp_path, 3)


def test_a_stream_of_batches() -> None:
    connection = duckdb.connect()
    query = (
        "SELECT CASE WHEN range % 3 > 0 THEN range::FLOAT END, range::INTEGER, range, "
        "CASE WHEN range <> 1 THEN 'é' || range END, 'a', range % 2 = 0 FROM range(?)"
    )
    rows: list[list[Any]] = [[] for _ in range(6)]
    for batch in read_stream(connection.sql(query, params=[300_000])):
        for kept, cells in zip(rows, batch, strict=True):
            kept.extend(cells.tolist())
    expected = connection.execute(query, [300_000]).fetchall()
    assert list(zip(*rows, strict=True)) == expected
    assert list(read_stream(connection.sql("SELECT 1 WHERE false"))) == []


@pytest.mark.parametrize(
    "texts", [["a", "a"], ["aa", "a", "aaa"], ["", ""], ["é", "é"], ["ab", "ab", "ba"], [None, "a"]]
)
def test_texts_of_a_stream(texts: list[str | None]) -> None:
    query = "SELECT unnest(?::VARCHAR[])"
    ((found,),) = read_stream(duckdb.connect().sql(query, params=[texts]))
    assert found.tolist() == texts


@pytest.mark.parametrize("query", ["SELECT 1::DECIMAL", "SELECT [1]"])
def test_a_stream_of_other_types_is_refused(query: str) -> None:
    with pytest.raises(StreamError, match="was not expected"):
        list(read_stream(duckdb.connect().sql(query)))


def test_commitments_of_many_batches_are_those_of_the_whole(tmp_path: Path) -> None:
    """The figures come from reading all rows at once, as it was done before."""
    text = "x,who,kind\n" + "".join(f"{n * 7 % 1000},p{n % 977},{n % 2}\n" for n in range(300_000))
    (tmp_path / "data.csv").write_text(text)
    lines = "".join(
        f"p{n},medical-research,2026-01-01,{'2026-02-01' if n % 10 == 0 else ''},form {n}\n"
        for n in range(977)
    )
    (tmp_path / "consents.csv").write_text("subject,purpose,given,withdrawn,evidence\n" + lines)
    (tmp_path / "p.json").write_text(PRODUCT)
    selector = Selector(salt=b"s" * 32, spool=tmp_path)
    found = selector.select(load_product(tmp_path / "p.json"), purpose="diagnosis-support", now=NOW)
    assert (found.training, found.evaluation, found.without_consent) == COUNTS
    assert found.product_commitment == DATA
    assert found.commitment("a" * 64) == ROWS
    assert found.rows.features[:3].tolist() == [[7.0], [14.0], [35.0]]


PRODUCT = """{"version": 1, "id": "a/b", "title": "t", "path": "data.csv", "columns": [
 {"name": "x", "type": "integer", "role": "feature"},
 {"name": "who", "type": "string", "role": "subject"},
 {"name": "kind", "type": "integer", "role": "label"}],
 "classes": ["0", "1"], "held_back": "0.2", "modality": "tabular", "classification": "general",
 "personal_information": true, "subject_consent": "table", "consent": "consents.csv"}"""
COUNTS = (215828, 54079, 30093)
DATA = "448523712ddfb14b7e88197f245ec5ab92e837121cbc709c36564d1f96e3c0c1"
ROWS = "1111351d9f63f132d5af87248bcd8295452ea56f1d5f00a4bdd73402d9b9fb83"

BOUNDED = """
import sys
from pathlib import Path
from datetime import datetime, UTC
import duckdb
from clients.product import load_product
from clients.selection import Selector
folder = Path(sys.argv[1])
product = load_product(folder / "p.json")
def peak():  # of memory that only this process has
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("RssAnon"))
import clients.rowfile as rowfile
seen, put = [], rowfile._write
def watched(*given):
    seen.append(peak())
    put(*given)
rowfile._write = watched
found = Selector(salt=b"s" * 32, spool=folder).select(
    product, purpose="x", now=datetime(2026, 6, 1, tzinfo=UTC))
print(max(seen) >> 10, found.count)
"""


@pytest.mark.parametrize("rows", [200_000, 3_000_000])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, rows: int) -> None:
    """Three million rows of five numbers are 80 MiB, and stay outside this process's memory."""
    columns = ", ".join(f"(range % 1000)::FLOAT AS c{place}" for place in range(5))
    path = tmp_path / "d.parquet"
    duckdb.connect().execute(
        f"COPY (SELECT {columns}, range % 2 AS kind FROM range({rows})) TO '{path}'"
    )
    features = ", ".join(
        f'{{"name": "c{place}", "type": "float", "role": "feature"}}' for place in range(5)
    )
    (tmp_path / "p.json").write_text(
        '{"version": 1, "id": "a/b", "title": "t", "path": "d.parquet", "columns": ['
        + features
        + ', {"name": "kind", "type": "integer", "role": "label"}], "classes": ["0", "1"], '
        '"held_back": "0.2", "modality": "tabular", "classification": "general", '
        '"personal_information": false}'
    )
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path)],
        cwd=Path(clients.__path__[0]).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    peak_mib, count = map(int, done.stdout.split())
    assert count == rows
    assert peak_mib < 125, peak_mib
