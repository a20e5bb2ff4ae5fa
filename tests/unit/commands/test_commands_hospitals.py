"""The demo's data: real rows, each in exactly one place, and hospitals that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from clients.product import load_product
from clients.vault import open_product
from commands.hospitals import (
    CLASSES,
    HOSPITALS,
    Floats,
    Hospital,
    Labels,
    Split,
    split_data,
    write_hospital,
)

SALT = bytes(range(32))


@pytest.fixture(scope="module")
def split() -> Split:
    return split_data()


def parts(split: Split) -> list[tuple[Floats, Labels]]:
    return [*split.shares.values(), split.test]


def rows(part: tuple[Floats, Labels]) -> list[bytes]:
    """Each row with its label, as one comparable value."""
    return [
        features.tobytes() + int(label).to_bytes(1, "big")
        for features, label in zip(part[0], part[1], strict=True)
    ]


def test_the_same_every_time(split: Split) -> None:
    again = split_data()
    assert again.feature_names == split.feature_names
    assert [rows(part) for part in parts(again)] == [rows(part) for part in parts(split)]


def test_every_row_is_in_exactly_one_place(split: Split) -> None:
    bunch = load_breast_cancer()
    whole = rows((np.asarray(bunch.data, np.float32), np.asarray(bunch.target, np.int64)))
    divided = [row for part in parts(split) for row in rows(part)]
    assert len(whole) == len(set(whole)) == 569
    assert sorted(divided) == sorted(whole)


def test_sizes(split: Split) -> None:
    assert list(split.shares) == [hospital.name for hospital in HOSPITALS]
    assert len(split.test[1]) == 113
    assert sum(len(labels) for _, labels in split.shares.values()) == 456
    assert all(features.shape[1] == 30 for features, _ in parts(split))
    assert len(set(split.feature_names)) == 30


def test_hospitals_differ_in_size_and_balance(split: Split) -> None:
    sizes = [len(labels) for _, labels in split.shares.values()]
    malignant = [float(np.mean(labels == 0)) for _, labels in split.shares.values()]
    assert len(set(sizes)) == len(sizes)
    assert min(sizes) >= 20
    assert max(sizes) > 2 * min(sizes)
    assert max(malignant) - min(malignant) > 0.25
    assert all(0 < share < 1 for share in malignant), "each has both classes"


def test_one_hospital_allows_another_purpose() -> None:
    other = [hospital.name for hospital in HOSPITALS if hospital.purpose != "medical-research"]
    assert other == ["hillcrest"]
    assert {hospital.file for hospital in HOSPITALS} == {"csv", "parquet"}


def test_agreements_name_pseudonyms() -> None:
    known = {hospital.name: f"p-{hospital.name[::-1]}" for hospital in HOSPITALS}
    found = {
        hospital.name: hospital.constraints(known) for hospital in HOSPITALS if hospital.competitor
    }
    (constraint,) = found["eastgate"]
    assert constraint["rightOperand"] == [known["riverside"]]


@pytest.mark.parametrize("hospital", HOSPITALS, ids=lambda hospital: hospital.name)
def test_what_is_written_is_read_back_by_the_vault(
    tmp_path: Path, split: Split, hospital: Hospital
) -> None:
    product = load_product(write_hospital(tmp_path / "data", hospital, split))
    found = open_product(product, salt=SALT).rows
    assert product.data.suffix == f".{hospital.file}"
    assert product.id == f"{hospital.name}/biopsies"
    hidden = write_hospital(tmp_path / "hidden", hospital, split, participant="p-aaaaaaaaaaaaaaaa")
    assert load_product(hidden).id == "p-aaaaaaaaaaaaaaaa/biopsies"
    assert (found.classes, found.feature_names) == (CLASSES, split.feature_names)
    held_out = rows((found.held_out_features, found.held_out_labels))
    trained_on = rows((found.features, found.labels))
    assert sorted(trained_on + held_out) == sorted(rows(split.shares[hospital.name]))
    assert held_out
    assert len(trained_on) > len(held_out)
