"""Folders of images and recordings: real files, and one fault each named by line and file."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from test_clients_product import GOOD

from clients.errors import ProductError, VaultError
from clients.product import Product, load_product
from clients.readiness import read_readiness
from clients.vault import Vault, open_product

SALT = bytes(range(32))
IMAGE = {"folder": "scans", "mode": "L", "width": 3, "height": 2, "fit": "exact"}
AUDIO = {"folder": "scans", "rate": 8000, "channels": 1, "samples": 4, "fit": "exact"}
COLUMNS = [
    {"name": "file", "type": "string", "role": "feature"},
    {"name": "who", "type": "string", "role": "subject"},
    {"name": "finding", "type": "string", "role": "label"},
]
LISTED = [("a.png", "p1", "benign"), ("b/c.png", "p2", "malignant"), ("b/d.png", "p1", "benign")]
GRAY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 51


def written(folder: Path, **changes: Any) -> Path:
    content = {**GOOD, "path": "scans.csv", "columns": COLUMNS, "modality": "image"}
    content |= {"image": IMAGE, "held_back": "0", **changes}
    path = folder / "product.json"
    path.write_text(json.dumps({key: one for key, one in content.items() if one is not ...}))
    return path


def product(folder: Path, **changes: Any) -> Product:
    return load_product(written(folder, **changes))


def listed(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ()) -> None:
    with (folder / "scans.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header or ("file", "who", "finding"), *rows])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "scans" / "b").mkdir(parents=True)
    for place, (name, _, _) in enumerate(LISTED):
        Image.fromarray(GRAY // (place + 1)).save(tmp_path / "scans" / name)
    listed(tmp_path, *LISTED)
    return tmp_path


def test_images_are_rows(scans: Path) -> None:
    opened = open_product(product(scans), salt=SALT)
    rows = opened.rows
    assert (rows.features.shape, rows.sample_shape) == ((3, 1, 2, 3), (1, 2, 3))
    assert rows.features.dtype == np.float32
    assert np.allclose(rows.features[0, 0] * 255, GRAY)
    assert (rows.labels.tolist(), rows.feature_names) == ([0, 1, 0], ("file",))
    assert opened.subjects is not None
    assert opened.subjects.rows.tolist() == [0, 1, 0]
    assert not rows.features.flags.writeable


def test_what_is_committed_to(scans: Path) -> None:
    opened = open_product(product(scans), salt=SALT)
    lines = [hashlib.sha256((scans / "scans.csv").read_bytes()).hexdigest()]
    for name, _, _ in sorted(LISTED):
        found = hashlib.sha256((scans / "scans" / name).read_bytes()).hexdigest()
        lines.append(f"{found}  {name}")
    told = SALT + b"tds files v1\n" + "".join(f"{line}\n" for line in lines).encode()
    assert opened.product_commitment == hashlib.sha256(told).hexdigest()


def test_the_vault_reads_again_only_after_a_change(scans: Path) -> None:
    vault, wanted = Vault(salt=SALT), product(scans)
    first = vault.open(wanted)
    assert vault.open(wanted) is first
    Image.fromarray(GRAY).save(scans / "scans" / "b" / "d.png")
    second = vault.open(wanted)
    assert second is not first
    assert second.product_commitment != first.product_commitment
    listed(scans, *LISTED[:2])
    assert vault.open(wanted).count == 2


def test_rows_are_held_back_in_the_manifest_s_order(scans: Path) -> None:
    listed(scans, *LISTED * 40)
    opened = open_product(product(scans, held_back="0.5"), salt=SALT)
    first = np.array([GRAY, GRAY // 2, GRAY // 3])[np.arange(120) % 3, np.newaxis]
    for rows, mask in (
        (opened.rows.features, ~opened.held_back),
        (opened.rows.held_out_features, opened.held_back),
    ):
        assert np.allclose(rows * 255, first[mask])


def test_json_lines_and_integers(scans: Path) -> None:
    lines = [
        {"file": name, "who": 7, "finding": place % 2} for place, (name, *_) in enumerate(LISTED)
    ]
    (scans / "scans.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = [{**one, "type": "integer"} if one["name"] != "file" else one for one in COLUMNS]
    wanted = product(scans, path="scans.jsonl", columns=columns, classes=["0", "1"])
    opened = open_product(wanted, salt=SALT)
    assert opened.rows.labels.tolist() == [0, 1, 0]
    assert opened.subjects is not None
    assert list(opened.subjects.numbers) == ["7"]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("made", ["L", "RGB", "P", "1"])
def test_a_picture_is_converted_where_the_product_says_so(
    tmp_path: Path, mode: str, made: str
) -> None:
    (tmp_path / "scans").mkdir()
    Image.new("RGB", (9, 8), (255, 255, 255)).convert(made).save(tmp_path / "scans" / "a.png")
    listed(tmp_path, LISTED[0])
    wanted = product(tmp_path, image={**IMAGE, "mode": mode, "fit": "resize"})
    rows = open_product(wanted, salt=SALT).rows
    assert rows.sample_shape == (1 if mode == "L" else 3, 2, 3)
    assert rows.features.min() == rows.features.max() == 1


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "scans" / "a.jpg", quality=95)
    listed(tmp_path, ("a.jpg", "p", "benign"))
    rows = open_product(
        product(tmp_path, image={**IMAGE, "mode": "RGB", "fit": "resize"}), salt=SALT
    ).rows
    assert rows.features[0, 0].min() > 0.95
    assert rows.features[0, 1:].max() < 0.05


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def bomb(path: Path) -> None:
    """A PNG of few bytes that claims 60000 x 60000 pixels."""
    size = (60_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + bytes([8, 0, 0, 0, 0]))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))


def frames(path: Path) -> None:
    Image.new("L", (3, 2)).save(path, save_all=True, append_images=[Image.new("L", (3, 2), 9)])


def deep(path: Path) -> None:
    Image.fromarray(GRAY.astype(np.uint16)).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "No such file"),
    (link, "a file that is no link"),
    (linked_folder, "a file that is no link"),
    (pipe, "a regular file"),
    (folder, "a regular file"),
    (bomb, "at most 50000000 pixels"),
    (cut, "an image that decodes"),
    (frames, "several frames"),
    (deep, "I;16"),
    (lambda path: path.write_bytes(b"SECRET"), "got UnidentifiedImageError"),
    (lambda path: path.write_bytes(b""), "got UnidentifiedImageError"),
    (lambda path: Image.new("L", (3, 2)).save(path, format="BMP"), "got UnidentifiedImageError"),
    (lambda path: Image.new("L", (4, 2)).save(path), "got 4 x 2 in mode L"),
    (lambda path: Image.new("RGB", (3, 2)).save(path), "got 3 x 2 in mode RGB"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
def test_a_bad_file_is_named_with_its_line(
    scans: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(scans / "scans" / "b" / "c.png")
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(scans), salt=SALT)
    assert f"{scans / 'scans.csv'}: line 3: file 'b/c.png': expected " in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("made", ["RGBA", "LA", "CMYK"])
def test_what_loses_its_meaning_is_not_converted(scans: Path, made: str) -> None:
    name = "a.png" if made != "CMYK" else "a.jpg"
    Image.new(made, (3, 2)).save(scans / "scans" / name)
    listed(scans, (name, "p", "benign"))
    with pytest.raises(VaultError, match=f"got mode {made}"):
        open_product(product(scans, image={**IMAGE, "fit": "resize"}), salt=SALT)


def test_a_file_too_large_is_refused(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.media_files.MAX_FILE_BYTES", 60)
    with pytest.raises(VaultError, match=r"line 2: file 'a\.png': expected at most 60 bytes"):
        open_product(product(scans), salt=SALT)
    monkeypatch.setattr("clients.media_reader.MAX_MEDIA_BYTES", 60)
    with pytest.raises(VaultError, match="expected at most 60 bytes in all, got 3 files of 24"):
        open_product(product(scans), salt=SALT)


def test_a_file_is_the_one_that_was_listed(scans: Path) -> None:
    rows = [
        (*row, hashlib.sha256((scans / "scans" / row[0]).read_bytes()).hexdigest())
        for row in LISTED
    ]
    listed(scans, *rows, header=("file", "who", "finding", "sha256"))
    wanted = product(scans, image={**IMAGE, "digest": "sha256"})
    assert open_product(wanted, salt=SALT).count == 3
    Image.fromarray(GRAY + 1).save(scans / "scans" / "b" / "c.png")
    with pytest.raises(VaultError, match=r"line 3: file 'b/c\.png': .* whose SHA-256"):
        open_product(wanted, salt=SALT)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("../a.png", "p", "benign"), "a path below the product's folder"),
        (("/etc/hostname", "p", "benign"), "a path below the product's folder"),
        (("", "p", "benign"), "a path below the product's folder"),
        (("a\x00.png", "p", "benign"), "a path below|CSV"),
        (("x" * 2000, "p", "benign"), "a path below the product's folder"),
        (("a.png", "", "benign"), "'who': a subject"),
        (("a.png", "p\n", "benign"), "'who': a subject"),
        (("a.png", "p", "SECRET"), "'finding': one of the product's classes"),
        (("a.png", "p", ""), "'finding': one of the product's classes"),
        (("a.png", "p"), "as many cells as the header"),
        (("a.png", "p", "benign", "SECRET"), "as many cells as the header"),
    ],
)
def test_a_bad_line_is_named(scans: Path, row: tuple[str, ...], words: str) -> None:
    listed(scans, LISTED[0], row)
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(scans), salt=SALT)
    assert "line 3: " in str(caught.value) or "line 4: " in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected the column 'file'"),
        ("file,who,finding\n", "a line for each file, got none"),
        ("file,who\na.png,p\n", "expected the column 'finding'"),
        ("file,file,who,finding\n", "each column name once"),
        ('file,who,finding\na.png,"p,benign\n', "expected CSV"),
        ("\ufefffile,who,finding\na.png,p,benign\n", ""),
    ],
)
def test_odd_manifests(scans: Path, text: str, words: str) -> None:
    (scans / "scans.csv").write_text(text, encoding="utf-8")
    if not words:
        assert open_product(product(scans), salt=SALT).count == 1
        return
    with pytest.raises(VaultError, match=words):
        open_product(product(scans), salt=SALT)


@pytest.mark.parametrize("line", ["[]", "{", '{"file": "a.png", "file": "a.png"}', "7", "[" * 9999])
def test_odd_lines_of_json(scans: Path, line: str) -> None:
    good = json.dumps({"file": "a.png", "who": "p", "finding": "benign"})
    (scans / "scans.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(VaultError, match="line 2: expected one JSON object with each key once"):
        open_product(product(scans, path="scans.jsonl"), salt=SALT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": ...}, r"\$\.image: expected with"),
        ({"modality": "tabular"}, "features of type float or integer"),
        ({"modality": "tabular", "columns": GOOD["columns"]}, r"\$\.image: expected with"),
        ({"modality": "audio"}, r"\$\.image: expected with"),
        ({"audio": AUDIO}, r"\$\.audio: expected with"),
        ({"image": {**IMAGE, "folder": "../scans"}}, r"\$\.image\.folder"),
        ({"image": {**IMAGE, "folder": "/scans"}}, r"\$\.image\.folder"),
        ({"image": {**IMAGE, "mode": "CMYK"}}, r"\$\.image\.mode"),
        ({"image": {**IMAGE, "width": 0}}, r"\$\.image\.width"),
        ({"image": {**IMAGE, "width": 8192, "height": 8192}}, "bytes a row"),
        ({"path": "scans.parquet"}, "a manifest ending in"),
        ({"columns": [{**COLUMNS[0], "type": "float"}, *COLUMNS[1:]]}, "of type string"),
        ({"columns": [*COLUMNS, {**COLUMNS[0], "name": "file2"}]}, "exactly one column"),
    ],
)
def test_the_product_file_is_checked(scans: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProductError, match=words):
        product(scans, **changes)


def test_a_readiness_report(scans: Path) -> None:
    columns = [*COLUMNS, {"name": "site", "type": "string", "role": "ignored"}]
    rows = [(*row, "x" if place else "") for place, row in enumerate([*LISTED, LISTED[0]])]
    listed(scans, *rows, header=("file", "who", "finding", "site"))
    report, summary = read_readiness(product(scans, columns=columns), None)
    assert (report.rows, report.duplicates) == (4, 1)
    assert report.missing == {"file": 0, "who": 0, "finding": 0, "site": 1}
    assert report.features[0].most == pytest.approx(0.5)
    again, _ = read_readiness(product(scans, columns=columns), summary)
    assert again.features[0].psi == 0


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    listed(tmp_path, ("a.wav", "p", "benign"))
    soundfile.write(tmp_path / "scans" / "a.wav", np.array([0.5, -0.5, 0.25, -1]), 8000)
    return tmp_path


def audio(folder: Path, **changes: Any) -> Product:
    return product(folder, modality="audio", image=..., audio={**AUDIO, **changes})


def test_recordings_are_rows(clips: Path) -> None:
    rows = open_product(audio(clips), salt=SALT).rows
    assert rows.sample_shape == (1, 4)
    assert rows.features.tolist() == [[[0.5, -0.5, 0.25, -1]]]


@pytest.mark.parametrize(("samples", "found"), [(2, [0.5, -0.5]), (6, [0.5, -0.5, 0.25, -1, 0, 0])])
def test_a_recording_is_cut_or_filled(clips: Path, samples: int, found: list[float]) -> None:
    rows = open_product(audio(clips, samples=samples, fit="pad-or-crop"), salt=SALT).rows
    assert rows.features.tolist() == [[found]]
    with pytest.raises(VaultError, match=f"expected {samples} samples, got 4"):
        open_product(audio(clips, samples=samples), salt=SALT)


def test_channels_of_a_flac(clips: Path) -> None:
    both = np.array([[0.5, -0.5], [0.25, 0]])
    soundfile.write(clips / "scans" / "a.flac", both, 8000)
    listed(clips, ("a.flac", "p", "benign"))
    rows = open_product(audio(clips, channels=2, samples=2), salt=SALT).rows
    assert rows.features[0].tolist() == both.T.tolist()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"samplerate": 16_000}, "got 16000 on 1"),
        ({"data": np.zeros((4, 2))}, "got 8000 on 2"),
        ({"data": np.array([np.nan, 0, 0, 0]), "subtype": "FLOAT"}, "each finite"),
        ({"data": np.zeros(0)}, "got 0"),
        ({"format": "OGG", "subtype": "VORBIS"}, "expected WAV or FLAC"),
        ({}, "a recording that decodes"),
    ],
)
def test_a_bad_recording(clips: Path, made: dict[str, Any], words: str) -> None:
    place = clips / "scans" / "a.wav"
    given = {"data": np.zeros(4), "samplerate": 8000, "format": "WAV", **made}
    if made:
        soundfile.write(place, **given)
    else:
        place.write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(VaultError, match=words) as caught:
        open_product(audio(clips), salt=SALT)
    assert "line 2: file 'a.wav': expected " in str(caught.value)


def test_without_the_package_the_error_says_what_to_install(
    scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(VaultError, match=r"tdspace\[media\]"):
        open_product(product(scans), salt=SALT)
