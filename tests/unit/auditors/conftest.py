"""A folder to tamper with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from auditors_folder import write_log
from replay_log_site import Story, read, space, tell, write


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "folder"))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """A log that a real governance wrote (`replay_log_site.tell`), and its entries."""
    root = tmp_path_factory.mktemp("told")
    with space(root / "space") as site:
        tell(site)
        story = read(site)
    return write(root, story), story
