"""Confinement: what is decided before a child is confined; the sandbox's tests show it at work."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from clients import confinement


@pytest.mark.parametrize(("mode", "expected"), [(0o755, True), (0o750, False), (0o751, False)])
def test_open_to_others_reads_the_modes(tmp_path: Path, mode: int, expected: bool) -> None:
    for place in (tmp_path, *tmp_path.parents):
        if place == Path(tempfile.gettempdir()):
            break
        place.chmod(0o755)
    folder = tmp_path / "python"
    folder.mkdir()
    folder.chmod(mode)
    assert confinement.open_to_others(folder) is expected


def test_open_to_others_looks_at_the_way_there(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "python"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not confinement.open_to_others(inner)
