"""An app over images and one over recordings: files, consents, and the real sandbox."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from clients.product import Product, load_product
from clients.sandbox import Job, Sandbox
from clients.selection import Selector
from policies.tensors import pack_tensors

SALT = bytes(range(32))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
PURPOSE = "medical-research"
SUBJECTS = 30
PYPROJECT = """
[project]
name = "centroids"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "centroids.client:app"
"""
# The mean of each class; a row is of the class whose mean is nearest.
CLIENT = """
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from clients.sdk import training_rows

app = ClientApp()

@app.train()
def train(message, context):
    rows = training_rows()
    shape = rows.sample_shape
    means = np.stack([rows.features[rows.labels == c].mean(axis=0) for c in range(2)])
    assert means.shape == (2, *shape) == message.content["arrays"]["means"].numpy().shape
    held_out = rows.held_out_features.reshape(len(rows.held_out_labels), 1, -1)
    away = ((held_out - means.reshape(1, 2, -1)) ** 2).sum(axis=2)
    metrics = {"right": float((away.argmin(axis=1) == rows.held_out_labels).mean()),
               "rows": len(rows.labels) + len(rows.held_out_labels)}
    content = {"arrays": ArrayRecord({"means": Array(means)}), "metrics": MetricRecord(metrics)}
    return Message(content=RecordDict(content), reply_to=message)
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(preload=()) as started:
        yield started


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "centroids").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "centroids" / "__init__.py").write_text("")
    (folder / "centroids" / "client.py").write_text(CLIENT)
    return folder


def images(folder: Path) -> dict[str, Any]:
    """Bright on the left is "yes", bright on the right "no"; sizes differ."""
    rng = np.random.default_rng(1)
    for number in range(SUBJECTS):
        pixels = rng.integers(0, 60, (40 + number, 50, 3), dtype=np.uint8)
        side = slice(0, 25) if number % 2 else slice(25, 50)
        pixels[:, side] += 120
        kind = ".jpg" if number % 3 else ".png"
        Image.fromarray(pixels).save(folder / f"{number}{kind}")
    form = {"folder": "files", "mode": "L", "width": 8, "height": 6, "fit": "resize"}
    return {"modality": "image", "image": form}


def recordings(folder: Path) -> dict[str, Any]:
    """A burst at the beginning is "yes", one later "no"; lengths differ."""
    rng = np.random.default_rng(2)
    for number in range(SUBJECTS):
        sound = rng.uniform(-0.1, 0.1, 300 + number)
        start = 0 if number % 2 else 150
        sound[start : start + 100] += 0.5
        soundfile.write(folder / f"{number}.{'flac' if number % 3 else 'wav'}", sound, 8000)
    form = {"folder": "files", "rate": 8000, "channels": 1, "samples": 320, "fit": "pad-or-crop"}
    return {"modality": "audio", "audio": form}


def product(folder: Path, what: dict[str, Any]) -> Product:
    names = sorted(path.name for path in (folder / "files").iterdir())
    with (folder / "files.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("file", "who", "finding"),
                *(
                    (
                        name,
                        f"s{int(name.split('.')[0])}",
                        ["no", "yes"][int(name.split(".")[0]) % 2],
                    )
                    for name in names
                ),
            ]
        )
    content = {
        "version": 1,
        "id": "clinic/files",
        "title": "Files",
        "path": "files.csv",
        "columns": [
            {"name": "file", "type": "string", "role": "feature"},
            {"name": "who", "type": "string", "role": "subject"},
            {"name": "finding", "type": "string", "role": "label"},
        ],
        "classes": ["no", "yes"],
        "held_back": "0.3",
        "classification": "general",
        "personal_information": True,
        "subject_consent": "table",
        "consent": "consents.csv",
        **what,
    }
    consents(folder, withdrawn=0)
    path = folder / "product.json"
    path.write_text(json.dumps(content))
    return load_product(path)


def consents(folder: Path, *, withdrawn: int) -> None:
    with (folder / "consents.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("subject", "purpose", "given", "withdrawn", "evidence"),
                *(
                    (
                        f"s{number}",
                        PURPOSE,
                        "2026-01-01",
                        "2026-05-01" if number < withdrawn else "",
                        "form",
                    )
                    for number in range(SUBJECTS)
                ),
            ]
        )


@pytest.mark.parametrize(
    ("make", "shape"), [(images, (1, 6, 8)), (recordings, (1, 320))], ids=["images", "recordings"]
)
def test_an_app_learns_from_files_of_those_who_consent(
    tmp_path: Path, app: Path, sandbox: Sandbox, make: Any, shape: tuple[int, ...]
) -> None:
    (tmp_path / "files").mkdir()
    wanted = product(tmp_path, make(tmp_path / "files"))
    selector = Selector(salt=SALT)
    model = pack_tensors({"means": np.zeros((2, *shape), dtype=np.float32)})
    seen = []
    for withdrawn in (0, 4):
        consents(tmp_path, withdrawn=withdrawn)
        selected = selector.select(wanted, purpose=PURPOSE, now=NOW)
        assert (selected.count, selected.without_consent) == (SUBJECTS, withdrawn)
        job = Job(app, "train", model, selected.rows, {}, 1, timeout_s=60, memory_bytes=1 << 30)
        result = sandbox.run(job)
        assert result.metrics == {"right": 1.0, "rows": SUBJECTS - withdrawn}, result.stderr_tail
        assert result.update is not None
        seen.append(result.update["means"])
    assert seen[0].shape == (2, *shape)
    assert (seen[0] != seen[1]).any()
