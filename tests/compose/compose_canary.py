"""Rows of an enterprise that can be recognised wherever they turn up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commands.hospitals import split_data

ROWS_SEARCHED = 6

# What the enterprise's container runs in place of its own program: the same, but each row of its
# file has an unguessable text beside the features, in a column that no app gets.
PLANTING = """
import csv, hashlib, json
import commands.container.hospital as hospital

plain = hospital.write_hospital

def planting(folder, one, split, *, participant=""):
    path = plain(folder, one, split, participant=participant)
    product = json.loads(path.read_text())
    data = path.parent / product["path"]
    with data.open(newline="") as file:
        header, *rows = csv.reader(file)
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "note"])
        for number, row in enumerate(rows):
            text = hashlib.sha256(f"SEED-{number}".encode()).hexdigest()
            writer.writerow([*row, text])
    product["columns"].append({"name": "note", "type": "string", "role": "ignored"})
    path.write_text(json.dumps(product))
    return path

hospital.write_hospital = planting
hospital.main()
"""


@dataclass(frozen=True, slots=True)
class Canary:
    """An enterprise of docker-compose.yml whose rows are marked.

    Attributes:
        owner: the service; its data lies in a CSV.
        seed: nobody else knows it.
    """

    owner: str
    seed: str

    def write_file(self, folder: Path) -> Path:
        """A Compose file that goes beside docker-compose.yml; written into the folder."""
        entrypoint = ["python", "-c", PLANTING.replace("SEED", self.seed)]
        path = folder / "canary.yml"
        path.write_text(json.dumps({"services": {self.owner: {"entrypoint": entrypoint}}}))
        return path

    def texts(self) -> list[bytes]:
        """Of each row, in the order of the file."""
        labels = split_data().shares[self.owner][1]
        names = [f"{self.seed}-{number}".encode() for number in range(len(labels))]
        return [hashlib.sha256(name).hexdigest().encode() for name in names]

    def values(self) -> Iterator[bytes]:
        """Of some rows, what a leak of their numbers would hold.

        A number of four bytes would be found by chance: neighbours in a row or in a column are
        searched together, as floats of four and eight bytes, in both orders of bytes, and as text.
        """
        some = split_data().shares[self.owner][0][:ROWS_SEARCHED]
        for table in (some, some.T):
            for kind in ("<f4", ">f4", "<f8", ">f8"):
                yield from (row[:2].astype(kind).tobytes() for row in table)
            for row in table:
                short = [np.format_float_positional(value, unique=True) for value in row[:3]]
                yield from (mark.join(short).encode() for mark in (",", ", ", "\t", " "))
                yield ",".join(repr(float(value)) for value in row[:3]).encode()
