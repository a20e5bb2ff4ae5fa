"""The store of models by digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.canonical import sha256_hex
from server.models import ModelMissing, ModelStore


def test_a_model_comes_back_by_its_digest(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    digest = store.save(b"model")
    assert digest == sha256_hex(b"model")
    assert store.load(digest) == b"model"
    assert store.save(b"model") == digest
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{digest}.safetensors"]


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    digest = store.save(b"model")
    store.path(digest).write_bytes(b"other")
    with pytest.raises(ModelMissing, match="other contents"):
        store.load(digest)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"expected it at .*00\.safetensors"):
        ModelStore(tmp_path).load("0" * 64)
