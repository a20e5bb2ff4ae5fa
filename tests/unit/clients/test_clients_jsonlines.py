"""JSON Lines: read as declared, and refused by line or by column and row, never by value."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from test_clients_vault import SALT, product

from clients.errors import VaultError
from clients.readiness import read_readiness
from clients.vault import open_product

LINES = (
    '{"radius": 1.5, "cell count": 2, "patient": "p1", "diagnosis": "benign"}\n'
    '{"diagnosis": "malignant", "radius": -1e3, "cell count": 3, "more": [1, {"a": 2}]}\n'
    '{"radius": 1, "cell count": 4, "patient": null, "diagnosis": "ben\\u0069gn"}\n'
)


def written(folder: Path, text: str) -> Path:
    path = folder / "data.jsonl"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "text", [LINES, LINES.rstrip("\n"), LINES.replace("\n", "\r\n"), "\ufeff" + LINES, LINES + "\n"]
)
def test_each_line_is_a_row(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    opened = open_product(product(path), salt=SALT)
    assert opened.rows.features.tolist() == [[1.5, 2], [-1000, 3], [1, 4]]
    assert opened.rows.labels.tolist() == [0, 1, 0]
    assert opened.product_commitment == hashlib.sha256(SALT + path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"radius": "SECRET", "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        (
            '{"radius": "1.5", "cell count": 1, "diagnosis": "benign"}',
            "'radius', row 4: expected a",
        ),
        ('{"radius": NaN, "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"radius": 1e39, "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"radius": true, "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"radius": [1], "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"radius": null, "cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"cell count": 1, "diagnosis": "benign"}', "'radius', row 4"),
        ('{"radius": 1, "cell count": 1.0, "diagnosis": "benign"}', "'cell count', row 4"),
        ('{"radius": 1, "cell count": 1e2, "diagnosis": "benign"}', "'cell count', row 4"),
        (
            '{"radius": 1, "cell count": 18446744073709551615, "diagnosis": "benign"}',
            "count', row 4",
        ),
        ('{"radius": 1, "cell count": 1, "diagnosis": "SECRET"}', "one of the product's classes"),
        ('{"radius": 1, "cell count": 1, "diagnosis": 0}', "'diagnosis', row 4"),
        ('{"radius": "SECRET", "radius": 1, "cell count": 1, "diagnosis": "benign"}', "line 4"),
        ('["SECRET"]', "line 4 is not one"),
        ('"SECRET"', "line 4 is not one"),
        ('{"radius": "SECRET"', "is not one"),
        ('{"radius": 1} {"radius": 2}', "is not one"),
        ("SECRET", "one JSON object a line"),
    ],
)
def test_a_bad_line_is_named_by_place_never_by_value(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(written(tmp_path, LINES + line + "\n")), salt=SALT)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("text", ["", "\n", "\n\n"])
def test_no_line_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultError, match="got none"):
        open_product(product(written(tmp_path, text)), salt=SALT)


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"radius": 1, "diagnosis": "\xff"}\n')
    with pytest.raises(VaultError, match="in UTF-8"):
        open_product(product(path), salt=SALT)


def test_an_integer_label_is_a_number(tmp_path: Path) -> None:
    text = '{"radius": 1, "cell count": 1, "diagnosis": 1}\n'
    numbered = product(written(tmp_path, text), label="integer", classes=("0", "1"))
    assert open_product(numbered, salt=SALT).rows.labels.tolist() == [1]


def test_what_a_line_leaves_out_is_counted_as_missing(tmp_path: Path) -> None:
    text = LINES + '{"radius": null, "diagnosis": "benign"}\n' + LINES.splitlines()[0] + "\n"
    report, _ = read_readiness(product(written(tmp_path, text)), None)
    assert (report.rows, report.duplicates) == (5, 1)
    missing = {"radius": 1, "patient": 3, "diagnosis": 0, "cell count": 1}
    assert report.missing == missing
