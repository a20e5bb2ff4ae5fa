"""The vault: what is read, what is committed to, and errors that hold no value."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pytest

from clients.errors import VaultError
from clients.product import Product
from clients.vault import Vault, open_product
from policies.statements import Column

SALT = bytes(range(32))
CSV = 'radius,"cell count",patient,diagnosis\n1.5,2,p1,benign\n-1e3,3,p2,malignant\n.5,4,,benign\n'


def product(
    data: Path,
    *,
    label: Literal["string", "integer"] = "string",
    classes: tuple[str, ...] = ("benign", "malignant"),
    held_back: str = "0",
) -> Product:
    return Product(
        id="a/b",
        title="t",
        data=data,
        columns=(
            Column(name="radius", type="float", role="feature"),
            Column(name="patient", type="string", role="ignored"),
            Column(name="diagnosis", type=label, role="label"),
            Column(name="cell count", type="integer", role="feature"),
        ),
        classes=classes,
        held_back=Decimal(held_back),
        modality="tabular",
        classification="general",
        personal_information=False,
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def parquet(folder: Path, query: str) -> Path:
    path = folder / "data.parquet"
    duckdb.connect().execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def test_csv_is_read_with_the_declared_types_and_order(tmp_path: Path) -> None:
    opened = open_product(product(written(tmp_path, CSV)), salt=SALT)
    assert opened.rows.features.tolist() == [[1.5, 2], [-1000, 3], [0.5, 4]]
    assert opened.rows.features.dtype == np.float32
    assert opened.rows.labels.tolist() == [0, 1, 0]
    assert opened.rows.labels.dtype == np.int64
    assert opened.rows.feature_names == ("radius", "cell count")
    assert not opened.rows.features.flags.writeable


@pytest.mark.parametrize("text", ["\ufeff" + CSV, CSV.replace("\n", "\r\n"), CSV.rstrip("\n")])
def test_spellings_of_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    assert open_product(product(path), salt=SALT).rows.labels.tolist() == [0, 1, 0]


def test_parquet_is_read(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        "SELECT * FROM (VALUES (1.5::DOUBLE, 2::INTEGER, 'p', 'malignant'))"
        ' t(radius, "cell count", patient, diagnosis)',
    )
    opened = open_product(product(path), salt=SALT)
    assert (opened.rows.features.tolist(), opened.rows.labels.tolist()) == ([[1.5, 2.0]], [1])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("'1.5'::VARCHAR, 2, 'p', 'benign'", "'radius': expected float, got VARCHAR"),
        ("1.5::DOUBLE, 2.5::DOUBLE, 'p', 'benign'", "'cell count': expected integer, got DOUBLE"),
        ("NULL::DOUBLE, 2, 'p', 'benign'", "'radius', row 1"),
        ("1e300::DOUBLE, 2, 'p', 'benign'", "'radius', row 1"),
        ("'nan'::DOUBLE, 2, 'p', 'benign'", "'radius', row 1"),
    ],
)
def test_parquet_of_another_type_is_refused(tmp_path: Path, values: str, words: str) -> None:
    names = 'radius, "cell count", patient, diagnosis'
    path = parquet(tmp_path, f"SELECT * FROM (VALUES ({values})) t({names})")
    with pytest.raises(VaultError, match=words):
        open_product(product(path), salt=SALT)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("SECRET,3,p,benign", "'radius', row 3: expected a finite float"),
        ("nan,3,p,benign", "'radius', row 3"),
        ("inf,3,p,benign", "'radius', row 3"),
        ("1e39,3,p,benign", "'radius', row 3"),
        (",3,p,benign", "'radius', row 3"),
        ("1_0,3,p,benign", "'radius', row 3"),
        ("1,77.5,p,benign", "'cell count', row 3: expected a finite integer"),
        ("1,7e1,p,benign", "'cell count', row 3"),
        ("1,99999999999999999999,p,benign", "'cell count', row 3"),
        ("1,3,p,SECRET", "'diagnosis', row 3: expected one of the product's classes"),
        ("1,3,p,", "'diagnosis', row 3"),
        ("1,3,p,benign,SECRET", "line 4 is not one"),
        ("1,3", "line 4 is not one"),
        ('"SECRET,3,p,benign', "expected CSV rows"),
    ],
)
def test_a_bad_cell_is_named_by_place_never_by_value(tmp_path: Path, row: str, words: str) -> None:
    path = written(tmp_path, "\n".join([*CSV.splitlines()[:3], row, ""]))
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(path), salt=SALT)
    assert str(path) in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty file"),
        ("radius,cell count,patient,diagnosis\n", "got none"),
        ("radius,patient,diagnosis\n1,p,benign\n", "expected the column 'cell count'"),
        ("radius,radius,patient,diagnosis\n1,1,p,benign\n", "each column name once"),
    ],
)
def test_a_file_without_the_declared_rows_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(VaultError, match=words):
        open_product(product(written(tmp_path, text)), salt=SALT)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="No such file"):
        open_product(product(tmp_path / "data.csv"), salt=SALT)


def test_more_rows_than_allowed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.tablefile.MAX_ROWS", 2)
    with pytest.raises(VaultError, match="1 to 2 rows of data, got more"):
        open_product(product(written(tmp_path, CSV)), salt=SALT)


@pytest.mark.parametrize(("label", "accepted"), [("0", True), ("1", True), ("2", False)])
def test_integer_labels_are_class_numbers(tmp_path: Path, label: str, accepted: bool) -> None:
    path = written(tmp_path, f"radius,cell count,patient,diagnosis\n1,1,p,{label}\n")
    numbered = product(path, label="integer", classes=("0", "1"))
    if accepted:
        assert open_product(numbered, salt=SALT).rows.labels.tolist() == [int(label)]
    else:
        with pytest.raises(VaultError, match="row 1"):
            open_product(numbered, salt=SALT)


def many(folder: Path, count: int) -> Path:
    rows = "".join(f"{number},1,p,benign\n" for number in range(count))
    return written(folder, "radius,cell count,patient,diagnosis\n" + rows)


def test_held_back_rows_depend_on_salt_and_index_only(tmp_path: Path) -> None:
    longer = open_product(product(many(tmp_path, 2000), held_back="0.2"), salt=SALT)
    shorter = open_product(product(many(tmp_path, 1000), held_back="0.2"), salt=SALT)
    other = open_product(product(many(tmp_path, 1000), held_back="0.2"), salt=SALT[::-1])
    assert (longer.held_back[:1000] == shorter.held_back).all()
    assert (other.held_back != shorter.held_back).any()
    assert 0.15 < shorter.held_back.mean() < 0.25


@pytest.mark.parametrize("held_back", ["0.000000001", "0.999999999"])
def test_two_rows_leave_one_on_each_side(tmp_path: Path, held_back: str) -> None:
    opened = open_product(product(many(tmp_path, 2), held_back=held_back), salt=SALT)
    assert opened.held_back.sum() == 1


def test_rows_are_split(tmp_path: Path) -> None:
    opened = open_product(product(many(tmp_path, 50), held_back="0.5"), salt=SALT)
    rows = opened.rows
    assert rows.features[:, 0].tolist() == np.flatnonzero(~opened.held_back).tolist()
    assert len(rows.labels) + len(rows.held_out_labels) == 50
    assert rows.classes == ("benign", "malignant")


def test_commitments(tmp_path: Path) -> None:
    opened = open_product(product(written(tmp_path, CSV)), salt=SALT)
    assert opened.product_commitment == hashlib.sha256(SALT + CSV.encode()).hexdigest()


def test_a_short_salt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="salt"):
        open_product(product(written(tmp_path, CSV)), salt=b"short")


def test_the_vault_reads_again_only_after_a_change(tmp_path: Path) -> None:
    vault = Vault(salt=SALT)
    wanted = product(written(tmp_path, CSV))
    first = vault.open(wanted)
    assert vault.open(wanted) is first
    written(tmp_path, CSV + "9,9,p,benign\n")
    second = vault.open(wanted)
    assert len(second.rows.labels) == 4
    found = wanted.data.stat()
    os.utime(wanted.data, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert vault.open(wanted) is not second


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (("-1000", "1.5"), ""),
        (("-999.5", "9"), "'radius', row 2: expected a value from -999.5 to 9"),
        (("-1e3", "1"), "'radius', row 1: expected a value from -1e3 to 1 as declared"),
        (("-1e300", "1e300"), ""),
    ],
)
def test_a_value_out_of_range_is_refused_by_place(
    tmp_path: Path, bounds: tuple[str, str], words: str
) -> None:
    wanted = product(written(tmp_path, CSV))
    radius, *rest = wanted.columns
    bounded = radius.model_copy(update={"range": bounds})
    wanted = replace(wanted, columns=(bounded, *rest))
    if not words:
        assert open_product(wanted, salt=SALT).count == 3
        return
    with pytest.raises(VaultError, match=words) as caught:
        open_product(wanted, salt=SALT)
    assert "1.5" not in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "outside"),
    [
        (("2", "4"), ""),
        (("1.5", "4.5"), ""),
        (("-1e38", "1e38"), ""),
        (("2.5", "9"), "'cell count', row 1"),
        (("2", "3.999"), "'cell count', row 3"),
        (("2.2", "2.8"), "'cell count', row 1"),
        (("1e30", "1e31"), "'cell count', row 1"),
    ],
)
def test_a_range_of_whole_numbers(tmp_path: Path, bounds: tuple[str, str], outside: str) -> None:
    wanted = product(written(tmp_path, CSV))
    *rest, count = wanted.columns
    wanted = replace(wanted, columns=(*rest, count.model_copy(update={"range": bounds})))
    if not outside:
        assert open_product(wanted, salt=SALT).count == 3
        return
    with pytest.raises(VaultError, match=outside):
        open_product(wanted, salt=SALT)
