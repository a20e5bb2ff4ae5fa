"""What is guessed of JSON Lines, databases, queries over files, and folders of files."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from test_clients_draft import roles

from clients.draft import Draft, draft_of, draft_of_source
from clients.draft_media import draft_of_media
from clients.errors import VaultError
from clients.product import load_product
from clients.source import SourceFile, check_source
from clients.vault import open_product

LINES: list[dict[str, Any]] = [
    {"patient": "p1", "age": 41, "sugar": 5, "note": "x", "state": "ill", "tags": [1]},
    {"patient": "p2", "age": 52, "sugar": 5.5, "note": None, "state": "well"},
    {"age": 63, "sugar": -1e3, "note": "y", "state": "well", "seen": True},
]


def opened(folder: Path, draft: Draft, where: dict[str, Any]) -> Any:
    """What is drafted can be loaded and read as it stands."""
    path = folder / "draft.product.json"
    path.write_text(json.dumps(draft.product(id="clinic/data", title="data", where=where)))
    return open_product(load_product(path), salt=b"s" * 32)


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    draft = draft_of(path)
    assert roles(draft) == {
        "patient": "ignored string",
        "age": "feature integer",
        "sugar": "feature float",
        "note": "ignored string",
        "state": "label string",
        "tags": "ignored string",
        "seen": "ignored string",
    }
    assert (draft.rows, draft.classes, draft.personal) == (3, ("ill", "well"), True)
    found = opened(tmp_path, draft, {"path": "data.jsonl"})
    assert sorted(found.rows.features[:, 0].tolist() + found.rows.held_out_features[:, 0].tolist())


def test_integers_to_predict_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"a": {n}.5, "target": {n % 3}}}\n' for n in range(9)))
    assert draft_of(path).classes == ("0", "1", "2")


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", '{"a": secret}\n', '{"a": 1}\n'])
def test_odd_json_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(text)
    with pytest.raises(VaultError, match="expected") as refused:
        draft_of(path)
    assert "secret" not in str(refused.value)


def database(folder: Path) -> dict[str, Any]:
    with sqlite3.connect(folder / "records.db") as made:
        made.execute("CREATE TABLE visits (id integer, age integer, sugar real, state text)")
        rows = [(n, 40 + n, n / 2, "ill" if n % 2 else "well") for n in range(8)]
        made.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", rows)
    made.close()
    return {"database": "sqlite:///records.db", "table": "visits", "key": ["id"]}


def files(folder: Path) -> dict[str, Any]:
    rows = [f"{n},{40 + n},{n / 2}" for n in range(8)]
    (folder / "visits.csv").write_text("\n".join(["id,age,sugar", *rows, ""]))
    states = [json.dumps({"id": n, "state": "ill" if n % 2 else "well"}) for n in range(8)]
    (folder / "states.jsonl").write_text("\n".join([*states, ""]))
    query = "SELECT id, age, sugar, state FROM visits JOIN states USING (id)"
    named = {"visits": "visits.csv", "states": "states.jsonl"}
    return {"files": named, "query": query, "key": ["id"]}


@pytest.mark.parametrize("make", [database, files])
def test_a_source(tmp_path: Path, make: Any) -> None:
    content = make(tmp_path)
    draft = draft_of_source(check_source(SourceFile.from_json(content), tmp_path), tmp_path / "x")
    assert roles(draft) == {
        "age": "feature integer",
        "sugar": "feature float",
        "state": "label string",
    }
    assert (draft.rows, draft.classes) == (8, ("ill", "well"))
    assert opened(tmp_path, draft, {"source": content}).count == 8


@pytest.mark.parametrize("change", [{"table": "nothing"}, {"database": "sqlite:///none.db"}])
def test_a_source_that_cannot_be_read(tmp_path: Path, change: dict[str, str]) -> None:
    content = {**database(tmp_path), **change}
    with pytest.raises(VaultError, match="expected"):
        draft_of_source(check_source(SourceFile.from_json(content), tmp_path), tmp_path / "x")


def images(folder: Path, *, sizes: int = 1, mode: str = "L") -> Path:
    (folder / "scans" / "b").mkdir(parents=True)
    rows = ["file,patient,age,finding,sha256"]
    for number in range(6):
        name = f"b/{number}.png" if number % 2 else f"{number}.png"
        size = (10 + number % sizes, 8)
        Image.new(mode, size, number * 9).save(folder / "scans" / name)
        found = hashlib.sha256((folder / "scans" / name).read_bytes()).hexdigest()
        rows.append(f"{name},p{number},{40 + number},{'ill' if number % 3 else 'well'},{found}")
    (folder / "scans.csv").write_text("\n".join([*rows, ""]))
    return folder / "scans.csv"


@pytest.mark.parametrize(
    ("sizes", "mode", "form"),
    [
        (1, "L", {"mode": "L", "width": 10, "height": 8, "fit": "exact"}),
        (2, "L", {"mode": "L", "width": 10, "height": 8, "fit": "resize"}),
        (1, "RGB", {"mode": "RGB", "width": 10, "height": 8, "fit": "exact"}),
        (1, "1", {"mode": "L", "width": 10, "height": 8, "fit": "resize"}),
        (1, "P", {"mode": "RGB", "width": 10, "height": 8, "fit": "resize"}),
    ],
)
def test_a_folder_of_images(tmp_path: Path, sizes: int, mode: str, form: dict[str, Any]) -> None:
    found = draft_of_media(images(tmp_path, sizes=sizes, mode=mode), tmp_path / "scans")
    assert (found.modality, found.form) == (
        "image",
        {"folder": "scans", **form, "digest": "sha256"},
    )
    assert roles(found.draft) == {
        "file": "feature string",
        "patient": "ignored string",
        "age": "ignored integer",
        "finding": "label string",
    }
    assert found.draft.personal
    assert "files are all that an app of this product sees" in found.draft.guesses[2].why
    where = {"path": "scans.csv", "image": found.form}
    assert opened(tmp_path, found.draft, where).rows.sample_shape[1:] == (8, 10)


def test_a_folder_of_recordings(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    lines = []
    for number in range(6):
        soundfile.write(tmp_path / "clips" / f"{number}.wav", np.zeros(90 + number), 8000)
        lines.append(json.dumps({"clip": f"{number}.wav", "word": "yes" if number % 2 else "no"}))
    (tmp_path / "clips.jsonl").write_text("\n".join([*lines, ""]))
    found = draft_of_media(tmp_path / "clips.jsonl", tmp_path / "clips")
    form = {"folder": "clips", "rate": 8000, "channels": 1, "samples": 95, "fit": "pad-or-crop"}
    assert (found.modality, found.form) == ("audio", form)
    where = {"path": "clips.jsonl", "audio": found.form}
    assert opened(tmp_path, found.draft, where).rows.sample_shape == (1, 95)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "scans" / "0.png").unlink(), "a column of paths to files below"),
        (
            lambda folder: (folder / "scans" / "0.png").write_text("x"),
            r"file '0\.png': expected an",
        ),
        (lambda folder: (folder / "scans.csv").write_text("file,kind\n"), "a column of paths"),
        (lambda folder: (folder / "scans.csv").write_text("file,a\n0.png,1\n"), "to predict"),
    ],
)
def test_a_folder_that_nothing_is_guessed_from(tmp_path: Path, spoil: Any, words: str) -> None:
    manifest = images(tmp_path)
    spoil(tmp_path)
    with pytest.raises(VaultError, match=words):
        draft_of_media(manifest, tmp_path / "scans")
