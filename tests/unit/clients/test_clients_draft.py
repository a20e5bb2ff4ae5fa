"""What a product file is guessed to be from a data file."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from clients.draft import Draft, draft_of
from clients.errors import VaultError
from clients.product import load_product
from clients.vault import open_product


def csv(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def roles(draft: Draft) -> dict[str, str]:
    return {one.column.name: f"{one.column.role} {one.column.type}" for one in draft.guesses}


def test_a_table_of_biopsies(tmp_path: Path) -> None:
    data = csv(
        tmp_path,
        "patient_id,radius,count,note,diagnosis\n"
        "17,1.5,3,fine,malignant\n18,-2e3,4,,benign\n19,.5,5,odd,benign\n",
    )
    draft = draft_of(data)
    assert roles(draft) == {
        "patient_id": "ignored integer",
        "radius": "feature float",
        "count": "feature integer",
        "note": "ignored string",
        "diagnosis": "label string",
    }
    assert (draft.rows, draft.classes, draft.personal) == (3, ("benign", "malignant"), True)
    assert "1 of the rows looked at have no value" in draft.guesses[3].why
    # What is drafted can be loaded and read as it stands.
    path = tmp_path / "data.product.json"
    path.write_text(
        json.dumps(draft.product(id="clinic/data", title="data", where={"path": "data.csv"}))
    )
    opened = open_product(load_product(path), salt=b"s" * 32)
    assert opened.count == 3


def test_a_parquet_file_with_types_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    duckdb.sql(
        "SELECT range::INTEGER AS a, range * 0.5::DOUBLE AS b, DATE '2026-01-01' AS day, "
        "(range % 3)::TINYINT AS target, 'x' AS site FROM range(9)"
    ).write_parquet(str(path))
    draft = draft_of(path)
    assert roles(draft) == {
        "a": "feature integer",
        "b": "feature float",
        "day": "ignored string",
        "target": "label integer",
        "site": "ignored string",
    }
    assert (draft.classes, draft.personal) == (("0", "1", "2"), False)
    assert "neither numbers nor text" in draft.guesses[2].why


@pytest.mark.parametrize(
    ("header", "label"),
    [
        ("a,b,kind", "kind"),  # the last one that fits
        ("kind,outcome,a", "outcome"),  # by its name
        ("class,b,kind", "class"),
    ],
)
def test_which_column_is_the_label(tmp_path: Path, header: str, label: str) -> None:
    draft = draft_of(csv(tmp_path, f"{header}\nx,u,1\ny,v,1\nx,u,1\n".replace("1", "p", 1)))
    assert [one.column.name for one in draft.guesses if one.column.role == "label"] == [label]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header line"),
        ("a,b\n", "expected 1 to 50000000 rows, got 0"),
        ("a\n1\n", "expected 2 to 4096 columns, got 1"),
        (",".join(f"c{n}" for n in range(5000)) + "\n", "expected 2 to 4096 columns, got 5000"),
        ("a,a\n1,2\n", "each column with a name of its own"),
        ("a,\n1,2\n", "each column with a name of its own"),
        ("a," + "b" * 200 + "\n1,2\n", "at most 128 characters"),
        ("a,b\n1.5,2.5\n", "expected a column to predict"),
        ("a,b\n1,0\n2,2\n", "expected a column to predict"),  # 0, 2: with a gap
        ("a,name\n1,secret-ann\n2,secret-bob\n", "expected a column to predict"),
        ("a,b\n1,secret,3\n", "expected a table that can be read"),
        ('a,b\n1,"secret\n', "expected a table that can be read"),
    ],
)
def test_odd_files_are_refused_without_their_values(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(VaultError, match=message) as refused:
        draft_of(csv(tmp_path, text))
    assert "secret" not in str(refused.value)


def test_a_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    data = csv(tmp_path, '\ufeff"a ""x""",label\r\n"1",yes\r\n" 2 ",no\r\n')
    assert roles(draft_of(data)) == {'a "x"': "feature integer", "label": "label string"}


def test_many_columns(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(4095)]
    rows = [",".join([*["1.5"] * 4095, kind]) for kind in ("x", "y")]
    draft = draft_of(csv(tmp_path, "\n".join([",".join([*names, "label"]), *rows]) + "\n"))
    assert [one.column.role for one in draft.guesses] == ["feature"] * 4095 + ["label"]


@pytest.mark.parametrize("name", ["data.txt", "gone.csv", "gone.jsonl"])
def test_what_nothing_is_guessed_from(tmp_path: Path, name: str) -> None:
    if not name.startswith("gone"):
        csv(tmp_path, "a,b\n1,x\n2,y\n", name)
    with pytest.raises(VaultError, match="expected a"):
        draft_of(tmp_path / name)
