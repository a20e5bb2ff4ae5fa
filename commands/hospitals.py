"""The demo's data: the real Breast Cancer Wisconsin (Diagnostic) set, split among seven hospitals.

Source: W. H. Wolberg, W. N. Street, O. L. Mangasarian, UCI Machine Learning Repository, 1995 (569
biopsies, 30 measured features, benign or malignant); it ships with scikit-learn. The hospitals are
made up; their shares differ in size, in how many tumours are malignant, and in how large they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from commands.errors import CommandFailed

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

CLASSES = ("malignant", "benign")
TEST_SHARE = 0.2
SEED = 20


@dataclass(frozen=True, slots=True)
class Hospital:
    """A made-up hospital and how its share is drawn.

    Attributes:
        weight: relative size of its share.
        malignant: factor on the odds that it sees a malignant case.
        large: factor on the odds that it sees a tumour above the median radius.
        file: how its data lies on its disk.
        purpose: what its agreement allows its data to be used for.
        name: what people call it; nothing of it stands in the log.
        competitor: in whose company its agreement allows no use, by name; "" for nobody.
        trains: whether it takes part at all; the others are refused in every round.
    """

    name: str
    title: str
    region: str
    weight: float
    malignant: float
    large: float
    file: str
    purpose: str = "medical-research"
    competitor: str = ""
    trains: bool = True

    def constraints(self, pseudonyms: Mapping[str, str]) -> list[dict[str, object]]:
        """What its agreement asks for beside purpose, count and number of participants.

        Args:
            pseudonyms: of all hospitals, by name: an agreement stands in the log.
        """
        if not self.competitor:
            return []
        return [
            {
                "leftOperand": "notTogetherWith",
                "operator": "isNoneOf",
                "rightOperand": [pseudonyms[self.competitor]],
            }
        ]


HOSPITALS = (
    Hospital("riverside", "Riverside University Hospital", "CN-GD", 3.0, 1.6, 1.0, "csv"),
    Hospital("northgate", "Northgate Clinic", "CN-GD", 2.0, 0.5, 0.7, "csv"),
    Hospital("lakeview", "Lakeview Oncology Centre", "CN-ZJ", 1.5, 2.5, 1.6, "parquet"),
    Hospital("westpark", "Westpark Community Hospital", "CN-SH", 1.2, 0.7, 1.3, "csv"),
    # Its agreement does not allow the purpose.
    Hospital(
        "hillcrest",
        "Hillcrest Private Practice",
        "CN-BJ",
        0.9,
        1.0,
        0.6,
        "csv",
        purpose="drug-safety",
        trains=False,
    ),
    # Its result would cross from Hong Kong to the mainland, without a filing number.
    Hospital("harbour", "Harbour View Hospital", "HK", 0.6, 1.2, 1.0, "csv", trains=False),
    # It lets nobody use its data together with its competitor's.
    Hospital(
        "eastgate",
        "Eastgate Cancer Centre",
        "CN-GD",
        0.7,
        1.0,
        1.2,
        "parquet",
        competitor="riverside",
        trains=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Split:
    """The whole set, divided: a share for each hospital, and a test set that none of them has."""

    feature_names: tuple[str, ...]
    shares: dict[str, tuple[Floats, Labels]]
    test: tuple[Floats, Labels]


def split_data() -> Split:
    """Divide the data; the same every time.

    Raises:
        CommandFailed: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise CommandFailed(
            "the demo's data: expected scikit-learn, got none; install tdspace[demo]"
        ) from error
    bunch = load_breast_cancer()
    features = np.asarray(bunch.data, dtype=np.float32)
    labels = np.asarray(bunch.target, dtype=np.int64)
    names = tuple(str(name).replace(" ", "_") for name in bunch.feature_names)
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(labels))
    cut = int(len(labels) * TEST_SHARE)
    test, rest = order[:cut], order[cut:]
    odds = np.array([hospital.weight for hospital in HOSPITALS])[:, None].repeat(len(rest), 1)
    malignant = labels[rest] == 0
    large = features[rest, 0] > np.median(features[:, 0])
    for row, hospital in enumerate(HOSPITALS):
        odds[row] *= np.where(malignant, hospital.malignant, 1.0)
        odds[row] *= np.where(large, hospital.large, 1.0)
    chosen = np.array([rng.choice(len(HOSPITALS), p=column / column.sum()) for column in odds.T])
    shares = {
        hospital.name: (features[rest[chosen == row]], labels[rest[chosen == row]])
        for row, hospital in enumerate(HOSPITALS)
    }
    return Split(feature_names=names, shares=shares, test=(features[test], labels[test]))


def write_hospital(
    folder: Path, hospital: Hospital, split: Split, *, participant: str = ""
) -> Path:
    """Write a hospital's data file and the product file that describes it; the latter's path.

    Args:
        participant: its id in the space, which the product's begins with; its name if left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    features, labels = split.shares[hospital.name]
    data = folder / f"biopsies.{hospital.file}"
    _write_table(data, split.feature_names, features, labels)
    product = {
        "version": 1,
        "id": f"{participant or hospital.name}/biopsies",
        "title": f"Fine-needle aspirates, {hospital.title}",
        "path": data.name,
        "columns": [
            *({"name": name, "type": "float", "role": "feature"} for name in split.feature_names),
            {"name": "diagnosis", "type": "string", "role": "label"},
        ],
        "classes": list(CLASSES),
        "held_back": "0.2",
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
    }
    path = folder / "product.json"
    path.write_text(json.dumps(product, indent=2) + "\n", encoding="utf-8")
    return path


def _write_table(path: Path, names: tuple[str, ...], features: Floats, labels: Labels) -> None:
    connection = duckdb.connect()
    try:
        columns = ", ".join(f'"{name}" FLOAT' for name in names)
        connection.execute(f"CREATE TABLE biopsies ({columns}, diagnosis VARCHAR)")
        marks = ", ".join("?" for _ in range(len(names) + 1))
        connection.executemany(
            f"INSERT INTO biopsies VALUES ({marks})",  # noqa: S608  (column count only)
            [[*row, CLASSES[label]] for row, label in zip(features.tolist(), labels, strict=True)],
        )
        biopsies = connection.table("biopsies")
        if path.suffix == ".parquet":
            biopsies.write_parquet(str(path))
        else:
            biopsies.write_csv(str(path), header=True)
    finally:
        connection.close()
