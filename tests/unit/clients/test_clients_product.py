"""The product file: one accepted, and one fault each refused by name of its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients.errors import ProductError
from clients.product import load_product, product_card
from policies.disclosure import ProductText

GOOD: dict[str, Any] = {
    "version": 1,
    "id": "clinic-a/breast-cytology",
    "title": "Breast cytology",
    "path": "data.csv",
    "columns": [
        {"name": "radius", "type": "float", "role": "feature"},
        {"name": "patient", "type": "string", "role": "ignored"},
        {"name": "diagnosis", "type": "string", "role": "label"},
    ],
    "classes": ["benign", "malignant"],
    "held_back": "0.2",
    "modality": "tabular",
    "classification": "general",
    "personal_information": False,
}


def written(folder: Path, **changes: object) -> Path:
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    path = folder / "product.json"
    path.write_text(json.dumps(content))
    return path


def columns(*changed: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind, "role": role} for name, kind, role in changed]


def ranged(*bounds: object, **changes: str) -> list[dict[str, Any]]:
    more = {"name": "age", "type": "float", "role": "feature", "range": list(bounds), **changes}
    return [*GOOD["columns"], more]


def twice(role: str) -> list[dict[str, Any]]:
    return [*GOOD["columns"], *columns(("s", "string", role), ("t", "string", role))]


def test_unit_range_subject_and_time(tmp_path: Path) -> None:
    more = [
        *ranged("0", "120", unit="a"),
        *columns(("who", "string", "subject"), ("when", "integer", "time")),
    ]
    product = load_product(written(tmp_path, columns=more))
    assert [column.name for column in product.used] == ["radius", "diagnosis", "age"]
    assert (product.used[2].unit, product.used[2].range) == ("a", ("0", "120"))
    assert [column.to_json() for column in product.columns] == more
    assert hash(product)


def test_a_product_file_is_read(tmp_path: Path) -> None:
    product = load_product(written(tmp_path))
    assert product.data == tmp_path / "data.csv"
    assert [column.name for column in product.features] == ["radius"]
    assert product.label.name == "diagnosis"
    assert product.held_back == Decimal("0.2")


def test_the_card_states_it_without_values(tmp_path: Path) -> None:
    card, opening = product_card(
        load_product(written(tmp_path)),
        participant="clinic-a",
        rows=12,
        registered=datetime(2026, 1, 31, tzinfo=UTC),
        salt=bytes(32),
    )
    assert (card.id, card.rows, card.description) == (GOOD["id"], 12, opening.commitment)
    assert isinstance(opening.value, ProductText)
    assert (opening.value.title, len(opening.value.columns)) == ("Breast cytology", 3)
    assert card.registered == "2026-01-31T00:00:00.000Z"


def test_what_a_product_file_need_not_say(tmp_path: Path) -> None:
    product = load_product(written(tmp_path))
    said = (product.data_version, product.jurisdiction, product.subject_consent)
    assert said == (1, None, "none")
    assert (product.anonymization, product.filing_number) == ("", "")
    assert product.share_readiness == ("rows",)
    assert product.app_state == "same-rows"
    assert load_product(written(tmp_path, app_state="none")).app_state == "none"


def test_what_a_product_file_says_stands_on_the_card(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "data_version": 3,
        "jurisdiction": "hong-kong",
        "subject_consent": "table",
        "anonymization": "k-anonymity, k = 5",
        "filing_number": "F-2026/1",
    }
    whose = [*GOOD["columns"], *columns(("who", "string", "subject"))]
    path = written(
        tmp_path, **said, columns=whose, consent="consents.csv", share_readiness=["missing"]
    )
    product = load_product(path)
    assert product.consent == tmp_path.resolve() / "consents.csv"
    now = datetime(2026, 1, 31, tzinfo=UTC)
    card, _ = product_card(
        product,
        participant="a",
        rows=1,
        registered=now,
        salt=bytes(32),
        readiness={"missing": "0.5"},
    )
    stated = card.to_json()
    assert {key: stated[key] for key in said} == said
    assert card.readiness == {"missing": "0.5"}
    assert "share_readiness" not in stated


def test_no_row_no_card(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="at least one row"):
        product_card(
            load_product(written(tmp_path)),
            participant="a",
            rows=0,
            registered=datetime.now(UTC),
            salt=bytes(32),
        )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": 2}, r"\$\.version"),
        ({"extra": 1}, r"\$\.extra"),
        ({"title": ...}, r"\$\.title"),
        ({"held_back": 0}, r"\$\.held_back"),
        ({"held_back": "1"}, r"\$\.held_back"),
        ({"held_back": "1.0"}, r"\$\.held_back"),
        ({"classification": "core"}, r"\$\.classification: .*never listed"),
        ({"modality": "images"}, r"\$\.modality"),
        ({"personal_information": "no"}, r"\$\.personal_information"),
        ({"data_version": 0}, r"\$\.data_version"),
        ({"jurisdiction": "CN"}, r"\$\.jurisdiction"),
        ({"subject_consent": "yes"}, r"\$\.subject_consent"),
        ({"subject_consent": "table"}, r"\$\.consent"),
        ({"consent": "consents.csv"}, r"\$\.consent"),
        ({"subject_consent": "table", "consent": "consents.csv"}, "role subject"),
        ({"anonymization": "x" * 201}, r"\$\.anonymization"),
        ({"filing_number": "two words"}, r"\$\.filing_number"),
        ({"share_readiness": ["mean"]}, r"\$\.share_readiness\[0\]"),
        ({"share_readiness": ["rows", "rows"]}, "each figure once"),
        ({"share_readiness": "rows"}, r"\$\.share_readiness"),
        ({"path": "/etc/passwd.csv"}, r"\$\.path"),
        ({"path": "../other/data.csv"}, r"\$\.path"),
        ({"path": "data.xlsx"}, r"\$\.path"),
        ({"classes": ["benign"]}, r"\$\.classes"),
        ({"classes": ["benign", "benign"]}, r"\$\.classes"),
        ({"columns": columns(("a", "float", "feature"), ("b", "float", "feature"))}, "one column"),
        ({"columns": columns(("a", "string", "label"), ("b", "string", "label"))}, "one column"),
        ({"columns": columns(("a", "float", "label"), ("b", "float", "feature"))}, "label of type"),
        ({"columns": columns(("a", "string", "label"), ("b", "string", "ignored"))}, "feature"),
        ({"columns": columns(("a", "string", "label"), ("b", "string", "feature"))}, "float or"),
        ({"columns": columns(("a", "string", "label"), ("a", "float", "feature"))}, "twice"),
        ({"columns": columns(("a", "integer", "label"), ("b", "float", "feature"))}, "classes"),
        ({"columns": [*GOOD["columns"], *columns(("s", "float", "subject"))]}, "a subject of type"),
        (
            {
                "columns": [
                    *GOOD["columns"],
                    *columns(*(("s", "string", "subject"), ("t", "string", "subject"))),
                ]
            },
            "at most one column with role subject",
        ),
        (
            {
                "columns": [
                    *GOOD["columns"],
                    *columns(*(("s", "string", "time"), ("t", "string", "time"))),
                ]
            },
            "at most one column with role time",
        ),
        ({"columns": ranged("1", "0")}, "least, then most"),
        ({"columns": ranged(0, 1)}, r"\$\.columns\[3\]\.range"),
        ({"columns": ranged("0")}, r"\$\.columns\[3\]\.range"),
        ({"columns": ranged("0", "1", "2")}, r"\$\.columns\[3\]\.range"),
        ({"columns": ranged("0", "nan")}, r"\$\.columns\[3\]\.range"),
        ({"columns": ranged("0", "1", type="string", role="ignored")}, "a range for numbers"),
    ],
)
def test_one_fault_is_refused_by_its_field(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ProductError, match=field) as caught:
        load_product(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 100, b"\xff", b" " * (1 << 19)])
def test_what_is_no_product_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "product.json"
    path.write_bytes(content)
    with pytest.raises(ProductError):
        load_product(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="readable file"):
        load_product(tmp_path / "none.json")
