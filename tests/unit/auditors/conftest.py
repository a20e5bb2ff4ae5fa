"""A folder to tamper with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from auditors_folder import BATCHES, ENTRIES, SIGNER

from ledger.log import Log


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("log")
    with Log.open(
        folder=root / "folder",
        database=root / "log.sqlite",
        last_signed=root / "last-signed",
        signer=SIGNER,
    ) as log:
        done = 0
        for count in BATCHES:
            done = log.append(ENTRIES[done : done + count]).size
    return root / "folder"


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "folder"))
